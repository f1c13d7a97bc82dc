//! Lane: the traffic on one channel. It lets messages through, one alone until the channel has
//! proved to work, and none while the channel is paused.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::{after, retry};
use crate::config::Retry;

/// Attempts in a row without an answer that pause a channel which worked before.
const PATIENCE: u32 = 3;

/// Answers in a row, none of them a success, that pause a channel (design, section 3.7).
const REFUSED: u32 = 20;

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
    /// Answers that were no success, in a row.
    refusals: u32,
    /// Pauses without a success between.
    pauses: u32,
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

/// Leave to send one message. Dropped without a word, it counts for nothing.
pub struct Leave {
    lane: Lane,
    probe: bool,
    told: bool,
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
            {
                let mut state = self.lock();
                let probe = match state.light {
                    Light::Open => Some(false),
                    Light::Unproven => Some(true),
                    Light::Paused(until) if until <= Timestamp::now() => Some(true),
                    Light::Paused(until) => return Err(until),
                    Light::Probing => None,
                };
                if let Some(probe) = probe {
                    if probe {
                        state.light = Light::Probing;
                    }
                    return Ok(Leave { lane: self.clone(), probe, told: false });
                }
            }
            // The lane itself holds a sender, so the channel cannot close.
            let _ = changes.changed().await;
        }
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
    fn pause(&self, state: &mut State, at_least: Option<Duration>) -> Timestamp {
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
        let until = after(Timestamp::now(), at_least.map_or(own, |least| least.max(own)));
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

impl Leave {
    /// Whether this message goes alone, to see whether the channel works.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// The channel took the message. Tells whether the lane is open now: a success that was under
    /// way when the lane paused does not lift the pause.
    pub fn worked(mut self) -> bool {
        self.told = true;
        let mut open = true;
        let probe = self.probe;
        self.lane.set(|state| match state.light {
            Light::Paused(until) if !probe && until > Timestamp::now() => open = false,
            _ => *state = State { light: Light::Open, ..State::default() },
        });
        open
    }

    /// The server answered, but took nothing. Tells until when the lane pauses if that was one such
    /// answer too many.
    pub fn refused(mut self) -> Option<Timestamp> {
        self.told = true;
        let mut until = None;
        let lane = self.lane.clone();
        lane.set(|state| {
            state.failures = 0;
            state.refusals += 1;
            if state.refusals >= REFUSED {
                until = Some(lane.pause(state, None));
            } else if state.light == Light::Probing {
                state.light = Light::Open;
            }
        });
        until
    }

    /// There was no answer, or one that asks to be left alone. Tells until when the lane pauses
    /// for it, if it does: at once when it was a probe or the server asked for it, else after
    /// three in a row.
    pub fn failed(mut self, asked: Option<Duration>) -> Option<Timestamp> {
        self.told = true;
        let mut until = None;
        let (lane, probe) = (self.lane.clone(), self.probe);
        lane.set(|state| {
            state.failures += 1;
            if probe || asked.is_some() || state.failures >= PATIENCE {
                let asked = asked.map(|asked| retry::hold(&lane.retry, asked));
                until = Some(lane.pause(state, asked));
            }
        });
        until
    }

    /// No record is to blame: the lane pauses, for so long at least. Tells until when.
    pub fn pause(mut self, at_least: Option<Duration>) -> Timestamp {
        self.told = true;
        let mut until = Timestamp::MAX;
        let lane = self.lane.clone();
        lane.set(|state| until = lane.pause(state, at_least));
        until
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if !self.told && self.probe {
            self.lane.set(|state| {
                if state.light == Light::Probing {
                    state.light = Light::Unproven;
                }
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

    #[tokio::test]
    async fn the_first_message_goes_alone_until_it_worked() {
        let lane = lane();
        let first = lane.enter().await.ok().unwrap();
        assert!(lane.enter().now_or_never().is_none());
        first.worked();
        assert!(lane.enter().await.is_ok());
        assert!(lane.enter().await.is_ok());
    }

    #[tokio::test]
    async fn a_probe_that_fails_pauses_the_lane() {
        let lane = lane();
        let until = lane.enter().await.ok().unwrap().failed(None).unwrap();
        assert!(until > Timestamp::now());
        assert_eq!(lane.enter().await.err(), Some(until));
    }

    #[tokio::test]
    async fn a_lane_that_works_bears_two_failures_in_a_row() {
        let lane = lane();
        lane.enter().await.ok().unwrap().worked();
        assert_eq!(lane.enter().await.ok().unwrap().failed(None), None);
        assert_eq!(lane.enter().await.ok().unwrap().failed(None), None);
        assert!(lane.enter().await.ok().unwrap().failed(None).is_some());
    }

    #[tokio::test]
    async fn a_success_that_was_under_way_does_not_lift_a_pause() {
        let lane = lane();
        lane.enter().await.ok().unwrap().worked();
        let (slow, asked) = (lane.enter().await.ok().unwrap(), lane.enter().await.ok().unwrap());
        let until = asked.failed(Some(Duration::from_secs(30))).unwrap();
        assert!(!slow.worked());
        assert_eq!(lane.enter().await.err(), Some(until));
    }

    #[tokio::test]
    async fn messages_under_way_together_pause_the_lane_once() {
        let lane = lane();
        lane.enter().await.ok().unwrap().worked();
        let mut leaves = Vec::new();
        for _ in 0..10 {
            leaves.push(lane.enter().await.ok().unwrap());
        }
        let last = leaves.into_iter().filter_map(|leave| leave.failed(None)).max().unwrap();
        assert!(last <= Timestamp::now() + Duration::from_secs(61), "not doubled ten times");
    }

    #[tokio::test]
    async fn twenty_answers_in_a_row_that_take_nothing_pause_the_lane() {
        let lane = lane();
        for _ in 0..19 {
            assert_eq!(lane.enter().await.ok().unwrap().refused(), None);
        }
        let until = lane.enter().await.ok().unwrap().refused().unwrap();
        assert_eq!(lane.enter().await.err(), Some(until));
    }

    #[tokio::test]
    async fn a_success_forgets_the_refusals_before_it() {
        let lane = lane();
        for _ in 0..19 {
            lane.enter().await.ok().unwrap().refused();
        }
        lane.enter().await.ok().unwrap().worked();
        assert_eq!(lane.enter().await.ok().unwrap().refused(), None);
    }

    #[tokio::test]
    async fn a_dropped_probe_lets_another_one_try() {
        let lane = lane();
        drop(lane.enter().await);
        assert!(lane.enter().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_pause_asked_for_by_the_server_is_bounded() {
        let lane = lane();
        lane.enter().await.ok().unwrap().worked();
        let until =
            lane.enter().await.ok().unwrap().failed(Some(Duration::from_secs(86_400))).unwrap();
        assert!(until <= Timestamp::now() + Duration::from_secs(601));
    }
}
