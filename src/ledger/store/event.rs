//! Notifications that were acknowledged: those that are still to be worked on, and what tells a
//! repeat.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;

use super::Store;
use crate::ledger::account::Wait;
use crate::ledger::entries::parse;
use crate::ledger::keys::{event_key, heard_key, sender_key, waiting_key};
use crate::ledger::{Event, Sender};
use crate::model::Arrival;

/// The events of one sender.
#[derive(Default)]
pub(super) struct OfSender {
    numbers: BTreeSet<u64>,
    /// How many of them are kept though nothing can be done with them.
    kept: usize,
}

impl Store {
    /// The number of the last event that came.
    pub fn last_event(&self) -> u64 {
        let open = self.events.keys().next_back().copied().unwrap_or(0);
        self.senders.values().map(|sender| sender.number).max().unwrap_or(0).max(open)
    }

    /// Whether an event with this hash came after a time and is remembered.
    pub fn heard(&self, hash: &[u8; 16], after: Timestamp) -> anyhow::Result<bool> {
        let at: Option<Timestamp> = self.entries.get(&heard_key(hash))?;
        Ok(at.is_some_and(|at| at >= after))
    }

    /// How many events are to be worked on, without those that nothing can be done with.
    pub fn open_events(&self) -> usize {
        self.open_events.values().map(OfSender::open).sum()
    }

    /// How many of one sender's.
    pub fn open_events_of(&self, sender: &str) -> usize {
        self.open_events.get(sender).map_or(0, OfSender::open)
    }

    /// Those of whose events some are kept.
    pub fn senders_of_events(&self) -> Vec<String> {
        self.open_events.keys().cloned().collect()
    }

    /// Up to `limit` events of a sender in the order of their arrival, without some, with what they
    /// say.
    pub fn events_of(
        &self,
        sender: &str,
        without: &BTreeSet<u64>,
        limit: usize,
    ) -> anyhow::Result<Vec<Event>> {
        let numbers = self.open_events.get(sender).into_iter().flat_map(|of| &of.numbers);
        let wanted = numbers.filter(|number| !without.contains(number)).take(limit);
        let mut events = Vec::new();
        for number in wanted {
            events.extend(self.entries.get::<Event>(&event_key(*number))?);
        }
        Ok(events)
    }

    /// Keeps an event until it is worked on, and what tells a repeat of it.
    pub fn add_event(&mut self, event: Event, hash: &[u8; 16]) {
        let number = self.senders.get(&event.sender).map_or(0, |sender| sender.number);
        let sender = Sender { last: event.received, number: number.max(event.number) };
        self.entries.put(sender_key(&event.sender), &sender);
        self.senders.insert(event.sender.clone(), sender);
        self.entries.put(heard_key(hash), &event.received);
        self.entries.put(event_key(event.number), &event);
        self.hold_event(event);
    }

    /// The events are worked on, and no longer kept.
    pub fn end_events(&mut self, numbers: &[u64]) {
        for number in numbers {
            let Some(event) = self.events.remove(number) else { continue };
            self.entries.remove(event_key(*number));
            let Some(of) = self.open_events.get_mut(&event.sender) else { continue };
            of.numbers.remove(number);
            of.kept -= usize::from(event.kept.is_some());
            if of.numbers.is_empty() {
                self.open_events.remove(&event.sender);
            }
        }
    }

    /// Keeps an event though nothing can be done with it as things are. What it says has to lie in
    /// the spool.
    pub fn keep_event(&mut self, number: u64, why: &str) {
        if let Some(event) = self.events.get_mut(&number) {
            if let Some(of) = self.open_events.get_mut(&event.sender) {
                of.kept += usize::from(event.kept.is_none());
            }
            // Values stay small.
            event.kept = Some(why.chars().take(200).collect());
            self.entries.put(event_key(number), event);
        }
    }

    /// Forgets the hashes of events that came before; a repeat of theirs is then a new one. What was
    /// kept so long though nothing could be done with it is forgotten, too.
    pub fn forget_heard(&mut self, before: Timestamp) -> anyhow::Result<u64> {
        let mut forgotten = 0;
        let old = |event: &&Event| event.kept.is_some() && event.received < before;
        let kept: Vec<u64> = self.events.values().filter(old).map(|event| event.number).collect();
        self.end_events(&kept);
        for (key, value) in self.entries.starting_with(b"h/")? {
            if parse::<Timestamp>(&value)? < before {
                self.entries.remove(key);
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// What of a file waits for one of these releases is due now; tells whether anything does.
    pub fn wake(&mut self, arrival: Arrival, releases: &[String]) -> bool {
        let Some((_, progress)) = self.files.get_mut(&arrival) else { return false };
        let now = Timestamp::now();
        let releases: HashSet<&str> = releases.iter().map(String::as_str).collect();
        let mut any = false;
        for waiting in progress.waiting.values_mut() {
            let of = match waiting.wait {
                // `Time`: behind an earlier call for it.
                Wait::Release | Wait::Time => &waiting.release,
                Wait::Confirmation => &waiting.address,
                Wait::Verdict => continue,
            };
            let mut names = of.iter().chain(&waiting.found);
            if names.any(|of| releases.contains(of.as_str())) {
                any = true;
                if waiting.due > now {
                    waiting.due = now;
                    self.entries.put(waiting_key(arrival, waiting.first), waiting);
                }
            }
        }
        any
    }

    /// The port told that a release was taken back or deleted: what of a file waits for it under one of
    /// these names is to know at its next look. Tells whether anything does.
    pub fn note_taken(&mut self, arrival: Arrival, releases: &[String]) -> bool {
        let Some((_, progress)) = self.files.get_mut(&arrival) else { return false };
        let mut any = false;
        for waiting in progress.waiting.values_mut() {
            let is_open = matches!(waiting.wait, Wait::Release | Wait::Time);
            let mut names =
                [&waiting.release, &waiting.address, &waiting.found].into_iter().flatten();
            if is_open && names.any(|of| releases.contains(of)) {
                any = true;
                waiting.taken = true;
                self.entries.put(waiting_key(arrival, waiting.first), waiting);
            }
        }
        any
    }

    /// Reads all events, as the store opens.
    pub(super) fn load_events(&mut self) -> anyhow::Result<()> {
        let events = self.entries.starting_with(b"e/")?.into_values();
        let events = events.map(|value| parse(&value));
        for event in events.collect::<anyhow::Result<Vec<Event>>>()? {
            self.hold_event(event);
        }
        for (key, value) in self.entries.starting_with(b"n/")? {
            self.senders.insert(String::from_utf8_lossy(&key[2..]).into_owned(), parse(&value)?);
        }
        Ok(())
    }

    /// Holds an event in memory, where it takes little.
    fn hold_event(&mut self, event: Event) {
        let of = self.open_events.entry(event.sender.clone()).or_default();
        of.numbers.insert(event.number);
        of.kept += usize::from(event.kept.is_some());
        self.events.insert(event.number, Event { body: None, ..event });
    }
}

impl OfSender {
    fn open(&self) -> usize {
        self.numbers.len() - self.kept
    }
}
