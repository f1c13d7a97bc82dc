//! How releases were when they were last looked at.

use jiff::Timestamp;

use super::Store;
use crate::ledger::entries::parse;
use crate::ledger::keys::{former_key, seen_key, walked_key};
use crate::ledger::{Seen, Walked};

impl Store {
    /// How a release of an SCR API was when it was last looked at.
    pub fn seen(&self, api: &str, address: &str) -> anyhow::Result<Option<Seen>> {
        self.entries.get(&seen_key(api, address))
    }

    /// How a release was when it was last looked at as this customer's, though it may be another's by
    /// now.
    pub fn seen_by(
        &self,
        api: &str,
        address: &str,
        customer: &str,
    ) -> anyhow::Result<Option<Seen>> {
        let is_theirs = |seen: &Seen| seen.customer.as_deref() == Some(customer);
        if let Some(seen) = self.seen(api, address)?.filter(is_theirs) {
            return Ok(Some(seen));
        }
        let former: Option<Seen> = self.entries.get(&former_key(api, address, customer))?;
        Ok(former.filter(is_theirs))
    }

    /// Keeps how a release is; what its last owner knew of it is kept apart.
    pub fn note_seen(&mut self, api: &str, address: &str, seen: &Seen) {
        if let Ok(Some(before)) = self.seen(api, address)
            && let Some(customer) = &before.customer
            && seen.customer.as_ref() != Some(customer)
        {
            self.entries.put(former_key(api, address, customer), &before);
        }
        self.entries.put(seen_key(api, address), seen);
    }

    /// Forgets releases that were last looked at before.
    pub fn forget_seen(&mut self, before: Timestamp) -> anyhow::Result<u64> {
        let mut gone = Vec::new();
        self.entries.each(b"t/", &mut |key, value| {
            if parse::<Seen>(value)?.at < before {
                gone.push(key.to_vec());
            }
            Ok(())
        })?;
        let forgotten = gone.len() as u64;
        gone.into_iter().for_each(|key| self.entries.remove(key));
        Ok(forgotten)
    }

    /// How far the releases of an SCR API were walked, if they ever were.
    pub fn walked(&self, api: &str) -> anyhow::Result<Option<Walked>> {
        self.entries.get(&walked_key(api))
    }

    /// Keeps how far they were walked.
    pub fn note_walked(&mut self, api: &str, walked: &Walked) {
        self.entries.put(walked_key(api), walked);
    }
}
