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
            let culprit = if self.encoding.is_single_byte() { raw.get(read - 1) } else { None };
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
mod tests {
    use encoding_rs::{WINDOWS_1252, WINDOWS_1253};
    use proptest::prelude::*;

    use super::*;

    /// Hands out its bytes in pieces of the given sizes, over and over.
    struct Pieces {
        bytes: Vec<u8>,
        at: usize,
        sizes: Vec<usize>,
        turn: usize,
    }

    impl Read for Pieces {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let size = self.sizes[self.turn % self.sizes.len()];
            self.turn += 1;
            let n = size.min(out.len()).min(self.bytes.len() - self.at);
            out[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
            self.at += n;
            Ok(n)
        }
    }

    fn open(encoding: &'static Encoding, bytes: &[u8]) -> Text {
        Text::open(encoding, Box::new(io::Cursor::new(bytes.to_vec()))).unwrap()
    }

    fn all(mut text: Text) -> Result<(String, u64, u64), Unsound> {
        let mut out = String::new();
        match text.read_to_string(&mut out) {
            Ok(_) => Ok((out, text.line(), text.byte())),
            Err(error) => Err(Text::unsound(&error)),
        }
    }

    #[test]
    fn cr_lf_and_crlf_end_a_line_once() {
        let mut text = open(UTF_8, b"a\r\nb\rc\nd\r\r\n\n");
        let mut seen = Vec::new();
        for _ in 0..11 {
            text.fill_buf().unwrap();
            text.consume(1);
            seen.push(text.line());
        }
        // After: a CR LF b CR c LF d CR CR LF; one LF is left.
        assert_eq!(seen, [1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 6]);
        assert_eq!(all(text).unwrap(), ("\n".to_owned(), 7, 12));
    }

    #[test]
    fn a_byte_order_mark_wins_and_is_no_text() {
        let cases: [(&[u8], &str, u64); 3] = [
            (b"\xEF\xBB\xBFM\xC3\xBC\n", "Mü\n", 7),
            (b"\xFF\xFEM\0\xFC\0\n\0", "Mü\n", 8),
            (b"\xFE\xFF\0M\0\xFC\0\n", "Mü\n", 8),
        ];
        for (bytes, text, end) in cases {
            let opened = open(WINDOWS_1252, bytes);
            assert_eq!(opened.byte(), bytes.len() as u64 - (end - opened.byte()));
            assert_eq!(all(opened).unwrap(), (text.to_owned(), 2, end));
        }
    }

    #[test]
    fn a_file_shorter_than_a_mark_is_read() {
        assert_eq!(all(open(UTF_8, b"")).unwrap(), (String::new(), 1, 0));
        assert_eq!(all(open(UTF_8, b"a")).unwrap(), ("a".to_owned(), 1, 1));
        assert_eq!(all(open(WINDOWS_1252, b"\xE9")).unwrap(), ("é".to_owned(), 1, 1));
    }

    #[test]
    fn a_bad_byte_is_told_with_its_line_and_offset() {
        let fault = all(open(UTF_8, b"one\r\ntwo\nM\xFCller\n")).unwrap_err();
        assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 3, 10));
        assert_eq!(fault.what, "byte FC is not UTF-8 here");
        let fault = all(open(UTF_8, b"\xEF\xBB\xBFone\n\xE2\x82")).unwrap_err();
        assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 2, 7));
        // In windows-1253 the byte D2 stands for nothing (WHATWG Encoding, index windows-1253).
        let fault = all(open(WINDOWS_1253, b"\xC1\n\xD2")).unwrap_err();
        assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 2, 2));
    }

    #[test]
    fn what_stands_before_a_bad_byte_is_read_first() {
        let mut text = open(UTF_8, b"one\ntwo\xFF");
        assert_eq!(text.fill_buf().unwrap(), b"one\ntwo");
        let fault = Text::unsound(&text.more().unwrap_err());
        assert_eq!((fault.line, fault.byte), (2, 7));
        text.consume(4);
        let fault = Text::unsound(&text.more().unwrap_err());
        assert_eq!((fault.line, fault.byte), (2, 7));
    }

    #[test]
    fn half_a_utf_16_unit_and_half_a_pair_are_faults() {
        let fault = all(open(UTF_16LE, b"\xFF\xFEa\0\n\0b")).unwrap_err();
        assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 2, 6));
        let fault = all(open(UTF_16LE, b"\xFF\xFEa\0\x3D\xD8b\0")).unwrap_err();
        assert_eq!((fault.rule, fault.line, fault.byte), ("encoding", 1, 4));
    }

    #[test]
    fn utf_16_without_a_mark_is_recognised_and_told() {
        let refused = Text::open(UTF_8, Box::new(&b"<\0a\0"[..])).err().unwrap();
        assert_eq!(refused.rule, "encoding");
        assert!(refused.advice.contains("UTF-16LE"), "{}", refused.advice);
    }

    #[test]
    fn an_encoding_whose_places_cannot_be_told_is_refused() {
        let refused = Text::open(encoding_rs::SHIFT_JIS, Box::new(io::empty())).err().unwrap();
        assert_eq!(refused.rule, "encoding");
    }

    #[test]
    fn a_fault_of_the_disk_comes_after_what_was_read() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("bad sector"))
            }
        }
        let mut text = Text::open(UTF_8, Box::new((&b"one\ntwo"[..]).chain(Broken))).unwrap();
        assert_eq!(text.fill_buf().unwrap(), b"one\ntwo");
        text.consume(7);
        let fault = Text::unsound(&text.fill_buf().unwrap_err());
        assert_eq!((fault.rule, fault.line, fault.byte), ("io", 2, 7));
        assert!(fault.what.contains("bad sector"));
    }

    /// Every character as each encoding writes it, so that the places can be added up by hand.
    fn encode(text: &str, encoding: &'static Encoding) -> Vec<u8> {
        let units = || text.encode_utf16();
        match encoding.name() {
            "UTF-16LE" => {
                [0xFF, 0xFE].into_iter().chain(units().flat_map(u16::to_le_bytes)).collect()
            }
            "UTF-16BE" => {
                [0xFE, 0xFF].into_iter().chain(units().flat_map(u16::to_be_bytes)).collect()
            }
            _ => encoding.encode(text).0.into_owned(),
        }
    }

    fn texts(characters: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(characters), 0..200)
            .prop_map(|parts| parts.concat())
    }

    /// Reads as an inner reader would, in steps of the given sizes, and compares every place with
    /// one counted from the text alone.
    fn read_and_compare(text: &str, encoding: &'static Encoding, sizes: &[usize]) {
        let bytes = encode(text, encoding);
        let mark = if encoding.name().starts_with("UTF-16") { 2 } else { 0 };
        let pieces = Pieces { bytes, at: 0, sizes: sizes.to_vec(), turn: 0 };
        let mut stream = Text::open(encoding, Box::new(pieces)).unwrap();
        let mut read = Vec::new();
        for step in sizes.iter().cycle() {
            let ahead = stream.fill_buf().unwrap();
            if ahead.is_empty() {
                break;
            }
            let step = ahead[..(*step).min(ahead.len())].to_vec();
            stream.consume(step.len());
            read.extend_from_slice(&step);
            if let Ok(so_far) = std::str::from_utf8(&read) {
                let bytes = match encoding.name() {
                    "UTF-8" => so_far.len(),
                    "UTF-16LE" | "UTF-16BE" => 2 * so_far.encode_utf16().count(),
                    _ => so_far.chars().count(),
                };
                let unified = so_far.replace("\r\n", "\n").replace('\r', "\n");
                assert_eq!(stream.line(), 1 + unified.matches('\n').count() as u64);
                assert_eq!(stream.byte(), (mark + bytes) as u64);
            }
        }
        assert_eq!(String::from_utf8(read).unwrap(), text);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_text_lines_and_bytes(
            text in texts(&["a", "bc;", "é", "€", "😀", "\r", "\n", "\r\n"]),
            sizes in proptest::collection::vec(1_usize..7, 1..5),
        ) {
            for encoding in [UTF_8, UTF_16LE, UTF_16BE] {
                read_and_compare(&text, encoding, &sizes);
            }
        }

        #[test]
        fn any_chunking_of_a_page_gives_the_same_text_lines_and_bytes(
            text in texts(&["a", "bc;", "é", "€", "ÿ", "\r", "\n", "\r\n"]),
            sizes in proptest::collection::vec(1_usize..7, 1..5),
        ) {
            read_and_compare(&text, WINDOWS_1252, &sizes);
        }

        #[test]
        fn windows_1252_never_fails(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let sound = !bytes.iter().take(2).any(|byte| *byte == 0)
                && Encoding::for_bom(&bytes).is_none();
            prop_assume!(sound);
            let length = bytes.len() as u64;
            let (text, _, end) = all(open(WINDOWS_1252, &bytes)).unwrap();
            prop_assert_eq!(text.chars().count() as u64, length);
            prop_assert_eq!(end, length);
        }

        #[test]
        fn any_bytes_are_utf_8_exactly_up_to_the_first_bad_one(
            bytes in proptest::collection::vec(
                proptest::sample::select(vec![b'a', b'\n', b'\r', 0xC3, 0xA9, 0xE2, 0x82, 0xF0, 0x9F]),
                1..40,
            ),
            sizes in proptest::collection::vec(1_usize..7, 1..5),
        ) {
            let bytes = [b"aaa".to_vec(), bytes].concat();
            let pieces = Pieces { bytes: bytes.clone(), at: 0, sizes, turn: 0 };
            let read = all(Text::open(UTF_8, Box::new(pieces)).unwrap());
            match std::str::from_utf8(&bytes) {
                Ok(text) => prop_assert_eq!(read.unwrap().0, text),
                Err(error) => {
                    let fault = read.unwrap_err();
                    let before = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap();
                    let unified = before.replace("\r\n", "\n").replace('\r', "\n");
                    prop_assert_eq!(fault.byte, error.valid_up_to() as u64);
                    prop_assert_eq!(fault.line, 1 + unified.matches('\n').count() as u64);
                }
            }
        }

        #[test]
        fn what_is_in_view_grows_and_stays(
            text in texts(&["a", "é", "😀", "\r\n"]),
            consumed in 0_usize..10,
        ) {
            // Larger than a chunk, so that `more` has to keep what is in view.
            let text = text.repeat(1 + CHUNK / (1 + text.len()));
            let mut stream = open(UTF_16LE, &encode(&text, UTF_16LE));
            let mut start = 0;
            while stream.more().unwrap() {
                let step: usize = stream.ahead().chars().take(consumed).map(char::len_utf8).sum();
                stream.consume(step);
                start += step;
                prop_assert!(text[start..].starts_with(stream.ahead()));
            }
            prop_assert_eq!(stream.ahead(), &text[start..]);
        }
    }
}
