//! Style: how the bytes of a file that goes out are written. Messages to the port have one style,
//! the default; a mapping with `direction = "out"` names that of the customer's system.

use std::sync::Arc;

use super::charset::{Charset, Reference};
use super::input::{encoding, tabular};
use super::output::Output;
use super::row::Signs;
use super::{Direction, Mapping};
use crate::config::Section;
use crate::read::Encoding;

/// How texts become bytes, and what a CSV file is made of.
#[derive(Clone, Debug)]
pub struct Style {
    /// The encoding.
    pub charset: Arc<Charset>,
    /// Whether a byte order mark stands in front.
    pub bom: bool,
    /// CSV: delimiter and quote.
    pub signs: Signs,
    /// CSV: whether the first line names the columns.
    pub header: bool,
    /// CSV: what ends a line.
    pub line_end: &'static str,
}

/// Which keys go with which formats; `format`, `encoding` and `bom` go with all.
const OF_CSV: [&str; 4] = ["delimiter", "quote", "header", "line_end"];

impl Default for Style {
    /// RFC 4180 and RFC 8259: UTF-8, commas, CRLF.
    fn default() -> Style {
        Style {
            charset: Arc::new(Charset::new(Encoding::UTF_8)),
            bom: false,
            signs: Signs::COMMA,
            header: true,
            line_end: "\r\n",
        }
    }
}

impl Style {
    /// Reads the keys of `[output]` that only files for the customer's system may have; faults are
    /// noted.
    pub fn parse(
        section: &mut Section,
        direction: Direction,
        output: Option<Output>,
    ) -> Option<Style> {
        let mut style = Style::default();
        if direction == Direction::In {
            for key in ["encoding", "bom"].into_iter().chain(OF_CSV) {
                if section.has(key) {
                    let what = format!("{key} goes with direction = \"out\", at the file's top");
                    section.error(key, what);
                }
            }
            return Some(style);
        }
        for key in OF_CSV {
            if section.has(key) && output.is_some_and(|output| output != Output::Csv) {
                section.error(key, format!("{key} goes with the format csv"));
            }
        }
        let encoding = encoding(section);
        style.charset = Arc::new(Charset::new(encoding));
        // XML 1.0, section 4.3.3, demands it of UTF-16; and nothing else tells readers.
        style.bom = section.boolean("bom").unwrap_or(encoding.is_utf_16());
        if style.bom && !style.charset.is_unicode() {
            let what = format!("{} has no byte order mark", encoding.name());
            section.error("bom", what);
        }
        if let Some(text) = section.text("delimiter") {
            style.signs.delimiter = tabular::sign(section, "delimiter", &text)?;
        }
        style.signs.quote = match section.text("quote").as_deref() {
            None => style.signs.quote,
            Some("none") => None,
            Some(text) => Some(tabular::sign(section, "quote", text)?),
        };
        if style.signs.quote == Some(style.signs.delimiter) {
            section.error("quote", "quote and delimiter are the same");
        }
        style.header = section.boolean("header").unwrap_or(true);
        let ends = [("crlf", "\r\n"), ("lf", "\n")];
        style.line_end = section.choice("line_end", &ends).unwrap_or("\r\n");
        Some(style)
    }

    /// Notes a name that the encoding cannot write.
    pub fn look_at_name(&self, section: &Section, key: &str, name: &str) {
        if let Some(lacking) = name.chars().find(|c| !self.charset.has(*c)) {
            let what = format!(
                "{key} is \"{name}\": {} has no \"{lacking}\"",
                self.charset.encoding.name()
            );
            section.error(key, what);
        }
    }

    /// Notes a `to` that cannot stand in a file of this format and style.
    pub fn look_at_target(&self, section: &Section, to: &str, output: Output) {
        match output {
            Output::Json | Output::Ndjson => {}
            Output::Xml => self.look_at_name(section, "to", to),
            Output::Csv if self.header => {
                self.look_at_name(section, "to", to);
                if let Err((_, advice)) = self.signs.push_cell(to, &mut Vec::new()) {
                    section.error("to", format!("to is \"{to}\": {advice}"));
                }
            }
            Output::Csv => {}
        }
    }

    /// Bytes of UTF-8 in the encoding of the file.
    pub fn bytes(&self, text: &[u8], output: Output) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        // Texts are looked at when they are set, so that nothing is lacking here.
        let _ = self.append(text, output, &mut out);
        out
    }

    /// Appends UTF-8 in the encoding of the file; the error is a character that it lacks and that
    /// the format has no other way to write.
    pub fn append(&self, text: &[u8], output: Output, out: &mut Vec<u8>) -> Result<(), char> {
        let reference: Option<Reference> = match output {
            Output::Json | Output::Ndjson => Some(json_reference),
            Output::Xml => Some(xml_reference),
            Output::Csv => None,
        };
        self.charset.encode(&String::from_utf8_lossy(text), reference, out)
    }
}

/// RFC 8259, section 7: outside texts JSON is ASCII.
fn json_reference(character: char, out: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

/// XML 1.0, section 4.1: in texts and the values of attributes; names are looked at before.
fn xml_reference(character: char, out: &mut String) {
    out.push_str(&format!("&#{};", u32::from(character)));
}

impl Mapping {
    /// What was written, for a person's eyes: in UTF-8, without a byte order mark.
    pub fn shown(&self, bytes: Vec<u8>) -> Vec<u8> {
        if self.direction == Direction::In {
            return bytes;
        }
        let text = self.style.charset.encoding.shown(&bytes);
        text.trim_start_matches('\u{feff}').into()
    }
}
