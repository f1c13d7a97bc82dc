//! Trailer: the last line of a file, which counts its records. A count that disagrees, or a trailer
//! that is missing, makes the file unsound.

use encoding_rs::{UTF_16BE, UTF_16LE};

use super::text::Text;
use super::{Layout, Unsound};

/// A trailer line in view: where its count stands in the line, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// The text of the count, blanks around it included.
    text: String,
    /// Where the text stands in the file, and how many bytes it takes.
    pub(super) byte: u64,
    pub(super) length: u64,
    /// Whether what stands behind the count must stay where it is.
    keeps_width: bool,
}

impl Counted {
    /// The count in the line that the text stands at: the bytes `start..end` in view.
    pub(super) fn at(text: &Text, start: usize, end: usize, keeps_width: bool) -> Counted {
        let byte = text.place_ahead(start).1;
        let length = text.place_ahead(end).1 - byte;
        let text = text.ahead().get(start..end).unwrap_or_default().to_owned();
        Counted { text, byte, length, keeps_width }
    }

    /// Compares the count with the number of records that were read.
    pub(super) fn check(&self, records: u64, line: u64) -> Result<(), Unsound> {
        let text = self.text.trim_ascii();
        let (what, advice) = match text.parse::<u64>() {
            Ok(count) if count == records => return Ok(()),
            Ok(count) => (
                format!("the trailer counts {count} records, but the file holds {records}"),
                format!(
                    "the trailer counts {count} records and the file holds {records}: see whether \
                     the file is whole, and send it again"
                ),
            ),
            Err(_) => (
                format!("the trailer's count is \"{}\", which is no number", short(text)),
                "name the place of the count in the mapping's trailer, or send the whole file again"
                    .to_owned(),
            ),
        };
        Err(Unsound { rule: "trailer", line, byte: self.byte, what, advice })
    }

    /// The bytes of the same text with another count, in a file of this layout.
    pub(super) fn encoded(&self, records: u64, layout: &Layout) -> Vec<u8> {
        // Digits and blanks are ASCII, which every encoding that is read keeps, but for UTF-16.
        let text = self.recount(records);
        match layout.encoding.as_str() {
            name if name == UTF_16LE.name() => {
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            }
            name if name == UTF_16BE.name() => {
                text.encode_utf16().flat_map(u16::to_be_bytes).collect()
            }
            _ => text.into_bytes(),
        }
    }

    /// The same text with another count. Leading zeros stay as wide as they were; so does the
    /// whole where columns have a fixed width.
    fn recount(&self, records: u64) -> String {
        let old = self.text.trim_ascii();
        let (before, after) = self.text.split_once(old).unwrap_or_default();
        let fills = self.keeps_width && before.is_empty() && after.is_empty();
        let width = if old.starts_with('0') || fills { old.len() } else { 0 };
        let new = format!("{records:0width$}");
        // What a shorter number leaves free becomes blank on the side where blanks are.
        let free = if self.keeps_width { old.len().saturating_sub(new.len()) } else { 0 };
        match after.is_empty() {
            true => format!("{before}{:free$}{new}", ""),
            false => format!("{before}{new}{:free$}{after}", ""),
        }
    }
}

/// The file ends without its trailer.
pub(super) fn missing(starts_with: &[String], records: u64, line: u64, byte: u64) -> Unsound {
    let starts: Vec<String> = starts_with.iter().map(|start| format!("\"{start}\"")).collect();
    Unsound {
        rule: "trailer",
        line,
        byte,
        what: format!(
            "the last line is no trailer: it does not start with {}",
            starts.join(" or ")
        ),
        advice: format!(
            "{records} records stand in the file, and no trailer below them: see whether the file \
             was cut off, and send it again"
        ),
    }
}

/// The trailer has no place for its count.
pub(super) fn without_count(what: String, line: u64, byte: u64) -> Unsound {
    let advice = "name the place of the count in the mapping's trailer, or correct the line";
    Unsound { rule: "trailer", line, byte, what, advice: advice.to_owned() }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recounted(text: &str, keeps_width: bool, records: u64) -> String {
        let text = text.to_owned();
        Counted { length: text.len() as u64, text, byte: 0, keeps_width }.recount(records)
    }

    #[test]
    fn a_recounted_text_looks_like_the_old_one() {
        for (old, keeps_width, records, new) in [
            ("12", false, 3, "3"),
            ("12", false, 12, "12"),
            ("0012", false, 3, "0003"),
            (" 12 ", false, 3, " 3 "),
            ("0", false, 0, "0"),
            ("000012", true, 3, "000003"),
            ("123456", true, 3, "000003"),
            ("    12", true, 3, "     3"),
            ("12    ", true, 3, "3     "),
            ("0012  ", true, 3, "0003  "),
            (" 12 ", true, 3, " 3  "),
        ] {
            assert_eq!(recounted(old, keeps_width, records), new, "{old:?}");
        }
    }

    #[test]
    fn a_count_is_compared_as_a_number() {
        let check = |text: &str, records| {
            let text = text.to_owned();
            Counted { length: 1, text, byte: 7, keeps_width: false }.check(records, 9)
        };
        assert_eq!(check(" 0012 ", 12), Ok(()));
        let fault = check("13", 12).unwrap_err();
        assert_eq!((fault.rule, fault.line, fault.byte), ("trailer", 9, 7));
        assert_eq!(fault.what, "the trailer counts 13 records, but the file holds 12");
        assert!(check("1.2", 12).unwrap_err().what.contains("\"1.2\", which is no number"));
        assert!(check("", 0).is_err());
    }
}
