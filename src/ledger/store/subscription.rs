//! Which callback URLs were registered at SCR APIs.

use std::collections::BTreeMap;

use anyhow::Context;

use super::Store;
use crate::ledger::Subscription;
use crate::ledger::entries::parse;
use crate::ledger::keys::{api_and_event, subscription_key};

impl Store {
    /// Remembers what was registered at an API for a type of event; what was before is forgotten.
    pub fn subscribed(&mut self, api: &str, event_type: &str, subscription: &Subscription) {
        self.entries.put(subscription_key(api, event_type), subscription);
    }

    /// All that was registered, by API and type of event.
    pub fn subscriptions(&self) -> anyhow::Result<BTreeMap<(String, String), Subscription>> {
        let mut all = BTreeMap::new();
        for (key, value) in self.entries.starting_with(b"u/")? {
            let (api, event_type) = api_and_event(&key).context("a key is damaged")?;
            all.insert((api.to_owned(), event_type.to_owned()), parse(&value)?);
        }
        Ok(all)
    }
}
