//! Late answer: what became of a record whose channel took it at first and told the outcome later.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of a record when it waits no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateAnswer {
    /// The record's ordinal, from 1.
    pub record: u64,
    /// The line on which the record starts, from 1.
    pub line: u64,
    /// What the channel knows it by: CPu's public reference, or the release.
    pub reference: String,
    /// The channel's words, or ours; empty where there is nothing to say.
    pub message: String,
    /// When it was told.
    pub time: Timestamp,
    /// Whether the record was parked until then, or accepted and looked up at once.
    pub is_late: bool,
}
