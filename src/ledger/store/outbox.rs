//! The outboxes: their numbers, and the documents that are still to be written. Of those only the
//! counts are in memory, since there may be many.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Store;
use crate::ledger::entries::parse;
use crate::ledger::keys::{outbox_key, queued_key, queued_prefix};
use crate::ledger::{Outbox, Queued};

/// An outbox and how much waits in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// How far it has come.
    pub outbox: Outbox,
    /// How many documents wait, the refused ones too.
    pub waiting: u64,
    /// How many of them are refused.
    pub refused: u64,
}

/// All of them, by customer and outbox.
pub type Outboxes = BTreeMap<(String, String), Waits>;

impl Store {
    /// Gives a document the next number of an outbox and queues it; tells the number.
    pub fn queue(
        &mut self,
        (customer, outbox): (&str, &str),
        event: &str,
        (payload, bytes): (&str, u64),
    ) -> u64 {
        let key = (customer.to_owned(), outbox.to_owned());
        let new = || Waits { outbox: Outbox::new(customer, outbox), waiting: 0, refused: 0 };
        let waits = self.outboxes.entry(key).or_insert_with(new);
        waits.outbox.last += 1;
        waits.waiting += 1;
        let sequence = waits.outbox.last;
        let queued = Queued {
            customer: customer.to_owned(),
            outbox: outbox.to_owned(),
            sequence,
            payload: payload.to_owned(),
            bytes,
            event: event.to_owned(),
            queued: Timestamp::now(),
            refused: None,
        };
        self.entries.put(queued_key(customer, outbox, sequence), &queued);
        self.entries.put(outbox_key(customer, outbox), &waits.outbox);
        sequence
    }

    /// An outbox that something was queued in.
    pub fn outbox(&self, customer: &str, outbox: &str) -> Option<&Waits> {
        self.outboxes.get(&(customer.to_owned(), outbox.to_owned()))
    }

    /// Up to `limit` documents of an outbox that wait behind a number. One that was queued in this
    /// very commit may not be among them.
    pub fn queued(
        &self,
        customer: &str,
        outbox: &str,
        after: u64,
        limit: usize,
    ) -> anyhow::Result<Vec<Queued>> {
        let after = queued_key(customer, outbox, after);
        let page = self.entries.page(&queued_prefix(customer, outbox), &after, limit)?;
        page.iter().map(|(_, value)| parse(value)).collect()
    }

    /// The names of the files in the spool that documents wait in.
    pub fn payloads(&self) -> anyhow::Result<Vec<String>> {
        let mut payloads = Vec::new();
        self.entries.each(b"q/", &mut |_, value| {
            payloads.push(parse::<Queued>(value)?.payload);
            Ok(())
        })?;
        Ok(payloads)
    }

    /// Notes what is about to be written as one file.
    pub fn cut(&mut self, customer: &str, outbox: &str, first: u64, last: u64) {
        let key = (customer.to_owned(), outbox.to_owned());
        if let Some(waits) = self.outboxes.get_mut(&key) {
            waits.outbox.cut = Some((first, last));
            self.entries.put(outbox_key(customer, outbox), &waits.outbox);
        }
    }

    /// Some documents are written, and wait no more; others are refused and stay. What was cut is
    /// worked off.
    pub fn pass(
        &mut self,
        customer: &str,
        outbox: &str,
        written: &[u64],
        refused: &[(u64, String)],
    ) -> anyhow::Result<()> {
        let mut held = Vec::new();
        for sequence in written.iter().chain(refused.iter().map(|(sequence, _)| sequence)) {
            let key = queued_key(customer, outbox, *sequence);
            held.extend(self.entries.get::<Queued>(&key)?);
        }
        let key = (customer.to_owned(), outbox.to_owned());
        let Some(waits) = self.outboxes.get_mut(&key) else { return Ok(()) };
        for mut queued in held {
            let key = queued_key(customer, outbox, queued.sequence);
            let why = refused.iter().find(|(sequence, _)| *sequence == queued.sequence);
            waits.refused -= u64::from(queued.refused.is_some()).min(waits.refused);
            waits.outbox.passed = waits.outbox.passed.max(queued.sequence);
            match why {
                Some((_, why)) => {
                    // Values stay small.
                    queued.refused = Some(why.chars().take(150).collect());
                    waits.refused += 1;
                    self.entries.put(key, &queued);
                }
                None => {
                    waits.waiting = waits.waiting.saturating_sub(1);
                    waits.outbox.written = waits.outbox.written.max(queued.sequence);
                    self.entries.remove(key);
                }
            }
        }
        waits.outbox.cut = None;
        self.entries.put(outbox_key(customer, outbox), &waits.outbox);
        Ok(())
    }

    /// A person does not want these documents: they are never written. What was not refused may only be
    /// what comes next, since numbers are passed without gaps. Tells their files in the spool.
    pub fn discard_queued(
        &mut self,
        customer: &str,
        outbox: &str,
        numbers: &[u64],
    ) -> anyhow::Result<Vec<String>> {
        let mut held = Vec::new();
        for sequence in numbers {
            held.extend(self.entries.get::<Queued>(&queued_key(customer, outbox, *sequence))?);
        }
        let key = (customer.to_owned(), outbox.to_owned());
        let Some(waits) = self.outboxes.get_mut(&key) else { return Ok(Vec::new()) };
        for queued in &held {
            waits.waiting = waits.waiting.saturating_sub(1);
            waits.refused -= u64::from(queued.refused.is_some()).min(waits.refused);
            waits.outbox.passed = waits.outbox.passed.max(queued.sequence);
            waits.outbox.discarded += 1;
            self.entries.remove(queued_key(customer, outbox, queued.sequence));
        }
        self.entries.put(outbox_key(customer, outbox), &waits.outbox);
        Ok(held.into_iter().map(|queued| queued.payload).collect())
    }

    /// The first document that is refused, if one is, and why.
    pub fn first_refused(
        &self,
        customer: &str,
        outbox: &str,
    ) -> anyhow::Result<Option<(u64, String)>> {
        let mut after = 0;
        loop {
            let page = self.queued(customer, outbox, after, 1000)?;
            let Some(last) = page.last() else { return Ok(None) };
            after = last.sequence;
            let refused = page.into_iter().find_map(|held| Some((held.sequence, held.refused?)));
            if refused.is_some() {
                return Ok(refused);
            }
        }
    }

    /// Whether a document waits still.
    pub fn is_queued(&self, customer: &str, outbox: &str, sequence: u64) -> anyhow::Result<bool> {
        let queued: Option<Queued> = self.entries.get(&queued_key(customer, outbox, sequence))?;
        Ok(queued.is_some())
    }

    /// What does not agree between the outboxes and what waits in them.
    pub(super) fn audit_outboxes(&self) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for ((customer, name), waits) in &self.outboxes {
            let Waits { outbox, waiting, refused } = waits;
            let mut fault = |what: String| found.push(format!("{customer}: outbox {name}: {what}"));
            let (mut all, mut open, mut set_aside, mut misplaced) = (0, 0, 0, None);
            self.entries.each(&queued_prefix(customer, name), &mut |_, value| {
                let queued: Queued = parse(value)?;
                all += 1;
                open += u64::from(queued.sequence > outbox.passed);
                set_aside += u64::from(queued.refused.is_some());
                if !outbox.may_hold(&queued) {
                    misplaced = Some(queued.sequence);
                }
                Ok(())
            })?;
            if open != outbox.last - outbox.passed.min(outbox.last) {
                fault(format!(
                    "of the numbers {} to {} only {open} wait",
                    outbox.passed + 1,
                    outbox.last
                ));
            }
            if let Some(sequence) = misplaced {
                fault(format!("number {sequence} waits, but was never given or is written"));
            }
            if (all, set_aside) != (*waiting, *refused) {
                fault(format!(
                    "{waiting} documents are counted, {refused} of them refused; there are {all} \
                     and {set_aside}"
                ));
            }
        }
        Ok(found)
    }

    /// Reads all outboxes, as the store opens.
    pub(super) fn load_outboxes(&mut self) -> anyhow::Result<()> {
        for value in self.entries.starting_with(b"o/")?.values() {
            let outbox: Outbox = parse(value)?;
            let key = (outbox.customer.clone(), outbox.outbox.clone());
            self.outboxes.insert(key, Waits { outbox, waiting: 0, refused: 0 });
        }
        let outboxes = &mut self.outboxes;
        self.entries.each(b"q/", &mut |_, value| {
            let queued: Queued = parse(value)?;
            let Queued { customer, outbox, sequence, refused, .. } = queued;
            let new = || Waits { outbox: Outbox::new(&customer, &outbox), waiting: 0, refused: 0 };
            let waits = outboxes.entry((customer.clone(), outbox.clone())).or_insert_with(new);
            // A number is never given twice.
            waits.outbox.last = waits.outbox.last.max(sequence);
            waits.waiting += 1;
            waits.refused += u64::from(refused.is_some());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn with_four(folder: &Path) -> Store {
        let mut store = Store::open(folder).unwrap();
        for event in ["transfer", "update", "block", "unblock"] {
            store.queue(("acme", "erp"), event, ("0123abc", 7));
        }
        store.commit().unwrap();
        store
    }

    fn numbers(store: &Store, after: u64) -> Vec<u64> {
        let queued = store.queued("acme", "erp", after, 10).unwrap();
        queued.into_iter().map(|queued| queued.sequence).collect()
    }

    #[test]
    fn what_is_refused_stays_in_its_place_and_the_others_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = with_four(folder.path());
        store.cut("acme", "erp", 1, 3);
        store.commit().unwrap();
        drop(store);
        let mut store = Store::open(folder.path()).unwrap();
        assert_eq!(store.outbox("acme", "erp").unwrap().outbox.cut, Some((1, 3)));
        let why = "CONT: no such code, ".repeat(100);
        store.pass("acme", "erp", &[1, 3], &[(2, why)]).unwrap();
        assert_eq!(store.audit().unwrap(), [""; 0]);
        assert_eq!(numbers(&store, 0), [2, 4]);
        assert_eq!(numbers(&store, 2), [4]);
        drop(store);
        let mut store = Store::open(folder.path()).unwrap();
        let waits = store.outbox("acme", "erp").unwrap().clone();
        let outbox = Outbox { last: 4, passed: 3, written: 3, ..Outbox::new("acme", "erp") };
        assert_eq!(waits, Waits { outbox, waiting: 2, refused: 1 });
        // It is tried again, as after a reload.
        store.pass("acme", "erp", &[2, 4], &[]).unwrap();
        assert_eq!(store.audit().unwrap(), [""; 0]);
        assert_eq!(store.queue(("acme", "erp"), "revoke", ("456def", 7)), 5);
        let waits = store.outbox("acme", "erp").unwrap();
        assert_eq!((waits.outbox.written, waits.waiting, waits.refused), (4, 1, 0));
    }

    #[test]
    fn what_is_discarded_is_counted_and_never_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = with_four(folder.path());
        store.pass("acme", "erp", &[1], &[(2, "CONT".to_owned())]).unwrap();
        let payload = vec!["0123abc".to_owned()];
        assert_eq!(store.discard_queued("acme", "erp", &[1, 2]).unwrap(), payload);
        assert_eq!(store.discard_queued("acme", "erp", &[2]).unwrap(), [""; 0]);
        assert_eq!(store.audit().unwrap(), [""; 0]);
        // All the rest, as of an outbox that is gone.
        assert_eq!(store.discard_queued("acme", "erp", &[3, 4]).unwrap().len(), 2);
        assert_eq!(store.audit().unwrap(), [""; 0]);
        store.commit().unwrap();
        drop(store);
        let mut store = Store::open(folder.path()).unwrap();
        let outbox =
            Outbox { last: 4, passed: 4, written: 1, discarded: 3, ..Outbox::new("acme", "erp") };
        let waits = Waits { outbox, waiting: 0, refused: 0 };
        assert_eq!(store.outbox("acme", "erp"), Some(&waits));
        assert_eq!(store.queue(("acme", "erp"), "revoke", ("456def", 7)), 5);
        assert_eq!(store.audit().unwrap(), [""; 0]);
    }

    #[test]
    fn a_number_that_is_missing_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = with_four(folder.path());
        store.entries.remove(queued_key("acme", "erp", 3));
        let found = store.audit().unwrap();
        assert_eq!(
            found,
            [
                "acme: outbox erp: of the numbers 1 to 4 only 3 wait",
                "acme: outbox erp: 4 documents are counted, 0 of them refused; there are 3 and 0",
            ]
        );
    }

    #[test]
    fn outboxes_whose_names_begin_alike_are_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = with_four(folder.path());
        store.queue(("acme", "erp2"), "transfer", ("456def", 7));
        store.commit().unwrap();
        assert_eq!(numbers(&store, 0), [1, 2, 3, 4]);
        assert_eq!(store.queued("acme", "erp2", 0, 10).unwrap().len(), 1);
    }
}
