//! Names: under which names a file's results are written. All of them share one suffix, taken so
//! that none of them is there yet.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use jiff::civil::Date;

use crate::config::Source;
use crate::ledger::ResultNames;

/// Fixes the names of a file's results. The receipt's name is taken at once, by an empty file, so
/// that no other file of the same name gets it.
pub fn choose(source: &Source, name: &str, day: Date) -> anyhow::Result<ResultNames> {
    super::make_folder(&source.receipts)?;
    for suffix in 1..100_000 {
        let result = result_name(name, suffix);
        let taken = [
            source.archive.join(day.to_string()).join(&result),
            source.rejects.join(&result),
            source.rejects.join(format!("{result}.problems.csv")),
        ];
        if taken.iter().any(|path| fs::symlink_metadata(path).is_ok()) {
            continue;
        }
        let receipt = source.receipts.join(format!("{result}.receipt.json"));
        let reserved =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(&receipt);
        match reserved {
            Ok(_) => return Ok(ResultNames { day, suffix }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} cannot be written", receipt.display()));
            }
        }
    }
    bail!("there are too many results named {name}; clear {} out", source.receipts.display())
}

/// A file's name with a suffix: the name itself for 1, else `-n` behind its stem, so that a
/// rejects file still matches the route that it came by.
pub fn result_name(name: &str, suffix: u32) -> String {
    if suffix <= 1 {
        return name.to_owned();
    }
    let path = Path::new(name);
    match (
        path.file_stem().and_then(|stem| stem.to_str()),
        path.extension().and_then(|e| e.to_str()),
    ) {
        (Some(stem), Some(extension)) => format!("{stem}-{suffix}.{extension}"),
        _ => format!("{name}-{suffix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_stands_behind_the_stem() {
        assert_eq!(result_name("RELEASE_1.csv", 1), "RELEASE_1.csv");
        assert_eq!(result_name("RELEASE_1.csv", 2), "RELEASE_1-2.csv");
        assert_eq!(result_name("RELEASE", 3), "RELEASE-3");
        assert_eq!(result_name("a.b.csv", 2), "a.b-2.csv");
    }
}
