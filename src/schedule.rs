//! Schedule: when a source is looked into, where folder events do not say so. Pure: whoever asks
//! brings the time.

mod crontab;
mod field;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use crontab::Crontab;

/// When a source is looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Again after so long.
    Every(Duration),
    /// At the times of a crontab expression.
    Crontab(Arc<Crontab>),
}

impl Schedule {
    /// The first time after another; none if there is none.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Schedule::Every(pause) => after.checked_add(*pause).ok(),
            Schedule::Crontab(crontab) => crontab.next(after),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Schedule::Every(pause) => write!(f, "every {pause:?}"),
            Schedule::Crontab(crontab) => crontab.fmt(f),
        }
    }
}
