//! Origin: which records of which file an excerpt holds, so that records that are tried again keep
//! their numbers, their lines and their age.

use serde::{Deserialize, Serialize};

use super::{Arrival, Identity};

/// Where the records of a file that is worked again come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// BLAKE3 of the original's bytes.
    pub identity: Identity,
    /// The original's pick-up, by which its records are numbered.
    pub arrival: Arrival,
    /// The pick-up that its records' age is counted from: an earlier one, for a file that was set
    /// aside whole and tried again.
    pub age: Arrival,
    runs: Vec<Run>,
}

/// Records that follow each other in the original and in the excerpt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    /// The first ordinal in the excerpt.
    here: u64,
    /// The first ordinal in the original.
    first: u64,
    /// The last ordinal in the original.
    last: u64,
    /// What is added to a line of the excerpt to have that of the original.
    shift: i64,
}

impl Origin {
    /// An origin whose records are still to be told.
    pub fn new(identity: Identity, arrival: Arrival, age: Arrival) -> Origin {
        Origin { identity, arrival, age, runs: Vec::new() }
    }

    /// The origin of a file that is worked again as a whole.
    pub fn of_whole(identity: Identity, arrival: Arrival, age: Arrival) -> Origin {
        let all = Run { here: 1, first: 1, last: u64::MAX, shift: 0 };
        Origin { runs: vec![all], ..Origin::new(identity, arrival, age) }
    }

    /// Adds the next record of the excerpt: its ordinal and line in the original, and its line in
    /// the excerpt.
    pub fn push(&mut self, ordinal: u64, line: u64, line_here: u64) {
        let shift = line.cast_signed().wrapping_sub(line_here.cast_signed());
        match self.runs.last_mut() {
            Some(run) if run.last + 1 == ordinal && run.shift == shift => run.last = ordinal,
            last => {
                let here = last.map_or(1, |run| run.here + (run.last + 1 - run.first));
                self.runs.push(Run { here, first: ordinal, last: ordinal, shift });
            }
        }
    }

    /// The original's ordinal of a record of the excerpt.
    pub fn ordinal(&self, here: u64) -> u64 {
        self.run_of(here).map_or(here, |run| run.first + (here - run.here))
    }

    /// The original's line of a record of the excerpt that starts on this line of it.
    pub fn line(&self, here: u64, line: u64) -> u64 {
        self.run_of(here).map_or(line, |run| line.saturating_add_signed(run.shift))
    }

    /// Ranges of the excerpt as ranges of the original, both ends inclusive.
    pub fn ranges(&self, here: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (first, last) in here {
            for run in &self.runs {
                let end = run.here + (run.last - run.first);
                let (from, to) = (run.here.max(*first), end.min(*last));
                if from > to {
                    continue;
                }
                let (from, to) = (run.first + (from - run.here), run.first + (to - run.here));
                match ranges.last_mut() {
                    Some(range) if range.1 + 1 == from => range.1 = to,
                    _ => ranges.push((from, to)),
                }
            }
        }
        ranges
    }

    /// The original's ordinals of all records of the excerpt.
    pub fn all(&self) -> Vec<(u64, u64)> {
        self.ranges(&[(1, u64::MAX - 1)])
    }

    fn run_of(&self, here: u64) -> Option<&Run> {
        let behind = self.runs.partition_point(|run| run.here <= here);
        self.runs.get(behind.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_numbers_and_lines() {
        let mut origin = Origin::new(Identity([1; 32]), Arrival(4), Arrival(4));
        // Records 3, 7, 8 and 9 of a file, of which the last but one takes two lines.
        for (ordinal, line, here) in [(3, 4, 2), (7, 12, 3), (8, 13, 4), (9, 15, 6)] {
            origin.push(ordinal, line, here);
        }
        let places = [(1, 2), (2, 3), (3, 4), (4, 6)]
            .map(|(here, line)| (origin.ordinal(here), origin.line(here, line)));
        assert_eq!(places, [(3, 4), (7, 12), (8, 13), (9, 15)]);
        assert_eq!(origin.runs.len(), 2);
        assert_eq!(origin.all(), [(3, 3), (7, 9)]);
        assert_eq!(origin.ranges(&[(1, 2), (4, 4)]), [(3, 3), (7, 7), (9, 9)]);
        assert_eq!(origin.ranges(&[]), []);
    }

    #[test]
    fn a_whole_file_is_its_own_origin() {
        let origin = Origin::of_whole(Identity([1; 32]), Arrival(9), Arrival(4));
        assert_eq!((origin.ordinal(5), origin.line(5, 7)), (5, 7));
        assert_eq!(origin.ranges(&[(2, 3)]), [(2, 3)]);
    }
}
