//! Text: a file's bytes as UTF-8, with the place in the file as it came. What cannot be decoded is
//! a fault with its line and offset, never U+FFFD.

mod decode;
mod encoding;
mod guess;

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

pub use self::encoding::{DosPage, Encoding};
pub(super) use self::guess::Mojibake;

use self::decode::{Culprit, Decoder, Notes, Stop};
pub(super) use self::encoding::SUBSTITUTE;
use super::{Mark, Unsound};

/// How much is read at once, at least and at most; the more is kept, the more is read. Unit tests
/// read little at once, so that short texts meet the seams.
const CHUNK: usize = if cfg!(test) { 64 } else { 64 * 1024 };
const LARGEST_CHUNK: usize = 1024 * 1024;

/// How many bytes at the start of a file are looked at for its encoding.
const HEAD: u64 = 8;

/// A decoded stream that knows, at the point up to which it was consumed, the line and the byte
/// offset in the original file.
pub struct Text {
    input: Box<dyn Read + Send>,
    encoding: Encoding,
    decoder: Decoder,
    notes: Notes,
    /// Bytes that were read and not decoded yet: the head, or a character's first half.
    raw: Vec<u8>,
    buffer: String,
    /// How much of `buffer` is consumed; it may stand inside a character.
    start: usize,
    ended: bool,
    /// What stops the reading behind the end of `buffer`; its place is told when it is reached.
    fault: Option<Unsound>,
    /// Whether there are substitutes in view.
    flawed: bool,
    /// The first substitute that was consumed since the last was taken.
    flaw: Option<Flaw>,
    line: u64,
    byte: u64,
    after_cr: bool,
}

/// Undecodable bytes that were passed over.
pub struct Flaw {
    /// The first of them.
    pub value: String,
    /// Where they stand, and what to do.
    pub unsound: Unsound,
}

impl Text {
    /// Opens a file at its start; a byte order mark wins over `encoding`.
    pub fn open(
        encoding: impl Into<Encoding>,
        mut input: Box<dyn Read + Send>,
    ) -> Result<Text, Unsound> {
        let mut head = Vec::new();
        if let Err(error) = (&mut input).take(HEAD).read_to_end(&mut head) {
            return Err(unreadable(&error, 1, 0));
        }
        let marked = encoding_rs::Encoding::for_bom(&head);
        let (encoding, skip) = match marked {
            Some((encoding, length)) => (encoding.into(), length),
            None => (encoding.into(), 0),
        };
        if marked.is_none() {
            check_zeros(encoding, &head)?;
        }
        let mut text = Text::at(encoding, input, Mark { ordinal: 1, line: 1, byte: skip as u64 });
        text.raw.extend_from_slice(&head[skip..]);
        Ok(text)
    }

    /// Reads on from a place inside a file whose encoding `open` has settled; `input` stands at
    /// `mark.byte`. The encoding is not a stateful one.
    pub fn resume(encoding: impl Into<Encoding>, input: Box<dyn Read + Send>, mark: Mark) -> Text {
        Text::at(encoding.into(), input, mark)
    }

    /// Lets bytes that are no character pass as SUBSTITUTE (1A), and tells them by `take_flaw`:
    /// for formats in which it is certain all the same where the next record starts.
    ///
    /// In a stateful encoding nothing behind such bytes is certain; there they stop the reading. A
    /// single 1A at the end of the file is DOS's mark of that, and no text.
    pub fn lenient(mut self) -> Text {
        self.notes.lenient = !self.encoding.is_stateful();
        self
    }

    /// What is wrong with the first undecodable bytes that were consumed since this was asked last.
    pub fn take_flaw(&mut self) -> Option<Flaw> {
        self.flaw.take()
    }

    /// The encoding in use.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The line at which the stream stands, from 1. CR, LF and CRLF end a line.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The offset in the file as it came at which the stream stands.
    pub fn byte(&self) -> u64 {
        self.byte
    }

    /// What is in view: read and not consumed. Empty says nothing about the end of the file.
    pub fn ahead(&self) -> &str {
        // Whoever consumes inside a character reads bytes by `BufRead`, and does not look here.
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The line and the offset in the file after the next `amount` bytes in view.
    pub fn place_ahead(&self, amount: usize) -> (u64, u64) {
        let ahead = &self.buffer.as_bytes()[self.start..self.start + amount];
        (self.line + line_ends(ahead, self.after_cr), self.byte + self.width(amount))
    }

    /// Brings more into view behind what is in view already; `false` at the end of the file.
    pub fn more(&mut self) -> io::Result<bool> {
        if let Some(fault) = &self.fault {
            let (line, byte) = self.place_ahead(self.buffer.len() - self.start);
            return Err(io::Error::other(Unsound { line, byte, ..fault.clone() }));
        }
        if self.ended && self.raw.is_empty() {
            return Ok(false);
        }
        let mut consumed = self.start;
        while !self.buffer.is_char_boundary(consumed) {
            consumed -= 1;
        }
        self.buffer.drain(..consumed);
        self.start -= consumed;
        self.notes.forget(consumed);
        self.read_and_decode(self.buffer.len().clamp(CHUNK, LARGEST_CHUNK));
        Ok(true)
    }

    /// Consumes `amount` bytes that are one line with its line end, and hold no other.
    pub fn consume_line(&mut self, amount: usize) {
        let after_cr = self.buffer.as_bytes()[self.start..self.start + amount].ends_with(b"\r");
        self.pass(amount, self.line + 1, self.byte + self.width(amount), after_cr);
    }

    /// Takes back the fault that a read from a `Text` reported, through whatever passed it on.
    pub fn unsound(error: &io::Error) -> Unsound {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Unsound>()) {
            Some(unsound) => unsound.clone(),
            None => unreadable(error, 0, 0),
        }
    }

    fn at(encoding: Encoding, input: Box<dyn Read + Send>, mark: Mark) -> Text {
        Text {
            input,
            encoding,
            decoder: Decoder::new(encoding),
            notes: Notes { encoding, lenient: false, base: 0, culprits: VecDeque::new() },
            raw: Vec::new(),
            buffer: String::new(),
            start: 0,
            ended: false,
            fault: None,
            flawed: false,
            flaw: None,
            line: mark.line,
            byte: mark.byte,
            after_cr: false,
        }
    }

    /// Reads up to `room` bytes, fewer only at the end or before a fault, so that what a reader
    /// of records sees does not hang on how the bytes arrive.
    fn read_and_decode(&mut self, room: usize) {
        self.raw.reserve(room);
        match (&mut self.input).take(room as u64).read_to_end(&mut self.raw) {
            Ok(read) => self.ended = read < room,
            Err(error) => self.fault = Some(unreadable(&error, 0, 0)),
        }
        // A character that a fault of the disk cuts off is none of the file's faults.
        let last = self.ended && self.fault.is_none();
        let dos_end = self.notes.lenient
            && !self.encoding.is_utf_16()
            && self.raw.last() == Some(&(SUBSTITUTE as u8));
        if dos_end {
            self.raw.pop();
        }
        let decoded = self.decoder.decode(&mut self.raw, last, &mut self.buffer, &mut self.notes);
        if dos_end && !last {
            self.raw.push(SUBSTITUTE as u8);
        }
        if let Err(stop) = decoded {
            self.fault = Some(stopped(self.encoding, &stop));
        }
        if self.notes.lenient {
            let ahead = &self.buffer.as_bytes()[self.start..];
            self.flawed = memchr::memchr(SUBSTITUTE as u8, ahead).is_some();
        }
    }

    /// Moves on by `amount` bytes in view, to this place.
    fn pass(&mut self, amount: usize, line: u64, byte: u64, after_cr: bool) {
        if self.flawed && self.flaw.is_none() {
            let ahead = &self.buffer.as_bytes()[self.start..self.start + amount];
            let found = memchr::memchr(SUBSTITUTE as u8, ahead);
            self.flaw = found.map(|at| self.flaw_ahead(at));
        }
        if let Decoder::Several(several) = &mut self.decoder {
            several.widths.consume(amount);
        }
        (self.line, self.byte, self.after_cr) = (line, byte, after_cr);
        self.start += amount;
    }

    /// What is wrong with the substitute that stands `ahead` bytes further on.
    fn flaw_ahead(&mut self, ahead: usize) -> Flaw {
        let (line, byte) = self.place_ahead(ahead);
        let at = self.notes.base + (self.start + ahead) as u64;
        let culprits = &mut self.notes.culprits;
        while culprits.front().is_some_and(|first| first.at < at) {
            culprits.pop_front();
        }
        let culprit = culprits.front().filter(|first| first.at == at);
        let (value, unsound) = match culprit {
            Some(culprit) => {
                (format!("byte {:02X}", culprit.byte), undecodable(self.encoding, culprit))
            }
            None => ("byte 1A".to_owned(), substituted()),
        };
        Flaw { value, unsound: Unsound { line, byte, ..unsound } }
    }

    /// How many bytes of the file became the next `amount` bytes of text.
    fn width(&self, amount: usize) -> u64 {
        let text = &self.buffer.as_bytes()[self.start..self.start + amount];
        let length = amount as u64;
        let several = match &self.decoder {
            Decoder::Utf8 => return length,
            Decoder::Several(several) => Some(several),
            Decoder::One(_) | Decoder::Utf16(_) => None,
        };
        if let Some(several) = several {
            return several.widths.raw(amount);
        }
        let (mut characters, mut pairs) = (length, 0);
        if !text.is_ascii() {
            // A byte that does not continue a character starts one; those of four bytes in UTF-8
            // are the pairs of UTF-16.
            characters -= count(text, |byte| byte & 0xC0 == 0x80);
            pairs = count(text, |byte| byte >= 0xF0);
        }
        if self.encoding.is_utf_16() { 2 * (characters + pairs) } else { characters }
    }
}

impl BufRead for Text {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.start == self.buffer.len() && self.more()? {}
        Ok(&self.buffer.as_bytes()[self.start..])
    }

    fn consume(&mut self, amount: usize) {
        let ahead = &self.buffer.as_bytes()[self.start..];
        let amount = amount.min(ahead.len());
        let Some(last) = ahead[..amount].last() else { return };
        let after_cr = *last == b'\r';
        let (line, byte) = self.place_ahead(amount);
        self.pass(amount, line, byte, after_cr);
    }
}

impl Read for Text {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// Counts line ends; CR and LF are one, also if the CR came just before `text`.
fn line_ends(text: &[u8], after_cr: bool) -> u64 {
    let mut ends = memchr::memchr_iter(b'\n', text).count() as u64;
    if after_cr && text.first() == Some(&b'\n') {
        ends -= 1;
    }
    for at in memchr::memchr_iter(b'\r', text) {
        if text.get(at + 1) != Some(&b'\n') {
            ends += 1;
        }
    }
    ends
}

/// Counts bytes, a few at a time so that the sum of each few fits one byte: this is done at once
/// for many bytes by the processor.
fn count(text: &[u8], counts: impl Fn(u8) -> bool) -> u64 {
    let few = |few: &[u8]| few.iter().map(|byte| u8::from(counts(*byte))).sum::<u8>();
    text.chunks(usize::from(u8::MAX)).map(|part| u64::from(few(part))).sum()
}

/// A zero byte in the first two is half of a UTF-16 unit (XML 1.0, appendix F, reasons likewise).
///
/// In UTF-16 it is seldom the wrong half, as in U+4E00; four such characters in a row are those of
/// the other byte order.
fn check_zeros(encoding: Encoding, head: &[u8]) -> Result<(), Unsound> {
    let all = |zero: usize| {
        head.len() >= 4 && head.chunks_exact(2).all(|unit| unit[zero] == 0 && unit[1 - zero] != 0)
    };
    let likely = match head {
        _ if encoding.is_utf_16() && all(0) => encoding_rs::UTF_16BE,
        _ if encoding.is_utf_16() && all(1) => encoding_rs::UTF_16LE,
        _ if encoding.is_utf_16() => return Ok(()),
        [0, second, ..] if *second != 0 => encoding_rs::UTF_16BE,
        [0, ..] | [_, 0, ..] => encoding_rs::UTF_16LE,
        _ => return Ok(()),
    };
    if encoding == likely.into() {
        return Ok(());
    }
    Err(Unsound {
        rule: "encoding",
        line: 1,
        byte: 0,
        what: format!("zero bytes at the start, where {} has none", encoding.name()),
        advice: format!(
            "if the file is UTF-16 without a byte order mark, name {} as its encoding",
            likely.name()
        ),
    })
}

fn stopped(encoding: Encoding, stop: &Stop) -> Unsound {
    let (rule, what, advice) = match stop {
        Stop::Undecodable(culprit) => return undecodable(encoding, culprit),
        Stop::CutOff => (
            "truncated",
            format!("the file ends inside a character of {}", encoding.name()),
            "send the whole file again, or name its encoding under [input] in the mapping if it \
             is another",
        ),
        Stop::Roman => (
            "encoding",
            "a line or a record starts or ends in the Roman set of ISO-2022-JP".to_owned(),
            "switch back to ASCII there, or write the file as UTF-8",
        ),
    };
    Unsound { rule, line: 0, byte: 0, what, advice: advice.to_owned() }
}

fn undecodable(encoding: Encoding, culprit: &Culprit) -> Unsound {
    let advice = match culprit.likely {
        Some(likely) => format!(
            "if the file is written in {likely}, name that as its encoding under [input] in the \
             mapping; else correct what stands here"
        ),
        None => "name the encoding in which the file is written under [input] in the mapping, or \
                 write the file in the one that is named there"
            .to_owned(),
    };
    let what = format!("byte {:02X} is not {} here", culprit.byte, encoding.name());
    Unsound { rule: "encoding", line: 0, byte: 0, what, advice }
}

/// A SUBSTITUTE that the file itself holds. Systems that convert from EBCDIC write it for what they
/// cannot convert (IBM, Character Data Representation Architecture, chapter on conversion).
fn substituted() -> Unsound {
    Unsound {
        rule: "encoding",
        line: 0,
        byte: 0,
        what: "a substitute (byte 1A) stands where a character was lost".to_owned(),
        advice:
            "see what the system that writes the file could not convert, and correct the record"
                .to_owned(),
    }
}

fn unreadable(error: &io::Error, line: u64, byte: u64) -> Unsound {
    Unsound {
        rule: "io",
        line,
        byte,
        what: format!("the file cannot be read: {error}"),
        advice: "see whether the disk is sound and the file's permissions allow reading".to_owned(),
    }
}

#[cfg(test)]
mod tests;
