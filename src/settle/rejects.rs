//! Rejects: the records that failed, as a file of the input's own kind.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::Path;

use anyhow::Context;

use super::Report;
use crate::disk::Unfinished;
use crate::read::{Dialect, excerpt};

/// Writes the records of `data` that `quarantined` picks to `to`, replacing what an earlier look
/// at the same file wrote there.
pub fn write(data: &Path, dialect: &Dialect, report: &Report<'_>, to: &Path) -> anyhow::Result<()> {
    let cannot = || format!("{} cannot be written", to.display());
    let file = Unfinished::begin(to, super::MODE).with_context(cannot)?;
    let open =
        || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(BufReader::new(File::open(data)?))) };
    let mut out = BufWriter::new(file);
    // What was added to a file that changed nobody has seen yet.
    let added = if report.changed { report.counts.total() } else { u64::MAX };
    let mut keep = |ordinal| report.progress.quarantined.contains(ordinal) || ordinal > added;
    match excerpt(dialect, open, &mut keep, &mut out) {
        Ok(_) => {}
        // Its records cannot be told apart any more: all of it, rather than less than what failed.
        Err(_) if report.changed => {
            drop(out);
            let mut whole = Unfinished::begin(to, super::MODE).with_context(cannot)?;
            whole.copy_from(&mut File::open(data)?).with_context(cannot)?;
            return whole.replace().with_context(cannot);
        }
        Err(error) => return Err(error),
    }
    let file = out.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
    file.replace().with_context(cannot)
}
