//! Verdicts of CPu, and the records that are parked for them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Store;
use crate::ledger::entries::parse;
use crate::ledger::keys::{prefix_of_verdict, verdict_key, verdict_prefix, waiting_key};
use crate::ledger::{Told, Wait, Waiting};
use crate::model::Arrival;

/// The records that are parked, by customer and reference in lower case.
pub(super) type Parked = BTreeMap<(String, String), (Arrival, u64)>;

impl Store {
    /// Notes a verdict, unless there is one for this reference and container that it does not
    /// outweigh. A record that is parked for it is due at once; tells of which file.
    pub fn note_verdict(&mut self, customer: &str, told: Told) -> anyhow::Result<Option<Arrival>> {
        let parked = self.parked.get(&key(customer, &told.reference)).copied();
        let key = verdict_key(customer, &told);
        let known: Option<Told> = self.entries.get(&key)?;
        if known.is_some_and(|known| known.failure.is_some() || told.failure.is_none()) {
            return Ok(parked.map(|(arrival, _)| arrival));
        }
        self.entries.put(key, &told);
        let Some((arrival, first)) = parked else { return Ok(None) };
        let waiting =
            self.files.get_mut(&arrival).and_then(|(_, progress)| progress.waiting.get_mut(&first));
        if let Some(waiting) = waiting {
            waiting.due = waiting.due.min(told.at);
            let waiting = waiting.clone();
            self.entries.put(waiting_key(arrival, first), &waiting);
        }
        Ok(Some(arrival))
    }

    /// The verdicts for a reference that came.
    pub fn verdicts(&self, customer: &str, reference: &str) -> anyhow::Result<Vec<Told>> {
        let found = self.entries.starting_with(&verdict_prefix(customer, reference))?;
        found.values().map(|value| parse(value)).collect()
    }

    /// Forgets the verdicts that came before a time and that no record is parked for: how many.
    pub fn forget_verdicts(&mut self, before: Timestamp) -> anyhow::Result<u64> {
        let wanted: BTreeSet<Vec<u8>> =
            self.parked.keys().map(|(customer, of)| verdict_prefix(customer, of)).collect();
        let mut gone = Vec::new();
        for (key, value) in self.entries.starting_with(b"v/")? {
            let told: Told = parse(&value)?;
            let is_wanted =
                prefix_of_verdict(&key, &told).is_some_and(|prefix| wanted.contains(prefix));
            if told.at < before && !is_wanted {
                gone.push(key);
            }
        }
        let forgotten = gone.len() as u64;
        gone.into_iter().for_each(|key| self.entries.remove(key));
        Ok(forgotten)
    }

    /// What is to be parked for a verdict that came before is due at once, unless that was `heard`.
    pub(super) fn hasten(
        &self,
        arrival: Arrival,
        waiting: &mut Waiting,
        heard: &[Told],
    ) -> anyhow::Result<()> {
        let Some(reference) = reference_of(waiting) else { return Ok(()) };
        let Some((account, _)) = self.files.get(&arrival) else { return Ok(()) };
        for told in self.verdicts(&account.customer, reference)? {
            if !heard.iter().any(|heard| heard.container == told.container) {
                waiting.due = waiting.due.min(told.at);
            }
        }
        Ok(())
    }
}

/// What is parked for its verdict: the public reference.
fn reference_of(waiting: &Waiting) -> Option<&str> {
    waiting.address.as_deref().filter(|_| waiting.wait == Wait::Verdict)
}

/// Where it is to be found by its reference.
pub(super) fn parked_key(customer: &str, waiting: &Waiting) -> Option<(String, String)> {
    reference_of(waiting).map(|reference| key(customer, reference))
}

fn key(customer: &str, reference: &str) -> (String, String) {
    (customer.to_owned(), reference.to_ascii_lowercase())
}
