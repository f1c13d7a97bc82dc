//! Outbox: what the ledger keeps of documents that are still to be written as files for the ERP.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How far an outbox has come. Its numbers go on for as long as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// The customer's id.
    pub customer: String,
    /// The outbox's name.
    pub outbox: String,
    /// The sequence number given last; 0 at first.
    pub last: u64,
    /// Everything up to this number is written, or refused and kept.
    pub passed: u64,
    /// The highest sequence number that is written; 0 at first.
    pub written: u64,
    /// What is being written as one file: first and last. It is the same file after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<(u64, u64)>,
    /// How many documents a person has discarded.
    #[serde(default, skip_serializing_if = "is_none")]
    pub discarded: u64,
}

/// A document that is still to be written. What it says lies in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The customer's id.
    pub customer: String,
    /// The outbox's name.
    pub outbox: String,
    /// Counted from 1 in each outbox, without gaps.
    pub sequence: u64,
    /// The name of its file in the spool, without the end.
    pub payload: String,
    /// Its bytes there.
    pub bytes: u64,
    /// Its event, in a word.
    pub event: String,
    /// When it was queued.
    pub queued: Timestamp,
    /// Why it cannot be written as things are, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Outbox {
    /// One that nothing was queued in.
    pub fn new(customer: &str, outbox: &str) -> Outbox {
        let (customer, outbox) = (customer.to_owned(), outbox.to_owned());
        Outbox { customer, outbox, last: 0, passed: 0, written: 0, cut: None, discarded: 0 }
    }

    /// Whether the document of this number can be one that waits.
    pub fn may_hold(&self, queued: &Queued) -> bool {
        let Queued { sequence, refused, .. } = queued;
        (1..=self.last).contains(sequence) && (*sequence > self.passed || refused.is_some())
    }
}

fn is_none(count: &u64) -> bool {
    *count == 0
}
