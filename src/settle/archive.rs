//! Archive: the file as it came, put away without ever taking another file's name.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};

use crate::disk::{self, Unfinished};

/// Puts `from` at `to`, for good: as a link where both are on one file system, since `from` is
/// removed afterwards; else as a copy.
pub fn put(from: &Path, to: &Path) -> anyhow::Result<()> {
    disk::set_mode(from, super::MODE)
        .with_context(|| format!("{} cannot be prepared", from.display()))?;
    Unfinished::clear(to).with_context(|| format!("{} cannot be prepared", to.display()))?;
    match disk::link(from, to) {
        Ok(()) => synced(to),
        Err(_) => put_copy(from, to),
    }
}

/// Puts a copy of `from` at `to`, for files whose `from` lives on. If `to` is there with the same
/// content, an earlier attempt has put it there.
pub fn put_copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    match copy(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !same_content(from, to)? {
                bail!("{} is there with another content; move it away", to.display());
            }
            synced(to)
        }
        copied => copied.with_context(|| format!("{} cannot be written", to.display())),
    }
}

fn synced(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().context("a file needs a folder")?;
    disk::sync_folder(folder).with_context(|| format!("{} cannot be synced", folder.display()))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        Unfinished::clear(to)?;
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut copy = Unfinished::begin(to, super::MODE)?;
    copy.copy_from(&mut File::open(from)?)?;
    copy.put_new()
}

fn same_content(a: &Path, b: &Path) -> anyhow::Result<bool> {
    let (of_a, of_b) = (fs::metadata(a)?, fs::metadata(b)?);
    if (of_a.dev(), of_a.ino()) == (of_b.dev(), of_b.ino()) {
        return Ok(true);
    }
    Ok(of_a.len() == of_b.len() && hash(a)? == hash(b)?)
}

/// BLAKE3 of a file.
pub fn hash(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(&buffer[..read]),
        };
    }
}
