//! What the service manager hears of a run (sd_notify(3)): that it is ready, reloads or stops, how
//! it fares in one line, and that it moves. Where no manager listens, all of it is nothing.
//!
//! The watchdog is fed only while three things are shown, each anew: the runtime turns, since this
//! runs on it; the ledger's thread answers, so that what is delivered can be noted; and the loop
//! answers that hears of new files and starts them. None of them waits for a source, a server or a
//! customer: a folder that does not answer stops its own customer, who would be no better off after
//! a restart, and a server that hangs has time-outs of its own. A ledger that answers with an error,
//! as on a full disk, moves: it raises an alarm and goes on by itself. A machine that is only busy
//! is late, but feeds.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::sum::Sum;
use crate::ledger::{Alarm, Ledger};
use crate::worker::Worker;

/// How often the status line is renewed at most.
const PACE: Duration = Duration::from_secs(5);

/// What is told while a run goes on; it ends when this is dropped.
pub struct Told(Vec<JoinHandle<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Tells that the start is over, and from then on how the run fares. What was settled before does
/// not count.
pub async fn ready(
    ledger: &Ledger,
    worker: &Worker,
    stop: &CancellationToken,
) -> anyhow::Result<Told> {
    let mut told = Vec::new();
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        let before = Sum::of(&ledger.summary().await?);
        tell(&[NotifyState::Ready]);
        told.push(tokio::spawn(status(ledger.clone(), before, stop.clone())));
        if let Some(within) = sd_notify::watchdog_enabled() {
            told.push(tokio::spawn(feed(within, ledger.clone(), worker.clone())));
        }
    }
    Ok(Told(told))
}

/// Tells that the config is being read anew.
pub fn reloading() {
    // sd_notify(3), "RELOADING=1": the time is what tells it from an earlier one.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Tells that it has been.
pub fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// Tells that the run is to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("Stopping: what is in flight is finished")]);
}

fn tell(states: &[NotifyState]) {
    // The work does not hang on who listens.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("The service manager was not told {states:?}: {error}");
    }
}

async fn feed(within: Duration, ledger: Ledger, worker: Worker) {
    loop {
        let (_, ()) = tokio::join!(ledger.update(|_| ()), worker.turns());
        tell(&[NotifyState::Watchdog]);
        // Half is what sd_watchdog_enabled(3) recommends; the answers take their time, too.
        tokio::time::sleep(within / 3).await;
    }
}

async fn status(ledger: Ledger, before: Sum, stop: CancellationToken) {
    let mut last = String::new();
    while !stop.is_cancelled() {
        let alarms = ledger.change(|store| Ok(store.alarms.clone())).await;
        let line = match (ledger.summary().await, alarms) {
            (Ok(summary), Ok(alarms)) => line(&Sum::of(&summary), &before, &alarms),
            (Err(error), _) | (_, Err(error)) => format!("The ledger cannot be used: {error:#}"),
        };
        if line != last && !stop.is_cancelled() {
            tell(&[NotifyState::Status(&line)]);
            last = line;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// How the run fares, for `systemctl status`, which anybody may see.
fn line(sum: &Sum, before: &Sum, alarms: &[Alarm]) -> String {
    let records = &sum.records;
    let delivered = records.delivered.saturating_sub(before.records.delivered);
    let quarantined = records.quarantined.saturating_sub(before.records.quarantined);
    let mut line = format!(
        "{} files open with {} records; since the start {delivered} records delivered",
        sum.files.open,
        records.open()
    );
    if quarantined > 0 {
        line += &format!(", {quarantined} quarantined");
    }
    match alarms {
        [] => line += "; no alarms",
        [first, rest @ ..] => {
            line += &format!("; alarm: {}", first.kind.word());
            if !first.customer.is_empty() {
                line += &format!(" of {}", first.customer);
            }
            if !rest.is_empty() {
                line += &format!(" and {} more", rest.len());
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::ledger::{AlarmKind, FileCounts, Tally};
    use crate::model::Counts;

    fn sum(open: u64, pending: u64, delivered: u64, quarantined: u64) -> Sum {
        let tally = Tally {
            records: Counts { pending, delivered, quarantined, ..Counts::default() },
            files: FileCounts { open, ..FileCounts::default() },
        };
        Sum::of(&BTreeMap::from([("acme".to_owned(), tally)]))
    }

    fn alarm(customer: &str, kind: AlarmKind) -> Alarm {
        Alarm {
            since: Timestamp::UNIX_EPOCH,
            customer: customer.to_owned(),
            channel: None,
            source: None,
            kind,
            advice: "in /srv/acme".to_owned(),
        }
    }

    #[test]
    fn the_line_tells_what_is_open_what_was_done_and_the_first_alarm() {
        let before = sum(1, 50, 1000, 7);
        assert_eq!(
            line(&sum(0, 0, 1000, 7), &before, &[]),
            "0 files open with 0 records; since the start 0 records delivered; no alarms"
        );
        let alarms = [alarm("acme", AlarmKind::LoginRefused), alarm("", AlarmKind::Config)];
        assert_eq!(
            line(&sum(2, 30, 1120, 9), &before, &alarms),
            "2 files open with 30 records; since the start 120 records delivered, 2 quarantined; \
             alarm: login-refused of acme and 1 more"
        );
        assert!(line(&before, &before, &alarms[1..]).ends_with("; alarm: config"));
    }
}
