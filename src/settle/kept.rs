//! Kept: what quarantine keeps of a settled file until a person acts: the failed records in their
//! original bytes, which they are, and what is wrong with them. It never changes; which of them are
//! still set aside the ledger says.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::{Report, archive, make_folder};
use crate::disk::Unfinished;
use crate::ledger::{Account, Ordinals};
use crate::model::{Arrival, Identity, Problem};
use crate::spool::{Spool, write_whole};

/// What lies in quarantine of one settled file.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The file's account when it settled.
    pub account: Account,
    /// Its bytes.
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
}

/// Keeps what a report sets aside; `rejects` is the file with the failed records.
pub fn keep(spool: &Spool, report: &Report<'_>, rejects: &Path) -> anyhow::Result<()> {
    let folder = spool.quarantined(report.account.arrival);
    make_folder(&folder)?;
    let data = folder.join("data");
    archive::put_copy(rejects, &data)?;
    let hash = archive::hash(&data)?;
    let stock = Stock {
        identity: Identity(*hash.as_bytes()),
        ordinals: report.quarantined.ranges(),
        changed: report.changed,
    };
    write_whole(&folder.join("stock.json"), &serde_json::to_vec(&stock)?, 0o600)?;
    let account = serde_json::to_vec_pretty(report.account)?;
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

impl Kept {
    /// Reads what is kept of an arrival; none if nothing is.
    pub fn read(spool: &Spool, arrival: Arrival) -> anyhow::Result<Option<Kept>> {
        let folder = spool.quarantined(arrival);
        if !folder.exists() {
            return Ok(None);
        }
        fn part<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
            let bytes =
                fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
            serde_json::from_slice(&bytes?)
                .with_context(|| format!("{} is damaged", path.display()))
        }
        Ok(Some(Kept {
            account: part(&folder.join("account.json"))?,
            stock: part(&folder.join("stock.json"))?,
            problems: part(&folder.join("problems.json"))?,
        }))
    }

    /// Whether the whole file was set aside.
    pub fn is_whole(&self) -> bool {
        self.stock.ordinals.is_empty()
    }

    /// The original ordinals of the records in the bytes, in their order.
    pub fn ordinals(&self) -> Ordinals {
        let mut set = Ordinals::default();
        for (first, last) in &self.stock.ordinals {
            set.insert(*first, *last);
        }
        set
    }

    /// Says what is wrong if the bytes are not those that were set aside.
    pub fn verify(&self, spool: &Spool) -> anyhow::Result<()> {
        let data = spool.quarantined(self.account.arrival).join("data");
        let hash =
            archive::hash(&data).with_context(|| format!("{} cannot be read", data.display()))?;
        if *hash.as_bytes() != self.stock.identity.0 {
            bail!("{} is not what was set aside: see what changed it", data.display());
        }
        Ok(())
    }
}
