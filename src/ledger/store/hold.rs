//! Transfers and revokes that wait, and what they keep back.

use std::collections::{BTreeMap, BTreeSet};

use super::Store;
use crate::ledger::entry::to_hex;
use crate::ledger::{Age, Holds, Waiting};

/// What waits for transfers and revokes of a release, for all that the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// None is older.
    No,
    /// One is older.
    Yes,
    /// One is older that names its release by a container: it may be this one.
    Perhaps,
}

/// The ages of transfers and revokes that wait, by API and release.
#[derive(Default)]
pub(super) struct Holding(BTreeMap<(String, String), BTreeSet<Age>>);

impl Holding {
    pub fn hold(&mut self, holds: Option<Holds>) {
        let Some(Holds { api, release, others, age, .. }) = holds else { return };
        for release in std::iter::once(release).chain(others) {
            self.0.entry((api.clone(), release)).or_default().insert(age);
        }
    }

    /// What waited with this waits no more, or otherwise.
    pub fn let_go(&mut self, waiting: &Waiting) {
        let Some(Holds { api, release, others, age, .. }) = waiting.holds.clone() else { return };
        for release in std::iter::once(release).chain(others) {
            let key = (api.clone(), release);
            if let Some(ages) = self.0.get_mut(&key) {
                ages.remove(&age);
                if ages.is_empty() {
                    self.0.remove(&key);
                }
            }
        }
    }
}

impl Store {
    /// Whether a transfer or revoke waits that is older than this and for a release of one of these
    /// names; `all` tells that the release has no other names.
    pub fn held(&self, api: &str, names: &[String], all: bool, before: Age) -> Held {
        let api = short_api(api);
        let is_older = |ages: &BTreeSet<Age>| ages.first().is_some_and(|age| *age < before);
        let of = |name: &String| self.holding.0.get(&(api.clone(), name.clone()));
        if names.iter().filter_map(of).any(is_older) {
            return Held::Yes;
        }
        let mut containers = self
            .holding
            .0
            .range((api.clone(), String::new())..)
            .take_while(|((of, _), _)| *of == api)
            .filter(|((_, name), _)| !name.starts_with("0x"));
        match !all && containers.any(|(_, ages)| is_older(ages)) {
            true => Held::Perhaps,
            false => Held::No,
        }
    }
}

/// How an SCR API is named in the ledger: the first 16 digits of the hash of its URL.
pub fn short_api(url: &str) -> String {
    to_hex(&blake3::hash(url.as_bytes()).as_bytes()[..8])
}
