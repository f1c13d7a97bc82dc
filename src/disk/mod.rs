//! Disk: the operations on files that custody rests on. Each is a step at which a test can stop the
//! process or have the disk fail; a release build knows nothing of that.

#[cfg(debug_assertions)]
mod faults;
mod look;
mod unfinished;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

pub use look::Look;
pub use unfinished::Unfinished;

/// A step that is no single operation on a file, as a commit of the ledger.
pub fn step(what: &str, path: &Path) -> io::Result<()> {
    step_with(what, path, || ())
}

/// A step, and what is done of it where it is broken in the middle.
#[cfg(debug_assertions)]
fn step_with(what: &str, path: &Path, half: impl FnOnce()) -> io::Result<()> {
    faults::meet(what, path, half)
}

#[cfg(not(debug_assertions))]
#[inline(always)]
fn step_with(_: &str, _: &Path, _: impl FnOnce()) -> io::Result<()> {
    Ok(())
}

/// Makes a folder and those above it, as far as they are not there.
pub fn make_folder(folder: &Path, mode: u32) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    step("make", folder)?;
    DirBuilder::new().recursive(true).mode(mode).create(folder)?;
    match folder.parent() {
        Some(above) if above != Path::new("") => sync_folder(above),
        _ => Ok(()),
    }
}

/// Creates a file that is not there yet.
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    step("create", path)?;
    File::options().read(true).write(true).create_new(true).mode(mode).open(path)
}

/// Opens a file to write behind what it holds; tells whether it is new.
pub fn append(path: &Path, mode: u32) -> io::Result<(File, bool)> {
    step("append", path)?;
    let is_new = !path.exists();
    Ok((File::options().append(true).create(true).mode(mode).open(path)?, is_new))
}

/// Writes all bytes.
pub fn write(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    step_with("write", path, || {
        let _ = file.write_all(&bytes[..bytes.len() / 2]);
    })?;
    file.write_all(bytes)
}

/// Makes a file's bytes durable.
pub fn sync(file: &File, path: &Path) -> io::Result<()> {
    step("sync", path)?;
    file.sync_all()
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    step("sync folder", folder)?;
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot sync a folder; they write names through (fsync(2)).
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// Renames a file, replacing what has the name.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step("rename", to)?;
    fs::rename(from, to)
}

/// Renames a file unless the name is taken.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    step("rename new", to)?;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that does not know the flag (rename(2), EINVAL), as NFS.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        renamed => Ok(renamed?),
    }
}

/// Gives a file a second name unless the name is taken.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    step("link", to)?;
    fs::hard_link(from, to)
}

/// Copies all bytes of one file to another that is open.
pub fn copy(from: &mut File, to: &mut File, path: &Path) -> io::Result<()> {
    let length = from.metadata()?.len();
    step_with("copy", path, || {
        let _ = io::copy(&mut io::Read::take(&mut *from, length / 2), to);
    })?;
    io::copy(from, to)?;
    Ok(())
}

/// Sets a file's mode.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    step("mode", path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// What to do about an error, where it is one of the disk.
pub fn what_to_do(error: &anyhow::Error) -> &'static str {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            "free some of the disk; it is tried again by itself"
        }
        Some(ErrorKind::PermissionDenied) => {
            "let lighterman's user write there; it is tried again by itself"
        }
        Some(ErrorKind::ReadOnlyFilesystem) => {
            "make the file system writable; it is tried again by itself"
        }
        _ => "it is tried again by itself",
    }
}

/// Removes a file; one that is not there is removed.
pub fn remove(path: &Path) -> io::Result<()> {
    step("remove", path)?;
    gone(fs::remove_file(path))
}

/// Removes a folder with all that lies in it; one that is not there is removed.
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    step("remove folder", folder)?;
    gone(fs::remove_dir_all(folder))
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all, replacing what was there.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = Unfinished::begin(path, mode)?;
    file.write_all(bytes)?;
    file.replace()
}
