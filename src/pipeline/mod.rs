//! Pipeline: the story of one file, from claim to close. It knows no triggers, no other files and
//! no waiting: what cannot be done now is told with the time at which it can.

pub mod again;
mod begin;
pub mod cursor;
mod finish;
mod pass;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Customer, Environments, Faults, Source};
use crate::deliver::order::OrderBook;
use crate::deliver::{Channel, Channels, Turn};
use crate::ledger::{Account, Ledger, Phase};
use crate::map::{Bundle, Mapping};
use crate::model::{Arrival, Counts};
use crate::spool::Spool;

/// What every file's pipeline works with.
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The account of everything.
    pub ledger: Ledger,
    /// Where the claimed files lie.
    pub spool: Spool,
    /// Where messages go.
    pub channels: Channels,
    /// The files of each source that are not begun yet, in the order of their arrival.
    pub begins: OrderBook,
    /// Today's mappings, by name.
    pub mappings: BTreeMap<String, Arc<Pinnable>>,
    /// What the results of open files said last.
    pub written: Mutex<BTreeMap<Arrival, Counts>>,
    /// Mappings that claims have pinned, by hash; filled as they are needed.
    pub pinned: Mutex<BTreeMap<String, Arc<Mapping>>>,
}

/// A mapping with the texts it was compiled from, as a claim pins it.
pub struct Pinnable {
    /// The texts.
    pub bundle: Bundle,
    /// The hash under which they are kept.
    pub hash: String,
    /// The compiled mapping.
    pub mapping: Arc<Mapping>,
}

/// What is left of a file after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All its records are final, and its results are put away.
    Settled,
    /// A message was cut into halves that can go out at once.
    Halves,
    /// Something waits; the earliest is due then, where a time is known.
    Waiting(Option<Timestamp>),
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

/// A file that is to be worked on.
enum Opened<'a> {
    Ready(Box<Work<'a>>),
    /// The config lacks its customer or its source.
    Unconfigured,
    /// The ledger has closed it already.
    Closed,
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
    let mut work = match Work::open(parts, arrival).await? {
        Opened::Ready(work) => *work,
        Opened::Unconfigured => return Ok(Left::Waiting(None)),
        Opened::Closed => {
            // Its account was closed before its folder could be removed.
            parts.spool.remove(arrival)?;
            return Ok(Left::Settled);
        }
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
    if work.account.phase == Phase::Open && !pass::run(parts, &work, occasion, turn, stop).await? {
        return Ok(Left::Waiting(None));
    }
    work.finish().await
}

impl Parts {
    /// Takes a file's places. To be called in the order of arrival, by whoever holds a turn of the
    /// customer's.
    pub fn line_up(&self, customer: &str, source: &str, name: &str) -> Places {
        let channel = || {
            let route = self.config.customers.get(customer)?.route(source, name)?;
            self.channels.get(&(customer.to_owned(), route.channel.clone()))?.line_up_file()
        };
        Places { begin: self.begins.line_up(&format!("{customer}/{source}")), channel: channel() }
    }

    /// The mapping kept under a hash: compiled once, from today's or from what the claim kept.
    pub fn mapping(&self, hash: &str) -> anyhow::Result<Arc<Mapping>> {
        if let Some(today) = self.mappings.values().find(|today| today.hash == hash) {
            return Ok(Arc::clone(&today.mapping));
        }
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mapping) = pinned.get(hash) {
            return Ok(Arc::clone(mapping));
        }
        let mapping = pinned_mapping(&self.spool, &self.config.environments, hash)?;
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
    async fn open(parts: &'a Parts, arrival: Arrival) -> anyhow::Result<Opened<'a>> {
        let account = parts
            .ledger
            .change(move |store| Ok(store.files.get(&arrival).map(|(account, _)| account.clone())))
            .await?;
        let Some(account) = account else { return Ok(Opened::Closed) };
        let customer = parts.config.customers.get(&account.customer);
        let source = customer.and_then(|customer| customer.sources.get(&account.source));
        Ok(match (customer, source) {
            (Some(customer), Some(source)) => {
                Opened::Ready(Box::new(Work { parts, account, customer, source }))
            }
            _ => Opened::Unconfigured,
        })
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
        self.parts.channels.get(&key).map(Arc::clone)
    }
}
