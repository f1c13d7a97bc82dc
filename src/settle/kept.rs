//! Kept: what quarantine keeps of a settled file until a person acts: the failed records in their
//! original bytes, which they are, and what is wrong with them. Records that fail again are kept
//! again, round by round. What is kept never changes; what is still set aside the ledger says.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::{Report, archive, make_folder, rejects};
use crate::disk::Unfinished;
use crate::ledger::Account;
use crate::model::{Arrival, Identity, Problem};
use crate::spool::{Spool, write_whole};

/// What lies in quarantine of one round of a settled file.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The pick-up by which the records are numbered.
    pub of: Arrival,
    /// The account of this round when it settled.
    pub account: Account,
    /// The records' bytes.
    pub stock: Stock,
    /// What is wrong, by record.
    pub problems: Vec<Problem>,
}

/// The bytes that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// BLAKE3 of them.
    pub identity: Identity,
    /// The original ordinals of the records in them, as ranges; none of a file that is kept whole.
    pub ordinals: Vec<(u64, u64)>,
    /// The file was written to while it was worked: which record is which is not sure, and they
    /// are not to be retried, but corrected and dropped again.
    #[serde(default)]
    pub changed: bool,
    /// BLAKE3 of the original.
    pub original: Identity,
    /// The pick-up that the records' age is counted from.
    pub age: Arrival,
}

/// Keeps what a report sets aside, from the spool: what lies in the rejects others can change.
pub fn keep(spool: &Spool, report: &Report<'_>) -> anyhow::Result<()> {
    let account = report.account;
    let of = account.excerpt_of().unwrap_or(account.arrival);
    let folder = folder(spool, of, account.arrival);
    make_folder(&folder)?;
    let data = folder.join("data");
    let whole = spool.data(account.arrival);
    match report.dialect {
        Some(dialect) => rejects::write(&whole, dialect, report, &data)?,
        None => archive::put_copy(&whole, &data)?,
    }
    let quarantined = report.progress.quarantined.ranges();
    let stock = Stock {
        identity: Identity(*archive::hash(&data)?.as_bytes()),
        ordinals: match report.origin {
            Some(origin) => origin.ranges(&quarantined),
            None => quarantined,
        },
        original: report.identity,
        age: account.again.map_or(account.arrival, |again| again.age),
        changed: report.changed,
    };
    write_whole(&folder.join("stock.json"), &serde_json::to_vec(&stock)?, 0o600)?;
    let account = serde_json::to_vec_pretty(account)?;
    write_whole(&folder.join("account.json"), &account, 0o600)?;
    keep_problems(report, &folder.join("problems.json"))
}

fn keep_problems(report: &Report<'_>, path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("{} cannot be written", path.display());
    let mut list = BufWriter::new(Unfinished::begin(path, 0o600).with_context(cannot)?);
    let mut before = b"[";
    for problem in report.problems.iter() {
        list.write_all(before).with_context(cannot)?;
        serde_json::to_writer(&mut list, &problem?).with_context(cannot)?;
        before = b",";
    }
    list.write_all(if report.problems.is_empty() { b"[]" } else { b"]" }).with_context(cannot)?;
    let list = list.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
    list.replace().with_context(cannot)
}

/// What is kept of an arrival, the oldest round first. A round that is under way is not there yet.
pub fn kept(spool: &Spool, of: Arrival, open: &[Arrival]) -> anyhow::Result<Vec<Kept>> {
    let path = spool.quarantined(of);
    let mut rounds: Vec<Arrival> = Vec::new();
    for entry in
        fs::read_dir(&path).with_context(|| format!("{} cannot be read", path.display()))?
    {
        if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            rounds.push(Arrival(number));
        }
    }
    rounds.retain(|round| !open.contains(round));
    rounds.sort();
    rounds
        .into_iter()
        .map(|round| {
            let folder = folder(spool, of, round);
            Ok(Kept {
                of,
                account: part(&folder.join("account.json"))?,
                stock: part(&folder.join("stock.json"))?,
                problems: part(&folder.join("problems.json"))?,
            })
        })
        .collect()
}

impl Kept {
    /// Where the bytes are.
    pub fn data(&self, spool: &Spool) -> PathBuf {
        folder(spool, self.of, self.account.arrival).join("data")
    }

    /// Whether the whole file was set aside.
    pub fn is_whole(&self) -> bool {
        self.stock.ordinals.is_empty()
    }

    /// Whether it keeps this record, or 0 for the whole file.
    pub fn holds(&self, record: u64) -> bool {
        let within = |(first, last): &(u64, u64)| (*first..=*last).contains(&record);
        if self.is_whole() { record == 0 } else { self.stock.ordinals.iter().any(within) }
    }

    /// Says what is wrong if the bytes are not those that were set aside.
    pub fn verify(&self, spool: &Spool) -> anyhow::Result<()> {
        let data = self.data(spool);
        let hash =
            archive::hash(&data).with_context(|| format!("{} cannot be read", data.display()))?;
        if *hash.as_bytes() != self.stock.identity.0 {
            bail!("{} is not what was set aside: see what changed it", data.display());
        }
        Ok(())
    }
}

fn folder(spool: &Spool, of: Arrival, round: Arrival) -> PathBuf {
    spool.quarantined(of).join(format!("{:020}", round.0))
}

fn part<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
}
