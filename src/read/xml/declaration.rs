//! The encoding that an XML declaration names, read from the first bytes of a file.

use std::io::{Cursor, Read};

use encoding_rs::{UTF_16BE, UTF_16LE};
use quick_xml::events::BytesStart;

use super::super::bounded::{Spot, laid_open};
use super::super::{Encoding, Unsound};

/// How far into a file its declaration may reach.
const HEAD: u64 = 1024;

/// The encoding of an XML file: the declared one if there is one, else `default`. Gives the input
/// back whole.
pub(in crate::read) fn sniff(
    default: Encoding,
    mut input: Box<dyn Read + Send>,
) -> Result<(Encoding, Box<dyn Read + Send>), Unsound> {
    let mut head = Vec::new();
    if let Err(error) = (&mut input).take(HEAD).read_to_end(&mut head) {
        return Err(laid_open(&error, Spot { line: 1, byte: 0 }));
    }
    let encoding = declared_encoding(&head).unwrap_or(default);
    Ok((encoding, Box::new(Cursor::new(head).chain(input))))
}

/// The encoding that the declaration at the head of a file names (XML 1.0, 4.3.3 and appendix F).
///
/// None if a byte order mark says it, if nothing is declared, or if the label is unknown. A file
/// whose declaration can be read as ASCII and says UTF-16 does not speak of itself: programs that
/// build a document as a UTF-16 string and write it as UTF-8 leave that behind. None for it too.
pub fn declared_encoding(head: &[u8]) -> Option<Encoding> {
    if encoding_rs::Encoding::for_bom(head).is_some() {
        return None;
    }
    match head {
        [b'<', 0, b'?', 0, ..] => return Some(UTF_16LE.into()),
        [0, b'<', 0, b'?', ..] => return Some(UTF_16BE.into()),
        _ => {}
    }
    let inside = head.trim_ascii_start().strip_prefix(b"<?")?;
    let inside = &inside[..memchr::memmem::find(inside, b"?>")?];
    let inside = std::str::from_utf8(inside).ok()?;
    let declaration = BytesStart::from_content(inside, inside.find([' ', '\t', '\r', '\n'])?);
    if declaration.name().0 != "xml" {
        return None;
    }
    let label = declaration.try_get_attribute("encoding").ok()??.value;
    let encoding = Encoding::for_label(&label)?;
    (encoding != UTF_16LE.into() && encoding != UTF_16BE.into()).then_some(encoding)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{ISO_8859_15, SHIFT_JIS, UTF_8, WINDOWS_1252};

    use super::*;

    #[test]
    fn a_declaration_names_the_encoding() {
        for (head, encoding) in [
            ("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><r>", Some(WINDOWS_1252)),
            (
                "<?xml version='1.0' encoding = 'windows-1252' standalone='yes' ?>",
                Some(WINDOWS_1252),
            ),
            ("\r\n<?xml\tversion='1.0'\nencoding='iso-8859-15'?>", Some(ISO_8859_15)),
            ("<?xml version='1.0' encoding='utf-8'?>", Some(UTF_8)),
            ("<?xml version='1.0' encoding='Shift_JIS'?>", Some(SHIFT_JIS)),
            ("<?xml version='1.0' encoding='utf-16'?>", None),
            ("<?xml version='1.0' encoding='ANSI'?>", None),
            ("<?xml version='1.0'?><r encoding='iso-8859-15'/>", None),
            ("<?xml version='1.0' encoding='iso-8859-15'", None),
            ("<?xml-stylesheet encoding='iso-8859-15'?>", None),
            ("\u{FEFF}<?xml version='1.0' encoding='iso-8859-15'?>", None),
            ("<r/>", None),
            ("<?xml?>", None),
            ("<??>", None),
            ("", None),
        ] {
            assert_eq!(declared_encoding(head.as_bytes()), encoding.map(Encoding::from), "{head}");
        }
    }

    #[test]
    fn utf_16_without_a_byte_order_mark_is_seen_by_its_zeros() {
        let le: Vec<u8> = "<?xml".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "<?xml".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(declared_encoding(&le), Some(UTF_16LE.into()));
        assert_eq!(declared_encoding(&be), Some(UTF_16BE.into()));
    }
}
