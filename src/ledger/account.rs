//! Account: what the ledger keeps of one open file, and of its records that wait.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Age;
use super::ordinals::Ordinals;
use crate::model::{Arrival, Counts, Identity, State};

/// One open file. Its stored form stays under 600 bytes for any ordinary name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The pick-up's number.
    pub arrival: Arrival,
    /// The customer's id.
    pub customer: String,
    /// The source's name.
    pub source: String,
    /// The file's name as it was found.
    pub name: String,
    /// When it was claimed.
    pub picked_up: Timestamp,
    /// How far it has come.
    pub phase: Phase,
    /// What the claim pins; there once the file was inspected and found sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pinned>,
    /// From this ordinal on nothing is cut into messages yet, or the cut is not answered: a
    /// restart cuts from here again, at the same places.
    #[serde(default)]
    pub mark: u64,
    /// Messages that were answered finally.
    #[serde(default)]
    pub messages: u64,
    /// Until when the rest waits because the channel is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Timestamp>,
    /// When nothing was pending or in flight any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Timestamp>,
    /// The names under which its results are written; fixed before the first is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<ResultNames>,
    /// Whose records these are, if they are worked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
}

/// What a file is that was not picked up, but opened by a person to work records again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// The pick-up whose records they are.
    pub of: Arrival,
    /// The pick-up that their age is counted from.
    pub age: Arrival,
    /// Why they are worked again.
    pub how: How,
    /// Raised with every round of that pick-up.
    pub generation: u32,
}

/// Why records are worked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// They were set aside; those that fail again return to where they were.
    Retry,
    /// The whole file was set aside; it begins anew.
    Whole,
    /// They were delivered, and the receiver lost them.
    Resend,
}

/// How far an open file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The claim is under way: the file is in its folder, hidden, or in the spool.
    Claiming,
    /// The file is in the spool; nothing is known of its content.
    Claimed,
    /// Inspected: its records are being worked.
    Open,
    /// The whole file is set aside; its results are still to be written.
    Refused,
}

/// What a claim pins, so that a restart works as the first run did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pinned {
    /// BLAKE3 of the bytes.
    pub identity: Identity,
    /// The number of records.
    pub total: u64,
    /// The mapping's name.
    pub mapping: String,
    /// The hash under which mapping and tables are kept.
    pub bundle: String,
    /// The channel's name.
    pub channel: String,
    /// Records a message at most.
    pub batch_records: u64,
    /// Bytes a message at most.
    pub batch_bytes: u64,
    /// The date that the validity of table rows is judged by.
    pub date: Date,
    /// Raised by a retry or a resend, so that the keys of messages differ.
    pub generation: u32,
    /// The earlier arrival with the same bytes, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<Repeat>,
}

/// The earlier pick-up that a file repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// Its name then.
    pub name: String,
    /// Its number.
    pub arrival: Arrival,
}

/// The names of a file's results: one day folder, one suffix for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultNames {
    /// The folder below `archive`.
    pub day: Date,
    /// 1: the name as it is; n: `-n` behind its stem.
    pub suffix: u32,
}

/// Records that wait for a time or an event: the ordinals from `first` to `last` that are not
/// final. They are one message, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The first ordinal.
    pub first: u64,
    /// The last ordinal.
    pub last: u64,
    /// What it waits for.
    pub wait: Wait,
    /// When it is looked at again.
    pub due: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// When it first waited.
    pub since: Timestamp,
    /// When the last attempt ended, and whether the server answered it.
    pub last_attempt: Timestamp,
    /// Whether the server answered the last attempt with a fault of its own while the channel was
    /// not paused: only then does the wait count.
    pub answered: bool,
    /// Seconds that count towards `give_up_after`.
    pub spent: u64,
    /// Why, for people; short.
    pub reason: String,
    /// What a 202 is to be confirmed by: the release's address, or CPu's public reference. Of an
    /// invitation, what the customer knows it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The release that it waits for until it is ours, or until an earlier call for it is done: its
    /// address, or its container and perhaps, behind a blank, its bill of lading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// What a transfer or revoke keeps back until it is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holds>,
    /// Whether an attempt was sent and not answered, so that the channel may have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// Whether CPu told of other records of its call by their containers, and so will of these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
    /// The release's address, if one was found and the record was parked all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Whether the port has told since that its release was taken back or deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
}

/// A transfer or revoke that is not done: until it is final, no newer call for its release may go
/// (design, section 3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// The first 16 digits of the hash of the SCR API's URL.
    pub api: String,
    /// The release: its address, or its container and perhaps, behind a blank, its bill of lading.
    pub release: String,
    /// The others of one call for several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The record's age.
    pub age: Age,
    /// Whom it is transferred to, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Account {
    /// The pick-up whose records these are, if they are an excerpt of it.
    pub fn excerpt_of(&self) -> Option<Arrival> {
        self.again.filter(|again| again.how != How::Whole).map(|again| again.of)
    }
}

impl Waiting {
    /// Whether it is a half of a cut message that was never sent by itself.
    pub fn is_half(&self) -> bool {
        self.wait == Wait::Time && self.attempts == 0
    }
}

/// What a record waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// A time: it is sent again.
    Time,
    /// A release that is not there yet.
    Release,
    /// The confirmation of a 202.
    Confirmation,
    /// CPu's verdict on what it accepted.
    Verdict,
}

/// Which records of a file are in which state.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The channel has them.
    pub delivered: Ordinals,
    /// Set aside.
    pub quarantined: Ordinals,
    /// Made pointless.
    pub superseded: Ordinals,
    /// Not wanted.
    pub discarded: Ordinals,
    /// What waits, by first ordinal.
    pub waiting: std::collections::BTreeMap<u64, Waiting>,
    /// How many are on their way; not stored.
    pub in_flight: u64,
}

impl Progress {
    /// The set of a final state; none for an open one.
    pub fn of(&mut self, state: State) -> Option<&mut Ordinals> {
        match state {
            State::Delivered => Some(&mut self.delivered),
            State::Quarantined => Some(&mut self.quarantined),
            State::Superseded => Some(&mut self.superseded),
            State::Discarded => Some(&mut self.discarded),
            State::Pending | State::InFlight | State::Deferred | State::Parked => None,
        }
    }

    /// Whether a record's state is final.
    pub fn is_final(&self, ordinal: u64) -> bool {
        self.delivered.contains(ordinal)
            || self.quarantined.contains(ordinal)
            || self.superseded.contains(ordinal)
            || self.discarded.contains(ordinal)
    }

    /// How many from `first` to `last` are not final.
    pub fn open_between(&self, first: u64, last: u64) -> u64 {
        (last + 1 - first)
            - self.delivered.count(first, last)
            - self.quarantined.count(first, last)
            - self.superseded.count(first, last)
            - self.discarded.count(first, last)
    }

    /// How many of `total` records are in each state; `held` tells that the rest waits for a
    /// paused channel.
    pub fn counts(&self, total: u64, held: bool) -> Counts {
        let mut counts = Counts {
            delivered: self.delivered.len(),
            quarantined: self.quarantined.len(),
            superseded: self.superseded.len(),
            discarded: self.discarded.len(),
            ..Counts::default()
        };
        for waiting in self.waiting.values() {
            let open = self.open_between(waiting.first, waiting.last);
            match waiting.wait {
                Wait::Time => counts.deferred += open,
                Wait::Release | Wait::Confirmation | Wait::Verdict => counts.parked += open,
            }
        }
        let rest = total.saturating_sub(counts.total());
        counts.in_flight = self.in_flight.min(rest);
        let rest = rest - counts.in_flight;
        match held {
            true => counts.deferred += rest,
            false => counts.pending = rest,
        }
        counts
    }
}
