//! Mend: from the entries that could be saved, a ledger that agrees with the spool, quarantine and
//! the receipts. Where something is missing, a file is worked again from its start: with the same
//! keys, so that nothing is taken to be delivered that may not be.

mod aside;
mod files;
mod memory;
mod outboxes;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use self::outboxes::Waiting;
use super::Found;
use crate::ledger::{Account, Entry, Ordinals, Progress, Settled, Tally, transfer};
use crate::model::{Arrival, Identity, State};
use crate::spool::Spool;

/// A ledger that agrees with what lies around it.
pub struct Mended {
    /// Its entries, as an export has them.
    pub entries: Vec<Entry>,
    /// What was wrong, and what it means.
    pub findings: Vec<String>,
}

/// What was saved, sorted.
struct Mending<'a> {
    spool: &'a Spool,
    receipts: &'a [Found],
    damaged: bool,
    findings: Vec<String>,
    installation: Option<String>,
    next: u64,
    tallies: BTreeMap<String, Tally>,
    others: Vec<Entry>,
    generations: BTreeMap<Arrival, u32>,
    /// Records of rounds that are not gone on with, by the pick-up that they return to.
    returned: BTreeMap<Arrival, Ordinals>,
    ended: BTreeSet<Arrival>,
    identities: BTreeMap<(String, String, Identity), Settled>,
    files: BTreeMap<Arrival, Account>,
    progress: BTreeMap<Arrival, Progress>,
    outboxes: BTreeMap<(String, String), Waiting>,
}

/// Mends what was saved of a ledger. Identities are taken from receipts that are younger than
/// `remembered`; `damaged` tells that something is known to be lost.
pub fn mend(
    saved: Vec<Entry>,
    spool: &Spool,
    receipts: &[Found],
    remembered: Timestamp,
    damaged: bool,
) -> anyhow::Result<Mended> {
    let mut mending = Mending {
        spool,
        receipts,
        damaged,
        findings: Vec::new(),
        installation: None,
        next: 1,
        tallies: BTreeMap::new(),
        others: Vec::new(),
        generations: BTreeMap::new(),
        returned: BTreeMap::new(),
        ended: BTreeSet::new(),
        identities: BTreeMap::new(),
        files: BTreeMap::new(),
        progress: BTreeMap::new(),
        outboxes: BTreeMap::new(),
    };
    saved.into_iter().for_each(|entry| mending.sort_in(entry));
    let given_out = mending.next;
    mending.generations()?;
    mending.meta()?;
    for arrival in mending.files.keys().copied().collect::<Vec<_>>() {
        mending.file(arrival)?;
    }
    mending.files_without_account(given_out)?;
    mending.quarantine()?;
    mending.identities(remembered);
    mending.counters();
    mending.outboxes()?;
    let findings = std::mem::take(&mut mending.findings);
    Ok(Mended { entries: mending.entries(), findings })
}

impl Mending<'_> {
    fn sort_in(&mut self, entry: Entry) {
        match entry {
            Entry::Schema { .. } | Entry::End { .. } => {}
            Entry::Installation { name } => self.installation = Some(name),
            Entry::NextArrival { number } => self.next = number,
            Entry::Tally { customer, tally } => {
                self.tallies.insert(customer, tally);
            }
            Entry::Identity { customer, source, identity, settled } => {
                self.identities.insert((customer, source, identity), settled);
            }
            Entry::File(account) => {
                self.files.insert(account.arrival, *account);
            }
            Entry::Records { arrival, state, ranges } => {
                if let Some(set) = self.progress.entry(arrival).or_default().of(state) {
                    for (first, last) in ranges {
                        set.insert(first, last);
                    }
                }
            }
            Entry::Waiting { arrival, waiting } => {
                let progress = self.progress.entry(arrival).or_default();
                progress.waiting.insert(waiting.first, waiting);
            }
            Entry::Generation { arrival, generation } => {
                self.generations.insert(arrival, generation);
            }
            Entry::Outbox(outbox) => {
                let key = (outbox.customer.clone(), outbox.outbox.clone());
                self.outboxes.entry(key).or_default().outbox = Some(outbox);
            }
            Entry::Queued(queued) => {
                let key = (queued.customer.clone(), queued.outbox.clone());
                self.outboxes.entry(key).or_default().queued.insert(queued.sequence, queued);
            }
            other => self.others.push(other),
        }
    }

    fn find(&mut self, what: String) {
        self.findings.push(what);
    }

    fn meta(&mut self) -> anyhow::Result<()> {
        if self.installation.is_none() {
            self.installation = Some(uuid::Uuid::new_v4().simple().to_string());
            self.find(
                "the ledger's own name is lost: if a claim was under way, its file lies hidden as \
                 .lighterman-… in its source's folder; give it its name back"
                    .to_owned(),
            );
        }
        let spooled = self.spool.arrivals()?;
        let quarantined = self.spool.quarantined_arrivals()?;
        let highest = spooled
            .into_iter()
            .chain(quarantined)
            .chain(self.files.keys().copied())
            .chain(self.progress.keys().copied())
            .chain(self.generations.keys().copied())
            .chain(self.identities.values().map(|settled| settled.arrival))
            .chain(self.receipts.iter().map(|found| found.receipt.arrival))
            .max();
        let next = highest.map_or(1, |highest| highest.0.saturating_add(1));
        if next > self.next {
            self.find(format!("the next arrival is {next}, not {}", self.next));
            self.next = next;
        }
        if self.damaged {
            self.find(
                "what cannot be seen from outside may be lost, too: alarms are raised again by \
                 themselves; a login that was refused is tried up to three times more; where the \
                 age of a release is lost, an assignment that still waits goes out even if a newer \
                 one was delivered: look at `lighterman status` for what waits"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn entries(self) -> Vec<Entry> {
        let mut all = vec![
            Entry::Schema { version: transfer::VERSION },
            Entry::Installation { name: self.installation.unwrap_or_default() },
            Entry::NextArrival { number: self.next },
        ];
        let tally = |(customer, tally)| Entry::Tally { customer, tally };
        all.extend(self.tallies.into_iter().map(tally));
        all.extend(self.others);
        all.extend(self.outboxes.into_values().flat_map(Waiting::entries));
        let generation = |(arrival, generation)| Entry::Generation { arrival, generation };
        all.extend(self.generations.into_iter().map(generation));
        all.extend(self.identities.into_iter().map(|((customer, source, identity), settled)| {
            Entry::Identity { customer, source, identity, settled }
        }));
        all.extend(self.files.into_values().map(|account| Entry::File(Box::new(account))));
        for (arrival, mut progress) in self.progress {
            let states =
                [State::Delivered, State::Quarantined, State::Superseded, State::Discarded];
            for state in states {
                let ranges = progress.of(state).map(|set| set.ranges()).unwrap_or_default();
                if !ranges.is_empty() {
                    all.push(Entry::Records { arrival, state, ranges });
                }
            }
            let waiting = std::mem::take(&mut progress.waiting);
            all.extend(waiting.into_values().map(|waiting| Entry::Waiting { arrival, waiting }));
        }
        let lines = all.len() as u64;
        all.push(Entry::End { lines });
        all
    }
}

fn told(account: &Account) -> String {
    format!("{} of {} (arrival {})", account.name, account.customer, account.arrival)
}
