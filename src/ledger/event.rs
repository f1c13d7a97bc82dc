//! Event: what the ledger keeps of a notification that was acknowledged and is still to be worked on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A notification that is still to be worked on.
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
    /// What it says, where that is short; otherwise that lies in the spool, under its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Map<String, Value>>,
}

/// What is known of one who sends notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// When its last one came.
    pub last: Timestamp,
    /// The number of that one.
    pub number: u64,
}
