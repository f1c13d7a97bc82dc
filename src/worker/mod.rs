//! Worker: many files. It starts what is open, looks into every source, gives each customer its
//! share of turns, and stops when it is told to.

mod assemble;
mod file;
mod lock;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use assemble::{assemble, load_mappings};
pub use lock::StateLock;

use self::file::OpenFile;
use crate::ledger::{Account, Alarm, AlarmKind, Ledger, Phase};
use crate::model::Problem;
use crate::pickup::{self, Watch};
use crate::pipeline::{Occasion, Parts};

/// Files of one customer that are worked on at once; those that only wait do not count.
const FILES_AT_ONCE: usize = 8;

/// How long a run that was told to stop waits for what is in flight.
pub const STOP_WITHIN: Duration = Duration::from_secs(30);

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
    /// Records that are not final, and files that could not be worked.
    pub left: u64,
    /// Whether an alarm stands that lasts until a person acts.
    pub person_needed: bool,
}

/// What the tasks of a run share.
struct Run {
    parts: Arc<Parts>,
    span: Span,
    stop: CancellationToken,
    turns: BTreeMap<String, Arc<Semaphore>>,
    wakes: BTreeMap<(String, String), Arc<Notify>>,
}

/// Works until the span is over or `stop` is cancelled; what is in flight then is finished.
pub async fn run(
    parts: Arc<Parts>,
    span: Span,
    stop: CancellationToken,
) -> anyhow::Result<Outcome> {
    let before = set_aside(&parts.ledger).await?;
    tell_broken_customers(&parts).await?;
    pickup::adopt(&parts.ledger, &parts.spool)
        .await
        .context("what lies in the spool cannot be adopted")?;

    let run = Arc::new(Run::new(parts, span, stop));
    let mut tasks = JoinSet::new();
    let mut watch = None;
    if span == Span::Forever {
        watch = run.watch(&mut tasks);
    }
    run.resume(&mut tasks).await?;
    for (customer, source) in run.wakes.keys() {
        tasks.spawn(source::serve(Arc::clone(&run), customer.clone(), source.clone()));
    }
    if span == Span::Forever {
        run.stop.cancelled().await;
    }
    let ended = async { while tasks.join_next().await.is_some() {} };
    tokio::pin!(ended);
    tokio::select! {
        () = &mut ended => {}
        () = async { run.stop.cancelled().await; tokio::time::sleep(STOP_WITHIN).await } => {
            tracing::warn!("Stopped with requests unanswered; they are sent again with the same key");
        }
    }
    drop(watch);
    run.outcome(before).await
}

impl Run {
    fn new(parts: Arc<Parts>, span: Span, stop: CancellationToken) -> Run {
        let mut turns = BTreeMap::new();
        let mut wakes = BTreeMap::new();
        for (id, customer) in &parts.config.customers {
            turns.insert(id.clone(), Arc::new(Semaphore::new(FILES_AT_ONCE)));
            for source in customer.sources.keys() {
                wakes.insert((id.clone(), source.clone()), Arc::default());
            }
        }
        Run { parts, span, stop, turns, wakes }
    }

    /// Starts the watcher; without one the regular looks do.
    fn watch(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> Option<Arc<Watch>> {
        let mut watch = match Watch::start() {
            Ok(watch) => watch,
            Err(error) => {
                tracing::warn!("No folder events, files are seen by regular looks: {error:#}");
                return None;
            }
        };
        let mut folders = BTreeMap::new();
        for key in self.wakes.keys() {
            let folder = &self.parts.config.customers[&key.0].sources[&key.1].path;
            match watch.add(folder) {
                Ok(()) => {
                    folders.insert(std::path::absolute(folder).ok()?, key.clone());
                }
                Err(error) => tracing::warn!("Files are seen by regular looks: {error:#}"),
            }
        }
        let watch = Arc::new(watch);
        let (run, woken) = (Arc::clone(self), Arc::clone(&watch));
        tasks.spawn(async move {
            loop {
                let wake = tokio::select! {
                    wake = woken.woken() => wake,
                    () = run.stop.cancelled() => return,
                };
                for (folder, key) in &folders {
                    if wake.all || wake.folders.contains(folder) {
                        run.wakes[key].notify_one();
                    }
                }
            }
        });
        Some(watch)
    }

    /// Goes on with the files that the last run left open, in the order of their arrival.
    async fn resume(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
        let open = self
            .parts
            .ledger
            .change(|store| {
                Ok(store
                    .files
                    .values()
                    .map(|(account, progress)| (account.clone(), progress.clone()))
                    .collect::<Vec<_>>())
            })
            .await?;
        let mut by_customer: BTreeMap<String, Vec<OpenFile>> = BTreeMap::new();
        for (account, progress) in open {
            let arrival = account.arrival;
            if account.phase == Phase::Claiming {
                // Its source goes on with the claim.
                continue;
            }
            let answered = |problem: &Problem| {
                problem.record == 0
                    || problem.record < account.mark
                    || progress.is_final(problem.record)
                    || progress
                        .waiting
                        .range(..=problem.record)
                        .next_back()
                        .is_some_and(|(_, waiting)| waiting.last >= problem.record)
            };
            // If it fails, problems may be told twice.
            if let Err(error) = self.parts.spool.retain_problems(arrival, answered) {
                file::raise_fault(self, &account.customer, &account.source, &error).await;
            }
            if !self.turns.contains_key(&account.customer) {
                self.tell_unconfigured(&account).await?;
                continue;
            }
            by_customer.entry(account.customer.clone()).or_default().push(OpenFile {
                arrival,
                customer: account.customer,
                source: account.source,
                name: account.name,
            });
        }
        for files in by_customer.into_values() {
            let run = Arc::clone(self);
            tasks.spawn(async move {
                let mut working = JoinSet::new();
                for file in files {
                    let Some(turns) = file::take_turns(&run, &file).await else { break };
                    working.spawn(file::work(Arc::clone(&run), file, turns, Occasion::Start));
                }
                while working.join_next().await.is_some() {}
            });
        }
        Ok(())
    }

    /// Raises an alarm for a customer that has open files but no config.
    async fn tell_unconfigured(&self, account: &Account) -> anyhow::Result<()> {
        if self.parts.config.broken.contains_key(&account.customer) {
            return Ok(());
        }
        let alarm = Alarm {
            since: Timestamp::now(),
            customer: account.customer.clone(),
            channel: None,
            source: None,
            kind: AlarmKind::Config,
            advice: format!(
                "{} and perhaps others are open, but this customer's config is not there",
                account.name
            ),
        };
        self.parts.ledger.change(move |store| Ok(store.raise(alarm))).await?;
        Ok(())
    }

    async fn outcome(&self, before: u64) -> anyhow::Result<Outcome> {
        let after = set_aside(&self.parts.ledger).await?;
        let (left, person_needed) = self
            .parts
            .ledger
            .change(|store| {
                let left = store.files.len() as u64;
                let person = store.alarms.iter().any(|alarm| alarm.kind.needs_a_person());
                Ok((left, person))
            })
            .await?;
        Ok(Outcome { newly_quarantined: after.saturating_sub(before), left, person_needed })
    }
}

async fn set_aside(ledger: &Ledger) -> anyhow::Result<u64> {
    let summary = ledger.summary().await?;
    Ok(summary.values().map(|tally| tally.records.quarantined + tally.files.quarantined).sum())
}

/// Raises an alarm for every broken customer. Alarms of earlier runs are cleared where nothing will
/// clear them: what is mended by now, and channels that are no longer there.
async fn tell_broken_customers(parts: &Parts) -> anyhow::Result<()> {
    let alarms: Vec<Alarm> = parts
        .config
        .broken
        .iter()
        .map(|(customer, faults)| Alarm {
            since: Timestamp::now(),
            customer: customer.clone(),
            channel: None,
            source: None,
            kind: AlarmKind::Config,
            advice: match faults.as_slice() {
                [] => "its config cannot be used".to_owned(),
                [fault] => fault.to_string(),
                [fault, rest @ ..] => {
                    format!("{fault} (and {} more: lighterman check)", rest.len())
                }
            },
        })
        .collect();
    for alarm in &alarms {
        tracing::error!(customer = %alarm.customer, "Customer left out: {}", alarm.advice);
    }
    let channels: BTreeSet<(String, String)> = parts.channels.keys().cloned().collect();
    parts
        .ledger
        .change(move |store| {
            store.clear(|held| match held.kind {
                AlarmKind::Config => !alarms.iter().any(|alarm| alarm.same(held)),
                // Whatever fails still raises its own again.
                AlarmKind::Disk => true,
                _ => !channels
                    .contains(&(held.customer.clone(), held.channel.clone().unwrap_or_default())),
            });
            for alarm in alarms {
                store.raise(alarm);
            }
            Ok(())
        })
        .await
}
