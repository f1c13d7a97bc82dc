//! Crontab: an expression as crontab(5) means it, in a time zone. The crate cron finds dates; what
//! its expressions mean otherwise, and the changes of the clock, are settled here.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use chrono::{Datelike, NaiveDate, Timelike};
use jiff::civil::{self, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::field::{DAY, Field, HOUR, MINUTE, MONTH, SECOND, Unit, WEEKDAY};

/// A crontab expression in a time zone.
///
/// Five fields as in crontab(5) (Debian): minute, hour, day of month, month, weekday; or six with
/// the second in front. Where neither day field begins with `*`, a day fits if it is in either.
///
/// At the changes of the clock it does as cron(8) (Debian) does, NOTES: what falls into the hour
/// that spring skips runs when that hour is over, once; what falls into the hour that autumn
/// repeats runs in the first of the two alone. "Only jobs that run at a particular time (not
/// specified as @hourly, nor with '*' in the hour or minute specifier) are affected": an expression
/// whose minute or hour begins with `*`, or that names every hour, goes on through the repeated
/// hour. Other than with cron, one with such a `*` that has no time in every hour runs at the end
/// of the skipped hour too if that hour held a time of its, so that no day goes without.
#[derive(Debug, PartialEq, Eq)]
pub struct Crontab {
    text: String,
    zone: TimeZone,
    /// The times by the clock on the wall; of two, a time of either is meant.
    times: Vec<cron::Schedule>,
    has_every_hour: bool,
    goes_through_repeats: bool,
}

impl Crontab {
    /// Reads an expression; an error says what is wrong with it.
    pub fn parse(text: &str, zone: TimeZone) -> anyhow::Result<Crontab> {
        let fields: Vec<&str> = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            text => text,
        }
        .split_ascii_whitespace()
        .collect();
        let (second, fields) = match fields.as_slice() {
            [second, fields @ ..] if fields.len() == 5 => (*second, fields),
            fields => ("0", fields),
        };
        let &[minute, hour, day, month, weekday] = fields else {
            bail!(
                "it has {} fields, but must have 5 (minute, hour, day of month, month, weekday), \
                 6 with the second in front, or be one of @hourly, @daily, @weekly, @monthly, \
                 @yearly",
                fields.len()
            );
        };
        let read = |unit: &Unit, text: &str| unit.parse(text).map_err(|what| anyhow!(what));
        let [second, minute, hour] =
            [read(&SECOND, second)?, read(&MINUTE, minute)?, read(&HOUR, hour)?];
        let (day, month, weekday) =
            (read(&DAY, day)?, read(&MONTH, month)?, read(&WEEKDAY, weekday)?);
        let clock = format!("{} {} {}", list(second, 0), list(minute, 0), list(hour, 0));
        let (month, days, weekdays) = (list(month, 0), list(day, 0), list(weekday, 1));
        let both = [(days.as_str(), weekdays.as_str())];
        let either = [(days.as_str(), "*"), ("*", weekdays.as_str())];
        let dates = match day.is_wild || weekday.is_wild {
            true => &both[..],
            false => &either[..],
        };
        let times: Result<Vec<cron::Schedule>, _> = dates
            .iter()
            .map(|(days, weekdays)| {
                cron::Schedule::from_str(&format!("{clock} {days} {month} {weekdays}"))
            })
            .collect();
        let has_every_hour = hour.is_all(&HOUR);
        let crontab = Crontab {
            text: text.trim().to_owned(),
            zone,
            times: times.context("it cannot be read")?,
            has_every_hour,
            goes_through_repeats: has_every_hour || hour.is_wild || minute.is_wild,
        };
        // The crate looks as far as 2100, and each date there is comes before that.
        match crontab.on_the_wall(civil::date(2000, 1, 1).at(0, 0, 0, 0)) {
            Some(_) => Ok(crontab),
            None => bail!("no month that it names has such a day"),
        }
    }

    /// The time zone that it is meant in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first of its times after another; none if there is none.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut offset = self.zone.to_offset(after);
        let mut wanted = self.on_the_wall(self.dealt_with(after)?)?;
        for change in self.zone.following(after) {
            let at = change.timestamp();
            let (before, from) = (offset.to_datetime(at), change.offset().to_datetime(at));
            if wanted < before {
                break;
            }
            if wanted < from {
                // The clock skips it.
                match self.has_every_hour {
                    false => return Some(at),
                    true => wanted = self.on_the_wall(just_before(from)?)?,
                }
            } else if from < before && self.goes_through_repeats {
                wanted = self.on_the_wall(just_before(from)?)?;
            }
            offset = change.offset();
        }
        offset.to_timestamp(wanted).ok()
    }

    /// What the clock on the wall showed when all that was due by then was over. In an hour that is
    /// repeated that may be all of it.
    fn dealt_with(&self, now: Timestamp) -> Option<DateTime> {
        let wall = self.zone.to_offset(now).to_datetime(now);
        let wall = wall.with().subsec_nanosecond(0).build().ok()?;
        if self.goes_through_repeats {
            return Some(wall);
        }
        let moment = now.checked_add(SignedDuration::from_nanos(1)).ok()?;
        let Some(change) = self.zone.preceding(moment).next() else { return Some(wall) };
        let at = change.timestamp();
        let earlier = at.checked_sub(SignedDuration::from_nanos(1)).ok()?;
        let shown = self.zone.to_offset(earlier).to_datetime(at);
        Some(wall.max(just_before(shown)?))
    }

    /// The first time after another by the clock on the wall.
    fn on_the_wall(&self, after: DateTime) -> Option<DateTime> {
        let (year, month, day) = (after.year(), after.month(), after.day());
        let date = NaiveDate::from_ymd_opt(year.into(), part(month)?, part(day)?)?;
        let (hour, minute, second) = (after.hour(), after.minute(), after.second());
        let after = date.and_hms_opt(part(hour)?, part(minute)?, part(second)?)?.and_utc();
        let next = self.times.iter().filter_map(|times| times.after(&after).next()).min()?;
        DateTime::new(
            i16::try_from(next.year()).ok()?,
            i8::try_from(next.month()).ok()?,
            i8::try_from(next.day()).ok()?,
            i8::try_from(next.hour()).ok()?,
            i8::try_from(next.minute()).ok()?,
            i8::try_from(next.second()).ok()?,
            0,
        )
        .ok()
    }
}

impl fmt::Display for Crontab {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.text, self.zone.iana_name().unwrap_or_default())
    }
}

/// A field as cron reads it, which counts weekdays from 1.
fn list(field: Field, first: u8) -> String {
    let values: Vec<String> = field.values().map(|value| (value + first).to_string()).collect();
    values.join(",")
}

fn just_before(wall: DateTime) -> Option<DateTime> {
    wall.checked_sub(1.second()).ok()
}

fn part(of_a_date: i8) -> Option<u32> {
    u32::try_from(of_a_date).ok()
}
