//! Selection: which of the set aside records, or whole files, a command means.

use globset::GlobBuilder;
use serde::{Deserialize, Serialize};

use crate::model::{Arrival, Problem};

/// What a person picks; what is not said picks everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The file's name, a glob, or an arrival.
    pub file: Option<String>,
    /// Whether a part of the file's name will do.
    pub part: bool,
    /// The customer's id.
    pub customer: Option<String>,
    /// A rule that the record breaks.
    pub rule: Option<String>,
    /// The records, as ranges, both ends inclusive.
    pub records: Option<Vec<(u64, u64)>>,
}

/// How a selection means a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// By its name, or because none is asked for.
    Exact,
    /// By its arrival, or by a pattern.
    Loose,
}

impl Selection {
    /// How it means records of this file, if it does.
    pub fn means(&self, customer: &str, name: &str, arrival: Arrival) -> Option<Likeness> {
        if self.customer.as_ref().is_some_and(|id| id != customer) {
            return None;
        }
        match self.file.as_deref() {
            None => Some(Likeness::Exact),
            Some(file) if file == name => Some(Likeness::Exact),
            Some(file) => {
                let loose = file.parse() == Ok(arrival.0)
                    || is_like(file, name)
                    || self.part && name.contains(file);
                loose.then_some(Likeness::Loose)
            }
        }
    }

    /// Whether it means the record that has these problems.
    pub fn picks(&self, record: u64, problems: &[&Problem]) -> bool {
        let within = |ranges: &Vec<(u64, u64)>| {
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&record))
        };
        self.records.as_ref().is_none_or(within)
            && self
                .rule
                .as_ref()
                .is_none_or(|rule| problems.iter().any(|problem| problem.rule == *rule))
    }
}

/// Whether a name matches a glob, letters of either case, as routes match.
pub fn is_like(glob: &str, name: &str) -> bool {
    glob.contains(['*', '?', '[', '{'])
        && GlobBuilder::new(glob)
            .case_insensitive(true)
            .build()
            .is_ok_and(|glob| glob.compile_matcher().is_match(name))
}

/// Reads record numbers as people write them: `3,7-9`.
pub fn parse_records(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let wrong = || format!("\"{text}\" names no records: write \"3\", \"3,7\" or \"1-500\"");
    let number = |text: &str| text.trim().parse().ok().filter(|number| *number > 0);
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first).ok_or_else(wrong)?, number(last).ok_or_else(wrong)?);
        if first > last {
            return Err(wrong());
        }
        ranges.push((first, last));
    }
    Ok(ranges)
}

/// Writes record numbers as [`parse_records`] reads them.
pub fn written(ranges: &[(u64, u64)]) -> String {
    let parts = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written_as_numbers_and_ranges() {
        assert_eq!(parse_records("3,7-9"), Ok(vec![(3, 3), (7, 9)]));
        assert_eq!(parse_records(" 1 - 500 "), Ok(vec![(1, 500)]));
        assert_eq!(written(&[(3, 3), (7, 9)]), "3,7-9");
        for wrong in ["", "0", "9-7", "a", "1,,2", "1-", "-1"] {
            assert!(parse_records(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_that_is_written_out_is_told_from_a_pattern_and_an_arrival() {
        let means = |file: &str, name: &str| {
            let selection = Selection { file: Some(file.to_owned()), ..Selection::default() };
            selection.means("acme", name, Arrival(7))
        };
        assert_eq!(means("A[1].csv", "A[1].csv"), Some(Likeness::Exact));
        assert_eq!(means("A[1].csv", "A1.csv"), Some(Likeness::Loose));
        assert_eq!(means("7", "7"), Some(Likeness::Exact));
        assert_eq!(means("7", "A.csv"), Some(Likeness::Loose));
        assert_eq!(means("8", "A.csv"), None);
        let selection = Selection { customer: Some("zeta".to_owned()), ..Selection::default() };
        assert_eq!(selection.means("acme", "A.csv", Arrival(7)), None);
    }

    #[test]
    fn a_glob_is_one_only_by_its_signs() {
        assert!(is_like("release_*.csv", "RELEASE_1.csv"));
        assert!(!is_like("release_1.csv", "RELEASE_1.csv"));
        assert!(!is_like("RELEASE_[", "RELEASE_["));
    }
}
