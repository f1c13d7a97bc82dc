//! What is wrong with a record or with a whole file, told so that a person can act on it.

use serde::{Deserialize, Serialize};

/// One row of the problems file (design, section 4.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The record's ordinal, from 1; 0 is the whole file.
    pub record: u64,
    /// The line on which the record starts, from 1; 0 is the whole file.
    pub line: u64,
    /// Whether the record is set aside for it.
    pub level: Level,
    /// The mapping's `from`, or empty where no single field is at fault.
    pub field: String,
    /// The value as read.
    pub value: String,
    /// The rule's name: `required`, `aka`, `date`, `number`, `values`, a check's name, `refused`, …
    pub rule: String,
    /// What to do about it.
    pub advice: String,
}

/// How much a problem weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Told, and the record goes on.
    Warn,
    /// The record is quarantined.
    Reject,
}

impl Level {
    /// The word as it stands in the problems file.
    pub fn word(self) -> &'static str {
        match self {
            Level::Warn => "warn",
            Level::Reject => "reject",
        }
    }
}

impl Problem {
    /// A problem of the whole file.
    pub fn of_file(rule: &str, value: impl Into<String>, advice: impl Into<String>) -> Self {
        Problem {
            record: 0,
            line: 0,
            level: Level::Reject,
            field: String::new(),
            value: value.into(),
            rule: rule.to_owned(),
            advice: advice.into(),
        }
    }
}
