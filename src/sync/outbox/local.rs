//! Local: a file comes into a folder on this machine, whole or not at all, and never over another.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, bail};

use crate::disk::{self, Unfinished};
use crate::model::numbered;

/// Who may read a file: the user and its group.
const MODE: u32 = 0o640;

/// How many other files may have its name.
pub const NUMBERS: u32 = 10_000;

/// What lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    Nothing,
    /// The very bytes that are to be written: by us before a crash.
    Same,
    /// Something else.
    Other,
}

/// Writes a file, and its marker afterwards; tells under which name.
pub fn put(
    folder: &Path,
    name: &str,
    marker: impl Fn(&str) -> Option<String>,
    bytes: &[u8],
) -> anyhow::Result<String> {
    // A folder that is gone may be a share that is not mounted: nothing is made in its place.
    if !folder.is_dir() {
        bail!("the folder {} is not there", folder.display());
    }
    for number in 1..NUMBERS {
        let name = numbered(name, number);
        let path = folder.join(&name);
        let marker = marker(&name).map(|marker| folder.join(marker));
        let cannot = || format!("{} cannot be written", path.display());
        let there = there(&path, bytes).with_context(cannot)?;
        let marked = match &marker {
            Some(marker) => self::there(marker, b"").with_context(cannot)?,
            None => There::Same,
        };
        if there == There::Other || marked == There::Other {
            continue;
        }
        if !write(&path, there, bytes).with_context(cannot)? {
            continue;
        }
        if let Some(marker) = &marker {
            let cannot = || format!("{} cannot be written", marker.display());
            // Another's that came this moment marks it as well.
            write(marker, marked, b"").with_context(cannot)?;
        }
        return Ok(name);
    }
    bail!("there are too many files named {name} in {}: clear it out", folder.display())
}

fn there(path: &Path, bytes: &[u8]) -> io::Result<There> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(There::Nothing),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.is_file() || metadata.len() != bytes.len() as u64 => {
            Ok(There::Other)
        }
        Ok(_) => match fs::read(path) {
            Ok(held) if held == bytes => Ok(There::Same),
            // What must not be read is not ours.
            Ok(_) | Err(_) => Ok(There::Other),
        },
    }
}

/// Puts a file at its place; false if another was faster.
fn write(path: &Path, there: There, bytes: &[u8]) -> io::Result<bool> {
    if there == There::Same {
        // Its name, and what it holds, may not be durable yet; or the ERP has taken it by now.
        return match File::open(path) {
            Ok(file) => {
                disk::sync(&file, path)?;
                path.parent().map_or(Ok(()), disk::sync_folder)?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        };
    }
    let mut file = Unfinished::begin(path, MODE)?;
    file.write_all(bytes)?;
    match file.put_new() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        put => put.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn marked(name: &str) -> Option<String> {
        Some(format!("{name}.ok"))
    }

    #[test]
    fn a_name_that_another_has_taken_gets_a_number_and_our_own_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let put = |bytes: &[u8]| put(folder.path(), "R_1.csv", |_| None, bytes).unwrap();
        assert_eq!(put(b"a;b\r\n"), "R_1.csv");
        assert_eq!(put(b"a;b\r\n"), "R_1.csv", "as after a crash");
        assert_eq!(put(b"a;c\r\n"), "R_1-2.csv");
        assert_eq!(put(b"a;c\r\n"), "R_1-2.csv");
        assert_eq!(fs::read(folder.path().join("R_1.csv")).unwrap(), b"a;b\r\n");
        std::os::unix::fs::symlink("/dev/null", folder.path().join("R_1-3.csv")).unwrap();
        assert_eq!(put(b""), "R_1-4.csv");
        assert_eq!(names(folder.path()), ["R_1-2.csv", "R_1-3.csv", "R_1-4.csv", "R_1.csv"]);
    }

    #[test]
    fn a_marker_lies_beside_its_file_and_is_never_written_over_another() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("R_1.csv.ok"), "mine").unwrap();
        assert_eq!(put(folder.path(), "R_1.csv", marked, b"x").unwrap(), "R_1-2.csv");
        assert_eq!(names(folder.path()), ["R_1-2.csv", "R_1-2.csv.ok", "R_1.csv.ok"]);
        // A crash came before the marker.
        fs::remove_file(folder.path().join("R_1-2.csv.ok")).unwrap();
        assert_eq!(put(folder.path(), "R_1.csv", marked, b"x").unwrap(), "R_1-2.csv");
        assert_eq!(names(folder.path()), ["R_1-2.csv", "R_1-2.csv.ok", "R_1.csv.ok"]);
    }

    #[test]
    fn a_folder_that_is_gone_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let gone: PathBuf = folder.path().join("share");
        let error = put(&gone, "R_1.csv", |_| None, b"x").unwrap_err();
        assert!(error.to_string().ends_with("share is not there"), "{error}");
        assert_eq!(names(folder.path()), [""; 0]);
    }
}
