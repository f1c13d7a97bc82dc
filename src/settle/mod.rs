//! Settle: puts away what a file left: the original, the failed records, what was wrong with them,
//! and a receipt.
//!
//! Every step can be taken again after a crash, and nothing that was there before is overwritten.

mod archive;
mod kept;
mod names;
mod places;
mod problems;
mod receipt;
mod rejects;
mod verdicts;

use std::path::{Path, PathBuf};

use anyhow::Context;

pub use kept::{Kept, kept};
pub use places::{Folders, Places};
pub use problems::write as write_problems;
pub use receipt::Receipt;

use crate::disk;
use crate::ledger::{Account, Phase, Progress, ResultNames};
use crate::model::{Counts, Identity, LateAnswer, Origin, numbered};
use crate::read::Dialect;
use crate::spool::{Problems, Sorted, Spool};

/// Everything that the results of one file say.
pub struct Report<'a> {
    /// The file's account; its result names are fixed.
    pub account: &'a Account,
    /// BLAKE3 of its bytes.
    pub identity: Identity,
    /// Those names.
    pub names: &'a ResultNames,
    /// Where the results go.
    pub folders: &'a Folders,
    /// How the file is written; none for a file that nobody could read.
    pub dialect: Option<&'a Dialect>,
    /// How many records are in each state.
    pub counts: Counts,
    /// What is wrong, by record.
    pub problems: &'a Problems,
    /// What was told of records that were parked.
    pub late: &'a Sorted<LateAnswer>,
    /// Whether the file was written to after it was taken.
    pub changed: bool,
    /// Whether all records are final now.
    pub settled: Option<jiff::Timestamp>,
    /// Which records are in which final state.
    pub progress: &'a Progress,
    /// Whose records they are, if they are worked again; problems are told by its numbers.
    pub origin: Option<&'a Origin>,
}

impl Report<'_> {
    /// Where the file is put as it came, by the name of its results; nowhere if it is refused, or
    /// an excerpt, whose original is there.
    fn archive(&self, name: &str) -> Option<PathBuf> {
        let archived = self.account.phase != Phase::Refused && self.account.excerpt_of().is_none();
        archived.then(|| self.folders.archive.join(self.names.day.to_string()).join(name))
    }
}

/// Writes the results of a file whose records were worked: again while it is not settled.
pub fn write(spool: &Spool, report: &Report<'_>) -> anyhow::Result<()> {
    let Report { account, names, folders, .. } = report;
    let data = spool.data(account.arrival);
    let name = numbered(&account.name, names.suffix);
    for folder in [&folders.rejects, &folders.receipts, &folders.archive] {
        make_folder(folder)?;
    }
    if report.counts.quarantined > 0
        && let Some(dialect) = report.dialect
    {
        rejects::write(&data, dialect, report, &folders.rejects.join(&name))?;
    }
    write_rest(spool, report, &name)?;
    if let Some(archived) = report.archive(&name) {
        make_folder(archived.parent().unwrap_or(&folders.archive))?;
        match report.settled {
            // It came as it was put there before it was written to.
            _ if report.changed && archived.exists() => {}
            Some(_) => archive::put(&data, &archived)?,
            None => archive::put_copy(&data, &archived)?,
        }
    }
    let verdicts = folders.receipts.join(format!("{name}.verdicts.csv"));
    let verdicts = verdicts::write(&data, report, &verdicts)?.then_some(verdicts);
    receipt::write(report, &name, verdicts.as_deref())?;
    names::release(folders, &name)
}

/// Writes the results of a file that is set aside whole: it lies in the rejects unchanged.
pub fn refuse(spool: &Spool, report: &Report<'_>) -> anyhow::Result<()> {
    let Report { account, names, folders, .. } = report;
    let name = numbered(&account.name, names.suffix);
    for folder in [&folders.rejects, &folders.receipts] {
        make_folder(folder)?;
    }
    archive::put(&spool.data(account.arrival), &folders.rejects.join(&name))?;
    write_rest(spool, report, &name)?;
    receipt::write(report, &name, None)?;
    names::release(folders, &name)
}

/// The problems file, and what quarantine keeps when the file is settled.
fn write_rest(spool: &Spool, report: &Report<'_>, name: &str) -> anyhow::Result<()> {
    if !report.problems.is_empty() {
        let path = report.folders.rejects.join(format!("{name}.problems.csv"));
        problems::write(report.problems, &path)?;
    }
    let set_aside = report.counts.quarantined > 0 || report.dialect.is_none();
    if report.settled.is_some() && set_aside {
        kept::keep(spool, report)?;
    }
    Ok(())
}

/// Who may read what a customer gets back (design, section 3.11).
const MODE: u32 = 0o640;

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    disk::make_folder(folder, 0o777).with_context(|| format!("{} cannot be made", folder.display()))
}
