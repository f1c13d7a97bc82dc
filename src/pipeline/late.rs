//! Late: what is to be kept of a record that waits no more, for the verdicts file. While it waits the
//! ledger has it.

use jiff::Timestamp;

use crate::deliver::{Message, Outcome};
use crate::ledger::{Change, Wait, Waiting};
use crate::model::{LateAnswer, Level};

/// What an outcome says of a record that waited, or that was accepted just now; none if it had not
/// waited, or is parked still.
///
/// Of one that waited for a time it is not known whether it was parked before: what is kept of that
/// is told together with what was kept when it was.
pub fn answer(message: &Message, outcome: &Outcome, now: Timestamp) -> Option<LateAnswer> {
    let earlier = message.earlier.as_ref();
    let is_parked = |waiting: &Waiting| waiting.wait != Wait::Time;
    let is_late = outcome.accepted || earlier.is_some_and(is_parked);
    let waits = outcome.changes.iter().find_map(|change| match change {
        Change::Wait(waiting) => Some(waiting),
        _ => None,
    });
    match waits {
        Some(waits) if is_parked(waits) || !is_late => return None,
        None if earlier.is_none() && !is_late => return None,
        Some(_) | None => {}
    }
    Some(LateAnswer {
        record: message.first(),
        line: message.line,
        reference: reference(earlier, outcome),
        message: words(waits, outcome),
        time: now,
        is_late,
    })
}

/// CPu's public reference or the release's address; of a release that was never found, what it is
/// called.
fn reference(earlier: Option<&Waiting>, outcome: &Outcome) -> String {
    let found = outcome.changes.iter().find_map(|change| match change {
        Change::Release { address, .. } => Some(address),
        _ => None,
    });
    let before =
        || earlier.and_then(|earlier| earlier.address.as_ref().or(earlier.release.as_ref()));
    found.or_else(before).cloned().unwrap_or_default()
}

fn words(waits: Option<&Waiting>, outcome: &Outcome) -> String {
    let rejects = outcome.problems.iter().rfind(|problem| problem.level == Level::Reject);
    match (waits, rejects.or(outcome.problems.last())) {
        (Some(waits), _) => waits.reason.clone(),
        (None, Some(problem)) => problem.advice.clone(),
        (None, None) => String::new(),
    }
}
