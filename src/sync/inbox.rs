//! Inbox: what was acknowledged and is still to be worked on. A notification's entry in the ledger
//! is on disk before it is answered, with what it says; a long one lies in a file beside.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::Event;
use super::work::Open;
use crate::disk;
use crate::ledger::{self, Ledger, Store};
use crate::spool::{Spool, write_whole};

/// How many may be open before no more are taken: they take some 300 bytes of memory each.
const MOST_OPEN: usize = 100_000;

/// How many of them may be one sender's, so that a flood of his leaves room for the others.
const MOST_OF_ONE: usize = 75_000;

/// Bytes that are kept in the ledger itself, whose values stay small: an onRelease has some 180. A file
/// of its own would have to be synced for each, and its name.
const SHORT: usize = 300;

/// How many longer ones are written to files at once.
const FILES: usize = 32;

/// Within what time CPu's notifications are taken for repeats.
const REPEATED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What was acknowledged and is still to be worked on.
pub struct Inbox {
    ledger: Ledger,
    spool: Spool,
    last: AtomicU64,
    files: Semaphore,
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
        let inbox = Inbox {
            ledger: ledger.clone(),
            spool: spool.clone(),
            last: AtomicU64::new(last),
            files: Semaphore::new(FILES),
        };
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
        let is_long = bytes.len() > SHORT;
        let look = Look { sender: sender.to_owned(), hash, now: Timestamp::now() };
        let number = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let path = self.spool.event(number);
        if is_long {
            let first = look.clone();
            let found = self.ledger.change(move |store| first.at(store)).await?;
            if found != Kept::New {
                return Ok(found);
            }
            let _turn = self.files.acquire().await?;
            let file = path.clone();
            tokio::task::spawn_blocking(move || write_whole(&file, &bytes, 0o600)).await??;
        }
        let event = ledger::Event {
            number,
            sender: sender.to_owned(),
            kind: Event::of(sender, body).map_or("unknown", |event| event.word()).to_owned(),
            received: look.now,
            kept: None,
            body: (!is_long).then(|| body.clone()),
        };
        let kept = self.ledger.change(move |store| {
            let found = look.at(store)?;
            if found == Kept::New {
                store.add_event(event, &look.hash);
            }
            Ok(found)
        });
        let kept = kept.await;
        // A commit that failed may be on disk all the same; then the next run needs the file.
        if is_long && matches!(kept, Ok(Kept::Repeat | Kept::Full)) {
            let _ = disk::remove(&path);
        }
        let kept = kept?;
        disk::step("acknowledge", &path)?;
        Ok(kept)
    }
}

/// What a notification is looked up by.
#[derive(Clone)]
struct Look {
    sender: String,
    hash: [u8; 16],
    now: Timestamp,
}

impl Look {
    /// Whether it is to be kept.
    fn at(&self, store: &Store) -> anyhow::Result<Kept> {
        let is_full = || {
            store.open_events() >= MOST_OPEN || store.open_events_of(&self.sender) >= MOST_OF_ONE
        };
        Ok(match store.heard(&self.hash, repeats_after(&self.sender, self.now))? {
            true => Kept::Repeat,
            false if is_full() => Kept::Full,
            false => Kept::New,
        })
    }
}

/// An open notification by its number, with what it says; none if its file is gone or damaged.
pub fn read(spool: &Spool, mut event: ledger::Event) -> io::Result<(u64, Option<Open>)> {
    let number = event.number;
    let body = match event.body.take() {
        Some(body) => Some(body),
        None => match fs::read(spool.event(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => serde_json::from_slice(&read?).ok(),
        },
    };
    let open = body.and_then(|body| {
        let says = Event::of(&event.sender, &body)?;
        Some(Open { says, body, event })
    });
    Ok((number, open))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_flood_of_one_sender_leaves_room_for_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let ledger = Ledger::open(&spool.ledger()).unwrap();
        let event = |number: usize| ledger::Event {
            number: number as u64,
            sender: "scr/a".to_owned(),
            kind: "onRelease".to_owned(),
            received: Timestamp::UNIX_EPOCH,
            kept: None,
            body: None,
        };
        let flood = move |store: &mut Store| {
            for number in 1..=MOST_OF_ONE {
                store.add_event(event(number), &hash(&[&number.to_le_bytes()]));
            }
        };
        ledger.update(flood).await.unwrap();
        let inbox = Inbox::open(&ledger, &spool).await.unwrap();
        let bodies = [json!({ "release": "0xab" }), json!({ "note": "x".repeat(SHORT) })];
        for (first, body) in (1..).zip(&bodies) {
            let body = body.as_object().unwrap();
            assert_eq!(inbox.keep("scr/a", "", body).await.unwrap(), Kept::Full);
            assert_eq!(inbox.keep("scr/b", "", body).await.unwrap(), Kept::New);
            // What is kept though it fits nobody takes nobody's place.
            ledger.update(move |store| store.keep_event(first, "why")).await.unwrap();
            assert_eq!(inbox.keep("scr/a", "", body).await.unwrap(), Kept::New);
        }
    }
}
