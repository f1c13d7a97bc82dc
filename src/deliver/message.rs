//! Message: what one request carries, and what becomes of it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::ledger::{Age, Alarm, Change, Wait, Waiting};
use crate::model::{Arrival, Identity, Level, Origin, Problem, State};

/// One or more mapped records of one file, with consecutive ordinals but for those that are set
/// aside or not wanted.
#[derive(Clone, Debug)]
pub struct Message {
    /// The customer's id.
    pub customer: String,
    /// The source's name.
    pub source: String,
    /// The file's identity.
    pub identity: Identity,
    /// The file's pick-up.
    pub arrival: Arrival,
    /// Raised by a retry or a resend.
    pub generation: u32,
    /// The records it carries, as ranges, both ends inclusive, in order.
    pub records: Vec<(u64, u64)>,
    /// The line on which its first record starts.
    pub line: u64,
    /// The lines of all its records, where several may be set aside together.
    pub lines: Vec<u64>,
    /// The body.
    pub body: Vec<u8>,
    /// How it waited before, if it did.
    pub earlier: Option<Waiting>,
    /// Whose records they are, if they are worked again.
    pub origin: Option<Arc<Origin>>,
}

/// What became of a message.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the ledger is to note of its records.
    pub changes: Vec<Change>,
    /// What a person is to be told of them.
    pub problems: Vec<Problem>,
    /// What is wrong with the channel.
    pub alarm: Option<Alarm>,
    /// Whether the channel has proved to work.
    pub worked: bool,
    /// Whether the channel only accepted it now, and what it did is told besides.
    pub accepted: bool,
    /// The releases for which others can go now that were put off because of this one.
    pub frees: Vec<String>,
}

impl Outcome {
    /// Whether the message's records are in a final state by it.
    pub fn is_final(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Final(..)))
    }
}

impl Message {
    /// The first ordinal.
    pub fn first(&self) -> u64 {
        self.records.first().map_or(0, |range| range.0)
    }

    /// The last ordinal.
    pub fn last(&self) -> u64 {
        self.records.last().map_or(0, |range| range.1)
    }

    /// How many records it carries.
    pub fn count(&self) -> u64 {
        self.records.iter().map(|(first, last)| last + 1 - first).sum()
    }

    /// The `Idempotency-Key`: the same for every attempt, before and after a restart, and another
    /// for everything else (design, section 3.2).
    pub fn key(&self) -> String {
        let mut hash = blake3::Hasher::new();
        let (identity, arrival) = match &self.origin {
            Some(origin) => (&origin.identity, origin.arrival),
            None => (&self.identity, self.arrival),
        };
        for text in [self.customer.as_bytes(), self.source.as_bytes(), &identity.0] {
            hash.update(&(text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let (first, last) = (self.original(self.first()), self.original(self.last()));
        for number in [arrival.0, u64::from(self.generation), first, last] {
            hash.update(&number.to_be_bytes());
        }
        hash.finalize().to_hex()[..32].to_owned()
    }

    /// The ordinals of its records, in order.
    pub fn ordinals(&self) -> impl Iterator<Item = u64> {
        self.records.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The age of its first record: that of the pick-up it came with, however often it is worked.
    pub fn age(&self) -> Age {
        self.age_of(self.first())
    }

    /// The age of one of its records.
    pub fn age_of(&self, ordinal: u64) -> Age {
        let arrival = self.origin.as_ref().map_or(self.arrival, |origin| origin.age);
        (arrival, self.original(ordinal))
    }

    /// A record's ordinal in the file that it came with.
    fn original(&self, ordinal: u64) -> u64 {
        self.origin.as_ref().map_or(ordinal, |origin| origin.ordinal(ordinal))
    }

    /// Those of its records that `which` picks by their place in it; without a body.
    pub fn part(&self, which: impl Fn(usize) -> bool) -> Message {
        let (records, lines, body) = (Vec::new(), Vec::new(), Vec::new());
        let mut part = Message { records, lines, body, ..self.clone() };
        for (at, ordinal) in self.ordinals().enumerate().filter(|(at, _)| which(*at)) {
            match part.records.last_mut() {
                Some(range) if range.1 + 1 == ordinal => range.1 = ordinal,
                _ => part.records.push((ordinal, ordinal)),
            }
            part.lines.push(self.lines.get(at).copied().unwrap_or(self.line));
        }
        part.line = part.lines.first().copied().unwrap_or(self.line);
        part
    }

    /// All its records reach a final state.
    pub fn end(&self, state: State) -> Outcome {
        let mut changes = vec![Change::Final(state, self.records.clone()), Change::Message];
        changes.extend(self.stop_waiting());
        Outcome { changes, ..Outcome::default() }
    }

    /// All its records are set aside for one reason.
    pub fn quarantine(&self, problem: impl Fn(u64, u64) -> Problem) -> Outcome {
        let mut outcome = self.end(State::Quarantined);
        for (at, ordinal) in self.ordinals().enumerate() {
            // Where only the first record's line is known, a message of several is cut into single
            // records before any of them is set aside.
            let line = self.lines.get(at).copied().unwrap_or(self.line);
            outcome.problems.push(problem(ordinal, line));
        }
        outcome
    }

    /// A problem of its record that no single field is to blame for.
    pub fn problem(
        &self,
        record: u64,
        line: u64,
        rule: &str,
        value: &str,
        advice: &str,
    ) -> Problem {
        Problem {
            record,
            line,
            level: Level::Reject,
            field: String::new(),
            value: value.to_owned(),
            rule: rule.to_owned(),
            advice: advice.to_owned(),
        }
    }

    /// It waits, as one piece; `counts` tells whether the wait counts towards `give_up_after`.
    pub fn wait(
        &self,
        wait: Wait,
        due: Timestamp,
        now: Timestamp,
        counts: bool,
        reason: &str,
    ) -> Outcome {
        let earlier = self.earlier.as_ref();
        // Time in which nobody tried, as during a pause, does not count.
        let passed = earlier.filter(|earlier| earlier.answered).map_or(0, |earlier| {
            let last = earlier.last_attempt.as_second();
            (now.as_second() - last).min(earlier.due.as_second() - last).max(0)
        });
        let waiting = Waiting {
            first: self.first(),
            last: self.last(),
            wait,
            due,
            attempts: earlier.map_or(0, |earlier| earlier.attempts) + 1,
            since: earlier
                .filter(|earlier| earlier.wait == wait)
                .map_or(now, |earlier| earlier.since),
            last_attempt: now,
            answered: counts,
            spent: earlier.map_or(0, |earlier| earlier.spent) + passed as u64,
            reason: reason.chars().take(160).collect(),
            address: earlier.and_then(|earlier| earlier.address.clone()),
            release: None,
            holds: earlier.and_then(|earlier| earlier.holds.clone()),
            unknown: earlier.is_some_and(|earlier| earlier.unknown),
            named: earlier.is_some_and(|earlier| earlier.named),
            found: earlier.and_then(|earlier| earlier.found.clone()),
            taken: earlier.is_some_and(|earlier| earlier.taken),
        };
        Outcome { changes: vec![Change::Wait(waiting)], ..Outcome::default() }
    }

    /// It waits for its channel, which is paused until then.
    pub fn paused(&self, until: Timestamp) -> Outcome {
        self.wait(Wait::Time, until, Timestamp::now(), false, "the channel is paused")
    }

    /// It is cut into two halves that go out on their own, at once.
    pub fn halve(&self, now: Timestamp, reason: &str) -> Outcome {
        let half = self.count() / 2;
        let mut taken = 0;
        let mut middle = self.first();
        let mut next = self.last();
        for (first, last) in &self.records {
            let here = last + 1 - first;
            if taken < half && taken + here >= half {
                middle = first + (half - taken) - 1;
            }
            if taken <= half && taken + here > half {
                next = first + (half - taken);
            }
            taken += here;
        }
        let piece = |first, last| {
            Change::Wait(Waiting {
                first,
                last,
                wait: Wait::Time,
                due: now,
                attempts: 0,
                since: now,
                last_attempt: now,
                answered: false,
                spent: self.earlier.as_ref().map_or(0, |earlier| earlier.spent),
                reason: reason.chars().take(160).collect(),
                address: None,
                release: None,
                holds: None,
                unknown: self.earlier.as_ref().is_some_and(|earlier| earlier.unknown),
                named: false,
                found: None,
                taken: false,
            })
        };
        let mut changes: Vec<Change> = self.stop_waiting().into_iter().collect();
        changes.push(piece(self.first(), middle));
        changes.push(piece(next, self.last()));
        Outcome { changes, ..Outcome::default() }
    }

    fn stop_waiting(&self) -> Option<Change> {
        self.earlier.as_ref().map(|earlier| Change::Unwait(earlier.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(records: Vec<(u64, u64)>) -> Message {
        Message {
            customer: "acme".to_owned(),
            source: "erp".to_owned(),
            identity: Identity([7; 32]),
            arrival: Arrival(3),
            generation: 0,
            records,
            line: 2,
            lines: Vec::new(),
            body: Vec::new(),
            earlier: None,
            origin: None,
        }
    }

    fn pieces(outcome: &Outcome) -> Vec<(u64, u64)> {
        let piece = |change: &Change| match change {
            Change::Wait(waiting) => Some((waiting.first, waiting.last)),
            _ => None,
        };
        outcome.changes.iter().filter_map(piece).collect()
    }

    #[test]
    fn the_key_differs_with_everything_that_names_the_message() {
        let plain = message(vec![(1, 4)]);
        let mut keys = vec![plain.key()];
        let mut push = |change: fn(&mut Message)| {
            let mut other = plain.clone();
            change(&mut other);
            keys.push(other.key());
        };
        push(|message| message.customer = "acm".to_owned());
        push(|message| message.source = "eerp".to_owned());
        push(|message| message.identity = Identity([8; 32]));
        push(|message| message.arrival = Arrival(4));
        push(|message| message.generation = 1);
        push(|message| message.records = vec![(1, 5)]);
        push(|message| message.records = vec![(2, 4)]);
        let different: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert_eq!(plain.key(), message(vec![(1, 2), (4, 4)]).key());
    }

    #[test]
    fn halves_share_the_records_and_leave_none_out() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(pieces(&message(vec![(1, 4)]).halve(now, "")), [(1, 2), (3, 4)]);
        assert_eq!(pieces(&message(vec![(1, 5)]).halve(now, "")), [(1, 2), (3, 5)]);
        assert_eq!(pieces(&message(vec![(1, 1), (5, 7)]).halve(now, "")), [(1, 5), (6, 7)]);
        assert_eq!(pieces(&message(vec![(1, 2), (8, 9)]).halve(now, "")), [(1, 2), (8, 9)]);
        assert_eq!(pieces(&message(vec![(3, 3), (9, 9)]).halve(now, "")), [(3, 3), (9, 9)]);
    }

    #[test]
    fn only_waits_after_an_answer_count_towards_giving_up() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let waited = |message: &Message, now, answered| match message
            .wait(Wait::Time, at(now + 40), at(now), answered, "")
            .changes
            .remove(0)
        {
            Change::Wait(waiting) => waiting,
            other => panic!("{other:?}"),
        };
        let mut message = message(vec![(1, 4)]);
        let first = waited(&message, 100, true);
        assert_eq!((first.spent, first.attempts), (0, 1));
        message.earlier = Some(first);
        let second = waited(&message, 130, false);
        assert_eq!((second.spent, second.attempts), (30, 2));
        message.earlier = Some(second);
        let third = waited(&message, 9000, true);
        assert_eq!((third.spent, third.attempts, third.since), (30, 3, at(100)));
    }
}
