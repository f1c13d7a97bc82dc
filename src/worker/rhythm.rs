//! Rhythm: when a source that has a schedule is looked into next.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;
use crate::spool::write_whole;

/// A time that comes again so soon is not noted each time: the look at a start that is one too many
/// costs less.
const SOON: SignedDuration = SignedDuration::from_mins(1);

/// When a source is looked into next.
///
/// With `every` that is at once, then so long after the last look began. With an expression it is
/// its next time, or at once if one has passed since the last look, of this run or an earlier one;
/// the first time ever, or with another expression than before, it begins with what comes next.
/// Times that pass while a look takes place are let go.
#[derive(Debug)]
pub struct Rhythm {
    schedule: Schedule,
    /// What was due by then was looked for.
    done: Timestamp,
    memory: PathBuf,
    remembered: Option<LastLook>,
}

/// What is left to the next run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LastLook {
    schedule: String,
    done: Timestamp,
}

impl Rhythm {
    /// Goes on from what is remembered in a file.
    pub fn begin(schedule: Schedule, memory: PathBuf, now: Timestamp) -> Rhythm {
        let remembered: Option<LastLook> =
            std::fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let done = match (&schedule, &remembered) {
            (Schedule::Every(_), _) => Timestamp::UNIX_EPOCH,
            (_, Some(last)) if last.schedule == schedule.to_string() => last.done,
            _ => now,
        };
        Rhythm { schedule, done, memory, remembered }
    }

    /// Whether it is of this schedule.
    pub fn is_of(&self, schedule: &Schedule) -> bool {
        self.schedule == *schedule
    }

    /// When the next look is due; none if never.
    pub fn due(&mut self, now: Timestamp) -> Option<Timestamp> {
        // A clock that was ahead must not hold up what is due by a right one.
        self.done = self.done.min(now);
        self.schedule.next(self.done)
    }

    /// Whether a look is due.
    pub fn is_due(&mut self, now: Timestamp) -> bool {
        self.due(now).is_some_and(|due| due <= now)
    }

    /// A look took place.
    pub fn looked(&mut self, began: Timestamp, ended: Timestamp) {
        let passed = self.schedule.next(began).is_some_and(|next| next <= ended);
        self.done = if passed { ended } else { began };
    }

    /// Leaves to the next run what it needs to tell whether a time was missed.
    pub fn remember(&mut self) -> anyhow::Result<()> {
        let last = LastLook { schedule: self.schedule.to_string(), done: self.done };
        let next = self.schedule.next(self.done);
        let is_soon = next.is_some_and(|next| next.duration_since(self.done) <= SOON);
        let is_known = self.remembered.as_ref().is_some_and(|remembered| {
            *remembered == last || remembered.schedule == last.schedule && is_soon
        });
        if is_known || matches!(self.schedule, Schedule::Every(_)) {
            return Ok(());
        }
        std::fs::create_dir_all(self.memory.parent().unwrap_or(Path::new("")))?;
        write_whole(&self.memory, &serde_json::to_vec(&last)?, 0o600)?;
        self.remembered = Some(last);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::schedule::Crontab;

    fn crontab(text: &str) -> Schedule {
        Schedule::Crontab(Arc::new(Crontab::parse(text, TimeZone::UTC).unwrap()))
    }

    /// A time of 22 November 2026.
    fn at(time: &str) -> Timestamp {
        format!("2026-11-22T{time}Z").parse().unwrap()
    }

    #[test]
    fn an_expression_waits_for_its_next_time_and_every_looks_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let memory = || folder.path().join("none");
        let mut hourly = Rhythm::begin(crontab("0 * * * *"), memory(), at("09:30:00"));
        assert_eq!(hourly.due(at("09:30:00")), Some(at("10:00:00")));
        assert!(!hourly.is_due(at("09:59:59")) && hourly.is_due(at("10:00:00")));
        hourly.looked(at("10:00:01"), at("10:00:02"));
        assert_eq!(hourly.due(at("10:00:02")), Some(at("11:00:00")));

        let minute = Duration::from_secs(60);
        let mut every = Rhythm::begin(Schedule::Every(minute), memory(), at("09:30:00"));
        assert!(every.is_due(at("09:30:00")));
        every.looked(at("09:30:01"), at("09:30:02"));
        assert_eq!(every.due(at("09:30:02")), Some(at("09:31:01")));
        assert!(every.remember().is_ok() && !folder.path().join("none").exists());
    }

    #[test]
    fn times_that_pass_while_a_look_takes_place_are_let_go() {
        let memory = PathBuf::from("/nonexistent");
        let mut rhythm = Rhythm::begin(crontab("*/5 * * * *"), memory.clone(), at("09:00:00"));
        rhythm.looked(at("09:05:00"), at("09:16:30"));
        assert_eq!(rhythm.due(at("09:16:30")), Some(at("09:20:00")));
        let minute = Duration::from_secs(60);
        let mut rhythm = Rhythm::begin(Schedule::Every(minute), memory, at("09:00:00"));
        rhythm.looked(at("09:00:00"), at("09:01:30"));
        assert_eq!(rhythm.due(at("09:01:30")), Some(at("09:02:30")));
    }

    #[test]
    fn a_time_that_was_missed_is_made_up_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let memory = || folder.path().join("acme/erp.last");
        let mut first = Rhythm::begin(crontab("0 9-12 * * *"), memory(), at("09:30:00"));
        first.remember().unwrap();
        let mut soon = Rhythm::begin(crontab("0 9-12 * * *"), memory(), at("09:59:00"));
        assert!(!soon.is_due(at("09:59:00")));
        // Off at ten and at eleven.
        let mut later = Rhythm::begin(crontab("0 9-12 * * *"), memory(), at("11:30:00"));
        assert!(later.is_due(at("11:30:00")));
        later.looked(at("11:30:00"), at("11:30:01"));
        assert_eq!(later.due(at("11:30:01")), Some(at("12:00:00")));
        later.remember().unwrap();
        let mut after = Rhythm::begin(crontab("0 9-12 * * *"), memory(), at("11:59:59"));
        assert!(!after.is_due(at("11:59:59")));
    }

    #[test]
    fn another_expression_begins_with_what_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let memory = || folder.path().join("erp.last");
        Rhythm::begin(crontab("0 3 * * *"), memory(), at("09:30:00")).remember().unwrap();
        let mut other = Rhythm::begin(crontab("0 10 * * *"), memory(), at("11:30:00"));
        assert!(!other.is_due(at("11:30:00")));
        std::fs::write(memory(), "no memory").unwrap();
        let mut none = Rhythm::begin(crontab("0 3 * * *"), memory(), at("11:30:00"));
        assert!(!none.is_due(at("11:30:00")));
    }

    #[test]
    fn a_clock_that_was_ahead_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let memory = || folder.path().join("erp.last");
        let wrong = "2038-01-01T00:00:00Z".parse().unwrap();
        Rhythm::begin(crontab("0 * * * *"), memory(), wrong).remember().unwrap();
        let mut rhythm = Rhythm::begin(crontab("0 * * * *"), memory(), at("09:30:00"));
        assert_eq!(rhythm.due(at("09:30:00")), Some(at("10:00:00")));
        assert!(!rhythm.is_due(at("09:59:59")) && rhythm.is_due(at("10:00:00")));
    }

    #[test]
    fn what_comes_again_within_a_minute_is_remembered_once() {
        let folder = tempfile::tempdir().unwrap();
        let memory = folder.path().join("erp.last");
        let mut often = Rhythm::begin(crontab("* * * * *"), memory.clone(), at("09:30:30"));
        often.remember().unwrap();
        let written = std::fs::read(&memory).unwrap();
        often.looked(at("09:31:00"), at("09:31:01"));
        often.remember().unwrap();
        assert_eq!(std::fs::read(&memory).unwrap(), written);
        let mut next = Rhythm::begin(crontab("* * * * *"), memory, at("09:32:30"));
        assert!(next.is_due(at("09:32:30")));
    }
}
