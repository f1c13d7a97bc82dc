//! Read: turns bytes into records, as a stream from any indexed offset. Pure: it takes a reader,
//! not a path, and does not know what a record is for.

pub mod text;
mod bounded;
mod lines;
mod trailer;
mod csv;
mod fixed;
mod xml;
mod json;
mod ndjson;
mod excerpt;

use std::io::Read;

use crate::model::Record;
use crate::model::record::Fault;

pub use self::excerpt::excerpt;
pub use self::text::Encoding;

use self::csv::CsvReader;
use self::fixed::FixedReader;
use self::json::JsonReader;
use self::ndjson::NdjsonReader;
use self::text::{Flaw, Mojibake, Text};
use self::trailer::Counted;
use self::xml::XmlReader;

/// How a file of one kind is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialect {
    /// The format and what belongs to it alone.
    pub format: Format,
    /// The encoding if no byte order mark says otherwise.
    pub encoding: Encoding,
}

/// The formats that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Delimited text.
    Csv(Csv),
    /// Lines whose columns stand at fixed characters.
    Fixed(Fixed),
    /// XML whose records are the elements at a path.
    Xml(Xml),
    /// One JSON document: the elements of the array at a path, or a single object.
    Json(Json),
    /// One JSON value a line.
    Ndjson,
}

/// What is particular to a CSV dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csv {
    /// The delimiter, one ASCII byte; none: it is found from the head of the file.
    pub delimiter: Option<u8>,
    /// What encloses fields.
    pub quote: Quote,
    /// Whether the first line after `skip` names the columns; otherwise they are "1", "2", ….
    pub header: bool,
    /// Lines above the header.
    pub skip: u64,
    /// Whether rows with too few or too many fields are padded; otherwise they are faulty.
    pub pad: bool,
    /// The last row, if it counts the others; its count stands in a column, from 1.
    pub trailer: Option<Trailer<usize>>,
}

/// What encloses the fields of a CSV file that hold delimiters or line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// This ASCII byte.
    Sign(u8),
    /// Nothing: quotes are ordinary characters.
    None,
    /// What is found from the head of the file.
    Auto,
}

impl Quote {
    /// The quote or that there is none, where it need not be found.
    fn told(self) -> Option<Option<u8>> {
        match self {
            Quote::Sign(sign) => Some(Some(sign)),
            Quote::None => Some(None),
            Quote::Auto => None,
        }
    }
}

/// The delimiter and the quote of one CSV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Signs {
    /// The delimiter.
    pub delimiter: u8,
    /// The quote, if there is one.
    pub quote: Option<u8>,
}

/// What is particular to a fixed-width dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The columns, in the order in which they stand in a line.
    pub columns: Vec<Column>,
    /// How the header lines above the records start; empty: there are none.
    pub header: Vec<String>,
    /// How the lines start that are records; empty: all lines between header and trailer are.
    pub records: Vec<String>,
    /// The last line, if it counts the records.
    pub trailer: Option<Trailer<Span>>,
    /// Lines above the header.
    pub skip: u64,
    /// Whether what stands behind the last column is passed over; otherwise the line is faulty.
    pub pad: bool,
}

impl Fixed {
    /// The last character of the last column.
    fn width(&self) -> usize {
        self.columns.last().map_or(0, |column| column.span.last())
    }
}

/// A column of a fixed-width line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, as selectors write it.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// A run of characters in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The number of the first, from 1.
    pub start: usize,
    /// How many there are, at least 1.
    pub length: usize,
}

impl Span {
    /// The number of the last character.
    pub fn last(&self) -> usize {
        self.start + self.length - 1
    }
}

/// The last line of a file, below its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer<Place> {
    /// How it starts: one of these. A line that is not the last may start so too, and is a record.
    pub starts_with: Vec<String>,
    /// Where it counts the records, if it does.
    pub count: Option<Place>,
}

/// What is particular to an XML dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xml {
    /// The element path of the records from the root, such as `Orders/Order`; `**` is any depth.
    pub records: String,
    /// Prefixes that `records` and selectors use, with their namespaces.
    pub namespaces: Vec<(String, String)>,
}

/// What is particular to a JSON dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json {
    /// The path to the array of records, dots or slashes between the keys, keys that hold these in
    /// double quotes; empty: the document itself, an array or a single object.
    pub records: String,
}

/// Where in a file a record starts, so that reading can begin there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// The ordinal of the record that starts here, from 1.
    pub ordinal: u64,
    /// Its line, from 1.
    pub line: u64,
    /// Its byte offset in the file as it came.
    pub byte: u64,
}

/// Why a file as a whole cannot be used, and where that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsound {
    /// The rule's name: `encoding`, `truncated`, `xml`, `json`, `header`, `size`, `io`, ….
    pub rule: &'static str,
    /// The line at which it was seen, from 1.
    pub line: u64,
    /// The byte offset at which it was seen.
    pub byte: u64,
    /// What is wrong, shortened where it quotes the file.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

impl std::fmt::Display for Unsound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, byte {}: {}; {}", self.line, self.byte, self.what, self.advice)
    }
}

impl std::error::Error for Unsound {}

/// The largest record that a reader takes, in bytes: what an unclosed quote may swallow.
pub const RECORD_LIMIT: usize = 16 * 1024 * 1024;

/// What a reader learns from the head of a file and needs to read on from a mark of it: the
/// encoding, the columns, the elements around the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layout {
    /// The name of the encoding in use, by the byte order mark or the dialect.
    pub encoding: String,
    /// CSV: the names of the columns, in order.
    pub columns: Vec<String>,
    /// CSV: the signs in use.
    #[serde(default)]
    pub signs: Option<Signs>,
    /// What stands open around the records, outermost first. XML: start tags with their namespaces
    /// alone (`<Orders xmlns:o="urn:x">`). JSON: `{"orders":` for an object and `[` for an array.
    pub around: Vec<String>,
    /// The selectors that ask for what stands above a record, in the order of the mapping.
    #[serde(default)]
    pub asked: Vec<String>,
    /// What stands above the records at the marks, each entry from the mark of this ordinal on.
    #[serde(default)]
    pub above: Vec<(u64, Above)>,
}

/// What was asked of the elements or objects around one record, outermost first: for each, which
/// of the layout's `asked` hit in it before the record, and the text, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Above(pub Vec<Vec<(usize, String)>>);

impl Layout {
    /// Keeps what stands above the record at a mark, behind all marks so far. Marks of which the
    /// same is true share it.
    pub fn note_above(&mut self, ordinal: u64, above: Above) {
        if self.above.last().is_none_or(|(_, last)| *last != above) {
            self.above.push((ordinal, above));
        }
    }

    /// What stands above the record at a mark, if any of it was asked for.
    pub fn above_at(&self, mark: Mark) -> Option<&Above> {
        let behind = self.above.partition_point(|(ordinal, _)| *ordinal <= mark.ordinal);
        self.above[..behind].last().map(|(_, above)| above)
    }
}

impl Format {
    /// Checks the path to the records as a mapping writes it; an error says what is wrong with it.
    pub fn check_records(&self) -> Result<(), String> {
        match self {
            Format::Xml(xml) => xml::check_records(xml),
            Format::Json(json) => json::check_records(json),
            Format::Csv(_) | Format::Fixed(_) | Format::Ndjson => Ok(()),
        }
    }

    /// Checks a selector as a mapping writes it; an error says why no record can have it.
    pub fn check_selector(&self, selector: &str) -> Result<(), String> {
        match self {
            Format::Xml(xml) => xml::check_selector(xml, selector),
            Format::Json(json) => json::check_selector(json, selector),
            Format::Ndjson => ndjson::check_selector(selector),
            Format::Csv(_) | Format::Fixed(_) => Ok(()),
        }
    }

    /// The selectors among these that ask for what stands above a record: in XML and JSON those that
    /// begin with `..`, as `../EDI_DC40/DOCNUM`.
    pub fn above(&self, selectors: &[String]) -> Vec<String> {
        let above = |selector: &&String| selector.split('/').next() == Some("..");
        match self {
            Format::Xml(_) | Format::Json(_) => selectors.iter().filter(above).cloned().collect(),
            Format::Csv(_) | Format::Fixed(_) | Format::Ndjson => Vec::new(),
        }
    }
}

/// A stream of records: `open` reads a file from its start, `resume` from a mark of the same file.
pub struct Reader {
    format: FormatReader,
    encoding: Encoding,
    /// Sees UTF-8 where the encoding is another.
    mojibake: Option<Mojibake>,
}

/// One reader a format.
enum FormatReader {
    Csv(CsvReader),
    Fixed(FixedReader),
    Xml(XmlReader),
    Json(JsonReader),
    Ndjson(NdjsonReader),
}

impl Reader {
    /// Opens a whole file: reads preamble and header, and stands before the first record.
    ///
    /// `selectors` are the mapping's `from` texts; a record's slots are their positions. A
    /// selector that no record of the file can have (a column that the header lacks) is unsound.
    /// Without selectors `next` only finds where records begin and end.
    pub fn open(
        dialect: &Dialect,
        selectors: &[String],
        input: Box<dyn Read + Send>,
    ) -> Result<Reader, Unsound> {
        let (encoding, input) = match &dialect.format {
            Format::Xml(_) => xml::sniff(dialect.encoding, input)?,
            _ => (dialect.encoding, input),
        };
        let text = dialect.format.decoded(Text::open(encoding, input)?);
        let encoding = text.encoding();
        let format = match &dialect.format {
            Format::Csv(csv) => FormatReader::Csv(CsvReader::open(text, csv, selectors)?),
            Format::Fixed(fixed) => FormatReader::Fixed(FixedReader::open(text, fixed, selectors)?),
            Format::Xml(xml) => FormatReader::Xml(XmlReader::open(text, xml, selectors)?),
            Format::Json(json) => FormatReader::Json(JsonReader::open(text, json, selectors)?),
            Format::Ndjson => FormatReader::Ndjson(NdjsonReader::open(text, selectors)?),
        };
        let mut reader = Reader { format, encoding, mojibake: Mojibake::of(encoding) };
        // What stands above the records and names nothing is not mapped.
        reader.take_flaw();
        Ok(reader)
    }

    /// Reads on from `mark`; `input` stands at `mark.byte` of the file that `layout` came from.
    pub fn resume(
        dialect: &Dialect,
        selectors: &[String],
        layout: &Layout,
        mark: Mark,
        input: Box<dyn Read + Send>,
    ) -> Result<Reader, Unsound> {
        if dialect.format.above(selectors) != layout.asked {
            return Err(Unsound {
                rule: "io",
                line: mark.line,
                byte: mark.byte,
                what: "the file was inspected for another mapping".to_owned(),
                advice: "drop it again".to_owned(),
            });
        }
        let encoding = Encoding::for_label(&layout.encoding).unwrap_or(dialect.encoding);
        let text = dialect.format.decoded(Text::resume(encoding, input, mark));
        let format = match &dialect.format {
            Format::Csv(csv) => {
                FormatReader::Csv(CsvReader::resume(text, csv, selectors, layout, mark)?)
            }
            Format::Fixed(fixed) => {
                FormatReader::Fixed(FixedReader::resume(text, fixed, selectors, mark)?)
            }
            Format::Xml(xml) => {
                FormatReader::Xml(XmlReader::resume(text, xml, selectors, layout, mark)?)
            }
            Format::Json(json) => {
                FormatReader::Json(JsonReader::resume(text, json, selectors, layout, mark)?)
            }
            Format::Ndjson => {
                FormatReader::Ndjson(NdjsonReader::resume(text, selectors, layout, mark)?)
            }
        };
        Ok(Reader { format, encoding, mojibake: Mojibake::of(encoding) })
    }

    /// What was learnt from the head of the file.
    pub fn layout(&self) -> Layout {
        match &self.format {
            FormatReader::Csv(csv) => csv.layout(),
            FormatReader::Fixed(fixed) => fixed.layout(),
            FormatReader::Xml(xml) => xml.layout(),
            FormatReader::Json(json) => json.layout(),
            FormatReader::Ndjson(ndjson) => ndjson.layout(),
        }
    }

    /// Whether a mark may stand at the record that was read last. It may not in XML where the
    /// elements around the record are named otherwise than those around the first record, nor where
    /// what bytes mean hangs on those before them.
    pub fn resumable(&self) -> bool {
        !self.encoding.is_stateful()
            && match &self.format {
                FormatReader::Xml(xml) => xml.resumable(),
                FormatReader::Csv(_)
                | FormatReader::Fixed(_)
                | FormatReader::Json(_)
                | FormatReader::Ndjson(_) => true,
            }
    }

    /// The count of the records in the file's trailer, once `next` has told the end.
    fn counted(&self) -> Option<&Counted> {
        match &self.format {
            FormatReader::Csv(csv) => csv.counted(),
            FormatReader::Fixed(fixed) => fixed.counted(),
            FormatReader::Xml(_) | FormatReader::Json(_) | FormatReader::Ndjson(_) => None,
        }
    }

    /// What stands above the record that was read last, for a mark at it.
    pub fn above(&self) -> Above {
        match &self.format {
            FormatReader::Xml(xml) => xml.above(),
            FormatReader::Json(json) => json.above(),
            FormatReader::Csv(_) | FormatReader::Fixed(_) | FormatReader::Ndjson(_) => {
                Above::default()
            }
        }
    }

    /// Fills `record` with the next record; `false` at the sound end of the file. A record with
    /// faults may lack texts, so that there is nothing in it to map.
    pub fn next(&mut self, record: &mut Record) -> Result<bool, Unsound> {
        let more = match &mut self.format {
            FormatReader::Csv(csv) => csv.next(record),
            FormatReader::Fixed(fixed) => fixed.next(record),
            FormatReader::Xml(xml) => xml.next(record),
            FormatReader::Json(json) => json.next(record),
            FormatReader::Ndjson(ndjson) => ndjson.next(record),
        }?;
        if !more {
            return Ok(false);
        }
        if let Some(flaw) = self.take_flaw() {
            // What else seems wrong with the record may come of these bytes.
            let fault = Fault {
                rule: flaw.unsound.rule,
                value: flaw.value,
                advice: flaw.unsound.to_string(),
            };
            record.faults = vec![fault];
        } else if let Some((seen, meant)) =
            self.mojibake.as_ref().and_then(|mojibake| mojibake.find(record.text()))
        {
            let name = self.encoding.name();
            record.warnings.push(Fault {
                rule: "encoding",
                value: seen.to_owned(),
                advice: format!(
                    "in UTF-8 this is {meant}: if the file is UTF-8 and not {name}, name that as \
                     its encoding under [input] in the mapping"
                ),
            });
        }
        Ok(true)
    }

    /// The first undecodable bytes since this was asked last, in the formats that pass over them.
    fn take_flaw(&mut self) -> Option<Flaw> {
        match &mut self.format {
            FormatReader::Csv(csv) => csv.take_flaw(),
            FormatReader::Fixed(fixed) => fixed.take_flaw(),
            FormatReader::Ndjson(ndjson) => ndjson.take_flaw(),
            FormatReader::Xml(_) | FormatReader::Json(_) => None,
        }
    }
}

impl Format {
    /// Lets undecodable bytes be faults of single records where lines make it certain which record
    /// they belong to. In one document nothing behind them is certain.
    fn decoded(&self, text: Text) -> Text {
        match self {
            Format::Csv(_) | Format::Fixed(_) | Format::Ndjson => text.lenient(),
            Format::Xml(_) | Format::Json(_) => text,
        }
    }
}

#[cfg(test)]
mod tests;
