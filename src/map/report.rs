//! Report: what is found wrong with one record while it is mapped.

use super::Context;
use crate::model::{Level, Problem, Record};

/// Problems longer than this say no more to a person.
const LONGEST_VALUE: usize = 1000;
const LONGEST_QUOTE: usize = 60;

/// The record in hand, and the problems it has had so far.
pub struct Report<'r> {
    /// The record.
    pub record: &'r Record,
    /// What the mapping depends on besides the record.
    pub context: &'r Context,
    /// Whether a problem rejects the record.
    pub rejected: bool,
    problems: &'r mut Vec<Problem>,
}

impl<'r> Report<'r> {
    /// Starts on a record; problems are appended to `problems`.
    pub fn new(record: &'r Record, context: &'r Context, problems: &'r mut Vec<Problem>) -> Self {
        Report { record, context, rejected: false, problems }
    }

    /// Notes a problem.
    pub fn note(&mut self, level: Level, field: &str, value: &str, rule: &str, advice: String) {
        self.rejected |= level == Level::Reject;
        self.problems.push(Problem {
            record: self.record.ordinal,
            line: self.record.place.line,
            level,
            field: field.to_owned(),
            value: shorten(value, LONGEST_VALUE),
            rule: rule.to_owned(),
            advice,
        });
    }
}

/// A value in quotes, for advice; a long one is cut.
pub fn quote(value: &str) -> String {
    format!("\"{}\"", shorten(value, LONGEST_QUOTE))
}

fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}
