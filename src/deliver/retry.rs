//! Retry: how long to wait before the next attempt, and when to give up. Pure: no clock, no sleep.

use std::time::Duration;

use crate::config::Retry;

/// The wait after so many failed attempts (1 and up): doubling from `first` to `max`, shortened by
/// up to a fifth so that many do not come back at once. `chance` is anything from 0 to 1.
pub fn wait(retry: &Retry, attempts: u32, chance: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(30);
    let whole = retry.first.saturating_mul(1 << doublings).min(retry.max);
    whole.mul_f64(1.0 - 0.2 * chance.clamp(0.0, 1.0))
}

/// The wait that a server asked for, bounded by `max`: a mistaken header must not stop a channel
/// for a day.
pub fn hold(retry: &Retry, asked: Duration) -> Duration {
    asked.min(retry.max)
}

/// A number from 0 to 1 that differs between attempts but not between runs, from whatever names
/// the attempt.
pub fn chance(name: &[u8]) -> f64 {
    let hash = blake3::hash(name);
    let [a, b, ..] = *hash.as_bytes();
    f64::from(u16::from_be_bytes([a, b])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        Retry {
            first: Duration::from_secs(1),
            max: Duration::from_secs(300),
            give_up_after: Duration::from_secs(86_400),
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> =
            [1, 2, 3, 8, 9, 10, 400].map(|attempts| wait(&retry(), attempts, 0.0).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 128, 256, 300, 300]);
    }

    #[test]
    fn chance_shortens_a_wait_by_a_fifth_at_most() {
        assert_eq!(wait(&retry(), 4, 1.0), Duration::from_millis(6400));
        let chance = chance(b"anything");
        assert!((0.0..=1.0).contains(&chance));
    }

    #[test]
    fn a_server_is_obeyed_up_to_the_longest_wait() {
        assert_eq!(hold(&retry(), Duration::from_secs(20)), Duration::from_secs(20));
        assert_eq!(hold(&retry(), Duration::from_secs(4000)), Duration::from_secs(300));
    }
}
