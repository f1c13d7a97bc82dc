//! Pipeline: the story of one file, from claim to close. It knows no triggers, no other files and
//! no waiting: what cannot be done now is told with the time at which it can.

pub mod again;
mod begin;
mod changed;
pub mod cursor;
mod cuts;
mod finish;
mod kept_back;
mod late;
mod outboxes;
mod pass;
mod sending;
mod setup;
mod verdict;
mod wakes;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use outboxes::{Outboxes, Payload, Prepared, Put, clear, document};
pub use setup::{Pinnable, Setup};
pub use wakes::{Bell, Wakes};

use crate::config::{Customer, Environments, Faults, Source};
use crate::deliver::order::OrderBook;
use crate::deliver::{Channel, Turn};
use crate::ledger::{Account, Ledger, Phase};
use crate::map::{Bundle, Mapping};
use crate::model::Arrival;
use crate::pickup::{Sights, Waiting};
use crate::sftp::Logins;
use crate::spool::Spool;
use written::Written;

/// What every file's pipeline works with.
pub struct Parts {
    setup: RwLock<Arc<Setup>>,
    /// The account of everything.
    pub ledger: Ledger,
    /// Where the claimed files lie.
    pub spool: Spool,
    /// The files of each source that are not begun yet, in the order of their arrival.
    begins: OrderBook,
    /// What the results of open files said last.
    written: Written,
    /// Mappings that claims have pinned, by hash; filled as they are needed.
    pinned: Mutex<BTreeMap<String, Arc<Mapping>>>,
    /// Tells the run that a file was opened in the ledger by somebody else than a source.
    pub opened: Arc<Notify>,
    /// The files that tasks have in hand, and what they are to be told.
    pub wakes: Wakes,
    /// Who looks at which release: what is seen last is told last.
    pub looks: OrderBook,
    /// Tells that a notification was kept.
    pub notified: Notify,
    /// How many came in a crowd, so that acknowledging them goes before the work on them.
    pub crowds: AtomicU64,
    /// Tells the outboxes that something was queued for them.
    pub outboxes: Outboxes,
    /// At partners' servers.
    pub logins: Logins,
    /// How many files wait in the sources' folders.
    pub waiting: Waiting,
    /// What came of the looks into the sources.
    pub sights: Sights,
}

/// What is left of a file after a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// All its records are final, and its results are put away.
    Settled,
    /// A message was cut into halves that can go out at once.
    Halves,
    /// Something waits; the earliest is due then, where a time is known.
    Waiting(Option<Timestamp>),
    /// The config lacks what it needs.
    Missing(Missing),
}

/// What a file needs that the config does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Its customer.
    Customer,
    /// Its source.
    Source,
    /// The channel of this name.
    Channel(String),
}

/// Why a pass is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A run has just started: each paused channel is probed once, and what is parked is looked up
    /// once.
    Start,
    /// Something is due.
    Due,
    /// The last pass could not do its work, as on a full disk.
    AfterFault,
}

/// One file under work.
struct Work<'a> {
    parts: &'a Parts,
    setup: &'a Setup,
    account: Account,
    customer: &'a Customer,
    source: &'a Source,
}

/// A file's places: among those of its source until it is known whether it is a repeat, and among
/// those of its channel, where their order matters, until all of it is lined up.
pub struct Places {
    begin: Turn,
    channel: Option<Turn>,
}

/// Takes a file as far as it can go now.
pub async fn advance(
    parts: &Arc<Parts>,
    arrival: Arrival,
    occasion: Occasion,
    places: Option<Places>,
    stop: &CancellationToken,
) -> anyhow::Result<Left> {
    let (mut begin, turn) = match places {
        Some(Places { begin, channel }) => (Some(begin), channel),
        None => (None, None),
    };
    let account = parts
        .ledger
        .change(move |store| Ok(store.files.get(&arrival).map(|(account, _)| account.clone())))
        .await?;
    let Some(account) = account else {
        // Its account was closed before its folder could be removed.
        let spool = parts.spool.clone();
        tokio::task::spawn_blocking(move || spool.remove(arrival)).await??;
        return Ok(Left::Settled);
    };
    let setup = Arc::clone(parts.setup().of(&account.customer));
    let mut work = match Work::open(parts, &setup, account) {
        Ok(work) => work,
        Err(missing) => return Ok(Left::Missing(missing)),
    };
    if matches!(work.account.phase, Phase::Claiming | Phase::Claimed) {
        // Of two files with the same bytes the later is the repeat.
        if let Some(begin) = &mut begin {
            begin.wait().await;
        }
        work.begin().await?;
    }
    drop(begin);
    if let Some(until) = work.is_held_until() {
        return Ok(Left::Waiting(Some(until)));
    }
    let mut behind = None;
    if work.account.phase == Phase::Open {
        match pass::run(parts, &work, occasion, turn, stop).await {
            Err(error) if error.is::<pass::Changed>() => work.set_aside_the_rest().await?,
            passed => match passed? {
                Ok(until) => behind = until,
                Err(missing) => return Ok(Left::Missing(missing)),
            },
        }
    }
    let left = work.finish().await?;
    Ok(match (behind, left) {
        (Some(until), Left::Halves) => Left::Waiting(Some(until)),
        (Some(until), Left::Waiting(due)) => {
            Left::Waiting(Some(due.map_or(until, |due| due.max(until))))
        }
        (_, left) => left,
    })
}

/// Writes the results of a file that were left for later, as before the end of a run.
pub async fn write_left(parts: &Parts, arrival: Arrival) -> anyhow::Result<()> {
    if !parts.written.hurry(arrival, Instant::now()) {
        return Ok(());
    }
    let account = parts
        .ledger
        .change(move |store| Ok(store.files.get(&arrival).map(|(account, _)| account.clone())))
        .await?;
    let Some(account) = account else { return Ok(()) };
    let setup = Arc::clone(parts.setup().of(&account.customer));
    // Where the config lacks what it needs, an alarm tells so.
    let Ok(mut work) = Work::open(parts, &setup, account) else { return Ok(()) };
    work.finish().await?;
    Ok(())
}

impl Parts {
    /// Parts for a run that has not done anything yet.
    pub fn new(setup: Setup, ledger: Ledger, spool: Spool) -> Parts {
        Parts {
            setup: RwLock::new(Arc::new(setup)),
            ledger,
            spool,
            begins: OrderBook::default(),
            written: Written::default(),
            pinned: Mutex::default(),
            opened: Arc::default(),
            wakes: Wakes::default(),
            looks: OrderBook::default(),
            notified: Notify::new(),
            crowds: AtomicU64::new(0),
            outboxes: Outboxes::default(),
            logins: Logins::default(),
            waiting: Waiting::default(),
            sights: Sights::default(),
        }
    }

    /// The setup in use.
    pub fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another setup in use. Files under way end their pass with the one they have.
    pub fn replace_setup(&self, setup: Setup) {
        *self.setup.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(setup);
    }

    /// Takes a file's places. To be called in the order of arrival, by whoever holds a turn of the
    /// customer's.
    pub fn line_up(&self, customer: &str, source: &str, name: &str) -> Places {
        let setup = self.setup();
        let setup = setup.of(customer);
        let channel = || {
            let route = setup.config.customers.get(customer)?.route(source, name)?;
            setup.channels.get(&(customer.to_owned(), route.channel.clone()))?.line_up_file()
        };
        Places { begin: self.begins.line_up(&format!("{customer}/{source}")), channel: channel() }
    }

    /// The mapping kept under a hash: compiled once, from today's or from what the claim kept.
    pub fn mapping(&self, hash: &str) -> anyhow::Result<Arc<Mapping>> {
        let setup = self.setup();
        if let Some(today) = setup.mappings.values().find(|today| today.hash == hash) {
            return Ok(Arc::clone(&today.mapping));
        }
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mapping) = pinned.get(hash) {
            return Ok(Arc::clone(mapping));
        }
        let environments = &setup.config.environments;
        let mapping = pinned_mapping(&self.spool, environments, hash)?;
        let mapping = Arc::new(mapping);
        pinned.insert(hash.to_owned(), Arc::clone(&mapping));
        Ok(mapping)
    }
}

/// Compiles what a claim has kept under a hash.
pub fn pinned_mapping(
    spool: &Spool,
    environments: &Environments,
    hash: &str,
) -> anyhow::Result<Mapping> {
    let path = spool.bundle(hash);
    let bytes = std::fs::read(&path)
        .with_context(|| format!("the pinned mapping {} cannot be read", path.display()))?;
    let bundle: Bundle = serde_json::from_slice(&bytes)
        .with_context(|| format!("the pinned mapping {} is damaged", path.display()))?;
    Mapping::compile(&bundle, environments, &Faults::default())
        .with_context(|| format!("the pinned mapping {} is not valid", path.display()))
}

impl<'a> Work<'a> {
    /// The file with its customer and source.
    fn open(parts: &'a Parts, setup: &'a Setup, account: Account) -> Result<Work<'a>, Missing> {
        let customer = setup.config.customers.get(&account.customer).ok_or(Missing::Customer)?;
        let source = customer.sources.get(&account.source).ok_or(Missing::Source)?;
        Ok(Work { parts, setup, account, customer, source })
    }

    /// Until when nothing can be tried, if the ledger knows that the file waits for its channel and
    /// the channel is paused still.
    fn is_held_until(&self) -> Option<Timestamp> {
        self.account.held_until?;
        let pinned = self.account.pinned.as_ref()?;
        self.channel(&pinned.channel)?.lane.paused_until()
    }

    fn data(&self) -> PathBuf {
        self.parts.spool.data(self.account.arrival)
    }

    fn channel(&self, name: &str) -> Option<Arc<Channel>> {
        let key = (self.account.customer.clone(), name.to_owned());
        self.setup.channels.get(&key).map(Arc::clone)
    }
}
