//! Consequence: what a verdict makes of a message and of its lane. It knows no clock: the time is
//! told.

use jiff::Timestamp;

use super::lane::Leave;
use super::verdict::{Heard, Verdict};
use super::{Message, Outcome, after, retry};
use crate::config::Retry;
use crate::ledger::{AlarmKind, Change, Wait, Waiting};
use crate::model::State;

/// The rule by which a record is set aside of which nobody knows whether the channel has it.
pub const UNKNOWN_OUTCOME: &str = "unknown outcome";

/// What is wrong with a channel, and what to do about it.
pub type Trouble = (AlarmKind, String);

/// What becomes of a message, and what is wrong with its channel if something is.
pub fn consequence(
    retry: &Retry,
    verdict: Verdict,
    message: &Message,
    leave: Leave,
    now: Timestamp,
) -> (Outcome, Option<Trouble>) {
    match verdict {
        Verdict::Delivered | Verdict::Accepted => {
            let worked = leave.worked(now);
            (Outcome { worked, ..message.end(State::Delivered) }, None)
        }
        Verdict::Refused(told) => {
            let paused = leave.refused(&message.key(), now);
            let trouble = paused.map(|_| everything_refused(&told));
            (refuse(message, &told, now), trouble)
        }
        Verdict::TooLarge(told) => {
            let paused = match message.count() {
                1 => leave.refused(&message.key(), now),
                _ => {
                    leave.answered();
                    None
                }
            };
            let trouble = paused.map(|_| everything_refused(&told));
            (refuse(message, &told, now), trouble)
        }
        Verdict::Later { reason, hold, heard } => {
            // Where one record after the other is spoken of like this, each would have its time
            // only after the one before it: they have it together.
            let spent = match heard {
                Heard::Word => leave.all_refused_for(now).as_secs(),
                _ => 0,
            };
            let paused = match (hold, heard) {
                // A server that answers with a fault may mean this message alone.
                (None, Heard::Fault | Heard::Word) => leave.refused(&message.key(), now),
                _ => leave.failed(hold, now),
            };
            let outcome = later(retry, message, (heard, &reason), spent, paused, now);
            let trouble = paused.map(|_| match heard {
                Heard::Word => everything_refused(&reason),
                _ => (AlarmKind::Unreachable, format!("{reason}; it is tried again by itself")),
            });
            (outcome, trouble)
        }
        Verdict::Pause(kind, advice) => {
            let due = leave.pause(now);
            (message.wait(Wait::Time, due, now, false, &advice), Some((kind, advice)))
        }
    }
}

fn everything_refused(told: &str) -> Trouble {
    let advice = format!(
        "one message after the other is refused, the last with {told}; compare the mapping with \
         what the channel takes"
    );
    (AlarmKind::EverythingRefused, advice)
}

/// A message that may succeed later waits, unless it has had its time, of which so many seconds
/// are `spent` at least.
fn later(
    retry: &Retry,
    message: &Message,
    (heard, reason): (Heard, &str),
    spent: u64,
    paused: Option<Timestamp>,
    now: Timestamp,
) -> Outcome {
    let attempts = message.earlier.as_ref().map_or(0, |earlier| earlier.attempts) + 1;
    let chance = retry::chance(message.key().as_bytes());
    let own = after(now, retry::wait(retry, attempts, chance));
    let due = paused.map_or(own, |paused| paused.max(own));
    // While the lane is paused, time does not count (design, section 3.7); a word on this message
    // does in any case (section 4.4).
    let counts = match heard {
        Heard::Word => true,
        Heard::Fault => paused.is_none(),
        Heard::Busy | Heard::Nothing | Heard::Lost | Heard::TimedOut => false,
    };
    let mut outcome = message.wait(Wait::Time, due, now, counts, reason);
    let Some(Change::Wait(waiting)) = outcome.changes.first_mut() else { return outcome };
    waiting.unknown |= heard.may_have_arrived();
    if !counts || waiting.spent.max(spent) < retry.give_up_after.as_secs() {
        return outcome;
    }
    give_up(message, waiting, now)
}

fn give_up(message: &Message, waiting: &Waiting, now: Timestamp) -> Outcome {
    let told = format!("given up after {} attempts: {}", waiting.attempts, waiting.reason);
    if message.count() > 1 || !waiting.unknown {
        return refuse(message, &told, now);
    }
    let advice = format!(
        "{told}; an attempt was not answered, so the channel may have the record: ask its receiver \
         before it is sent again"
    );
    message.quarantine(|record, line| message.problem(record, line, UNKNOWN_OUTCOME, "", &advice))
}

/// Sets a message's record aside; one of several is cut in half, until the guilty stand alone.
fn refuse(message: &Message, told: &str, now: Timestamp) -> Outcome {
    if message.count() > 1 {
        return message.halve(now, told);
    }
    let advice = match message.earlier.as_ref().is_some_and(|earlier| earlier.unknown) {
        true => format!(
            "{told}; an earlier attempt was not answered, so the channel may have the record all \
             the same"
        ),
        false => told.to_owned(),
    };
    message.quarantine(|record, line| message.problem(record, line, "refused", "", &advice))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::lane::{Entry, Lane};
    use super::super::verdict::{Remote, judge};
    use super::*;
    use crate::model::{Answer, Arrival, Identity, Problem, Reply};

    const DAY: i64 = 24 * 3600;
    /// From Friday 18:00 until Monday 8:00.
    const WEEKEND: i64 = 62 * 3600;

    fn retry() -> Retry {
        Retry {
            first: Duration::from_secs(1),
            max: Duration::from_secs(300),
            give_up_after: Duration::from_secs(DAY as u64),
        }
    }

    fn answered(status: u16) -> Reply {
        Reply::Answered(Answer { status, ..Answer::default() })
    }

    fn after_a_while(status: u16, seconds: u64) -> Reply {
        let retry_after = Some(Duration::from_secs(seconds));
        Reply::Answered(Answer { status, retry_after, text: String::new() })
    }

    /// A channel with single records that are due at once, and a clock of its own.
    struct Simulation {
        remote: Remote,
        lane: Lane,
        now: i64,
        open: BTreeMap<u64, Message>,
        delivered: Vec<u64>,
        problems: Vec<(i64, Problem)>,
        calls: usize,
    }

    impl Simulation {
        fn new(records: u64) -> Simulation {
            let message = |record| Message {
                customer: "acme".to_owned(),
                source: "erp".to_owned(),
                identity: Identity([7; 32]),
                arrival: Arrival(3),
                generation: 0,
                records: vec![(record, record)],
                line: record + 1,
                lines: Vec::new(),
                body: Vec::new(),
                earlier: None,
                origin: None,
            };
            Simulation {
                remote: Remote::Ingestion,
                lane: Lane::new(retry()),
                now: 0,
                open: (1..=records).map(|record| (record, message(record))).collect(),
                delivered: Vec::new(),
                problems: Vec::new(),
                calls: 0,
            }
        }

        /// Sends what is due until then, in the order of the records, as a pass does; `server`
        /// answers by the time, the record, and how many calls came before.
        fn run(&mut self, until: i64, mut server: impl FnMut(i64, u64, usize) -> Reply) {
            while self.now <= until && !self.open.is_empty() {
                let mut next = i64::MAX;
                for record in self.open.keys().copied().collect::<Vec<_>>() {
                    let now = Timestamp::from_second(self.now).unwrap();
                    let message = &self.open[&record];
                    if let Some(earlier) = &message.earlier
                        && earlier.due > now
                    {
                        next = next.min(earlier.due.as_second());
                        continue;
                    }
                    let leave = match self.lane.look(now) {
                        Entry::Go(leave) => leave,
                        Entry::Wait => panic!("nobody else is probing"),
                        Entry::Paused(until) => {
                            next = next.min(until.as_second());
                            break;
                        }
                    };
                    let reply = server(self.now, record, self.calls);
                    self.calls += 1;
                    let verdict = judge(self.remote, &reply, &BTreeMap::new());
                    let (outcome, _) = consequence(&retry(), verdict, message, leave, now);
                    next = next.min(self.note(record, outcome));
                }
                // Times of less than a second are cut off.
                self.now = next.max(self.now + 1);
            }
            self.now = until;
        }

        fn note(&mut self, record: u64, outcome: Outcome) -> i64 {
            self.problems.extend(outcome.problems.into_iter().map(|problem| (self.now, problem)));
            for change in outcome.changes {
                match change {
                    Change::Wait(waiting) => {
                        let due = waiting.due.as_second();
                        self.open.get_mut(&record).unwrap().earlier = Some(waiting);
                        return due;
                    }
                    Change::Final(state, _) => {
                        self.open.remove(&record);
                        if state == State::Delivered {
                            self.delivered.push(record);
                        }
                    }
                    _ => {}
                }
            }
            i64::MAX
        }

        /// After an outage: all is delivered as soon as the next probe finds the server.
        fn recovers(&mut self, records: u64) {
            let ended = self.now;
            self.run(ended + 700, |_, _, _| answered(200));
            self.delivered.sort_unstable();
            assert_eq!(self.delivered, (1..=records).collect::<Vec<_>>());
            assert!(self.problems.is_empty(), "{:?}", self.problems);
        }
    }

    #[test]
    fn a_weekends_outage_of_any_kind_sets_nothing_aside() {
        let outages = [
            ("nobody listens", Reply::Broken("connection refused".to_owned())),
            ("dropped", Reply::Lost("connection reset".to_owned())),
            ("timed out", Reply::TimedOut),
            ("no token server", Reply::NoLogin("connection refused".to_owned())),
            ("password", Reply::LoginRefused("invalid_grant".to_owned())),
            ("bad gateway", answered(502)),
            ("maintenance", after_a_while(503, 3600)),
            ("throttled", answered(429)),
            ("wrong channel", answered(404)),
            ("broken inside", answered(500)),
        ];
        for (name, outage) in outages {
            for records in [1u64, 19, 20, 500] {
                if name == "broken inside" && records < 20 {
                    // Answered faults of so few may be the records' own, and count.
                    continue;
                }
                let mut simulation = Simulation::new(records);
                simulation.run(WEEKEND, |_, _, _| outage.clone());
                assert_eq!(simulation.open.len() as u64, records, "{name}");
                // A probe every five minutes, and those that it took to pause.
                assert!(simulation.calls < 62 * 12 + 40, "{name}: {}", simulation.calls);
                simulation.recovers(records);
            }
        }
    }

    #[test]
    fn an_outage_that_begins_in_the_midst_of_work_sets_nothing_aside() {
        let mut simulation = Simulation::new(300);
        simulation.run(WEEKEND, |_, _, calls| match calls {
            0..100 => answered(202),
            _ => answered(500),
        });
        assert_eq!((simulation.delivered.len(), simulation.open.len()), (100, 200));
        simulation.recovers(300);
    }

    #[test]
    fn a_record_that_alone_is_answered_with_faults_is_given_up_after_a_day() {
        let mut simulation = Simulation::new(40);
        simulation.run(3 * DAY, |_, record, _| answered(if record == 7 { 500 } else { 200 }));
        let [(when, problem)] = simulation.problems.as_slice() else {
            panic!("{:?}", simulation.problems)
        };
        assert!((DAY..DAY + 1000).contains(when), "after {when} s");
        assert_eq!((problem.record, problem.rule.as_str()), (7, "refused"));
        assert!(problem.advice.starts_with("given up after "), "{}", problem.advice);
        assert!(problem.advice.ends_with(" attempts: 500"), "{}", problem.advice);
        assert_eq!(simulation.delivered.len(), 39);
    }

    #[test]
    fn the_time_of_an_outage_does_not_count_towards_giving_up() {
        let mut simulation = Simulation::new(40);
        let faulty = |record| answered(if record == 7 { 500 } else { 200 });
        simulation.run(DAY / 2, |_, record, _| faulty(record));
        simulation.run(DAY / 2 + WEEKEND, |_, _, _| Reply::Broken(String::new()));
        assert!(simulation.problems.is_empty());
        simulation.run(3 * DAY + WEEKEND, |_, record, _| faulty(record));
        let (when, _) = simulation.problems[0];
        assert!((DAY + WEEKEND - 400..DAY + WEEKEND + 1300).contains(&when), "after {when} s");
    }

    #[test]
    fn what_may_have_been_taken_is_told_apart_when_it_is_given_up() {
        for unheard in [Reply::TimedOut, Reply::Lost(String::new())] {
            let mut simulation = Simulation::new(2);
            simulation.run(3 * DAY, |_, record, calls| match (record, calls) {
                (1, _) => answered(200),
                (_, 1) => unheard.clone(),
                _ => answered(500),
            });
            let (_, problem) = &simulation.problems[0];
            assert_eq!(problem.rule, UNKNOWN_OUTCOME);
            assert!(problem.advice.contains("the channel may have the record"), "{problem:?}");
        }
    }

    #[test]
    fn a_refusal_after_an_attempt_that_was_not_answered_says_so() {
        let mut simulation = Simulation::new(2);
        simulation.run(DAY, |_, record, calls| match (record, calls) {
            (1, _) => answered(200),
            (_, 1) => Reply::TimedOut,
            _ => answered(409),
        });
        let (_, problem) = &simulation.problems[0];
        assert_eq!(problem.rule, "refused");
        assert!(problem.advice.starts_with("409; an earlier attempt was not"), "{problem:?}");
    }

    #[test]
    fn what_scr_describes_is_the_records_own_even_if_it_is_said_of_all() {
        let mut simulation = Simulation::new(25);
        simulation.remote = Remote::Scr;
        let described = r#"{"code": 2, "description": "no such release"}"#;
        let fault = Answer { status: 500, text: described.to_owned(), ..Answer::default() };
        simulation.run(40 * DAY, |_, _, _| Reply::Answered(fault.clone()));
        assert_eq!((simulation.open.len(), simulation.problems.len()), (0, 25));
        for (when, problem) in &simulation.problems {
            // One each time that the paused channel is tried.
            assert!((DAY..DAY + 25 * 600).contains(when), "after {when} s");
            assert!(problem.advice.ends_with("500 code 2: no such release"), "{problem:?}");
        }
    }

    /// What twenty messages that are answered alike say of the channel, and its lane.
    fn trouble_of_twenty(remote: Remote, answer: &Answer) -> (Lane, Option<AlarmKind>) {
        let lane = Lane::new(retry());
        let mut last = None;
        for message in Simulation::new(20).open.values() {
            let Entry::Go(leave) = lane.look(Timestamp::UNIX_EPOCH) else { panic!("paused") };
            let verdict = judge(remote, &Reply::Answered(answer.clone()), &BTreeMap::new());
            let now = Timestamp::UNIX_EPOCH;
            let (_, trouble) = consequence(&retry(), verdict, message, leave, now);
            last = trouble.map(|(kind, _)| kind);
        }
        (lane, last)
    }

    #[test]
    fn a_lane_that_is_paused_by_refusals_is_an_alarm() {
        let described = r#"{"code": 2, "description": "no such release"}"#;
        let cases = [
            (Remote::Ingestion, 413, "", AlarmKind::EverythingRefused),
            (Remote::Ingestion, 400, "", AlarmKind::EverythingRefused),
            (Remote::Ingestion, 500, "", AlarmKind::Unreachable),
            (Remote::Scr, 500, described, AlarmKind::EverythingRefused),
        ];
        for (remote, status, text, kind) in cases {
            let answer = Answer { status, text: text.to_owned(), ..Answer::default() };
            let (lane, last) = trouble_of_twenty(remote, &answer);
            assert_eq!(last, Some(kind), "{status}");
            assert!(matches!(lane.look(Timestamp::UNIX_EPOCH), Entry::Paused(_)), "{status}");
        }
    }

    #[test]
    fn an_outage_gives_nothing_up_whatever_give_up_after_became_meanwhile() {
        let mut message = Simulation::new(1).open.remove(&1).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let waits = message.wait(Wait::Time, now, now, true, "500");
        let Some(Change::Wait(mut waiting)) = waits.changes.into_iter().next() else { panic!() };
        waiting.spent = 2 * DAY as u64;
        message.earlier = Some(waiting);
        let lane = Lane::new(retry());
        let Entry::Go(leave) = lane.look(now) else { panic!("the first may go") };
        let verdict = judge(Remote::Ingestion, &answered(429), &BTreeMap::new());
        let (outcome, _) = consequence(&retry(), verdict, &message, leave, now);
        assert!(!outcome.is_final(), "{outcome:?}");
    }

    #[test]
    fn a_wrong_channel_cuts_nothing() {
        let lane = Lane::new(retry());
        let mut message = Simulation::new(1).open.remove(&1).unwrap();
        message.records = vec![(1, 500)];
        let now = Timestamp::UNIX_EPOCH;
        let Entry::Go(leave) = lane.look(now) else { panic!("the first may go") };
        let verdict = judge(Remote::Ingestion, &answered(404), &BTreeMap::new());
        let (outcome, trouble) = consequence(&retry(), verdict, &message, leave, now);
        let [Change::Wait(waiting)] = outcome.changes.as_slice() else { panic!("{outcome:?}") };
        assert_eq!((waiting.first, waiting.last), (1, 500));
        assert_eq!(trouble.map(|(kind, _)| kind), Some(AlarmKind::ChannelRefused));
        assert!(matches!(lane.look(now), Entry::Paused(_)));
    }

    proptest! {
        #[test]
        fn whatever_an_outage_is_made_of_nothing_is_set_aside(
            kinds in proptest::collection::vec(0usize..9, 1..50),
            records in 1u64..60,
        ) {
            let mut simulation = Simulation::new(records);
            simulation.run(WEEKEND, |_, _, calls| match kinds[calls % kinds.len()] {
                0 => Reply::Broken(String::new()),
                1 => Reply::Lost(String::new()),
                2 => Reply::TimedOut,
                3 => answered(502),
                4 => answered(503),
                5 => after_a_while(429, 20),
                6 => answered(401),
                7 => after_a_while(403, 86_400),
                _ => Reply::NoLogin(String::new()),
            });
            prop_assert_eq!(simulation.open.len() as u64, records);
            simulation.recovers(records);
        }
    }
}
