//! Charset: how the characters of a file that goes out become bytes, and what stands in for those
//! that its encoding does not have. Nothing is lost without a word: it is told, or refused.

use std::borrow::Cow;
use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::report::quote;
use crate::read::Encoding;

/// The rule that a value breaks by a character that its encoding does not have.
pub const RULE: &str = "encoding";

/// An encoding, ready to write.
#[derive(Debug)]
pub struct Charset {
    /// The encoding.
    pub encoding: Encoding,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Utf8,
    /// The Encoding Standard has no encoder for it (section 4.3, "get an output encoding").
    Utf16 {
        big: bool,
    },
    /// ASCII, and the bytes of the other characters.
    One(HashMap<char, u8>),
    Several(&'static encoding_rs::Encoding),
}

/// How a text fits into a charset.
#[derive(Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does, perhaps composed otherwise.
    Well(String),
    /// With this in the place of what it lacks, the characters named.
    Changed(String, Vec<char>),
    /// It lacks this character, and nothing is near to it.
    Not(char),
}

/// How a format writes a character that the encoding lacks.
pub type Reference = fn(char, &mut String);

impl Charset {
    /// Prepares an encoding.
    pub fn new(encoding: Encoding) -> Charset {
        let bytes = match (encoding, encoding.page()) {
            (_, Some(page)) => {
                // What is no character is no text that could be asked for.
                let known = page.iter().zip(128..=255).filter(|(c, _)| !c.is_ascii());
                Bytes::One(known.map(|(character, byte)| (*character, byte)).collect())
            }
            (Encoding::Whatwg(name), _) if encoding.is_utf_16() => {
                Bytes::Utf16 { big: name == encoding_rs::UTF_16BE }
            }
            (Encoding::Whatwg(name), _) if name != encoding_rs::UTF_8 => Bytes::Several(name),
            _ => Bytes::Utf8,
        };
        Charset { encoding, bytes }
    }

    /// Whether it has every character.
    pub fn is_unicode(&self) -> bool {
        matches!(self.bytes, Bytes::Utf8 | Bytes::Utf16 { .. })
    }

    /// Whether it has a character, so that it is read back as the same.
    pub fn has(&self, character: char) -> bool {
        match &self.bytes {
            Bytes::Utf8 | Bytes::Utf16 { .. } => true,
            Bytes::One(page) => character.is_ascii() || page.contains_key(&character),
            Bytes::Several(_) if matches!(character, ' '..='~' | '\t' | '\n' | '\r') => true,
            // Encoders of Japanese write some signs as others that look like them, and in
            // ISO-2022-JP some in a set (JIS X 0201 Roman) that not every reader knows.
            Bytes::Several(encoding) => {
                let text = character.to_string();
                let (bytes, _, lacks) = encoding.encode(&text);
                let roman = bytes.windows(3).any(|set| set == b"\x1b(J");
                !lacks && !roman && encoding.decode_without_bom_handling(&bytes).0 == text
            }
        }
    }

    /// Makes a text one of characters that it has.
    pub fn fit(&self, text: &str) -> Fit {
        if self.is_unicode() || text.chars().all(|c| self.has(c)) {
            return Fit::Well(text.to_owned());
        }
        let (mut fitting, mut lacking) = (String::with_capacity(text.len()), Vec::new());
        for character in text.nfc() {
            if self.has(character) {
                fitting.push(character);
                continue;
            }
            let Some(near) = self.near(character) else { return Fit::Not(character) };
            fitting.push_str(&near);
            if !lacking.contains(&character) {
                lacking.push(character);
            }
        }
        match lacking.is_empty() {
            true => Fit::Well(fitting),
            false => Fit::Changed(fitting, lacking),
        }
    }

    /// What is nearest to a character that it lacks: the letter without its marks (Unicode Standard
    /// Annex 15, form D), or what people write where they do not have the sign.
    fn near(&self, character: char) -> Option<Cow<'static, str>> {
        let bare: String = character.to_string().nfd().filter(|c| !is_combining_mark(*c)).collect();
        if !bare.chars().eq([character]) {
            let near = bare.chars().map(|c| match self.has(c) {
                true => Some(Cow::Owned(c.to_string())),
                false => self.usual(c).map(Cow::Borrowed),
            });
            return near.collect::<Option<String>>().map(Cow::Owned);
        }
        self.usual(character).map(Cow::Borrowed)
    }

    fn usual(&self, character: char) -> Option<&'static str> {
        let (_, usual) = USUAL.iter().find(|(known, _)| known.contains(character))?;
        Some(*usual)
    }

    /// Appends a text in bytes; what it lacks is written by `reference`. The error is a character
    /// that it lacks where there is no such way.
    pub fn encode(
        &self,
        text: &str,
        reference: Option<Reference>,
        out: &mut Vec<u8>,
    ) -> Result<(), char> {
        let text = match text.chars().find(|c| !self.has(*c)) {
            None => Cow::Borrowed(text),
            Some(lacking) => {
                let reference = reference.ok_or(lacking)?;
                let mut whole = String::with_capacity(text.len() + 16);
                for character in text.chars() {
                    match self.has(character) {
                        true => whole.push(character),
                        false => reference(character, &mut whole),
                    }
                }
                Cow::Owned(whole)
            }
        };
        match &self.bytes {
            Bytes::Utf8 => out.extend_from_slice(text.as_bytes()),
            Bytes::Utf16 { big: true } => {
                out.extend(text.encode_utf16().flat_map(u16::to_be_bytes))
            }
            Bytes::Utf16 { big: false } => {
                out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
            }
            Bytes::One(page) => {
                // An ASCII character is its own byte in each of them.
                let byte = |c: char| page.get(&c).copied().unwrap_or(c as u8);
                out.extend(text.chars().map(byte));
            }
            Bytes::Several(encoding) => out.extend_from_slice(&encoding.encode(&text).0),
        }
        Ok(())
    }

    /// The advice where characters were replaced.
    pub fn changed(&self, fitting: &str, lacking: &[char]) -> String {
        let lacking: Vec<String> = lacking.iter().map(|c| format!("\"{c}\"")).collect();
        let name = self.encoding.name();
        format!("{name} has no {}; written as {}", lacking.join(", "), quote(fitting))
    }

    /// The advice where a character cannot be written.
    pub fn lacks(&self, character: char) -> String {
        format!(
            "{} has no \"{character}\" (U+{:04X}), nor a letter near to it; take it out with clean \
             = [{{ remove = \"{character}\" }}], or name another encoding under [output], such as \
             utf-8",
            self.encoding.name(),
            u32::from(character)
        )
    }

    /// Its name in an XML declaration (XML 1.0, section 4.3.3; for the pages of DOS, IANA's).
    pub fn declared(&self, bom: bool) -> &'static str {
        match self.encoding.name() {
            "UTF-16LE" | "UTF-16BE" if bom => "UTF-16",
            "cp437" => "IBM437",
            "cp850" => "IBM850",
            "cp858" => "IBM00858",
            name => name,
        }
    }
}

/// What stands in for signs that have no letter without marks; after Unicode CLDR's
/// `Latin-ASCII` transform.
const USUAL: [(&str, &str); 26] = [
    ("‘’‚‛′", "'"),
    ("“”„‟″", "\""),
    ("‐‑‒–—―−", "-"),
    ("\u{a0}\u{2002}\u{2003}\u{2007}\u{2008}\u{2009}\u{200a}\u{202f}", " "),
    ("…", "..."),
    ("€", "EUR"),
    ("«", "<<"),
    ("»", ">>"),
    ("ł", "l"),
    ("Ł", "L"),
    ("đð", "d"),
    ("ĐÐ", "D"),
    ("ø", "o"),
    ("Ø", "O"),
    ("ħ", "h"),
    ("Ħ", "H"),
    ("ı", "i"),
    ("ŧ", "t"),
    ("ß", "ss"),
    ("ẞ", "SS"),
    ("æ", "ae"),
    ("Æ", "AE"),
    ("œ", "oe"),
    ("Œ", "OE"),
    ("þ", "th"),
    ("Þ", "TH"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn charset(label: &str) -> Charset {
        Charset::new(Encoding::for_label(label).unwrap())
    }

    fn bytes(label: &str, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        charset(label).encode(text, None, &mut out).unwrap();
        out
    }

    /// Expected values: Python, `"Müller €".encode("cp858")`, ….
    #[test]
    fn characters_become_the_bytes_of_their_encoding() {
        for (label, text, expected) in [
            ("utf-8", "Mü€😀", &b"M\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"[..]),
            ("utf-16le", "M€😀", b"M\0\xac\x20\x3d\xd8\x00\xde"),
            ("utf-16be", "M€😀", b"\0M\x20\xac\xd8\x3d\xde\x00"),
            ("windows-1252", "Müller €", b"M\xfcller \x80"),
            ("iso-8859-15", "Müller €", b"M\xfcller \xa4"),
            ("cp850", "Müller ø", b"M\x81ller \x9b"),
            ("cp858", "Müller €", b"M\x81ller \xd5"),
            ("cp437", "Müller ß", b"M\x81ller \xe1"),
            ("windows-1251", "Порт", b"\xcf\xee\xf0\xf2"),
            ("shift_jis", "港A", b"\x8d\x60A"),
            ("iso-2022-jp", "港A", b"\x1b$B9A\x1b(BA"),
            ("gb18030", "港€😀", b"\xb8\xdb\xa2\xe3\x94\x39\xfc\x36"),
        ] {
            assert_eq!(bytes(label, text), expected, "{label}");
        }
    }

    #[test]
    fn a_character_that_would_be_read_back_as_another_is_none() {
        for (label, character) in [
            ("windows-1252", '\u{81}'),
            ("windows-1252", 'ś'),
            ("cp850", '€'),
            ("cp437", 'Ø'),
            ("shift_jis", '¥'),
            ("shift_jis", '\u{2212}'),
            ("iso-2022-jp", '\u{1b}'),
            ("iso-2022-jp", 'ｱ'),
        ] {
            assert!(!charset(label).has(character), "{label} {character:?}");
        }
        for (label, character) in [("cp858", '€'), ("gb18030", '😀'), ("windows-1252", '…')] {
            assert!(charset(label).has(character), "{label} {character:?}");
        }
    }

    #[test]
    fn a_letter_loses_its_marks_rather_than_its_place() {
        let fit = |label: &str, text: &str| charset(label).fit(text);
        let changed =
            |text: &str, lacking: &[char]| Fit::Changed(text.to_owned(), lacking.to_vec());
        assert_eq!(fit("windows-1252", "Café"), Fit::Well("Café".to_owned()));
        assert_eq!(fit("windows-1252", "Cafe\u{301}"), Fit::Well("Café".to_owned()));
        assert_eq!(
            fit("windows-1252", "Świętosław Đorđe"),
            changed("Swietoslaw Dorde", &['Ś', 'ę', 'ł', 'Đ', 'đ'])
        );
        assert_eq!(
            fit("cp850", "“Étoile” – 5\u{202f}€…"),
            changed("\"Étoile\" - 5 EUR...", &['“', '”', '–', '\u{202f}', '€', '…'])
        );
        assert_eq!(fit("windows-1252", "q\u{303}x"), changed("qx", &['\u{303}']));
        assert_eq!(fit("cp437", "Ǿ"), changed("O", &['Ǿ']));
        assert_eq!(fit("windows-1252", "x²港"), Fit::Not('港'));
        assert_eq!(fit("cp866", "10³"), Fit::Not('³'));
        assert_eq!(fit("utf-16le", "港"), Fit::Well("港".to_owned()));
    }

    #[test]
    fn what_stands_in_is_plain_and_no_sign_is_there_twice() {
        let mut seen = String::new();
        for (signs, usual) in USUAL {
            assert!(usual.is_ascii(), "{usual}");
            for sign in signs.chars() {
                assert!(!sign.is_ascii() && !seen.contains(sign), "{sign:?}");
                seen.push(sign);
            }
        }
    }

    #[test]
    fn a_format_with_references_lacks_nothing() {
        let mut out = Vec::new();
        let reference: Reference = |c, out| out.push_str(&format!("&#{};", u32::from(c)));
        charset("cp850").encode("5 € ü", Some(reference), &mut out).unwrap();
        assert_eq!(out, b"5 &#8364; \x81");
        assert_eq!(charset("cp850").encode("a€", None, &mut out), Err('€'));
        assert_eq!(out, b"5 &#8364; \x81");
    }
}
