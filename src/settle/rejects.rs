//! Rejects: the records that failed, as a file of the input's own kind.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::Context;

use super::unfinished;
use crate::ledger::Ordinals;
use crate::read::{Dialect, excerpt};
use crate::spool::sync_folder;

/// Writes the records of `data` that `quarantined` picks to `to`, replacing what an earlier look
/// at the same file wrote there.
pub fn write(
    data: &Path,
    dialect: &Dialect,
    quarantined: &Ordinals,
    to: &Path,
) -> anyhow::Result<()> {
    let folder = to.parent().context("a file needs a folder")?;
    let mut file =
        unfinished::begin(to).with_context(|| format!("{} cannot be written", to.display()))?;
    let open =
        || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(BufReader::new(File::open(data)?))) };
    let mut out = BufWriter::new(file.as_file_mut());
    excerpt(dialect, open, &mut |ordinal| quarantined.contains(ordinal), &mut out)?;
    out.flush().with_context(|| format!("{} cannot be written", to.display()))?;
    drop(out);
    file.as_file().sync_all()?;
    file.persist(to).with_context(|| format!("{} cannot be written", to.display()))?;
    Ok(sync_folder(folder)?)
}
