//! Text: a file's bytes as UTF-8, with the place in the file as it came. What cannot be decoded is
//! an error with its offset, never U+FFFD.

use std::io::{self, BufRead, Read};

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::{Mark, Unsound};

const CHUNK: usize = 64 * 1024;

/// A decoded stream that knows, at the point up to which it was consumed, the line and the byte
/// offset in the original file.
pub struct Text {
    input: Box<dyn Read + Send>,
    encoding: &'static Encoding,
    decode: Decode,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    raw: Vec<u8>,
    raw_end: usize,
    input_ended: bool,
    line: u64,
    byte: u64,
    after_cr: bool,
}

/// How UTF-8 bytes are counted back into bytes of the file.
enum Decode {
    /// The bytes are the file's own.
    Utf8,
    /// One byte a character.
    SingleByte(encoding_rs::Decoder),
    /// Two bytes a UTF-16 unit.
    Utf16(encoding_rs::Decoder),
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
        let mut head = [0; 3];
        let mut filled = 0;
        while filled < head.len() {
            match input.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error, 1, 0)),
            }
        }
        let (encoding, mark) = Encoding::for_bom(&head[..filled]).unwrap_or((encoding, 0));
        let mut text = Text::at(encoding, input, Mark { ordinal: 1, line: 1, byte: 0 })?;
        text.byte = mark as u64;
        text.keep(&head[mark..filled]);
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
        let decode = if encoding == UTF_8 {
            Decode::Utf8
        } else if encoding == UTF_16LE || encoding == UTF_16BE {
            Decode::Utf16(encoding.new_decoder_without_bom_handling())
        } else if encoding.is_single_byte() {
            Decode::SingleByte(encoding.new_decoder_without_bom_handling())
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
            decode,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            raw: Vec::new(),
            raw_end: 0,
            input_ended: false,
            line: mark.line,
            byte: mark.byte,
            after_cr: false,
        })
    }

    /// Puts bytes that were already read in front of what comes.
    fn keep(&mut self, bytes: &[u8]) {
        self.raw = vec![0; CHUNK];
        self.raw[..bytes.len()].copy_from_slice(bytes);
        self.raw_end = bytes.len();
    }

    /// Reads more raw bytes behind those that wait; notes the end of the input.
    fn read_raw(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            self.raw = vec![0; CHUNK];
        }
        if self.raw_end == self.raw.len() || self.input_ended {
            return Ok(());
        }
        loop {
            match self.input.read(&mut self.raw[self.raw_end..]) {
                Ok(0) => self.input_ended = true,
                Ok(n) => self.raw_end += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(io::Error::other(unreadable(&error, self.line, self.byte)));
                }
            }
            return Ok(());
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.start = 0;
        self.end = 0;
        while self.end == 0 {
            self.read_raw()?;
            let ended = self.input_ended;
            if ended && self.raw_end == 0 && matches!(self.decode, Decode::Utf8) {
                return Ok(());
            }
            let raw = &self.raw[..self.raw_end];
            match &mut self.decode {
                Decode::Utf8 => {
                    let valid = match std::str::from_utf8(raw) {
                        Ok(_) => raw.len(),
                        Err(error) if error.error_len().is_none() && !ended => error.valid_up_to(),
                        Err(error) if error.valid_up_to() > 0 => error.valid_up_to(),
                        Err(error) => return Err(self.undecodable(0, error.error_len())),
                    };
                    self.buffer[..valid].copy_from_slice(&raw[..valid]);
                    self.end = valid;
                    self.raw.copy_within(valid..self.raw_end, 0);
                    self.raw_end -= valid;
                }
                Decode::SingleByte(decoder) | Decode::Utf16(decoder) => {
                    let (result, read, written) =
                        decoder.decode_to_utf8_without_replacement(raw, &mut self.buffer, ended);
                    self.end = written;
                    self.raw.copy_within(read..self.raw_end, 0);
                    self.raw_end -= read;
                    if let DecoderResult::Malformed(length, after) = result {
                        // What was decoded before the fault is told first: the fault's place is
                        // the number of bytes decoded up to it.
                        let before = self.width(&self.buffer[..written]);
                        let _ = (length, after);
                        return Err(self.undecodable(before, None));
                    }
                    if result == DecoderResult::InputEmpty && ended && written == 0 {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn width(&self, utf8: &[u8]) -> u64 {
        let characters = || utf8.iter().filter(|byte| (**byte as i8) >= -0x40).count() as u64;
        match self.decode {
            Decode::Utf8 => utf8.len() as u64,
            Decode::SingleByte(_) => characters(),
            Decode::Utf16(_) => {
                2 * (characters() + utf8.iter().filter(|byte| **byte >= 0xF0).count() as u64)
            }
        }
    }

    fn undecodable(&self, ahead: u64, _length: Option<usize>) -> io::Error {
        io::Error::other(Unsound {
            rule: "encoding",
            line: self.line,
            byte: self.byte + ahead,
            what: format!("bytes that are not {}", self.encoding.name()),
            advice: "write the file in the encoding that the mapping names, or name the one it is \
                     written in"
                .to_owned(),
        })
    }

    fn count_lines(&mut self, consumed: usize) {
        let bytes = &self.buffer[self.start..self.start + consumed];
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return };
        let mut lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
        if self.after_cr && *first == b'\n' {
            lines -= 1;
        }
        for at in memchr::memchr_iter(b'\r', bytes) {
            if bytes.get(at + 1) != Some(&b'\n') {
                lines += 1;
            }
        }
        self.after_cr = *last == b'\r';
        self.line += lines;
    }
}

impl BufRead for Text {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.refill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.end - self.start);
        self.count_lines(amount);
        self.byte += self.width(&self.buffer[self.start..self.start + amount]);
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

fn unreadable(error: &io::Error, line: u64, byte: u64) -> Unsound {
    Unsound {
        rule: "io",
        line,
        byte,
        what: format!("the file cannot be read: {error}"),
        advice: "see whether the disk is sound and the file's permissions allow reading".to_owned(),
    }
}
