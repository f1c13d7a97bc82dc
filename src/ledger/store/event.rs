//! Notifications that were acknowledged: those that are still to be worked on, and what tells a
//! repeat.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::Store;
use crate::ledger::account::Wait;
use crate::ledger::entries::parse;
use crate::ledger::keys::{event_key, heard_key, sender_key, waiting_key};
use crate::ledger::{Event, Sender};
use crate::model::Arrival;

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
        self.events.len() - self.kept_events
    }

    /// Keeps an event until it is worked on; tells whether it is no repeat of one that came after a
    /// time.
    pub fn add_event(
        &mut self,
        event: Event,
        hash: &[u8; 16],
        after: Timestamp,
    ) -> anyhow::Result<bool> {
        let is_new = !self.heard(hash, after)?;
        let number = self.senders.get(&event.sender).map_or(0, |sender| sender.number);
        let sender = Sender { last: event.received, number: number.max(event.number) };
        self.entries.put(sender_key(&event.sender), &sender);
        self.senders.insert(event.sender.clone(), sender);
        if is_new {
            self.entries.put(heard_key(hash), &event.received);
            self.entries.put(event_key(event.number), &event);
            self.events.insert(event.number, event);
        }
        Ok(is_new)
    }

    /// The events are worked on, and no longer kept.
    pub fn end_events(&mut self, numbers: &[u64]) {
        for number in numbers {
            if let Some(event) = self.events.remove(number) {
                self.kept_events -= usize::from(event.kept.is_some());
                self.entries.remove(event_key(*number));
            }
        }
    }

    /// Keeps an event though nothing can be done with it as things are.
    pub fn keep_event(&mut self, number: u64, why: &str) {
        if let Some(event) = self.events.get_mut(&number) {
            self.kept_events += usize::from(event.kept.is_none());
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
        let events = events.map(|value| parse(&value).map(|event: Event| (event.number, event)));
        self.events = events.collect::<anyhow::Result<BTreeMap<u64, Event>>>()?;
        self.kept_events = self.events.values().filter(|event| event.kept.is_some()).count();
        for (key, value) in self.entries.starting_with(b"n/")? {
            self.senders.insert(String::from_utf8_lossy(&key[2..]).into_owned(), parse(&value)?);
        }
        Ok(())
    }
}
