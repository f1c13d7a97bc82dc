//! Random expressions, whose values are known from how they were made, against every minute of the
//! clock on the wall.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

use super::zone;
use crate::schedule::Crontab;

/// A field as text, and what it means.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    values: BTreeSet<i8>,
    is_wild: bool,
}

/// An expression as text, and what its fields mean.
#[derive(Clone, Debug)]
struct Expression {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Expression {
    fn text(&self) -> String {
        let Expression { minute, hour, day, month, weekday } = self;
        [minute, hour, day, month, weekday].map(|field| field.text.as_str()).join(" ")
    }

    /// Whether the wall shows one of its minutes.
    fn fits(&self, wall: DateTime) -> bool {
        let day = self.day.values.contains(&wall.day());
        let weekday = wall.weekday().to_sunday_zero_offset();
        let weekday = self.weekday.values.contains(&weekday)
            || weekday == 0 && self.weekday.values.contains(&7);
        let fits = match self.day.is_wild || self.weekday.is_wild {
            true => day && weekday,
            false => day || weekday,
        };
        fits && self.minute.values.contains(&wall.minute())
            && self.hour.values.contains(&wall.hour())
            && self.month.values.contains(&wall.month())
    }

    fn has_every_hour(&self) -> bool {
        self.hour.values.len() == 24
    }

    /// Whether a minute of the world's clock is one of its times.
    fn is_due(&self, zone: &TimeZone, at: Timestamp) -> bool {
        let wall = |at: Timestamp| at.to_zoned(zone.clone()).datetime();
        let now = wall(at);
        // The first time that the wall shows it, if it does so twice.
        let is_first = now.to_zoned(zone.clone()).unwrap().timestamp() == at;
        let goes_on = self.minute.is_wild || self.hour.is_wild || self.has_every_hour();
        if self.fits(now) && (is_first || goes_on) {
            return true;
        }
        let mut skipped = wall(at - 1.minute()) + 1.minute();
        while skipped < now {
            if self.fits(skipped) && !self.has_every_hour() {
                return true;
            }
            skipped += 1.minute();
        }
        false
    }
}

fn field(first: i8, last: i8) -> impl Strategy<Value = Field> {
    let star = (1..=last).prop_map(move |step| {
        let (text, step) = match step {
            1 => ("*".to_owned(), 1),
            step => (format!("*/{step}"), step),
        };
        let values = (first..=last).step_by(step as usize).collect();
        Field { text, values, is_wild: true }
    });
    let parts = proptest::collection::vec((first..=last, first..=last, 1..=last), 1..4);
    let list = parts.prop_map(move |parts| {
        let mut values = BTreeSet::new();
        let part = |(one, other, step): (i8, i8, i8)| {
            let (low, high) = (one.min(other), one.max(other));
            values.extend((low..=high).step_by(step as usize));
            match (low == high, step) {
                (true, _) => format!("{low}"),
                (false, 1) => format!("{low}-{high}"),
                (false, _) => format!("{low}-{high}/{step}"),
            }
        };
        let text = parts.into_iter().map(part).collect::<Vec<_>>().join(",");
        Field { text, values, is_wild: false }
    });
    let all = Just(Field { text: "*".to_owned(), values: (first..=last).collect(), is_wild: true });
    prop_oneof![2 => all, 1 => star, 3 => list]
}

fn expression() -> impl Strategy<Value = Expression> {
    // Most have a time in the days that are looked at.
    let month = prop_oneof![Just((1, 12)), Just((3, 10))].prop_map(|(first, last)| Field {
        text: format!("{first}-{last}"),
        values: (first..=last).collect(),
        is_wild: false,
    });
    // And many of them in the hours around which clocks change.
    let night =
        proptest::sample::subsequence(vec![0, 1, 2, 3, 4], 1..4).prop_map(|hours: Vec<i8>| {
            let text = hours.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
            Field { text, values: hours.into_iter().collect(), is_wild: false }
        });
    let hour = prop_oneof![field(0, 23), night];
    (field(0, 59), hour, field(1, 31), month, field(0, 7)).prop_map(
        |(minute, hour, day, month, weekday)| Expression { minute, hour, day, month, weekday },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_times_are_the_minutes_that_are_due(
        expression in expression(),
        (name, change) in proptest::sample::select(vec![
            ("Europe/Brussels", "2026-03-29T01:00:00Z"),
            ("Europe/Brussels", "2026-10-25T01:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
            ("America/St_Johns", "2026-03-08T05:30:00Z"),
            ("UTC", "2026-12-31T00:00:00Z"),
        ]),
        seconds in prop_oneof![-20_000i64..9_000, 0i64..3600],
    ) {
        let zone = zone(name);
        // Such a day there may be in no month.
        let Ok(crontab) = Crontab::parse(&expression.text(), zone.clone()) else { return Ok(()) };
        let change: Timestamp = change.parse().unwrap();
        let after = change + SignedDuration::from_secs(seconds);
        let whole = Timestamp::from_second(after.as_second().div_euclid(60) * 60).unwrap();
        let minute = |minute| whole + SignedDuration::from_mins(minute);
        let last = minute(30 * 60);
        let due: Vec<Timestamp> =
            (1..=30 * 60).map(minute).filter(|at| expression.is_due(&zone, *at)).collect();
        let times = std::iter::successors(crontab.next(after), |time| crontab.next(*time));
        let times: Vec<Timestamp> = times.take_while(|time| *time <= last).collect();
        prop_assert_eq!(times, due, "{} in {}", expression.text(), name);
    }
}
