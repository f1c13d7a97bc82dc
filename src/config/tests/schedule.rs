//! When a source is looked into.

use std::time::Duration;

use super::*;
use crate::schedule::Schedule;

/// The schedule of a customer whose source has these lines too.
fn schedule(lines: &str) -> Option<Schedule> {
    let text = changed(CUSTOMER, "[sources.erp]", &format!("[sources.erp]\n{lines}"));
    Folder::with(&text).acme().sources.remove("erp").unwrap().schedule
}

fn in_source(lines: &str) -> Vec<String> {
    below("[sources.erp]", lines)
}

#[test]
fn a_source_is_looked_into_by_events_by_an_expression_or_so_often() {
    assert_eq!(schedule(""), None);
    assert_eq!(schedule("every = \"30s\""), Some(Schedule::Every(Duration::from_secs(30))));
    let nightly = schedule("schedule = \"0 3 * * *\"\ntimezone = \"America/New_York\"").unwrap();
    let now = "2026-11-22T07:59:59Z".parse().unwrap();
    assert_eq!(nightly.next(now), Some("2026-11-22T08:00:00Z".parse().unwrap()));
    let uat = schedule("schedule = { uat = \"@hourly\", production = \"0 3 * * *\" }").unwrap();
    let Schedule::Crontab(hourly) = &uat else { panic!("{uat:?}") };
    assert_eq!(*hourly.zone(), jiff::tz::TimeZone::system());
}

#[test]
fn faults_of_a_schedule_are_told() {
    assert_eq!(
        in_source("schedule = \"*/5 25 * * *\""),
        told(
            5,
            "schedule is \"*/5 25 * * *\": the hour is \"25\", but \"25\" is no hour: 0 to 23, \
             with lists (a,b), ranges (a-b) and steps (*/n)"
        )
    );
    assert_eq!(
        in_source("timezone = \"UTC\"\nschedule = \"0 0 30 2 *\""),
        told(6, "schedule is \"0 0 30 2 *\": no month that it names has such a day")
    );
    assert_eq!(in_source("schedule = \"\""), told(5, "schedule is empty"));
    assert_eq!(
        in_source("schedule = \"* * * * *\"\nevery = \"30s\""),
        told(6, "schedule and every are both given: one of them says when to look")
    );
    assert_eq!(
        in_source("every = \"30s\"\ntimezone = \"UTC\""),
        told(6, "timezone is for schedule only")
    );
    assert_eq!(in_source("timezone = \"UTC\""), told(5, "timezone is for schedule only"));
    assert_eq!(in_source("every = \"999ms\""), told(5, "every must be at least \"1s\""));
    assert_eq!(
        in_source("every = \"often\""),
        told(5, "every is \"often\", but must be a time span such as \"30s\", \"5m\" or \"24h\"")
    );
    assert_eq!(
        in_source("schedule = \"0 0 * *\"\ntimezone = \"Europe/Brusels\""),
        [
            "customers/acme.toml:5: schedule is \"0 0 * *\": it has 4 fields, but must have 5 \
             (minute, hour, day of month, month, weekday), 6 with the second in front, or be one \
             of @hourly, @daily, @weekly, @monthly, @yearly",
            "customers/acme.toml:6: unknown time zone \"Europe/Brusels\": \
             did you mean \"Europe/Brussels\"?",
        ]
    );
}
