//! What is set aside, and the rounds in which it is worked again.

use std::collections::{BTreeMap, BTreeSet};

use super::files::from_the_mark_on;
use super::{Mending, told};
use crate::ledger::{Account, How, Ordinals, WHOLE};
use crate::model::Arrival;
use crate::pipeline::again;
use crate::repair::Found;
use crate::settle::{self, Kept, Receipt};

impl Mending<'_> {
    /// How often records were worked again, so that the next round's keys are new.
    pub(super) fn generations(&mut self) -> anyhow::Result<()> {
        let quarantined = self.spool.quarantined_arrivals()?;
        let mut told: Vec<(Arrival, u32)> = Vec::new();
        for Found { receipt, .. } in self.receipts {
            let round = receipt.retry_of.as_ref().or(receipt.resend_of.as_ref());
            told.extend(round.map(|round| (round.arrival, round.generation)));
        }
        for arrival in &quarantined {
            // One that cannot be read is told of where its records are.
            let rounds = settle::kept(self.spool, *arrival, &[]).unwrap_or_default();
            let again = rounds.iter().filter_map(|round| round.account.again);
            told.extend(again.map(|again| (again.of, again.generation)));
        }
        let open = self.files.values().filter_map(|account| account.again);
        told.extend(open.map(|again| (again.of, again.generation)));
        let mut raised = BTreeSet::new();
        for (of, generation) in told {
            let held = self.generations.entry(of).or_default();
            if *held < generation {
                *held = generation;
                raised.insert(of);
            }
        }
        for of in raised {
            self.find(format!("arrival {of}: how often it was worked again was lost"));
        }
        if self.damaged {
            // A round may have come to an end of which nothing is known.
            for arrival in quarantined {
                self.generations.entry(arrival).or_insert(1);
            }
        }
        Ok(())
    }

    /// A round of which something is missing is not begun anew as if it were a file that came: its
    /// records return to where they were.
    pub(super) fn end_round(&mut self, account: &Account, of: Arrival) -> anyhow::Result<()> {
        let arrival = account.arrival;
        let Ok(Some(origin)) = again::origin(self.spool, account) else {
            let aside = self.spool.set_aside(arrival)?;
            self.files.remove(&arrival);
            self.progress.remove(&arrival);
            self.find(format!(
                "{}: it is not known which records of arrival {of} it works again; it lies in {} \
                 now: drop them again if need be",
                told(account),
                aside.display()
            ));
            return Ok(());
        };
        self.files.remove(&arrival);
        self.ended.insert(arrival);
        let mut progress = self.progress.remove(&arrival).unwrap_or_default();
        if self.damaged {
            let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
            from_the_mark_on(account, &mut progress, total);
        }
        let mut records = Ordinals::default();
        for (first, last) in origin.all() {
            records.insert(first, last);
        }
        let tally = self.tallies.entry(account.customer.clone()).or_default();
        if account.again.is_some_and(|again| again.how == How::Resend) {
            tally.records.delivered += records.len();
            self.find(format!(
                "{}: not all of its {} records may be sent again; resend them once more",
                told(account),
                records.len()
            ));
            return Ok(());
        }
        tally.records.delivered += progress.delivered.len();
        tally.records.superseded += progress.superseded.len();
        tally.records.discarded += progress.discarded.len();
        for set in [&progress.delivered, &progress.superseded, &progress.discarded] {
            for (first, last) in origin.ranges(&set.ranges()) {
                records.remove(first, last);
            }
        }
        self.find(format!(
            "{}: {} records that were tried again are set aside as before; retry them once more",
            told(account),
            records.len()
        ));
        let returned = self.returned.entry(of).or_default();
        for (first, last) in records.ranges() {
            returned.insert(first, last);
        }
        Ok(())
    }

    /// What settled files left set aside is what quarantine keeps.
    pub(super) fn quarantine(&mut self) -> anyhow::Result<()> {
        let open: BTreeSet<Arrival> = self.files.keys().copied().collect();
        let kept: BTreeSet<Arrival> = self.spool.quarantined_arrivals()?.into_iter().collect();
        let closed: Vec<Arrival> =
            self.progress.keys().copied().filter(|arrival| !open.contains(arrival)).collect();
        let mut lost = Vec::new();
        for arrival in closed {
            let progress = self.progress.entry(arrival).or_default();
            let left = std::mem::take(progress);
            if !kept.contains(&arrival) {
                if !left.quarantined.is_empty() {
                    lost.push(arrival);
                }
                self.progress.remove(&arrival);
                continue;
            }
            progress.quarantined = left.quarantined;
        }
        for arrival in lost {
            self.find(format!(
                "arrival {arrival}: nothing is kept of the records that were set aside; they are \
                 in its rejects file"
            ));
        }
        for arrival in kept.into_iter().filter(|arrival| !open.contains(arrival)) {
            let rounds: Vec<Arrival> = open.iter().copied().collect();
            let rounds = match settle::kept(self.spool, arrival, &rounds) {
                Ok(rounds) => rounds,
                Err(error) => {
                    self.progress.remove(&arrival);
                    self.find(format!("arrival {arrival}: {error:#}"));
                    continue;
                }
            };
            let Some(first) = rounds.first() else { continue };
            let name = told(&first.account);
            let left = self.left_of(arrival, &rounds)?;
            let progress = self.progress.entry(arrival).or_default();
            let mut known = !progress.quarantined.is_empty();
            if let Some(returned) = self.returned.remove(&arrival) {
                known |= !self.damaged;
                for (first, last) in returned.ranges() {
                    progress.quarantined.insert(first, last);
                }
            }
            if !known && !left.is_empty() {
                for (first, last) in left.ranges() {
                    progress.quarantined.insert(first, last);
                }
                self.find(format!(
                    "{name}: what of it is set aside is taken from quarantine; what a person has \
                     discarded may be among it"
                ));
            }
        }
        self.progress.retain(|_, progress| {
            !progress.waiting.is_empty()
                || ![
                    &progress.delivered,
                    &progress.quarantined,
                    &progress.superseded,
                    &progress.discarded,
                ]
                .iter()
                .all(|set| set.is_empty())
        });
        Ok(())
    }

    /// What is kept of a file, but for what is worked again or was delivered by a retry.
    fn left_of(&self, arrival: Arrival, rounds: &[Kept]) -> anyhow::Result<Ordinals> {
        let mut left = Ordinals::default();
        let mut receipts: BTreeMap<Arrival, &Receipt> = BTreeMap::new();
        for Found { receipt, .. } in self.receipts {
            if receipt.numbered_by() == arrival {
                receipts.insert(receipt.arrival, receipt);
            }
        }
        let kept: BTreeMap<Arrival, &Kept> =
            rounds.iter().map(|round| (round.account.arrival, round)).collect();
        // What became of a record in the last round that had it counts.
        for at in receipts.keys().chain(kept.keys()).copied().collect::<BTreeSet<Arrival>>() {
            let final_now = ["delivered", "superseded", "discarded"];
            let told = receipts.get(&at).into_iter();
            for (first, last) in
                told.flat_map(|receipt| final_now.map(|state| receipt.ordinals_in(state))).flatten()
            {
                left.remove(first, last);
            }
            match kept.get(&at) {
                Some(round) if round.is_whole() => {
                    left.insert(WHOLE, WHOLE);
                }
                Some(round) => {
                    for (first, last) in &round.stock.ordinals {
                        left.insert(*first, *last);
                    }
                }
                None => {}
            }
        }
        for account in self.files.values() {
            if account.again.is_none_or(|again| again.of != arrival) {
                continue;
            }
            if account.excerpt_of().is_none() {
                left.remove(WHOLE, WHOLE);
            } else if let Some(origin) = again::origin(self.spool, account)? {
                for (first, last) in origin.all() {
                    left.remove(first, last);
                }
            }
        }
        Ok(left)
    }
}
