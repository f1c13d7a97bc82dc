//! Pace: keeps a channel's requests so far apart that they are no more than its `rate` allows, over
//! all its files.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// So much later than planned a request may go without those behind it being put off: timers are
/// late by a millisecond or so, and a rate of thousands must be reached all the same.
const LATE: Duration = Duration::from_millis(10);

/// The pace of one channel.
pub struct Pace {
    /// From one request to the next.
    every: Duration,
    /// When the next is planned. Held while its one waits, so that all go in the order of coming.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// One request in such a time.
    pub fn new(every: Duration) -> Pace {
        Pace { every, next: Mutex::default() }
    }

    /// Waits until the next request may go. Who stops waiting costs the others nothing.
    pub async fn wait(&self) {
        let mut next = self.next.lock().await;
        if let Some(planned) = *next {
            tokio::time::sleep_until(planned).await;
        }
        *next = Some(following(*next, Instant::now(), self.every));
    }
}

/// When the request after this one is planned, which goes now.
fn following(planned: Option<Instant>, now: Instant, every: Duration) -> Instant {
    let on_time = planned.filter(|planned| now.saturating_duration_since(*planned) <= LATE);
    on_time.unwrap_or(now) + every
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const EVERY: Duration = Duration::from_millis(20);

    #[test]
    fn a_little_lateness_is_made_up_for_and_a_rest_is_not() {
        let begun = Instant::now();
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        assert_eq!(following(None, begun, EVERY), after(20));
        assert_eq!(following(Some(after(20)), after(20), EVERY), after(40));
        assert_eq!(following(Some(after(20)), after(22), EVERY), after(40));
        assert_eq!(following(Some(after(20)), after(500), EVERY), after(520));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_requests_at_fifty_a_second_take_two_seconds() {
        let (pace, begun) = (Pace::new(EVERY), Instant::now());
        for _ in 0..101 {
            pace.wait().await;
        }
        assert_eq!(begun.elapsed().as_millis(), 2000);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(pace.wait().now_or_never().is_some(), "after a rest the first goes at once");
        assert!(pace.wait().now_or_never().is_none(), "and the second does not");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_costs_the_others_nothing() {
        let (pace, begun) = (Pace::new(EVERY), Instant::now());
        pace.wait().await;
        for _ in 0..10 {
            assert!(pace.wait().now_or_never().is_none());
        }
        pace.wait().await;
        assert_eq!(begun.elapsed(), EVERY);
    }
}
