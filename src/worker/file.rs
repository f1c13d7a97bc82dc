//! The life of one open file in a run: passes, and the waits between them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::troubles::{clear_fault, raise_fault, tell_missing};
use super::{Run, Span};
use crate::ledger::Ledger;
use crate::model::Arrival;
use crate::pipeline::{self, Bell, Left, Occasion, Places};

/// How long to wait after the worker itself could not do its work, as on a full disk: soon at first,
/// then ever longer.
pub fn after_fault(faults: u32) -> Duration {
    const MOST: Duration = Duration::from_secs(30);
    Duration::from_millis(250).saturating_mul(1 << faults.min(10)).min(MOST)
}

/// A file and where it comes from.
#[derive(Clone, Debug)]
pub struct OpenFile {
    pub arrival: Arrival,
    pub customer: String,
    pub source: String,
    pub name: String,
}

/// The right to work on a file: one of its customer's turns, and its place among the files of its
/// channel. The turn comes first, or files without one could stand before those that hold it.
pub struct Turns {
    _customer: OwnedSemaphorePermit,
    places: Option<Places>,
}

/// The word that a task of this run has the file in hand; no other takes it meanwhile.
pub struct Working {
    run: Arc<Run>,
    arrival: Arrival,
    bell: Arc<Bell>,
}

impl Working {
    /// Takes a file in hand; none if another task has it.
    pub fn begin(run: &Arc<Run>, arrival: Arrival) -> Option<Working> {
        let bell = run.parts.wakes.begin(arrival)?;
        Some(Working { run: Arc::clone(run), arrival, bell })
    }

    async fn heed(&self) -> anyhow::Result<bool> {
        heed(&self.run.parts.ledger, self.arrival, &self.bell).await
    }
}

/// Makes due what waits for the releases that a file was told of; tells whether anything of it is
/// due.
async fn heed(ledger: &Ledger, arrival: Arrival, bell: &Bell) -> anyhow::Result<bool> {
    let (is_due, releases) = (bell.take_due(), bell.take());
    if releases.is_empty() {
        return Ok(is_due);
    }
    // What it was told of releases is told once: something else that is due does not end it.
    let woken = ledger.change(move |store| Ok(store.wake(arrival, &releases))).await;
    Ok(is_due || woken?)
}

impl Drop for Working {
    fn drop(&mut self) {
        self.run.parts.wakes.end(self.arrival);
    }
}

/// Waits for a turn; none if the run is over first.
pub async fn take_turns(run: &Run, file: &OpenFile) -> Option<Turns> {
    let customer = wait_for_customer(run, &file.customer).await?;
    Some(line_up(run, file, customer))
}

/// Waits for one of a customer's turns; none if the run is over first.
pub async fn wait_for_customer(run: &Run, customer: &str) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        turn = run.turns(customer).acquire_owned() => turn.ok(),
        () = run.stop.cancelled() => None,
    }
}

/// Takes the file's place among those of its channel.
pub fn line_up(run: &Run, file: &OpenFile, customer: OwnedSemaphorePermit) -> Turns {
    let places = run.parts.line_up(&file.customer, &file.source, &file.name);
    Turns { _customer: customer, places: Some(places) }
}

/// Works a file until it is settled or the run is over. Then all is written that can be told of it.
pub async fn work(
    run: Arc<Run>,
    file: OpenFile,
    working: Working,
    turns: Turns,
    occasion: Occasion,
) {
    work_on(&run, &file, &working, turns, occasion).await;
    if let Err(error) = pipeline::write_left(&run.parts, file.arrival).await {
        raise_fault(&run, &file.customer, &file.source, Some(file.arrival), &error).await;
    }
}

async fn work_on(
    run: &Arc<Run>,
    file: &OpenFile,
    working: &Working,
    turns: Turns,
    mut occasion: Occasion,
) {
    let customer = file.customer.clone();
    let mut again = run.again.subscribe();
    let mut turns = Some(turns);
    let mut until = None;
    let mut faults = 0;
    loop {
        let taken = match turns.take() {
            Some(turns) => Some(turns),
            None => take_turns(run, file).await,
        };
        let Some(mut taken) = taken else { return };
        let places = taken.places.take();
        // What cannot begin before the end of the wait is left as it is.
        let halt = run.stop.child_token();
        let _end = until.map(|until| halt_at(&halt, until));
        let left = pipeline::advance(&run.parts, file.arrival, occasion, places, &halt).await;
        drop(taken);
        occasion = match left {
            Ok(_) => Occasion::Due,
            Err(_) => Occasion::AfterFault,
        };
        if left.is_ok() && std::mem::take(&mut faults) > 0 {
            clear_fault(run, &customer, &file.source, Some(file.arrival)).await;
        }
        let due = match left {
            Ok(Left::Settled) => return,
            Ok(Left::Halves) if halt.is_cancelled() => return,
            Ok(Left::Halves) => continue,
            Ok(Left::Waiting(due)) => due,
            Ok(Left::Missing(missing)) => {
                tell_missing(run, file, missing).await;
                None
            }
            Err(error) => {
                faults += 1;
                raise_fault(run, &customer, &file.source, Some(file.arrival), &error).await;
                Some(crate::deliver::after(Timestamp::now(), after_fault(faults)))
            }
        };
        if let Span::Once { wait } = run.span {
            let now = Timestamp::now();
            let until = *until.get_or_insert_with(|| crate::deliver::after(now, wait));
            let is_over = wait.is_zero() || now > until || halt.is_cancelled();
            if is_over || due.is_none_or(|due| due > until) {
                return;
            }
        }
        let pause = async || match due {
            Some(due) => {
                let pause = due.duration_since(Timestamp::now());
                tokio::time::sleep(Duration::try_from(pause).unwrap_or_default()).await;
            }
            None => std::future::pending().await,
        };
        let woken = async || loop {
            working.bell.rung().await;
            // If it cannot be noted, what waits is tried when it is due.
            if working.heed().await.unwrap_or(false) {
                break;
            }
        };
        tokio::select! {
            () = pause() => {}
            () = woken() => {}
            Ok(()) = again.changed() => occasion = Occasion::Start,
            () = run.stop.cancelled() => return,
        }
    }
}

/// Has nothing more sent from then on, as long as what is given back is there.
fn halt_at(halt: &CancellationToken, until: Timestamp) -> AbortOnDropHandle<()> {
    let (halt, left) = (halt.clone(), until.duration_since(Timestamp::now()));
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
        halt.cancel();
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Account, Change, Phase, Wait, Waiting};
    use crate::pipeline::Wakes;

    #[tokio::test]
    async fn what_waits_for_a_release_is_woken_though_something_else_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        let now = Timestamp::now();
        let account = move |arrival| Account {
            arrival,
            customer: "acme".to_owned(),
            source: "erp".to_owned(),
            name: "R.csv".to_owned(),
            picked_up: now,
            phase: Phase::Open,
            pinned: None,
            mark: 1,
            messages: 0,
            held_until: None,
            answered: None,
            results: None,
            again: None,
        };
        let waiting = Waiting {
            first: 1,
            last: 1,
            wait: Wait::Time,
            due: crate::deliver::after(now, Duration::from_secs(3600)),
            attempts: 1,
            since: now,
            last_attempt: now,
            answered: false,
            spent: 0,
            reason: String::new(),
            address: None,
            release: Some("0xa".to_owned()),
            holds: None,
            unknown: false,
            named: false,
            found: None,
            taken: false,
        };
        let arrival = ledger
            .change(move |store| {
                let arrival = store.next_arrival();
                store.set_account(account(arrival));
                store.change(arrival, vec![Change::Wait(waiting)])?;
                Ok(arrival)
            })
            .await
            .unwrap();
        let wakes = Wakes::default();
        let bell = wakes.begin(arrival).unwrap();
        wakes.ring_due(arrival);
        wakes.ring(arrival, &["0xa".to_owned()]);
        assert!(heed(&ledger, arrival, &bell).await.unwrap());
        let due = ledger.change(move |store| Ok(store.files[&arrival].1.waiting[&1].due));
        assert!(due.await.unwrap() <= Timestamp::now());
        assert!(!heed(&ledger, arrival, &bell).await.unwrap(), "told once");
    }
}
