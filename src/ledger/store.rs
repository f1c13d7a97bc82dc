//! Store: the ledger's data, mirrored in memory and kept in entries on disk.

mod aside;
mod connection;
mod event;
pub mod hold;
pub mod invitation;
mod memory;
mod outbox;
mod remote;
mod subscription;
mod seen;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;

pub use aside::WHOLE;
use event::OfSender;
use hold::Holding;
use outbox::Outboxes;
pub use outbox::Waits;
use verdict::{Parked, parked_key};

use super::account::{Account, Progress, Waiting};
use super::entries::{Entries, parse};
use super::entry::STATES;
use super::keys::{
    account_key, alarm_key, chunk_key, chunk_prefix, file_of_chunk, identity_key, login_key,
    release_key, verdict_key, waiting_key, waiting_prefix,
};
use super::ordinals::Ordinals;
use super::{
    Age, Alarm, Change, Connections, Event, FileCounts, LoginRefusals, ReleaseAge, Sender, Settled,
    Tally, Told, renewal,
};
use crate::model::{Arrival, Identity, State};

/// The version of what is stored; a store of a newer one is refused.
pub const SCHEMA: u32 = 1;

/// How many entries of closed files one commit removes. All those of a big file at once would take
/// memory that grows with it.
const GONE: usize = 256;

/// The ledger's data. Changes are gathered and made durable together by `commit`.
pub struct Store {
    entries: Entries,
    dirty_chunks: BTreeSet<(Arrival, u8, u32)>,
    dirty_accounts: BTreeSet<Arrival>,
    /// Chunks of files that are closed, still to be removed. Nothing looks at them any more.
    gone: VecDeque<Vec<u8>>,
    next_arrival: u64,
    installation: String,
    /// The records that are parked for CPu's verdict, by customer and reference in lower case.
    parked: Parked,
    /// The transfers and revokes that wait, by API and release.
    holding: Holding,
    /// The connections of SCR APIs, by their short names.
    connections: BTreeMap<String, Arc<Connections>>,
    /// The open files.
    pub files: BTreeMap<Arrival, (Account, Progress)>,
    /// What is left of settled files, by customer.
    pub tallies: BTreeMap<String, Tally>,
    /// The alarms that stand.
    pub alarms: Vec<Alarm>,
    /// The notifications that are still to be worked on, by number, without what they say.
    pub events: BTreeMap<u64, Event>,
    /// The same by their senders.
    open_events: BTreeMap<String, OfSender>,
    /// Who has sent notifications.
    pub senders: BTreeMap<String, Sender>,
    /// The outboxes that something was queued in, by customer and name.
    pub outboxes: Outboxes,
}

impl Store {
    /// Opens the store in a folder, making it if it is not there.
    pub fn open(folder: &Path) -> anyhow::Result<Store> {
        renewal::finish(folder)?;
        let mut store = Store {
            entries: Entries::open(folder)?,
            dirty_chunks: BTreeSet::new(),
            dirty_accounts: BTreeSet::new(),
            gone: VecDeque::new(),
            next_arrival: 1,
            installation: String::new(),
            parked: Parked::new(),
            holding: Holding::default(),
            connections: BTreeMap::new(),
            files: BTreeMap::new(),
            tallies: BTreeMap::new(),
            alarms: Vec::new(),
            events: BTreeMap::new(),
            open_events: BTreeMap::new(),
            senders: BTreeMap::new(),
            outboxes: Outboxes::new(),
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
        self.entries.put(b"m/next".to_vec(), &self.next_arrival.clone());
        arrival
    }

    /// Keeps numbers up to this one from being given again.
    pub fn skip_arrival(&mut self, arrival: Arrival) {
        if self.next_arrival <= arrival.0 {
            self.next_arrival = arrival.0 + 1;
            self.entries.put(b"m/next".to_vec(), &self.next_arrival.clone());
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
    }

    /// Applies changes to a file's records. A file that is not open is an error.
    pub fn change(&mut self, arrival: Arrival, mut changes: Vec<Change>) -> anyhow::Result<()> {
        let heard: Vec<Told> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Heard(told) => Some(told),
                _ => None,
            })
            .flatten()
            .cloned()
            .collect();
        for change in &mut changes {
            match change {
                Change::Wait(waiting) => self.hasten(arrival, waiting, &heard)?,
                Change::Invited { api, name } => self.take_invitation(api, name)?,
                _ => {}
            }
        }
        let Some((account, progress)) = self.files.get_mut(&arrival) else {
            bail!("arrival {arrival} is not open in the ledger");
        };
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
                Change::Wait(mut waiting) => {
                    // What was told while it was looked at stands.
                    let earlier = progress.waiting.get(&waiting.first);
                    waiting.taken |= earlier.is_some_and(|earlier| earlier.taken);
                    self.entries.put(waiting_key(arrival, waiting.first), &waiting);
                    let parked = parked_key(&account.customer, &waiting);
                    let (first, holds) = (waiting.first, waiting.holds.clone());
                    if let Some(earlier) = progress.waiting.insert(first, waiting) {
                        self.holding.let_go(&earlier);
                        if let Some(parked) = parked_key(&account.customer, &earlier) {
                            self.parked.remove(&parked);
                        }
                    }
                    self.holding.hold(holds);
                    self.parked.extend(parked.map(|parked| (parked, (arrival, first))));
                }
                Change::Unwait(first) => {
                    if let Some(earlier) = progress.waiting.remove(&first) {
                        self.entries.remove(waiting_key(arrival, first));
                        self.holding.let_go(&earlier);
                        if let Some(parked) = parked_key(&account.customer, &earlier) {
                            self.parked.remove(&parked);
                        }
                    }
                }
                Change::Heard(told) => {
                    for told in told {
                        self.entries.remove(verdict_key(&account.customer, &told));
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
                // Noted above, where it can fail.
                Change::Invited { .. } => {}
                Change::Release { api, address, age } => {
                    self.entries.put(release_key(&api, &address), &age);
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
        Ok(self.entries.get(&release_key(api, address))?.unwrap_or_default())
    }

    /// Whether the record of this age may still be worked. Of one that is worked again it is not
    /// looked up which.
    pub fn may_be_open(&self, (arrival, ordinal): Age) -> bool {
        self.files.iter().any(|(of, (account, progress))| match &account.again {
            Some(again) => again.age == arrival,
            None => *of == arrival && !progress.is_final(ordinal),
        })
    }

    /// Records that are set aside, of whatever file, keep no release back any more.
    pub fn free_releases(&mut self, set_aside: impl Fn(Age) -> bool) -> anyhow::Result<()> {
        let mut freed = Vec::new();
        for (key, value) in self.entries.starting_with(b"r/")? {
            let age: ReleaseAge = parse(&value)?;
            freed.extend(age.without(&set_aside).map(|age| (key, age)));
        }
        freed.into_iter().for_each(|(key, age)| self.entries.put(key, &age));
        Ok(())
    }

    /// What is remembered of a customer's file with these bytes: its last pick-up.
    pub fn settled(
        &self,
        customer: &str,
        source: &str,
        identity: &Identity,
    ) -> anyhow::Result<Option<Settled>> {
        self.entries.get(&identity_key(customer, source, identity))
    }

    /// Remembers the identity of a file, open or settled.
    pub fn remember(
        &mut self,
        customer: &str,
        source: &str,
        identity: &Identity,
        settled: &Settled,
    ) {
        self.entries.put(identity_key(customer, source, identity), settled);
    }

    /// Forgets an identity: the same bytes are then a new file.
    pub fn forget(&mut self, customer: &str, source: &str, identity: &Identity) {
        self.entries.remove(identity_key(customer, source, identity));
    }

    /// Replaces a file's account by counters; of its records only the quarantined stay told.
    pub fn close(&mut self, arrival: Arrival, files: FileCounts) -> anyhow::Result<()> {
        let Some((account, _)) = self.files.get(&arrival) else { return Ok(()) };
        // All is read before anything changes: half of a change would be written with the next.
        let mut today = self.today(&account.customer)?;
        let waiting = self.entries.keys_starting_with(&waiting_prefix(arrival))?;
        let mut gone = Vec::new();
        for (_, tag) in STATES.iter().filter(|(state, _)| *state != State::Quarantined) {
            gone.extend(self.entries.keys_starting_with(&chunk_prefix(arrival, *tag))?);
        }
        let Some((account, progress)) = self.files.remove(&arrival) else { return Ok(()) };
        for waiting in progress.waiting.values() {
            self.holding.let_go(waiting);
            if let Some(parked) = parked_key(&account.customer, waiting) {
                self.parked.remove(&parked);
            }
        }
        let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
        let file = Tally { records: progress.counts(total, false), files };
        self.tally(&account.customer, |tally| {
            tally.records.add(&file.records);
            tally.files.settled += files.settled;
            tally.files.quarantined += files.quarantined;
        });
        today.add(&file);
        self.set_today(today);
        self.entries.remove(account_key(arrival));
        self.dirty_accounts.remove(&arrival);
        self.dirty_chunks.retain(|(of, tag, _)| *of != arrival || *tag == b'q');
        waiting.into_iter().for_each(|key| self.entries.remove(key));
        self.gone.extend(gone);
        for chunk in self.chunks_of(arrival) {
            let bytes = progress.quarantined.chunk_to_bytes(chunk);
            self.entries.put_bytes(chunk_key(arrival, b'q', chunk), bytes);
        }
        if files.quarantined > 0 {
            let mut whole = Ordinals::default();
            whole.insert(WHOLE, WHOLE);
            self.put_quarantined(arrival, &whole, &[(WHOLE, WHOLE)]);
        }
        Ok(())
    }

    /// Removes what was claimed in vain: the file never came into the spool.
    pub fn abandon(&mut self, arrival: Arrival) {
        self.files.remove(&arrival);
        self.dirty_accounts.remove(&arrival);
        self.entries.remove(account_key(arrival));
    }

    /// Forgets how often logins were refused.
    pub fn clear_logins(&mut self) -> anyhow::Result<()> {
        self.entries.remove_starting_with(b"l/")
    }

    /// Raises an alarm, or renews its advice while it stands; tells whether it is new.
    pub fn raise(&mut self, mut alarm: Alarm) -> bool {
        // Values stay small.
        if let Some((end, _)) = alarm.advice.char_indices().nth(400) {
            alarm.advice.truncate(end);
            alarm.advice.push('…');
        }
        let key = alarm_key(&alarm);
        match self.alarms.iter_mut().find(|held| held.same(&alarm)) {
            Some(held) if held.advice == alarm.advice => false,
            Some(held) => {
                held.advice = alarm.advice;
                let held = held.clone();
                self.entries.put(key, &held);
                false
            }
            None => {
                self.entries.put(key, &alarm);
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
            self.entries.remove(alarm_key(alarm));
        }
        gone.len()
    }

    /// How often a login was refused in a row.
    pub fn login(&self, login: &str) -> anyhow::Result<LoginRefusals> {
        Ok(self.entries.get(&login_key(login))?.unwrap_or_default())
    }

    /// Sets how often a login was refused in a row.
    pub fn set_login(&mut self, login: &str, refusals: &LoginRefusals) {
        self.entries.put(login_key(login), refusals);
    }

    /// The key that secrets are marked with, so that a change can be noticed.
    pub fn secret_key(&self) -> [u8; 32] {
        *blake3::hash(self.installation.as_bytes()).as_bytes()
    }

    /// Whether further commits are needed to remove what is left of closed files.
    pub fn is_clearing(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Makes everything changed so far durable. After an error the memory is not what is on disk
    /// until `recover`.
    pub fn commit(&mut self) -> anyhow::Result<()> {
        for arrival in std::mem::take(&mut self.dirty_accounts) {
            if let Some((account, _)) = self.files.get(&arrival) {
                self.entries.put(account_key(arrival), account);
            }
        }
        for (arrival, tag, chunk) in std::mem::take(&mut self.dirty_chunks) {
            if let Some((_, progress)) = self.files.get_mut(&arrival) {
                let state = STATES.iter().find(|(_, of)| *of == tag).map(|(state, _)| *state);
                if let Some(set) = state.and_then(|state| progress.of(state)) {
                    let bytes = set.chunk_to_bytes(chunk);
                    self.entries.put_bytes(chunk_key(arrival, tag, chunk), bytes);
                }
            }
        }
        for key in self.gone.drain(..self.gone.len().min(GONE)) {
            self.entries.remove(key);
        }
        self.entries.write()
    }

    /// After an error, reads everything anew from disk, which is what was durable.
    pub fn recover(&mut self) -> anyhow::Result<()> {
        if self.entries.is_closed() {
            let reopened = Store::open(self.entries.folder())?;
            let alarms = std::mem::replace(self, reopened).alarms;
            // What could not be noted, for want of space perhaps, is told all the same.
            let unknown = |alarm: &Alarm| !self.alarms.iter().any(|held| held.same(alarm));
            let unnoted: Vec<Alarm> = alarms.into_iter().filter(unknown).collect();
            self.alarms.extend(unnoted);
        }
        Ok(())
    }

    /// Writes something, to see whether the disk takes it.
    pub fn touch(&mut self) {
        self.entries.put(b"m/touched".to_vec(), &Timestamp::now());
    }

    /// Whether the ledger gave this number out, now or earlier.
    pub fn gave_out(&self, arrival: Arrival) -> bool {
        arrival.0 < self.next_arrival
    }

    /// The bytes that the ledger takes on disk.
    pub fn size_on_disk(&self) -> u64 {
        self.entries.size_on_disk()
    }

    /// Reads everything back from disk and compares it with the memory.
    pub fn audit(&mut self) -> anyhow::Result<Vec<String>> {
        self.commit()?;
        let mut found = Vec::new();
        for (arrival, (account, progress)) in &self.files {
            let stored: Option<Account> = self.entries.get(&account_key(*arrival))?;
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
        found.extend(self.audit_outboxes()?);
        Ok(found)
    }

    #[cfg(test)]
    pub(super) fn set_schema(&mut self, schema: u32) {
        self.entries.put(b"m/schema".to_vec(), &schema);
    }

    fn load(&mut self) -> anyhow::Result<()> {
        match self.entries.get::<u32>(b"m/schema")? {
            None => {
                self.entries.put(b"m/schema".to_vec(), &SCHEMA);
                self.entries
                    .put(b"m/installation".to_vec(), &uuid::Uuid::new_v4().simple().to_string());
            }
            Some(SCHEMA) => {}
            Some(schema) => return Err(newer(schema, self.entries.folder())),
        }
        self.commit()?;
        self.installation =
            self.entries.get(b"m/installation")?.context("the ledger has no name")?;
        self.next_arrival = self.entries.get(b"m/next")?.unwrap_or(1);
        for value in self.entries.starting_with(b"f/")?.values() {
            let account: Account = parse(value)?;
            let arrival = account.arrival;
            let mut progress = Progress::default();
            for (state, tag) in STATES {
                if let Some(set) = progress.of(state) {
                    *set = self.ordinals(arrival, tag)?;
                }
            }
            for value in self.entries.starting_with(&waiting_prefix(arrival))?.values() {
                let waiting: Waiting = parse(value)?;
                let parked = parked_key(&account.customer, &waiting);
                self.parked.extend(parked.map(|parked| (parked, (arrival, waiting.first))));
                self.holding.hold(waiting.holds.clone());
                progress.waiting.insert(waiting.first, waiting);
            }
            self.files.insert(arrival, (account, progress));
        }
        self.find_gone()?;
        for (key, value) in self.entries.starting_with(b"c/")? {
            self.tallies.insert(String::from_utf8_lossy(&key[2..]).into_owned(), parse(&value)?);
        }
        for value in self.entries.starting_with(b"a/")?.values() {
            self.alarms.push(parse(value)?);
        }
        self.alarms.sort_by_key(|alarm: &Alarm| alarm.since);
        self.load_connections()?;
        self.load_events()?;
        self.load_outboxes()
    }

    /// A process that ended may have left some of what it was to remove.
    fn find_gone(&mut self) -> anyhow::Result<()> {
        let (files, gone) = (&self.files, &mut self.gone);
        self.entries.each(b"s/", &mut |key, _| {
            if let Some((arrival, tag)) = file_of_chunk(key)
                && tag != b'q'
                && !files.contains_key(&arrival)
            {
                gone.push_back(key.to_vec());
            }
            Ok(())
        })
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
        for (key, value) in self.entries.starting_with(&prefix)? {
            let chunk: [u8; 4] = key[prefix.len()..].try_into().context("a key is cut short")?;
            set.add_chunk(u32::from_be_bytes(chunk), &value)
                .ok_or_else(|| anyhow!("a chunk of arrival {arrival} cannot be read"))?;
        }
        Ok(set)
    }
}

/// That a ledger's version is not this program's.
pub fn newer(schema: u32, folder: &Path) -> anyhow::Error {
    anyhow!("the ledger in {} {}", folder.display(), newer_text(schema))
}

/// The same, of anything that tells its version.
pub fn newer_text(schema: u32) -> String {
    format!("is of version {schema}, newer than this program's {SCHEMA}; install the newer program")
}

fn tag_of(state: State) -> u8 {
    STATES.iter().find(|(of, _)| *of == state).map_or(b'q', |(_, tag)| *tag)
}
