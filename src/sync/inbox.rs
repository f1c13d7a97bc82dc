//! Inbox: what was acknowledged and is still to be worked on. A notification's file and its entry in
//! the ledger are on disk before it is answered.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::Event;
use super::work::Open;
use crate::disk;
use crate::ledger::{self, Ledger};
use crate::spool::{Spool, write_whole};

/// How many may be open before no more are taken: they take some 300 bytes of memory each.
const MOST_OPEN: usize = 100_000;

/// Within what time CPu's notifications are taken for repeats.
const REPEATED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What was acknowledged and is still to be worked on.
pub struct Inbox {
    ledger: Ledger,
    spool: Spool,
    last: AtomicU64,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk.
    New,
    /// It came before.
    Repeat,
    /// There are too many: it is not kept.
    Full,
}

impl Inbox {
    /// Opens it, and removes what a crash left that was not acknowledged.
    pub async fn open(ledger: &Ledger, spool: &Spool) -> anyhow::Result<Inbox> {
        let (last, open) = ledger
            .change(|store| {
                let open: BTreeSet<u64> = store.events.keys().copied().collect();
                Ok((store.last_event(), open))
            })
            .await?;
        let inbox =
            Inbox { ledger: ledger.clone(), spool: spool.clone(), last: AtomicU64::new(last) };
        let spool = spool.clone();
        let cleared = tokio::task::spawn_blocking(move || clear(&spool, &open));
        cleared.await?.context("the folder of notifications cannot be cleared")?;
        Ok(inbox)
    }

    /// Keeps a notification; `proof` is what tells it from an equal one that is not its repeat.
    pub async fn keep(
        &self,
        sender: &str,
        proof: &str,
        body: &Map<String, Value>,
    ) -> anyhow::Result<Kept> {
        let bytes = serde_json::to_vec(body)?;
        let hash = hash(&[sender.as_bytes(), proof.as_bytes(), &bytes]);
        let after = repeats_after(sender, Timestamp::now());
        let (known, open) = self
            .ledger
            .change(move |store| Ok((store.heard(&hash, after)?, store.open_events())))
            .await?;
        match (known, open) {
            (true, _) => return Ok(Kept::Repeat),
            (false, MOST_OPEN..) => return Ok(Kept::Full),
            _ => {}
        }
        let number = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let kind = Event::of(sender, body).map_or("unknown", |event| event.word());
        let event = ledger::Event {
            number,
            sender: sender.to_owned(),
            kind: kind.to_owned(),
            received: Timestamp::now(),
            kept: None,
        };
        let path = self.spool.event(number);
        let file = path.clone();
        tokio::task::spawn_blocking(move || write_whole(&file, &bytes, 0o600)).await??;
        let added = self.ledger.change(move |store| store.add_event(event, &hash, after)).await;
        // A commit that failed may be on disk all the same; then the next run needs the file.
        if matches!(added, Ok(false)) {
            let _ = disk::remove(&path);
        }
        let is_new = added?;
        disk::step("acknowledge", &path)?;
        Ok(if is_new { Kept::New } else { Kept::Repeat })
    }
}

/// What an open notification says; none if its file is gone or damaged.
pub fn read(spool: &Spool, event: &ledger::Event) -> io::Result<Option<Open>> {
    let bytes = match fs::read(spool.event(event.number)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let Ok(body) = serde_json::from_slice(&bytes) else { return Ok(None) };
    let says = Event::of(&event.sender, &body);
    Ok(says.map(|says| Open { says, body, event: event.clone() }))
}

/// Since when a notification that is the same to the letter is a repeat. Each of an SCR API's has a
/// token of its own; CPu may tell the same once more when it happens once more.
fn repeats_after(sender: &str, now: Timestamp) -> Timestamp {
    match sender.starts_with("cpu/") {
        true => now.checked_sub(REPEATED_WITHIN).unwrap_or(Timestamp::MIN),
        false => Timestamp::MIN,
    }
}

fn clear(spool: &Spool, open: &BTreeSet<u64>) -> anyhow::Result<()> {
    for entry in fs::read_dir(spool.events())? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
        let number = number.and_then(|number| number.parse::<u64>().ok());
        if !number.is_some_and(|number| open.contains(&number)) {
            disk::remove(&path)?;
        }
    }
    Ok(())
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}
