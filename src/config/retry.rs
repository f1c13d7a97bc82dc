//! Retry: the waits between attempts.

use std::time::Duration;

use super::Section;

/// The waits between attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first wait. Default 1 s (SCR: 30 s).
    pub first: Duration,
    /// The longest wait. Default 5 min (SCR: 10 min).
    pub max: Duration,
    /// After how much reachable time a record is given up. Default 24 h.
    pub give_up_after: Duration,
}

impl Retry {
    /// Of an ingestion channel.
    pub(super) const INGESTION: Retry = Retry {
        first: Duration::from_secs(1),
        max: Duration::from_secs(5 * 60),
        give_up_after: Duration::from_secs(24 * 3600),
    };

    /// Of a channel to SCR.
    pub(super) const SCR: Retry = Retry {
        first: Duration::from_secs(30),
        max: Duration::from_secs(10 * 60),
        give_up_after: Duration::from_secs(24 * 3600),
    };

    /// Reads the key `retry` of a channel.
    pub(super) fn parse(channel: &mut Section, default: Retry) -> Option<Retry> {
        let Some(mut section) = channel.section("retry") else { return Some(default) };
        let retry = Retry {
            first: section.duration("first").unwrap_or(default.first),
            max: section.duration("max").unwrap_or(default.max),
            give_up_after: section.duration("give_up_after").unwrap_or(default.give_up_after),
        };
        if retry.first.is_zero() {
            section.error("first", "first is 0: attempts would follow each other without a pause");
        }
        if retry.give_up_after.is_zero() {
            let told = "give_up_after is 0: records would be set aside at the first fault";
            section.error("give_up_after", told);
        }
        if retry.first > retry.max {
            let (first, max) = (retry.first, retry.max);
            section.error("first", format!("first ({first:?}) is longer than max ({max:?})"));
        }
        section.finish();
        Some(retry)
    }
}
