//! JSON records: the elements of one array in a document, or a single object. The document streams
//! past; only the record in hand is kept.

mod grammar;
mod pick;

use std::io::BufRead;

use crate::model::record::Fault;
use crate::model::{Place, Record};

pub(super) use grammar::{Grammar, expected};
pub(super) use pick::Picker;

use super::bounded::{Bounded, Spot, beginning};
use super::text::Text;
use super::{Json, Layout, Mark, Unsound};

/// A stream of records.
pub(super) struct JsonReader {
    input: Bounded,
    path: Vec<String>,
    picker: Picker,
    around: Vec<String>,
    stage: Stage,
    ordinal: u64,
    value: Vec<u8>,
    failed: Option<Unsound>,
}

/// Where the stream stands.
#[derive(Clone, Copy)]
enum Stage {
    /// At the first byte of the array's first element.
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
        let mut reader = JsonReader::new(text, dialect, selectors, Vec::new(), 1);
        reader.blanks()?;
        if reader.input.peek()?.is_none() {
            reader.stage = Stage::End;
        } else {
            reader.descend()?;
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
        let mut reader = JsonReader::new(text, dialect, selectors, front, mark.ordinal);
        reader.descend()?;
        Ok(reader)
    }

    /// What was learnt on the way to the first record.
    pub(super) fn layout(&self) -> Layout {
        Layout {
            encoding: self.input.encoding().to_owned(),
            around: self.around.clone(),
            ..Layout::default()
        }
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
    ) -> JsonReader {
        JsonReader {
            input: Bounded::new(text, front),
            path: pick::keys(&dialect.records).map(str::to_owned).collect(),
            picker: Picker::new(selectors),
            around: Vec::new(),
            stage: Stage::Rest,
            ordinal,
            value: Vec::new(),
            failed: None,
        }
    }

    /// Goes down the path to the records.
    fn descend(&mut self) -> Result<(), Unsound> {
        for level in 0..self.path.len() {
            self.blanks()?;
            match self.byte()? {
                b'{' => self.input_takes_one(),
                other => return Err(self.misplaced(level, "an object", other)),
            }
            self.find_key(level)?;
            let key = serde_json::Value::from(self.path[level].as_str());
            self.around.push(format!("{{{key}:"));
        }
        self.blanks()?;
        let level = self.path.len();
        self.stage = match self.byte()? {
            b'{' => Stage::Single,
            b'[' => {
                self.input_takes_one();
                self.around.push("[".to_owned());
                self.blanks()?;
                if self.byte()? == b']' {
                    self.input_takes_one();
                    Stage::Rest
                } else {
                    Stage::First
                }
            }
            b'n' => {
                self.pass_value(level as u32)?;
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
        self.blanks()?;
        let mut at_end = self.byte()? == b'}';
        while !at_end {
            let key = self.key(level)?;
            if key == self.path[level] {
                return Ok(());
            }
            if keys.len() < TOLD {
                keys.push(beginning(&key));
            }
            self.pass_value(level as u32 + 1)?;
            self.blanks()?;
            at_end = match self.byte()? {
                b',' => {
                    self.input_takes_one();
                    self.blanks()?;
                    false
                }
                b'}' => true,
                other => return Err(self.unsound(expected("a comma or }", other))),
            };
        }
        let there = match keys.len() {
            0 => "there are no keys".to_owned(),
            TOLD => format!("the first keys are {}", keys.join(", ")),
            _ => format!("the keys are {}", keys.join(", ")),
        };
        let what = format!("there is no {} in the document; {there}", self.path_to(level + 1));
        let advice = "name the path to the records in the mapping's `records`";
        Err(unsound("json", self.input.spot(), what, advice))
    }

    fn advance(&mut self, record: &mut Record) -> Result<bool, Unsound> {
        match self.stage {
            Stage::First => self.read_record(Stage::Behind, record)?,
            Stage::Single => self.read_record(Stage::Rest, record)?,
            Stage::Behind => {
                self.blanks()?;
                match self.byte()? {
                    b',' => {
                        self.input_takes_one();
                        self.blanks()?;
                        self.read_record(Stage::Behind, record)?;
                    }
                    b']' => {
                        self.input_takes_one();
                        self.read_rest()?;
                        return Ok(false);
                    }
                    other => return Err(self.unsound(expected("a comma or ]", other))),
                }
            }
            Stage::Rest => {
                self.read_rest()?;
                return Ok(false);
            }
            Stage::End => return Ok(false),
        }
        Ok(true)
    }

    fn read_record(&mut self, behind: Stage, record: &mut Record) -> Result<(), Unsound> {
        record.start(self.ordinal);
        let start = self.input.spot();
        self.input.measure_anew();
        let depth = match behind {
            Stage::Rest => self.path.len(),
            _ => self.path.len() + 1,
        };
        self.value(true, depth as u32)?;
        record.place = Place {
            line: start.line,
            byte: start.byte,
            length: self.input.spot().byte - start.byte,
        };
        let value = String::from_utf8_lossy(&self.value);
        fill(&self.picker, &value, record);
        self.ordinal += 1;
        self.stage = behind;
        Ok(())
    }

    /// Checks what stands behind the records, to the end of the file.
    fn read_rest(&mut self) -> Result<(), Unsound> {
        for level in (0..self.path.len()).rev() {
            loop {
                self.blanks()?;
                match self.byte()? {
                    b'}' => {
                        self.input_takes_one();
                        break;
                    }
                    b',' => {
                        self.input_takes_one();
                        self.blanks()?;
                        let spot = self.input.spot();
                        if self.key(level)? == self.path[level] {
                            let what = format!("{} is there twice", self.path_to(level + 1));
                            let advice = "write all records into one array";
                            return Err(unsound("json", spot, what, advice));
                        }
                        self.pass_value(level as u32 + 1)?;
                    }
                    other => return Err(self.unsound(expected("a comma or }", other))),
                }
            }
        }
        self.blanks()?;
        if let Some(other) = self.input.peek()? {
            return Err(self.unsound(expected("the end of the file", other)));
        }
        self.stage = Stage::End;
        Ok(())
    }

    /// Reads a key and its colon; stands at the value.
    fn key(&mut self, level: usize) -> Result<String, Unsound> {
        match self.byte()? {
            b'"' => {}
            other => return Err(self.unsound(expected("a key in quotes", other))),
        }
        self.input.measure_anew();
        self.value(true, level as u32 + 1)?;
        let raw = String::from_utf8_lossy(&self.value);
        let key = serde_json::from_str(&raw).unwrap_or_else(|_| raw.into_owned());
        self.blanks()?;
        match self.byte()? {
            b':' => self.input_takes_one(),
            other => return Err(self.unsound(expected("a colon", other))),
        }
        self.blanks()?;
        Ok(key)
    }

    /// Passes over a value of any size.
    fn pass_value(&mut self, depth: u32) -> Result<(), Unsound> {
        self.value(false, depth)
    }

    /// Reads the value that starts here, inside `depth` containers, and keeps its bytes if asked.
    fn value(&mut self, keep: bool, depth: u32) -> Result<(), Unsound> {
        self.value.clear();
        let mut grammar = Grammar::below(depth);
        loop {
            if !keep {
                self.input.measure_anew();
            }
            let chunk = self.input.chunk()?;
            if chunk.is_empty() {
                return if grammar.may_end() { Ok(()) } else { Err(self.truncated()) };
            }
            match grammar.feed(chunk) {
                Ok(fed) => {
                    if keep {
                        self.value.extend_from_slice(&chunk[..fed.used]);
                    }
                    self.input.consume(fed.used);
                    if fed.complete {
                        return Ok(());
                    }
                }
                Err(wrong) => {
                    self.input.consume(wrong.at);
                    return Err(self.unsound(wrong.what));
                }
            }
        }
    }

    /// Passes over blanks (RFC 8259, section 2).
    fn blanks(&mut self) -> Result<(), Unsound> {
        loop {
            self.input.measure_anew();
            let chunk = self.input.chunk()?;
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            let count = chunk.iter().position(|byte| !blank(byte)).unwrap_or(chunk.len());
            let done = count < chunk.len() || chunk.is_empty();
            self.input.consume(count);
            if done {
                return Ok(());
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Unsound> {
        self.input.peek()?.ok_or_else(|| self.truncated())
    }

    fn input_takes_one(&mut self) {
        self.input.consume(1);
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
            other => return self.unsound(expected("a value", other)),
        };
        let what = format!("{} is {found}, not {wanted}", self.path_to(level));
        let advice = "name the path to the records in the mapping's `records`";
        unsound("json", self.input.spot(), what, advice)
    }

    fn unsound(&self, what: String) -> Unsound {
        unsound("json", self.input.spot(), what, "write a document that a JSON parser takes")
    }

    fn truncated(&self) -> Unsound {
        let what = "the file ends in the middle of the document".to_owned();
        unsound("truncated", self.input.spot(), what, "send the whole file again")
    }
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

fn unsound(rule: &'static str, spot: Spot, what: String, advice: &str) -> Unsound {
    Unsound { rule, line: spot.line, byte: spot.byte, what, advice: advice.to_owned() }
}

#[cfg(test)]
mod tests;
