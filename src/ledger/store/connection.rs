//! The connections of SCR APIs, as they were last told.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Store;
use super::hold::short_api;
use crate::ledger::entries::parse;
use crate::ledger::keys::{connection_key, connections_key};
use crate::ledger::{Connection, Connections};

impl Store {
    /// The connections of an API; none if it was never asked.
    pub fn connections(&self, api: &str) -> Option<&Arc<Connections>> {
        self.connections.get(&short_api(api))
    }

    /// Notes what an API told at a time; what it did not tell of is a connection no more.
    pub fn set_connections(&mut self, api: &str, at: Timestamp, told: Vec<Connection>) {
        let api = short_api(api);
        let told: BTreeMap<String, Connection> =
            told.into_iter().map(|told| (told.address.to_lowercase(), told)).collect();
        let before = self.connections.remove(&api);
        let before = before.as_ref().map(|before| &before.list);
        let gone = before.into_iter().flat_map(BTreeMap::keys);
        for address in gone.filter(|address| !told.contains_key(*address)) {
            self.entries.remove(connection_key(&api, address));
        }
        for (address, connection) in &told {
            if before.and_then(|before| before.get(address)) != Some(connection) {
                self.entries.put(connection_key(&api, address), connection);
            }
        }
        self.entries.put(connections_key(&api), &at);
        self.connections.insert(api, Arc::new(Connections { at, list: told }));
    }

    /// Reads all connections, as the store opens.
    pub(super) fn load_connections(&mut self) -> anyhow::Result<()> {
        let mut all: BTreeMap<String, Connections> = BTreeMap::new();
        for (key, value) in self.entries.starting_with(b"b/")? {
            let text = String::from_utf8_lossy(&key[2..]).into_owned();
            let (api, address) = text.split_once('/').unwrap_or((&text, ""));
            let of = || Connections { at: Timestamp::MIN, list: BTreeMap::new() };
            let of = all.entry(api.to_owned()).or_insert_with(of);
            match address {
                "" => of.at = parse(&value)?,
                address => drop(of.list.insert(address.to_owned(), parse(&value)?)),
            }
        }
        self.connections = all.into_iter().map(|(api, of)| (api, Arc::new(of))).collect();
        Ok(())
    }
}
