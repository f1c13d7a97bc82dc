//! Files on partners' servers: what is still to be done there, and what is known to be fetched.

use std::collections::BTreeMap;

use super::Store;
use crate::ledger::entries::parse;
use crate::ledger::keys::{fetched_key, known_key, known_prefix, number_of};
use crate::ledger::{Fetched, Known};
use crate::model::Arrival;

impl Store {
    /// Notes that a file is still to be moved or removed where it was.
    pub fn set_fetched(&mut self, arrival: Arrival, fetched: &Fetched) {
        self.entries.put(fetched_key(arrival), fetched);
    }

    /// Nothing is to be done there any more.
    pub fn forget_fetched(&mut self, arrival: Arrival) {
        self.entries.remove(fetched_key(arrival));
    }

    /// The files of a source that are still to be moved or removed where they were.
    pub fn fetched(&self, customer: &str, source: &str) -> anyhow::Result<Vec<(Arrival, Fetched)>> {
        let mut all = Vec::new();
        for (key, value) in self.entries.starting_with(b"p/")? {
            let fetched: Fetched = parse(&value)?;
            if fetched.customer == customer && fetched.source == source {
                all.push((number_of(&key)?, fetched));
            }
        }
        Ok(all)
    }

    /// How many files of all sources are still to be moved or removed where they were.
    pub fn fetched_count(&self) -> anyhow::Result<u64> {
        Ok(self.entries.keys_starting_with(b"p/")?.len() as u64)
    }

    /// Notes that a file stays where it is, and is known.
    pub fn set_known(&mut self, customer: &str, source: &str, known: &Known) {
        self.entries.put(known_key(customer, source, &known.path), known);
    }

    /// A file that was known is there no more.
    pub fn forget_known(&mut self, customer: &str, source: &str, path: &str) {
        self.entries.remove(known_key(customer, source, path));
    }

    /// The files of a source that stay where they are and are known, by their paths.
    pub fn known(&self, customer: &str, source: &str) -> anyhow::Result<BTreeMap<String, Known>> {
        let entries = self.entries.starting_with(&known_prefix(customer, source))?;
        let known = entries.into_values().map(|value| {
            let known: Known = parse(&value)?;
            Ok((known.path.clone(), known))
        });
        known.collect()
    }
}
