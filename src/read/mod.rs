//! Read: turns bytes into records, as a stream from any indexed offset. Pure: it takes a reader,
//! not a path, and does not know what a record is for.

pub mod text;

use std::io::Read;

use encoding_rs::Encoding;

use crate::model::Record;

/// How a file of one kind is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialect {
    /// The format and what belongs to it alone.
    pub format: Format,
    /// The encoding if no byte order mark says otherwise.
    pub encoding: &'static Encoding,
}

/// The formats that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Delimited text.
    Csv(Csv),
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
    /// The delimiter, one ASCII byte.
    pub delimiter: u8,
    /// The quote, or none: then quotes are ordinary characters.
    pub quote: Option<u8>,
    /// Whether the first line after `skip` names the columns; otherwise they are "1", "2", ….
    pub header: bool,
    /// Lines above the header.
    pub skip: u64,
    /// Whether rows with too few or too many fields are padded; otherwise they are faulty.
    pub pad: bool,
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
    /// The path to the array of records, dots or slashes between the keys; empty: the document
    /// itself, an array or a single object.
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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layout {
    /// The name of the encoding in use, by the byte order mark or the dialect.
    pub encoding: String,
    /// CSV: the names of the columns, in order.
    pub columns: Vec<String>,
}

/// A stream of records: `open` reads a file from its start, `resume` from a mark of the same file.
pub struct Reader;

impl Reader {
    /// Opens a whole file: reads preamble and header, and stands before the first record.
    ///
    /// `selectors` are the mapping's `from` texts; a record's slots are their positions. A
    /// selector that no record of the file can have (a column that the header lacks) is unsound.
    pub fn open(
        _dialect: &Dialect,
        _selectors: &[String],
        _input: Box<dyn Read + Send>,
    ) -> Result<Reader, Unsound> {
        todo!()
    }

    /// Reads on from `mark`; `input` stands at `mark.byte` of the file that `layout` came from.
    pub fn resume(
        _dialect: &Dialect,
        _selectors: &[String],
        _layout: &Layout,
        _mark: Mark,
        _input: Box<dyn Read + Send>,
    ) -> Result<Reader, Unsound> {
        todo!()
    }

    /// What was learnt from the head of the file.
    pub fn layout(&self) -> Layout {
        todo!()
    }

    /// Fills `record` with the next record; `false` at the sound end of the file.
    pub fn next(&mut self, _record: &mut Record) -> Result<bool, Unsound> {
        todo!()
    }
}
