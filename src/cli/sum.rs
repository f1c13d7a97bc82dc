//! Sum: the files and records of all customers, and what a run has made of them.

use std::collections::BTreeMap;

use crate::ledger::{FileCounts, Tally};
use crate::model::Counts;

/// All customers' files and records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    pub files: FileCounts,
    pub records: Counts,
}

impl Sum {
    /// Adds them up.
    pub fn of(summary: &BTreeMap<String, Tally>) -> Sum {
        let mut sum = Sum::default();
        for tally in summary.values() {
            sum.records.add(&tally.records);
            sum.files.open += tally.files.open + tally.files.answered;
            sum.files.settled += tally.files.settled + tally.files.quarantined;
        }
        sum
    }

    /// How many records became final, and how many there were to work on, those that were open
    /// before included.
    pub fn since(&self, before: &Sum) -> (u64, u64) {
        let finals = |sum: &Sum| sum.records.total() - sum.records.open();
        let done = finals(self).saturating_sub(finals(before));
        (done, done + self.records.open())
    }

    /// The files, and why records wait.
    pub fn told(&self, before: &Sum) -> String {
        let Counts { in_flight, deferred, parked, .. } = self.records;
        let settled = self.files.settled.saturating_sub(before.files.settled);
        let mut told = format!("{settled} files settled, {} open", self.files.open);
        for (count, what) in [(in_flight, "in flight"), (deferred, "deferred"), (parked, "parked")]
        {
            if count > 0 {
                told += &format!(", {count} {what}");
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(open: u64, settled: u64, pending: u64, deferred: u64, delivered: u64) -> Sum {
        let tally = Tally {
            records: Counts { pending, deferred, delivered, ..Counts::default() },
            files: FileCounts { open, settled, ..FileCounts::default() },
        };
        Sum::of(&BTreeMap::from([("acme".to_owned(), tally)]))
    }

    #[test]
    fn what_was_settled_before_the_run_does_not_count() {
        let before = sum(1, 10, 50, 0, 1000);
        let now = sum(2, 12, 100, 30, 1120);
        assert_eq!(now.since(&before), (120, 250));
        assert_eq!(now.told(&before), "2 files settled, 2 open, 30 deferred");
    }
}
