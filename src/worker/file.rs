//! The life of one open file in a run: passes, and the waits between them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use super::{Run, Span};
use crate::ledger::{Alarm, AlarmKind};
use crate::model::Arrival;
use crate::pipeline::{self, Left, Occasion};

/// How long to wait after the worker itself could not do its work, as on a full disk.
const AFTER_FAULT: Duration = Duration::from_secs(30);

/// Works a file until it is settled or the run is over. `turn` is the customer's turn that a claim
/// has taken already.
pub async fn work(
    run: Arc<Run>,
    customer: String,
    arrival: Arrival,
    mut turn: Option<OwnedSemaphorePermit>,
    mut occasion: Occasion,
) {
    let mut until = None;
    let mut faulty = false;
    loop {
        let taken = match turn.take() {
            Some(turn) => Some(turn),
            None => tokio::select! {
                turn = Arc::clone(&run.turns[&customer]).acquire_owned() => turn.ok(),
                () = run.stop.cancelled() => return,
            },
        };
        let left = pipeline::advance(&run.parts, arrival, occasion, &run.stop).await;
        drop(taken);
        occasion = Occasion::Due;
        let due = match left {
            Ok(Left::Settled) => {
                if faulty {
                    clear_fault(&run, &customer).await;
                }
                return;
            }
            Ok(Left::Waiting(due)) => {
                if std::mem::take(&mut faulty) {
                    clear_fault(&run, &customer).await;
                }
                due
            }
            Err(error) => {
                faulty = true;
                raise_fault(&run, &customer, &error).await;
                Some(crate::deliver::after(Timestamp::now(), AFTER_FAULT))
            }
        };
        let Some(due) = due else { return };
        if let Span::Once { wait } = run.span {
            let until = *until.get_or_insert_with(|| crate::deliver::after(Timestamp::now(), wait));
            if due > until || wait.is_zero() {
                return;
            }
        }
        let pause = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = run.stop.cancelled() => return,
        }
    }
}

/// Tells that the worker could not do its work for a customer; it is tried again by itself.
pub async fn raise_fault(run: &Run, customer: &str, error: &anyhow::Error) {
    tracing::error!(customer = %customer, "{error:#}");
    let alarm = Alarm {
        since: Timestamp::now(),
        customer: customer.to_owned(),
        channel: None,
        kind: AlarmKind::Disk,
        advice: format!("{error:#}"),
    };
    if let Err(error) = run.parts.ledger.change(move |store| Ok(store.raise(alarm))).await {
        tracing::error!("The alarm cannot be noted: {error:#}");
    }
}

/// Takes such an alarm back.
pub async fn clear_fault(run: &Run, customer: &str) {
    let customer = customer.to_owned();
    let cleared = run
        .parts
        .ledger
        .change(move |store| {
            Ok(store.clear(|alarm| alarm.kind == AlarmKind::Disk && alarm.customer == customer))
        })
        .await;
    if let Err(error) = cleared {
        tracing::error!("The alarm cannot be cleared: {error:#}");
    }
}
