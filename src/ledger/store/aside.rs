//! What settled files left set aside: records, or whole files, that wait for a person.

use std::collections::BTreeMap;

use anyhow::bail;

use super::Store;
use crate::ledger::keys::{chunk_key, chunk_prefix, file_of_chunk, generation_key, tally_key};
use crate::ledger::{Account, FileCounts, How, Ordinals, Tally};
use crate::model::Arrival;

/// The ordinal that stands for a whole file which is set aside.
pub const WHOLE: u64 = 0;

impl Store {
    /// The records that a settled file left quarantined; [`WHOLE`] for a file set aside whole.
    pub fn left_quarantined(&self, arrival: Arrival) -> anyhow::Result<Ordinals> {
        self.ordinals(arrival, b'q')
    }

    /// What every settled file has left set aside.
    pub fn all_left_quarantined(&self) -> anyhow::Result<BTreeMap<Arrival, Ordinals>> {
        let mut all = BTreeMap::new();
        for key in self.entries.starting_with(b"s/")?.into_keys() {
            let Some((arrival, b'q')) = file_of_chunk(&key) else { continue };
            if !self.files.contains_key(&arrival) && !all.contains_key(&arrival) {
                all.insert(arrival, self.left_quarantined(arrival)?);
            }
        }
        Ok(all)
    }

    /// A person does not want these records of a settled file: they count as discarded, a whole
    /// file as settled.
    pub fn discard(
        &mut self,
        customer: &str,
        arrival: Arrival,
        records: &[(u64, u64)],
    ) -> anyhow::Result<()> {
        let mut today = self.today(customer)?;
        let (taken, whole) = self.take_quarantined(customer, arrival, records)?;
        self.tally(customer, |tally| {
            tally.records.discarded += taken;
            tally.files.settled += whole;
        });
        today.day.tally.records.discarded += taken;
        today.day.tally.files.settled += whole;
        self.set_today(today);
        Ok(())
    }

    /// How often records of this pick-up were worked again.
    pub fn generation(&self, of: Arrival) -> anyhow::Result<u32> {
        Ok(self.entries.get(&generation_key(of))?.unwrap_or(0))
    }

    /// Opens a file that works records of a settled one again: set aside ones, which are then not
    /// set aside any more, or delivered ones, which are then not counted as delivered: only if
    /// nothing of it was worked again since the account's generation was read. Gives the account
    /// with its new generation.
    pub fn begin_again(
        &mut self,
        mut account: Account,
        records: &[(u64, u64)],
    ) -> anyhow::Result<Account> {
        let Some(mut again) = account.again else { bail!("the account is of no second round") };
        if self.files.contains_key(&again.of) {
            bail!("the file is open again; ask again when it is settled");
        }
        let generation = self.generation(again.of)?;
        if again.how == How::Resend && again.generation != generation {
            bail!("its records were worked again meanwhile; look again");
        }
        again.generation = generation + 1;
        match again.how {
            How::Retry | How::Whole => {
                self.take_quarantined(&account.customer, again.of, records)?;
            }
            How::Resend => {
                let count: u64 = records.iter().map(|(first, last)| last + 1 - first).sum();
                let mut today = self.today(&account.customer)?;
                self.tally(&account.customer, |tally| {
                    let taken = count.min(tally.records.delivered);
                    tally.records.delivered -= taken;
                    today.day.less += taken;
                });
                self.set_today(today);
            }
        }
        self.entries.put(generation_key(again.of), &again.generation);
        account.again = Some(again);
        if let Some(pinned) = &mut account.pinned {
            pinned.generation = again.generation;
        }
        self.set_account(account.clone());
        Ok(account)
    }

    /// Closes such a file: what is set aside of it returns to the settled one, by the `numbers` that
    /// it has there.
    pub fn close_again(
        &mut self,
        arrival: Arrival,
        of: Arrival,
        numbers: impl FnOnce(&[(u64, u64)]) -> Vec<(u64, u64)>,
    ) -> anyhow::Result<()> {
        let mut left = self.left_quarantined(of)?;
        let Some((_, progress)) = self.files.get(&arrival) else { return Ok(()) };
        let returned = numbers(&progress.quarantined.ranges());
        // Those on disk, and those that closing would put there. All is read before anything changes.
        let mut gone = self.entries.keys_starting_with(&chunk_prefix(arrival, b'q'))?;
        gone.extend(self.chunks_of(arrival).into_iter().map(|at| chunk_key(arrival, b'q', at)));
        self.close(arrival, FileCounts::default())?;
        gone.into_iter().for_each(|key| self.entries.remove(key));
        for (first, last) in &returned {
            left.insert(*first, *last);
        }
        self.put_quarantined(of, &left, &returned);
        Ok(())
    }

    /// Takes records of a settled file out of quarantine, and out of its customer's counts. Tells
    /// how many they were, and how many whole files.
    pub(super) fn take_quarantined(
        &mut self,
        customer: &str,
        arrival: Arrival,
        records: &[(u64, u64)],
    ) -> anyhow::Result<(u64, u64)> {
        let mut left = self.left_quarantined(arrival)?;
        let asked: u64 = records.iter().map(|(first, last)| last + 1 - first).sum();
        let taken: u64 = records.iter().map(|(first, last)| left.remove(*first, *last)).sum();
        if taken != asked {
            bail!("some of these records are not quarantined any more; look again");
        }
        let whole = u64::from(records.iter().any(|(first, _)| *first == WHOLE));
        self.put_quarantined(arrival, &left, records);
        self.tally(customer, |tally| {
            tally.records.quarantined = tally.records.quarantined.saturating_sub(taken - whole);
            tally.files.quarantined = tally.files.quarantined.saturating_sub(whole);
        });
        Ok((taken - whole, whole))
    }

    /// Writes the chunks of a settled file's quarantined records that hold these.
    pub(super) fn put_quarantined(
        &mut self,
        arrival: Arrival,
        left: &Ordinals,
        changed: &[(u64, u64)],
    ) {
        let chunks = changed.iter().flat_map(|(first, last)| Ordinals::chunks_of(*first, *last));
        for chunk in chunks {
            let key = chunk_key(arrival, b'q', chunk);
            match left.holds_of(chunk) {
                true => self.entries.put_bytes(key, left.chunk_to_bytes(chunk)),
                false => self.entries.remove(key),
            }
        }
    }

    /// Changes what is counted of a customer's settled files.
    pub(super) fn tally(&mut self, customer: &str, change: impl FnOnce(&mut Tally)) {
        let tally = self.tallies.entry(customer.to_owned()).or_default();
        change(tally);
        let tally = tally.clone();
        self.entries.put(tally_key(customer), &tally);
    }
}
