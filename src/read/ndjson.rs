//! NDJSON records: one JSON object a line. A bad line is a faulty record, and the file goes on.

use std::io::BufRead;

use crate::model::record::Fault;
use crate::model::{Place, Record};

use super::bounded::{Bounded, beginning};
use super::json::{Grammar, Path, Picker, expected, fill, paths};
use super::text::{Flaw, Text};
use super::{Layout, Mark, Unsound};

/// A stream of records.
pub(super) struct NdjsonReader {
    input: Bounded,
    picker: Picker,
    ordinal: u64,
    line: Vec<u8>,
    failed: Option<Unsound>,
}

impl NdjsonReader {
    /// Stands before the first line.
    pub(super) fn open(text: Text, selectors: &[String]) -> Result<Self, Unsound> {
        NdjsonReader::new(text, selectors, 1)
    }

    /// Reads on before the line at `mark`.
    pub(super) fn resume(
        text: Text,
        selectors: &[String],
        _layout: &Layout,
        mark: Mark,
    ) -> Result<Self, Unsound> {
        NdjsonReader::new(text, selectors, mark.ordinal)
    }

    /// There is nothing around a line but its encoding.
    pub(super) fn layout(&self) -> Layout {
        Layout { encoding: self.input.encoding().to_owned(), ..Layout::default() }
    }

    /// Fills `record` with the next line that is not blank; `false` at the sound end of the file.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool, Unsound> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let result = self.advance(record);
        self.failed = result.as_ref().err().cloned();
        result
    }

    /// The first undecodable bytes since this was asked last.
    pub(super) fn take_flaw(&mut self) -> Option<Flaw> {
        self.input.take_flaw()
    }

    fn new(text: Text, selectors: &[String], ordinal: u64) -> Result<NdjsonReader, Unsound> {
        let input = Bounded::new(text, Vec::new());
        let wrong = |what| input.spot().unsound("json", what, "correct the mapping");
        selectors.iter().try_for_each(|selector| check_selector(selector)).map_err(wrong)?;
        let paths = paths(selectors).map_err(wrong)?;
        Ok(NdjsonReader {
            picker: Picker::of_records(&paths),
            input,
            ordinal,
            line: Vec::new(),
            failed: None,
        })
    }

    fn advance(&mut self, record: &mut Record) -> Result<bool, Unsound> {
        loop {
            self.input.measure_anew();
            let start = self.input.spot();
            let ended = self.read_line()?;
            let line = String::from_utf8_lossy(&self.line);
            let value = line.trim_matches([' ', '\t']);
            if value.is_empty() {
                if ended {
                    continue;
                }
                return Ok(false);
            }
            let end = self.input.spot();
            record.start(self.ordinal);
            record.place =
                Place { line: start.line, byte: start.byte, length: end.byte - start.byte };
            match check(value) {
                Ok(()) => fill(&self.picker, value, record),
                Err(_) if !ended => {
                    return Err(Unsound {
                        rule: "truncated",
                        line: start.line,
                        byte: end.byte,
                        what: format!("the last line breaks off: {}", beginning(value)),
                        advice: "send the whole file again".to_owned(),
                    });
                }
                Err((at, what)) => {
                    let before = line.len() - line.trim_start_matches([' ', '\t']).len() + at;
                    let column = 1 + line.char_indices().filter(|(n, _)| *n < before).count();
                    record.faults.push(Fault {
                        rule: "json",
                        value: beginning(value),
                        advice: format!("write one JSON object a line; column {column}: {what}"),
                    });
                }
            }
            self.ordinal += 1;
            return Ok(true);
        }
    }

    /// Reads a line without its end; whether it had one. CR, LF and CRLF end a line.
    fn read_line(&mut self) -> Result<bool, Unsound> {
        self.line.clear();
        loop {
            let chunk = self.input.chunk()?;
            let (length, used, cr) = match memchr::memchr2(b'\n', b'\r', chunk) {
                _ if chunk.is_empty() => return Ok(false),
                Some(at) => (at, at + 1, chunk[at] == b'\r'),
                None => (chunk.len(), chunk.len(), false),
            };
            self.line.extend_from_slice(&chunk[..length]);
            self.input.consume(used);
            if cr && self.input.peek()? == Some(b'\n') {
                self.input.consume(1);
            }
            if length < used {
                return Ok(true);
            }
        }
    }
}

/// Checks a selector: there is nothing above a line.
pub(super) fn check_selector(selector: &str) -> Result<(), String> {
    match Path::parse(selector)?.up {
        0 => Ok(()),
        _ => Err("there is nothing above a line".to_owned()),
    }
}

/// Whether a text is one JSON value and nothing else; if not, at which byte it is wrong and how.
fn check(value: &str) -> Result<(), (usize, String)> {
    let mut grammar = Grammar::below(0);
    let fed = grammar.feed(value.as_bytes()).map_err(|wrong| (wrong.at, wrong.what))?;
    if !grammar.may_end() {
        return Err((fed.used, "the line ends before the value does".to_owned()));
    }
    match value[fed.used..].trim_start().bytes().next() {
        Some(other) => {
            let blanks = value[fed.used..].len() - value[fed.used..].trim_start().len();
            Err((fed.used + blanks, expected("the end of the line", other)))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::bounded::pieces::{Taken, take, text};
    use super::*;

    fn read(bytes: &[u8], selectors: &[&str], cuts: &[usize]) -> Result<Vec<Taken>, Unsound> {
        let selectors: Vec<String> = selectors.iter().map(|s| s.to_string()).collect();
        let mut reader = NdjsonReader::open(text(bytes, cuts)?, &selectors)?;
        take(selectors.len(), |record| reader.next(record))
    }

    #[test]
    fn each_line_is_a_record_with_its_place() {
        let taken = read(b"{\"a\":1}\n\n \t\r\n{\"a\":\"x\"}\r\n{\"a\":3}", &["a"], &[]).unwrap();
        let places: Vec<_> = taken.iter().map(|t| (t.line, t.byte, t.length)).collect();
        assert_eq!(places, [(1, 0, 8), (4, 13, 11), (5, 24, 7)]);
        let texts: Vec<_> = taken.iter().map(|t| t.texts[0].join("|")).collect();
        assert_eq!(texts, ["1", "x", "3"]);
        assert_eq!(taken.iter().map(|t| t.ordinal).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn lines_may_end_with_cr_alone() {
        let taken = read(b"{\"a\":1}\r{\"a\":2}\r", &["a"], &[1]).unwrap();
        assert_eq!(taken.iter().map(|t| t.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_bad_line_is_a_faulty_record_and_the_file_goes_on() {
        let taken = read("{\"é\":tru}\n[1]\n{} {}\n{\"a\":1}\n".as_bytes(), &["a"], &[]).unwrap();
        assert_eq!(taken[0].faults[0].rule, "json");
        assert_eq!(
            taken[0].faults[0].advice,
            "write one JSON object a line; column 9: expected true, false or null, found }"
        );
        assert_eq!(taken[1].faults[0].advice, "write each record as an object");
        assert_eq!(
            taken[2].faults[0].advice,
            "write one JSON object a line; column 4: expected the end of the line, found {"
        );
        assert!(taken[3].faults.is_empty());
        assert_eq!(taken[3].texts, [["1"]]);
    }

    #[test]
    fn a_last_line_that_breaks_off_is_truncation() {
        let unsound = read(b"{\"a\":1}\n{\"a\":", &["a"], &[]).unwrap_err();
        assert_eq!((unsound.rule, unsound.line, unsound.byte), ("truncated", 2, 13));
        assert!(read(b"{\"a\":1}\n{\"a\":\n", &["a"], &[]).is_ok());
    }

    #[test]
    fn a_file_with_nothing_but_blanks_has_no_records() {
        assert_eq!(read(b"", &[], &[]).unwrap(), []);
        assert_eq!(read(b"\n  \r\n\t", &[], &[]).unwrap(), []);
    }

    #[test]
    fn a_line_without_end_is_refused_for_its_size() {
        let endless = Box::new(std::io::Read::take(std::io::repeat(b'x'), 1 << 30));
        let text = Text::open(encoding_rs::UTF_8, endless).unwrap();
        let mut reader = NdjsonReader::open(text, &[]).unwrap();
        let unsound = reader.next(&mut Record::default()).unwrap_err();
        assert_eq!((unsound.rule, unsound.line, unsound.byte), ("size", 1, 0));
        assert_eq!(reader.next(&mut Record::default()).unwrap_err(), unsound);
    }

    proptest! {
        #[test]
        fn written_lines_read_back_from_any_mark(
            values in prop::collection::vec(("\\PC{0,8}", any::<i64>()), 0..12),
            cuts in prop::collection::vec(1usize..9, 0..20),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        ) {
            let lines: Vec<String> =
                values.iter().map(|(s, n)| json!({"s": s, "n": {"n": n}}).to_string()).collect();
            let file = lines.iter().map(|line| format!("{line}{end}")).collect::<String>();
            let taken = read(file.as_bytes(), &["s", "n.n"], &cuts).unwrap();
            prop_assert_eq!(taken.len(), values.len());
            let selectors = ["s".to_owned(), "n.n".to_owned()];
            for (n, (taken_one, (s, i))) in taken.iter().zip(&values).enumerate() {
                prop_assert_eq!(&taken_one.texts, &[vec![s.clone()], vec![i.to_string()]]);
                let slice = &file.as_bytes()[taken_one.range()];
                let alone: Value = serde_json::from_slice(slice).unwrap();
                prop_assert_eq!(&alone["s"], s);
                let mark = taken_one.mark();
                let text = super::super::bounded::pieces::text_at(file.as_bytes(), mark, &cuts);
                let mut reader =
                    NdjsonReader::resume(text, &selectors, &Layout::default(), mark).unwrap();
                prop_assert_eq!(&take(2, |record| reader.next(record)).unwrap(), &taken[n..]);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cuts in prop::collection::vec(1usize..9, 0..20),
        ) {
            let _ = read(&bytes, &["a", "b.c"], &cuts);
        }
    }
}
