//! Again: opens a file that works records once more: set aside ones, a file that was set aside
//! whole, or delivered ones that the receiver lost.
//!
//! Its data are an excerpt of the original, so that reading, mapping and cutting are those of any
//! file; its origin tells the records' own numbers, lines and age. Nothing counts before the one
//! commit that opens it: what a crash leaves in the spool before is removed by the next run.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use jiff::Timestamp;
use tokio::sync::Notify;

use super::Pinnable;
use super::begin::{keep, pinned};
use crate::config::{Config, Customer, Route};
use crate::disk;
use crate::inspect::{Inspection, inspect};
use crate::ledger::{Account, Again, How, Ledger, Ordinals, Phase, WHOLE};
use crate::model::{Arrival, Identity, Origin, Problem, Record};
use crate::pickup::claim::free_disk;
use crate::read::{Dialect, Reader, excerpt};
use crate::settle::Kept;
use crate::spool::{Slip, Spool, write_whole};

/// Where files are opened again, and by which config.
#[derive(Clone)]
pub struct Desk {
    /// The ledger.
    pub ledger: Ledger,
    /// The spool.
    pub spool: Spool,
    /// Today's config.
    pub config: Arc<Config>,
    /// Tells a run that a file was opened.
    pub opened: Arc<Notify>,
}

/// The way that records take today.
#[derive(Clone)]
pub struct Way {
    /// Their customer.
    pub customer: Customer,
    /// Their route.
    pub route: Route,
    /// The route's mapping with its tables, as they lie on disk now.
    pub pinnable: Arc<Pinnable>,
}

/// Whose records are worked again.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The customer's id.
    pub customer: String,
    /// The source's name.
    pub source: String,
    /// The file's name.
    pub name: String,
    /// BLAKE3 of its bytes.
    pub identity: Identity,
    /// Its pick-up.
    pub of: Arrival,
    /// The pick-up that its records' age is counted from.
    pub age: Arrival,
}

/// Works records that are set aside of a settled file once more. Tells the number of the new round.
pub async fn retry(
    desk: &Desk,
    way: Way,
    kept: &Kept,
    dialect: Dialect,
    records: &[(u64, u64)],
) -> anyhow::Result<Account> {
    if kept.stock.changed {
        bail!(
            "{} was written to while it was worked: which record is which is not sure; correct its \
             rejects and drop them again",
            kept.account.name
        );
    }
    verify(desk, kept).await?;
    let whose = whose(kept);
    let mut wanted = Ordinals::default();
    records.iter().for_each(|(first, last)| {
        wanted.insert(*first, *last);
    });
    let lines: std::collections::BTreeMap<u64, u64> =
        kept.problems.iter().map(|problem| (problem.record, problem.line)).collect();
    let mut ordinals = Origin::new(whose.identity, whose.of, whose.age);
    for (first, last) in &kept.stock.ordinals {
        (*first..=*last).for_each(|ordinal| ordinals.push(ordinal, 0, 0));
    }
    let taken = Taken {
        data: kept.data(&desk.spool),
        dialect,
        total: kept.stock.ordinals.iter().map(|(first, last)| last + 1 - first).sum(),
        wanted,
        place: Box::new(move |here, _| {
            let ordinal = ordinals.ordinal(here);
            (ordinal, lines.get(&ordinal).copied().unwrap_or(0))
        }),
    };
    open(desk, way, account(&whose, How::Retry, 0), whose, taken, records).await
}

/// Sends records of a file once more that were delivered; `archived` is the file as it came, with
/// `total` records. They were chosen when the file had been worked again `generation` times.
pub async fn resend(
    desk: &Desk,
    way: Way,
    whose: Whose,
    archived: PathBuf,
    total: u64,
    generation: u32,
    records: &[(u64, u64)],
) -> anyhow::Result<Account> {
    let mut wanted = Ordinals::default();
    records.iter().for_each(|(first, last)| {
        wanted.insert(*first, *last);
    });
    let dialect = way.pinnable.mapping.dialect.clone();
    let place = Box::new(|here, line| (here, line));
    let taken = Taken { data: archived, dialect, total, wanted, place };
    open(desk, way, account(&whose, How::Resend, generation), whose, taken, records).await
}

/// Begins a file anew that was set aside whole.
pub async fn restart(desk: &Desk, kept: &Kept) -> anyhow::Result<Account> {
    verify(desk, kept).await?;
    let whose = whose(kept);
    let arrival = desk.ledger.change(|store| Ok(store.next_arrival())).await?;
    let account = Account { arrival, ..account(&whose, How::Whole, 0) };
    let (spool, from, slip) = (desk.spool.clone(), kept.data(&desk.spool), slip(&account));
    let origin = Origin::new(whose.identity, whose.of, whose.age);
    let copied = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        mark(&spool, arrival, &slip, &origin)?;
        write(&spool.data(arrival), |out| {
            io::copy(&mut File::open(&from)?, out)?;
            Ok(())
        })
    });
    match copied.await? {
        Ok(()) => commit(desk, account, vec![(WHOLE, WHOLE)]).await,
        Err(error) => {
            desk.spool.remove(arrival)?;
            Err(error)
        }
    }
}

/// Where the records of a file come from that is worked again; none for a file that is new.
pub fn origin(spool: &Spool, account: &Account) -> anyhow::Result<Option<Arc<Origin>>> {
    let Some(again) = account.again else { return Ok(None) };
    if again.how == How::Whole {
        let identity = account.pinned.as_ref().map(|pinned| pinned.identity);
        return Ok(identity
            .map(|identity| Arc::new(Origin::of_whole(identity, account.arrival, again.age))));
    }
    let path = spool.origin(account.arrival);
    let bytes =
        std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let origin =
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
    Ok(Some(Arc::new(origin)))
}

/// Problems are told by the records' own numbers and lines.
pub fn by_origin(origin: &Origin, problems: &mut [Problem]) {
    for problem in problems.iter_mut().filter(|problem| problem.record > 0) {
        problem.line = origin.line(problem.record, problem.line);
        problem.record = origin.ordinal(problem.record);
    }
}

/// Removes what quarantine keeps of files of which nothing is set aside any more.
pub async fn tidy(ledger: &Ledger, spool: &Spool, kept: Vec<Arrival>) -> anyhow::Result<()> {
    // Listed before the question is asked: what is kept after it is no part of the answer.
    let mut rounds = std::collections::BTreeMap::new();
    for arrival in &kept {
        rounds.insert(*arrival, spool.quarantined_rounds(*arrival)?);
    }
    let empty = ledger
        .change(move |store| {
            let mut empty = Vec::new();
            for arrival in kept {
                // What is worked again may return.
                let open = store.files.contains_key(&arrival)
                    || store.files.values().any(|(file, _)| file.excerpt_of() == Some(arrival));
                if !open && store.left_quarantined(arrival)?.is_empty() {
                    empty.push(arrival);
                }
            }
            Ok(empty)
        })
        .await?;
    for arrival in empty {
        let folder = spool.quarantined(arrival);
        let cannot = || format!("{} cannot be removed", folder.display());
        for round in rounds.remove(&arrival).unwrap_or_default() {
            disk::remove_folder(&round).with_context(cannot)?;
        }
        match std::fs::remove_dir(&folder) {
            Err(error)
                if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) => {}
            removed => removed.with_context(cannot)?,
        }
    }
    Ok(())
}

/// The records that an excerpt takes, and where from.
struct Taken {
    data: PathBuf,
    dialect: Dialect,
    /// How many records there are in `data`.
    total: u64,
    /// By the original's ordinals.
    wanted: Ordinals,
    /// From number and line of a record in `data` to those in the original.
    place: Box<dyn Fn(u64, u64) -> (u64, u64) + Send>,
}

async fn open(
    desk: &Desk,
    way: Way,
    account: Account,
    whose: Whose,
    taken: Taken,
    records: &[(u64, u64)],
) -> anyhow::Result<Account> {
    free_disk(&desk.config.state, desk.config.limits.free_disk)?;
    let arrival = desk.ledger.change(|store| Ok(store.next_arrival())).await?;
    let mut account = Account { arrival, ..account };
    let (spool, slip) = (desk.spool.clone(), slip(&account));
    let pinnable = Arc::clone(&way.pinnable);
    let origin = Origin::new(whose.identity, whose.of, whose.age);
    let prepared = tokio::task::spawn_blocking(move || {
        mark(&spool, arrival, &slip, &origin)?;
        prepare(&spool, arrival, &taken, &pinnable, origin)
    });
    match prepared.await? {
        Ok(inspection) => {
            account.pinned = Some(pinned(&way.customer, &way.route, &way.pinnable, &inspection));
            commit(desk, account, records.to_vec()).await
        }
        Err(error) => {
            desk.spool.remove(arrival)?;
            Err(error)
        }
    }
}

/// Writes everything into the spool that an open file needs.
fn prepare(
    spool: &Spool,
    arrival: Arrival,
    taken: &Taken,
    pinnable: &Pinnable,
    mut origin: Origin,
) -> anyhow::Result<Inspection> {
    let data = spool.data(arrival);
    let source = || -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(BufReader::new(File::open(&taken.data)?)))
    };
    write(&data, |out| {
        excerpt(
            &taken.dialect,
            source,
            &mut |here| taken.wanted.contains((taken.place)(here, 0).0),
            out,
        )?;
        Ok(())
    })?;
    // Both files side by side, to tell where each record stood.
    let mut from = Reader::open(&taken.dialect, &[], source()?)?;
    let mut to = Reader::open(&taken.dialect, &[], Box::new(BufReader::new(File::open(&data)?)))?;
    let (mut there, mut here) = (Record::default(), Record::default());
    let (mut read, mut count) = (0, 0);
    while from.next(&mut there)? {
        read += 1;
        let (ordinal, line) = (taken.place)(there.ordinal, there.place.line);
        if taken.wanted.contains(ordinal) {
            if !to.next(&mut here)? {
                break;
            }
            origin.push(ordinal, line, here.place.line);
            count += 1;
        }
    }
    if read != taken.total || count != taken.wanted.len() || to.next(&mut here)? {
        bail!(
            "{read} records are read in {} where {} were: the mapping's input has changed, so drop \
             the records once more instead",
            taken.data.display(),
            taken.total
        );
    }
    let (dialect, selectors) = (&pinnable.mapping.dialect, &pinnable.mapping.selectors);
    let inspection = inspect(&data, dialect, selectors)?.1?;
    if inspection.records != count {
        bail!(
            "today's mapping \"{}\" finds {} records where {count} were chosen: its input has \
             changed, so drop the records once more instead",
            pinnable.mapping.name,
            inspection.records
        );
    }
    write_whole(&spool.inspection(arrival), &serde_json::to_vec(&inspection)?, 0o600)?;
    write_whole(&spool.origin(arrival), &serde_json::to_vec(&origin)?, 0o600)?;
    keep(&spool.bundle(&pinnable.hash), pinnable)?;
    Ok(inspection)
}

/// The one step that counts.
async fn commit(
    desk: &Desk,
    account: Account,
    records: Vec<(u64, u64)>,
) -> anyhow::Result<Account> {
    let arrival = account.arrival;
    let error = match desk.ledger.change(move |store| store.begin_again(account, &records)).await {
        Ok(account) => {
            desk.opened.notify_one();
            return Ok(account);
        }
        Err(error) => error,
    };
    // A commit that told of an error may be there all the same, and then needs its bytes. What is
    // not needed and cannot be asked for now, the next run removes.
    let open = desk
        .ledger
        .change(move |store| Ok(store.files.get(&arrival).map(|(account, _)| account.clone())));
    match open.await {
        Ok(Some(account)) => {
            desk.opened.notify_one();
            Ok(account)
        }
        Ok(None) => {
            desk.spool.remove(arrival)?;
            Err(error)
        }
        Err(_) => Err(error),
    }
}

/// What is kept may be large, so its hash is not taken among the requests.
async fn verify(desk: &Desk, kept: &Kept) -> anyhow::Result<()> {
    let (spool, kept) = (desk.spool.clone(), kept.clone());
    tokio::task::spawn_blocking(move || kept.verify(&spool)).await?
}

/// Makes the folder. Before anything else it says whose records these are, so that no repair takes
/// them for a new file.
fn mark(spool: &Spool, arrival: Arrival, slip: &Slip, origin: &Origin) -> anyhow::Result<()> {
    let folder = spool.folder(arrival);
    disk::make_folder(&folder, 0o700)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    write_whole(&spool.origin(arrival), &serde_json::to_vec(origin)?, 0o600)?;
    spool.prepare(arrival, slip)
}

fn whose(kept: &Kept) -> Whose {
    let Account { customer, source, name, .. } = kept.account.clone();
    let (identity, age) = (kept.stock.original, kept.stock.age);
    Whose { customer, source, name, identity, of: kept.of, age }
}

/// An account that has no arrival of its own yet.
fn account(whose: &Whose, how: How, generation: u32) -> Account {
    let again = Again { of: whose.of, age: whose.age, how, generation };
    Account {
        arrival: whose.of,
        customer: whose.customer.clone(),
        source: whose.source.clone(),
        name: whose.name.clone(),
        picked_up: Timestamp::now(),
        phase: if how == How::Whole { Phase::Claimed } else { Phase::Open },
        pinned: None,
        mark: 1,
        messages: 0,
        held_until: None,
        answered: None,
        results: None,
        again: Some(again),
    }
}

fn slip(account: &Account) -> Slip {
    Slip {
        customer: account.customer.clone(),
        source: account.source.clone(),
        name: account.name.clone(),
        picked_up: account.picked_up,
        folder: None,
        partner: None,
        look: None,
    }
}

/// Writes a file of the spool to its end, and makes it durable.
fn write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let unwritable = || format!("{} cannot be written", path.display());
    let mut out = BufWriter::new(disk::create(path, 0o600).with_context(unwritable)?);
    fill(&mut out).with_context(unwritable)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error).with_context(unwritable)?;
    disk::sync(&file, path).with_context(unwritable)?;
    let folder = path.parent().context("a file needs a folder")?;
    disk::sync_folder(folder).with_context(unwritable)
}
