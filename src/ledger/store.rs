//! Store: the ledger's data, mirrored in memory and kept in sled. Nothing outside this file names
//! sled.
//!
//! Rules that sled 0.34.7 asks for: values stay small; a torn `snap.*.generating` is removed
//! before opening, since it would be read as a snapshot; `flush` is followed by a sync of the `db`
//! file, since it is no fsync; after an I/O error the database is opened again, since the error
//! stays latched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::account::{Account, Progress, Waiting};
use super::keys::{
    account_key, alarm_key, chunk_key, chunk_prefix, identity_key, login_key, release_key,
    tally_key, waiting_key, waiting_prefix,
};
use super::ordinals::Ordinals;
use super::{Alarm, Change, FileCounts, LoginRefusals, ReleaseAge, Settled, Tally};
use crate::model::{Arrival, Identity, State};

/// The version of what is stored; a store of a newer one is refused.
const SCHEMA: u32 = 1;

const STATES: [(State, u8); 4] = [
    (State::Delivered, b'd'),
    (State::Quarantined, b'q'),
    (State::Superseded, b's'),
    (State::Discarded, b'x'),
];

/// The ledger's data. Changes are gathered and made durable together by `commit`.
pub struct Store {
    folder: PathBuf,
    /// None between an I/O error and the next opening.
    db: Option<sled::Db>,
    file: File,
    batch: sled::Batch,
    dirty: bool,
    dirty_chunks: BTreeSet<(Arrival, u8, u32)>,
    dirty_accounts: BTreeSet<Arrival>,
    next_arrival: u64,
    installation: String,
    /// The open files.
    pub files: BTreeMap<Arrival, (Account, Progress)>,
    /// What is left of settled files, by customer.
    pub tallies: BTreeMap<String, Tally>,
    /// The alarms that stand.
    pub alarms: Vec<Alarm>,
}

impl Store {
    /// Opens the store in a folder, making it if it is not there.
    pub fn open(folder: &Path) -> anyhow::Result<Store> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the ledger's folder {} cannot be made", folder.display()))?;
        for entry in std::fs::read_dir(folder)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                std::fs::remove_file(entry.path())?;
            }
        }
        let db = open_db(folder).map_err(|error| {
            let advice = match &error {
                sled::Error::Io(error) if error.kind() == ErrorKind::PermissionDenied => {
                    "see whom the folder belongs to"
                }
                sled::Error::Io(_) => "see whether the disk is full or failing",
                _ => {
                    "keep a copy of the folder and restore it from a backup, or move it away: \
                     files in the spool are then taken in anew"
                }
            };
            let folder = folder.display();
            anyhow!(error).context(format!("the ledger in {folder} cannot be opened; {advice}"))
        })?;
        let file = File::open(folder.join("db")).context("the ledger's db file is not there")?;
        let mut store = Store {
            folder: folder.to_owned(),
            db: Some(db),
            file,
            batch: sled::Batch::default(),
            dirty: false,
            dirty_chunks: BTreeSet::new(),
            dirty_accounts: BTreeSet::new(),
            next_arrival: 1,
            installation: String::new(),
            files: BTreeMap::new(),
            tallies: BTreeMap::new(),
            alarms: Vec::new(),
        };
        store.load()?;
        Ok(store)
    }

    /// A name that no other ledger has; hidden names of claims carry it.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// The number of the next pick-up.
    pub fn next_arrival(&mut self) -> Arrival {
        let arrival = Arrival(self.next_arrival);
        self.next_arrival += 1;
        self.put(b"m/next".to_vec(), &self.next_arrival.clone());
        arrival
    }

    /// Keeps numbers up to this one from being given again.
    pub fn skip_arrival(&mut self, arrival: Arrival) {
        if self.next_arrival <= arrival.0 {
            self.next_arrival = arrival.0 + 1;
            self.put(b"m/next".to_vec(), &self.next_arrival.clone());
        }
    }

    /// Adds or replaces a file's account.
    pub fn set_account(&mut self, account: Account) {
        let arrival = account.arrival;
        self.dirty_accounts.insert(arrival);
        match self.files.get_mut(&arrival) {
            Some((held, _)) => *held = account,
            None => {
                self.files.insert(arrival, (account, Progress::default()));
            }
        }
        self.dirty = true;
    }

    /// Applies changes to a file's records. A file that is not open is an error.
    pub fn change(&mut self, arrival: Arrival, changes: Vec<Change>) -> anyhow::Result<()> {
        let Some((account, progress)) = self.files.get_mut(&arrival) else {
            bail!("arrival {arrival} is not open in the ledger");
        };
        self.dirty = true;
        for change in changes {
            match change {
                Change::Final(state, ranges) => {
                    let tag = tag_of(state);
                    let set = progress.of(state).context("an open state is not final")?;
                    for (first, last) in ranges {
                        set.insert(first, last);
                        for chunk in Ordinals::chunks_of(first, last) {
                            self.dirty_chunks.insert((arrival, tag, chunk));
                        }
                    }
                }
                Change::Wait(waiting) => {
                    self.batch.insert(waiting_key(arrival, waiting.first), json(&waiting));
                    progress.waiting.insert(waiting.first, waiting);
                }
                Change::Unwait(first) => {
                    if progress.waiting.remove(&first).is_some() {
                        self.batch.remove(waiting_key(arrival, first));
                    }
                }
                Change::Mark(mark) => {
                    account.mark = account.mark.max(mark);
                    self.dirty_accounts.insert(arrival);
                }
                Change::Message => {
                    account.messages += 1;
                    self.dirty_accounts.insert(arrival);
                }
                Change::Hold(until) => {
                    account.held_until = until;
                    self.dirty_accounts.insert(arrival);
                }
                Change::Release { api, address, age } => {
                    self.batch.insert(release_key(&api, &address), json(&age));
                }
            }
        }
        Ok(())
    }

    /// Tells how many more records of a file are in flight, or fewer; not kept on disk.
    pub fn in_flight(&mut self, arrival: Arrival, change: i64) {
        if let Some((_, progress)) = self.files.get_mut(&arrival) {
            progress.in_flight = progress.in_flight.saturating_add_signed(change);
        }
    }

    /// The age of the last call delivered for a release, and who keeps it busy.
    pub fn release(&self, api: &str, address: &str) -> anyhow::Result<ReleaseAge> {
        Ok(self.get(&release_key(api, address))?.unwrap_or_default())
    }

    /// What is remembered of a customer's file with these bytes: its last pick-up.
    pub fn settled(
        &self,
        customer: &str,
        source: &str,
        identity: &Identity,
    ) -> anyhow::Result<Option<Settled>> {
        self.get(&identity_key(customer, source, identity))
    }

    /// The records that a settled file left quarantined.
    pub fn left_quarantined(&self, arrival: Arrival) -> anyhow::Result<Ordinals> {
        self.ordinals(arrival, b'q')
    }

    /// Remembers the identity of a file, open or settled.
    pub fn remember(
        &mut self,
        customer: &str,
        source: &str,
        identity: &Identity,
        settled: &Settled,
    ) {
        self.put(identity_key(customer, source, identity), settled);
    }

    /// Forgets an identity: the same bytes are then a new file.
    pub fn forget(&mut self, customer: &str, source: &str, identity: &Identity) {
        self.batch.remove(identity_key(customer, source, identity));
        self.dirty = true;
    }

    /// Replaces a file's account by counters; of its records only the quarantined stay told.
    pub fn close(&mut self, arrival: Arrival, files: FileCounts) -> anyhow::Result<()> {
        let Some((account, progress)) = self.files.remove(&arrival) else { return Ok(()) };
        let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
        let tally = self.tallies.entry(account.customer.clone()).or_default();
        tally.records.add(&progress.counts(total, false));
        tally.files.settled += files.settled;
        tally.files.quarantined += files.quarantined;
        let tally = tally.clone();
        self.put(tally_key(&account.customer), &tally);
        self.batch.remove(account_key(arrival));
        self.dirty_accounts.remove(&arrival);
        self.dirty_chunks.retain(|(of, tag, _)| *of != arrival || *tag == b'q');
        for (_, tag) in STATES.iter().filter(|(state, _)| *state != State::Quarantined) {
            for key in self.db()?.scan_prefix(chunk_prefix(arrival, *tag)).keys() {
                self.batch.remove(key?);
            }
        }
        for chunk in self.chunks_of(arrival) {
            let bytes = progress.quarantined.chunk_to_bytes(chunk);
            self.batch.insert(chunk_key(arrival, b'q', chunk), bytes);
        }
        for key in self.db()?.scan_prefix(waiting_prefix(arrival)).keys() {
            self.batch.remove(key?);
        }
        Ok(())
    }

    /// Removes what was claimed in vain: the file never came into the spool.
    pub fn abandon(&mut self, arrival: Arrival) {
        self.files.remove(&arrival);
        self.dirty_accounts.remove(&arrival);
        self.batch.remove(account_key(arrival));
        self.dirty = true;
    }

    /// Forgets how often logins were refused.
    pub fn clear_logins(&mut self) -> anyhow::Result<()> {
        let keys: Vec<_> = self.db()?.scan_prefix(b"l/").keys().collect::<Result<_, _>>()?;
        for key in keys {
            self.batch.remove(key);
            self.dirty = true;
        }
        Ok(())
    }

    /// Raises an alarm, or renews its advice while it stands; tells whether it is new.
    pub fn raise(&mut self, mut alarm: Alarm) -> bool {
        // Values stay small.
        if let Some((end, _)) = alarm.advice.char_indices().nth(300) {
            alarm.advice.truncate(end);
            alarm.advice.push('…');
        }
        let key = alarm_key(&alarm);
        match self.alarms.iter_mut().find(|held| held.same(&alarm)) {
            Some(held) if held.advice == alarm.advice => false,
            Some(held) => {
                held.advice = alarm.advice;
                let held = held.clone();
                self.put(key, &held);
                false
            }
            None => {
                self.put(key, &alarm);
                self.alarms.push(alarm);
                true
            }
        }
    }

    /// Clears the alarms that `which` picks; tells how many stood.
    pub fn clear(&mut self, which: impl Fn(&Alarm) -> bool) -> usize {
        let (gone, kept): (Vec<Alarm>, Vec<Alarm>) =
            std::mem::take(&mut self.alarms).into_iter().partition(|alarm| which(alarm));
        self.alarms = kept;
        for alarm in &gone {
            self.batch.remove(alarm_key(alarm));
            self.dirty = true;
        }
        gone.len()
    }

    /// How often a login was refused in a row.
    pub fn login(&self, login: &str) -> anyhow::Result<LoginRefusals> {
        Ok(self.get(&login_key(login))?.unwrap_or_default())
    }

    /// Sets how often a login was refused in a row.
    pub fn set_login(&mut self, login: &str, refusals: &LoginRefusals) {
        self.put(login_key(login), refusals);
    }

    /// The key that secrets are marked with, so that a change can be noticed.
    pub fn secret_key(&self) -> [u8; 32] {
        *blake3::hash(self.installation.as_bytes()).as_bytes()
    }

    /// Makes everything changed so far durable. After an error the memory is what was durable.
    pub fn commit(&mut self) -> anyhow::Result<()> {
        if !self.dirty && self.dirty_chunks.is_empty() && self.dirty_accounts.is_empty() {
            return Ok(());
        }
        let result = self.write();
        if result.is_err() {
            // The next command opens it again.
            self.db = None;
        }
        result
    }

    /// After an error, reads everything anew from disk, which is what was durable.
    pub fn recover(&mut self) -> anyhow::Result<()> {
        match self.db {
            Some(_) => Ok(()),
            None => {
                *self = Store::open(&self.folder.clone())?;
                Ok(())
            }
        }
    }

    /// Writes something, to see whether the disk takes it.
    pub fn touch(&mut self) {
        self.put(b"m/touched".to_vec(), &Timestamp::now());
    }

    /// Whether the ledger gave this number out, now or earlier.
    pub fn gave_out(&self, arrival: Arrival) -> bool {
        arrival.0 < self.next_arrival
    }

    /// The bytes that the ledger takes on disk.
    pub fn size_on_disk(&self) -> u64 {
        self.db().and_then(|db| Ok(db.size_on_disk()?)).unwrap_or(0)
    }

    /// Reads everything back from disk and compares it with the memory.
    pub fn audit(&mut self) -> anyhow::Result<Vec<String>> {
        self.commit()?;
        let mut found = Vec::new();
        for (arrival, (account, progress)) in &self.files {
            let stored: Option<Account> = self.get(&account_key(*arrival))?;
            if stored.as_ref() != Some(account) {
                found.push(format!("arrival {arrival}: the stored account differs"));
            }
            for (set, tag) in [
                (&progress.delivered, b'd'),
                (&progress.quarantined, b'q'),
                (&progress.superseded, b's'),
                (&progress.discarded, b'x'),
            ] {
                if self.ordinals(*arrival, tag)?.ranges() != set.ranges() {
                    found.push(format!("arrival {arrival}: the stored records differ"));
                }
            }
        }
        Ok(found)
    }

    #[cfg(test)]
    pub(super) fn set_schema(&mut self, schema: u32) {
        self.put(b"m/schema".to_vec(), &schema);
    }

    fn write(&mut self) -> anyhow::Result<()> {
        for arrival in std::mem::take(&mut self.dirty_accounts) {
            if let Some((account, _)) = self.files.get(&arrival) {
                self.batch.insert(account_key(arrival), json(account));
            }
        }
        for (arrival, tag, chunk) in std::mem::take(&mut self.dirty_chunks) {
            if let Some((_, progress)) = self.files.get_mut(&arrival) {
                let state = STATES.iter().find(|(_, of)| *of == tag).map(|(state, _)| *state);
                if let Some(set) = state.and_then(|state| progress.of(state)) {
                    self.batch.insert(chunk_key(arrival, tag, chunk), set.chunk_to_bytes(chunk));
                }
            }
        }
        self.dirty = false;
        let batch = std::mem::take(&mut self.batch);
        let db = self.db()?;
        db.apply_batch(batch).context("the ledger refused a write")?;
        db.flush().context("the ledger could not be written to disk")?;
        self.file.sync_data().context("the ledger could not be synced to disk")
    }

    fn db(&self) -> anyhow::Result<&sled::Db> {
        self.db.as_ref().context("the ledger was closed by an error and is not open again yet")
    }

    fn load(&mut self) -> anyhow::Result<()> {
        match self.get::<u32>(b"m/schema")? {
            None => {
                self.put(b"m/schema".to_vec(), &SCHEMA);
                self.put(b"m/installation".to_vec(), &uuid::Uuid::new_v4().simple().to_string());
            }
            Some(SCHEMA) => {}
            Some(schema) => bail!(
                "the ledger in {} is of version {schema}, newer than this program's {SCHEMA}; \
                 install the newer program",
                self.folder.display()
            ),
        }
        self.commit()?;
        self.installation = self.get(b"m/installation")?.context("the ledger has no name")?;
        self.next_arrival = self.get(b"m/next")?.unwrap_or(1);
        for pair in self.db()?.scan_prefix(b"f/") {
            let account: Account = parse(&pair?.1)?;
            let arrival = account.arrival;
            let mut progress = Progress::default();
            for (state, tag) in STATES {
                if let Some(set) = progress.of(state) {
                    *set = self.ordinals(arrival, tag)?;
                }
            }
            for pair in self.db()?.scan_prefix(waiting_prefix(arrival)) {
                let waiting: Waiting = parse(&pair?.1)?;
                progress.waiting.insert(waiting.first, waiting);
            }
            self.files.insert(arrival, (account, progress));
        }
        for pair in self.db()?.scan_prefix(b"c/") {
            let (key, value) = pair?;
            self.tallies.insert(String::from_utf8_lossy(&key[2..]).into_owned(), parse(&value)?);
        }
        for pair in self.db()?.scan_prefix(b"a/") {
            self.alarms.push(parse(&pair?.1)?);
        }
        self.alarms.sort_by_key(|alarm: &Alarm| alarm.since);
        Ok(())
    }

    fn chunks_of(&self, arrival: Arrival) -> BTreeSet<u32> {
        self.dirty_chunks
            .iter()
            .filter(|(of, ..)| *of == arrival)
            .map(|(.., chunk)| *chunk)
            .collect()
    }

    fn ordinals(&self, arrival: Arrival, tag: u8) -> anyhow::Result<Ordinals> {
        let mut set = Ordinals::default();
        let prefix = chunk_prefix(arrival, tag);
        for pair in self.db()?.scan_prefix(&prefix) {
            let (key, value) = pair?;
            let chunk: [u8; 4] = key[prefix.len()..].try_into().context("a key is cut short")?;
            set.add_chunk(u32::from_be_bytes(chunk), &value)
                .ok_or_else(|| anyhow!("a chunk of arrival {arrival} cannot be read"))?;
        }
        Ok(set)
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> anyhow::Result<Option<T>> {
        self.db()?
            .get(key)
            .context("the ledger cannot be read")?
            .map(|value| parse(&value))
            .transpose()
    }

    fn put(&mut self, key: Vec<u8>, value: &impl Serialize) {
        self.batch.insert(key, json(value));
        self.dirty = true;
    }
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

fn tag_of(state: State) -> u8 {
    STATES.iter().find(|(of, _)| *of == state).map_or(b'q', |(_, tag)| *tag)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(bytes).context("an entry of the ledger cannot be read")
}
