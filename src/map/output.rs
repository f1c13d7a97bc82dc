//! Output: the format that messages are written in, what stands around their records, and a
//! mapping's fields in the form that the format wants.

use super::Direction;
use super::element::{Element, is_name, push_text};
use super::field::{Field, Target};
use super::report::Report;
use super::row::Row;
use super::shape::Shape;
use super::style::Style;
use crate::config::Section;

/// How a message, or a file that goes out, is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// An array of records; with `batch.records = 1` one object.
    Json,
    /// One object a line.
    Ndjson,
    /// One document: a root element that holds an element for each record.
    Xml,
    /// A header line and a line for each record.
    Csv,
}

const OUTPUTS: [(&str, Output); 4] = [
    ("json", Output::Json),
    ("ndjson", Output::Ndjson),
    ("xml", Output::Xml),
    ("csv", Output::Csv),
];

/// What stands around the records of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Before the first record.
    pub head: Vec<u8>,
    /// Between two records.
    pub between: Vec<u8>,
    /// Behind each record.
    pub behind: Vec<u8>,
    /// Behind the last record.
    pub foot: Vec<u8>,
}

/// The `[output]` of a mapping.
#[derive(Debug)]
pub struct Settings {
    /// The format.
    pub output: Output,
    /// The name of the document's element; XML only, as what follows.
    root: String,
    /// The name of a record's element.
    record: String,
    /// What these names belong to.
    namespace: Option<String>,
    /// How all that becomes bytes.
    pub style: Style,
}

/// A mapping's fields, ready to write a record.
#[derive(Debug)]
pub enum Form {
    /// A JSON object.
    Object(Shape),
    /// An XML element.
    Element(Element),
    /// A line of CSV.
    Row(Row),
}

impl Output {
    /// The word in a mapping.
    pub fn word(self) -> &'static str {
        match self {
            Output::Json => "json",
            Output::Ndjson => "ndjson",
            Output::Xml => "xml",
            Output::Csv => "csv",
        }
    }

    /// Whether a record has the shape of a JSON object, which the SCR API's calls are made of.
    pub fn is_json(self) -> bool {
        matches!(self, Output::Json | Output::Ndjson)
    }

    /// Whether a message may be announced as this media type; one that says nothing of the format
    /// fits all. One that says another encoding fits none.
    pub fn fits(self, media_type: &str) -> bool {
        let mut parts = media_type.split(';').map(|part| part.trim().to_ascii_lowercase());
        let essence = parts.next().unwrap_or_default();
        let mut charsets = parts.filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            (name.trim_end() == "charset").then(|| value.trim().trim_matches('"').to_owned())
        });
        announced(&essence).is_none_or(|output| output == self)
            && charsets.all(|charset| charset == "utf-8")
    }
}

/// The format that a media type speaks of, without its parameters and in lower case. That `+json`
/// and `+xml` name the format is said in RFC 6839, section 3, and RFC 7303, section 4.2.
fn announced(essence: &str) -> Option<Output> {
    let has = |words: &[&str]| words.iter().any(|word| essence.contains(word));
    if has(&["ndjson", "jsonl", "json-lines", "json-seq"]) {
        Some(Output::Ndjson)
    } else if essence.ends_with("/json") || essence.ends_with("+json") {
        Some(Output::Json)
    } else if has(&["xml"]) {
        Some(Output::Xml)
    } else if has(&["csv"]) {
        Some(Output::Csv)
    } else {
        None
    }
}

impl Settings {
    /// Reads `[output]`; faults are noted.
    pub fn parse(root: &mut Section, direction: Direction) -> Option<Settings> {
        let plain = |output| Settings {
            output,
            root: String::new(),
            record: String::new(),
            namespace: None,
            style: Style::default(),
        };
        let Some(mut section) = root.section("output") else {
            return (!root.has("output")).then(|| plain(Output::Json));
        };
        let output = match section.text("format").as_deref() {
            None if section.has("format") => None,
            None => Some(Output::Json),
            Some(word) => {
                let known = OUTPUTS.iter().find(|(known, _)| *known == word);
                if known.is_none() {
                    let words = OUTPUTS.map(|(word, _)| word).join(", ");
                    section
                        .error("format", format!("unknown format \"{word}\": known are {words}"));
                }
                known.map(|(_, output)| *output)
            }
        };
        let settings = match output {
            Some(Output::Xml) => xml(&mut section),
            other => {
                for key in ["root", "record", "namespace"] {
                    if section.has(key) && other.is_some() {
                        section.error(key, format!("{key} goes with the format xml"));
                    }
                }
                other.map(plain)
            }
        };
        let style = Style::parse(&mut section, direction, output);
        let mut settings = settings?;
        settings.style = style?;
        if output == Some(Output::Xml) {
            for (key, name) in [("root", &settings.root), ("record", &settings.record)] {
                settings.style.look_at_name(&section, key, name);
            }
        }
        section.finish();
        Some(settings)
    }

    /// What stands around the records of a message.
    pub fn frame(&self, form: &Form) -> Frame {
        let style = &self.style;
        match form {
            Form::Object(_) if self.output == Output::Json => Frame {
                head: b"[".to_vec(),
                between: b",".to_vec(),
                foot: b"]".to_vec(),
                ..Frame::default()
            },
            Form::Object(_) => Frame { behind: b"\n".to_vec(), ..Frame::default() },
            Form::Element(_) => {
                let encoding = style.charset.declared(style.bom);
                let mut head =
                    format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n<{}", self.root)
                        .into_bytes();
                if let Some(namespace) = &self.namespace {
                    head.extend_from_slice(b" xmlns=\"");
                    // It was looked at when it was read.
                    let _ = push_text(namespace, &mut head);
                    head.push(b'"');
                }
                head.extend_from_slice(b">\n");
                let foot = format!("</{}>\n", self.root).into_bytes();
                Frame { head, behind: b"\n".to_vec(), foot, ..Frame::default() }
            }
            Form::Row(row) => {
                let behind = style.line_end.as_bytes().to_vec();
                let head = match style.header {
                    true => [row.header(), behind.clone()].concat(),
                    false => Vec::new(),
                };
                Frame { head, behind, ..Frame::default() }
            }
        }
    }

    /// The fields in the form that the format wants.
    pub fn form(&self, fields: Vec<(Target, Field)>) -> Form {
        match self.output {
            Output::Json | Output::Ndjson => {
                let mut shape = Shape::default();
                for (target, field) in fields {
                    shape.add(&target.path, field);
                }
                Form::Object(shape)
            }
            Output::Xml => {
                let mut element = Element::new(&self.record);
                for (target, field) in fields {
                    element.add(&target.path, field);
                }
                Form::Element(element)
            }
            Output::Csv => {
                let mut row = Row::new(self.style.signs);
                for (target, field) in fields {
                    row.add(target.path.join("."), field);
                }
                Form::Row(row)
            }
        }
    }
}

impl Frame {
    /// The same in the bytes of a file that is written so. One that stands alone in its file has
    /// nothing around it but the byte order mark.
    pub fn in_style(&self, style: &Style, output: Output) -> Frame {
        let bytes = |text: &[u8]| style.bytes(text, output);
        let mark = if style.bom { bytes("\u{feff}".as_bytes()) } else { Vec::new() };
        Frame {
            head: [mark, bytes(&self.head)].concat(),
            between: bytes(&self.between),
            behind: bytes(&self.behind),
            foot: bytes(&self.foot),
        }
    }
}

fn xml(section: &mut Section) -> Option<Settings> {
    let mut name = |key: &str| {
        let name = section.required(key)?;
        if !is_name(&name) {
            let what = format!("{key} is \"{name}\", which cannot be the name of an XML element");
            section.error(key, what);
            return None;
        }
        Some(name)
    };
    let (root, record) = (name("root"), name("record"));
    let namespace = section.filled("namespace");
    if let Some(namespace) = &namespace
        && push_text(namespace, &mut Vec::new()).is_err()
    {
        section.error("namespace", "namespace holds a character that XML does not know");
    }
    Some(Settings {
        output: Output::Xml,
        root: root?,
        record: record?,
        namespace,
        style: Style::default(),
    })
}

impl Form {
    /// Appends a record; problems are noted.
    pub fn write(&self, report: &mut Report<'_>, out: &mut Vec<u8>) {
        match self {
            Form::Object(shape) => {
                shape.write(report, out);
            }
            Form::Element(element) => element.write_record(report, out),
            Form::Row(row) => row.write(report, out),
        }
    }

    /// The fields that write this path of a JSON object.
    pub fn fields_of(&self, path: &[&str]) -> &[Field] {
        match self {
            Form::Object(shape) => shape.fields_of(path),
            Form::Element(_) | Form::Row(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_fits_the_media_types_that_announce_it() {
        let fitting = |media_type: &str| {
            let fit = OUTPUTS.iter().filter(|(_, output)| output.fits(media_type));
            fit.map(|(word, _)| *word).collect::<Vec<_>>().join(" ")
        };
        for (media_type, outputs) in [
            ("application/json", "json"),
            ("application/vnd.x+json; charset=utf-8", "json"),
            ("application/x-ndjson", "ndjson"),
            ("application/jsonl", "ndjson"),
            ("application/xml", "xml"),
            ("text/xml; charset=\"UTF-8\"", "xml"),
            ("application/vnd.port.order+XML", "xml"),
            ("text/csv; header=present", "csv"),
            ("text/plain", "json ndjson xml csv"),
            ("application/octet-stream", "json ndjson xml csv"),
            ("text/xml;charset=iso-8859-1", ""),
            ("text/csv; header=present; Charset = windows-1252", ""),
        ] {
            assert_eq!(fitting(media_type), outputs, "{media_type}");
        }
    }
}
