//! What is remembered of settled files only for a while: identities, and the counters of a day.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Store;
use crate::ledger::entries::parse;
use crate::ledger::keys::day_key;
use crate::ledger::{Believed, Settled, Tally};

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
        let mut forgotten = 0;
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
            let old: Tally = parse(&value)?;
            self.tally(customer, |tally| {
                let records = &mut tally.records;
                records.delivered = records.delivered.saturating_sub(old.records.delivered);
                records.superseded = records.superseded.saturating_sub(old.records.superseded);
                records.discarded = records.discarded.saturating_sub(old.records.discarded);
                tally.files.settled = tally.files.settled.saturating_sub(old.files.settled);
            });
            self.entries.remove(key);
            forgotten += 1;
        }
        Ok(forgotten)
    }

    /// Counts a settled file among those of its day.
    pub(super) fn count_day(&mut self, customer: &str, file: &Tally) -> anyhow::Result<()> {
        let key = day_key(customer, jiff::Zoned::now().date());
        let mut day: Tally = self.entries.get(&key)?.unwrap_or_default();
        day.records.delivered += file.records.delivered;
        day.records.superseded += file.records.superseded;
        day.records.discarded += file.records.discarded;
        day.files.settled += file.files.settled;
        self.entries.put(key, &day);
        Ok(())
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
