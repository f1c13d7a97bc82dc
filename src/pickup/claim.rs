//! Claim: a finished file becomes ours. It is noted in the ledger, renamed in place to a hidden
//! name, then moved or copied into the spool; every step can be taken again after a crash.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::local::{self, Candidate};
use crate::config::{Ready, Source};
use crate::ledger::{Account, Ledger, Phase};
use crate::model::Arrival;
use crate::spool::{Slip, Spool, sync_folder};

/// Claims a file. `None` if it has gone, or changed since it was looked at: it is then looked at
/// again.
pub async fn claim(
    ledger: &Ledger,
    spool: &Spool,
    customer: &str,
    source: &Source,
    candidate: &Candidate,
) -> anyhow::Result<Option<Arrival>> {
    let path = source.path.join(&candidate.name);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() && local::look(&metadata) == candidate.look => {}
        _ => return Ok(None),
    }
    let slip = Slip {
        customer: customer.to_owned(),
        source: source.name.clone(),
        name: candidate.name.clone(),
        picked_up: jiff::Timestamp::now(),
    };
    let noted = slip.clone();
    let (arrival, installation) = ledger
        .change(move |store| {
            let arrival = store.next_arrival();
            store.set_account(account(arrival, noted));
            Ok((arrival, store.installation().to_owned()))
        })
        .await?;
    let hidden = hidden_path(&source.path, &installation, arrival);
    let moved = tokio::task::spawn_blocking({
        let (spool, folder) = (spool.clone(), source.path.clone());
        move || -> anyhow::Result<bool> {
            spool.prepare(arrival, &slip)?;
            match fs::rename(&path, &hidden) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be claimed", path.display()));
                }
            }
            sync_folder(&folder)?;
            take_in(&spool, arrival, &hidden)?;
            Ok(true)
        }
    })
    .await?;
    match moved {
        Ok(true) => {
            if let Ready::Marker(marker) = &source.ready {
                let marker = source.path.join(local::marker_name(marker, &candidate.name));
                if let Err(error) = fs::remove_file(&marker) {
                    tracing::warn!("The marker {} stays: {error}", marker.display());
                }
            }
            Ok(Some(arrival))
        }
        Ok(false) => {
            spool.remove(arrival)?;
            ledger.update(move |store| store.abandon(arrival)).await?;
            Ok(None)
        }
        Err(error) => {
            let before = hidden_path(&source.path, &installation, arrival);
            if !before.exists() && !spool.data(arrival).exists() {
                spool.remove(arrival)?;
                ledger.update(move |store| store.abandon(arrival)).await?;
            }
            Err(error)
        }
    }
}

/// Finishes the claims that a crash interrupted, and adopts what lies in the spool without an
/// account. `folder` tells where a customer's source lies.
pub async fn recover(
    ledger: &Ledger,
    spool: &Spool,
    folder: impl Fn(&str, &str) -> Option<PathBuf>,
) -> anyhow::Result<()> {
    let (open, installation, unknown) = ledger
        .change(|store| {
            let open: Vec<Account> =
                store.files.values().map(|(account, _)| account.clone()).collect();
            Ok((open, store.installation().to_owned(), store.first_unknown_arrival()))
        })
        .await?;
    for account in open.iter().filter(|account| account.phase == Phase::Claiming) {
        let arrival = account.arrival;
        let hidden = folder(&account.customer, &account.source)
            .map(|folder| hidden_path(&folder, &installation, arrival));
        if spool.data(arrival).exists() {
            if let Some(hidden) = hidden
                && hidden.exists()
            {
                fs::remove_file(&hidden)
                    .with_context(|| format!("{} cannot be removed", hidden.display()))?;
            }
        } else if let Some(hidden) = hidden.filter(|hidden| hidden.exists()) {
            spool.prepare(arrival, &slip_of(account))?;
            take_in(spool, arrival, &hidden)?;
        } else if folder(&account.customer, &account.source).is_some() {
            spool.remove(arrival)?;
            ledger.update(move |store| store.abandon(arrival)).await?;
            continue;
        } else {
            continue;
        }
        let mut claimed = account.clone();
        claimed.phase = Phase::Claimed;
        ledger.update(move |store| store.set_account(claimed)).await?;
    }
    for arrival in spool.arrivals()? {
        if open.iter().any(|account| account.arrival == arrival) {
            continue;
        }
        match spool.slip(arrival) {
            // What the ledger has numbered and holds no more was closed: only its folder is left.
            Some(slip) if arrival >= unknown && spool.data(arrival).exists() => {
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

/// Moves the hidden file into the spool, or copies it from another file system.
fn take_in(spool: &Spool, arrival: Arrival, hidden: &Path) -> anyhow::Result<()> {
    let data = spool.data(arrival);
    let taken = match fs::rename(hidden, &data) {
        Ok(()) => File::open(&data)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_in(hidden, &spool.part(arrival), &data)
        }
        Err(error) => Err(error),
    };
    taken.with_context(|| format!("{} cannot be taken into the spool", hidden.display()))?;
    sync_folder(&spool.folder(arrival))?;
    if let Some(folder) = hidden.parent() {
        sync_folder(folder)?;
    }
    Ok(())
}

fn copy_in(hidden: &Path, part: &Path, data: &Path) -> io::Result<()> {
    fs::copy(hidden, part)?;
    let copy = File::open(part)?;
    copy.sync_all()?;
    fs::rename(part, data)?;
    if let Some(folder) = data.parent() {
        sync_folder(folder)?;
    }
    fs::remove_file(hidden)
}

fn hidden_path(folder: &Path, installation: &str, arrival: Arrival) -> PathBuf {
    folder.join(format!(".lighterman-{}-{arrival}", &installation[..installation.len().min(12)]))
}

fn account(arrival: Arrival, slip: Slip) -> Account {
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
    }
}

fn slip_of(account: &Account) -> Slip {
    Slip {
        customer: account.customer.clone(),
        source: account.source.clone(),
        name: account.name.clone(),
        picked_up: account.picked_up,
    }
}

/// Says what a claim needs of the disk; below it pickup pauses (design, section 4.1,
/// `limits.free_disk`).
pub fn check_free_disk(folder: &Path, least: u64) -> anyhow::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::FileCounts;

    fn slip() -> Slip {
        Slip {
            customer: "acme".to_owned(),
            source: "in".to_owned(),
            name: "A.csv".to_owned(),
            picked_up: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn lay(spool: &Spool, arrival: u64) {
        spool.prepare(Arrival(arrival), &slip()).unwrap();
        fs::write(spool.data(Arrival(arrival)), "ID\n1\n").unwrap();
    }

    async fn open_after_recovery(ledger: &Ledger, spool: &Spool) -> Vec<u64> {
        recover(ledger, spool, |_, _| None).await.unwrap();
        let open = |store: &mut crate::ledger::Store| {
            Ok(store.files.keys().map(|arrival| arrival.0).collect())
        };
        ledger.change(open).await.unwrap()
    }

    #[tokio::test]
    async fn the_folder_of_a_file_that_was_closed_is_removed_and_not_taken_in_again() {
        let state = tempfile::tempdir().unwrap();
        let spool = Spool::open(state.path()).unwrap();
        let ledger = Ledger::open(&spool.ledger()).unwrap();
        lay(&spool, 1);
        ledger
            .change(|store| {
                let arrival = store.next_arrival();
                store.set_account(account(arrival, slip()));
                store.close(arrival, FileCounts { settled: 1, ..FileCounts::default() })
            })
            .await
            .unwrap();
        assert_eq!(open_after_recovery(&ledger, &spool).await, [0; 0]);
        assert_eq!(spool.arrivals().unwrap(), []);
    }

    #[tokio::test]
    async fn files_in_the_spool_are_adopted_by_a_ledger_that_never_knew_them() {
        let state = tempfile::tempdir().unwrap();
        let spool = Spool::open(state.path()).unwrap();
        let ledger = Ledger::open(&spool.ledger()).unwrap();
        lay(&spool, 3);
        lay(&spool, 12);
        assert_eq!(open_after_recovery(&ledger, &spool).await, [3, 12]);
        let next = ledger.change(|store| Ok(store.next_arrival().0)).await.unwrap();
        assert_eq!(next, 13);
    }
}
