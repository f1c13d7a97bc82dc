//! Encoding: how the bytes of a file stand for characters, found by the label that a mapping or an
//! XML declaration gives.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, GB18030, GBK, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE,
    X_USER_DEFINED,
};

/// What stands in decoded text where a byte is no character: the control character SUBSTITUTE,
/// which is there "in the place of a character that has been found to be invalid or in error"
/// (ECMA-48, section 8.3.148).
pub(in crate::read) const SUBSTITUTE: char = '\u{1A}';

/// One way of writing characters as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One of the WHATWG Encoding Standard.
    Whatwg(&'static encoding_rs::Encoding),
    /// A code page of DOS, which that standard does not have.
    Dos(DosPage),
}

/// A code page of DOS, as IANA's list of character sets names it: IBM437, IBM850, IBM00858.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DosPage {
    /// United States.
    Cp437,
    /// Western Europe.
    Cp850,
    /// Western Europe with the euro sign.
    Cp858,
}

impl From<&'static encoding_rs::Encoding> for Encoding {
    fn from(encoding: &'static encoding_rs::Encoding) -> Encoding {
        Encoding::Whatwg(encoding)
    }
}

impl Encoding {
    /// UTF-8, which is meant where nothing else is said.
    pub const UTF_8: Encoding = Encoding::Whatwg(UTF_8);

    /// The encoding of this label (WHATWG Encoding Standard, section 4.2; IANA's names for the
    /// pages of DOS). None for a label that is unknown, or that names nothing a file is written
    /// in: `replacement` and `x-user-defined`.
    pub fn for_label(label: &str) -> Option<Encoding> {
        match label.trim_ascii().to_ascii_lowercase().as_str() {
            "cp437" | "ibm437" => Some(Encoding::Dos(DosPage::Cp437)),
            "cp850" | "ibm850" => Some(Encoding::Dos(DosPage::Cp850)),
            "cp858" | "ibm858" | "ibm00858" => Some(Encoding::Dos(DosPage::Cp858)),
            other => encoding_rs::Encoding::for_label_no_replacement(other.as_bytes())
                .filter(|encoding| *encoding != X_USER_DEFINED)
                .map(Encoding::Whatwg),
        }
    }

    /// The name under which `for_label` finds it again.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Whatwg(encoding) => encoding.name(),
            Encoding::Dos(DosPage::Cp437) => "cp437",
            Encoding::Dos(DosPage::Cp850) => "cp850",
            Encoding::Dos(DosPage::Cp858) => "cp858",
        }
    }

    /// A piece of a file for a person's eyes: what is no character shows as U+FFFD.
    pub fn shown(self, bytes: &[u8]) -> String {
        let page = match self {
            Encoding::Whatwg(encoding) => {
                return encoding.decode_without_bom_handling(bytes).0.into_owned();
            }
            Encoding::Dos(page) => page.characters(),
        };
        let character = |byte: &u8| match byte.checked_sub(128) {
            Some(high) => page[usize::from(high)],
            None => char::from(*byte),
        };
        bytes.iter().map(character).collect()
    }

    /// The characters of the bytes from 80 on, where every byte is a character; SUBSTITUTE stands
    /// for none.
    pub fn page(self) -> Option<Box<[char; 128]>> {
        match self.units() {
            Units::One(page) => Some(page),
            Units::Utf8 | Units::Utf16(_) | Units::Several(_) => None,
        }
    }

    /// How many bytes make a character.
    pub(super) fn units(self) -> Units {
        match self {
            Encoding::Whatwg(encoding) if encoding == UTF_8 => Units::Utf8,
            Encoding::Whatwg(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => {
                Units::Utf16(encoding)
            }
            Encoding::Whatwg(encoding)
                if [BIG5, EUC_JP, EUC_KR, GB18030, GBK, ISO_2022_JP, SHIFT_JIS]
                    .contains(&encoding) =>
            {
                Units::Several(encoding)
            }
            Encoding::Whatwg(encoding) => Units::One(Box::new(page(encoding))),
            Encoding::Dos(page) => Units::One(Box::new(*page.characters())),
        }
    }

    /// Whether what a byte means hangs on bytes far before it, so that reading cannot begin in
    /// the middle of a file (ISO-2022-JP: RFC 1468).
    pub fn is_stateful(self) -> bool {
        self == Encoding::Whatwg(ISO_2022_JP)
    }

    /// Whether two bytes make a unit.
    pub fn is_utf_16(self) -> bool {
        matches!(self, Encoding::Whatwg(encoding) if encoding == UTF_16LE || encoding == UTF_16BE)
    }
}

impl DosPage {
    /// The characters of the bytes from 80 on.
    fn characters(self) -> &'static [char; 128] {
        match self {
            DosPage::Cp437 => &oem_cp::code_table::DECODING_TABLE_CP437,
            DosPage::Cp850 => &oem_cp::code_table::DECODING_TABLE_CP850,
            DosPage::Cp858 => &oem_cp::code_table::DECODING_TABLE_CP858,
        }
    }
}

/// How many bytes make a character.
pub(super) enum Units {
    Utf8,
    Utf16(&'static encoding_rs::Encoding),
    /// Always one: the characters of the bytes from 80 on.
    One(Box<[char; 128]>),
    /// One to four, up to the character.
    Several(&'static encoding_rs::Encoding),
}

/// The characters of the bytes from 80 on.
///
/// The WHATWG standard fills the gaps of the Windows pages with C1 control characters, and ISO 8859
/// has these in 80 to 9F. No text holds them but NEXT LINE (85): where one is found, the page is
/// the wrong one, so that they count as undecodable.
fn page(encoding: &'static encoding_rs::Encoding) -> [char; 128] {
    std::array::from_fn(|n| {
        let byte = [128 + n as u8];
        let text = encoding.decode_without_bom_handling_and_without_replacement(&byte);
        match text.and_then(|text| text.chars().next()) {
            Some('\u{80}'..='\u{84}' | '\u{86}'..='\u{9F}') | None => SUBSTITUTE,
            Some(character) => character,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_find_encodings_and_names_find_them_again() {
        for (label, name) in [
            ("latin1", "windows-1252"),
            (" UTF8 ", "UTF-8"),
            ("utf-16", "UTF-16LE"),
            ("sjis", "Shift_JIS"),
            ("gb2312", "GBK"),
            ("CP850", "cp850"),
            ("IBM00858", "cp858"),
            ("cp437", "cp437"),
            ("cp866", "IBM866"),
        ] {
            let encoding = Encoding::for_label(label).unwrap();
            assert_eq!(encoding.name(), name);
            assert_eq!(Encoding::for_label(name), Some(encoding));
        }
        for label in ["replacement", "iso-2022-kr", "x-user-defined", "ansi", ""] {
            assert_eq!(Encoding::for_label(label), None, "{label}");
        }
    }

    /// Expected values: Python's codecs (`bytes(range(128, 256)).decode("cp850")`, …).
    #[test]
    fn the_pages_of_dos_are_those_of_python() {
        let cp437 = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
        let cp850 = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";
        let cp858 = cp850.replace('ı', "€");
        for (label, expected) in [("cp437", cp437), ("cp850", cp850), ("cp858", cp858.as_str())] {
            let Units::One(page) = Encoding::for_label(label).unwrap().units() else { panic!() };
            assert_eq!(page.iter().collect::<String>(), expected, "{label}");
        }
    }

    #[test]
    fn a_piece_of_a_file_is_shown_in_its_own_encoding() {
        for (label, bytes, expected) in [
            ("cp850", &b"M\x81ller \x9d"[..], "Müller Ø"),
            ("cp437", b"M\x81ller \x9d", "Müller ¥"),
            ("windows-1252", b"M\xfcller", "Müller"),
            ("utf-8", b"M\xfcller", "M\u{FFFD}ller"),
        ] {
            assert_eq!(Encoding::for_label(label).unwrap().shown(bytes), expected, "{label}");
        }
    }

    #[test]
    fn control_characters_of_a_page_are_no_text() {
        let Units::One(page) = Encoding::for_label("windows-1252").unwrap().units() else {
            panic!()
        };
        let none: Vec<usize> =
            (0..128).filter(|n| page[*n] == SUBSTITUTE).map(|n| n + 128).collect();
        assert_eq!(none, [0x81, 0x8D, 0x8F, 0x90, 0x9D]);
    }
}
