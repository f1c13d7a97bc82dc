//! One source in a run: looks into its folder, by folder events or by its schedule, and claims of
//! what is ready.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::file::{self, OpenFile, Working};
use super::folders::SourceKey;
use super::rhythm::Rhythm;
use super::troubles::{clear_fault, raise_fault};
use super::{Run, Span, partner};
use crate::config::{Folder, Source};
use crate::model::Arrival;
use crate::pickup::{self, Looks, Remembered, claim};
use crate::pipeline::Occasion;
use crate::schedule::Schedule;
use crate::sftp::alarm_of;
use crate::spool::write_whole;

/// A run that is to end waits so long for files to become quiet.
const QUIET_AT_MOST: Duration = Duration::from_secs(30);

/// What is due by the clock is not slept through for longer: a clock may be set, and a machine may
/// sleep.
const SLEEP_AT_MOST: Duration = Duration::from_secs(30);

/// Which files a look is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// None: it is not the time.
    Nothing,
    /// Those that were seen before and were not finished.
    Seen,
    /// All of them.
    All,
}

/// A partner's file that changed while it was fetched is looked at again after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// What came of a look.
#[derive(Default)]
pub struct Taken {
    /// When more may be.
    pub next: Option<Duration>,
    /// Whether some that was ready is to be looked at again.
    pub again: bool,
    /// What is wrong with single files; the others were taken. It waits for the next look.
    pub trouble: Option<anyhow::Error>,
}

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
    let mut rhythm = None;
    // Before the schedule's next time.
    let mut again = Look::Nothing;
    let started = Instant::now();
    let (mut not_before, mut follow_ups) = (started, 0);
    let (mut faults, mut told) = (0, false);
    while !run.stop.is_cancelled() {
        let Some(source) = settings(&run, &key) else {
            match run.folders.end_unless(&key, || settings(&run, &key).is_some()) {
                true => return,
                false => continue,
            }
        };
        if source.schedule.is_some() {
            if folder.take().is_some() {
                run.folders.look_nowhere(&key);
            }
        } else if let Folder::Local(path) = &source.folder
            && folder.as_ref().is_none_or(|(looked_into, _)| looked_into != path)
        {
            let (run, key, path) = (Arc::clone(&run), key.clone(), path.clone());
            let look_into =
                tokio::task::spawn_blocking(move || (run.folders.look_into(&key, &path), path));
            folder = look_into.await.ok().map(|(regular, path)| (path, regular));
        }
        let regular = folder.as_ref().map_or(Duration::MAX, |(_, regular)| *regular);
        let began = Timestamp::now();
        rhythm = source.schedule.as_ref().map(|schedule| match rhythm.take() {
            Some(rhythm) if Rhythm::is_of(&rhythm, schedule) => rhythm,
            _ => begin(&run, &key, schedule.clone(), began),
        });
        let is_due = rhythm.as_mut().is_none_or(|rhythm| rhythm.is_due(began));
        let look = match run.span {
            Span::Forever if !is_due && Instant::now() < not_before => Look::Nothing,
            Span::Forever if !is_due => again,
            _ => Look::All,
        };
        // A claim that cannot be gone on with does not keep others back.
        let gone_on = go_on(&run, customer, &source, &mut resumed).await;
        let taken = match look {
            Look::Nothing => Ok(Taken::default()),
            _ => take_new(&run, customer, &source, look, &mut looks, &mut resumed).await,
        };
        if look != Look::Nothing {
            again = note(&run, customer, &source, &taken, look, rhythm.as_mut(), began);
        }
        let mut pause = None;
        let mut is_left = false;
        let next = match gone_on.and(taken) {
            Ok(Taken { next, again, trouble }) => {
                let was_failing = std::mem::take(&mut faults) > 0;
                match trouble {
                    Some(trouble) => {
                        (is_left, told) = (true, true);
                        raise_fault(&run, customer, name, None, &trouble).await;
                    }
                    // A look for some files says nothing of the others.
                    None if was_failing || told && look == Look::All => {
                        told = false;
                        clear_fault(&run, customer, name, None).await;
                    }
                    None => {}
                }
                next.or(again.then_some(AGAIN))
            }
            Err(error) => {
                faults += 1;
                is_left = true;
                pause = Some(match alarm_of(&error) {
                    Some(_) => partner::after_refusal(faults, name),
                    None => {
                        raise_fault(&run, customer, name, None, &error).await;
                        file::after_fault(faults)
                    }
                });
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
                    if is_left {
                        run.unlooked.fetch_add(1, Ordering::Relaxed);
                    }
                    break;
                }
            }
        }
        let now = Timestamp::now();
        let due = rhythm.as_mut().and_then(|rhythm| rhythm.due(now));
        run.parts.sights.note(customer, name, |sight| sight.next_look = due);
        let most = match &rhythm {
            None => regular,
            Some(_) => until(due, now),
        };
        if look != Look::Nothing {
            follow_ups = if is_due { 0 } else { follow_ups + 1 };
            let distance = next.unwrap_or_default();
            // A file that never ends growing is no reason for a login every few seconds.
            let distance = match (&source.folder, run.span) {
                (Folder::Sftp(_), Span::Forever) => {
                    distance.saturating_mul(1 << follow_ups.min(20))
                }
                _ => distance,
            };
            not_before = Instant::now() + distance;
        }
        let awaited = next.is_some() || look == Look::Nothing && again != Look::Nothing;
        let next = awaited.then(|| not_before.saturating_duration_since(Instant::now()));
        // What is due is put off by a fault.
        let wait = pause.unwrap_or_else(|| next.map_or(most, |next| next.min(most)));
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

/// How long may be slept till something is due.
fn until(due: Option<Timestamp>, now: Timestamp) -> Duration {
    let until = due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
    until.map_or(SLEEP_AT_MOST, |until| until.min(SLEEP_AT_MOST))
}

/// Begins to keep a schedule.
fn begin(run: &Run, (customer, source): &SourceKey, schedule: Schedule, now: Timestamp) -> Rhythm {
    let memory = run.parts.spool.last_look(customer, source);
    let mut rhythm = Rhythm::begin(schedule, memory, now);
    if let Err(error) = rhythm.remember() {
        tracing::warn!(customer = %customer, "{error:#}");
    }
    rhythm
}

/// Notes what came of a look, and tells which look is to follow before the schedule's next time.
fn note(
    run: &Run,
    customer: &str,
    source: &Source,
    taken: &anyhow::Result<Taken>,
    look: Look,
    rhythm: Option<&mut Rhythm>,
    began: Timestamp,
) -> Look {
    let ended = Timestamp::now();
    run.parts.sights.note(customer, &source.name, |sight| match taken {
        Ok(_) if !takes(run, customer, source) => {}
        Ok(taken) => {
            let trouble = taken.trouble.as_ref().map(|trouble| format!("{trouble:#}"));
            (sight.last_look, sight.last_error) = (Some(ended), trouble);
        }
        Err(error) => sight.last_error = Some(format!("{error:#}")),
    });
    let Some(rhythm) = rhythm else { return Look::Nothing };
    let Ok(taken) = taken else { return Look::All };
    if look == Look::All {
        rhythm.looked(began, ended);
    }
    if taken.again {
        return Look::All;
    }
    if taken.next.is_some() {
        return Look::Seen;
    }
    if let Err(error) = rhythm.remember() {
        tracing::warn!(customer = %customer, "{error:#}");
    }
    Look::Nothing
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

/// Goes on with the claims that were broken off, if that was not done yet.
async fn go_on(
    run: &Arc<Run>,
    customer: &str,
    source: &Source,
    resumed: &mut bool,
) -> anyhow::Result<()> {
    let Folder::Local(folder) = &source.folder else { return Ok(()) };
    if std::mem::replace(resumed, true) {
        return Ok(());
    }
    let parts = &run.parts;
    let known = run.parts.wakes.arrivals();
    let left = pickup::resume(&parts.ledger, &parts.spool, customer, source, folder, &known).await;
    let (slips, arrivals, in_the_way) = left.inspect_err(|_| *resumed = false)?;
    *resumed = in_the_way.is_none();
    for (slip, arrival) in slips.into_iter().zip(arrivals) {
        let Some(turn) = file::wait_for_customer(run, customer).await else { break };
        start(run, open_file(customer, source, slip.name, arrival), turn);
    }
    in_the_way.map_or(Ok(()), Err)
}

/// One look: claims what is ready and new, and tells when more may be.
async fn take_new(
    run: &Arc<Run>,
    customer: &str,
    source: &Source,
    look: Look,
    looks: &mut Looks,
    resumed: &mut bool,
) -> anyhow::Result<Taken> {
    let folder = match &source.folder {
        Folder::Local(folder) => folder,
        Folder::Sftp(sftp) => {
            let seen = look == Look::Seen;
            return partner::poll(run, customer, source, sftp, seen, looks).await;
        }
    };
    let parts = &run.parts;
    if !takes(run, customer, source) {
        return Ok(Taken::default());
    }
    let (ready, next) = {
        let (source, folder) = (source.clone(), folder.to_owned());
        let mut known = std::mem::take(looks);
        let look = move || {
            let began = Instant::now();
            let judged = pickup::list(&source, &folder).map(|listed| {
                let listed = match look {
                    Look::Seen => known.seen(listed),
                    _ => listed,
                };
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
        let Some(turn) = file::wait_for_customer(run, customer).await else {
            return Ok(Taken::default());
        };
        // Turns may be long in coming.
        if !takes(run, customer, source) {
            return Ok(Taken::default());
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
    Ok(Taken { next, ..Taken::default() })
}

/// Whether today's config has new files of the source claimed where they were looked for.
pub fn takes(run: &Run, customer: &str, source: &Source) -> bool {
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
