//! CSV records (RFC 4180, and what is met beside it): rows under a header or numbered columns.

mod columns;
mod row;
mod signs;

use std::io::BufRead;

use crate::model::record::Fault;
use crate::model::{Place, Record};

use self::columns::{Columns, Names};
use self::row::{Row, Split, Splitter};
use super::bounded::beginning;
use super::text::{Flaw, Text};
use super::trailer::{self, Counted};
use super::{Csv, Layout, Mark, RECORD_LIMIT, Signs, Trailer, Unsound, lines};

/// A stream of rows. Empty lines and lines of separators only are no records.
pub(super) struct CsvReader {
    text: Text,
    splitter: Splitter,
    columns: Columns,
    /// For each selector the column it means; none of a file without rows.
    slots: Vec<usize>,
    pad: bool,
    trailer: Option<Trailer<usize>>,
    counted: Option<Counted>,
    ordinal: u64,
}

impl CsvReader {
    pub(super) fn open(
        mut text: Text,
        dialect: &Csv,
        selectors: &[String],
    ) -> Result<Self, Unsound> {
        let first = lines::next(&mut text)?;
        let named = first.and_then(|line| signs::named(&text.ahead()[..line.content]));
        let skip = if named.is_some() { dialect.skip.max(1) } else { dialect.skip };
        let preamble = lines::skip(&mut text, skip)?;
        text.take_flaw();
        let signs = signs::find(&mut text, dialect, named)?;
        let mut reader = CsvReader::at(text, dialect, signs, 1)?;
        let first = reader.row()?;
        let place = (reader.text.line(), reader.text.byte());
        let Some(row) = first else {
            // A file without any text has no records; one that stops short of its header is cut.
            return match preamble && dialect.header {
                false => Ok(reader),
                true => Err(Unsound {
                    rule: "header",
                    line: place.0,
                    byte: place.1,
                    what: "the file ends before its header".to_owned(),
                    advice: format!(
                        "see whether the file is whole, and whether {} lines stand above its header",
                        dialect.skip
                    ),
                }),
            };
        };
        if !dialect.header && reader.is_trailer(row)? {
            return Ok(reader);
        }
        let ahead = reader.text.ahead();
        let fields = reader.splitter.fields(ahead, row);
        if dialect.header {
            let names = (0..fields).map(|n| reader.splitter.field(ahead, row, n));
            reader.columns = Columns::named(names);
            reader.consume(row);
            if let Some(flaw) = reader.text.take_flaw() {
                return Err(flaw.unsound);
            }
        } else {
            reader.columns = Columns::numbered(fields);
        }
        reader.slots = reader.columns.slots(selectors).map_err(|(what, mut advice)| {
            if dialect.delimiter.is_none() {
                let delimiter = char::from(signs.delimiter).to_string();
                advice += &format!("; the delimiter was found to be {delimiter:?}");
            }
            Unsound { rule: "header", line: place.0, byte: place.1, what, advice }
        })?;
        Ok(reader)
    }

    pub(super) fn resume(
        text: Text,
        dialect: &Csv,
        selectors: &[String],
        layout: &Layout,
        mark: Mark,
    ) -> Result<Self, Unsound> {
        let signs = layout.signs.unwrap_or(Signs {
            delimiter: dialect.delimiter.unwrap_or(b';'),
            quote: dialect.quote.told().unwrap_or(Some(b'"')),
        });
        let mut reader = CsvReader::at(text, dialect, signs, mark.ordinal)?;
        reader.columns = Columns {
            names: layout.columns.clone(),
            from: if dialect.header { Names::Header } else { Names::Numbers },
        };
        reader.slots = reader.columns.slots(selectors).map_err(|(what, advice)| Unsound {
            rule: "header",
            line: mark.line,
            byte: mark.byte,
            what,
            advice,
        })?;
        Ok(reader)
    }

    pub(super) fn layout(&self) -> Layout {
        Layout {
            encoding: self.text.encoding().name().to_owned(),
            columns: self.columns.names.clone(),
            signs: Some(self.splitter.signs()),
            ..Layout::default()
        }
    }

    /// The count of the trailer, after the last record was read.
    pub(super) fn counted(&self) -> Option<&Counted> {
        self.counted.as_ref()
    }

    /// A row whose fields do not fit the columns, or cannot be told for its quotes, has a fault and
    /// no texts: they may stand in the wrong columns. Without selectors the fields are not looked at.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool, Unsound> {
        let Some(row) = self.row()? else { return self.end() };
        if self.trailer.is_some() && self.is_trailer(row)? {
            return self.check(row);
        }
        record.start(self.ordinal);
        let (line, byte) = (self.text.line(), self.text.byte());
        if !self.slots.is_empty() {
            let ahead = self.text.ahead();
            let fields = self.splitter.fields(ahead, row);
            if let (_, Some(at)) = self.splitter.quoted(ahead, row) {
                record.faults.push(self.loose_quote(row, at));
            } else if self.pad || fields == self.columns.names.len() {
                let held = record.hold(self.splitter.text(ahead, row));
                for (slot, column) in self.slots.iter().enumerate() {
                    if *column < fields {
                        let part = self.splitter.part(row, *column);
                        record.push_held(slot, held + part.start..held + part.end);
                    }
                }
            } else {
                record.faults.push(self.ragged(fields));
            }
        }
        self.consume(row);
        record.place = Place { line, byte, length: self.text.byte() - byte };
        self.ordinal += 1;
        Ok(true)
    }

    /// The first undecodable bytes since this was asked last.
    pub(super) fn take_flaw(&mut self) -> Option<Flaw> {
        self.text.take_flaw()
    }

    fn at(text: Text, dialect: &Csv, signs: Signs, ordinal: u64) -> Result<Self, Unsound> {
        Ok(CsvReader {
            splitter: Splitter::new(signs.delimiter, signs.quote).map_err(|what| Unsound {
                rule: "dialect",
                line: text.line(),
                byte: text.byte(),
                what,
                advice: "name two different ASCII characters under [input] in the mapping"
                    .to_owned(),
            })?,
            text,
            columns: Columns { names: Vec::new(), from: Names::Header },
            slots: Vec::new(),
            pad: dialect.pad,
            trailer: dialect.trailer.clone(),
            counted: None,
            ordinal,
        })
    }

    /// Brings the next row with text into view and stands before it; none at the end.
    fn row(&mut self) -> Result<Option<Row>, Unsound> {
        let mut last = false;
        loop {
            let ahead = self.text.ahead();
            match self.splitter.split(ahead, last) {
                Split::Row(row) if row.length() > RECORD_LIMIT => return Err(self.too_large()),
                Split::Row(row) => return Ok(Some(row)),
                Split::Blank(row) => self.consume(row),
                Split::Short if ahead.len() > RECORD_LIMIT => return Err(self.too_large()),
                Split::Short => last = !self.text.more().map_err(|e| Text::unsound(&e))?,
                Split::Unclosed { at } => return Err(self.unclosed(at)),
                Split::End => return Ok(None),
            }
        }
    }

    /// Whether the row in view is the trailer: it starts so, quoted or not, and is the last.
    fn is_trailer(&mut self, row: Row) -> Result<bool, Unsound> {
        let Some(trailer) = &self.trailer else { return Ok(false) };
        let line = &self.text.ahead()[..row.length()];
        let quote = self.splitter.quote.filter(|quote| line.as_bytes().first() == Some(quote));
        let unquoted = quote.map_or(line, |_| &line[1..]);
        let starts = |start: &String| line.starts_with(start) || unquoted.starts_with(start);
        if !trailer.starts_with.iter().any(starts) {
            return Ok(false);
        }
        lines::is_last(&mut self.text, row.length(), |byte| self.splitter.is_blank(byte))
    }

    /// Checks the trailer in view. It is not consumed, so that the end is told again when asked.
    fn check(&mut self, row: Row) -> Result<bool, Unsound> {
        let Some(column) = self.trailer.as_ref().and_then(|trailer| trailer.count) else {
            return Ok(false);
        };
        let Some(part) = self.splitter.written(self.text.ahead(), row, column - 1) else {
            let what = format!("the trailer has no column {column}");
            return Err(trailer::without_count(what, self.text.line(), self.text.byte()));
        };
        let counted = Counted::at(&self.text, part.start, part.end, false);
        counted.check(self.ordinal - 1, self.text.line())?;
        self.counted = Some(counted);
        Ok(false)
    }

    /// The end of the text, at which a trailer would have been seen.
    fn end(&self) -> Result<bool, Unsound> {
        match &self.trailer {
            None => Ok(false),
            Some(trailer) => {
                let (line, byte) = (self.text.line(), self.text.byte());
                Err(trailer::missing(&trailer.starts_with, self.ordinal - 1, line, byte))
            }
        }
    }

    fn consume(&mut self, row: Row) {
        match row {
            Row::Plain { content, length } if content < length => self.text.consume_line(length),
            _ => self.text.consume(row.length()),
        }
    }

    /// The fault of a quote in the row in view that is neither doubled nor the end of its field.
    fn loose_quote(&self, row: Row, at: usize) -> Fault {
        let before = &self.text.ahead()[..at];
        let start = before.rfind(['\r', '\n']).map_or(0, |end| end + 1);
        let (line, _) = self.text.place_ahead(at);
        Fault {
            rule: "quote",
            value: beginning(self.text.ahead()[..row.length()].trim_end()),
            advice: format!(
                "line {line}, column {}: a quote inside a quoted field is not doubled; double it, \
                 or set quote = \"none\" in the mapping if quotes are ordinary characters",
                before[start..].chars().count() + 1
            ),
        }
    }

    fn ragged(&self, fields: usize) -> Fault {
        Fault {
            rule: "ragged",
            value: match fields {
                1 => "1 field".to_owned(),
                _ => format!("{fields} fields"),
            },
            advice: format!(
                "{}; correct the row, or let the mapping pad such rows",
                self.columns.count()
            ),
        }
    }

    fn too_large(&self) -> Unsound {
        let mut advice = "see whether the file has line ends".to_owned();
        if self.splitter.quote.is_some() {
            advice += ", and whether a quote in this row is never closed";
        }
        Unsound {
            rule: "size",
            line: self.text.line(),
            byte: self.text.byte(),
            what: format!("a row is larger than {} MiB", RECORD_LIMIT / 1024 / 1024),
            advice,
        }
    }

    fn unclosed(&self, at: usize) -> Unsound {
        let (line, byte) = self.text.place_ahead(at);
        Unsound {
            rule: "truncated",
            line,
            byte,
            what: "a quote is opened here and not closed before the end of the file".to_owned(),
            advice: "see whether the file was cut off; if its quotes are ordinary characters, set \
                     quote = \"none\" in the mapping"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
