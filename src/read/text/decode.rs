//! Decode: bytes to characters, with how many bytes each took, and the bytes that are no character.

use std::collections::VecDeque;

use encoding_rs::DecoderResult;

use super::encoding::{Encoding, SUBSTITUTE, Units};
use super::guess::likely;

/// How far around an undecodable byte the guess at the right encoding looks.
const AROUND: usize = 3;

/// What stops decoding for good.
pub(super) enum Stop {
    /// Bytes that are no character, where each must be one.
    Undecodable(Culprit),
    /// The file ends inside a character.
    CutOff,
    /// ISO-2022-JP: what may part or enclose records is written in the Roman set.
    Roman,
}

/// Bytes that are no character.
#[derive(Clone, Debug)]
pub(super) struct Culprit {
    /// The offset of its substitute in all the text so far.
    pub(super) at: u64,
    /// The first of the bytes.
    pub(super) byte: u8,
    /// The encoding in which they would be text.
    pub(super) likely: Option<&'static str>,
}

/// Whether undecodable bytes stop the decoding, and which there were.
pub(super) struct Notes {
    pub(super) encoding: Encoding,
    /// Whether substitutes take their places.
    pub(super) lenient: bool,
    /// How much text stood before the buffer.
    pub(super) base: u64,
    /// The first of each line.
    pub(super) culprits: VecDeque<Culprit>,
}

impl Notes {
    /// So much text has left the buffer.
    pub(super) fn forget(&mut self, amount: usize) {
        self.base += amount as u64;
        while self.culprits.front().is_some_and(|first| first.at < self.base) {
            self.culprits.pop_front();
        }
    }

    /// `raw[at..]` starts with bytes that are no character, behind `text`.
    fn undecodable(&mut self, text: &[u8], raw: &[u8], at: usize) -> Result<(), Stop> {
        let before = self.culprits.back().and_then(|last| last.at.checked_sub(self.base));
        let since = text.get(before.unwrap_or(0) as usize..).unwrap_or_default();
        let new_line = before.is_none() || memchr::memchr2(b'\n', b'\r', since).is_some();
        if self.lenient && !new_line {
            return Ok(());
        }
        let start = at.saturating_sub(AROUND);
        let end = raw.len().min(at + 1 + AROUND);
        let culprit = Culprit {
            at: self.base + text.len() as u64,
            byte: raw[at],
            likely: likely(self.encoding, &raw[start..end], at - start),
        };
        if !self.lenient {
            return Err(Stop::Undecodable(culprit));
        }
        self.culprits.push_back(culprit);
        Ok(())
    }
}

/// What has to be known to decode on.
pub(super) enum Decoder {
    Utf8,
    Utf16(&'static encoding_rs::Encoding),
    One(Box<[char; 128]>),
    Several(Box<Several>),
}

/// An encoding with characters of one to four bytes.
pub(super) struct Several {
    encoding: &'static encoding_rs::Encoding,
    decoder: encoding_rs::Decoder,
    /// How many of the bytes that are not done with the decoder has seen.
    fed: usize,
    /// ISO-2022-JP: whether the Roman set is on.
    roman: bool,
    /// How many bytes the characters in view took.
    pub(super) widths: Widths,
}

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Decoder {
        match encoding.units() {
            Units::Utf8 => Decoder::Utf8,
            Units::Utf16(encoding) => Decoder::Utf16(encoding),
            Units::One(page) => Decoder::One(page),
            Units::Several(encoding) => Decoder::Several(Box::new(Several {
                encoding,
                decoder: encoding.new_decoder_without_bom_handling(),
                fed: 0,
                roman: false,
                widths: Widths::default(),
            })),
        }
    }

    /// Appends the characters of `raw` to `buffer`; `last` says that no more bytes come. What
    /// starts a character and does not end it stays in `raw`.
    pub(super) fn decode(
        &mut self,
        raw: &mut Vec<u8>,
        last: bool,
        buffer: &mut String,
        notes: &mut Notes,
    ) -> Result<(), Stop> {
        match self {
            Decoder::Utf8 => utf_8(raw, last, buffer, notes),
            Decoder::Utf16(encoding) => utf_16(encoding, raw, last, buffer, notes),
            Decoder::One(page) => one(page, raw, buffer, notes),
            Decoder::Several(several) => several.decode(raw, last, buffer, notes),
        }
    }
}

/// The new bytes go behind the text where they lie: they are never copied.
fn utf_8(
    raw: &mut Vec<u8>,
    last: bool,
    buffer: &mut String,
    notes: &mut Notes,
) -> Result<(), Stop> {
    let mut bytes = std::mem::take(buffer).into_bytes();
    match bytes.is_empty() {
        true => std::mem::swap(&mut bytes, raw),
        false => bytes.append(raw),
    }
    if !last {
        let whole = bytes.len() - half_character(&bytes);
        raw.extend_from_slice(&bytes[whole..]);
        bytes.truncate(whole);
    }
    let mut result = Ok(());
    *buffer = String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut from = error.utf8_error().valid_up_to();
        let mut bytes = error.into_bytes();
        while let Err(error) = std::str::from_utf8(&bytes[from..]) {
            let at = from + error.valid_up_to();
            let fault = match error.error_len() {
                None if last => Err(Stop::CutOff),
                // Before the last, half a character is held back already.
                _ => notes.undecodable(&bytes[..at], &bytes, at),
            };
            if fault.is_err() {
                result = fault;
                bytes.truncate(at);
                break;
            }
            // A substitute is one byte in UTF-8, so that the places of all else stay.
            from = at + error.error_len().unwrap_or(bytes.len() - at);
            bytes[at..from].fill(SUBSTITUTE as u8);
        }
        String::from_utf8(bytes).unwrap_or_default()
    });
    result
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

fn utf_16(
    encoding: &'static encoding_rs::Encoding,
    raw: &mut Vec<u8>,
    last: bool,
    buffer: &mut String,
    notes: &mut Notes,
) -> Result<(), Stop> {
    let high = |at: usize| match encoding == encoding_rs::UTF_16LE {
        true => raw[at + 1],
        false => raw[at],
    };
    let mut end = raw.len() - raw.len() % 2;
    // D800 to DBFF are first halves of a pair (Unicode, section 3.9, D91).
    if end >= 2 && (0xD8..0xDC).contains(&high(end - 2)) {
        end -= 2;
    }
    let mut at = 0;
    buffer.reserve(3 * end / 2 + 8);
    while at < end {
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let (result, read) =
            decoder.decode_to_string_without_replacement(&raw[at..end], buffer, false);
        at += read;
        if let DecoderResult::Malformed(_, extra) = result {
            at -= usize::from(extra);
            notes.undecodable(buffer.as_bytes(), raw, at - 2)?;
            buffer.push(SUBSTITUTE);
        }
    }
    raw.drain(..end);
    if last && !raw.is_empty() { Err(Stop::CutOff) } else { Ok(()) }
}

fn one(
    page: &[char; 128],
    raw: &mut Vec<u8>,
    buffer: &mut String,
    notes: &mut Notes,
) -> Result<(), Stop> {
    buffer.reserve(raw.len() + raw.len() / 8);
    let mut at = 0;
    while at < raw.len() {
        let ascii = encoding_rs::Encoding::ascii_valid_up_to(&raw[at..]);
        buffer.push_str(std::str::from_utf8(&raw[at..at + ascii]).unwrap_or_default());
        at += ascii;
        while let Some(byte @ 0x80..) = raw.get(at) {
            let character = page[usize::from(byte & 0x7F)];
            if character == SUBSTITUTE {
                notes.undecodable(buffer.as_bytes(), raw, at)?;
            }
            buffer.push(character);
            at += 1;
        }
    }
    raw.clear();
    Ok(())
}

impl Several {
    /// Hands the decoder one byte at a time, so that it shows which bytes made which character.
    fn decode(
        &mut self,
        raw: &mut Vec<u8>,
        last: bool,
        buffer: &mut String,
        notes: &mut Notes,
    ) -> Result<(), Stop> {
        let stateful = notes.encoding.is_stateful();
        buffer.reserve(3 * raw.len() + 16);
        let mut start = 0;
        let mut at = self.fed;
        loop {
            if at == start && !stateful {
                let ascii = encoding_rs::Encoding::ascii_valid_up_to(&raw[at..]);
                buffer.push_str(std::str::from_utf8(&raw[at..at + ascii]).unwrap_or_default());
                self.widths.push(ascii, 1, 1);
                at += ascii;
                start = at;
            }
            let ends = at == raw.len();
            if ends && !last {
                break;
            }
            let text = buffer.len();
            buffer.reserve(16);
            let next = if ends { &[][..] } else { &raw[at..=at] };
            let (result, read) =
                self.decoder.decode_to_string_without_replacement(next, buffer, ends);
            at += read;
            if let DecoderResult::Malformed(length, _) = result {
                if ends {
                    return Err(Stop::CutOff);
                }
                notes.undecodable(buffer.as_bytes(), raw, start)?;
                let length = usize::from(length).clamp(1, raw.len() - start);
                buffer.extend(std::iter::repeat_n(SUBSTITUTE, length));
                self.widths.push(length, 1, 1);
                start += length;
                at = start;
                self.decoder = self.encoding.new_decoder_without_bom_handling();
                continue;
            }
            if ends {
                // Escape sequences with no character behind them.
                raw.clear();
                self.fed = 0;
                return Ok(());
            }
            if stateful && self.parts_in_roman(&raw[start..at], &buffer[text..]) {
                buffer.truncate(text);
                return Err(Stop::Roman);
            }
            let written = buffer.len() - text;
            if written > 0 {
                self.widths.push(1, written as u8, (at - start) as u32);
                start = at;
            }
        }
        self.fed = at - start;
        raw.drain(..start);
        Ok(())
    }

    /// The Roman set differs from ASCII in the backslash and the tilde. What stands between records
    /// or begins one must be in ASCII, so that each record means the same by itself.
    fn parts_in_roman(&mut self, raw: &[u8], text: &str) -> bool {
        if let Some(escape) = memchr::memrchr(0x1B, raw) {
            self.roman = raw[escape..].starts_with(b"\x1B(J");
        }
        self.roman && text.contains(['\r', '\n', '{', '[', '<'])
    }
}

/// How many bytes of the file each part of a text took.
#[derive(Default)]
pub(super) struct Widths {
    runs: VecDeque<Run>,
    /// How much text of the first run is consumed.
    used: usize,
}

/// Characters alike.
struct Run {
    count: usize,
    text: u8,
    raw: u32,
}

impl Widths {
    /// `count` characters came, of so many bytes in UTF-8 and in the file.
    fn push(&mut self, count: usize, text: u8, raw: u32) {
        match self.runs.back_mut() {
            _ if count == 0 => {}
            Some(last) if last.text == text && last.raw == raw => last.count += count,
            _ => self.runs.push_back(Run { count, text, raw }),
        }
    }

    /// How many bytes of the file the next `amount` bytes of text took. Part of a character has
    /// taken none.
    pub(super) fn raw(&self, amount: usize) -> u64 {
        let mut left = self.used + amount;
        let mut raw = 0;
        for (n, run) in self.runs.iter().enumerate() {
            let text = usize::from(run.text);
            let taken = run.count.min(left / text);
            raw += taken as u64 * u64::from(run.raw);
            if n == 0 {
                raw -= (self.used / text) as u64 * u64::from(run.raw);
            }
            if taken < run.count {
                break;
            }
            left -= run.count * text;
        }
        raw
    }

    pub(super) fn consume(&mut self, amount: usize) {
        self.used += amount;
        while let Some(run) = self.runs.front() {
            let size = run.count * usize::from(run.text);
            if size > self.used {
                break;
            }
            self.used -= size;
            self.runs.pop_front();
        }
    }
}
