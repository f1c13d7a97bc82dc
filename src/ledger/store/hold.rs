//! Transfers and revokes that wait, and what they keep back.

use std::collections::{BTreeMap, BTreeSet};

use super::Store;
use crate::ledger::entry::to_hex;
use crate::ledger::{Account, Age, Holds, Wait, Waiting};

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

impl Store {
    /// The newest record of a customer's channel, but for one, that overwrites what is older of a
    /// release, was sent, and waits.
    pub fn newest_sent(
        &self,
        customer: &str,
        channel: &str,
        address: &str,
        but: Age,
    ) -> Option<Age> {
        let is_theirs = |account: &Account| {
            let pinned = account.pinned.as_ref();
            let is_channel = pinned.is_some_and(|pinned| pinned.channel == channel);
            // An excerpt's ordinals are not those that age counts by.
            account.customer == customer && is_channel && account.excerpt_of().is_none()
        };
        let takes_back = |holds: &Holds| holds.to.is_none();
        let files = self.files.iter().rev().filter(|(_, (account, _))| is_theirs(account));
        let ages = files.flat_map(|(arrival, (account, progress))| {
            let arrival = account.again.map_or(*arrival, |again| again.age);
            let sent = progress.waiting.values().filter(|waiting| {
                let is_open = matches!(waiting.wait, Wait::Time | Wait::Release);
                let is_revoke = waiting.holds.as_ref().is_some_and(takes_back);
                is_open && !is_revoke && waiting.address.as_deref() == Some(address)
            });
            sent.map(move |waiting| (arrival, waiting.first))
        });
        ages.filter(|age| *age != but).max()
    }
}

/// How an SCR API is named in the ledger: the first 16 digits of the hash of its URL.
pub fn short_api(url: &str) -> String {
    to_hex(&blake3::hash(url.as_bytes()).as_bytes()[..8])
}
