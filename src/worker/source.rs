//! One source in a run: looks into its folder, and claims of what is ready.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::file::{self, OpenFile, Working};
use super::folders::SourceKey;
use super::troubles::{clear_fault, raise_fault};
use super::{Run, Span};
use crate::config::{Folder, Source};
use crate::model::Arrival;
use crate::pickup::{self, Looks, Remembered, claim};
use crate::pipeline::Occasion;
use crate::spool::write_whole;

/// A run that is to end waits so long for files to become quiet.
const QUIET_AT_MOST: Duration = Duration::from_secs(30);

/// Starts every source of the config that does not look yet.
pub fn serve_all(run: &Arc<Run>) {
    for customer in run.parts.setup().customers() {
        for source in customer.sources.keys() {
            let key = (customer.id.clone(), source.clone());
            if let Some(wake) = run.folders.begin(&key) {
                run.tasks.spawn(serve(Arc::clone(run), key, wake));
            }
        }
    }
}

/// Looks and claims until the run is over or the config lacks the source.
async fn serve(run: Arc<Run>, key: SourceKey, wake: Arc<Notify>) {
    let (customer, name) = &key;
    let remembered = run.parts.spool.looks(customer, name);
    let mut looks = recall(&remembered);
    let mut resumed = false;
    let mut folder = None;
    let started = Instant::now();
    let mut faults = 0;
    while !run.stop.is_cancelled() {
        let Some(source) = settings(&run, &key) else {
            match run.folders.end_unless(&key, || settings(&run, &key).is_some()) {
                true => return,
                false => continue,
            }
        };
        if let Folder::Local(path) = &source.folder
            && folder.as_ref().is_none_or(|(looked_into, _)| looked_into != path)
        {
            let (run, key, path) = (Arc::clone(&run), key.clone(), path.clone());
            let look_into =
                tokio::task::spawn_blocking(move || (run.folders.look_into(&key, &path), path));
            folder = look_into.await.ok().map(|(regular, path)| (path, regular));
        }
        let regular = folder.as_ref().map_or(Duration::MAX, |(_, regular)| *regular);
        let next = match take(&run, customer, &source, &mut looks, &mut resumed).await {
            Ok(next) => {
                if std::mem::take(&mut faults) > 0 {
                    clear_fault(&run, customer, name, None).await;
                }
                next
            }
            Err(error) => {
                faults += 1;
                raise_fault(&run, customer, name, None, &error).await;
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
        let wait = next.map_or(regular, |next| next.min(regular));
        let woken = async {
            wake.notified().await;
            tokio::time::sleep_until(looks.not_before().into()).await;
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = woken => {}
            () = run.stop.cancelled() => break,
        }
    }
}

/// What today's config says of a source.
fn settings(run: &Run, (customer, source): &SourceKey) -> Option<Source> {
    let setup = run.parts.setup();
    setup.of(customer).config.customers.get(customer)?.sources.get(source).cloned()
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
    resumed: &mut bool,
) -> anyhow::Result<Option<Duration>> {
    let Folder::Local(folder) = &source.folder else { return Ok(None) };
    let parts = &run.parts;
    let mut trouble = None;
    if !std::mem::replace(resumed, true) {
        let known = run.working().clone();
        let left =
            pickup::resume(&parts.ledger, &parts.spool, customer, source, folder, &known).await;
        let (slips, arrivals, in_the_way) = left.inspect_err(|_| *resumed = false)?;
        *resumed = in_the_way.is_none();
        trouble = in_the_way;
        for (slip, arrival) in slips.into_iter().zip(arrivals) {
            let Some(turn) = file::wait_for_customer(run, customer).await else { return Ok(None) };
            start(run, open_file(customer, source, slip.name, arrival), turn);
        }
    }
    // A claim that cannot be gone on with does not keep others back.
    let taken = take_new(run, customer, source, folder, looks, resumed).await?;
    trouble.map_or(Ok(taken), Err)
}

/// Claims what is ready and new.
async fn take_new(
    run: &Arc<Run>,
    customer: &str,
    source: &Source,
    folder: &Path,
    looks: &mut Looks,
    resumed: &mut bool,
) -> anyhow::Result<Option<Duration>> {
    let parts = &run.parts;
    if !takes(run, customer, source) {
        return Ok(None);
    }
    let (ready, next) = {
        let (source, folder) = (source.clone(), folder.to_owned());
        let mut known = std::mem::take(looks);
        let look = move || {
            let began = Instant::now();
            let judged = pickup::list(&source, &folder).map(|listed| {
                let present = |name: &str| folder.join(name).exists();
                known.judge(&source.ready, listed, Instant::now(), present)
            });
            known.took(began, Instant::now());
            (known, judged)
        };
        let (known, judged) = tokio::task::spawn_blocking(look).await?;
        *looks = known;
        judged?
    };
    for candidate in ready {
        let Some(turn) = file::wait_for_customer(run, customer).await else { return Ok(None) };
        // Turns may be long in coming.
        if !takes(run, customer, source) {
            return Ok(None);
        }
        let setup = parts.setup();
        let config = &setup.of(customer).config;
        claim::check_free_disk(&config.state, source, config.limits.free_disk).await?;
        let claimed =
            pickup::claim(&parts.ledger, &parts.spool, customer, source, folder, &candidate)
                .await
                .inspect_err(|_| *resumed = false)?;
        if let Some(arrival) = claimed {
            let name = candidate.name;
            tracing::info!(customer = %customer, file.name = %name, "Claimed {name}");
            start(run, open_file(customer, source, name, arrival), turn);
        }
    }
    Ok(next)
}

/// Whether today's config has new files of the source claimed where they were looked for.
fn takes(run: &Run, customer: &str, source: &Source) -> bool {
    let setup = run.parts.setup();
    let customer = setup.of(customer).config.customers.get(customer);
    customer.is_some_and(|customer| {
        customer.active
            && customer.sources.get(&source.name).is_some_and(|today| today.folder == source.folder)
    })
}

fn start(run: &Arc<Run>, file: OpenFile, turn: OwnedSemaphorePermit) {
    let Some(working) = Working::begin(run, file.arrival) else { return };
    let turns = file::line_up(run, &file, turn);
    run.tasks.spawn(file::work(Arc::clone(run), file, working, turns, Occasion::Due));
}

fn open_file(customer: &str, source: &Source, name: String, arrival: Arrival) -> OpenFile {
    OpenFile { arrival, customer: customer.to_owned(), source: source.name.clone(), name }
}
