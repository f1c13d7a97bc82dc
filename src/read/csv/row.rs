//! Row: where the next row of a CSV text ends, and its fields.

use std::ops::Range;

use csv_core::ReadRecordResult;

use super::signs::Quoted;
use crate::read::Signs;
use crate::read::lines::{is_blank, line_end};

/// A row in view, by its number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Row {
    /// A line without quotes; `length` counts its line end too.
    Plain { content: usize, length: usize },
    /// A row with quotes, whose fields the splitter keeps.
    Quoted { fields: usize, length: usize },
}

impl Row {
    pub(super) fn length(self) -> usize {
        match self {
            Row::Plain { length, .. } | Row::Quoted { length, .. } => length,
        }
    }
}

/// What the text in view begins with.
pub(super) enum Split {
    Row(Row),
    /// A line that holds nothing but separators and blanks.
    Blank(Row),
    /// More must come into view.
    Short,
    /// The file ends inside quotes that were opened at this offset.
    Unclosed {
        at: usize,
    },
    End,
}

/// Splits text into rows and rows into fields. A row is looked at again from its start when more
/// came into view, so that nothing is remembered between rows.
pub(super) struct Splitter {
    delimiter: u8,
    pub(super) quote: Option<u8>,
    /// Where the fields of a row without quotes end.
    cuts: Vec<usize>,
    /// Rows without quotes are split by the delimiter alone; this one knows quotes.
    parser: csv_core::Reader,
    /// Whether the parser stands between two rows.
    between_rows: bool,
    /// The fields of a row with quotes, without the quotes, and where they end.
    unquoted: Vec<u8>,
    ends: Vec<usize>,
}

impl Splitter {
    pub(super) fn new(delimiter: u8, quote: Option<u8>) -> Result<Splitter, String> {
        for byte in [Some(delimiter), quote].into_iter().flatten() {
            if !byte.is_ascii() || byte == b'\r' || byte == b'\n' {
                return Err(format!("the byte {byte:02X} cannot part or quote fields"));
            }
        }
        if quote == Some(delimiter) {
            return Err("the delimiter and the quote are the same character".to_owned());
        }
        let mut builder = csv_core::ReaderBuilder::new();
        builder.delimiter(delimiter).quoting(quote.is_some()).quote(quote.unwrap_or(b'"'));
        Ok(Splitter {
            delimiter,
            quote,
            cuts: Vec::new(),
            parser: builder.build(),
            between_rows: false,
            unquoted: vec![0; 1024],
            ends: vec![0; 64],
        })
    }

    /// The signs it was made with.
    pub(super) fn signs(&self) -> Signs {
        Signs { delimiter: self.delimiter, quote: self.quote }
    }

    /// Looks at the text in view; `last` says that no more can come.
    pub(super) fn split(&mut self, ahead: &str, last: bool) -> Split {
        let bytes = ahead.as_bytes();
        let end = match self.quote {
            Some(quote) => memchr::memchr3(quote, b'\r', b'\n', bytes),
            None => memchr::memchr2(b'\r', b'\n', bytes),
        };
        let row = match end {
            Some(at) if Some(bytes[at]) == self.quote => return self.split_quoted(bytes, last),
            Some(at) => match line_end(bytes, at, last) {
                Some(length) => Row::Plain { content: at, length },
                None => return Split::Short,
            },
            None if !last => return Split::Short,
            None if bytes.is_empty() => return Split::End,
            None => Row::Plain { content: bytes.len(), length: bytes.len() },
        };
        let Row::Plain { content, .. } = row else { return Split::Row(row) };
        match bytes[..content].iter().all(|byte| self.is_blank(*byte)) {
            true => Split::Blank(row),
            false => Split::Row(row),
        }
    }

    /// Whether a row of such bytes alone is no record.
    pub(super) fn is_blank(&self, byte: u8) -> bool {
        byte == self.delimiter || is_blank(byte)
    }

    /// Finds the fields of the row that `split` found last; how many they are.
    pub(super) fn fields(&mut self, ahead: &str, row: Row) -> usize {
        match row {
            Row::Quoted { fields, .. } => fields,
            Row::Plain { content, .. } => {
                let line = &ahead.as_bytes()[..content];
                self.cuts.clear();
                find_all(self.delimiter, line, &mut self.cuts);
                self.cuts.push(content);
                self.cuts.len()
            }
        }
    }

    /// The text of a field, by its number from 0, after `fields` has found it.
    pub(super) fn field<'a>(&'a self, ahead: &'a str, row: Row, number: usize) -> &'a str {
        self.text(ahead, row).get(self.part(row, number)).unwrap_or_default()
    }

    /// The text that the fields of a row are parts of.
    pub(super) fn text<'a>(&'a self, ahead: &'a str, row: Row) -> &'a str {
        match row {
            Row::Plain { content, .. } => &ahead[..content],
            Row::Quoted { fields, .. } => {
                let end = fields.checked_sub(1).map_or(0, |last| self.ends[last]);
                // The parser takes bytes out of text at ASCII characters, so that text is left.
                std::str::from_utf8(&self.unquoted[..end]).unwrap_or_default()
            }
        }
    }

    /// Where in the row's text a field stands, by its number from 0, after `fields` has found it.
    pub(super) fn part(&self, row: Row, number: usize) -> Range<usize> {
        let (ends, gap) = match row {
            Row::Plain { .. } => (&self.cuts, 1),
            Row::Quoted { .. } => (&self.ends, 0),
        };
        let start = if number == 0 { 0 } else { ends[number - 1] + gap };
        start..ends[number]
    }

    /// Where in the text in view a field is written, without its quotes, by its number from 0.
    pub(super) fn written(&mut self, ahead: &str, row: Row, number: usize) -> Option<Range<usize>> {
        if let Row::Plain { .. } = row {
            return (number < self.fields(ahead, row)).then(|| self.part(row, number));
        }
        let bytes = &ahead.as_bytes()[..row.length()];
        let content = bytes.trim_ascii_end().len();
        let (mut start, mut count, mut quoted) = (0, 0, false);
        for at in 0..=content {
            let byte = bytes.get(at).copied().filter(|_| at < content);
            if byte.is_some() && byte == self.quote && (quoted || at == start) {
                quoted = !quoted;
            } else if !quoted && (byte.is_none() || byte == Some(self.delimiter)) {
                if count == number {
                    let is_quoted = |at: &usize| at + 1 < content && Some(bytes[*at]) == self.quote;
                    return match Some(start).filter(is_quoted) {
                        Some(start) if Some(bytes[at - 1]) == self.quote => Some(start + 1..at - 1),
                        _ => Some(start..at),
                    };
                }
                count += 1;
                start = at + 1;
            }
        }
        None
    }

    /// How the fields of the row that `split` found last are quoted, and where the first quote
    /// stands that is neither doubled nor the end of its field.
    pub(super) fn quoted(&self, ahead: &str, row: Row) -> (Quoted, Option<usize>) {
        let mut quoted = Quoted::default();
        let (Some(quote), Row::Quoted { length, .. }) = (self.quote, row) else {
            return (quoted, None);
        };
        let bytes = ahead[..length].trim_end_matches(['\r', '\n']).as_bytes();
        let mut first = None;
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == quote {
                let close = close(&bytes[at + 1..], quote).map_or(bytes.len(), |n| at + 1 + n);
                at = field_end(bytes, self.delimiter, (close + 1).min(bytes.len()));
                let behind = bytes.get(close + 1..at).unwrap_or_default();
                if behind.iter().all(|byte| is_blank(*byte)) {
                    quoted.well += 1;
                } else {
                    quoted.badly += 1;
                    quoted.framed += usize::from(behind.ends_with(&[quote]));
                    first = first.or(Some(close));
                }
            } else {
                at = field_end(bytes, self.delimiter, at);
            }
            at += 1;
        }
        (quoted, first)
    }

    fn split_quoted(&mut self, bytes: &[u8], last: bool) -> Split {
        loop {
            self.restart();
            self.between_rows = false;
            let (mut result, read, written, mut fields) =
                self.parser.read_record(bytes, &mut self.unquoted, &mut self.ends);
            let mut length = Some(read);
            if result == ReadRecordResult::Record {
                self.between_rows = true;
                length = line_end(bytes, read - 1, last);
            } else if result == ReadRecordResult::InputEmpty && last {
                // A line end ends the row, unless a quote is still open.
                let (at_end, _, _, more) = self.parser.read_record(
                    b"\n",
                    &mut self.unquoted[written..],
                    &mut self.ends[fields..],
                );
                result = at_end;
                fields += more;
            }
            match (result, length) {
                (ReadRecordResult::Record, Some(length)) => {
                    return Split::Row(Row::Quoted { fields, length });
                }
                (ReadRecordResult::OutputFull, _) => {
                    self.unquoted.resize(2 * self.unquoted.len(), 0);
                }
                (ReadRecordResult::OutputEndsFull, _) => self.ends.resize(2 * self.ends.len(), 0),
                _ if last => return Split::Unclosed { at: self.last_field(bytes) },
                _ => return Split::Short,
            }
        }
    }

    /// The parser takes a byte order mark off the first text it sees. `Text` has done so for the
    /// file; one that stands further down is text. So it sees an empty line first.
    fn restart(&mut self) {
        if !self.between_rows {
            self.parser.reset();
            self.parser.read_record(b"\n", &mut [0], &mut [0]);
        }
    }

    /// Where the last field of an unclosed row starts: with the quote that is not closed.
    fn last_field(&mut self, bytes: &[u8]) -> usize {
        self.restart();
        let mut text = vec![0; bytes.len()];
        let mut start = 0;
        loop {
            match self.parser.read_field(&bytes[start..], &mut text) {
                (csv_core::ReadFieldResult::Field { .. }, read, _) => start += read,
                _ => return start,
            }
        }
    }
}

/// Appends every place of a byte in a line. Fields are short, so that starting a search for each
/// would take longer than to look at eight bytes at a time.
fn find_all(byte: u8, line: &[u8], places: &mut Vec<usize>) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (eights, rest) = line.as_chunks::<8>();
    for (n, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight) ^ (EACH * u64::from(byte));
        // The highest bit of each byte that is zero, and of no other.
        let low = (word & (EACH * 0x7f)) + EACH * 0x7f;
        let mut found = !(low | word) & (EACH << 7);
        while found != 0 {
            places.push(8 * n + found.trailing_zeros() as usize / 8);
            found &= found - 1;
        }
    }
    let end = line.len() - rest.len();
    let is_wanted = |(n, found): (usize, &u8)| (*found == byte).then_some(end + n);
    places.extend(rest.iter().enumerate().filter_map(is_wanted));
}

/// Where a quote stands that closes a field, if not all are doubled.
fn close(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut quotes = memchr::memchr_iter(quote, bytes);
    while let Some(at) = quotes.next() {
        if bytes.get(at + 1) != Some(&quote) {
            return Some(at);
        }
        quotes.next();
    }
    None
}

/// Where the field ends that is seen from `at` on, outside quotes.
fn field_end(bytes: &[u8], delimiter: u8, at: usize) -> usize {
    memchr::memchr(delimiter, &bytes[at..]).map_or(bytes.len(), |n| at + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn all_places_are_found(line in proptest::collection::vec(0x38_u8..0x3e, 0..40)) {
            let mut places = Vec::new();
            find_all(b';', &line, &mut places);
            let expected: Vec<usize> = (0..line.len()).filter(|n| line[*n] == b';').collect();
            proptest::prop_assert_eq!(places, expected);
        }

        #[test]
        fn all_places_are_found_among_any_bytes(
            line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
            byte in 0_u8..4,
        ) {
            let line: Vec<u8> = line.iter().map(|byte| byte & 0x83).collect();
            let mut places = Vec::new();
            find_all(byte, &line, &mut places);
            let expected: Vec<usize> = (0..line.len()).filter(|n| line[*n] == byte).collect();
            proptest::prop_assert_eq!(places, expected);
        }
    }
}
