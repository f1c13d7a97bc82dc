//! What waits to be written for the ERP: each document must have its file, and each file that was
//! queued its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use jiff::Timestamp;

use super::Mending;
use crate::ledger::{Entry, Outbox, Queued};
use crate::pipeline::{Payload, document};

/// What an entry says of a document whose place in the order is not certain: it is tried again by
/// the next run.
const AGAIN: &str = "not written yet when the ledger was repaired";

/// What was saved of one outbox.
#[derive(Default)]
pub struct Waiting {
    pub outbox: Option<Outbox>,
    pub queued: BTreeMap<u64, Queued>,
}

impl Waiting {
    pub fn entries(self) -> impl Iterator<Item = Entry> {
        let queued = self.queued.into_values().map(Entry::Queued);
        self.outbox.map(Entry::Outbox).into_iter().chain(queued)
    }

    /// Numbers that are missing are passed over.
    fn settle(&mut self, customer: &str, name: &str) {
        let outbox = self.outbox.get_or_insert_with(|| Outbox::new(customer, name));
        let last = self.queued.keys().next_back().copied().unwrap_or(0);
        outbox.last = outbox.last.max(last);
        outbox.passed = outbox.last;
        outbox.cut = None;
        for queued in self.queued.values_mut() {
            queued.refused.get_or_insert_with(|| AGAIN.to_owned());
        }
    }

    fn is_sound(&self) -> bool {
        let Some(outbox) = &self.outbox else { return false };
        let open = self.queued.keys().filter(|sequence| **sequence > outbox.passed).count();
        self.queued.values().all(|queued| outbox.may_hold(queued))
            && open as u64 == outbox.last.saturating_sub(outbox.passed)
            && outbox.written <= outbox.passed
    }
}

impl Mending<'_> {
    pub(super) fn outboxes(&mut self) -> anyhow::Result<()> {
        let mut known = BTreeSet::new();
        let (mut findings, mut adopted) = (Vec::new(), BTreeMap::<(String, String), u64>::new());
        for ((customer, name), waiting) in &mut self.outboxes {
            let spool = self.spool;
            let gone: Vec<u64> = waiting
                .queued
                .values()
                .filter(|queued| !spool.payload(&queued.payload).is_file())
                .map(|queued| queued.sequence)
                .collect();
            for sequence in gone {
                waiting.queued.remove(&sequence);
                findings.push(format!(
                    "document {sequence} of the outbox {name} of {customer} is lost: its file is gone"
                ));
            }
            known.extend(waiting.queued.values().map(|queued| queued.payload.clone()));
            if waiting.outbox.is_none() {
                findings.push(format!(
                    "how far the outbox {name} of {customer} had come is lost: numbers that were \
                     written may be given again"
                ));
            }
        }
        // Otherwise a file without an entry was never acknowledged.
        if self.damaged {
            for payload in self.payloads()? {
                let Some(held) = Payload::read(self.spool, &payload)? else { continue };
                if known.contains(&payload) {
                    continue;
                }
                let key = (held.customer, held.outbox);
                let waiting = self.outboxes.entry(key.clone()).or_default();
                if !adopted.contains_key(&key) {
                    waiting.settle(&key.0, &key.1);
                }
                let Some(outbox) = &mut waiting.outbox else { continue };
                let bytes = document(self.spool, &payload)?.map_or(0, |line| line.len() as u64);
                outbox.last += 1;
                let queued = Queued {
                    customer: key.0.clone(),
                    outbox: key.1.clone(),
                    sequence: outbox.last,
                    payload,
                    bytes,
                    event: held.event,
                    queued: Timestamp::now(),
                    refused: None,
                };
                waiting.queued.insert(queued.sequence, queued);
                *adopted.entry(key).or_default() += 1;
            }
        }
        for ((customer, name), waiting) in &mut self.outboxes {
            if !waiting.is_sound() {
                waiting.settle(customer, name);
                if !adopted.contains_key(&(customer.clone(), name.clone())) {
                    findings
                        .push(format!("the numbers of the outbox {name} of {customer} had gaps"));
                }
            }
        }
        for ((customer, name), count) in adopted {
            findings.push(format!(
                "{count} documents are queued anew in the outbox {name} of {customer}; some of them \
                 may be written already"
            ));
        }
        findings.into_iter().for_each(|finding| self.find(finding));
        Ok(())
    }

    /// The names of documents in the order in which they were queued.
    fn payloads(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for entry in fs::read_dir(self.spool.payloads())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
            all.extend(name.map(str::to_owned));
        }
        Ok(all)
    }
}
