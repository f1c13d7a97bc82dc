//! Renewal: a ledger is built beside the one in use, proven, and put into its place in one step.

use std::fs::{self, File};
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::entries::Entries;
use super::store::Store;
use crate::disk::{self, sync_folder};

/// A ledger that is being built.
pub struct Renewal {
    folder: PathBuf,
    building: PathBuf,
}

impl Renewal {
    /// Begins to build beside the ledger in `folder`; what an earlier attempt left is removed.
    pub fn begin(folder: &Path) -> anyhow::Result<Renewal> {
        finish(folder)?;
        let building = beside(folder, "building");
        remove(&building)?;
        let left = beside(folder, "new");
        if left.exists() {
            // A crash between the steps below left the old one here.
            rename(&left, &aside(folder, "replaced"))?;
        }
        Ok(Renewal { folder: folder.to_owned(), building })
    }

    /// Where the new ledger is to be built.
    pub fn building(&self) -> &Path {
        &self.building
    }

    /// Proves that the new ledger opens and agrees with itself, and puts it into the old one's
    /// place; tells where the old one lies now, if there was one, under a name with this word.
    pub fn put_in_place(self, word: &str) -> anyhow::Result<Option<PathBuf>> {
        let mut store = Store::open(&self.building)?;
        let faults = store.audit()?;
        drop(store);
        if !faults.is_empty() {
            bail!("the new ledger does not agree with itself: {}", faults.join("; "));
        }
        wait_until_closed(&self.building)?;
        sync_all(&self.building)?;
        let new = beside(&self.folder, "new");
        rename(&self.building, &new)?;
        if !self.folder.exists() {
            rename(&new, &self.folder)?;
            return Ok(None);
        }
        let old = aside(&self.folder, word);
        match renameat_with(CWD, &new, CWD, &self.folder, RenameFlags::EXCHANGE) {
            Ok(()) => rename(&new, &old)?,
            // Not every file system can swap: a crash between these two is mended by `finish`.
            Err(_) => {
                rename(&self.folder, &old)?;
                rename(&new, &self.folder)?;
            }
        }
        Ok(Some(old))
    }
}

/// Puts a proven ledger into its place, if a crash came in between.
pub fn finish(folder: &Path) -> anyhow::Result<()> {
    let new = beside(folder, "new");
    match !folder.exists() && new.exists() {
        true => rename(&new, folder),
        false => Ok(()),
    }
}

/// Writes the ledger in a folder anew, so that it takes no more room than it needs; tells how many
/// bytes it took before and takes now. The old one stays until the new one is proven equal.
pub fn compact(folder: &Path) -> anyhow::Result<(u64, u64)> {
    let renewal = Renewal::begin(folder)?;
    let old = Entries::open_there(folder)?;
    let mut new = Entries::open(renewal.building())?;
    let mut count = 0u64;
    old.each(b"", &mut |key, value| {
        new.put_bytes(key.to_vec(), value.to_vec());
        count += 1;
        match count % 1000 {
            0 => new.write(),
            _ => Ok(()),
        }
    })?;
    new.write()?;
    if digest(&old)? != digest(&new)? {
        bail!("the new ledger differs from the old one; the old one stays in use");
    }
    drop(new);
    drop(old);
    let before = size(folder)?;
    if let Some(old) = renewal.put_in_place("replaced")? {
        remove(&old)?;
    }
    Ok((before, size(folder)?))
}

/// Fills an empty or absent ledger with an export, which must have been checked before.
pub fn import(folder: &Path, lines: impl BufRead) -> anyhow::Result<()> {
    finish(folder)?;
    if folder.join("db").exists() {
        let entries = Entries::open(folder)?;
        entries.each(b"", &mut |key, value| match (key.starts_with(b"m/"), key) {
            (true, b"m/next") if value != b"1" => Err(holds_something(folder)),
            (true, _) => Ok(()),
            (false, _) => Err(holds_something(folder)),
        })?;
    }
    let renewal = Renewal::begin(folder)?;
    super::transfer::fill(renewal.building(), lines)?;
    renewal.put_in_place("empty")?.map_or(Ok(()), |empty| remove(&empty))
}

fn holds_something(folder: &Path) -> anyhow::Error {
    anyhow!(
        "the ledger in {} holds something already; only an empty or absent one takes an import: \
         move it away first",
        folder.display()
    )
}

/// A hash over all keys and values, in their order.
fn digest(entries: &Entries) -> anyhow::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    entries.each(b"", &mut |key, value| {
        for part in [key, value] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Ok(())
    })?;
    Ok(hasher.finalize())
}

/// The bytes of a folder's files.
pub fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let metadata = entry?.metadata()?;
        size += if metadata.is_dir() { 0 } else { metadata.len() };
    }
    Ok(size)
}

/// A free name beside the ledger, with a word and the time in it.
pub fn aside(folder: &Path, word: &str) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H%M%SZ").to_string();
    let named = |n: u32| match n {
        1 => beside(folder, &format!("{word}-{now}")),
        _ => beside(folder, &format!("{word}-{now}-{n}")),
    };
    let free = (1..).map(named).find(|path| fs::symlink_metadata(path).is_err());
    free.unwrap_or_else(|| named(0))
}

/// The name beside the ledger with this ending.
pub fn beside(folder: &Path, ending: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    folder.with_file_name(name)
}

/// Removes a folder, if it is there.
pub fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    disk::rename(from, to)
        .with_context(|| format!("{} cannot become {}", from.display(), to.display()))?;
    let folder = to.parent().context("a folder needs a folder")?;
    sync_folder(folder).with_context(|| format!("{} cannot be synced", folder.display()))
}

/// Makes everything in a folder durable.
pub fn sync_all(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_all(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    Ok(sync_folder(folder)?)
}

/// sled's threads hold the file locked for a while after the last handle was dropped.
fn wait_until_closed(folder: &Path) -> anyhow::Result<()> {
    let db = File::open(folder.join("db"))?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while db.try_lock().is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
