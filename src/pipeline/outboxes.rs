//! Outboxes: documents for the ERP are queued, to be written as files afterwards. A document's file
//! in the spool and its entry in the ledger are on disk before its event counts as done.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use futures::future::try_join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use self::page::Pages;
pub use self::page::read as document;
use super::Parts;
use crate::ledger::{Alarm, AlarmKind, Store};
use crate::pickup::claim::free_disk;
use crate::spool::Spool;

/// How many documents may wait in one outbox: an entry of some 250 bytes on disk each, beside its
/// file. It is meant to be reached by an outbox that nobody looks after alone.
const MOST_WAITING: u64 = 1_000_000;

/// Who is told that something was queued.
#[derive(Default)]
pub struct Outboxes {
    pages: Pages,
    wakes: Mutex<BTreeMap<(String, String), Arc<Notify>>>,
    again: watch::Sender<()>,
}

/// A document's file in the spool: with what an entry says of it, should that be lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// The customer's id.
    pub customer: String,
    /// The outbox's name.
    pub outbox: String,
    /// Its event, in a word.
    pub event: String,
    /// What the mapping reads; its sequence number is put in when it is written.
    pub document: Value,
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is queued for every outbox of the customer that takes its event: so many.
    Queued(usize),
    /// There is no room: nothing was queued, and nothing else was changed. Why, and what to do.
    Full(String),
}

impl Outboxes {
    /// What is rung when something was queued for an outbox.
    pub fn wake(&self, customer: &str, outbox: &str) -> Arc<Notify> {
        let key = (customer.to_owned(), outbox.to_owned());
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(wakes.entry(key).or_default())
    }

    /// Everything that waits is to be tried again, as after a reload.
    pub fn try_again(&self) {
        self.again.send_replace(());
    }

    /// Changes when everything that waits is to be tried again.
    pub fn again(&self) -> watch::Receiver<()> {
        self.again.subscribe()
    }
}

impl Parts {
    /// Queues a document for every outbox of the customer that takes this event, each with its own
    /// next sequence number. It is durable when this returns, together with what `with` changes:
    /// also where no outbox takes it.
    pub async fn outbox_put(
        &self,
        customer: &str,
        event: &str,
        document: Value,
        with: impl FnOnce(&mut Store) + Send + 'static,
    ) -> anyhow::Result<Put> {
        match self.outbox_prepare(customer, event, document).await? {
            Ok(prepared) => Ok(Put::Queued(self.outbox_queue(vec![prepared], with).await?)),
            Err(why) => Ok(Put::Full(why)),
        }
    }

    /// Writes the files of a document that is to be queued next; or tells why there is no room.
    pub async fn outbox_prepare(
        &self,
        customer: &str,
        event: &str,
        document: Value,
    ) -> anyhow::Result<Result<Prepared, String>> {
        let setup = self.setup();
        let config = &setup.of(customer).config;
        let taking: Vec<String> = config
            .customers
            .get(customer)
            .into_iter()
            .flat_map(|customer| customer.outboxes.values())
            .filter(|outbox| outbox.events.contains(event))
            .map(|outbox| outbox.name.clone())
            .collect();
        if taking.is_empty() {
            return Ok(Ok(Prepared(Vec::new())));
        }
        if let Some((outbox, why)) = self.no_room(customer, &taking).await? {
            self.tell_full(customer, &outbox, &why).await;
            return Ok(Err(why));
        }
        let kept = taking.iter().map(async |outbox| {
            let payload = Payload {
                customer: customer.to_owned(),
                outbox: outbox.clone(),
                event: event.to_owned(),
                document: document.clone(),
            };
            let line = serde_json::to_vec(&payload)?;
            let bytes = line.len() as u64;
            let name = self.outboxes.pages.keep(&self.spool, customer, line).await?;
            let Payload { customer, outbox, event, .. } = payload;
            anyhow::Ok(Kept { customer, outbox, event, name, bytes })
        });
        Ok(Ok(Prepared(try_join_all(kept).await?)))
    }

    /// Queues documents in this order, all in one commit with what `with` changes; tells how often.
    pub async fn outbox_queue(
        &self,
        prepared: Vec<Prepared>,
        with: impl FnOnce(&mut Store) + Send + 'static,
    ) -> anyhow::Result<usize> {
        let kept: Vec<Kept> = prepared.into_iter().flat_map(|Prepared(kept)| kept).collect();
        let of = |kept: &Kept| (kept.customer.clone(), kept.outbox.clone());
        let outboxes: BTreeSet<(String, String)> = kept.iter().map(of).collect();
        let count = kept.len();
        // What the ledger does not take is cleared by the next run: a commit that failed may be on
        // disk all the same.
        self.ledger
            .update(move |store| {
                for Kept { customer, outbox, event, name, bytes } in kept {
                    store.queue((&customer, &outbox), &event, (&name, bytes));
                }
                with(store);
            })
            .await?;
        for (customer, outbox) in outboxes {
            self.outboxes.wake(&customer, &outbox).notify_one();
        }
        Ok(count)
    }

    /// The outbox that has no room for another document, and why.
    async fn no_room(
        &self,
        customer: &str,
        taking: &[String],
    ) -> anyhow::Result<Option<(String, String)>> {
        let (of, names) = (customer.to_owned(), taking.to_owned());
        let full = self
            .ledger
            .change(move |store| {
                let is_full = |name: &String| {
                    store.outbox(&of, name).is_some_and(|waits| waits.waiting >= MOST_WAITING)
                };
                Ok(names.into_iter().find(is_full))
            })
            .await?;
        if let Some(outbox) = full {
            let why = format!(
                "{MOST_WAITING} documents wait in the outbox {outbox}; see why none is written: \
                 lighterman status"
            );
            return Ok(Some((outbox, why)));
        }
        let setup = self.setup();
        let (state, least) = (setup.config.state.clone(), setup.config.limits.free_disk);
        let free = tokio::task::spawn_blocking(move || free_disk(&state, least)).await?;
        let first = taking.first().cloned().unwrap_or_default();
        Ok(free.err().map(|error| (first, format!("{error:#}"))))
    }

    async fn tell_full(&self, customer: &str, outbox: &str, why: &str) {
        let alarm = Alarm {
            since: Timestamp::now(),
            customer: customer.to_owned(),
            channel: None,
            source: Alarm::of_outbox(outbox),
            kind: AlarmKind::Disk,
            advice: format!("nothing more is queued for the outbox {outbox}: {why}"),
        };
        tracing::error!(customer = %customer, "{}", alarm.advice);
        let raised = self.ledger.update(|store| {
            store.raise(alarm);
        });
        if let Err(error) = raised.await {
            tracing::error!("The alarm cannot be noted: {error:#}");
        }
    }
}

/// A document that is in the spool for every outbox that takes it, and not in the ledger yet.
pub struct Prepared(Vec<Kept>);

/// The same for one outbox.
struct Kept {
    customer: String,
    outbox: String,
    event: String,
    name: String,
    bytes: u64,
}

/// Removes what lies in the spool of documents that no entry tells of: to be done before anything
/// is queued.
pub async fn clear(parts: &Parts) -> anyhow::Result<()> {
    let mut known = parts.ledger.change(|store| store.payloads()).await?;
    known.sort_unstable();
    let spool = parts.spool.clone();
    let cleared = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        for entry in fs::read_dir(spool.payloads())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
            let is_known = |name: &str| known.binary_search_by(|of| of.as_str().cmp(name)).is_ok();
            if !name.is_some_and(is_known) {
                crate::disk::remove(&path)?;
            }
        }
        Ok(())
    });
    cleared.await?.context("the folder of documents for outboxes cannot be cleared")
}

impl Payload {
    /// What a document's file says of it; none if it is gone or damaged.
    pub fn read(spool: &Spool, name: &str) -> std::io::Result<Option<Payload>> {
        let line = document(spool, name)?;
        Ok(line.and_then(|line| serde_json::from_slice(&line).ok()))
    }
}

#[cfg(test)]
mod tests;
