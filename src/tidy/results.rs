//! Results that are older than their source keeps them: archived files by the date of their folder,
//! receipts by the time at which their file settled. Rejects are never removed.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::config::Source;
use crate::disk;
use crate::ledger::Account;
use crate::settle::{Receipt, result_name};

/// Removes what is older than `before`, but for the results of open files; tells how many files.
pub fn expire(
    source: &Source,
    customer: &str,
    before: Timestamp,
    open: &[Account],
) -> anyhow::Result<u64> {
    let mine = |account: &&Account| account.customer == customer && account.source == source.name;
    let in_use: BTreeSet<(Date, String)> = open
        .iter()
        .filter(mine)
        .filter_map(|account| {
            let names = account.results.as_ref()?;
            Some((names.day, result_name(&account.name, names.suffix)))
        })
        .collect();
    Ok(archives(source, before, &in_use)? + receipts(source, customer, before)?)
}

/// A day's folder is old when the day was over before; nothing but plain files is removed from it,
/// and it goes once it is empty.
fn archives(
    source: &Source,
    before: Timestamp,
    in_use: &BTreeSet<(Date, String)>,
) -> anyhow::Result<u64> {
    let mut removed = 0;
    for entry in entries(&source.archive)? {
        let name = entry.file_name();
        // Written as we write it: not 2026-1-2, nor with anything behind.
        let day = name.to_str().and_then(|name| {
            let day: Date = name.parse().ok()?;
            (day.to_string() == name).then_some(day)
        });
        let Some(day) = day.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) else {
            continue;
        };
        let over = day.tomorrow().ok().and_then(|next| next.to_zoned(TimeZone::system()).ok());
        if over.is_none_or(|over| over.timestamp() > before) {
            continue;
        }
        let folder = entry.path();
        for file in entries(&folder)? {
            let name = file.file_name().to_string_lossy().into_owned();
            if !file.file_type()?.is_file() || in_use.contains(&(day, name)) {
                continue;
            }
            remove(&file.path())?;
            removed += 1;
        }
        match fs::remove_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            other => {
                other.with_context(|| format!("the old {} cannot be removed", folder.display()))?
            }
        }
    }
    Ok(removed)
}

fn receipts(source: &Source, customer: &str, before: Timestamp) -> anyhow::Result<u64> {
    let mut removed = 0;
    for entry in entries(&source.receipts)? {
        let name = entry.file_name();
        let is_receipt = name.to_string_lossy().ends_with(".receipt.json");
        // It was written when its file settled, so a younger one need not be read.
        if !is_receipt || !entry.file_type()?.is_file() || is_younger(&entry, before) {
            continue;
        }
        let read = fs::read(entry.path()).ok();
        let receipt = read.and_then(|bytes| serde_json::from_slice::<Receipt>(&bytes).ok());
        let old = receipt.is_some_and(|receipt| {
            receipt.customer == customer
                && receipt.source == source.name
                && receipt.settled.is_some_and(|settled| settled < before)
        });
        if old {
            remove(&entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
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
