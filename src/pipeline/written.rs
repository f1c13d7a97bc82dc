//! Written: what the results of open files said last, and when they may be written again.
//!
//! All results of a file are written at once, which takes longer the more records it has, and
//! verdicts may come one by one: what is not settled is left for later while the last time was not
//! long ago, measured by what it took.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{Arrival, Counts};

/// How much longer than they took to write, results are left as they are at least.
const REST: u32 = 9;

/// How long results are left as they are at most.
const MOST: Duration = Duration::from_secs(60);

/// The results of open files.
#[derive(Default)]
pub struct Written(Mutex<BTreeMap<Arrival, Last>>);

/// What results said last.
struct Last {
    counts: Counts,
    /// From when on they may be written again.
    again: Instant,
    /// Whether there is something new to say.
    is_behind: bool,
}

/// What is to be done about a file's results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// They say all.
    Done,
    /// They are to be written.
    Due,
    /// They are left for so long.
    Later(Duration),
}

impl Written {
    /// What is to be done about results that are to say these counts now.
    pub fn what(&self, arrival: Arrival, counts: Counts, now: Instant) -> Results {
        let mut files = self.lock();
        let Some(last) = files.get_mut(&arrival) else { return Results::Due };
        last.is_behind = last.counts != counts;
        let left = last.again.saturating_duration_since(now);
        match last.is_behind {
            false => Results::Done,
            true if left.is_zero() => Results::Due,
            true => Results::Later(left),
        }
    }

    /// They were written, from one time to the other.
    pub fn note(&self, arrival: Arrival, counts: Counts, from: Instant, to: Instant) {
        let rest = to.saturating_duration_since(from).saturating_mul(REST).min(MOST);
        self.lock().insert(arrival, Last { counts, again: to + rest, is_behind: false });
    }

    /// Lets results that were left for later be written at once; tells whether there are any.
    pub fn hurry(&self, arrival: Arrival, now: Instant) -> bool {
        let mut files = self.lock();
        let behind = files.get_mut(&arrival).filter(|last| last.is_behind);
        behind.map(|last| last.again = now).is_some()
    }

    /// The file is settled.
    pub fn forget(&self, arrival: Arrival) {
        self.lock().remove(&arrival);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arrival, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Arrival = Arrival(3);

    fn parked(parked: u64) -> Counts {
        Counts { parked, ..Counts::default() }
    }

    #[test]
    fn results_are_written_at_once_at_first_and_then_left_for_as_long_as_they_are_dear() {
        let written = Written::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(written.what(FILE, parked(3), start), Results::Due);
        written.note(FILE, parked(3), at(0), at(100));
        assert_eq!(written.what(FILE, parked(3), at(150)), Results::Done);
        let left = Results::Later(Duration::from_millis(300));
        assert_eq!(written.what(FILE, parked(2), at(700)), left);
        assert_eq!(written.what(FILE, parked(1), at(1000)), Results::Due);
        assert_eq!(written.what(Arrival(4), parked(1), at(700)), Results::Due, "another file");
        written.note(FILE, parked(1), at(1000), at(3_600_000));
        let left = Results::Later(MOST);
        assert_eq!(written.what(FILE, parked(0), at(3_600_000)), left);
    }

    #[test]
    fn only_what_was_left_for_later_is_hurried() {
        let written = Written::default();
        let start = Instant::now();
        assert!(!written.hurry(FILE, start), "never written");
        written.note(FILE, parked(3), start, start + Duration::from_secs(1));
        let now = start + Duration::from_secs(2);
        assert!(!written.hurry(FILE, now), "nothing new");
        assert!(matches!(written.what(FILE, parked(2), now), Results::Later(_)));
        assert!(written.hurry(FILE, now));
        assert_eq!(written.what(FILE, parked(2), now), Results::Due);
        written.note(FILE, parked(2), now, now);
        assert!(!written.hurry(FILE, now), "written");
        written.forget(FILE);
        assert_eq!(written.what(FILE, parked(2), now), Results::Due);
    }
}
