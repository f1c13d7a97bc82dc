//! Map: a record in; an output record, or a list of problems, out. Pure: no I/O, no clock, no
//! async; it does not know where a record came from. (Reading a mapping's own files is apart, in
//! `bundle`.)

mod bundle;
mod mapping;
mod input;
mod output;
mod style;
mod charset;
mod parse;
mod paths;
mod shape;
mod element;
mod row;
mod field;
mod condition;
mod clean;
pub mod aka;
mod table;
mod dates;
mod pattern;
mod numbers;
pub mod checks;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::config::{Environments, Faults};
use crate::model::{Level, Problem, Record};
use crate::read::{Dialect, Reader};

use condition::Condition;
use output::Form;
pub use output::{Frame, Output};
use report::Report;
use style::Style;

/// The texts of a mapping and of every table it uses: what a claim pins, kept by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The mapping's name: the stem of its file.
    pub name: String,
    /// The file it was read from, for messages.
    pub file: PathBuf,
    /// The mapping's text.
    pub text: String,
    /// The AKA tables it uses, by name: the file each was read from and its text.
    pub tables: BTreeMap<String, (PathBuf, String)>,
}

/// Which way a mapping carries data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the customer's files to the port.
    In,
    /// From what the port tells, as JSON, to files for the customer's system.
    Out,
}

/// A compiled mapping: rules and tables, ready to be shared by threads.
#[derive(Debug)]
pub struct Mapping {
    /// Its name.
    pub name: String,
    /// Which way it carries data.
    pub direction: Direction,
    /// How its files are written.
    pub dialect: Dialect,
    /// What the reader is to look for: every distinct `from`, in the order of a record's slots.
    pub selectors: Vec<String>,
    /// How its messages are written.
    pub output: Output,
    style: Style,
    frame: Frame,
    only: Option<Condition>,
    form: Form,
}

/// What a mapping depends on besides the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The customer, whose own rows of a table beat general ones.
    pub customer: String,
    /// The date by which the validity of table rows is judged: the claim's.
    pub date: Date,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// The output record was appended; warnings may have been noted.
    Ready,
    /// At least one problem rejects it; nothing was appended.
    Rejected,
    /// The input's `only` does not want it; nothing was appended.
    Discarded,
}

impl Bundle {
    /// Reads a mapping of this name and its tables from the folder of mappings. Faults are noted.
    pub fn load(
        folder: &Path,
        name: &str,
        environments: &Environments,
        faults: &Faults,
    ) -> Option<Bundle> {
        bundle::load(folder, name, environments, faults)
    }

    /// BLAKE3 over everything in it but the files' places.
    pub fn hash(&self) -> String {
        bundle::hash(self)
    }
}

impl Mapping {
    /// Compiles a bundle for the environment in use. Faults are noted with file and line.
    pub fn compile(
        bundle: &Bundle,
        environments: &Environments,
        faults: &Faults,
    ) -> Option<Mapping> {
        mapping::compile(bundle, environments, faults)
    }

    /// What stands around the records of a message that may carry so many.
    pub fn frame(&self, records: u64) -> Frame {
        let frame = match (self.output, records) {
            (Output::Json, 1) => &Frame::default(),
            _ => &self.frame,
        };
        match self.direction {
            Direction::In => frame.clone(),
            Direction::Out => frame.in_style(&self.style, self.output),
        }
    }

    /// What to tell where a mapping of the other direction is wanted.
    pub fn wrong_way(&self, wanted: Direction) -> Option<String> {
        let name = &self.name;
        match (self.direction, wanted) {
            (Direction::In, Direction::In) | (Direction::Out, Direction::Out) => None,
            (Direction::Out, Direction::In) => Some(format!(
                "the mapping \"{name}\" has direction = \"out\": it writes files for an outbox; name \
                 one that reads the customer's files"
            )),
            (Direction::In, Direction::Out) => Some(format!(
                "the mapping \"{name}\" reads the customer's files; name one that has direction = \
                 \"out\" at its top"
            )),
        }
    }

    /// Appends the output record of a document of the outbox to `out`, without what stands around
    /// it; `sequence` is its number, which problems tell. For mappings of the direction out.
    pub fn write(
        &self,
        document: &[u8],
        sequence: u64,
        context: &Context,
        out: &mut Vec<u8>,
        problems: &mut Vec<Problem>,
    ) -> Mapped {
        let input = Box::new(std::io::Cursor::new(document.to_vec()));
        let mut record = Record::default();
        let read = Reader::open(&self.dialect, &self.selectors, input)
            .and_then(|mut reader| reader.next(&mut record));
        let unsound = match read {
            Ok(true) => {
                record.ordinal = sequence;
                return self.apply(&record, context, out, problems);
            }
            Ok(false) => ("json", "the document is empty".to_owned()),
            Err(unsound) => (unsound.rule, unsound.to_string()),
        };
        record.start(sequence);
        Report::new(&record, context, problems).note(Level::Reject, "", "", unsound.0, unsound.1);
        Mapped::Rejected
    }

    /// Appends the output record of `record` to `out`, without what stands around it.
    ///
    /// Problems are appended to `problems`, with the record's ordinal and line.
    pub fn apply(
        &self,
        record: &Record,
        context: &Context,
        out: &mut Vec<u8>,
        problems: &mut Vec<Problem>,
    ) -> Mapped {
        let mut report = Report::new(record, context, problems);
        for fault in &record.faults {
            let advice = fault.advice.clone();
            report.note(Level::Reject, "", &fault.value, fault.rule, advice);
        }
        if report.rejected {
            return Mapped::Rejected;
        }
        if self.only.as_ref().is_some_and(|only| !only.holds(record)) {
            return Mapped::Discarded;
        }
        for warning in &record.warnings {
            let advice = warning.advice.clone();
            report.note(Level::Warn, "", &warning.value, warning.rule, advice);
        }
        let start = out.len();
        self.form.write(&mut report, out);
        if !report.rejected && self.direction == Direction::Out {
            let text = out.split_off(start);
            if let Err(lacking) = self.style.append(&text, self.output, out) {
                let advice = self.style.charset.lacks(lacking);
                report.note(Level::Reject, "", &lacking.to_string(), charset::RULE, advice);
            }
        }
        if report.rejected {
            out.truncate(start);
            return Mapped::Rejected;
        }
        Mapped::Ready
    }

    /// The `from` of the field that writes `to`, if one does.
    pub fn from_of(&self, to: &str) -> Option<&str> {
        self.fields_of(to).first().map(|field| field.label.as_str())
    }

    /// What problems call the fields that write `to`, and the slots that their texts come from.
    pub fn sources_of(&self, to: &str) -> (Vec<&str>, Vec<usize>) {
        let fields = self.fields_of(to);
        let slots = fields.iter().flat_map(|field| match &field.source {
            field::Source::Slots(slots) => slots.as_slice(),
            field::Source::Constant(_) => &[],
        });
        (fields.iter().map(|field| field.label.as_str()).collect(), slots.copied().collect())
    }

    fn fields_of(&self, to: &str) -> &[field::Field] {
        self.form.fields_of(&to.split('.').collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests;
