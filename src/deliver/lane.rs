//! Lane: the traffic on one channel. It lets messages through, one alone until the channel has
//! proved to work, and none while it is paused. Whatever it decides, the time is told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::{after, retry};
use crate::config::Retry;

/// Attempts in a row without an answer that pause a channel which worked before.
const PATIENCE: u32 = 3;

/// Messages in a row that were answered, none of them by a success, that pause a channel (design,
/// section 3.7). One message that fails again and again is one.
const REFUSED: usize = 20;

/// The traffic on one channel; clones share it.
#[derive(Clone)]
pub struct Lane {
    retry: Retry,
    state: Arc<Mutex<State>>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    light: Light,
    /// Attempts without an answer, in a row.
    failures: u32,
    /// Reads without an answer, in a row.
    unread: u32,
    /// Messages that were answered without a success since the last one, by their keys.
    refused: BTreeSet<String>,
    /// Since when there have been so many that they paused it.
    all_refused: Option<Timestamp>,
    /// Pauses without a success between.
    pauses: u32,
    /// Whether a message has paused it: then no read opens it, only a message.
    barred: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Light {
    /// Nothing was sent yet: the first goes alone.
    #[default]
    Unproven,
    /// One is on its way to see whether the channel works.
    Probing,
    /// All may go.
    Open,
    /// None may go before then.
    Paused(Timestamp),
}

/// Whether a message may go.
pub enum Entry {
    /// It may.
    Go(Leave),
    /// A probe is under way.
    Wait,
    /// The lane is paused until then.
    Paused(Timestamp),
}

/// Leave to send one message. Dropped without a word, it counts for nothing.
pub struct Leave {
    lane: Lane,
    probe: bool,
    told: bool,
    /// Whether it is for a read now.
    reads: bool,
    /// Whether a read worked by it.
    looked: bool,
}

impl Lane {
    /// A lane on which nothing was sent yet.
    pub fn new(retry: Retry) -> Lane {
        Lane { retry, state: Arc::default(), changes: watch::Sender::default() }
    }

    /// Leave to send a message, after waiting for a probe that is under way; or until when the
    /// lane is paused.
    pub async fn enter(&self) -> Result<Leave, Timestamp> {
        let mut changes = self.changes.subscribe();
        loop {
            match self.look(Timestamp::now()) {
                Entry::Go(leave) => return Ok(leave),
                Entry::Paused(until) => return Err(until),
                // The lane itself holds a sender, so the channel cannot close.
                Entry::Wait => drop(changes.changed().await),
            }
        }
    }

    /// Whether a message may go now.
    pub fn look(&self, now: Timestamp) -> Entry {
        let mut state = self.lock();
        let probe = match state.light {
            Light::Open => false,
            Light::Unproven => true,
            Light::Paused(until) if until <= now => true,
            Light::Paused(until) => return Entry::Paused(until),
            Light::Probing => return Entry::Wait,
        };
        if probe {
            state.light = Light::Probing;
        }
        Entry::Go(Leave { lane: self.clone(), probe, told: false, reads: false, looked: false })
    }

    /// Until when the lane is paused, if it still is.
    pub fn paused_until(&self) -> Option<Timestamp> {
        match self.lock().light {
            Light::Paused(until) if until > Timestamp::now() => Some(until),
            _ => None,
        }
    }

    /// Whether the channel has proved to work.
    pub fn is_open(&self) -> bool {
        self.lock().light == Light::Open
    }

    /// Lets the next message try at once, as after a reload.
    pub fn retry_now(&self) {
        let mut state = self.lock();
        if matches!(state.light, Light::Paused(_)) {
            state.light = Light::Unproven;
        }
        drop(state);
        self.changes.send_replace(());
    }

    /// Pauses for the time that its own retry sets, or longer where that is asked for. Messages
    /// that were under way together pause it once.
    fn pause(&self, state: &mut State, at_least: Option<Duration>, now: Timestamp) -> Timestamp {
        let standing = match state.light {
            Light::Paused(standing) => Some(standing),
            _ => None,
        };
        let own = match standing {
            Some(_) => Duration::ZERO,
            None => {
                state.pauses += 1;
                retry::wait(&self.retry, state.pauses, 0.0)
            }
        };
        let until = after(now, at_least.map_or(own, |least| least.max(own)));
        let until = standing.map_or(until, |standing| standing.max(until));
        state.light = Light::Paused(until);
        until
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changes.send_replace(());
    }
}

impl State {
    /// There was an answer, to a read or to a message.
    fn heard(&mut self, reads: bool) {
        self.unread = 0;
        if !reads {
            self.failures = 0;
        }
    }
}

impl Leave {
    /// Whether this message goes alone, to see whether the channel works.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// It is for a read first. That a read works does not tell that messages are taken.
    pub fn read_first(&mut self) {
        self.reads = true;
    }

    /// The read worked. A message may go by the same leave; if none does, a lane that only reads
    /// had paused is open.
    pub fn read(&mut self) {
        (self.reads, self.looked) = (false, true);
        self.lane.lock().unread = 0;
    }

    /// The channel took the message. Tells whether the lane is open now: a success that was under
    /// way when the lane paused does not lift the pause.
    pub fn worked(mut self, now: Timestamp) -> bool {
        self.told = true;
        let mut open = true;
        let probe = self.probe;
        self.lane.set(|state| match state.light {
            Light::Paused(until) if !probe && until > now => open = false,
            _ => *state = State { light: Light::Open, ..State::default() },
        });
        open
    }

    /// For how long the server has answered so many messages without taking one that the lane is
    /// paused for it.
    pub fn all_refused_for(&self, now: Timestamp) -> Duration {
        let since = self.lane.lock().all_refused.unwrap_or(now);
        Duration::try_from(now.duration_since(since)).unwrap_or_default()
    }

    /// The server answered, but did not take the message of this key. Tells until when the lane
    /// pauses if that was one such message too many.
    pub fn refused(mut self, key: &str, now: Timestamp) -> Option<Timestamp> {
        self.told = true;
        let mut until = None;
        let (lane, reads) = (self.lane.clone(), self.reads);
        lane.set(|state| {
            state.heard(reads);
            if state.refused.len() < REFUSED {
                state.refused.insert(key.to_owned());
            }
            if state.refused.len() >= REFUSED {
                state.barred |= !reads;
                state.all_refused.get_or_insert(now);
                until = Some(lane.pause(state, None, now));
            } else if state.light == Light::Probing {
                state.light = Light::Open;
            }
        });
        until
    }

    /// The server answered in a way that is no word on the message's content: it was too large.
    pub fn answered(mut self) {
        self.told = true;
        let reads = self.reads;
        self.lane.set(|state| {
            state.heard(reads);
            if state.light == Light::Probing {
                state.light = Light::Open;
            }
        });
    }

    /// There was no answer, or one that asks to be left alone. Tells until when the lane pauses
    /// for it, if it does: at once when it was a probe or the server asked for it, else after
    /// three in a row.
    pub fn failed(mut self, asked: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
        self.told = true;
        let mut until = None;
        let (lane, probe, reads) = (self.lane.clone(), self.probe, self.reads);
        lane.set(|state| {
            let failures = if reads { &mut state.unread } else { &mut state.failures };
            *failures += 1;
            if probe || asked.is_some() || *failures >= PATIENCE {
                state.barred |= !reads;
                let asked = asked.map(|asked| retry::hold(&lane.retry, asked));
                until = Some(lane.pause(state, asked, now));
            }
        });
        until
    }

    /// No record is to blame: the lane pauses. Tells until when.
    pub fn pause(mut self, now: Timestamp) -> Timestamp {
        self.told = true;
        let mut until = Timestamp::MAX;
        let (lane, reads) = (self.lane.clone(), self.reads);
        lane.set(|state| {
            state.barred |= !reads;
            until = lane.pause(state, None, now);
        });
        until
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if !self.told && self.probe {
            let looked = self.looked;
            self.lane.set(|state| match state.light {
                Light::Probing if looked && !state.barred => {
                    (state.light, state.pauses) = (Light::Open, 0);
                }
                Light::Probing => state.light = Light::Unproven,
                _ => {}
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn lane() -> Lane {
        Lane::new(Retry {
            first: Duration::from_secs(60),
            max: Duration::from_secs(600),
            give_up_after: Duration::from_secs(3600),
        })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[track_caller]
    fn go(lane: &Lane, second: i64) -> Leave {
        match lane.look(at(second)) {
            Entry::Go(leave) => leave,
            Entry::Wait => panic!("it waits"),
            Entry::Paused(until) => panic!("it is paused until {until}"),
        }
    }

    fn paused(lane: &Lane, second: i64) -> Option<i64> {
        match lane.look(at(second)) {
            Entry::Paused(until) => Some(until.as_second()),
            _ => None,
        }
    }

    #[test]
    fn the_first_message_goes_alone_until_it_worked() {
        let lane = lane();
        let first = go(&lane, 0);
        assert!(matches!(lane.look(at(0)), Entry::Wait));
        first.worked(at(1));
        let (_second, _third) = (go(&lane, 1), go(&lane, 1));
    }

    #[tokio::test]
    async fn who_waits_for_a_probe_goes_on_when_it_worked() {
        let lane = lane();
        let first = lane.enter().await.ok().unwrap();
        let mut second = Box::pin(lane.enter());
        assert!(second.as_mut().now_or_never().is_none());
        first.worked(Timestamp::now());
        assert!(second.now_or_never().is_some_and(|entered| entered.is_ok()));
    }

    #[test]
    fn a_probe_that_fails_pauses_the_lane() {
        let lane = lane();
        assert_eq!(go(&lane, 0).failed(None, at(10)), Some(at(70)));
        assert_eq!(paused(&lane, 69), Some(70));
        assert_eq!(go(&lane, 70).failed(None, at(80)), Some(at(200)), "twice as long");
    }

    #[test]
    fn a_lane_that_works_bears_two_failures_in_a_row() {
        let lane = lane();
        go(&lane, 0).worked(at(0));
        assert_eq!(go(&lane, 0).failed(None, at(0)), None);
        assert_eq!(go(&lane, 0).failed(None, at(0)), None);
        assert_eq!(go(&lane, 0).failed(None, at(0)), Some(at(60)));
    }

    #[test]
    fn a_success_that_was_under_way_does_not_lift_a_pause() {
        let lane = lane();
        go(&lane, 0).worked(at(0));
        let (slow, asked) = (go(&lane, 0), go(&lane, 0));
        assert_eq!(asked.failed(Some(Duration::from_secs(90)), at(0)), Some(at(90)));
        assert!(!slow.worked(at(1)));
        assert_eq!(paused(&lane, 1), Some(90));
    }

    #[test]
    fn messages_under_way_together_pause_the_lane_once() {
        let lane = lane();
        go(&lane, 0).worked(at(0));
        let leaves: Vec<Leave> = (0..10).map(|_| go(&lane, 0)).collect();
        let last = leaves.into_iter().filter_map(|leave| leave.failed(None, at(5))).max();
        assert_eq!(last, Some(at(65)), "not doubled ten times");
    }

    #[test]
    fn twenty_messages_in_a_row_that_are_not_taken_pause_the_lane() {
        let lane = lane();
        for n in 0..19 {
            assert_eq!(go(&lane, 0).refused(&n.to_string(), at(0)), None);
        }
        assert_eq!(go(&lane, 0).refused("19", at(0)), Some(at(60)));
        assert_eq!(paused(&lane, 0), Some(60));
        assert_eq!(go(&lane, 60).refused("20", at(60)), Some(at(180)), "and so does each probe");
    }

    #[test]
    fn one_message_that_is_never_taken_does_not_pause_the_lane() {
        let lane = lane();
        for second in 0..100 {
            assert_eq!(go(&lane, second).refused("the same", at(second)), None);
        }
    }

    #[test]
    fn a_success_forgets_the_refusals_before_it() {
        let lane = lane();
        for n in 0..19 {
            go(&lane, 0).refused(&n.to_string(), at(0));
        }
        go(&lane, 0).worked(at(0));
        assert_eq!(go(&lane, 0).refused("19", at(0)), None);
    }

    #[test]
    fn messages_that_were_too_large_do_not_pause_the_lane() {
        let lane = lane();
        for _ in 0..50 {
            go(&lane, 0).answered();
        }
        let (_one, _two) = (go(&lane, 0), go(&lane, 0));
    }

    #[test]
    fn a_dropped_probe_lets_another_one_try() {
        let lane = lane();
        drop(go(&lane, 0));
        drop(go(&lane, 0));
    }

    /// A read that works, and whether its leave was for a probe.
    #[track_caller]
    fn reads(lane: &Lane, second: i64) -> Leave {
        let mut leave = go(lane, second);
        leave.read_first();
        leave.read();
        leave
    }

    #[test]
    fn reads_that_work_do_not_forgive_calls_that_fail() {
        let lane = lane();
        go(&lane, 0).worked(at(0));
        assert_eq!(go(&lane, 0).failed(None, at(0)), None);
        drop(reads(&lane, 0));
        assert_eq!(go(&lane, 0).failed(None, at(0)), None);
        drop(reads(&lane, 0));
        assert_eq!(go(&lane, 0).failed(None, at(0)), Some(at(60)));
        drop(reads(&lane, 60));
        assert!(matches!(lane.look(at(60)), Entry::Go(leave) if leave.is_probe()), "not open yet");
        assert_eq!(reads(&lane, 60).failed(None, at(60)), Some(at(180)), "slower and slower");
    }

    #[test]
    fn reads_that_work_do_not_forgive_refusals() {
        let lane = lane();
        for n in 0..19 {
            assert_eq!(reads(&lane, 0).refused(&n.to_string(), at(0)), None);
        }
        assert_eq!(reads(&lane, 0).refused("19", at(0)), Some(at(60)));
    }

    #[test]
    fn a_lane_that_reads_have_paused_is_opened_by_a_read() {
        let lane = lane();
        let mut first = go(&lane, 0);
        first.read_first();
        assert_eq!(first.failed(None, at(0)), Some(at(60)));
        drop(reads(&lane, 60));
        assert!(lane.is_open());
    }

    #[test]
    fn a_pause_asked_for_by_the_server_is_bounded() {
        let lane = lane();
        go(&lane, 0).worked(at(0));
        assert_eq!(go(&lane, 0).failed(Some(Duration::from_secs(86_400)), at(0)), Some(at(600)));
    }
}
