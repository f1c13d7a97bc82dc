//! Sound: what XML 1.0 asks of a document and quick-xml does not check by itself. Each check says
//! what is wrong. What has one meaning all the same (`]]>` in text, `--` in a comment, attributes
//! with no blank between them) is let pass.

use std::borrow::Cow;

use quick_xml::escape::{EscapeError, resolve_predefined_entity};
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart};
use quick_xml::{Error, XmlVersion};

use super::super::bounded::beginning;

/// Checks the name and the attributes of a start tag.
pub(super) fn check_tag(tag: &BytesStart) -> Result<(), String> {
    let name = tag.name();
    if !is_name(name.0) {
        return Err(format!("<{}> is no element name", beginning(name.0)));
    }
    if memchr::memchr(b'<', tag.as_bytes()).is_some() {
        return Err(format!("there is a < inside the tag <{}>", beginning(name.0)));
    }
    check_characters(tag)?;
    if tag.attributes_raw().bytes().all(is_blank) {
        return Ok(());
    }
    for attribute in tag.attributes() {
        let attribute =
            attribute.map_err(|error| format!("in the tag <{}>: {error}", beginning(name.0)))?;
        if !is_name(attribute.key.0) {
            return Err(format!("{} is no attribute name", beginning(attribute.key.0)));
        }
        value_of(&attribute)?;
    }
    Ok(())
}

/// The value of an attribute, references resolved and blanks made spaces (XML 1.0, 3.3.3).
pub(super) fn value_of<'a>(attribute: &Attribute<'a>) -> Result<Cow<'a, str>, String> {
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| {
        let what = match error {
            Error::Escape(EscapeError::UnrecognizedEntity(_, name)) => format!(
                "the reference &{}; is not known: what a DOCTYPE declares is not expanded",
                beginning(&name)
            ),
            other => other.to_string(),
        };
        format!("in the attribute {}: {what}", beginning(attribute.key.0))
    })?;
    check_characters(&value)?;
    Ok(value)
}

/// The attribute by which an element says whether the blanks in it count (XML 1.0, 2.10).
pub(super) const SPACE: &str = "xml:space";

/// Whether the blanks in an element count, if its start tag says so.
pub(super) fn preserves_blanks(tag: &BytesStart) -> Option<bool> {
    let attributes = tag.attributes_raw();
    if attributes.is_empty() || !attributes.contains(SPACE) {
        return None;
    }
    let attribute = tag.try_get_attribute(SPACE).ok()??;
    Some(value_of(&attribute).is_ok_and(|value| value == "preserve"))
}

/// The text that a reference stands for. Only the five entities that XML predefines are known: a
/// DOCTYPE is never read (XML 1.0, 4.6).
pub(super) fn resolved(reference: &BytesRef) -> Result<Cow<'static, str>, String> {
    let unknown = || format!("the reference &{}; is not known", beginning(reference));
    match reference.resolve_char_ref() {
        Ok(Some(c)) => {
            let text = c.to_string();
            check_characters(&text)?;
            Ok(Cow::Owned(text))
        }
        Ok(None) => match resolve_predefined_entity(reference) {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => Err(unknown()),
        },
        Err(_) => Err(unknown()),
    }
}

/// Checks that text holds only what XML allows (XML 1.0, 2.2, Char).
pub(super) fn check_characters(text: &str) -> Result<(), String> {
    let control = |byte: u8| byte < 0x20 && !is_blank(byte);
    // Folding over all bytes is many times faster than stopping at the first.
    let found = text.bytes().fold(false, |found, byte| found | control(byte));
    let barred = || {
        let is_barred = |c: char| matches!(c, '\u{FFFE}' | '\u{FFFF}');
        text.contains(is_barred)
    };
    // U+FFFE and U+FFFF start with EF BF in UTF-8.
    if !found && (memchr::memchr(0xEF, text.as_bytes()).is_none() || !barred()) {
        return Ok(());
    }
    let bad = text
        .chars()
        .find(|c| u8::try_from(*c).is_ok_and(control) || matches!(c, '\u{FFFE}' | '\u{FFFF}'));
    let code = bad.map(u32::from).unwrap_or_default();
    Err(format!("the character U+{code:04X}, which XML does not allow"))
}

/// Whether a name is one, as far as ASCII goes (XML 1.0, 2.3, Name).
pub(super) fn is_name(name: &str) -> bool {
    let inside = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-' | b'.') || byte >= 0x80
    };
    let first = |byte: u8| !byte.is_ascii_digit() && !matches!(byte, b'-' | b'.');
    name.bytes().next().is_some_and(first) && name.bytes().all(inside)
}

/// White space (XML 1.0, 2.3, S).
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_noncharacters_are_named() {
        assert_eq!(check_characters("a\tb\r\n é \u{FFFD} 😀"), Ok(()));
        for (text, code) in [("a\u{1}", "U+0001"), ("\0", "U+0000"), ("é\u{FFFE}", "U+FFFE")] {
            assert!(check_characters(text).unwrap_err().contains(code));
        }
    }

    #[test]
    fn names_start_with_no_digit_and_hold_no_markup() {
        for name in ["a", "_-ROP_-X", "o:Order", "Größe", "E1EDL24.x"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "-a", "a/b", "a=b", "a\"", "a b", "a&b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
