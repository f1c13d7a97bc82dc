//! Claim: a finished file becomes ours. It is noted in the ledger, renamed in place to a hidden
//! name, then moved or copied into the spool; every step can be taken again after a crash.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::local::{self, Candidate};
use crate::config::{Ready, Source};
use crate::disk::{self, Look};
use crate::ledger::{Account, Ledger, Phase};
use crate::model::Arrival;
use crate::spool::{Slip, Spool};

/// Claims a file. `None` if it has gone, or changed since it was looked at: it is then looked at
/// again.
pub async fn claim(
    ledger: &Ledger,
    spool: &Spool,
    customer: &str,
    source: &Source,
    folder: &Path,
    candidate: &Candidate,
) -> anyhow::Result<Option<Arrival>> {
    let path = folder.join(&candidate.name);
    let looked = tokio::task::spawn_blocking({
        let path = path.clone();
        move || fs::symlink_metadata(path)
    });
    match looked.await? {
        Ok(metadata) if metadata.is_file() && Look::of(&metadata) == candidate.look => {}
        _ => return Ok(None),
    }
    let slip = Slip {
        customer: customer.to_owned(),
        source: source.name.clone(),
        name: candidate.name.clone(),
        picked_up: jiff::Timestamp::now(),
        folder: std::path::absolute(folder)?.to_str().map(str::to_owned),
        partner: None,
        look: Some(candidate.look),
    };
    let noted = slip.clone();
    let (arrival, installation) = ledger
        .change(move |store| {
            let arrival = store.next_arrival();
            store.set_account(account(arrival, noted));
            Ok((arrival, store.installation().to_owned()))
        })
        .await?;
    let hidden = hidden_path(folder, &installation, arrival);
    let moved = tokio::task::spawn_blocking({
        let (spool, folder, look) = (spool.clone(), folder.to_owned(), candidate.look);
        move || -> anyhow::Result<bool> {
            spool.prepare(arrival, &slip)?;
            match disk::rename(&path, &hidden) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be claimed", path.display()));
                }
            }
            disk::sync_folder(&folder)
                .with_context(|| format!("{} cannot be synced", folder.display()))?;
            let changed = Look::at(&hidden)? != look;
            if changed && give_back(&hidden, &path)? {
                return Ok(false);
            }
            take_in(&spool, arrival, &hidden)?;
            Ok(true)
        }
    })
    .await?;
    if !moved? {
        abandon(ledger, spool, arrival).await?;
        return Ok(None);
    }
    remove_marker(source, folder, &candidate.name).await;
    Ok(Some(arrival))
}

/// Goes on with the claims of a source that a crash or an error broke off, but for those that are
/// `known` to be under way. Tells the files that are ours now, and what is still in the way.
pub async fn resume(
    ledger: &Ledger,
    spool: &Spool,
    customer: &str,
    source: &Source,
    folder: &Path,
    known: &BTreeSet<Arrival>,
) -> anyhow::Result<(Vec<Slip>, Vec<Arrival>, Option<anyhow::Error>)> {
    let (of_customer, of_source) = (customer.to_owned(), source.name.clone());
    let (broken_off, installation) = ledger
        .change(move |store| {
            let broken_off: Vec<Account> = store
                .files
                .values()
                .map(|(account, _)| account)
                .filter(|account| account.phase == Phase::Claiming)
                .filter(|account| account.customer == of_customer && account.source == of_source)
                .cloned()
                .collect();
            Ok((broken_off, store.installation().to_owned()))
        })
        .await?;
    let (mut slips, mut arrivals, mut trouble) = (Vec::new(), Vec::new(), None);
    for account in broken_off.into_iter().filter(|account| !known.contains(&account.arrival)) {
        let arrival = account.arrival;
        let slip = slip_of(&account);
        let noted = tokio::task::spawn_blocking({
            let spool = spool.clone();
            move || spool.slip(arrival)
        });
        // The source may have another folder by now.
        let noted = noted.await?.and_then(|noted| noted.folder).map(PathBuf::from);
        let folder = noted.as_deref().unwrap_or(folder);
        let hidden = hidden_path(folder, &installation, arrival);
        let original = folder.join(&account.name);
        let resumed = tokio::task::spawn_blocking({
            let (spool, slip) = (spool.clone(), slip.clone());
            move || go_on(&spool, arrival, &slip, &hidden, &original)
        })
        .await?;
        match resumed {
            Ok(true) => {
                let mut claimed = account;
                claimed.phase = Phase::Claimed;
                ledger.update(move |store| store.set_account(claimed)).await?;
                remove_marker(source, folder, &slip.name).await;
                slips.push(slip);
                arrivals.push(arrival);
            }
            Ok(false) => abandon(ledger, spool, arrival).await?,
            Err(error) => trouble = Some(error),
        }
    }
    Ok((slips, arrivals, trouble))
}

/// Adopts what lies in the spool without ever having had an account, as after the ledger was lost;
/// removes what is left of files whose account was closed.
pub async fn adopt(ledger: &Ledger, spool: &Spool) -> anyhow::Result<()> {
    let spooled = spool.arrivals()?;
    let asked = spooled.clone();
    let (closed, unknown): (Vec<Arrival>, Vec<Arrival>) = ledger
        .change(move |store| {
            let without = asked.into_iter().filter(|arrival| !store.files.contains_key(arrival));
            Ok(without.partition(|arrival| store.gave_out(*arrival)))
        })
        .await?;
    for arrival in closed {
        spool.remove(arrival)?;
    }
    for arrival in unknown {
        match spool.slip(arrival) {
            // Its records are those of another file, and not to be sent as a new one's.
            _ if spool.origin(arrival).exists() => {
                let aside = spool.set_aside(arrival)?;
                tracing::warn!(
                    "Nothing is known of records that were worked again; they lie in {}: drop \
                     their file again if need be",
                    aside.display()
                );
            }
            Some(slip) if spool.data(arrival).exists() => {
                tracing::warn!("Adopted {} of {} from the spool", slip.name, slip.customer);
                let mut adopted = account(arrival, slip);
                adopted.phase = Phase::Claimed;
                ledger
                    .update(move |store| {
                        store.skip_arrival(adopted.arrival);
                        store.set_account(adopted);
                    })
                    .await?;
            }
            _ => spool.remove(arrival)?,
        }
    }
    Ok(())
}

/// Brings a claim that was broken off to its end; `false` if it never began.
fn go_on(
    spool: &Spool,
    arrival: Arrival,
    slip: &Slip,
    hidden: &Path,
    original: &Path,
) -> anyhow::Result<bool> {
    if spool.data(arrival).exists() {
        disk::remove(hidden).with_context(|| format!("{} cannot be removed", hidden.display()))?;
        return Ok(true);
    }
    if spool.slip(arrival).is_some_and(|slip| slip.partner.is_some()) {
        // It was to come from a server, and lies there still.
        return Ok(false);
    }
    if hidden.exists() {
        // What was seen at the claim stands in the slip, if the claim came so far.
        if spool.slip(arrival).is_none() {
            spool.prepare(arrival, &Slip { look: Look::at(hidden).ok(), ..slip.clone() })?;
        }
        take_in(spool, arrival, hidden)?;
        return Ok(true);
    }
    // Without a slip nothing was renamed yet, wherever the file is.
    if original.exists() || spool.slip(arrival).is_none() {
        return Ok(false);
    }
    bail!(
        "the claim of {} was broken off, and neither it nor {} is there: is the folder mounted?",
        original.display(),
        hidden.display()
    )
}

async fn abandon(ledger: &Ledger, spool: &Spool, arrival: Arrival) -> anyhow::Result<()> {
    let spool = spool.clone();
    tokio::task::spawn_blocking(move || spool.remove(arrival)).await??;
    ledger.update(move |store| store.abandon(arrival)).await
}

/// Gives a hidden file that was written to meanwhile its name back, if nothing has it by now.
fn give_back(hidden: &Path, path: &Path) -> anyhow::Result<bool> {
    match disk::rename_new(hidden, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{} cannot be let go", hidden.display())),
    }
}

async fn remove_marker(source: &Source, folder: &Path, name: &str) {
    if let Ready::Marker(marker) = &source.ready {
        let marker = folder.join(local::marker_name(marker, name));
        let removal = tokio::task::spawn_blocking(move || {
            disk::remove(&marker).with_context(|| format!("the marker {} stays", marker.display()))
        });
        if let Err(error) = removal.await.map_err(anyhow::Error::from).flatten() {
            tracing::warn!("{error:#}");
        }
    }
}

/// Moves the hidden file into the spool, or copies it from another file system.
fn take_in(spool: &Spool, arrival: Arrival, hidden: &Path) -> anyhow::Result<()> {
    let data = spool.data(arrival);
    let taken = match disk::rename(hidden, &data) {
        Ok(()) => File::open(&data).and_then(|file| disk::sync(&file, &data)),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_in(hidden, &spool.part(arrival), &data)
        }
        Err(error) => Err(error),
    };
    taken.with_context(|| format!("{} cannot be taken into the spool", hidden.display()))?;
    let folders = [Some(spool.folder(arrival).as_path()), hidden.parent()].map(sync_folder);
    folders.into_iter().collect()
}

fn sync_folder(folder: Option<&Path>) -> anyhow::Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    disk::sync_folder(folder).with_context(|| format!("{} cannot be synced", folder.display()))
}

fn copy_in(hidden: &Path, part: &Path, data: &Path) -> io::Result<()> {
    disk::remove(part)?;
    let mut copy = disk::create(part, 0o600)?;
    let before = Look::at(hidden)?;
    disk::copy(&mut File::open(hidden)?, &mut copy, part)?;
    disk::sync(&copy, part)?;
    if Look::at(hidden)? != before {
        return Err(io::Error::other("a program still writes to it"));
    }
    disk::rename(part, data)?;
    if let Some(folder) = data.parent() {
        disk::sync_folder(folder)?;
    }
    disk::remove(hidden)
}

fn hidden_path(folder: &Path, installation: &str, arrival: Arrival) -> PathBuf {
    folder.join(hidden_name(installation, arrival))
}

/// The name under which nobody else looks for a file that is being taken.
pub fn hidden_name(installation: &str, arrival: Arrival) -> String {
    format!(".lighterman-{}-{arrival}", &installation[..installation.len().min(12)])
}

/// The account of a file whose claim has begun.
pub fn account(arrival: Arrival, slip: Slip) -> Account {
    Account {
        arrival,
        customer: slip.customer,
        source: slip.source,
        name: slip.name,
        picked_up: slip.picked_up,
        phase: Phase::Claiming,
        pinned: None,
        mark: 1,
        messages: 0,
        held_until: None,
        answered: None,
        results: None,
        again: None,
    }
}

fn slip_of(account: &Account) -> Slip {
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

/// Says what a claim needs of every disk that its file is written to; below it pickup pauses
/// (design, section 4.1, `limits.free_disk`).
pub async fn check_free_disk(state: &Path, source: &Source, least: u64) -> anyhow::Result<()> {
    let folders = [state, &source.archive, &source.rejects, &source.receipts].map(PathBuf::from);
    let check = move || folders.iter().try_for_each(|folder| free_disk(folder, least));
    tokio::task::spawn_blocking(check).await?
}

/// The same of one disk.
pub fn free_disk(folder: &Path, least: u64) -> anyhow::Result<()> {
    // Results have no folder before the first of them.
    let Some(folder) = folder.ancestors().find(|folder| folder.is_dir()) else { return Ok(()) };
    let disk = rustix::fs::statvfs(folder)
        .with_context(|| format!("the disk of {} cannot be asked", folder.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < least {
        bail!(
            "only {} MiB are free on the disk of {}, less than limits.free_disk = {} MiB; free \
             some or lower the limit",
            free >> 20,
            folder.display(),
            least >> 20
        );
    }
    Ok(())
}
