//! Fixed-width records: one line each, whose columns stand at fixed characters. Header and trailer
//! lines are told by their first characters.

use std::ops::Range;

use crate::model::record::Fault;
use crate::model::{Place, Record};

use super::text::{Flaw, SUBSTITUTE, Text};
use super::trailer::{self, Counted};
use super::{Fixed, Layout, Mark, Span, Unsound, lines};

/// A stream of lines. Empty lines are no records.
pub(super) struct FixedReader {
    text: Text,
    dialect: Fixed,
    /// For each selector the number of its column.
    slots: Vec<usize>,
    ordinal: u64,
    /// Where each column stands in the line that was read last, as bytes.
    parts: Vec<Range<usize>>,
    counted: Option<Counted>,
}

impl FixedReader {
    pub(super) fn open(text: Text, dialect: &Fixed, selectors: &[String]) -> Result<Self, Unsound> {
        let mut reader = FixedReader::at(text, dialect, selectors, 1)?;
        lines::skip(&mut reader.text, dialect.skip)?;
        if !dialect.header.is_empty() {
            reader.pass_header()?;
        }
        Ok(reader)
    }

    pub(super) fn resume(
        text: Text,
        dialect: &Fixed,
        selectors: &[String],
        mark: Mark,
    ) -> Result<Self, Unsound> {
        FixedReader::at(text, dialect, selectors, mark.ordinal)
    }

    pub(super) fn layout(&self) -> Layout {
        Layout { encoding: self.text.encoding().name().to_owned(), ..Layout::default() }
    }

    /// The count of the trailer, after the last record was read.
    pub(super) fn counted(&self) -> Option<&Counted> {
        self.counted.as_ref()
    }

    /// A line that is longer than its columns has a fault and no texts: its columns may have
    /// shifted. What a shorter line lacks is empty.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool, Unsound> {
        let line = loop {
            let Some(line) = lines::next(&mut self.text)? else {
                return self.end();
            };
            let content = &self.text.ahead()[..line.content];
            if content.bytes().all(lines::is_blank) {
                lines::consume(&mut self.text, line);
                continue;
            }
            if let Some(trailer) = &self.dialect.trailer
                && starts(content, &trailer.starts_with)
                && lines::is_last(&mut self.text, line.length, lines::is_blank)?
            {
                return self.trailer(line.content);
            }
            let content = &self.text.ahead()[..line.content];
            let starts = &self.dialect.records;
            // A line whose first characters are lost may be a record, and is one with a fault.
            if starts.is_empty() || self::starts(content, starts) || lost(content, starts) {
                break line;
            }
            lines::consume(&mut self.text, line);
            self.text.take_flaw();
        };
        record.start(self.ordinal);
        let place = (self.text.line(), self.text.byte());
        if !self.slots.is_empty() {
            self.take(line.content, record);
        }
        lines::consume(&mut self.text, line);
        let (line, byte) = place;
        record.place = Place { line, byte, length: self.text.byte() - byte };
        self.ordinal += 1;
        Ok(true)
    }

    /// The first undecodable bytes since this was asked last.
    pub(super) fn take_flaw(&mut self) -> Option<Flaw> {
        self.text.take_flaw()
    }

    fn at(
        text: Text,
        dialect: &Fixed,
        selectors: &[String],
        ordinal: u64,
    ) -> Result<Self, Unsound> {
        let mut slots = Vec::with_capacity(selectors.len());
        for selector in selectors {
            match dialect.columns.iter().position(|column| column.name == *selector) {
                Some(column) => slots.push(column),
                None => {
                    return Err(Unsound {
                        rule: "header",
                        line: text.line(),
                        byte: text.byte(),
                        what: format!("there is no column \"{selector}\""),
                        advice: "name its place in the columns of the mapping".to_owned(),
                    });
                }
            }
        }
        let parts = Vec::with_capacity(dialect.columns.len());
        Ok(FixedReader { text, dialect: dialect.clone(), slots, ordinal, parts, counted: None })
    }

    /// Passes over the header lines; a file with other text must have at least one.
    fn pass_header(&mut self) -> Result<(), Unsound> {
        let mut passed = false;
        while let Some(line) = lines::next(&mut self.text)? {
            let content = &self.text.ahead()[..line.content];
            let blank = content.bytes().all(lines::is_blank);
            if !blank && !starts(content, &self.dialect.header) {
                if passed {
                    return Ok(());
                }
                let header: Vec<String> =
                    self.dialect.header.iter().map(|start| format!("\"{start}\"")).collect();
                return Err(Unsound {
                    rule: "header",
                    line: self.text.line(),
                    byte: self.text.byte(),
                    what: format!(
                        "the first line is no header: it does not start with {}",
                        header.join(" or ")
                    ),
                    advice: "see whether the file is whole and of this kind, or correct the \
                             mapping's header"
                        .to_owned(),
                });
            }
            passed |= !blank;
            lines::consume(&mut self.text, line);
        }
        Ok(())
    }

    /// Takes the texts of a line of so many bytes, without the blanks that fill their columns.
    fn take(&mut self, content: usize, record: &mut Record) {
        let line = &self.text.ahead()[..content];
        if !self.dialect.pad && !behind(line, self.dialect.width()).trim().is_empty() {
            record.faults.push(self.ragged(line));
            return;
        }
        self.parts.clear();
        let mut cursor = Cursor::new(line);
        for column in &self.dialect.columns {
            self.parts.push(trimmed(line, cursor.range(&column.span)));
        }
        let held = record.hold(line);
        for (slot, column) in self.slots.iter().enumerate() {
            let part = &self.parts[*column];
            record.push_held(slot, held + part.start..held + part.end);
        }
    }

    fn ragged(&self, line: &str) -> Fault {
        Fault {
            rule: "ragged",
            value: format!("{} characters", line.trim_end().chars().count()),
            advice: format!(
                "the columns end with character {}; correct the line or the columns, or let the \
                 mapping pass over what is behind them with ragged = \"pad\"",
                self.dialect.width()
            ),
        }
    }

    /// Checks the trailer in view. It is not consumed, so that the end is told again when asked.
    fn trailer(&mut self, content: usize) -> Result<bool, Unsound> {
        let count = self.dialect.trailer.as_ref().and_then(|trailer| trailer.count.as_ref());
        if let Some(span) = count {
            let line = &self.text.ahead()[..content];
            let part = Cursor::new(line).range(span);
            if line[part.clone()].trim().is_empty() {
                let what = format!(
                    "the trailer has no count at characters {} to {}",
                    span.start,
                    span.last()
                );
                return Err(trailer::without_count(what, self.text.line(), self.text.byte()));
            }
            let counted = Counted::at(&self.text, part.start, part.end, true);
            counted.check(self.ordinal - 1, self.text.line())?;
            self.counted = Some(counted);
        }
        Ok(false)
    }

    /// The end of the text, at which a trailer would have been seen.
    fn end(&self) -> Result<bool, Unsound> {
        match &self.dialect.trailer {
            None => Ok(false),
            Some(trailer) => {
                let (line, byte) = (self.text.line(), self.text.byte());
                Err(trailer::missing(&trailer.starts_with, self.ordinal - 1, line, byte))
            }
        }
    }
}

/// Finds characters in a line by their numbers, in rising order.
struct Cursor<'l> {
    line: &'l str,
    /// The number of the character at `byte`, from 1.
    character: usize,
    byte: usize,
    ascii: bool,
}

impl<'l> Cursor<'l> {
    fn new(line: &'l str) -> Self {
        Cursor { line, character: 1, byte: 0, ascii: line.is_ascii() }
    }

    /// The bytes of the characters in `span`; those that the line lacks are left out.
    fn range(&mut self, span: &Span) -> Range<usize> {
        let start = self.byte_of(span.start);
        start..self.byte_of(span.start + span.length)
    }

    fn byte_of(&mut self, character: usize) -> usize {
        if self.ascii {
            return (character - 1).min(self.line.len());
        }
        let mut ahead = self.line[self.byte..].char_indices();
        let (at, _) =
            ahead.nth(character - self.character).unwrap_or((self.line.len() - self.byte, ' '));
        self.byte += at;
        self.character = character;
        self.byte
    }
}

/// What stands in a line behind so many characters.
fn behind(line: &str, characters: usize) -> &str {
    if line.len() <= characters {
        return "";
    }
    match line.is_ascii() {
        true => &line[characters..],
        false => line.char_indices().nth(characters).map_or("", |(at, _)| &line[at..]),
    }
}

/// A part of a line without the blanks at its ends.
fn trimmed(line: &str, part: Range<usize>) -> Range<usize> {
    let text = &line[part.clone()];
    let end = part.start + text.trim_ascii_end().len();
    end - text.trim_ascii().len()..end
}

/// Whether undecodable bytes stand where these starts would.
fn lost(content: &str, starts: &[String]) -> bool {
    let longest = starts.iter().map(|start| start.chars().count()).max().unwrap_or(0);
    content.chars().take(longest).any(|character| character == SUBSTITUTE)
}

fn starts(line: &str, with: &[String]) -> bool {
    with.iter().any(|start| line.starts_with(start.as_str()))
}

#[cfg(test)]
mod tests;
