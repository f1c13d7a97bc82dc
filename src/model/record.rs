//! One record of a file: where it stands, and the texts that the mapping asked for.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Where a record stands in its file, in the file's own bytes and lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The line on which the record starts, from 1. CR, LF and CRLF end a line.
    pub line: u64,
    /// The offset of the record's first byte in the file as it came, a byte order mark included.
    pub byte: u64,
    /// How many bytes of the file the record takes, its line end included where it has one.
    pub length: u64,
}

/// One CSV row, XML element or JSON value: for each selector the texts that it hit.
///
/// A reader fills the same `Record` again and again, so that no record costs an allocation.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The record's number in its file, from 1.
    pub ordinal: u64,
    /// Where it stands.
    pub place: Place,
    /// What the reader found wrong with this one record, as rule and advice; the file goes on.
    pub faults: Vec<Fault>,
    /// What looks wrong with it and may be right.
    pub warnings: Vec<Fault>,
    text: String,
    hits: Vec<Hit>,
    /// Whether every hit stands in the place of its slot, as in a row of a table.
    in_place: bool,
}

/// Something wrong with the form of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule's name: `ragged`, `json`, `size`, …
    pub rule: &'static str,
    /// What was read, shortened.
    pub value: String,
    /// What to do about it.
    pub advice: String,
}

#[derive(Clone, Copy, Debug)]
struct Hit {
    slot: u32,
    start: u32,
    end: u32,
}

impl Record {
    /// Empties the record for the next one and gives it its number.
    pub fn start(&mut self, ordinal: u64) {
        self.ordinal = ordinal;
        self.place = Place::default();
        self.faults.clear();
        self.warnings.clear();
        self.text.clear();
        self.hits.clear();
        self.in_place = true;
    }

    /// Notes one text that the selector in `slot` hit, in the order of the file.
    pub fn push(&mut self, slot: usize, text: &str) {
        let start = self.hold(text);
        self.push_held(slot, start..start + text.len());
    }

    /// Takes in text that several hits are parts of, and tells where it starts.
    pub fn hold(&mut self, text: &str) -> usize {
        let start = self.text.len();
        self.text.push_str(text);
        start
    }

    /// All text that the record holds.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Notes that the selector in `slot` hit this part of what the record holds, in the order of
    /// the file.
    pub fn push_held(&mut self, slot: usize, part: Range<usize>) {
        self.in_place &= slot == self.hits.len();
        self.hits.push(Hit { slot: slot as u32, start: part.start as u32, end: part.end as u32 });
    }

    /// How many hits there are.
    pub fn hits(&self) -> usize {
        self.hits.len()
    }

    /// How many bytes the texts of all hits take, with those that were taken back.
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// Takes back the hits of these slots, the first `from` hits excepted.
    pub fn withdraw(&mut self, from: usize, slots: &[usize]) {
        let mut at = 0;
        self.hits.retain(|hit| {
            at += 1;
            at <= from || !slots.contains(&(hit.slot as usize))
        });
        let behind = self.hits.iter().enumerate().skip(from);
        self.in_place = self.in_place && behind.into_iter().all(|(n, hit)| n == hit.slot as usize);
    }

    /// The texts that the selector in `slot` hit, among the first `within` hits of all.
    pub fn texts_within(&self, within: usize, slot: usize) -> impl Iterator<Item = &str> {
        let slot = slot as u32;
        self.hits
            .iter()
            .take(within)
            .filter(move |hit| hit.slot == slot)
            .filter_map(|hit| self.text.get(hit.start as usize..hit.end as usize))
    }

    /// The text that the selector in `slot` hit, where it is plain that there is one and no other.
    pub fn single(&self, slot: usize) -> Option<&str> {
        let hit = self.hits.get(slot).filter(|_| self.in_place)?;
        self.text.get(hit.start as usize..hit.end as usize)
    }

    /// All texts that the selector in `slot` hit, in the order of the file; none if it is missing.
    pub fn texts(&self, slot: usize) -> impl Iterator<Item = &str> {
        let hits = match self.in_place {
            true => self.hits.get(slot..=slot).unwrap_or_default(),
            false => &self.hits,
        };
        let slot = slot as u32;
        hits.iter()
            .filter(move |hit| hit.slot == slot)
            .filter_map(|hit| self.text.get(hit.start as usize..hit.end as usize))
    }
}
