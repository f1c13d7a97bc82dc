//! Schedule: the keys `schedule`, `every` and `timezone` of a source.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::Section;
use crate::schedule::{Crontab, Schedule};

/// A source is not looked into more often.
const LEAST: Duration = Duration::from_secs(1);

/// Reads the keys; the inner is none if none of them is there.
pub(super) fn parse(section: &mut Section) -> Option<Option<Schedule>> {
    let [has_schedule, has_every, has_zone] =
        ["schedule", "every", "timezone"].map(|key| section.has(key));
    if has_schedule && has_every {
        section.error("every", "schedule and every are both given: one of them says when to look");
    }
    if has_zone && !has_schedule {
        section.error("timezone", "timezone is for schedule only");
    }
    let zone = match has_zone {
        true => section.time_zone("timezone"),
        false => Some(TimeZone::system()),
    };
    let crontab = match has_schedule {
        true => Some(crontab(section, zone)?),
        false => None,
    };
    let every = match has_every {
        true => Some(every(section)?),
        false => None,
    };
    Some(crontab.or(every))
}

fn crontab(section: &mut Section, zone: Option<TimeZone>) -> Option<Schedule> {
    let text = section.filled("schedule")?;
    // What is wrong with the zone has been told; what is wrong here is told too.
    match Crontab::parse(&text, zone.clone().unwrap_or(TimeZone::UTC)) {
        Ok(crontab) => zone.map(|_| Schedule::Crontab(Arc::new(crontab))),
        Err(error) => {
            section.error("schedule", format!("schedule is {text:?}: {error:#}"));
            None
        }
    }
}

fn every(section: &mut Section) -> Option<Schedule> {
    let pause = section.duration("every")?;
    if pause < LEAST {
        section.error("every", "every must be at least \"1s\"");
        return None;
    }
    Some(Schedule::Every(pause))
}
