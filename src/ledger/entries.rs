//! Entries: keys and values in sled, with a batch of changes that are not on disk yet. Nothing
//! outside this file names sled.
//!
//! Rules that sled 0.34.7 asks for: values stay small; a torn `snap.*.generating` is removed
//! before opening, since it would be read as a snapshot; `flush` is followed by a sync of the `db`
//! file, since it is no fsync; after an I/O error the database is opened again, since the error
//! stays latched.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What is done with each key and value.
pub type Each<'a> = dyn FnMut(&[u8], &[u8]) -> anyhow::Result<()> + 'a;

/// What to do where reading fails in the middle.
const UNREADABLE: &str =
    "the ledger cannot be read to its end; `lighterman ledger repair` saves what can be";

/// How many entries are read at once where all of a kind are.
const PAGE: usize = 1000;

/// The entries of a ledger. What is put and removed is seen by reads at once, and is on disk after
/// `write`.
pub struct Entries {
    folder: PathBuf,
    /// None after an I/O error: they are then opened anew.
    db: Option<sled::Db>,
    file: File,
    /// What is not on disk yet, by key; none where the entry goes.
    batch: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Entries {
    /// Opens the entries in a folder, making it if it is not there.
    pub fn open(folder: &Path) -> anyhow::Result<Entries> {
        disk::make_folder(folder, 0o700)
            .with_context(|| format!("the ledger's folder {} cannot be made", folder.display()))?;
        for entry in std::fs::read_dir(folder)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                disk::remove(&entry.path())?;
            }
        }
        let db = match catch_unwind(|| open_db(folder)) {
            Ok(Ok(db)) => db,
            Ok(Err(error)) => return Err(cannot_be_opened(folder, error)),
            // Some damage makes the library panic.
            Err(_) => return Err(anyhow!("reading it panics").context(damaged(folder))),
        };
        let file = File::open(folder.join("db")).context("the ledger's db file is not there")?;
        Ok(Entries { folder: folder.to_owned(), db: Some(db), file, batch: BTreeMap::new() })
    }

    /// Opens entries that must be there: nothing is made.
    pub fn open_there(folder: &Path) -> anyhow::Result<Entries> {
        match folder.join("db").exists() {
            true => Entries::open(folder),
            false => bail!("there is no ledger in {}", folder.display()),
        }
    }

    /// The folder they lie in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether an I/O error has closed them.
    pub fn is_closed(&self) -> bool {
        self.db.is_none()
    }

    /// The value of a key.
    pub fn get<T: DeserializeOwned>(&self, key: &[u8]) -> anyhow::Result<Option<T>> {
        self.get_bytes(key)?.map(|value| parse(&value)).transpose()
    }

    /// The bytes of a key.
    pub fn get_bytes(&self, key: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        if let Some(value) = self.batch.get(key) {
            return Ok(value.clone());
        }
        let value = self.db()?.get(key).context(UNREADABLE)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// The entries whose keys start so.
    pub fn starting_with(&self, prefix: &[u8]) -> anyhow::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut entries = BTreeMap::new();
        for pair in self.db()?.scan_prefix(prefix) {
            let (key, value) = pair.context(UNREADABLE)?;
            entries.insert(key.to_vec(), value.to_vec());
        }
        let batch = self.batch.range(prefix.to_vec()..);
        for (key, value) in batch.take_while(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        Ok(entries)
    }

    /// The keys that start so.
    pub fn keys_starting_with(&self, prefix: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
        Ok(self.starting_with(prefix)?.into_keys().collect())
    }

    /// Up to `limit` entries whose keys start so and come after a key; what was put since the last
    /// write under a new key is not among them.
    pub fn page(&self, prefix: &[u8], after: &[u8], limit: usize) -> anyhow::Result<Vec<Pair>> {
        let start = prefix.max(after).to_vec();
        let mut page = Vec::new();
        for pair in self.db()?.range(start..) {
            let (key, value) = pair.context(UNREADABLE)?;
            if page.len() == limit || !key.starts_with(prefix) {
                break;
            }
            match self.batch.get(key.as_ref()) {
                _ if key == after => {}
                Some(None) => {}
                Some(Some(value)) => page.push((key.to_vec(), value.clone())),
                None => page.push((key.to_vec(), value.to_vec())),
            }
        }
        Ok(page)
    }

    /// Calls `each` with every entry whose key starts so, a page at a time.
    pub fn each(&self, prefix: &[u8], each: &mut Each<'_>) -> anyhow::Result<()> {
        let mut after = Vec::new();
        loop {
            let page = self.page(prefix, &after, PAGE)?;
            for (key, value) in &page {
                each(key, value)?;
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: Vec<u8>, value: &impl Serialize) {
        // The types of the ledger always serialise.
        self.put_bytes(key, serde_json::to_vec(value).unwrap_or_default());
    }

    /// Sets the bytes of a key.
    pub fn put_bytes(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.batch.insert(key, Some(value));
    }

    /// Removes a key.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.batch.insert(key, None);
    }

    /// Removes all keys that start so.
    pub fn remove_starting_with(&mut self, prefix: &[u8]) -> anyhow::Result<()> {
        for key in self.starting_with(prefix)?.into_keys() {
            self.remove(key);
        }
        Ok(())
    }

    /// Makes the batch durable. After an error they are closed, and nothing of it may be relied on.
    pub fn write(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        for (key, value) in std::mem::take(&mut self.batch) {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let written = self.write_batch(batch);
        if written.is_err() {
            self.db = None;
        }
        written
    }

    /// The bytes that they take on disk.
    pub fn size_on_disk(&self) -> u64 {
        self.db().and_then(|db| Ok(db.size_on_disk()?)).unwrap_or(0)
    }

    fn write_batch(&self, batch: sled::Batch) -> anyhow::Result<()> {
        let db = self.db()?;
        disk::step("commit", &self.folder).context("the ledger refused a write")?;
        db.apply_batch(batch).context("the ledger refused a write")?;
        disk::step("flush", &self.folder).context("the ledger could not be written to disk")?;
        db.flush().context("the ledger could not be written to disk")?;
        disk::step("sync", &self.folder).context("the ledger could not be synced to disk")?;
        self.file.sync_data().context("the ledger could not be synced to disk")
    }

    fn db(&self) -> anyhow::Result<&sled::Db> {
        self.db.as_ref().context("the ledger was closed by an error and is not open again yet")
    }
}

/// What to do about a ledger that does not open.
fn cannot_be_opened(folder: &Path, error: sled::Error) -> anyhow::Error {
    let shown = folder.display();
    let advice = match &error {
        sled::Error::Io(error) if error.kind() == ErrorKind::PermissionDenied => format!(
            "the ledger in {shown} belongs to another user; run this as that user, or give it away \
             with `chown -R`"
        ),
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => format!(
            "the ledger in {shown} is open in another process; see which with `fuser {shown}/db`, \
             and stop it"
        ),
        sled::Error::Io(_) => format!(
            "the ledger in {shown} cannot be read; see whether the disk is full or failing, with \
             `df {shown}` and in the system's log"
        ),
        _ => damaged(folder),
    };
    anyhow!(error).context(advice)
}

/// What to do about a ledger that is damaged.
pub fn damaged(folder: &Path) -> String {
    format!(
        "the ledger in {} is damaged; nothing was picked up, sent or cleared: `lighterman ledger repair` \
         saves what can be read, keeps the damaged one aside and tells what was lost",
        folder.display()
    )
}

/// Reads a value.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(bytes).context(
        "an entry of the ledger cannot be read; `lighterman ledger repair` saves what can be",
    )
}

/// Opens the database, waiting a moment for a handle of our own that sled is still letting go: its
/// threads keep the folder locked for a while after the last one was dropped.
fn open_db(folder: &Path) -> sled::Result<sled::Db> {
    let config =
        sled::Config::new().path(folder).cache_capacity(4 * 1024 * 1024).flush_every_ms(None);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock")
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}
