//! Element: the tree that the `to` paths of a mapping make in XML, written by one pass over it.

use super::field::{Broken, Field};
use super::report::Report;

/// The rule that a value breaks by a character that XML does not know.
const RULE: &str = "xml";

/// An element of the output record.
#[derive(Debug)]
pub struct Element {
    name: String,
    attributes: Vec<Attribute>,
    content: Content,
}

/// An attribute. Several fields only if each has a `when`: the first that applies wins.
#[derive(Debug)]
struct Attribute {
    name: String,
    fields: Vec<Field>,
}

#[derive(Debug)]
enum Content {
    Children(Vec<Element>),
    /// Several only if each has a `when`, as of an attribute.
    Fields(Vec<Field>),
}

impl Element {
    /// An element with nothing in it.
    pub fn new(name: &str) -> Element {
        Element {
            name: name.to_owned(),
            attributes: Vec::new(),
            content: Content::Children(Vec::new()),
        }
    }

    /// Adds a field at a path below this element that `Paths::admit` and [`fault`] have let in.
    pub fn add(&mut self, path: &[String], field: Field) {
        let Some((name, rest)) = path.split_first() else {
            match &mut self.content {
                Content::Fields(fields) => fields.push(field),
                Content::Children(_) => self.content = Content::Fields(vec![field]),
            }
            return;
        };
        if let Some(name) = name.strip_prefix('@') {
            match self.attributes.iter_mut().find(|attribute| attribute.name == name) {
                Some(attribute) => attribute.fields.push(field),
                None => {
                    self.attributes.push(Attribute { name: name.to_owned(), fields: vec![field] });
                }
            }
            return;
        }
        // An element that has a text has no children: `Paths::admit` sees to it.
        let Content::Children(children) = &mut self.content else { return };
        let place = children.iter().position(|child| child.name == *name).unwrap_or_else(|| {
            children.push(Element::new(name));
            children.len() - 1
        });
        children[place].add(rest, field);
    }

    /// Appends the element to `out`, even if nothing is in it.
    pub fn write_record(&self, report: &mut Report<'_>, out: &mut Vec<u8>) {
        if !self.write(report, out) {
            out.push(b'<');
            out.extend_from_slice(self.name.as_bytes());
            out.extend_from_slice(b"/>");
        }
    }

    /// Appends the element to `out`; `false` if nothing is in it. One whose own text is missing is
    /// left out with its attributes, for they speak of the text.
    fn write(&self, report: &mut Report<'_>, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.push(b'<');
        out.extend_from_slice(self.name.as_bytes());
        let bare = out.len();
        for attribute in &self.attributes {
            attribute.write(report, out);
        }
        let tag = start..out.len();
        let children = match &self.content {
            Content::Children(children) => children,
            Content::Fields(fields) => {
                let mut again = false;
                let written = Field::write_first(fields, report, |text| {
                    if again {
                        out.extend_from_within(tag.clone());
                    }
                    again = true;
                    out.push(b'>');
                    push_text(text, out)?;
                    self.close(out);
                    Ok(())
                });
                if !written {
                    out.truncate(start);
                }
                return written;
            }
        };
        out.push(b'>');
        let mut any = false;
        for child in children {
            any |= child.write(report, out);
        }
        if any {
            self.close(out);
            return true;
        }
        out.truncate(tag.end);
        if tag.end == bare {
            out.truncate(start);
            return false;
        }
        out.extend_from_slice(b"/>");
        true
    }

    fn close(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }
}

impl Attribute {
    fn write(&self, report: &mut Report<'_>, out: &mut Vec<u8>) {
        Field::write_first(&self.fields, report, |text| {
            out.push(b' ');
            out.extend_from_slice(self.name.as_bytes());
            out.extend_from_slice(b"=\"");
            push_text(text, out)?;
            out.push(b'"');
            Ok(())
        });
    }
}

/// What is wrong with a `to` path that is to become elements and an attribute.
pub fn fault(path: &[String], array: bool) -> Option<String> {
    for (at, name) in path.iter().enumerate() {
        let last = at + 1 == path.len();
        match name.strip_prefix('@') {
            Some(_) if !last => return Some("an attribute holds nothing else".to_owned()),
            Some(_) if array => return Some("an attribute cannot stand several times".to_owned()),
            Some("xmlns") => return Some("namespace of [output] says what xmlns says".to_owned()),
            Some(attribute) if !is_name(attribute) => {
                return Some(format!("\"{attribute}\" cannot be the name of an XML attribute"));
            }
            None if !is_name(name) => {
                return Some(format!("\"{name}\" cannot be the name of an XML element"));
            }
            _ => {}
        }
    }
    None
}

/// Whether a text is a name without a colon (Namespaces in XML 1.0, section 3; XML 1.0, section
/// 2.3).
pub fn is_name(text: &str) -> bool {
    let starts = |c: char| {
        matches!(c,
            'A'..='Z' | 'a'..='z' | '_'
            | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
            | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
            | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
            | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
    };
    let goes_on = |c: char| {
        starts(c)
            || matches!(c,
                '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
    };
    let mut characters = text.chars();
    characters.next().is_some_and(starts) && characters.all(goes_on)
}

/// Appends a text as the content of an element or an attribute; the error is a character that no
/// XML 1.0 document can hold (section 2.2).
///
/// Line ends and tabs are written as references, for a reader may make blanks of them otherwise
/// (sections 2.11 and 3.3.3); so a document's own line ends are those between its records.
pub fn push_text(text: &str, out: &mut Vec<u8>) -> Result<(), Broken> {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let reference: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'"' => b"&quot;",
            b'\t' => b"&#9;",
            b'\n' => b"&#10;",
            b'\r' => b"&#13;",
            0..0x20 => return Err(unknown(u32::from(*byte))),
            // U+FFFE and U+FFFF in UTF-8.
            0xEF => match &bytes[at..] {
                [_, 0xBF, last @ (0xBE | 0xBF), ..] => {
                    return Err(unknown(0xFFC0 | u32::from(*last & 0x3F)));
                }
                _ => continue,
            },
            _ => continue,
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(reference);
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
    Ok(())
}

fn unknown(character: u32) -> Broken {
    let advice = format!(
        "XML does not know the character U+{character:04X}; take it out, in the file or with clean \
         = [{{ remove = \"\\u{character:04X}\" }}]"
    );
    (RULE, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        let mut out = Vec::new();
        push_text(text, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_means_something_to_xml_is_written_as_a_reference() {
        assert_eq!(text("R&D <\"a'b\"> ]]>"), "R&amp;D &lt;&quot;a'b&quot;&gt; ]]&gt;");
        assert_eq!(text("\ta\r\nb"), "&#9;a&#13;&#10;b");
        assert_eq!(text("é€😀\u{85}\u{7f}\u{fffd}\u{f8ff}"), "é€😀\u{85}\u{7f}\u{fffd}\u{f8ff}");
        assert_eq!(text(""), "");
    }

    #[test]
    fn a_character_that_xml_does_not_know_is_told() {
        for character in
            ["\0", "\u{1}", "\u{8}", "\u{b}", "\u{c}", "\u{1f}", "\u{fffe}", "\u{ffff}"]
        {
            let mut out = Vec::new();
            let (rule, advice) = push_text(&format!("a{character}b"), &mut out).unwrap_err();
            let code = format!("U+{:04X}", u32::from(character.chars().next().unwrap()));
            assert!(rule == "xml" && advice.contains(&code), "{code}: {advice}");
        }
    }

    #[test]
    fn names_are_those_of_xml_without_a_colon() {
        for name in ["a", "_", "Order", "É-1.2", "_-EFT", "日本", "x·1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "-a", ".a", "a b", "o:a", "a/b", "a&b", "×", "@a", "a\u{37e}"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
