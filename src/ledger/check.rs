//! Check: whether the entries of a ledger, one after the other, make a ledger.

use std::collections::{BTreeMap, HashSet};

use super::account::{Phase, Waiting};
use super::entry::Entry;
use super::ordinals::Ordinals;
use super::store::{SCHEMA, newer_text};
use super::{Day, Outbox};
use crate::model::{Arrival, State};

/// The most records that a file can have here: 512 bytes of memory a chunk of them.
const RECORDS: u64 = 1 << 32;

/// How many faults are told.
const TOLD: usize = 50;

/// What is known of the lines so far.
#[derive(Default)]
pub struct Check {
    faults: Vec<String>,
    more: u64,
    lines: u64,
    ended: bool,
    /// Hashes of the keys so far: no two entries may share one.
    keys: HashSet<[u8; 16]>,
    installation: bool,
    next: Option<u64>,
    highest: (u64, u64),
    files: BTreeMap<Arrival, (u64, u64)>,
    records: BTreeMap<(Arrival, u8), (u64, Ordinals)>,
    waiting: Vec<(u64, Arrival, Waiting)>,
    outboxes: BTreeMap<(String, String), Outbox>,
}

impl Check {
    /// Takes in an entry.
    pub fn entry(&mut self, line: u64, entry: &Entry) {
        if self.lines == 0 && !matches!(entry, Entry::Schema { .. }) {
            self.fault(line, "the first line must tell the schema: is this an export?");
        }
        if self.ended {
            self.fault(line, "nothing may follow the line that ends an export");
        }
        self.lines = line;
        self.meaning(line, entry);
        // Lines of records may share a chunk, as long as they share no record.
        if matches!(entry, Entry::Records { .. }) {
            return;
        }
        match entry.pairs() {
            Err(error) => self.fault(line, format!("{error:#}")),
            Ok(pairs) => {
                for (key, _) in pairs {
                    let mut hash = [0; 16];
                    hash.copy_from_slice(&blake3::hash(&key).as_bytes()[..16]);
                    if !self.keys.insert(hash) {
                        self.fault(line, "an earlier line tells of the same thing");
                    }
                }
            }
        }
    }

    /// Notes that a line is wrong.
    pub fn fault(&mut self, line: u64, what: impl AsRef<str>) {
        self.lines = self.lines.max(line);
        match self.faults.len() < TOLD {
            true => self.faults.push(format!("line {line}: {}", what.as_ref())),
            false => self.more += 1,
        }
    }

    /// Every fault, once all lines were taken in.
    pub fn end(mut self) -> Vec<String> {
        let last = self.lines;
        if !self.ended {
            self.fault(last + 1, "the line that ends an export is missing: it was cut short");
        }
        if !self.installation {
            self.fault(last, "no line names the installation");
        }
        let (next, (arrival, line)) = (self.next.unwrap_or(1), self.highest);
        if arrival >= next {
            self.fault(line, format!("arrival {arrival} is not below the next, {next}"));
        }
        self.sets();
        for (line, arrival, waiting) in std::mem::take(&mut self.waiting) {
            self.waits(line, arrival, &waiting);
        }
        if self.more > 0 {
            self.faults.push(format!("and {} faults more", self.more));
        }
        self.faults
    }

    fn meaning(&mut self, line: u64, entry: &Entry) {
        match entry {
            Entry::Schema { version } if *version == SCHEMA => {}
            Entry::Schema { version } => self.fault(line, newer_text(*version)),
            Entry::Installation { name } => {
                self.installation = true;
                // It becomes part of hidden files' names.
                if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    self.fault(line, "the name of an installation is letters and digits");
                }
            }
            Entry::NextArrival { number } => self.next = Some(*number),
            Entry::Tally { tally, .. } | Entry::Day { counted: Day { tally, .. }, .. } => {
                if tally.records.open() > 0 {
                    self.fault(line, "a settled file has no open records");
                }
            }
            Entry::Identity { settled, .. } => self.arrival(line, settled.arrival),
            Entry::File(account) => {
                self.arrival(line, account.arrival);
                let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
                if total > RECORDS {
                    self.fault(line, format!("no file has {total} records"));
                }
                if account.name.is_empty() || account.name.contains(['/', '\0']) {
                    self.fault(line, "a file's name is no path");
                }
                if account.phase == Phase::Open && account.pinned.is_none() {
                    self.fault(line, "an open file must say what its claim has pinned");
                }
                if account.mark > total + 1 {
                    self.fault(line, "the mark lies behind the last record");
                }
                self.files.insert(account.arrival, (line, total.min(RECORDS)));
            }
            Entry::Records { arrival, state, ranges } => {
                self.arrival(line, *arrival);
                self.ranges(line, *arrival, *state, ranges);
            }
            Entry::Waiting { arrival, waiting } => {
                self.waiting.push((line, *arrival, waiting.clone()));
            }
            Entry::End { lines } => {
                self.ended = true;
                if *lines + 1 != line {
                    self.fault(line, format!("{lines} lines were written before it"));
                }
            }
            Entry::Generation { arrival, .. } => self.arrival(line, *arrival),
            Entry::Fetched { arrival, fetched } => {
                self.arrival(line, *arrival);
                if fetched.name.is_empty() || fetched.name.contains(['/', '\0']) {
                    self.fault(line, "a file's name is no path");
                }
            }
            Entry::Tidied(_) | Entry::Known { .. } | Entry::Verdict { .. } => {}
            Entry::Connection { .. } | Entry::Connected { .. } | Entry::Invitation { .. } => {}
            Entry::Event(_)
            | Entry::Heard { .. }
            | Entry::Sender { .. }
            | Entry::Subscription { .. }
            | Entry::Seen { .. }
            | Entry::Walked { .. } => {}
            Entry::Outbox(outbox) => {
                if outbox.passed > outbox.last || outbox.written > outbox.passed {
                    self.fault(line, "an outbox has written what was never queued");
                }
                let of = (outbox.customer.clone(), outbox.outbox.clone());
                self.outboxes.insert(of, outbox.clone());
            }
            Entry::Queued(queued) => {
                let of = (queued.customer.clone(), queued.outbox.clone());
                // Outboxes come before what waits in them.
                if !self.outboxes.get(&of).is_some_and(|outbox| outbox.may_hold(queued)) {
                    self.fault(line, "its outbox never gave this number, or has written it");
                }
                if queued.payload.is_empty() || queued.payload.contains(['/', '.', '\0']) {
                    self.fault(line, "a payload's name is no path");
                }
            }
            Entry::Alarm(_) | Entry::Login { .. } | Entry::Release { .. } => {}
        }
    }

    fn arrival(&mut self, line: u64, arrival: Arrival) {
        if arrival.0 == 0 {
            self.fault(line, "arrivals are counted from 1");
        }
        if arrival.0 > self.highest.0 {
            self.highest = (arrival.0, line);
        }
    }

    fn ranges(&mut self, line: u64, arrival: Arrival, state: State, ranges: &[(u64, u64)]) {
        let Some(tag) = super::entry::STATES.iter().position(|(of, _)| *of == state) else {
            return self.fault(line, "records are kept in a final state only");
        };
        for (first, last) in ranges {
            // Of a settled file, 0 is the file as a whole.
            let least = u64::from(state != State::Quarantined);
            if *first < least || first > last || *last > RECORDS {
                return self.fault(line, format!("{first} to {last} are no records"));
            }
        }
        let key = (arrival, tag as u8);
        let (_, set) = self.records.entry(key).or_insert_with(|| (line, Ordinals::default()));
        let new: u64 = ranges.iter().map(|(first, last)| set.insert(*first, *last)).sum();
        if new != ranges.iter().map(|(first, last)| last + 1 - first).sum::<u64>() {
            self.fault(line, "a record is told of twice");
        }
    }

    /// Every record is in one state at most, and its file has it.
    fn sets(&mut self) {
        let mut faults = Vec::new();
        for ((arrival, tag), (line, set)) in &self.records {
            let last = set.ranges().last().map_or(0, |range| range.1);
            match self.files.get(arrival) {
                Some((_, total)) if last > *total => {
                    faults.push((*line, format!("the file has {total} records, not {last}")));
                }
                Some(_) if set.contains(0) => {
                    faults.push((*line, "records are counted from 1".to_owned()));
                }
                None if super::entry::STATES[usize::from(*tag)].0 != State::Quarantined => {
                    faults.push((*line, "only quarantined records outlive their file".to_owned()));
                }
                _ => {}
            }
            let others = self.records.range((*arrival, *tag + 1)..=(*arrival, u8::MAX));
            for (_, (_, other)) in others {
                let twice = |(first, last): &(u64, u64)| set.count(*first, *last) > 0;
                if let Some((first, last)) = other.ranges().into_iter().find(twice) {
                    let what = format!("of records {first} to {last} some are in two states");
                    faults.push((*line, what));
                }
            }
        }
        faults.into_iter().for_each(|(line, what)| self.fault(line, what));
    }

    fn waits(&mut self, line: u64, arrival: Arrival, waiting: &Waiting) {
        let (first, last) = (waiting.first, waiting.last);
        match self.files.get(&arrival) {
            None => self.fault(line, format!("no line tells of the file of arrival {arrival}")),
            Some((_, total)) if first == 0 || first > last || last > *total => {
                self.fault(line, format!("{first} to {last} are no records of {total}"));
            }
            Some(_) => {
                let of_file = self.records.range((arrival, 0)..=(arrival, u8::MAX));
                let closed: u64 = of_file.map(|(_, (_, set))| set.count(first, last)).sum();
                if closed > last - first {
                    self.fault(line, format!("records {first} to {last} wait but are final"));
                }
            }
        }
    }
}
