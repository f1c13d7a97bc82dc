//! What is remembered of settled files only for a while: identities, and the counters of a day.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Store;
use crate::ledger::entries::parse;
use crate::ledger::keys::day_key;
use crate::ledger::{Believed, Day, Settled, Tally};

/// The counters of a customer's present day.
pub(super) struct Today {
    key: Vec<u8>,
    pub day: Day,
}

impl Today {
    /// Adds what reached its end.
    pub fn add(&mut self, file: &Tally) {
        let day = &mut self.day.tally;
        day.records.delivered += file.records.delivered;
        day.records.superseded += file.records.superseded;
        day.records.discarded += file.records.discarded;
        day.files.settled += file.files.settled;
    }
}

impl Store {
    /// Forgets the identities that were noted before a time, of up to `limit` entries that come
    /// after a key: how many, and where to go on. Those of open files stay.
    pub fn forget_before(
        &mut self,
        before: Timestamp,
        after: &[u8],
        limit: usize,
    ) -> anyhow::Result<(u64, Option<Vec<u8>>)> {
        let page = self.entries.page(b"i/", after, limit)?;
        let mut forgotten = 0;
        for (key, value) in &page {
            let settled: Settled = parse(value)?;
            if settled.at < before && !self.files.contains_key(&settled.arrival) {
                self.entries.remove(key.clone());
                forgotten += 1;
            }
        }
        Ok((forgotten, page.into_iter().next_back().map(|(key, _)| key)))
    }

    /// Takes the counters of days that were over before a time out of their customers' counters:
    /// how many days. What is set aside is counted for as long as it is.
    pub fn forget_days(&mut self, before: Timestamp) -> anyhow::Result<u64> {
        let mut over_then = Vec::new();
        for (key, value) in self.entries.starting_with(b"d/")? {
            let text = String::from_utf8_lossy(&key[2..]).into_owned();
            let Some((customer, day)) = text.rsplit_once('/') else { continue };
            let over = day
                .parse::<Date>()
                .and_then(|day| day.tomorrow())
                .and_then(|next| next.to_zoned(TimeZone::system()));
            if !over.is_ok_and(|over| over.timestamp() <= before) {
                continue;
            }
            let old: Day = parse(&value)?;
            over_then.push((key, customer.to_owned(), old));
        }
        let forgotten = over_then.len() as u64;
        for (key, customer, Day { tally: old, less }) in over_then {
            self.tally(&customer, |tally| {
                let records = &mut tally.records;
                let delivered = records.delivered.saturating_add(less);
                records.delivered = delivered.saturating_sub(old.records.delivered);
                records.superseded = records.superseded.saturating_sub(old.records.superseded);
                records.discarded = records.discarded.saturating_sub(old.records.discarded);
                tally.files.settled = tally.files.settled.saturating_sub(old.files.settled);
            });
            self.entries.remove(key);
        }
        Ok(forgotten)
    }

    /// What is counted of a customer today. Whatever changes the counters changes it with them, so
    /// that the days of a customer always add up to what will be forgotten.
    pub(super) fn today(&self, customer: &str) -> anyhow::Result<Today> {
        let key = day_key(customer, jiff::Zoned::now().date());
        let day = self.entries.get(&key)?.unwrap_or_default();
        Ok(Today { key, day })
    }

    /// Notes what is counted today.
    pub(super) fn set_today(&mut self, today: Today) {
        self.entries.put(today.key, &today.day);
    }

    /// How far the clock was believed when things were last tidied.
    pub fn tidied(&self) -> anyhow::Result<Option<Believed>> {
        self.entries.get(b"m/tidied")
    }

    /// Sets how far the clock is believed.
    pub fn set_tidied(&mut self, believed: Believed) {
        self.entries.put(b"m/tidied".to_vec(), &believed);
    }
}
