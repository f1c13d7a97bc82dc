//! Guess: in which encoding a text was probably written that is read in another. A guess is advice
//! and never more.

use encoding_rs::{UTF_8, WINDOWS_1252};

use super::encoding::{Encoding, Units};

/// The encoding in which the byte at `at` and those around it would be text, if it is plain.
pub(super) fn likely(encoding: Encoding, around: &[u8], at: usize) -> Option<&'static str> {
    let byte = *around.get(at)?;
    if encoding.is_utf_16() || byte < 0x80 {
        return None;
    }
    let utf_8 = Encoding::Whatwg(UTF_8);
    if encoding != utf_8 && (0..=at).any(|start| whole_character(&around[start..], at - start)) {
        return Some(utf_8.name());
    }
    if matches!(encoding.units(), Units::Several(_)) {
        return None;
    }
    let letter =
        |at: Option<usize>| at.and_then(|n| around.get(n)).is_some_and(u8::is_ascii_alphabetic);
    let (before, behind) = (letter(at.checked_sub(1)), letter(Some(at + 1)));
    // In the pages of DOS the accented letters lie in 80 to A5, where those of Windows have dashes,
    // quotes and signs, which seldom touch letters; the apostrophe (92) does.
    let dos = match byte {
        0x81 | 0x8D | 0x8F | 0x90 | 0x9D => true,
        0x92 => false,
        0x91 | 0x93..=0x97 => before && behind,
        0x80..=0xA5 => before || behind,
        _ => false,
    };
    let windows = Encoding::Whatwg(WINDOWS_1252);
    match dos {
        true => Some("cp850"),
        false if encoding == windows => None,
        false => Some(windows.name()),
    }
}

/// Whether the bytes start with a UTF-8 character of several bytes that reaches the offset `to`.
fn whole_character(bytes: &[u8], to: usize) -> bool {
    let length = match bytes.first() {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return false,
    };
    length > to && bytes.get(..length).is_some_and(|bytes| std::str::from_utf8(bytes).is_ok())
}

/// Sees UTF-8 that was read in an encoding of one byte a character, as `MÃ¼ller`.
pub(in crate::read) struct Mojibake {
    /// The bytes of the characters beyond ASCII, sorted by these.
    bytes: Vec<(char, u8)>,
}

impl Mojibake {
    /// None for an encoding in which it cannot be seen.
    pub(in crate::read) fn of(encoding: Encoding) -> Option<Mojibake> {
        let Units::One(page) = encoding.units() else { return None };
        let mut bytes: Vec<(char, u8)> = (0x80..=0xFF).map(|n| (page[n & 0x7F], n as u8)).collect();
        bytes.sort_unstable();
        Some(Mojibake { bytes })
    }

    /// The first characters in `text` that are one in UTF-8, and that one: a letter or a sign of
    /// the languages of Europe.
    pub(in crate::read) fn find<'t>(&self, text: &'t str) -> Option<(&'t str, char)> {
        let mut at = 0;
        while let Some(next) = text[at..].find(|c: char| !c.is_ascii()) {
            at += next;
            let found = self.character(&text[at..]);
            if let Some((length, character)) = found {
                return Some((&text[at..at + length], character));
            }
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        None
    }

    fn character(&self, text: &str) -> Option<(usize, char)> {
        let mut bytes = Vec::with_capacity(3);
        for (at, character) in text.char_indices().take(3) {
            let n = self.bytes.binary_search_by_key(&character, |(c, _)| *c).ok()?;
            bytes.push(self.bytes[n].1);
            if let Some(whole) = std::str::from_utf8(&bytes).ok().and_then(|s| s.chars().next()) {
                let common = matches!(whole, '\u{A0}'..='\u{24F}' | '\u{2010}'..='\u{20AC}');
                return common.then_some((at + character.len_utf8(), whole));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::ISO_8859_15;

    use super::*;

    #[test]
    fn the_bytes_around_tell_the_encoding() {
        let utf_8 = Encoding::Whatwg(UTF_8);
        let windows = Encoding::Whatwg(WINDOWS_1252);
        for (encoding, around, at, expected) in [
            (utf_8, &b"M\xFCl"[..], 1, Some("windows-1252")),
            (utf_8, b"M\x81l", 1, Some("cp850")),
            (utf_8, b"caf\x82;", 3, Some("cp850")),
            (utf_8, b"l\x92e", 1, Some("windows-1252")),
            (utf_8, b";\x80 5", 1, Some("windows-1252")),
            (windows, b"M\x81l", 1, Some("cp850")),
            (windows, b"r\xC3\x81n", 2, Some("UTF-8")),
            (Encoding::Whatwg(ISO_8859_15), b" \x80 ", 1, Some("windows-1252")),
            (Encoding::Whatwg(encoding_rs::SHIFT_JIS), b"M\xC3\xBCl", 2, Some("UTF-8")),
            (Encoding::Whatwg(encoding_rs::UTF_16LE), b"\xD8\x3D", 0, None),
        ] {
            assert_eq!(likely(encoding, around, at), expected, "{around:02X?}");
        }
    }

    #[test]
    fn utf_8_that_is_read_as_a_page_is_seen() {
        let windows = Mojibake::of(Encoding::Whatwg(WINDOWS_1252)).unwrap();
        assert_eq!(windows.find("Herr MÃ¼ller"), Some(("Ã¼", 'ü')));
        assert_eq!(windows.find("5 â‚¬"), Some(("â‚¬", '€')));
        assert_eq!(windows.find("Müller, Ångström & Ñandú: 5 € “à”"), None);
        let dos = Mojibake::of(Encoding::for_label("cp850").unwrap()).unwrap();
        assert_eq!(dos.find("M├╝ller"), Some(("├╝", 'ü')));
        assert!(Mojibake::of(Encoding::Whatwg(UTF_8)).is_none());
    }
}
