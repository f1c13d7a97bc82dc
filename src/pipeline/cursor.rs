//! Cursor: a file that is asked for its next message. It reads and maps only when asked, and cuts
//! at the same places whenever it starts from the same record.

use std::path::PathBuf;
use std::sync::Arc;

use crate::deliver::call::Alike;
use crate::inspect::{Inspection, STRIDE, open_at};
use crate::ledger::{Ordinals, Pinned};
use crate::map::{Context, Frame, Mapped, Mapping};
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
    frame: Frame,
    /// Records that an earlier pick-up of the same bytes answers for.
    repeats: Arc<Ordinals>,
    /// Where only records that are alike go together.
    alike: Option<Alike>,
    reader: Option<Reader>,
    record: Record,
    /// The next ordinal that the reader delivers.
    next: u64,
    /// A mapped record that did not fit into the last cut.
    carry: Option<Carried>,
    /// The length of the last body: the next is likely to be as long.
    length: usize,
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
    problems: Vec<Problem>,
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
    /// The lines of all its records, where only those that are alike go together.
    pub lines: Vec<u64>,
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
        let records = pinned.batch_records.max(1);
        Cursor {
            path,
            inspection,
            frame: mapping.frame(records),
            mapping,
            context: Context { customer: customer.to_owned(), date: pinned.date },
            limits: Cut {
                records,
                bytes: usize::try_from(pinned.batch_bytes).unwrap_or(usize::MAX),
            },
            repeats,
            alike: None,
            reader: None,
            record: Record::default(),
            next: 1,
            carry: None,
            length: 0,
        }
    }

    /// The same, where only records that are alike go together.
    pub fn keeping_apart(self, alike: Option<Alike>) -> Cursor {
        Cursor { alike, ..self }
    }

    /// Cuts the next piece from `start` on, which is where the last one ended or any other place.
    pub fn cut(&mut self, start: u64) -> Result<Piece, Unsound> {
        let mut piece = Piece { start, ..Piece::default() };
        let mut kind = None;
        match self.carry.take() {
            Some(carried) if carried.ordinal == start => {
                self.begin(&mut piece);
                piece.body.extend_from_slice(&carried.body);
                piece.problems = carried.problems;
                kind = self.kind(&carried.body);
                self.take(&mut piece, carried.ordinal, carried.line);
                self.end(&mut piece);
            }
            _ => self.stand_before(start)?,
        }
        let mut count = piece.count();
        while count < self.limits.records && self.next < start + REACH {
            if self.next > self.inspection.records {
                piece.ended = true;
                break;
            }
            if !self.read()? {
                return Err(self.cut_short());
            }
            if self.repeats.contains(self.record.ordinal) {
                continue;
            }
            let (before, told) = (piece.body.len(), piece.problems.len());
            let Some(mapped) = self.map(&mut piece) else { continue };
            let behind = self.frame.behind.len() + self.frame.foot.len();
            let full = piece.body.len() + behind > self.limits.bytes;
            let (ordinal, line) = (self.record.ordinal, self.record.place.line);
            let this = self.kind(&piece.body[mapped..]);
            let differs = self.alike.is_some() && (this.is_none() || this != kind);
            if (full || differs) && !piece.records.is_empty() {
                let body = piece.body.split_off(mapped);
                let problems = piece.problems.split_off(told);
                piece.body.truncate(before);
                self.carry = Some(Carried { ordinal, line, body, problems });
                break;
            }
            kind = this;
            self.take(&mut piece, ordinal, line);
            self.end(&mut piece);
            count += 1;
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
        while self.next <= last && self.read()? {
            let (ordinal, line) = (self.record.ordinal, self.record.place.line);
            if wanted(ordinal) && self.map(&mut piece).is_some() {
                self.take(&mut piece, ordinal, line);
                self.end(&mut piece);
            }
        }
        self.close(&mut piece);
        Ok(piece)
    }

    /// What a mapped record must have in common with those beside it.
    fn kind(&self, body: &[u8]) -> Option<String> {
        self.alike.and_then(|alike| alike(body))
    }

    /// A record belongs to a piece.
    fn take(&self, piece: &mut Piece, ordinal: u64, line: u64) {
        piece.take(ordinal, line);
        if self.alike.is_some() {
            piece.lines.push(line);
        }
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

    /// Maps the record in hand behind what the piece carries already; tells where in the body it
    /// starts. `None` if it is not to be sent, and then the body is as it was.
    fn map(&mut self, piece: &mut Piece) -> Option<usize> {
        let before = piece.body.len();
        self.begin(piece);
        let start = piece.body.len();
        match self.mapping.apply(&self.record, &self.context, &mut piece.body, &mut piece.problems)
        {
            Mapped::Ready => return Some(start),
            Mapped::Rejected => extend(&mut piece.rejected, self.record.ordinal),
            Mapped::Discarded => extend(&mut piece.unwanted, self.record.ordinal),
        }
        piece.body.truncate(before);
        None
    }

    /// Writes what stands before a record.
    fn begin(&self, piece: &mut Piece) {
        if piece.body.capacity() == 0 {
            piece.body.reserve(self.length + self.length / 16);
        }
        let before = if piece.body.is_empty() { &self.frame.head } else { &self.frame.between };
        piece.body.extend_from_slice(before);
    }

    /// Writes what stands behind a record.
    fn end(&self, piece: &mut Piece) {
        piece.body.extend_from_slice(&self.frame.behind);
    }

    /// Writes what stands behind the last record.
    fn close(&mut self, piece: &mut Piece) {
        if !piece.body.is_empty() {
            piece.body.extend_from_slice(&self.frame.foot);
            self.length = piece.body.len();
        }
    }
}

impl Piece {
    fn count(&self) -> u64 {
        self.records.iter().map(|(first, last)| last + 1 - first).sum()
    }

    fn take(&mut self, ordinal: u64, line: u64) {
        if self.records.is_empty() {
            self.line = line;
        }
        extend(&mut self.records, ordinal);
    }
}

fn extend(ranges: &mut Vec<(u64, u64)>, ordinal: u64) {
    match ranges.last_mut() {
        Some(range) if range.1 + 1 == ordinal => range.1 = ordinal,
        _ => ranges.push((ordinal, ordinal)),
    }
}

#[cfg(test)]
mod tests;
