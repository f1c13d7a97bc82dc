//! JSON records: the elements of one array in a document, or a single object. The document streams
//! past; only the record in hand is kept.

mod above;
mod grammar;
mod path;
mod pick;
mod scanner;

use crate::model::record::Fault;
use crate::model::{Place, Record};

pub(super) use grammar::{Grammar, expected};
pub(super) use path::Path;
pub(super) use pick::Picker;

use super::bounded::{Bounded, beginning};
use super::text::Text;
use super::{Above, Json, Layout, Mark, Unsound};
use above::Asked;
use scanner::Scanner;

const CORRECT_THE_PATH: &str = "name the path to the records in the mapping's `records`";

/// A stream of records.
pub(super) struct JsonReader {
    scanner: Scanner,
    path: Vec<String>,
    picker: Picker,
    asked: Asked,
    around: Vec<String>,
    stage: Stage,
    ordinal: u64,
    failed: Option<Unsound>,
}

/// Where the stream stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// At the first byte of the first element that is read.
    First,
    /// Behind an element.
    Behind,
    /// At the object that is the only record.
    Single,
    /// Behind the last record, in what stands around.
    Rest,
    /// Behind the document.
    End,
}

impl JsonReader {
    /// Reads up to the first record. A file with nothing but blanks is sound and has none, and so
    /// has a `null` in the place of the array.
    pub(super) fn open(text: Text, dialect: &Json, selectors: &[String]) -> Result<Self, Unsound> {
        let mut reader = JsonReader::new(text, dialect, selectors, Vec::new(), 1)?;
        match reader.scanner.token_or_end()? {
            None => reader.stage = Stage::End,
            Some(_) => reader.descend()?,
        }
        Ok(reader)
    }

    /// Reads on before the record at `mark`: what stood open around it is read again from `layout`.
    pub(super) fn resume(
        text: Text,
        dialect: &Json,
        selectors: &[String],
        layout: &Layout,
        mark: Mark,
    ) -> Result<Self, Unsound> {
        let front = layout.around.concat().into_bytes();
        let mut reader = JsonReader::new(text, dialect, selectors, front, mark.ordinal)?;
        reader.descend()?;
        if let Some(above) = layout.above_at(mark) {
            reader.asked.restore(above);
        }
        Ok(reader)
    }

    /// What was learnt on the way to the first record.
    pub(super) fn layout(&self) -> Layout {
        Layout {
            encoding: self.scanner.encoding().to_owned(),
            around: self.around.clone(),
            ..Layout::default()
        }
    }

    /// What stands above the records.
    pub(super) fn above(&self) -> Above {
        self.asked.above()
    }

    /// Fills `record` with the next record; `false` at the sound end of the file.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool, Unsound> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let result = self.advance(record);
        self.failed = result.as_ref().err().cloned();
        result
    }

    fn new(
        text: Text,
        dialect: &Json,
        selectors: &[String],
        front: Vec<u8>,
        ordinal: u64,
    ) -> Result<JsonReader, Unsound> {
        let scanner = Scanner::new(Bounded::new(text, front));
        let wrong = |what| scanner.spot().unsound("json", what, "correct the mapping");
        let path = records(dialect).map_err(wrong)?;
        let paths = paths(selectors).map_err(wrong)?;
        let asked = Asked::new(&paths, path.len()).map_err(wrong)?;
        Ok(JsonReader {
            scanner,
            path,
            picker: Picker::of_records(&paths),
            asked,
            around: Vec::new(),
            stage: Stage::Rest,
            ordinal,
            failed: None,
        })
    }

    /// Goes down the path to the records.
    fn descend(&mut self) -> Result<(), Unsound> {
        for level in 0..self.path.len() {
            match self.scanner.token()? {
                b'{' => self.scanner.take(),
                other => return Err(self.misplaced(level, "an object", other)),
            }
            self.find_key(level)?;
            let key = serde_json::Value::from(self.path[level].as_str());
            self.around.push(format!("{{{key}:"));
        }
        let level = self.path.len();
        self.stage = match self.scanner.token()? {
            b'{' => Stage::Single,
            b'[' => {
                self.scanner.take();
                self.around.push("[".to_owned());
                match self.scanner.token()? {
                    b']' => {
                        self.scanner.take();
                        Stage::Rest
                    }
                    _ => Stage::First,
                }
            }
            b'n' => {
                self.scanner.pass_value(level)?;
                Stage::Rest
            }
            other => return Err(self.misplaced(level, "an array or an object", other)),
        };
        Ok(())
    }

    /// Passes over the members of the object at `level` up to the value of the path's key.
    fn find_key(&mut self, level: usize) -> Result<(), Unsound> {
        const TOLD: usize = 20;
        let mut keys: Vec<String> = Vec::new();
        let mut at_end = self.scanner.token()? == b'}';
        while !at_end {
            let key = self.scanner.key(level + 1)?;
            if key == self.path[level] {
                return Ok(());
            }
            if keys.len() < TOLD {
                keys.push(beginning(&key));
            }
            self.asked.member(level, &key, &mut self.scanner)?;
            at_end = match self.scanner.token()? {
                b',' => {
                    self.scanner.take();
                    false
                }
                b'}' => true,
                other => return Err(self.scanner.unsound(expected("a comma or }", other))),
            };
        }
        let there = match keys.len() {
            0 => "there are no keys".to_owned(),
            TOLD => format!("the first keys are {}", keys.join(", ")),
            _ => format!("the keys are {}", keys.join(", ")),
        };
        let what = format!("there is no {} in the document; {there}", self.path_to(level + 1));
        Err(self.scanner.spot().unsound("json", what, CORRECT_THE_PATH))
    }

    fn advance(&mut self, record: &mut Record) -> Result<bool, Unsound> {
        if self.stage == Stage::Behind {
            match self.scanner.token()? {
                b',' => {
                    self.scanner.take();
                    self.scanner.token()?;
                    self.stage = Stage::First;
                }
                b']' => {
                    self.scanner.take();
                    self.stage = Stage::Rest;
                }
                other => return Err(self.scanner.unsound(expected("a comma or ]", other))),
            }
        }
        match self.stage {
            Stage::First | Stage::Behind => {
                self.read_record(self.path.len() + 1, record)?;
                self.stage = Stage::Behind;
                Ok(true)
            }
            Stage::Single => {
                self.read_record(self.path.len(), record)?;
                self.stage = Stage::Rest;
                Ok(true)
            }
            Stage::Rest => {
                self.read_rest()?;
                self.stage = Stage::End;
                Ok(false)
            }
            Stage::End => Ok(false),
        }
    }

    fn read_record(&mut self, depth: usize, record: &mut Record) -> Result<(), Unsound> {
        record.start(self.ordinal);
        let start = self.scanner.spot();
        let value = self.scanner.value(depth)?;
        fill(&self.picker, value, record);
        self.asked.fill(record);
        let length = self.scanner.spot().byte - start.byte;
        record.place = Place { line: start.line, byte: start.byte, length };
        self.ordinal += 1;
        Ok(())
    }

    /// Checks what stands behind the records, to the end of the file.
    fn read_rest(&mut self) -> Result<(), Unsound> {
        for level in (0..self.path.len()).rev() {
            loop {
                match self.scanner.token()? {
                    b'}' => {
                        self.scanner.take();
                        break;
                    }
                    b',' => {
                        self.scanner.take();
                        self.scanner.token()?;
                        let spot = self.scanner.spot();
                        if self.scanner.key(level + 1)? == self.path[level] {
                            let what = format!("{} is there twice", self.path_to(level + 1));
                            let advice = "write all records into one array";
                            return Err(spot.unsound("json", what, advice));
                        }
                        self.scanner.pass_value(level + 1)?;
                    }
                    other => return Err(self.scanner.unsound(expected("a comma or }", other))),
                }
            }
        }
        match self.scanner.token_or_end()? {
            None => Ok(()),
            Some(other) => Err(self.scanner.unsound(expected("the end of the file", other))),
        }
    }

    fn path_to(&self, level: usize) -> String {
        match level {
            0 => "the document".to_owned(),
            _ => beginning(&self.path[..level].join(".")),
        }
    }

    fn misplaced(&self, level: usize, wanted: &str, found: u8) -> Unsound {
        let found = match found {
            b'[' => "an array",
            b'"' => "a string",
            b't' | b'f' => "true or false",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            other => return self.scanner.unsound(expected("a value", other)),
        };
        let what = format!("{} is {found}, not {wanted}", self.path_to(level));
        self.scanner.spot().unsound("json", what, CORRECT_THE_PATH)
    }
}

/// Checks the path to the records.
pub(super) fn check_records(dialect: &Json) -> Result<(), String> {
    records(dialect).map(drop)
}

/// Checks a selector of records that lie at this path.
pub(super) fn check_selector(dialect: &Json, selector: &str) -> Result<(), String> {
    let depth = records(dialect).unwrap_or_default().len();
    Asked::new(&[Path::parse(selector)?], depth).map(drop)
}

fn records(dialect: &Json) -> Result<Vec<String>, String> {
    match Path::parse(&dialect.records)? {
        Path { up: 0, keys } => Ok(keys),
        _ => Err("the path to the records starts at the top of the document".to_owned()),
    }
}

/// The paths that selectors name.
pub(super) fn paths(selectors: &[String]) -> Result<Vec<Path>, String> {
    let path = |s: &String| Path::parse(s).map_err(|what| format!("the selector {s:?}: {what}"));
    selectors.iter().map(path).collect()
}

/// Puts what is selected in one value into the record, or notes why that cannot be.
pub(super) fn fill(picker: &Picker, value: &str, record: &mut Record) {
    if !value.starts_with('{') {
        record.faults.push(Fault {
            rule: "json",
            value: beginning(value),
            advice: "write each record as an object".to_owned(),
        });
    } else if let Err(error) = picker.pick(value, record) {
        record.faults.push(Fault {
            rule: "json",
            value: beginning(value),
            advice: format!("write text that is Unicode: {error}"),
        });
    }
}

#[cfg(test)]
mod tests;
