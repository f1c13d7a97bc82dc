//! Late: what is to be kept of a record that waits no more, for the verdicts file. While it waits the
//! ledger has it.

use jiff::Timestamp;

use crate::deliver::{Message, Outcome};
use crate::ledger::{Change, Wait, Waiting};
use crate::model::{LateAnswer, Level};

/// What an outcome says of each record that waited, or that was accepted just now; nothing of one
/// that had not waited, or is parked still.
///
/// Of one that waited for a time it is not known whether it was parked before: what is kept of that
/// is told together with what was kept when it was.
pub fn answers(message: &Message, outcome: &Outcome, now: Timestamp) -> Vec<LateAnswer> {
    let earlier = message.earlier.as_ref();
    let is_parked = |waiting: &Waiting| waiting.wait != Wait::Time;
    let is_late = outcome.accepted || earlier.is_some_and(is_parked);
    if earlier.is_none() && !is_late {
        return Vec::new();
    }
    let reference = reference(earlier, outcome);
    let mut answers = Vec::new();
    for (at, record) in message.ordinals().enumerate() {
        let waits = waits(record, outcome);
        if waits.is_some_and(|waits| is_parked(waits) || !is_late) {
            continue;
        }
        answers.push(LateAnswer {
            record,
            line: message.lines.get(at).copied().unwrap_or(message.line),
            reference: reference.clone(),
            message: words(record, waits, outcome),
            time: now,
            is_late,
        });
    }
    answers
}

/// How a record waits from now on, if it does.
fn waits(record: u64, outcome: &Outcome) -> Option<&Waiting> {
    let is_in = |(first, last): &(u64, u64)| (*first..=*last).contains(&record);
    let is_final = outcome.changes.iter().any(|change| match change {
        Change::Final(_, ranges) => ranges.iter().any(is_in),
        _ => false,
    });
    let mut waits = outcome.changes.iter().filter_map(|change| match change {
        Change::Wait(waiting) => Some(waiting),
        _ => None,
    });
    waits.find(|waiting| !is_final && is_in(&(waiting.first, waiting.last)))
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

fn words(record: u64, waits: Option<&Waiting>, outcome: &Outcome) -> String {
    let problems = || outcome.problems.iter().filter(|problem| problem.record == record);
    let rejects = problems().rfind(|problem| problem.level == Level::Reject);
    match (waits, rejects.or(problems().next_back())) {
        (Some(waits), _) => waits.reason.clone(),
        (None, Some(problem)) => problem.advice.clone(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arrival, Identity, Problem, State};

    /// A message of records 3, 5 and 6 that is parked, on lines 30, 50 and 60.
    fn parked() -> Message {
        let mut message = Message {
            customer: "acme".to_owned(),
            source: "erp".to_owned(),
            identity: Identity([7; 32]),
            arrival: Arrival(3),
            generation: 0,
            records: vec![(3, 3), (5, 6)],
            line: 30,
            lines: vec![30, 50, 60],
            body: Vec::new(),
            earlier: None,
            origin: None,
        };
        let waits = message.wait(Wait::Verdict, at(9), at(1), false, "accepted");
        let Some(Change::Wait(waiting)) = waits.changes.into_iter().next() else { panic!() };
        message.earlier = Some(Waiting { address: Some("REF-7".to_owned()), ..waiting });
        message
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn told(answers: &[LateAnswer]) -> Vec<(u64, u64, &str)> {
        let is_told = |answer: &LateAnswer| {
            answer.reference == "REF-7" && answer.is_late && answer.time == at(4)
        };
        assert!(answers.iter().all(is_told), "{answers:?}");
        answers.iter().map(|told| (told.record, told.line, told.message.as_str())).collect()
    }

    #[test]
    fn each_record_of_a_message_is_told_with_its_own_line_and_words() {
        let message = parked();
        let refused = |record, line| message.problem(record, line, "refused", "", "no such B/L");
        let outcome = message.quarantine(|record, line| match record {
            5 => Problem { advice: "blocked".to_owned(), ..refused(record, line) },
            _ => refused(record, line),
        });
        let answers = answers(&message, &outcome, at(4));
        let expected = [(3, 30, "no such B/L"), (5, 50, "blocked"), (6, 60, "no such B/L")];
        assert_eq!(told(&answers), expected);
    }

    #[test]
    fn of_what_is_parked_still_nothing_is_told() {
        let message = parked();
        let waits = message.wait(Wait::Verdict, at(9), at(4), false, "accepted");
        assert_eq!(answers(&message, &waits, at(4)), []);
        let mut some = Outcome::default();
        some.changes.push(Change::Final(State::Delivered, vec![(5, 5)]));
        some.changes.extend(waits.changes);
        assert_eq!(told(&answers(&message, &some, at(4))), [(5, 50, "")]);
    }
}
