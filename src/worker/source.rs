//! One source in a run: looks into its folder, and claims of what is ready.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::file::{self, OpenFile};
use super::{Run, Span};
use crate::config::Source;
use crate::model::Arrival;
use crate::pickup::{self, Looks, Remembered, claim};
use crate::pipeline::Occasion;
use crate::spool::write_whole;

/// A look is taken so often even if no event told of a file.
const REGULAR: Duration = Duration::from_secs(30);

/// A run that is to end waits so long for files to become quiet.
const QUIET_AT_MOST: Duration = Duration::from_secs(30);

/// Looks and claims until the run is over, then waits for the files it claimed.
pub async fn serve(run: Arc<Run>, customer: String, source: String) {
    let settings = run.parts.config.customers[&customer].sources[&source].clone();
    let wake = Arc::clone(&run.wakes[&(customer.clone(), source)]);
    let remembered = run.parts.spool.looks(&customer, &settings.name);
    let mut looks = recall(&remembered);
    let mut taken = Taken::default();
    let started = Instant::now();
    let mut faults = 0;
    while !run.stop.is_cancelled() {
        let next = match take(&run, &customer, &settings, &mut looks, &mut taken).await {
            Ok(next) => {
                if std::mem::take(&mut faults) > 0 {
                    file::clear_fault(&run, &customer, &settings.name).await;
                }
                next
            }
            Err(error) => {
                faults += 1;
                file::raise_fault(&run, &customer, &settings.name, &error).await;
                None
            }
        };
        if run.span != Span::Forever {
            match next {
                Some(next) if started.elapsed() + next <= QUIET_AT_MOST => {}
                _ => {
                    if let Err(error) = remember(&looks, &remembered) {
                        tracing::warn!(customer = %customer, "{error:#}");
                    }
                    break;
                }
            }
        }
        let next = if faults > 0 { Some(file::after_fault(faults)) } else { next };
        let wait = next.map_or(REGULAR, |next| next.min(REGULAR));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = wake.notified() => {}
            () = run.stop.cancelled() => break,
        }
        while taken.files.try_join_next().is_some() {}
    }
    while taken.files.join_next().await.is_some() {}
}

/// The files that a source has handed over in this run.
#[derive(Default)]
struct Taken {
    files: JoinSet<()>,
    arrivals: BTreeSet<Arrival>,
    /// Whether claims were gone on with that an earlier run or an error broke off.
    resumed: bool,
}

impl Taken {
    fn start(&mut self, run: &Arc<Run>, file: OpenFile, turn: OwnedSemaphorePermit) {
        self.arrivals.insert(file.arrival);
        let turns = file::line_up(run, &file, turn);
        self.files.spawn(file::work(Arc::clone(run), file, turns, Occasion::Due));
    }
}

/// The looks that an earlier run left, if it left any that can be read.
fn recall(path: &Path) -> Looks {
    let left = || -> Option<(Remembered, Duration)> {
        let ago = std::fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()?;
        Some((serde_json::from_slice(&std::fs::read(path).ok()?).ok()?, ago))
    };
    left().map_or_else(Looks::default, |(looks, ago)| Looks::recall(looks, ago, Instant::now()))
}

/// Leaves the looks at files that are not finished to the next run.
fn remember(looks: &Looks, path: &Path) -> anyhow::Result<()> {
    let remembered = looks.remember(Instant::now());
    if remembered.is_empty() {
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        };
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    write_whole(path, &serde_json::to_vec(&remembered)?, 0o600)
}

/// One look: claims what is ready, and tells when more may be.
async fn take(
    run: &Arc<Run>,
    customer: &str,
    source: &Source,
    looks: &mut Looks,
    taken: &mut Taken,
) -> anyhow::Result<Option<Duration>> {
    let parts = &run.parts;
    if !std::mem::replace(&mut taken.resumed, true) {
        let resumed =
            pickup::resume(&parts.ledger, &parts.spool, customer, source, &taken.arrivals).await;
        let (slips, arrivals, trouble) = resumed.inspect_err(|_| taken.resumed = false)?;
        for (slip, arrival) in slips.into_iter().zip(arrivals) {
            let Some(turn) = file::wait_for_customer(run, customer).await else { return Ok(None) };
            taken.start(run, open_file(customer, source, slip.name, arrival), turn);
        }
        if let Some(trouble) = trouble {
            taken.resumed = false;
            return Err(trouble);
        }
    }
    if !parts.config.customers[customer].active {
        return Ok(None);
    }
    let listed = {
        let source = source.clone();
        tokio::task::spawn_blocking(move || pickup::list(&source)).await??
    };
    let folder = source.path.clone();
    let present = move |name: &str| folder.join(name).exists();
    let (ready, next) = looks.judge(&source.ready, listed, Instant::now(), present);
    for candidate in ready {
        let Some(turn) = file::wait_for_customer(run, customer).await else { return Ok(None) };
        claim::check_free_disk(&parts.config.state, parts.config.limits.free_disk)?;
        let claimed = pickup::claim(&parts.ledger, &parts.spool, customer, source, &candidate)
            .await
            .inspect_err(|_| taken.resumed = false)?;
        if let Some(arrival) = claimed {
            let name = candidate.name;
            tracing::info!(customer = %customer, file.name = %name, "Claimed {name}");
            taken.start(run, open_file(customer, source, name, arrival), turn);
        }
    }
    Ok(next)
}

fn open_file(customer: &str, source: &Source, name: String, arrival: Arrival) -> OpenFile {
    OpenFile { arrival, customer: customer.to_owned(), source: source.name.clone(), name }
}
