//! Text: a file's bytes as UTF-8, with the place in the file as it came. What cannot be decoded is
//! a fault with its line and offset, never U+FFFD.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::{Mark, Unsound};

/// How much is read at once, at least and at most; the more is kept, the more is read. Unit tests
/// read little at once, so that short texts meet the seams.
const CHUNK: usize = if cfg!(test) { 64 } else { 64 * 1024 };
const LARGEST_CHUNK: usize = 1024 * 1024;

/// A decoded stream that knows, at the point up to which it was consumed, the line and the byte
/// offset in the original file.
pub struct Text {
    input: Box<dyn Read + Send>,
    encoding: &'static Encoding,
    /// None for UTF-8: the bytes of the file are the text.
    decoder: Option<Decoder>,
    /// Bytes that were read and not decoded yet: the head, or a character's first half.
    raw: Vec<u8>,
    buffer: String,
    /// How much of `buffer` is consumed; it may stand inside a character.
    start: usize,
    ended: bool,
    /// What stops the reading behind the end of `buffer`; its place is told when it is reached.
    fault: Option<Unsound>,
    line: u64,
    byte: u64,
    after_cr: bool,
}

impl Text {
    /// Reads from the start of a file; a byte order mark wins over `encoding`.
    ///
    /// An encoding whose characters are neither UTF-8, nor UTF-16, nor one byte each is refused,
    /// because the place of a record in the file could not be told.
    pub fn open(
        encoding: &'static Encoding,
        mut input: Box<dyn Read + Send>,
    ) -> Result<Text, Unsound> {
        let mut head = Vec::new();
        if let Err(error) = (&mut input).take(3).read_to_end(&mut head) {
            return Err(unreadable(&error, 1, 0));
        }
        let marked = Encoding::for_bom(&head);
        let (encoding, skip) = marked.unwrap_or((encoding, 0));
        let mut text = Text::at(encoding, input, Mark { ordinal: 1, line: 1, byte: skip as u64 })?;
        if !text.is_utf_16() && head.iter().take(2).any(|byte| *byte == 0) {
            let likely = if head[0] == 0 { UTF_16BE } else { UTF_16LE };
            return Err(Unsound {
                rule: "encoding",
                line: 1,
                byte: 0,
                what: format!("a zero byte at the start, which {} has not", encoding.name()),
                advice: format!(
                    "if the file is UTF-16 without a byte order mark, name {} as its encoding",
                    likely.name()
                ),
            });
        }
        text.raw.extend_from_slice(&head[skip..]);
        Ok(text)
    }

    /// Reads on from a place inside a file whose encoding `open` has settled; `input` stands at
    /// `mark.byte`.
    pub fn resume(
        encoding: &'static Encoding,
        input: Box<dyn Read + Send>,
        mark: Mark,
    ) -> Result<Text, Unsound> {
        Text::at(encoding, input, mark)
    }

    /// The encoding in use.
    pub fn encoding(&self) -> &'static Encoding {
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
        (self.line + line_ends(ahead, self.after_cr), self.byte + self.width(ahead))
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
        let room = self.buffer.len().clamp(CHUNK, LARGEST_CHUNK);
        match self.decoder.is_some() {
            true => self.read_decoded(room),
            false => self.read_utf_8(room),
        }
        Ok(true)
    }

    /// Consumes `amount` bytes that are one line with its line end, and hold no other.
    pub fn consume_line(&mut self, amount: usize) {
        let line = &self.buffer.as_bytes()[self.start..self.start + amount];
        self.after_cr = line.last() == Some(&b'\r');
        self.line += 1;
        self.byte += self.width(line);
        self.start += amount;
    }

    /// Takes back the fault that a read from a `Text` reported, through whatever passed it on.
    pub fn unsound(error: &io::Error) -> Unsound {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Unsound>()) {
            Some(unsound) => unsound.clone(),
            None => unreadable(error, 0, 0),
        }
    }

    fn at(
        encoding: &'static Encoding,
        input: Box<dyn Read + Send>,
        mark: Mark,
    ) -> Result<Text, Unsound> {
        let decoder = if encoding == UTF_8 {
            None
        } else if encoding == UTF_16LE || encoding == UTF_16BE || encoding.is_single_byte() {
            Some(encoding.new_decoder_without_bom_handling())
        } else {
            return Err(Unsound {
                rule: "encoding",
                line: mark.line,
                byte: mark.byte,
                what: format!("the encoding {} is not read", encoding.name()),
                advice: "write the file as UTF-8, UTF-16 or in a page of one byte a character"
                    .to_owned(),
            });
        };
        Ok(Text {
            input,
            encoding,
            decoder,
            raw: Vec::new(),
            buffer: String::new(),
            start: 0,
            ended: false,
            fault: None,
            line: mark.line,
            byte: mark.byte,
            after_cr: false,
        })
    }

    /// The new bytes go behind the text where they lie, so that they are checked once and never
    /// copied.
    fn read_utf_8(&mut self, room: usize) {
        let mut bytes = std::mem::take(&mut self.buffer).into_bytes();
        bytes.append(&mut self.raw);
        self.read_raw(&mut bytes, room);
        if !self.ended {
            let whole = bytes.len() - half_character(&bytes);
            self.raw.extend_from_slice(&bytes[whole..]);
            bytes.truncate(whole);
        }
        self.buffer = String::from_utf8(bytes).unwrap_or_else(|error| {
            let valid = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            self.fault = Some(undecodable(self.encoding, bytes.get(valid)));
            bytes.truncate(valid);
            String::from_utf8(bytes).unwrap_or_default()
        });
    }

    fn read_decoded(&mut self, room: usize) {
        let mut raw = std::mem::take(&mut self.raw);
        self.read_raw(&mut raw, room);
        let Some(decoder) = &mut self.decoder else { return };
        let longest = decoder.max_utf8_buffer_length_without_replacement(raw.len());
        self.buffer.reserve(longest.unwrap_or(4 * raw.len()));
        let (result, read) =
            decoder.decode_to_string_without_replacement(&raw, &mut self.buffer, self.ended);
        if let DecoderResult::Malformed(_, _) = result {
            let single = self.encoding.is_single_byte();
            let culprit = raw[..read].last().filter(|_| single);
            self.fault = Some(undecodable(self.encoding, culprit));
        }
        raw.drain(..read);
        self.raw = raw;
    }

    /// Reads up to `room` bytes, fewer only at the end or before a fault, so that what a reader
    /// of records sees does not hang on how the bytes arrive.
    fn read_raw(&mut self, bytes: &mut Vec<u8>, room: usize) {
        bytes.reserve(room);
        match (&mut self.input).take(room as u64).read_to_end(bytes) {
            Ok(read) => self.ended = read < room,
            Err(error) => self.fault = Some(unreadable(&error, 0, 0)),
        }
    }

    fn is_utf_16(&self) -> bool {
        self.encoding == UTF_16LE || self.encoding == UTF_16BE
    }

    /// How many bytes of the file became this text.
    fn width(&self, text: &[u8]) -> u64 {
        let length = text.len() as u64;
        if self.decoder.is_none() {
            return length;
        }
        let (mut characters, mut pairs) = (length, 0);
        if !text.is_ascii() {
            // A byte that does not continue a character starts one; those of four bytes in UTF-8
            // are the pairs of UTF-16.
            characters -= count(text, |byte| byte & 0xC0 == 0x80);
            pairs = count(text, |byte| byte >= 0xF0);
        }
        if self.is_utf_16() { 2 * (characters + pairs) } else { characters }
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
        (self.line, self.byte) = self.place_ahead(amount);
        self.after_cr = after_cr;
        self.start += amount;
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

/// How many bytes at the end start a UTF-8 character without ending it.
fn half_character(bytes: &[u8]) -> usize {
    for (behind, byte) in bytes.iter().rev().take(3).enumerate() {
        let length = match byte {
            0xF0.. => 4,
            0xE0.. => 3,
            0xC0.. => 2,
            0x80.. => continue,
            _ => 1,
        };
        return if length > behind + 1 { behind + 1 } else { 0 };
    }
    0
}

fn undecodable(encoding: &'static Encoding, culprit: Option<&u8>) -> Unsound {
    let what = match culprit {
        Some(byte) => format!("byte {byte:02X} is not {} here", encoding.name()),
        None => format!("bytes that are not {}", encoding.name()),
    };
    Unsound {
        rule: "encoding",
        line: 0,
        byte: 0,
        what,
        advice: "name the encoding in which the file is written under [input] in the mapping, or \
                 write the file in the one that is named there"
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
