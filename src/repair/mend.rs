//! Mend: from the entries that could be saved, a ledger that agrees with the spool, quarantine and
//! the receipts. Where something is missing, a file is worked again from its start: with the same
//! keys, so that nothing is taken to be delivered that may not be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::Context;
use jiff::Timestamp;

use super::Found;
use crate::inspect::{Inspection, identify};
use crate::ledger::{
    Account, Entry, How, Ordinals, Phase, Progress, Repeat, ResultNames, Settled, Tally, WHOLE,
    Waiting, transfer,
};
use crate::model::{Arrival, Identity, State, numbered};
use crate::pickup::claim;
use crate::pipeline::again;
use crate::settle::{self, Kept, Receipt};
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
            other => self.others.push(other),
        }
    }

    fn find(&mut self, what: String) {
        self.findings.push(what);
    }

    /// How often records were worked again, so that the next round's keys are new.
    fn generations(&mut self) -> anyhow::Result<()> {
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

    /// An open file: whether its bytes are there, and whether its account can be believed.
    fn file(&mut self, arrival: Arrival) -> anyhow::Result<()> {
        let Some(mut account) = self.files.get(&arrival).cloned() else { return Ok(()) };
        self.name_results(&mut account);
        self.files.insert(arrival, account.clone());
        if account.phase == Phase::Claiming {
            self.progress.remove(&arrival);
            if self.damaged {
                self.find(format!("{}: its claim is gone on with at the next run", told(&account)));
            }
            return Ok(());
        }
        if !self.spool.data(arrival).exists() {
            self.file_without_bytes(&account);
            return Ok(());
        }
        let Some(pinned) = account.pinned.as_ref().filter(|_| account.phase == Phase::Open) else {
            self.progress.remove(&arrival);
            if self.damaged {
                self.find(format!("{}: it is worked from its start", told(&account)));
            }
            return Ok(());
        };
        let inspection: Option<Inspection> = fs::read(self.spool.inspection(arrival))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let inspected = inspection.is_some_and(|inspection| {
            inspection.records == pinned.total && inspection.identity == pinned.identity
        });
        let pinned_there = self.spool.bundle(&pinned.bundle).exists();
        let total = pinned.total;
        let mut progress = self.progress.remove(&arrival).unwrap_or_default();
        let agrees = below_the_mark(&account, &progress, total);
        if inspected && pinned_there && agrees {
            if self.damaged {
                from_the_mark_on(&account, &mut progress, total);
                self.find(format!(
                    "{}: it goes on from record {}; what was sent after that is sent again, with \
                     the same keys",
                    told(&account),
                    account.mark.max(1)
                ));
            }
            self.progress.insert(arrival, progress);
            return Ok(());
        }
        // As an earlier claim it would be its own repeat; begun anew, it is judged as it was.
        if !inspected || !pinned_there || pinned.repeat_of.is_some() {
            // What a round has delivered does not return to quarantine.
            self.progress.insert(arrival, progress);
            self.begin_anew(account)?;
            return Ok(());
        }
        self.find(format!(
            "{}: some of its account is lost; it is worked again from its start, and its messages \
             carry the same keys",
            told(&account)
        ));
        let account = Account { mark: 1, messages: 0, held_until: None, ..account };
        self.files.insert(arrival, account);
        Ok(())
    }

    fn file_without_bytes(&mut self, account: &Account) {
        let arrival = account.arrival;
        self.files.remove(&arrival);
        let progress = self.progress.remove(&arrival).unwrap_or_default();
        if let Some(receipt) = self.receipt(account) {
            let (counts, whole) = (receipt.records.counts, receipt.quarantined_whole);
            let tally = self.tallies.entry(account.customer.clone()).or_default();
            tally.records.add(&counts);
            tally.files.settled += u64::from(!whole && account.excerpt_of().is_none());
            self.find(format!("{}: it was settled, says its receipt", told(account)));
            return;
        }
        let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
        self.find(format!(
            "{}: neither its bytes nor a receipt of its end are there; {} of its {total} records \
             were delivered, what became of the others is not known: see its archive and rejects, \
             and drop it again if need be",
            told(account),
            progress.delivered.len()
        ));
        let tally = self.tallies.entry(account.customer.clone()).or_default();
        tally.records.delivered += progress.delivered.len();
    }

    /// The receipt that says that this file was settled.
    fn receipt(&self, account: &Account) -> Option<&Receipt> {
        self.of_file(account).map(|found| &found.receipt).find(|receipt| receipt.settled.is_some())
    }

    fn of_file(&self, account: &Account) -> impl Iterator<Item = &Found> {
        self.receipts.iter().filter(|Found { receipt, .. }| {
            receipt.arrival == account.arrival
                && receipt.customer == account.customer
                && receipt.file == account.name
        })
    }

    /// Results that were written before are written again under the same names.
    fn name_results(&self, account: &mut Account) {
        if account.results.is_none()
            && let Some((answered, names)) = self.names(account)
        {
            account.answered = Some(answered);
            account.results = Some(names);
        }
    }

    /// Under which names its results were written before, if they were.
    fn names(&self, account: &Account) -> Option<(Timestamp, ResultNames)> {
        self.of_file(account).find_map(|Found { receipt, file }| {
            let answered = receipt.answered?;
            let name = file.strip_suffix(".receipt.json")?;
            let suffix = (1..1000).find(|suffix| numbered(&account.name, *suffix) == name)?;
            let day = answered.to_zoned(jiff::tz::TimeZone::system()).date();
            Some((answered, ResultNames { day, suffix }))
        })
    }

    /// The file is inspected again; what came before it with the same bytes is looked up, so that
    /// a repeat stays one.
    fn begin_anew(&mut self, account: Account) -> anyhow::Result<()> {
        let arrival = account.arrival;
        if let Some(of) = account.excerpt_of() {
            return self.end_round(&account, of);
        }
        let known = account.pinned.as_ref().and_then(|pinned| pinned.repeat_of.clone());
        let data = self.spool.data(arrival);
        let identity =
            identify(&data).with_context(|| format!("{} cannot be read", data.display()))?;
        let key = (account.customer.clone(), account.source.clone(), identity);
        let earlier = known.or_else(|| self.earlier(&account, identity));
        if let Some(Repeat { name, arrival: earlier }) = earlier {
            let at = Timestamp::now();
            self.identities.insert(key, Settled { arrival: earlier, name, at });
        }
        self.progress.remove(&arrival);
        self.find(format!(
            "{}: it is worked again from its start, and its messages carry the same keys unless its \
             mapping has changed",
            told(&account)
        ));
        let mut account = Account {
            phase: Phase::Claimed,
            pinned: None,
            mark: 1,
            messages: 0,
            held_until: None,
            ..account
        };
        self.name_results(&mut account);
        self.files.insert(arrival, account);
        Ok(())
    }

    /// A round of which something is missing is not begun anew as if it were a file that came: its
    /// records return to where they were.
    fn end_round(&mut self, account: &Account, of: Arrival) -> anyhow::Result<()> {
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

    /// The newest settled file with the same bytes, of which the receipts tell.
    fn earlier(&self, account: &Account, identity: Identity) -> Option<Repeat> {
        self.receipts
            .iter()
            .map(|found| &found.receipt)
            .filter(|receipt| receipt.customer == account.customer)
            .filter(|receipt| receipt.source == account.source && receipt.identity == identity)
            .filter(|receipt| receipt.arrival < account.arrival)
            .filter(|receipt| receipt.settled.is_some() && !receipt.quarantined_whole)
            .filter(|receipt| !receipt.is_excerpt() && !receipt.tried_nothing())
            .max_by_key(|receipt| receipt.arrival)
            .map(|receipt| Repeat { name: receipt.file.clone(), arrival: receipt.arrival })
    }

    /// Files that the ledger has lost. What a ledger that is whole does not know of the arrivals
    /// that it has given out, is left over, and the next run removes it.
    fn files_without_account(&mut self, given_out: u64) -> anyhow::Result<()> {
        for arrival in self.spool.arrivals()? {
            let left_over = !self.damaged && arrival.0 < given_out;
            if left_over || self.files.contains_key(&arrival) || self.ended.contains(&arrival) {
                continue;
            }
            let folder = self.spool.folder(arrival);
            let there = self.spool.data(arrival).exists();
            let slip = self.spool.slip(arrival);
            let again = folder.join("origin.json").exists();
            match slip {
                Some(slip) if !again => {
                    let mut account = claim::account(arrival, slip);
                    if self.receipt(&account).is_some() {
                        // A run removes what is left of it.
                        continue;
                    }
                    match there {
                        true => self.begin_anew(account)?,
                        false => {
                            account.phase = Phase::Claiming;
                            self.find(format!(
                                "{}: its claim is gone on with at the next run",
                                told(&account)
                            ));
                            self.files.insert(arrival, account);
                        }
                    }
                }
                _ if there => {
                    let aside = self.spool.set_aside(arrival)?;
                    self.find(format!(
                        "arrival {arrival}: its account is lost, and it is not known how it is to \
                         be worked; it lies in {} now: drop it again if need be",
                        aside.display()
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What settled files left set aside is what quarantine keeps.
    fn quarantine(&mut self) -> anyhow::Result<()> {
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

    fn identities(&mut self, remembered: Timestamp) {
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
    fn counters(&mut self) {
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

    fn entries(self) -> Vec<Entry> {
        let mut all = vec![
            Entry::Schema { version: transfer::VERSION },
            Entry::Installation { name: self.installation.unwrap_or_default() },
            Entry::NextArrival { number: self.next },
        ];
        let tally = |(customer, tally)| Entry::Tally { customer, tally };
        all.extend(self.tallies.into_iter().map(tally));
        all.extend(self.others);
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

/// Whether every record below the mark is final, in one state only, or waits.
fn below_the_mark(account: &Account, progress: &Progress, total: u64) -> bool {
    let end = account.mark.max(1) - 1;
    let sets =
        [&progress.delivered, &progress.quarantined, &progress.superseded, &progress.discarded];
    let in_two = sets.iter().enumerate().any(|(at, set)| {
        set.ranges().into_iter().any(|(first, last)| {
            let others = &sets[at + 1..];
            last > total || first == 0 || others.iter().any(|other| other.count(first, last) > 0)
        })
    });
    if in_two || end > total {
        return false;
    }
    let mut behind = 0;
    let mut waiting = 0;
    for waits in progress.waiting.values() {
        let Waiting { first, last, .. } = *waits;
        // What waits was cut below the mark, each record at most once, and is not final.
        if first <= behind || first > last || last > total {
            return false;
        }
        behind = last;
        let open = progress.open_between(first, last);
        if open == 0 {
            return false;
        }
        waiting += match last <= end {
            true => open,
            false => 0,
        };
    }
    end == 0 || progress.open_between(1, end) == waiting
}

/// Drops what is known from the mark on: of a message that was noted in part, none may be taken
/// to be sent.
fn from_the_mark_on(account: &Account, progress: &mut Progress, total: u64) {
    let mark = account.mark.max(1);
    // What was discarded before the first cut tells where the cuts are.
    let repeats = account.pinned.as_ref().is_some_and(|pinned| pinned.repeat_of.is_some());
    let drop_in = |set: &mut Ordinals| {
        if mark <= total {
            set.remove(mark, total);
        }
    };
    drop_in(&mut progress.delivered);
    drop_in(&mut progress.quarantined);
    drop_in(&mut progress.superseded);
    if !repeats {
        drop_in(&mut progress.discarded);
    }
    progress.waiting.retain(|first, _| *first < mark);
}
