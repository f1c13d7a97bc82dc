//! Repair: a damaged ledger is made anew from what can still be read of it and from what lies in
//! the spool, in quarantine and among the receipts. The damaged one is kept.

mod mend;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Timestamp;

pub use mend::{Mended, mend};

use crate::config::Config;
use crate::ledger::renewal::{Renewal, beside, remove};
use crate::ledger::{Entry, Pair, salvage, transfer};
use crate::settle::Receipt;
use crate::spool::Spool;

/// How long reading a damaged ledger may take.
const WITHIN: Duration = Duration::from_secs(600);

/// What a repair came to.
pub struct Repaired {
    /// What was wrong, and what it means; empty if nothing was.
    pub findings: Vec<String>,
    /// Where the damaged ledger lies now.
    pub kept: Option<PathBuf>,
}

/// Repairs the ledger; nobody else may hold the state.
pub fn repair(config: &Config, spool: &Spool) -> anyhow::Result<Repaired> {
    let folder = spool.ledger();
    let renewal = Renewal::begin(&folder)?;
    let mut findings = Vec::new();
    let entries = read_all(&folder, &mut findings)?;
    if let Some(version) = entries.iter().find_map(|entry| match entry {
        Entry::Schema { version } if *version != transfer::VERSION => Some(*version),
        _ => None,
    }) {
        bail!(
            "the ledger in {} is of version {version}, this program's is {}; it is not repaired",
            folder.display(),
            transfer::VERSION
        );
    }
    let remembered = Timestamp::now() - config.limits.remember;
    let Mended { entries, findings: mended } =
        mend(entries, spool, &receipts(config), remembered, !findings.is_empty())?;
    findings.extend(mended);
    if findings.is_empty() {
        return Ok(Repaired { findings, kept: None });
    }
    let faults = transfer::check_entries(&entries);
    if !faults.is_empty() {
        bail!("what could be saved makes no ledger: {}", faults.join("; "));
    }
    transfer::write(renewal.building(), &entries)?;
    let kept = renewal.put_in_place("damaged")?;
    Ok(Repaired { findings, kept })
}

/// Every entry that can be read. What cannot is told by its kind.
fn read_all(folder: &Path, findings: &mut Vec<String>) -> anyhow::Result<Vec<Entry>> {
    let mut pairs = BTreeMap::new();
    if folder.exists() {
        // Without its snapshots the ledger is read from its log alone.
        for snapshots in [true, false] {
            let (read, whole) = read_in_a_process(folder, snapshots)?;
            for (key, value) in read {
                pairs.entry(key).or_insert(value);
            }
            if whole {
                break;
            }
            if snapshots {
                findings.push("the ledger could not be read to its end as it is".to_owned());
            }
        }
    } else {
        findings.push(format!("there was no ledger in {}", folder.display()));
    }
    let mut entries = Vec::new();
    for (key, value) in pairs {
        match Entry::read(&key, &value) {
            Ok(entry) => entries.extend(entry),
            Err(error) => findings.push(format!("{} is lost: {error:#}", Entry::kind(&key))),
        }
    }
    Ok(entries)
}

/// Reads a copy of the ledger in a process of its own; whether it came to its end without a fault.
fn read_in_a_process(folder: &Path, snapshots: bool) -> anyhow::Result<(Vec<Pair>, bool)> {
    let copy = beside(folder, "reading");
    remove(&copy)?;
    copy_folder(folder, &copy, &|name| {
        !name.ends_with(".generating") && (snapshots || !name.starts_with("snap."))
    })?;
    let out = copy.join("salvaged");
    let program = std::env::current_exe().context("this program does not know its own path")?;
    let mut child = Command::new(program)
        .args(["ledger", "salvage"])
        .arg(&copy)
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        // A panic of the library says nothing to a user.
        .stderr(Stdio::null())
        .spawn()
        .context("the damaged ledger cannot be read in a process of its own")?;
    let deadline = Instant::now() + WITHIN;
    let whole = loop {
        match child.try_wait()? {
            Some(status) => break status.success(),
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            None => {
                child.kill()?;
                child.wait()?;
                break false;
            }
        }
    };
    let pairs = salvage::read_pairs(BufReader::new(File::open(&out)?))?;
    remove(&copy)?;
    Ok((pairs, whole))
}

fn copy_folder(from: &Path, to: &Path, which: &dyn Fn(&str) -> bool) -> anyhow::Result<()> {
    fs::create_dir(to).with_context(|| format!("{} cannot be made", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("{} is not read", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let to = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to, which)?;
        } else if which(&name.to_string_lossy()) {
            fs::copy(entry.path(), &to)
                .with_context(|| format!("{} cannot be copied", entry.path().display()))?;
        }
    }
    Ok(())
}

/// A receipt, and the name of its file.
pub struct Found {
    receipt: Receipt,
    file: String,
}

/// The receipts that lie in the folders of today's config and can be read.
fn receipts(config: &Config) -> Vec<Found> {
    let mut all = Vec::new();
    for (id, customer) in &config.customers {
        for source in customer.sources.values() {
            let Ok(folder) = fs::read_dir(&source.receipts) else { continue };
            for entry in folder.flatten() {
                let file = entry.file_name().to_string_lossy().into_owned();
                if !file.ends_with(".receipt.json") {
                    continue;
                }
                let receipt: Option<Receipt> = fs::read(entry.path())
                    .ok()
                    .and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let own =
                    |receipt: &Receipt| receipt.customer == *id && receipt.source == source.name;
                all.extend(receipt.filter(own).map(|receipt| Found { receipt, file }));
            }
        }
    }
    all
}
