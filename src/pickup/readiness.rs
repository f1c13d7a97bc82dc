//! Readiness: whether a file is finished, judged by two looks on our own clock, by its mere
//! presence, or by a marker. Pure, but for the memory of earlier looks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::local::{Candidate, marker_name};
use crate::config::Ready;
use crate::disk::Look;

/// What earlier looks into one folder saw.
#[derive(Debug, Default)]
pub struct Looks {
    seen: BTreeMap<String, (Look, Instant)>,
    /// When the next look may be taken, however many events ask for one.
    next: Option<Instant>,
}

/// Looks that one run leaves to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered(BTreeMap<String, (Look, Duration)>);

impl Remembered {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Looks {
    /// Notes how long a look took. What a look costs grows with what lies in the folder: events
    /// have looks taken for a fifth of the time at most, and a folder of few files at once.
    pub fn took(&mut self, began: Instant, ended: Instant) {
        let cost = ended.saturating_duration_since(began);
        self.next = (cost >= Duration::from_millis(1)).then(|| ended + cost * 4);
    }

    /// Before when an event is not to have a look taken.
    pub fn not_before(&self) -> Instant {
        self.next.unwrap_or_else(Instant::now)
    }

    /// What is to be remembered for a later run: each file that is not finished yet, with how long
    /// it has been quiet.
    pub fn remember(&self, now: Instant) -> Remembered {
        let quiet = |since: &Instant| now.saturating_duration_since(*since);
        Remembered(
            self.seen
                .iter()
                .map(|(name, (look, since))| (name.clone(), (*look, quiet(since))))
                .collect(),
        )
    }

    /// Goes on from what an earlier run remembered `ago`.
    pub fn recall(remembered: Remembered, ago: Duration, now: Instant) -> Looks {
        let since = |quiet: Duration| now.checked_sub(quiet + ago).unwrap_or(now);
        Looks {
            seen: remembered
                .0
                .into_iter()
                .map(|(name, (look, quiet))| (name, (look, since(quiet))))
                .collect(),
            next: None,
        }
    }

    /// Of the candidates those that an earlier look saw and that were not finished then.
    pub fn seen(&self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        candidates.retain(|one| self.seen.contains_key(&one.name));
        candidates
    }

    /// The candidates that are finished, and how long to wait for the next that may be.
    ///
    /// `present` tells whether a name lies in the folder, for markers.
    pub fn judge(
        &mut self,
        ready: &Ready,
        candidates: Vec<Candidate>,
        now: Instant,
        present: impl Fn(&str) -> bool,
    ) -> (Vec<Candidate>, Option<Duration>) {
        let quiet = match ready {
            Ready::Renamed => return (candidates, None),
            Ready::Marker(marker) => {
                let finished = |one: &Candidate| present(&marker_name(marker, &one.name));
                return (candidates.into_iter().filter(finished).collect(), None);
            }
            Ready::Quiet(quiet) => *quiet,
        };
        let mut earlier = std::mem::take(&mut self.seen);
        let mut finished = Vec::new();
        let mut next: Option<Duration> = None;
        for one in candidates {
            let since = match earlier.remove(&one.name) {
                Some((look, since)) if look == one.look => since,
                _ => now,
            };
            let unchanged = now.saturating_duration_since(since);
            if unchanged >= quiet {
                finished.push(one);
            } else {
                let wait = quiet - unchanged;
                next = Some(next.map_or(wait, |next| next.min(wait)));
                self.seen.insert(one.name, (one.look, since));
            }
        }
        (finished, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, size: u64) -> Candidate {
        Candidate { name: name.to_owned(), look: Look { size, modified: 1, inode: 7 } }
    }

    #[test]
    fn a_file_is_finished_when_it_was_quiet_long_enough_by_our_clock() {
        let mut looks = Looks::default();
        let ready = Ready::Quiet(Duration::from_secs(2));
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut judge = |size, now| looks.judge(&ready, vec![candidate("a", size)], now, |_| false);

        assert_eq!(judge(10, start), (vec![], Some(Duration::from_secs(2))));
        assert_eq!(judge(10, after(500)), (vec![], Some(Duration::from_millis(1500))));
        assert_eq!(judge(11, after(1900)), (vec![], Some(Duration::from_secs(2))), "it grew");
        assert_eq!(judge(11, after(3900)), (vec![candidate("a", 11)], None));
    }

    #[test]
    fn a_look_is_remembered_from_one_run_to_the_next() {
        let ready = Ready::Quiet(Duration::from_secs(60));
        let start = Instant::now();
        let mut first = Looks::default();
        first.judge(&ready, vec![candidate("a", 1), candidate("b", 1)], start, |_| false);
        let remembered = first.remember(start + Duration::from_secs(5));

        let later = start + Duration::from_secs(300);
        let mut second = Looks::recall(remembered, Duration::from_secs(58), later);
        let (finished, next) =
            second.judge(&ready, vec![candidate("a", 1), candidate("b", 2)], later, |_| false);
        assert_eq!(finished, [candidate("a", 1)]);
        assert_eq!(next, Some(Duration::from_secs(60)), "b was written to in between");
    }

    #[test]
    fn a_marker_finishes_only_its_own_file() {
        let mut looks = Looks::default();
        let ready = Ready::Marker("{stem}.ok".to_owned());
        let (finished, next) = looks.judge(
            &ready,
            vec![candidate("a.csv", 1), candidate("b.csv", 1)],
            Instant::now(),
            |name| name == "b.ok",
        );
        assert_eq!((finished, next), (vec![candidate("b.csv", 1)], None));
    }
}
