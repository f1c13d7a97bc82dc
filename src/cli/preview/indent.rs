//! Indent: JSON and XML made readable, by adding nothing but blanks between their parts.

use std::io::{self, Write};

/// JSON with a line for every value. Only blanks are added, so that every value stays as it is sent.
pub fn json(out: &mut impl Write, json: &[u8]) -> io::Result<()> {
    let mut depth = 0;
    let mut in_text = false;
    let mut escaped = false;
    for (at, byte) in json.iter().enumerate() {
        if in_text {
            out.write_all(&[*byte])?;
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.write_all(&[*byte])?;
                if !matches!(json.get(at + 1), Some(b'}' | b']')) {
                    depth += 1;
                    new_line(out, depth)?;
                }
            }
            b'}' | b']' => {
                if !matches!(
                    at.checked_sub(1).and_then(|before| json.get(before)),
                    Some(b'{' | b'[')
                ) {
                    depth -= 1;
                    new_line(out, depth)?;
                }
                out.write_all(&[*byte])?;
            }
            b',' => {
                out.write_all(b",")?;
                new_line(out, depth)?;
            }
            b':' => out.write_all(b": ")?,
            _ => {
                in_text = *byte == b'"';
                out.write_all(&[*byte])?;
            }
        }
    }
    Ok(())
}

/// XML as a mapping writes it, with a line for every element. No blank is added beside a text.
pub fn xml(out: &mut impl Write, xml: &str) -> io::Result<()> {
    let mut depth = 0_usize;
    let mut breaks = false;
    // Neither sign stands in a text or an attribute.
    for part in xml.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or((part, ""));
        let closes = tag.starts_with('/');
        depth -= usize::from(closes && depth > 0);
        if breaks {
            new_line(out, depth)?;
        }
        let text = if text == "\n" { "" } else { text };
        write!(out, "<{tag}>{text}")?;
        depth += usize::from(!closes && !tag.ends_with('/') && !tag.starts_with('?'));
        breaks = text.is_empty();
    }
    Ok(())
}

fn new_line(out: &mut impl Write, depth: usize) -> io::Result<()> {
    write!(out, "\n{:1$}", "", depth * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indenting_json_adds_blanks_only_and_none_within_texts() {
        let indented = |text: &str| {
            let mut out = Vec::new();
            json(&mut out, text.as_bytes()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            indented(r#"[{"a":"x,\"{y\\","b":[],"c":[1.50,{}]}]"#),
            "[\n  {\n    \"a\": \"x,\\\"{y\\\\\",\n    \"b\": [],\n    \"c\": [\n      1.50,\n      {}\n    ]\n  }\n]"
        );
    }

    #[test]
    fn indenting_xml_adds_blanks_between_elements_only() {
        let mut out = Vec::new();
        let text =
            "<?xml version=\"1.0\"?>\n<R>\n<O i=\"1\"><a><b> x </b></a><c/></O>\n<O/>\n</R>\n";
        xml(&mut out, text).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<?xml version=\"1.0\"?>\n<R>\n  <O i=\"1\">\n    <a>\n      <b> x </b>\n    </a>\n    \
             <c/>\n  </O>\n  <O/>\n</R>"
        );
    }
}
