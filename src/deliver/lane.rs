//! Lane: the traffic on one channel. It lets messages through, one alone until the channel has
//! proved to work, and none while the channel is paused.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::retry;
use crate::config::Retry;

/// Failed attempts in a row that pause a channel which worked before.
const PATIENCE: u32 = 3;

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
    /// Failures in a row without a success.
    failures: u32,
    /// Refused messages in a row without a success.
    refusals: u32,
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

    /// Until when the lane is paused, if it is.
    pub fn paused_until(&self) -> Option<Timestamp> {
        match self.lock().light {
            Light::Paused(until) => Some(until),
            _ => None,
        }
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

    /// The channel took the message.
    pub fn worked(mut self) {
        self.told = true;
        self.lane.set(|state| *state = State { light: Light::Open, failures: 0, refusals: 0 });
    }

    /// The channel works but refused the message. Tells how many it refused in a row.
    pub fn refused(mut self) -> u32 {
        self.told = true;
        let mut refusals = 0;
        self.lane.set(|state| {
            state.failures = 0;
            state.refusals += 1;
            refusals = state.refusals;
            if matches!(state.light, Light::Probing) {
                state.light = Light::Open;
            }
        });
        refusals
    }

    /// The attempt failed for a passing reason. Tells until when the lane pauses for it, if it
    /// does: at once when it was a probe or the server asked for it, else after three in a row.
    pub fn failed(mut self, hold: Option<std::time::Duration>) -> Option<Timestamp> {
        self.told = true;
        let mut until = None;
        let (lane, probe) = (self.lane.clone(), self.probe);
        lane.set(|state| {
            state.failures += 1;
            if probe || hold.is_some() || state.failures >= PATIENCE {
                let wait = match hold {
                    Some(asked) => retry::hold(&lane.retry, asked),
                    None => retry::wait(&lane.retry, state.failures, 0.0),
                };
                until = Some(pause(state, wait));
            }
        });
        until
    }

    /// No record is to blame: the lane pauses. Tells until when.
    pub fn pause(mut self, at_least: Option<std::time::Duration>) -> Timestamp {
        self.told = true;
        let mut until = Timestamp::now();
        let lane = self.lane.clone();
        lane.set(|state| {
            state.failures += 1;
            let wait = retry::wait(&lane.retry, state.failures, 0.0);
            until = pause(state, at_least.map_or(wait, |least| least.max(wait)));
        });
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

/// Pauses for so long, never shortening a pause that stands.
fn pause(state: &mut State, wait: std::time::Duration) -> Timestamp {
    let wait = jiff::SignedDuration::try_from(wait).unwrap_or(jiff::SignedDuration::from_hours(24));
    let until = Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX);
    let until = match state.light {
        Light::Paused(standing) => standing.max(until),
        _ => until,
    };
    state.light = Light::Paused(until);
    until
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
