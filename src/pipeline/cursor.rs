//! Cursor: a file that is asked for its next message. It reads and maps only when asked, and cuts
//! at the same places whenever it starts from the same record.

use std::path::PathBuf;
use std::sync::Arc;

use crate::inspect::{Inspection, STRIDE, open_at};
use crate::ledger::{Ordinals, Pinned};
use crate::map::{Context, Mapped, Mapping, Output};
use crate::model::{Problem, Record};
use crate::read::{Reader, Unsound};

/// How many records are looked at for one cut at most, so that a file of nothing but faulty
/// records reports progress.
const REACH: u64 = 10_000;

/// A place in a file, and how its records become messages.
pub struct Cursor {
    path: PathBuf,
    inspection: Arc<Inspection>,
    mapping: Arc<Mapping>,
    context: Context,
    limits: Cut,
    /// Records that an earlier pick-up of the same bytes answers for.
    repeats: Arc<Ordinals>,
    reader: Option<Reader>,
    record: Record,
    /// The next ordinal that the reader delivers.
    next: u64,
    /// A mapped record that did not fit into the last cut.
    carry: Option<Carried>,
}

#[derive(Clone, Copy)]
struct Cut {
    records: u64,
    bytes: usize,
}

struct Carried {
    ordinal: u64,
    line: u64,
    body: Vec<u8>,
}

/// What one cut found.
#[derive(Debug, Default)]
pub struct Piece {
    /// The ordinal it starts at: where a restart cuts again if this piece is not answered.
    pub start: u64,
    /// The records of the message, as ranges, both ends inclusive; empty if there is none.
    pub records: Vec<(u64, u64)>,
    /// The line of the message's first record.
    pub line: u64,
    /// The message's body.
    pub body: Vec<u8>,
    /// Records that the mapping rejects.
    pub rejected: Vec<(u64, u64)>,
    /// Records that the mapping does not want.
    pub unwanted: Vec<(u64, u64)>,
    /// What is wrong with records, those that only earn a warning included.
    pub problems: Vec<Problem>,
    /// Whether the file ends here.
    pub ended: bool,
}

impl Cursor {
    /// A cursor that has not read anything yet.
    pub fn new(
        path: PathBuf,
        inspection: Arc<Inspection>,
        mapping: Arc<Mapping>,
        customer: &str,
        pinned: &Pinned,
        repeats: Arc<Ordinals>,
    ) -> Cursor {
        Cursor {
            path,
            inspection,
            mapping,
            context: Context { customer: customer.to_owned(), date: pinned.date },
            limits: Cut {
                records: pinned.batch_records.max(1),
                bytes: usize::try_from(pinned.batch_bytes).unwrap_or(usize::MAX),
            },
            repeats,
            reader: None,
            record: Record::default(),
            next: 1,
            carry: None,
        }
    }

    /// Cuts the next piece from `start` on, which is where the last one ended or any other place.
    pub fn cut(&mut self, start: u64) -> Result<Piece, Unsound> {
        let mut piece = Piece { start, ..Piece::default() };
        match self.carry.take() {
            Some(carried) if carried.ordinal == start => {
                self.append(&mut piece, carried.ordinal, carried.line, &carried.body);
            }
            _ => self.stand_before(start)?,
        }
        let mut mapped = Vec::new();
        while piece.count() < self.limits.records && self.next < start + REACH {
            if self.next > self.inspection.records {
                piece.ended = true;
                break;
            }
            if !self.read()? {
                return Err(self.cut_short());
            }
            let (ordinal, line) = (self.record.ordinal, self.record.place.line);
            if self.repeats.contains(ordinal) {
                continue;
            }
            mapped.clear();
            match self.mapping.apply(&self.record, &self.context, &mut mapped, &mut piece.problems)
            {
                Mapped::Rejected => extend(&mut piece.rejected, ordinal),
                Mapped::Discarded => extend(&mut piece.unwanted, ordinal),
                Mapped::Ready => {
                    let full = piece.body.len() + mapped.len() + 3 > self.limits.bytes;
                    if full && !piece.records.is_empty() {
                        self.carry = Some(Carried { ordinal, line, body: mapped });
                        break;
                    }
                    self.append(&mut piece, ordinal, line, &mapped);
                }
            }
        }
        self.close(&mut piece);
        Ok(piece)
    }

    /// Maps again the records from `first` to `last` for which `wanted` says so, as one message.
    pub fn again(
        &mut self,
        first: u64,
        last: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<Piece, Unsound> {
        self.carry = None;
        self.stand_before(first)?;
        let mut piece = Piece { start: first, ..Piece::default() };
        let mut mapped = Vec::new();
        while self.next <= last && self.read()? {
            let (ordinal, line) = (self.record.ordinal, self.record.place.line);
            if !wanted(ordinal) {
                continue;
            }
            mapped.clear();
            match self.mapping.apply(&self.record, &self.context, &mut mapped, &mut piece.problems)
            {
                Mapped::Rejected => extend(&mut piece.rejected, ordinal),
                Mapped::Discarded => extend(&mut piece.unwanted, ordinal),
                Mapped::Ready => self.append(&mut piece, ordinal, line, &mapped),
            }
        }
        self.close(&mut piece);
        Ok(piece)
    }

    /// The file has fewer records than were counted when it was inspected.
    fn cut_short(&self) -> Unsound {
        let place = self.record.place;
        Unsound {
            rule: "changed",
            line: place.line,
            byte: place.byte + place.length,
            what: format!(
                "the file ends behind record {} of {}",
                self.next - 1,
                self.inspection.records
            ),
            advice: "see who still writes to it".to_owned(),
        }
    }

    /// Where the next cut starts.
    pub fn position(&self) -> u64 {
        self.carry.as_ref().map_or(self.next, |carried| carried.ordinal)
    }

    fn read(&mut self) -> Result<bool, Unsound> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let more = reader.next(&mut self.record)?;
        if more {
            self.next = self.record.ordinal + 1;
        }
        Ok(more)
    }

    /// Puts the reader before a record: reading on where that is near, else from the last mark.
    fn stand_before(&mut self, ordinal: u64) -> Result<(), Unsound> {
        let near = self.reader.is_some() && (self.next..self.next + STRIDE).contains(&ordinal);
        if !near {
            let reader = open_at(
                &self.path,
                &self.mapping.dialect,
                &self.mapping.selectors,
                &self.inspection,
                ordinal,
            )?;
            self.reader = Some(reader);
            let mark = self.inspection.marks.iter().rev().find(|mark| mark.ordinal <= ordinal);
            self.next = mark.map_or(1, |mark| mark.ordinal);
        }
        while self.next < ordinal && self.read()? {}
        Ok(())
    }

    fn append(&self, piece: &mut Piece, ordinal: u64, line: u64, mapped: &[u8]) {
        if piece.records.is_empty() {
            piece.line = line;
            piece.body.reserve(mapped.len() * self.limits.records.min(64) as usize);
        }
        match self.mapping.output {
            Output::Json if self.limits.records == 1 => piece.body.extend_from_slice(mapped),
            Output::Json => {
                piece.body.push(if piece.body.is_empty() { b'[' } else { b',' });
                piece.body.extend_from_slice(mapped);
            }
            Output::Ndjson => {
                piece.body.extend_from_slice(mapped);
                piece.body.push(b'\n');
            }
        }
        extend(&mut piece.records, ordinal);
    }

    fn close(&self, piece: &mut Piece) {
        if self.mapping.output == Output::Json && self.limits.records > 1 && !piece.body.is_empty()
        {
            piece.body.push(b']');
        }
    }
}

impl Piece {
    fn count(&self) -> u64 {
        self.records.iter().map(|(first, last)| last + 1 - first).sum()
    }
}

fn extend(ranges: &mut Vec<(u64, u64)>, ordinal: u64) {
    match ranges.last_mut() {
        Some(range) if range.1 + 1 == ordinal => range.1 = ordinal,
        _ => ranges.push((ordinal, ordinal)),
    }
}
