//! Event: what the ledger keeps of a notification that was acknowledged and is still to be worked on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A notification that is still to be worked on. What it says lies in the spool, under its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counted from 1 in the order of arrival.
    pub number: u64,
    /// Who sent it: `scr/<api>` or `cpu/<customer>`.
    pub sender: String,
    /// What it is about, in a word.
    pub kind: String,
    /// When it came.
    pub received: Timestamp,
    /// Why it is kept though nothing is done with it, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// What is known of one who sends notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// When its last one came.
    pub last: Timestamp,
    /// The number of that one.
    pub number: u64,
}
