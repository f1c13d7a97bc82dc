//! Ledger: the durable account of every file and record.
//!
//! One thread owns the store; whoever changes something gets the answer when the change is on disk,
//! and changes that come together are made durable together.

pub mod account;
pub mod alarm;
mod check;
mod connection;
mod entries;
mod entry;
mod event;
mod invitation;
mod keys;
mod login;
mod outbox;
pub mod ordinals;
mod remote;
pub mod renewal;
pub mod salvage;
mod seen;
mod store;
mod subscription;
pub mod transfer;
mod verdict;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

pub use account::{
    Account, Again, Holds, How, Phase, Pinned, Progress, Repeat, ResultNames, Wait, Waiting,
};
pub use alarm::{Alarm, AlarmKind};
pub use connection::{Connection, Connections, kept};
pub use entries::Pair;
pub use entry::Entry;
pub use event::{Event, Sender};
pub use invitation::{Decision, Invitation};
pub use login::LoginRefusals;
pub use ordinals::Ordinals;
pub use outbox::{Outbox, Queued};
pub use remote::{Fetched, Known};
pub use seen::{Doubtful, Seen, Walked};
pub use store::hold::{Held, short_api};
pub use store::invitation::plain_vat;
pub use store::{Store, WHOLE, Waits};
pub use subscription::Subscription;
pub use verdict::Told;

use crate::model::{Arrival, Counts, State};

/// A handle to the ledger; clones share it.
#[derive(Clone)]
pub struct Ledger {
    commands: mpsc::Sender<Command>,
    /// Why the thread ended, once it has without being told to.
    died: watch::Receiver<Option<String>>,
    secret_key: [u8; 32],
}

type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;
type Command = Box<dyn FnOnce(Result<&mut Store, String>) -> Reply + Send>;

/// How many changes are gathered into one commit at most.
const GROUP: usize = 1024;

/// What becomes of records of one file.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// These ranges, both ends inclusive, reach a final state.
    Final(State, Vec<(u64, u64)>),
    /// These records wait.
    Wait(Waiting),
    /// The records that waited from this ordinal on wait no more.
    Unwait(u64),
    /// A restart need not cut messages before this ordinal again.
    Mark(u64),
    /// One more message was answered finally.
    Message,
    /// The rest of the file waits for a paused channel until then, or no more.
    Hold(Option<Timestamp>),
    /// These verdicts of CPu's were acted on.
    Heard(Vec<Told>),
    /// An SCR API has taken an invitation.
    Invited {
        /// The SCR API's URL.
        api: String,
        /// The invitation's name.
        name: String,
    },
    /// The last call delivered for a release, and who keeps it busy.
    Release {
        /// The SCR API's URL.
        api: String,
        /// The release's address in lower case.
        address: String,
        /// What is now true of it.
        age: ReleaseAge,
    },
}

/// Age is (arrival, ordinal): the order in which records came in.
pub type Age = (Arrival, u64);

/// What the ledger knows of one release at one SCR API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseAge {
    /// The age of the last call delivered for it.
    pub last: Option<Age>,
    /// The record whose 202 is not confirmed yet.
    pub busy: Option<Age>,
    /// The newest record whose call may have been carried out, though no answer came.
    #[serde(default)]
    pub tried: Option<Age>,
    /// Whether a call of ours has transferred it on, so that it is not ours until it comes back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
}

impl ReleaseAge {
    /// The same once these records keep nothing back any more; none if they did not. A call that was
    /// accepted counts as delivered.
    pub fn without(self, gone: impl Fn(Age) -> bool) -> Option<ReleaseAge> {
        let busy = self.busy.filter(|busy| gone(*busy));
        let tried = self.tried.filter(|tried| gone(*tried));
        (busy.is_some() || tried.is_some()).then(|| ReleaseAge {
            last: self.last.max(busy),
            busy: self.busy.filter(|_| busy.is_none()),
            tried: self.tried.filter(|_| tried.is_none()),
            away: self.away,
        })
    }
}

/// What is remembered of a file by its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Its last pick-up.
    pub arrival: Arrival,
    /// Its name then.
    pub name: String,
    /// When it was remembered.
    pub at: Timestamp,
}

/// What is left of the settled files of one customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Their records.
    pub records: Counts,
    /// The files themselves.
    pub files: FileCounts,
}

/// What the settled files of one customer were counted with on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// What was added, without what is set aside.
    #[serde(flatten)]
    pub tally: Tally,
    /// Records that had been delivered and were sent again: how many were taken from the counters.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub less: u64,
}

fn is_nothing(count: &u64) -> bool {
    *count == 0
}

/// How many files are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCounts {
    /// In the source's folder, not claimed yet.
    pub waiting: u64,
    /// Claimed, and something is pending or in flight.
    pub open: u64,
    /// Nothing is pending or in flight, but not all records are final.
    pub answered: u64,
    /// All records are final.
    pub settled: u64,
    /// Set aside whole.
    pub quarantined: u64,
}

/// How far the clock is believed where things are cleared by their age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Believed {
    /// The time that is believed.
    pub time: Timestamp,
    /// What the clock said when it was last believed further.
    pub at: Timestamp,
}

impl Ledger {
    /// Opens the ledger in a folder and starts its thread. The thread ends with the last handle.
    pub fn open(folder: &Path) -> anyhow::Result<Ledger> {
        let (commands, queue) = mpsc::channel();
        let (opened, result) = mpsc::channel();
        let (dying, died) = watch::channel(None);
        let folder = folder.to_owned();
        std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            // Some damage makes the library panic.
            let store = catch_unwind(|| Store::open(&folder))
                .unwrap_or_else(|_| Err(anyhow!(entries::damaged(&folder))));
            match store {
                Ok(store) => {
                    let _ = opened.send(Ok(store.secret_key()));
                    let served = catch_unwind(AssertUnwindSafe(|| serve(store, &queue)));
                    if let Err(panic) = served {
                        dying.send_replace(Some(words_of(panic.as_ref())));
                    }
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        })?;
        let secret_key = result.recv().context("the ledger's thread ended")??;
        Ok(Ledger { commands, died, secret_key })
    }

    /// Waits until the ledger's thread has ended by a fault of its own, and says which. Nothing can
    /// be noted from then on: the process is to end, and to be started again.
    pub async fn died(&self) -> String {
        let mut died = self.died.clone();
        match died.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // Unreachable while a handle is left, and this is one.
            Err(_) => "it ended".to_owned(),
        }
    }

    /// The key that secrets are marked with, so that a change can be noticed.
    pub fn secret_key(&self) -> &[u8; 32] {
        &self.secret_key
    }

    /// Changes something; answers when it is on disk. If the commit fails, nothing of it is. What
    /// can fail by itself must do so before it changes anything.
    pub async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Store) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.line_up(change)?.await.context("the ledger is closed")?
    }

    /// Notes what became of records of one file. It is in line, before whatever is asked of the
    /// ledger from now on, when this returns; and on disk when what it gives answers.
    pub fn note_in_line(
        &self,
        arrival: Arrival,
        changes: Vec<Change>,
    ) -> impl Future<Output = anyhow::Result<()>> + Send + use<> {
        let lined_up = self.line_up(move |store| store.change(arrival, changes));
        async move { lined_up?.await.context("the ledger is closed")? }
    }

    fn line_up<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Store) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<oneshot::Receiver<anyhow::Result<T>>> {
        let (sender, receiver) = oneshot::channel();
        self.commands
            .send(Box::new(move |store| {
                let result = store.map_err(|error| anyhow!(error)).and_then(change);
                Box::new(move |committed| {
                    let _ = sender.send(match committed {
                        Ok(()) => result,
                        Err(error) => Err(anyhow!(error)),
                    });
                })
            }))
            .map_err(|_| anyhow!("the ledger is closed"))?;
        Ok(receiver)
    }

    /// As `change`, for what cannot fail by itself.
    pub async fn update(
        &self,
        change: impl FnOnce(&mut Store) + Send + 'static,
    ) -> anyhow::Result<()> {
        self.change(|store| {
            change(store);
            Ok(())
        })
        .await
    }

    /// Notes what became of records of one file; answers when it is on disk.
    pub async fn note(&self, arrival: Arrival, changes: Vec<Change>) -> anyhow::Result<()> {
        self.change(move |store| store.change(arrival, changes)).await
    }

    /// Tells how many more records of a file are in flight, or fewer; not kept on disk.
    pub fn in_flight(&self, arrival: Arrival, change: i64) {
        let _ = self.commands.send(Box::new(move |store| {
            if let Ok(store) = store {
                store.in_flight(arrival, change);
            }
            Box::new(|_| {})
        }));
    }

    /// The counts of every customer that the ledger knows; files that wait are not among them.
    pub async fn summary(&self) -> anyhow::Result<BTreeMap<String, Tally>> {
        self.change(|store| {
            let mut summary = store.tallies.clone();
            for (account, progress) in store.files.values() {
                let tally = summary.entry(account.customer.clone()).or_default();
                let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
                tally.records.add(&progress.counts(total, account.held_until.is_some()));
                match account.answered {
                    Some(_) => tally.files.answered += 1,
                    None => tally.files.open += 1,
                }
            }
            Ok(summary)
        })
        .await
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn serve(mut store: Store, queue: &mpsc::Receiver<Command>) {
    loop {
        // Nobody waits for what is removed of closed files: whatever is asked goes first.
        let command = match store.is_clearing() {
            true => queue.try_recv().ok(),
            false => match queue.recv() {
                Ok(command) => Some(command),
                Err(_) => break,
            },
        };
        let Some(command) = command else {
            if let Err(error) = store.commit() {
                tracing::warn!("What is left of closed files is removed later: {error:#}");
            }
            continue;
        };
        // After an error the memory is not what is on disk until the store is open again.
        if let Err(error) = store.recover() {
            let error = format!("{error:#}");
            command(Err(error.clone()))(Err(error));
            continue;
        }
        let mut replies = vec![command(Ok(&mut store))];
        while replies.len() < GROUP {
            let Ok(command) = queue.try_recv() else { break };
            replies.push(command(Ok(&mut store)));
        }
        let committed = store.commit().map_err(|error| format!("{error:#}"));
        for reply in replies {
            reply(committed.clone());
        }
    }
}
