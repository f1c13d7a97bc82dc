//! Worker: many files. It starts what is open, looks into every source, gives each customer its
//! share of turns, takes a changed config in, and stops when it is told to.

mod assemble;
mod file;
mod folders;
mod lock;
mod open;
mod partner;
mod reload;
mod rhythm;
mod source;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use assemble::{assemble, load_mappings};
pub use lock::StateLock;

use self::folders::{Folders, SourceKey};
use crate::ledger::{Ledger, Store};
use crate::model::Arrival;
use crate::pickup;
use crate::pipeline::{Occasion, Parts};
use crate::sync;
use crate::tidy::tidy;

/// Files of one customer that are worked on at once; those that only wait do not count.
const FILES_AT_ONCE: usize = 8;

/// How long a run that was told to stop waits for what is in flight.
pub const STOP_WITHIN: Duration = Duration::from_secs(30);

/// How often what is no longer needed is removed.
const TIDY_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How long a run that is over waits for what is being removed.
const TIDY_WITHIN: Duration = Duration::from_secs(5);

/// How long to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Take what is ready, settle it, wait so long for what is deferred, stop.
    Once {
        /// How long deferred records are waited for.
        wait: Duration,
    },
    /// Until told to stop.
    Forever,
}

/// What a run leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records and files that were quarantined in this run.
    pub newly_quarantined: u64,
    /// Files that are not settled, or not put away at a partner's, and sources that could not be
    /// looked into.
    pub left: u64,
    /// Whether an alarm stands that lasts until a person acts.
    pub person_needed: bool,
}

/// A run that can be told of a changed config; clones share it.
#[derive(Clone)]
pub struct Worker(Arc<Run>);

/// What the tasks of a run share.
struct Run {
    parts: Arc<Parts>,
    span: Span,
    stop: CancellationToken,
    /// By customer.
    turns: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    folders: Folders,
    /// How many sources, and APIs, could not be looked into to the end by a run that is over.
    unlooked: AtomicU64,
    /// What could not be done, by customer and source: for which files, and the look itself.
    faults: Mutex<BTreeMap<SourceKey, BTreeSet<Option<Arrival>>>>,
    tasks: TaskTracker,
    /// Changes when everything that waits is to be tried, as after a reload.
    again: watch::Sender<()>,
    /// Asks the loop that hears of new files to turn, and tells when it has.
    turn: Notify,
    turned: Notify,
}

/// Works until the span is over or `stop` is cancelled; what is in flight then is finished.
pub async fn run(
    parts: Arc<Parts>,
    span: Span,
    stop: CancellationToken,
) -> anyhow::Result<Outcome> {
    Worker::start(parts, span, stop).await?.run().await
}

impl Worker {
    /// A run that has taken stock of the spool, and works on nothing yet. Before that no command may
    /// open a file: it would be taken for what a crash left.
    pub async fn start(
        parts: Arc<Parts>,
        span: Span,
        stop: CancellationToken,
    ) -> anyhow::Result<Worker> {
        pickup::adopt(&parts.ledger, &parts.spool)
            .await
            .context("what lies in the spool cannot be adopted")?;
        Ok(Worker(Arc::new(Run {
            parts,
            span,
            stop,
            turns: Mutex::default(),
            folders: Folders::new(span == Span::Forever),
            unlooked: AtomicU64::default(),
            faults: Mutex::default(),
            tasks: TaskTracker::new(),
            again: watch::Sender::default(),
            turn: Notify::new(),
            turned: Notify::new(),
        })))
    }

    /// Waits until the loop that hears of new files and starts them has turned once more.
    pub async fn turns(&self) {
        let turned = self.0.turned.notified();
        self.0.turn.notify_one();
        turned.await;
    }

    /// What a run leaves behind, with what is left in so many outboxes.
    pub async fn outcome_with(&self, outcome: Outcome, unwritten: u64) -> anyhow::Result<Outcome> {
        let person_needed = self.0.parts.ledger.change(|store| Ok(person_needed(store))).await?;
        Ok(Outcome { left: outcome.left + unwritten, person_needed, ..outcome })
    }

    /// Works until the span is over or the run is told to stop; what is in flight then is
    /// finished.
    pub async fn run(&self) -> anyhow::Result<Outcome> {
        let run = &self.0;
        let before = set_aside(&run.parts.ledger).await?;
        troubles::tell_broken_customers(&run.parts).await?;
        open::resume(run, Occasion::Start).await?;
        source::serve_all(run);
        run.tasks.spawn(Arc::clone(run).catch_up());
        let listens = tokio::spawn(Arc::clone(run).listen());
        let mut tidies = tokio::spawn(Arc::clone(run).tidy());
        if run.span == Span::Forever {
            run.stop.cancelled().await;
        }
        run.tasks.close();
        tokio::select! {
            () = run.tasks.wait() => {}
            () = async { run.stop.cancelled().await; tokio::time::sleep(STOP_WITHIN).await } => {
                tracing::warn!(
                    "Stopped while something was still under way; the next run goes on with it, and \
                     requests without an answer are sent again with the same key"
                );
            }
        }
        listens.abort();
        if run.span != Span::Forever
            && let Ok(done) = tokio::time::timeout(TIDY_WITHIN, &mut tidies).await
        {
            done?;
        }
        // A folder that does not answer holds up no end: the next run tidies on.
        tidies.abort();
        run.outcome(before).await
    }
}

impl Run {
    /// Passes folder events on to the sources, and starts files that were opened by others.
    async fn listen(self: Arc<Run>) {
        loop {
            tokio::select! {
                () = self.folders.wake_by_events() => {}
                () = self.turn.notified() => self.turned.notify_waiters(),
                () = self.parts.opened.notified() => {
                    if let Err(error) = open::resume(&self, Occasion::Due).await {
                        tracing::error!("Files that were opened wait for the next run: {error:#}");
                    }
                }
            }
        }
    }

    /// Works on what the port's APIs told while no run was there.
    async fn catch_up(self: Arc<Run>) {
        if self.span == Span::Forever {
            return sync::catch_up(Arc::clone(&self.parts), self.stop.clone()).await;
        }
        match sync::catch_up_once(&self.parts, &self.stop).await {
            Ok(left) => {
                self.unlooked.fetch_add(left, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::error!("What the port told waits for the next run: {error:#}");
                self.unlooked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Removes what is no longer needed: at the start, and once a day.
    async fn tidy(self: Arc<Run>) {
        loop {
            let setup = self.parts.setup();
            let mappings = setup
                .mappings
                .values()
                .chain(setup.kept.values().flat_map(|kept| kept.mappings.values()));
            let mappings = mappings.map(|pinnable| pinnable.hash.clone()).collect();
            let (ledger, spool) = (&self.parts.ledger, &self.parts.spool);
            let now = jiff::Timestamp::now();
            match tidy(ledger, spool, &setup.config, &mappings, now).await {
                Ok(tidied) => tracing::debug!("Tidied: {tidied:?}"),
                Err(error) => tracing::warn!("What is old is not cleared: {error:#}"),
            }
            drop(setup);
            if self.span != Span::Forever {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(TIDY_EVERY) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// A customer's turns.
    fn turns(&self, customer: &str) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Semaphore::new(FILES_AT_ONCE));
        Arc::clone(turns.entry(customer.to_owned()).or_insert_with(made))
    }

    fn faults(&self) -> MutexGuard<'_, BTreeMap<SourceKey, BTreeSet<Option<Arrival>>>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn outcome(&self, before: u64) -> anyhow::Result<Outcome> {
        let after = set_aside(&self.parts.ledger).await?;
        let (left, person_needed) = self
            .parts
            .ledger
            .change(|store| {
                let left = store.files.len() as u64 + store.fetched_count()?;
                Ok((left, person_needed(store)))
            })
            .await?;
        let left = left + self.unlooked.load(Ordering::Relaxed);
        Ok(Outcome { newly_quarantined: after.saturating_sub(before), left, person_needed })
    }
}

fn person_needed(store: &Store) -> bool {
    store.alarms.iter().any(|alarm| alarm.kind.needs_a_person())
}

async fn set_aside(ledger: &Ledger) -> anyhow::Result<u64> {
    let summary = ledger.summary().await?;
    Ok(summary.values().map(|tally| tally.records.quarantined + tally.files.quarantined).sum())
}
