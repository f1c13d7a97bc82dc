//! Rejects: the records that failed, as a file of the input's own kind.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::Path;

use anyhow::Context;

use crate::disk::Unfinished;
use crate::ledger::Ordinals;
use crate::read::{Dialect, excerpt};

/// Writes the records of `data` that `quarantined` picks to `to`, replacing what an earlier look
/// at the same file wrote there.
pub fn write(
    data: &Path,
    dialect: &Dialect,
    quarantined: &Ordinals,
    to: &Path,
) -> anyhow::Result<()> {
    let cannot = || format!("{} cannot be written", to.display());
    let file = Unfinished::begin(to, super::MODE).with_context(cannot)?;
    let open =
        || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(BufReader::new(File::open(data)?))) };
    let mut out = BufWriter::new(file);
    excerpt(dialect, open, &mut |ordinal| quarantined.contains(ordinal), &mut out)?;
    let file = out.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
    file.replace().with_context(cannot)
}
