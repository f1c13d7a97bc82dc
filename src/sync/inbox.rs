//! Inbox: what was acknowledged and is still to be worked on. A notification's file and its entry in
//! the ledger are on disk before it is answered.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Event;
use super::work::Open;
use crate::disk;
use crate::ledger::{self, Ledger};
use crate::spool::{Spool, write_whole};

/// How many may be open before no more are taken: they take some 300 bytes of memory each.
const MOST_OPEN: usize = 100_000;

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
        let (known, open) =
            self.ledger.change(move |store| Ok((store.heard(&hash)?, store.events.len()))).await?;
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
        let added = self.ledger.change(move |store| store.add_event(event, &hash)).await;
        if !matches!(added, Ok(true)) {
            let _ = disk::remove(&path);
        }
        let is_new = added?;
        disk::step("acknowledge", &path)?;
        Ok(if is_new { Kept::New } else { Kept::Repeat })
    }
}

/// What an open notification says; none if its file is gone or damaged.
pub fn read(spool: &Spool, event: &ledger::Event) -> Option<Open> {
    let bytes = fs::read(spool.event(event.number)).ok()?;
    let body = serde_json::from_slice(&bytes).ok()?;
    let says = Event::of(&event.sender, &body)?;
    Some(Open { says, body, event: event.clone() })
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
