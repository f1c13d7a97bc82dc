//! Bounded: the text of a file with a limit on what one record may take of it, and, after a mark,
//! with what stands around the records put in front again.

use std::io::{self, BufRead, Read};

use super::text::{Flaw, Text};
use super::{RECORD_LIMIT, Unsound};

/// Text that a parser reads; it stops with an error when one record grows too large.
pub(super) struct Bounded {
    front: Vec<u8>,
    front_at: usize,
    text: Text,
    left: usize,
    since: Spot,
}

/// A place in the file as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) line: u64,
    pub(super) byte: u64,
}

impl Spot {
    /// The file cannot be used for what is wrong here.
    pub(super) fn unsound(self, rule: &'static str, what: String, advice: &str) -> Unsound {
        Unsound { rule, line: self.line, byte: self.byte, what, advice: advice.to_owned() }
    }
}

impl Bounded {
    /// Reads `text`, after the few tags or brackets in `front`, which take no place in the file.
    pub(super) fn new(text: Text, front: Vec<u8>) -> Bounded {
        let since = Spot { line: text.line(), byte: text.byte() };
        Bounded { front, front_at: 0, text, left: RECORD_LIMIT, since }
    }

    /// The name of the encoding in use.
    pub(super) fn encoding(&self) -> &'static str {
        self.text.encoding().name()
    }

    /// The first undecodable bytes since this was asked last.
    pub(super) fn take_flaw(&mut self) -> Option<Flaw> {
        self.text.take_flaw()
    }

    /// Where in the file the stream stands.
    pub(super) fn spot(&self) -> Spot {
        Spot { line: self.text.line(), byte: self.text.byte() }
    }

    /// Lets a new record, or a piece between records, take its full measure from here.
    pub(super) fn measure_anew(&mut self) {
        self.left = RECORD_LIMIT;
        self.since = self.spot();
    }

    /// What is there to be read, empty at the end, with the fault of the text laid open.
    pub(super) fn chunk(&mut self) -> Result<&[u8], Unsound> {
        let spot = self.spot();
        self.fill_buf().map_err(|error| laid_open(&error, spot))
    }

    /// The next byte without taking it; none at the end.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, Unsound> {
        Ok(self.chunk()?.first().copied())
    }
}

impl BufRead for Bounded {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.front_at < self.front.len() {
            return Ok(&self.front[self.front_at..]);
        }
        if self.left == 0 {
            let what = format!("what starts here takes more than {RECORD_LIMIT} bytes");
            let advice = "see whether an end tag, a quote or a bracket is missing, or write \
                          smaller records";
            return Err(io::Error::other(self.since.unsound("size", what, advice)));
        }
        let left = self.left;
        let chunk = self.text.fill_buf()?;
        Ok(&chunk[..chunk.len().min(left)])
    }

    fn consume(&mut self, amount: usize) {
        if self.front_at < self.front.len() {
            self.front_at += amount;
            return;
        }
        self.left -= amount.min(self.left);
        self.text.consume(amount);
    }
}

impl Read for Bounded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// The fault of the file that an I/O error carries; any other is a fault of reading at `spot`.
pub(super) fn laid_open(error: &io::Error, spot: Spot) -> Unsound {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Unsound>()) {
        Some(unsound) => unsound.clone(),
        None => {
            let advice = "see whether the disk is sound and the file's permissions allow reading";
            spot.unsound("io", format!("the file cannot be read: {error}"), advice)
        }
    }
}

/// The beginning of a text, for a message: on one line, at most 60 characters.
pub(super) fn beginning(text: &str) -> String {
    const LIMIT: usize = 60;
    let mut out = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == LIMIT {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

/// For tests: texts that arrive in pieces, and records as plain values.
#[cfg(test)]
pub(super) mod pieces {
    use std::io::Read;

    use encoding_rs::UTF_8;

    use super::super::text::Text;
    use super::super::{Mark, Unsound};
    use crate::model::Record;
    use crate::model::record::Fault;

    /// Gives its bytes in pieces of the given sizes, over and over.
    struct Pieces {
        bytes: Vec<u8>,
        at: usize,
        cuts: Vec<usize>,
        turn: usize,
    }

    impl Read for Pieces {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let piece = match self.cuts.len() {
                0 => out.len(),
                n => self.cuts[self.turn % n],
            };
            self.turn += 1;
            let n = piece.min(out.len()).min(self.bytes.len() - self.at);
            out[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
            self.at += n;
            Ok(n)
        }
    }

    fn pieces(bytes: &[u8], cuts: &[usize]) -> Box<dyn Read + Send> {
        Box::new(Pieces { bytes: bytes.to_vec(), at: 0, cuts: cuts.to_vec(), turn: 0 })
    }

    pub(in crate::read) fn text(bytes: &[u8], cuts: &[usize]) -> Result<Text, Unsound> {
        Text::open(UTF_8, pieces(bytes, cuts))
    }

    pub(in crate::read) fn text_at(bytes: &[u8], mark: Mark, cuts: &[usize]) -> Text {
        Text::resume(UTF_8, pieces(&bytes[mark.byte as usize..], cuts), mark)
    }

    /// A record as it was read.
    #[derive(Clone, Debug, PartialEq)]
    pub(in crate::read) struct Taken {
        pub(in crate::read) ordinal: u64,
        pub(in crate::read) line: u64,
        pub(in crate::read) byte: u64,
        pub(in crate::read) length: u64,
        pub(in crate::read) texts: Vec<Vec<String>>,
        pub(in crate::read) faults: Vec<Fault>,
    }

    impl Taken {
        pub(in crate::read) fn range(&self) -> std::ops::Range<usize> {
            self.byte as usize..(self.byte + self.length) as usize
        }

        pub(in crate::read) fn mark(&self) -> Mark {
            Mark { ordinal: self.ordinal, line: self.line, byte: self.byte }
        }
    }

    /// Reads to the end.
    pub(in crate::read) fn take(
        slots: usize,
        mut next: impl FnMut(&mut Record) -> Result<bool, Unsound>,
    ) -> Result<Vec<Taken>, Unsound> {
        let mut record = Record::default();
        let mut taken = Vec::new();
        while next(&mut record)? {
            taken.push(Taken {
                ordinal: record.ordinal,
                line: record.place.line,
                byte: record.place.byte,
                length: record.place.length,
                texts: (0..slots)
                    .map(|slot| record.texts(slot).map(str::to_owned).collect())
                    .collect(),
                faults: record.faults.clone(),
            });
        }
        Ok(taken)
    }
}
