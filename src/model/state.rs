//! The states of a record, and how many records are in each (design, section 1).

use serde::{Deserialize, Serialize};

/// The one state a record is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not sent yet.
    Pending,
    /// Sent, answer not yet committed.
    InFlight,
    /// Will be tried again by itself, at a known time.
    Deferred,
    /// Waits for an event or a sync, not for a time.
    Parked,
    /// The channel has it.
    Delivered,
    /// Set aside with a reason: cannot succeed until a person acts.
    Quarantined,
    /// Made pointless by a newer record for the same release.
    Superseded,
    /// Not wanted: by the input's `only`, as a repeat, or by a person.
    Discarded,
}

/// How many records are in each state. The sum is the number of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the states, described there")]
pub struct Counts {
    pub pending: u64,
    pub in_flight: u64,
    pub deferred: u64,
    pub parked: u64,
    pub delivered: u64,
    pub quarantined: u64,
    pub superseded: u64,
    pub discarded: u64,
}

impl Counts {
    /// All records, whatever their state.
    pub fn total(&self) -> u64 {
        self.open() + self.delivered + self.quarantined + self.superseded + self.discarded
    }

    /// The records that are not in a final state.
    pub fn open(&self) -> u64 {
        self.pending + self.in_flight + self.deferred + self.parked
    }

    /// Adds another count, state by state.
    pub fn add(&mut self, other: &Counts) {
        self.pending += other.pending;
        self.in_flight += other.in_flight;
        self.deferred += other.deferred;
        self.parked += other.parked;
        self.delivered += other.delivered;
        self.quarantined += other.quarantined;
        self.superseded += other.superseded;
        self.discarded += other.discarded;
    }
}
