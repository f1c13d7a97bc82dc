//! Results that are older than their source keeps them: receipts, by the time at which their file
//! settled, and the archived files that they name. Rejects are never removed.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::config::Source;
use crate::disk;
use crate::ledger::Account;
use crate::model::numbered;
use crate::settle::Receipt;

/// Removes what is older than `before`, but for the results of open files; tells how many files.
///
/// Other sources, and people, may put files into the same folders: of the archive goes only what a
/// receipt of this source names, and before the receipt, so that a pass that breaks off is made
/// again.
pub fn expire(
    source: &Source,
    customer: &str,
    before: Timestamp,
    open: &[Account],
) -> anyhow::Result<u64> {
    let mine = |account: &&Account| account.customer == customer && account.source == source.name;
    let in_use: BTreeSet<PathBuf> = open
        .iter()
        .filter(mine)
        .filter_map(|account| {
            let names = account.results.as_ref()?;
            let name = numbered(&account.name, names.suffix);
            Some(source.archive.join(names.day.to_string()).join(name))
        })
        .collect();
    let mut removed = 0;
    for (path, receipt) in old_receipts(source, customer, before)? {
        if let Some(archived) = archived(source, &receipt).filter(|path| !in_use.contains(path)) {
            removed += remove_archived(&archived)?;
        }
        if let Some(verdicts) = verdicts(&path).filter(|path| path.is_file()) {
            remove(&verdicts)?;
            removed += 1;
        }
        remove(&path)?;
        removed += 1;
    }
    Ok(removed)
}

/// The receipts of this source whose files settled before.
fn old_receipts(
    source: &Source,
    customer: &str,
    before: Timestamp,
) -> anyhow::Result<Vec<(PathBuf, Receipt)>> {
    let mut old = Vec::new();
    for entry in entries(&source.receipts)? {
        let name = entry.file_name();
        let is_receipt = name.to_string_lossy().ends_with(".receipt.json");
        // It was written when its file settled, so a younger one need not be read.
        if !is_receipt || !entry.file_type()?.is_file() || is_younger(&entry, before) {
            continue;
        }
        let read = fs::read(entry.path()).ok();
        let receipt = read.and_then(|bytes| serde_json::from_slice::<Receipt>(&bytes).ok());
        let is_old = |receipt: &Receipt| {
            receipt.customer == customer
                && receipt.source == source.name
                && receipt.settled.is_some_and(|settled| settled < before)
        };
        old.extend(receipt.filter(is_old).map(|receipt| (entry.path(), receipt)));
    }
    Ok(old)
}

/// Where the verdicts of a receipt lie, if there are any.
fn verdicts(receipt: &Path) -> Option<PathBuf> {
    let name = receipt.file_name()?.to_str()?.strip_suffix(".receipt.json")?;
    Some(receipt.with_file_name(format!("{name}.verdicts.csv")))
}

/// Where a receipt says that its file lies, if that is in a day's folder of the source's archive: a
/// receipt can be written by others.
fn archived(source: &Source, receipt: &Receipt) -> Option<PathBuf> {
    let told = Path::new(receipt.archive.as_ref()?);
    let name = told.file_name()?;
    let day = told.parent()?.file_name()?.to_str()?;
    // Written as we write it: not 2026-1-2, nor with anything behind.
    let date: Date = day.parse().ok()?;
    let folder = source.archive.join(day);
    let is_ours = date.to_string() == day
        && folder.symlink_metadata().is_ok_and(|folder| folder.is_dir())
        && folder.canonicalize().ok()? == told.parent()?;
    is_ours.then(|| folder.join(name))
}

/// Removes a file, if it is one, and its day's folder once that is empty.
fn remove_archived(path: &Path) -> anyhow::Result<u64> {
    if !path.symlink_metadata().is_ok_and(|file| file.is_file()) {
        return Ok(0);
    }
    remove(path)?;
    let folder = path.parent().unwrap_or(path);
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
        other => {
            other.with_context(|| format!("the old {} cannot be removed", folder.display()))?
        }
    }
    Ok(1)
}

fn is_younger(entry: &DirEntry, before: Timestamp) -> bool {
    let written = entry.metadata().and_then(|metadata| metadata.modified()).ok();
    written.and_then(|written| Timestamp::try_from(written).ok()).is_some_and(|at| at >= before)
}

/// What lies in a folder; nothing if it is not there.
fn entries(folder: &Path) -> anyhow::Result<Vec<DirEntry>> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    read.with_context(|| format!("{} cannot be looked into", folder.display()))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    disk::remove(path).with_context(|| format!("the old {} cannot be removed", path.display()))
}
