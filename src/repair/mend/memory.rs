//! What is remembered of settled files: identities and counters.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Mending;
use crate::ledger::{Settled, Tally, WHOLE};
use crate::model::Arrival;
use crate::repair::Found;
use crate::settle;

impl Mending<'_> {
    pub(super) fn identities(&mut self, remembered: Timestamp) {
        let mut found = 0;
        for Found { receipt, .. } in self.receipts {
            let Some(at) = receipt.settled.filter(|at| *at >= remembered) else { continue };
            if receipt.quarantined_whole || receipt.is_excerpt() || receipt.tried_nothing() {
                continue;
            }
            let key = (receipt.customer.clone(), receipt.source.clone(), receipt.identity);
            let name = receipt.file.clone();
            match self.identities.get(&key) {
                Some(known) if known.arrival >= receipt.arrival => {}
                // An open file with the same bytes is the newer one.
                Some(known) if self.files.contains_key(&known.arrival) => {}
                _ => {
                    found += 1;
                    let settled = Settled { arrival: receipt.arrival, name, at };
                    self.identities.insert(key, settled);
                }
            }
        }
        if found > 0 {
            self.find(format!(
                "{found} identities are taken from receipts, so that the same bytes are known again"
            ));
        }
    }

    /// Counters that are lost are counted from receipts; quarantined is what is set aside.
    pub(super) fn counters(&mut self) {
        let mut set_aside: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (arrival, progress) in &self.progress {
            if self.files.contains_key(arrival) {
                continue;
            }
            let rounds: Vec<Arrival> = self.files.keys().copied().collect();
            let rounds = settle::kept(self.spool, *arrival, &rounds).unwrap_or_default();
            if let Some(kept) = rounds.first() {
                let counts = set_aside.entry(kept.account.customer.clone()).or_default();
                let whole = u64::from(progress.quarantined.contains(WHOLE));
                counts.0 += progress.quarantined.len() - whole;
                counts.1 += whole;
            }
        }
        let mut lost: BTreeMap<String, Tally> = BTreeMap::new();
        let receipts = self.receipts.iter().map(|found| &found.receipt);
        for receipt in receipts.filter(|receipt| receipt.settled.is_some()) {
            // What was sent again counts with the file that it came with.
            if self.tallies.contains_key(&receipt.customer) || receipt.resend_of.is_some() {
                continue;
            }
            let tally = lost.entry(receipt.customer.clone()).or_default();
            tally.records.add(&receipt.records.counts);
            tally.files.settled += u64::from(!receipt.quarantined_whole && !receipt.is_excerpt());
        }
        for (customer, tally) in lost {
            self.find(format!("the counters of {customer} are counted anew from its receipts"));
            self.tallies.insert(customer, tally);
        }
        for customer in set_aside.keys() {
            self.tallies.entry(customer.clone()).or_default();
        }
        let mut differing = Vec::new();
        for (customer, tally) in &mut self.tallies {
            let (records, files) = set_aside.get(customer).copied().unwrap_or_default();
            if (tally.records.quarantined, tally.files.quarantined) != (records, files) {
                tally.records.quarantined = records;
                tally.files.quarantined = files;
                differing.push(customer.clone());
            }
        }
        for customer in differing {
            self.find(format!("what {customer} has set aside is counted anew"));
        }
    }
}
