//! Field: one field of a crontab expression, and the values that it names.

/// What a field counts.
pub struct Unit {
    /// What it is called.
    pub name: &'static str,
    first: u8,
    last: u8,
    /// Words for its values, from the first on.
    words: &'static [&'static str],
    /// Its values as a person is told of them.
    allowed: &'static str,
}

pub const SECOND: Unit =
    Unit { name: "second", first: 0, last: 59, words: &[], allowed: "0 to 59" };
pub const MINUTE: Unit =
    Unit { name: "minute", first: 0, last: 59, words: &[], allowed: "0 to 59" };
pub const HOUR: Unit = Unit { name: "hour", first: 0, last: 23, words: &[], allowed: "0 to 23" };
pub const DAY: Unit =
    Unit { name: "day of month", first: 1, last: 31, words: &[], allowed: "1 to 31" };
pub const MONTH: Unit = Unit {
    name: "month",
    first: 1,
    last: 12,
    words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    allowed: "1 to 12 or jan to dec",
};
/// Sunday is its first value and its last.
pub const WEEKDAY: Unit = Unit {
    name: "weekday",
    first: 0,
    last: SUNDAY_AGAIN,
    words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    allowed: "0 to 7 (0 and 7 are Sunday) or sun to sat",
};

const SUNDAY_AGAIN: u8 = 7;

/// The values that a field names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// A bit for each.
    values: u64,
    /// Whether it begins with `*`: to cron it restricts nothing then, whatever its step.
    pub is_wild: bool,
}

impl Field {
    /// Its values in their order; Sunday is 0.
    pub fn values(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |value| self.values & (1 << value) != 0)
    }

    /// Whether it names every value of its unit.
    pub fn is_all(self, unit: &Unit) -> bool {
        self.values == unit.range(unit.first, unit.last, 1)
    }
}

impl Unit {
    /// Reads a field as crontab(5) describes it: a list of values, of ranges, and of `*` and
    /// ranges with a step.
    pub fn parse(&self, text: &str) -> Result<Field, String> {
        let mut values = 0;
        for part in text.split(',') {
            values |= self
                .part(part)
                .map_err(|what| format!("the {} is {text:?}, but {what}", self.name))?;
        }
        Ok(Field { values, is_wild: text.starts_with('*') })
    }

    fn part(&self, part: &str) -> Result<u64, String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((first, last)) => (self.value(first, false)?, self.value(last, true)?),
            None => {
                let value = self.value(range, false)?;
                if let Some(step) = step {
                    let last = self.last;
                    return Err(format!("a step needs a range: */{step} or {value}-{last}/{step}"));
                }
                (value, value)
            }
        };
        if first > last {
            return Err(format!("the range {range} runs backwards"));
        }
        let step = match step.map(number) {
            None => 1,
            Some(Some(step)) if (1..=self.last).contains(&step) => step,
            Some(_) => return Err(format!("a step is a number from 1 to {}", self.last)),
        };
        Ok(self.range(first, last, step))
    }

    fn value(&self, text: &str, ends_a_range: bool) -> Result<u8, String> {
        let is_it = |word: &&str| word.eq_ignore_ascii_case(text);
        let word = match ends_a_range {
            // So that sat-sun has an end.
            true => self.words.iter().rposition(is_it),
            false => self.words.iter().position(is_it),
        };
        let value = match word {
            Some(place) => u8::try_from(place).ok().map(|place| self.first + place),
            None => number(text).filter(|value| (self.first..=self.last).contains(value)),
        };
        value.ok_or_else(|| {
            format!(
                "{text:?} is no {0}: {1}, with lists (a,b), ranges (a-b) and steps (*/n)",
                self.name, self.allowed
            )
        })
    }

    fn range(&self, first: u8, last: u8, step: u8) -> u64 {
        let values = (first..=last).step_by(usize::from(step));
        let values = values.fold(0, |values, value| values | 1 << value);
        match self.last == SUNDAY_AGAIN && values & 1 << SUNDAY_AGAIN != 0 {
            true => values & !(1 << SUNDAY_AGAIN) | 1,
            false => values,
        }
    }
}

/// A number in digits alone.
fn number(text: &str) -> Option<u8> {
    let is_one = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(unit: &Unit, text: &str) -> Vec<u8> {
        unit.parse(text).unwrap().values().collect()
    }

    #[test]
    fn values_ranges_steps_and_lists_are_read() {
        assert_eq!(values(&MINUTE, "5"), [5]);
        assert_eq!(values(&MINUTE, "1,59,0"), [0, 1, 59]);
        assert_eq!(values(&HOUR, "8-11"), [8, 9, 10, 11]);
        assert_eq!(values(&HOUR, "0-4,22-23"), [0, 1, 2, 3, 4, 22, 23]);
        assert_eq!(values(&MINUTE, "*/20"), [0, 20, 40]);
        assert_eq!(values(&MINUTE, "10-30/10,3"), [3, 10, 20, 30]);
        assert_eq!(values(&DAY, "*/10"), [1, 11, 21, 31]);
        assert_eq!(values(&MONTH, "*"), (1..=12).collect::<Vec<u8>>());
    }

    #[test]
    fn months_and_weekdays_have_names_in_letters_of_either_case() {
        assert_eq!(values(&MONTH, "jan,APR-Jun,dec"), [1, 4, 5, 6, 12]);
        assert_eq!(values(&WEEKDAY, "Mon-Fri"), [1, 2, 3, 4, 5]);
        assert_eq!(values(&WEEKDAY, "sun"), [0]);
        assert_eq!(values(&WEEKDAY, "Sat-Sun"), [0, 6]);
        assert_eq!(values(&WEEKDAY, "sun-tue"), [0, 1, 2]);
    }

    #[test]
    fn sunday_is_0_and_7() {
        assert_eq!(values(&WEEKDAY, "0"), [0]);
        assert_eq!(values(&WEEKDAY, "7"), [0]);
        assert_eq!(values(&WEEKDAY, "5-7"), [0, 5, 6]);
        assert_eq!(values(&WEEKDAY, "0,7"), [0]);
        assert_eq!(values(&WEEKDAY, "*"), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(values(&WEEKDAY, "0-7/7"), [0]);
    }

    #[test]
    fn a_field_may_name_all_values_without_a_star() {
        let all = |text: &str| HOUR.parse(text).unwrap().is_all(&HOUR);
        assert!(all("*") && all("*/1") && all("0-23") && all("0-11,12-23"));
        assert!(!all("*/2") && !all("1-23"));
        assert!(WEEKDAY.parse("1-7").unwrap().is_all(&WEEKDAY));
    }

    #[test]
    fn what_is_no_field_is_told_with_what_is_allowed() {
        let fault = |unit: &Unit, text: &str| unit.parse(text).unwrap_err();
        assert_eq!(
            fault(&HOUR, "24"),
            "the hour is \"24\", but \"24\" is no hour: 0 to 23, with lists (a,b), ranges (a-b) \
             and steps (*/n)"
        );
        assert_eq!(
            fault(&WEEKDAY, "1,monday"),
            "the weekday is \"1,monday\", but \"monday\" is no weekday: 0 to 7 (0 and 7 are \
             Sunday) or sun to sat, with lists (a,b), ranges (a-b) and steps (*/n)"
        );
        assert_eq!(
            fault(&MINUTE, "5/10"),
            "the minute is \"5/10\", but a step needs a range: */10 or 5-59/10"
        );
        assert_eq!(fault(&HOUR, "22-2"), "the hour is \"22-2\", but the range 22-2 runs backwards");
        assert_eq!(
            fault(&MINUTE, "*/0"),
            "the minute is \"*/0\", but a step is a number from 1 to 59"
        );
        assert_eq!(
            fault(&HOUR, "*/24"),
            "the hour is \"*/24\", but a step is a number from 1 to 23"
        );
        for text in ["", ",", "1,", "-", "1-", "-1", "+1", "1.5", "٣", "?", "L", "**", "*-3", "256"]
        {
            assert!(HOUR.parse(text).is_err(), "{text}");
        }
        for (unit, text) in [
            (&DAY, "0"),
            (&DAY, "32"),
            (&MONTH, "0"),
            (&MONTH, "13"),
            (&WEEKDAY, "8"),
            (&MONTH, "january"),
            (&DAY, "15W"),
            (&WEEKDAY, "5#3"),
            (&HOUR, "jan"),
        ] {
            assert!(unit.parse(text).is_err(), "{text}");
        }
    }
}
