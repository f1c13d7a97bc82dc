//! Outbox: what was queued for the ERP is written as files in its own dialect, in the order of its
//! numbers. A crash at any place repeats a file at most, with the same numbers in it.

mod local;
mod remote;
mod render;
mod trouble;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub use self::trouble::after_discard;
use self::writer::Writer;
use crate::pipeline::{Parts, clear};

/// How many files are made and put in their places at once: each is held in memory. Of an outbox
/// whose place does not answer there is one besides.
const AT_ONCE: usize = 4;

/// When the outboxes are looked up again where that failed.
const AGAIN: Duration = Duration::from_secs(60);

/// The writers of all outboxes, each of which works by itself: none holds up another.
pub struct Writers {
    drain: CancellationToken,
    serves: JoinHandle<u64>,
}

/// What all writers share.
struct Common {
    parts: Arc<Parts>,
    making: Semaphore,
    /// Whatever is under way is ended.
    stop: CancellationToken,
    /// What is due is written, and then they end.
    drain: CancellationToken,
}

impl Writers {
    /// Starts a writer for each outbox, and for those that a reload adds. To be called before
    /// anything is queued in this run.
    pub async fn start(parts: &Arc<Parts>, stop: CancellationToken) -> anyhow::Result<Writers> {
        clear(parts).await?;
        let drain = CancellationToken::new();
        let common = Common {
            parts: Arc::clone(parts),
            making: Semaphore::new(AT_ONCE),
            stop,
            drain: drain.clone(),
        };
        Ok(Writers { drain, serves: tokio::spawn(serve(Arc::new(common))) })
    }

    /// Has what is due written, unless they were told to stop; tells in how many outboxes something
    /// is left that is due.
    pub async fn finish(self) -> u64 {
        self.drain.cancel();
        self.serves.await.unwrap_or_else(|error| {
            tracing::error!("What waits in the outboxes is written by the next run: {error}");
            1
        })
    }
}

async fn serve(common: Arc<Common>) -> u64 {
    let mut known: BTreeSet<(String, String)> = BTreeSet::new();
    let mut running = JoinSet::new();
    let mut again = common.parts.outboxes.again();
    loop {
        let found = outboxes(&common.parts).await;
        let is_known = found.is_ok();
        match found {
            Ok(outboxes) => {
                for (customer, outbox) in outboxes {
                    if known.insert((customer.clone(), outbox.clone())) {
                        running.spawn(Writer::new(&common, customer, outbox).run());
                    }
                }
            }
            Err(error) => tracing::error!("The outboxes wait: {error:#}"),
        }
        tokio::select! {
            changed = again.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(AGAIN), if !is_known => {}
            () = common.stop.cancelled() => break,
            () = common.drain.cancelled() => break,
        }
    }
    let left = running.join_all().await;
    left.into_iter().map(u64::from).sum()
}

/// The outboxes of the config, and those in which something waits. Alarms of others are over.
async fn outboxes(parts: &Parts) -> anyhow::Result<BTreeSet<(String, String)>> {
    let setup = parts.setup();
    let mut all: BTreeSet<(String, String)> = setup
        .customers()
        .flat_map(|customer| {
            customer.outboxes.keys().map(|outbox| (customer.id.clone(), outbox.clone()))
        })
        .collect();
    parts
        .ledger
        .change(move |store| {
            let waiting = store.outboxes.iter().filter(|(_, waits)| waits.waiting > 0);
            all.extend(waiting.map(|(key, _)| key.clone()));
            store.clear(|alarm| {
                alarm.is_of_outbox()
                    && !all.iter().any(|(customer, outbox)| trouble::is_of(alarm, customer, outbox))
            });
            Ok(all)
        })
        .await
}
