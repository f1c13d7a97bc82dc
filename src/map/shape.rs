//! Shape: the tree that the `to` paths of a mapping make. One pass over it writes a record as
//! JSON, straight into the message.

use super::field::{Field, Several};
use super::report::Report;

/// An object of the output record.
#[derive(Debug, Default)]
pub struct Shape {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: String,
    /// The name as JSON, with a comma before and a colon behind it.
    key: Vec<u8>,
    node: Node,
}

#[derive(Debug)]
enum Node {
    Object(Shape),
    /// Several only if each has a `when`: the first that applies wins.
    Fields(Vec<Field>),
}

impl Shape {
    /// The fields that write this path.
    pub fn fields_of(&self, path: &[&str]) -> &[Field] {
        let Some((first, rest)) = path.split_first() else { return &[] };
        match self.members.iter().find(|member| member.name == *first).map(|of| &of.node) {
            Some(Node::Object(shape)) => shape.fields_of(rest),
            Some(Node::Fields(fields)) if rest.is_empty() => fields,
            _ => &[],
        }
    }

    /// Adds a field at a path that `Paths::admit` has let in.
    pub fn add(&mut self, path: &[String], field: Field) {
        let Some((name, rest)) = path.split_first() else { return };
        let place = match self.members.iter().position(|member| member.name == *name) {
            Some(place) => place,
            None => {
                let mut key = vec![b','];
                push_string(name, &mut key);
                key.push(b':');
                let node = if rest.is_empty() {
                    Node::Fields(Vec::new())
                } else {
                    Node::Object(Shape::default())
                };
                self.members.push(Member { name: name.clone(), key, node });
                self.members.len() - 1
            }
        };
        match &mut self.members[place].node {
            Node::Object(shape) => shape.add(rest, field),
            Node::Fields(fields) => fields.push(field),
        }
    }

    /// Appends the object to `out`; `false` if nothing is in it.
    pub fn write(&self, report: &mut Report<'_>, out: &mut Vec<u8>) -> bool {
        let mut any = false;
        out.push(b'{');
        for member in &self.members {
            let start = out.len();
            out.extend_from_slice(if any { &member.key } else { &member.key[1..] });
            let written = match &member.node {
                Node::Object(shape) => shape.write(report, out),
                Node::Fields(fields) => fields
                    .iter()
                    .find(|field| field.applies(report.record))
                    .is_some_and(|field| write_value(field, report, out)),
            };
            match written {
                true => any = true,
                false => out.truncate(start),
            }
        }
        out.push(b'}');
        any
    }
}

/// Appends a field's value; `false` if it has none.
fn write_value(field: &Field, report: &mut Report<'_>, out: &mut Vec<u8>) -> bool {
    let array = field.several == Several::Each;
    let mut any = false;
    let written = field.write(report, |text| {
        if array {
            out.push(if any { b',' } else { b'[' });
        }
        any = true;
        match field.number {
            Some(_) => out.extend_from_slice(text.as_bytes()),
            None => push_string(text, out),
        }
        Ok(())
    });
    if array && any {
        out.push(b']');
    }
    written
}

/// Appends a text as a JSON string (RFC 8259, section 7).
fn push_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if !needs_escape(bytes) {
        out.reserve(bytes.len() + 2);
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let start = out.len();
    if serde_json::to_writer(&mut *out, text).is_err() {
        // Writing a text into memory cannot fail; if it did, an empty text keeps the JSON whole.
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}

/// Whether a byte is below 0x20, a quote or a backslash. Most texts are short and need nothing, so
/// eight bytes are looked at together.
fn needs_escape(bytes: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The highest bit of a byte is set where the byte is smaller than `limit`, and perhaps above
    // such a byte, but never where there is none (limits up to 0x80).
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word & (EACH << 7);
    let bad = |eight: [u8; 8]| {
        let word = u64::from_le_bytes(eight);
        let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
        below(word, 0x20) | is(b'"') | is(b'\\')
    };
    match bytes.last_chunk::<8>() {
        // The last eight are looked at too, some of them for the second time.
        Some(last) => {
            let (eights, _) = bytes.as_chunks::<8>();
            eights.iter().fold(bad(*last), |found, eight| found | bad(*eight)) != 0
        }
        None => bytes.iter().any(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_escaped_as_json_wants_it() {
        for text in
            ["", "plain é", "say \"no\"", "back\\slash", "tab\tline\nnull\0", "\u{7f}\u{2028}"]
        {
            let mut out = Vec::new();
            push_string(text, &mut out);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
    #[test]
    fn every_byte_is_seen_at_every_place() {
        for byte in 0..=0x7f_u8 {
            for length in 1..20 {
                for place in 0..length {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    let expected = byte < 0x20 || byte == b'"' || byte == b'\\';
                    assert_eq!(needs_escape(&bytes), expected, "{byte} at {place} of {length}");
                }
            }
        }
        assert!(!needs_escape("é€😀ÿ\u{80}\u{7f}".as_bytes()));
    }
}
