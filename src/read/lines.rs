//! Lines: what stands ahead in a text, line by line. CR, LF and CRLF end a line.

use std::io::BufRead;

use super::text::Text;
use super::{RECORD_LIMIT, Unsound};

/// A line in view, by its number of bytes without and with its line end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) content: usize,
    pub(super) length: usize,
}

/// Brings the next line into view and stands before it; none at the end.
pub(super) fn next(text: &mut Text) -> Result<Option<Line>, Unsound> {
    let mut last = false;
    let mut seen = 0;
    loop {
        let bytes = text.ahead().as_bytes();
        let end = memchr::memchr2(b'\r', b'\n', &bytes[seen..]).map(|at| seen + at);
        let line = match end {
            Some(content) => line_end(bytes, content, last).map(|length| Line { content, length }),
            None if last => Some(Line { content: bytes.len(), length: bytes.len() }),
            None => None,
        };
        match line {
            Some(line) if line.length > RECORD_LIMIT => return Err(too_large(text)),
            Some(line) => return Ok(Some(line).filter(|line| line.length > 0)),
            None if bytes.len() > RECORD_LIMIT => return Err(too_large(text)),
            None => {
                seen = end.unwrap_or(bytes.len());
                last = !text.more().map_err(|e| Text::unsound(&e))?;
            }
        }
    }
}

/// Passes over a line in view.
pub(super) fn consume(text: &mut Text, line: Line) {
    match line.content < line.length {
        true => text.consume_line(line.length),
        false => text.consume(line.length),
    }
}

/// Passes over as many lines; whether there was writing on any.
pub(super) fn skip(text: &mut Text, count: u64) -> Result<bool, Unsound> {
    let mut written = false;
    for _ in 0..count {
        let Some(line) = next(text)? else { break };
        written |= !text.ahead()[..line.content].trim_ascii().is_empty();
        consume(text, line);
    }
    Ok(written)
}

/// Whether nothing but line ends and what counts as blank stands behind the next `amount` bytes.
pub(super) fn is_last(
    text: &mut Text,
    amount: usize,
    blank: impl Fn(u8) -> bool,
) -> Result<bool, Unsound> {
    let mut seen = amount;
    loop {
        let bytes = text.ahead().as_bytes();
        if !bytes[seen..].iter().all(|byte| matches!(byte, b'\r' | b'\n') || blank(*byte)) {
            return Ok(false);
        }
        if bytes.len() > amount + RECORD_LIMIT {
            return Err(too_large(text));
        }
        seen = bytes.len();
        if !text.more().map_err(|e| Text::unsound(&e))? {
            return Ok(true);
        }
    }
}

/// Whether a byte alone on a line leaves it empty.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The length of a line whose line end starts at `at`; none if it cannot be told yet.
pub(super) fn line_end(bytes: &[u8], at: usize, last: bool) -> Option<usize> {
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', Some(b'\n')) => Some(at + 2),
        (b'\r', None) if !last => None,
        _ => Some(at + 1),
    }
}

fn too_large(text: &Text) -> Unsound {
    Unsound {
        rule: "size",
        line: text.line(),
        byte: text.byte(),
        what: format!("a line is larger than {} MiB", RECORD_LIMIT / 1024 / 1024),
        advice: "see whether the file has line ends".to_owned(),
    }
}
