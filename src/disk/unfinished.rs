//! Unfinished: a file while it is written. Its hidden name is always the same for one file, so that
//! what a crash leaves is found and removed when the step is taken again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

/// A file that is to be put at a place once it is whole. It goes if it is dropped before.
pub struct Unfinished {
    file: File,
    hidden: Hidden,
    to: PathBuf,
    is_put: bool,
}

impl Unfinished {
    /// Begins a file that is to be put at `to`.
    pub fn begin(to: &Path, mode: u32) -> io::Result<Unfinished> {
        let hidden = Hidden::take(hidden(to));
        hidden.clear()?;
        let file = super::create(&hidden.0, mode)?;
        Ok(Unfinished { file, hidden, to: to.to_owned(), is_put: false })
    }

    /// Removes what a crash left of an earlier attempt.
    pub fn clear(to: &Path) -> io::Result<()> {
        Hidden::take(hidden(to)).clear()
    }

    /// Copies all of `from` into it.
    pub fn copy_from(&mut self, from: &mut File) -> io::Result<()> {
        super::copy(from, &mut self.file, &self.to)
    }

    /// The file as it is.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts it at its place, replacing what is there, durably.
    pub fn replace(mut self) -> io::Result<()> {
        super::sync(&self.file, &self.to)?;
        super::rename(&self.hidden.0, &self.to)?;
        self.is_put = true;
        self.sync_folder()
    }

    /// Puts it at its place unless the name is taken, durably.
    pub fn put_new(mut self) -> io::Result<()> {
        super::sync(&self.file, &self.to)?;
        super::rename_new(&self.hidden.0, &self.to)?;
        self.is_put = true;
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.to.parent().map_or(Ok(()), super::sync_folder)
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        super::write(&mut self.file, &self.to, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_put {
            // What stays is removed when the file is written again.
            let _ = std::fs::remove_file(&self.hidden.0);
        }
    }
}

/// A hidden name that only its holder writes to; who comes second waits.
struct Hidden(PathBuf);

static TAKEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static LET_GO: Condvar = Condvar::new();

impl Hidden {
    fn take(path: PathBuf) -> Hidden {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while !taken.insert(path.clone()) {
            taken = LET_GO.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        Hidden(path)
    }

    fn clear(&self) -> io::Result<()> {
        match self.0.symlink_metadata() {
            Ok(_) => super::remove(&self.0),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        LET_GO.notify_all();
    }
}

/// The name is a hash, since a name may be as long as a folder allows.
fn hidden(to: &Path) -> PathBuf {
    let name = to.file_name().unwrap_or_default();
    let hash = blake3::hash(name.as_encoded_bytes()).to_hex();
    to.with_file_name(format!(".lighterman-{}", &hash[..16]))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_a_crash_left_goes_when_the_file_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("A.csv.receipt.json");
        fs::write(hidden(&to), b"ha").unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        crate::disk::write_whole(&to, b"{}", 0o640).unwrap();
        assert_eq!(names(folder.path()), ["A.csv.receipt.json"]);
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_is_not_finished_goes_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        drop(Unfinished::begin(&folder.path().join("A.csv"), 0o640).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn two_that_write_the_same_file_at_once_write_it_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("bundle.json");
        std::thread::scope(|scope| {
            for letter in [b"a", b"b", b"c", b"d"] {
                let (to, bytes) = (&to, letter.repeat(10_000));
                scope.spawn(move || crate::disk::write_whole(to, &bytes, 0o600).unwrap());
            }
        });
        let written = fs::read(&to).unwrap();
        assert_eq!(written, written[..1].repeat(10_000));
        assert_eq!(names(folder.path()), ["bundle.json"]);
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("A.csv");
        fs::write(&to, "older").unwrap();
        let mut unfinished = Unfinished::begin(&to, 0o640).unwrap();
        unfinished.write_all(b"newer").unwrap();
        let refused = unfinished.put_new().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"older");
        assert_eq!(names(folder.path()), ["A.csv"]);
    }
}
