//! Expressions of every kind, both changes of the clock in Brussels in 2026 (29 March 02:00 to
//! 03:00, 25 October 03:00 to 02:00), and random ones against every minute of the clock.

mod oracle;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Crontab, Schedule};

fn brussels(text: &str) -> Crontab {
    Crontab::parse(text, zone("Europe/Brussels")).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// The times that follow a time, as the clock in Brussels shows them, with its offset.
fn times(text: &str, after: &str, count: usize) -> Vec<String> {
    times_in("Europe/Brussels", text, after, count)
}

fn times_in(name: &str, text: &str, after: &str, count: usize) -> Vec<String> {
    let crontab = Crontab::parse(text, zone(name)).unwrap();
    let mut now: Timestamp = after.parse().unwrap();
    let next = || {
        now = crontab.next(now)?;
        Some(now.to_zoned(zone(name)).strftime("%a %F %T %:z").to_string())
    };
    std::iter::from_fn(next).take(count).collect()
}

#[test]
fn a_time_is_a_minute_or_with_a_sixth_field_in_front_a_second() {
    assert_eq!(
        times("*/5 * * * *", "2026-11-22T09:03:07+01:00", 2),
        ["Sun 2026-11-22 09:05:00 +01:00", "Sun 2026-11-22 09:10:00 +01:00"]
    );
    assert_eq!(
        times("30 4 * * *", "2026-11-22T04:30:00+01:00", 2),
        ["Mon 2026-11-23 04:30:00 +01:00", "Tue 2026-11-24 04:30:00 +01:00"]
    );
    assert_eq!(
        times("59 59 23 31 12 *", "2026-11-22T04:30:00+01:00", 2),
        ["Thu 2026-12-31 23:59:59 +01:00", "Fri 2027-12-31 23:59:59 +01:00"]
    );
    assert_eq!(
        times("* * * * * *", "2026-11-22T04:30:59.999+01:00", 2),
        ["Sun 2026-11-22 04:31:00 +01:00", "Sun 2026-11-22 04:31:01 +01:00"]
    );
    assert_eq!(
        times("  0\t12  *  *  *  ", "2026-11-22T11:59:59.5+01:00", 1),
        ["Sun 2026-11-22 12:00:00 +01:00"]
    );
}

#[test]
fn weekdays_are_those_of_crontab() {
    let sunday = ["Sun 2026-11-29 09:00:00 +01:00"];
    for text in ["0 9 * * 0", "0 9 * * 7", "0 9 * * sun", "0 0 9 * * SUN"] {
        assert_eq!(times(text, "2026-11-22T09:00:00+01:00", 1), sunday, "{text}");
    }
    for (text, days) in [
        ("0 9 * * 1", ["Mon", "Mon", "Mon"]),
        ("0 9 * * 1-5", ["Mon", "Tue", "Wed"]),
        ("0 9 * * Fri-Sun", ["Fri", "Sat", "Sun"]),
        ("0 9 * * 5-7/2", ["Fri", "Sun", "Fri"]),
        ("0 9 * * tue,4", ["Tue", "Thu", "Tue"]),
    ] {
        let found = times(text, "2026-11-22T09:00:00+01:00", 3);
        assert!(found.iter().zip(days).all(|(found, day)| found.starts_with(day)), "{found:?}");
    }
}

#[test]
fn a_day_of_either_field_fits_if_both_restrict() {
    // The example of crontab(5): "4:30 am on the 1st and 15th of each month, plus every Friday".
    assert_eq!(
        times("30 4 1,15 * 5", "2026-11-22T00:00:00+01:00", 5),
        [
            "Fri 2026-11-27 04:30:00 +01:00",
            "Tue 2026-12-01 04:30:00 +01:00",
            "Fri 2026-12-04 04:30:00 +01:00",
            "Fri 2026-12-11 04:30:00 +01:00",
            "Tue 2026-12-15 04:30:00 +01:00",
        ]
    );
    // A star restricts nothing, with a step or without: both must fit.
    assert_eq!(
        times("0 0 */10 * 1", "2026-11-22T00:00:00+01:00", 2),
        ["Mon 2026-12-21 00:00:00 +01:00", "Mon 2027-01-11 00:00:00 +01:00"]
    );
    assert_eq!(
        times("0 0 13 * *", "2026-11-22T00:00:00+01:00", 1),
        ["Sun 2026-12-13 00:00:00 +01:00"]
    );
}

#[test]
fn words_stand_for_expressions() {
    for (word, expected) in [
        ("@hourly", "Sun 2026-11-22 10:00:00 +01:00"),
        ("@daily", "Mon 2026-11-23 00:00:00 +01:00"),
        ("@midnight", "Mon 2026-11-23 00:00:00 +01:00"),
        ("@weekly", "Sun 2026-11-29 00:00:00 +01:00"),
        ("@monthly", "Tue 2026-12-01 00:00:00 +01:00"),
        ("@yearly", "Fri 2027-01-01 00:00:00 +01:00"),
        ("@annually", "Fri 2027-01-01 00:00:00 +01:00"),
    ] {
        assert_eq!(times(word, "2026-11-22T09:00:00+01:00", 1), [expected], "{word}");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_a_reason() {
    let fault = |text: &str| format!("{:#}", Crontab::parse(text, TimeZone::UTC).unwrap_err());
    let fields = "fields, but must have 5 (minute, hour, day of month, month, weekday), 6 with the \
                  second in front, or be one of @hourly, @daily, @weekly, @monthly, @yearly";
    assert_eq!(fault("* * * *"), format!("it has 4 {fields}"));
    assert_eq!(fault("* * * * * * 2026"), format!("it has 7 {fields}"));
    assert_eq!(fault("@reboot"), format!("it has 1 {fields}"));
    assert_eq!(fault(""), format!("it has 0 {fields}"));
    assert!(fault("60 * * * *").starts_with("the minute is \"60\""), "{}", fault("60 * * * *"));
    assert!(fault("60 * * * * *").starts_with("the second is \"60\""));
    assert!(fault("* 24 * * *").starts_with("the hour is \"24\""));
    assert!(fault("* * 0 * *").starts_with("the day of month is \"0\""));
    assert!(fault("* * * 13 *").starts_with("the month is \"13\""));
    assert!(fault("* * * * 8").starts_with("the weekday is \"8\""));
    for text in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30 Feb */2", "* * 0 31 11 *"] {
        assert_eq!(fault(text), "no month that it names has such a day", "{text}");
    }
    // Either field will do.
    assert!(Crontab::parse("0 0 30 2 1", TimeZone::UTC).is_ok());
}

#[test]
fn a_leap_day_comes_when_there_is_one() {
    assert_eq!(
        times("0 12 29 2 *", "2026-11-22T00:00:00+01:00", 2),
        ["Tue 2028-02-29 12:00:00 +01:00", "Sun 2032-02-29 12:00:00 +01:00"]
    );
    // And when it is a Sunday besides.
    assert_eq!(
        times("0 12 29 2 */7", "2026-11-22T00:00:00+01:00", 2),
        ["Sun 2032-02-29 12:00:00 +01:00", "Sun 2060-02-29 12:00:00 +01:00"]
    );
}

#[test]
fn what_the_spring_skips_runs_when_it_is_over_and_once() {
    for text in ["30 2 * * *", "0 2 * * *", "0,10,59 2 * * *", "*/10 30 2 * * *", "*/5 2 * * *"] {
        assert_eq!(
            times(text, "2026-03-28T12:00:00+01:00", 1),
            ["Sun 2026-03-29 03:00:00 +02:00"],
            "{text}"
        );
        let next = times(text, "2026-03-29T03:00:00+02:00", 1);
        assert!(next[0].starts_with("Mon 2026-03-30 02:"), "{text}: {next:?}");
    }
    assert_eq!(
        times("30 2,3 * * *", "2026-03-28T12:00:00+01:00", 2),
        ["Sun 2026-03-29 03:00:00 +02:00", "Sun 2026-03-29 03:30:00 +02:00"]
    );
    // What is due at the end of it anyway is not due twice.
    assert_eq!(
        times("0 2,3,4 * * *", "2026-03-29T01:59:59+01:00", 2),
        ["Sun 2026-03-29 03:00:00 +02:00", "Sun 2026-03-29 04:00:00 +02:00"]
    );
    assert_eq!(
        times("0 */2 * * *", "2026-03-29T00:00:00+01:00", 2),
        ["Sun 2026-03-29 03:00:00 +02:00", "Sun 2026-03-29 04:00:00 +02:00"]
    );
    // A day on which it is not due at all is left alone.
    assert_eq!(
        times("30 2 28 * *", "2026-03-28T12:00:00+01:00", 1),
        ["Tue 2026-04-28 02:30:00 +02:00"]
    );
}

#[test]
fn what_the_autumn_repeats_runs_once_the_first_time() {
    assert_eq!(
        times("30 2 * * *", "2026-10-24T12:00:00+02:00", 2),
        ["Sun 2026-10-25 02:30:00 +02:00", "Mon 2026-10-26 02:30:00 +01:00"]
    );
    assert_eq!(
        times("0,30 1-3 * * *", "2026-10-25T01:15:00+02:00", 5),
        [
            "Sun 2026-10-25 01:30:00 +02:00",
            "Sun 2026-10-25 02:00:00 +02:00",
            "Sun 2026-10-25 02:30:00 +02:00",
            "Sun 2026-10-25 03:00:00 +01:00",
            "Sun 2026-10-25 03:30:00 +01:00",
        ]
    );
    // Asked for within the hour that is repeated, and where it begins.
    for now in
        ["2026-10-25T02:00:00+01:00", "2026-10-25T02:10:00+01:00", "2026-10-25T02:59:59+01:00"]
    {
        assert_eq!(times("30 2 * * *", now, 1), ["Mon 2026-10-26 02:30:00 +01:00"], "{now}");
        assert_eq!(times("0 3 * * *", now, 1), ["Sun 2026-10-25 03:00:00 +01:00"], "{now}");
    }
}

#[test]
fn what_runs_every_hour_goes_on_through_both_changes() {
    for text in ["0 * * * *", "0 0-23 * * *", "@hourly"] {
        assert_eq!(
            times(text, "2026-03-29T00:30:00+01:00", 4),
            [
                "Sun 2026-03-29 01:00:00 +01:00",
                "Sun 2026-03-29 03:00:00 +02:00",
                "Sun 2026-03-29 04:00:00 +02:00",
                "Sun 2026-03-29 05:00:00 +02:00",
            ],
            "{text}"
        );
        assert_eq!(
            times(text, "2026-10-25T01:30:00+02:00", 4),
            [
                "Sun 2026-10-25 02:00:00 +02:00",
                "Sun 2026-10-25 02:00:00 +01:00",
                "Sun 2026-10-25 03:00:00 +01:00",
                "Sun 2026-10-25 04:00:00 +01:00",
            ],
            "{text}"
        );
    }
    // Not once more at the end of the hour that is skipped.
    assert_eq!(
        times("50 * * * *", "2026-03-29T01:30:00+01:00", 2),
        ["Sun 2026-03-29 01:50:00 +01:00", "Sun 2026-03-29 03:50:00 +02:00"]
    );
    for (text, seconds) in [("*/5 * * * *", 300), ("*/20 * * * * *", 20), ("* * * * *", 60)] {
        let crontab = brussels(text);
        for night in ["2026-03-29T00:00:00+01:00", "2026-10-25T00:00:00+02:00"] {
            let mut now: Timestamp = night.parse().unwrap();
            for _ in 0..(5 * 3600 / seconds) {
                let next = crontab.next(now).unwrap();
                assert_eq!(next.duration_since(now).as_secs(), seconds, "{text} after {now}");
                now = next;
            }
        }
    }
}

#[test]
fn a_star_in_one_of_the_two_goes_through_the_repeated_hour() {
    assert_eq!(
        times("*/30 2 * * *", "2026-10-25T01:59:00+02:00", 5),
        [
            "Sun 2026-10-25 02:00:00 +02:00",
            "Sun 2026-10-25 02:30:00 +02:00",
            "Sun 2026-10-25 02:00:00 +01:00",
            "Sun 2026-10-25 02:30:00 +01:00",
            "Mon 2026-10-26 02:00:00 +01:00",
        ]
    );
    assert_eq!(
        times("15 */2 * * *", "2026-10-25T01:59:00+02:00", 3),
        [
            "Sun 2026-10-25 02:15:00 +02:00",
            "Sun 2026-10-25 02:15:00 +01:00",
            "Sun 2026-10-25 04:15:00 +01:00",
        ]
    );
}

#[test]
fn other_zones_change_at_other_hours_or_never() {
    // Lord Howe's clock goes by half an hour: 2026-04-05 02:00 to 01:30, 2026-10-04 02:00 to 02:30.
    let howe = "Australia/Lord_Howe";
    assert_eq!(
        times_in(howe, "45 1 * * *", "2026-04-04T12:00:00+11:00", 2),
        ["Sun 2026-04-05 01:45:00 +11:00", "Mon 2026-04-06 01:45:00 +10:30"]
    );
    assert_eq!(
        times_in(howe, "15 2 * * *", "2026-10-03T12:00:00+10:30", 2),
        ["Sun 2026-10-04 02:30:00 +11:00", "Mon 2026-10-05 02:15:00 +11:00"]
    );
    assert_eq!(
        times_in("UTC", "30 2 * * *", "2026-03-28T12:00:00Z", 1),
        ["Sun 2026-03-29 02:30:00 +00:00"]
    );
    // There was no 30 December 2011 in Apia.
    assert_eq!(
        times_in("Pacific/Apia", "0 9 * * *", "2011-12-29T12:00:00-10:00", 2),
        ["Sat 2011-12-31 00:00:00 +14:00", "Sat 2011-12-31 09:00:00 +14:00"]
    );
}

#[test]
fn where_times_end_there_is_none() {
    let crontab = brussels("0 0 * * *");
    for late in [Timestamp::MAX, "2101-01-01T00:00:00Z".parse().unwrap()] {
        assert_eq!(crontab.next(late), None);
    }
    assert_eq!(Schedule::Every(Duration::from_secs(1)).next(Timestamp::MAX), None);
}

#[test]
fn a_schedule_is_written_as_it_was_given() {
    let now: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    let every = Schedule::Every(Duration::from_secs(90));
    assert_eq!(every.next(now), Some("2026-11-22T09:01:30Z".parse().unwrap()));
    assert_eq!(every.to_string(), "every 90s");
    let nightly = Schedule::Crontab(Arc::new(brussels(" 0 3 * * * ")));
    assert_eq!(nightly.next(now), Some("2026-11-23T02:00:00Z".parse().unwrap()));
    assert_eq!(nightly.to_string(), "0 3 * * * Europe/Brussels");
}
