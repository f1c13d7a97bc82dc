//! Unfinished: a result while it is written. Its hidden name is always the same for one result, so
//! that what a crash leaves is found and removed when the step is taken again.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

use crate::spool::sync_folder;

/// Begins a file that is to be put at `to`. It goes if it is dropped before.
pub fn begin(to: &Path) -> io::Result<NamedTempFile> {
    clear(to)?;
    let hidden = hidden(to);
    let name = hidden.file_name().unwrap_or_default();
    tempfile::Builder::new()
        .prefix(name)
        .rand_bytes(0)
        .permissions(fs::Permissions::from_mode(0o640))
        .tempfile_in(hidden.parent().unwrap_or(Path::new("")))
}

/// Removes what a crash left of an earlier attempt.
pub fn clear(to: &Path) -> io::Result<()> {
    match fs::remove_file(hidden(to)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all, replacing what was there.
pub fn write_whole(to: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = to.parent().context("a file needs a folder")?;
    let write = || -> io::Result<()> {
        let mut file = begin(to)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(to)?;
        sync_folder(folder)
    };
    write().with_context(|| format!("{} cannot be written", to.display()))
}

/// The name is a hash, since a name may be as long as a folder allows.
fn hidden(to: &Path) -> PathBuf {
    let name = to.file_name().unwrap_or_default();
    let hash = blake3::hash(name.as_encoded_bytes()).to_hex();
    to.with_file_name(format!(".lighterman-{}", &hash[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_a_crash_left_goes_when_the_result_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("A.csv.receipt.json");
        // A crash runs no destructor.
        let unfinished = begin(&to).unwrap();
        std::mem::forget(unfinished);
        assert_eq!(names(folder.path()).len(), 1);
        write_whole(&to, b"{}").unwrap();
        assert_eq!(names(folder.path()), ["A.csv.receipt.json"]);
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_is_not_finished_goes_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        drop(begin(&folder.path().join("A.csv")).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
    }
}
