//! Opening the channels of a config. Over a reload, a channel that did not change goes on as it is;
//! of one that did change stays what others depend on: an SCR API's gate, the order of its releases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::care::Care;
use super::order::OrderBook;
use super::pace::Pace;
use super::{Channel, Channels, Gate, Kind, Lane, Rooms, cpu, ingestion, scr};
use crate::config::{self, ChannelKind, Config, Customer, ScrApi, ScrChannel};
use crate::remote::cpu::Cpu;
use crate::remote::http::Clients;
use crate::remote::ingestion::Ingestion;
use crate::remote::oauth2::Tokens;
use crate::remote::scr::Scr;

/// What all channels of a process share, whatever config they come from.
pub struct Shared {
    clients: Arc<Clients>,
    tokens: Arc<Tokens>,
    /// The places of requests in flight, SCR's apart.
    rooms: Rooms,
    /// By normal URL: one API, one gate.
    gates: Mutex<BTreeMap<String, (ScrApi, Arc<Gate>)>>,
}

impl Default for Shared {
    fn default() -> Shared {
        let clients = Arc::new(Clients::new());
        let tokens = Arc::new(Tokens::new(Arc::clone(&clients)));
        Shared { clients, tokens, rooms: Rooms::new(1, 1, false), gates: Mutex::default() }
    }
}

/// Opens the channels of every usable customer; those of `earlier` that did not change are taken
/// over. Nothing is sent and no secret is read yet, except the keys that sign for SCR.
///
/// A channel that cannot be opened is told with its customer; the others are there.
pub fn open(
    config: &Config,
    shared: &Shared,
    earlier: &Channels,
) -> (Channels, Vec<(String, anyhow::Error)>) {
    let config::Limits { in_flight, in_flight_bytes, .. } = config.limits;
    let is_alone = config.customers.len() + config.broken.len() <= 1;
    shared.rooms.resize(in_flight, in_flight_bytes, !is_alone);
    let mut channels = Channels::new();
    let mut failed = Vec::new();
    for customer in config.customers.values() {
        for settings in customer.channels.values() {
            let key = (customer.id.clone(), settings.name.clone());
            let earlier = earlier.get(&key);
            let kind = match &settings.kind {
                ChannelKind::Ingestion(ingestion) => open_ingestion(ingestion, shared),
                ChannelKind::Scr(scr) => open_scr(scr, config, customer, shared, earlier),
                ChannelKind::Cpu(cpu) => open_cpu(cpu, shared, earlier),
            };
            match kind {
                Ok(kind) => {
                    let same = earlier.filter(|earlier| {
                        earlier.settings == *settings && earlier.kind.goes_on_as(&kind)
                    });
                    let channel = same.map(Arc::clone).unwrap_or_else(|| {
                        Arc::new(Channel {
                            customer: customer.id.clone(),
                            name: settings.name.clone(),
                            settings: settings.clone(),
                            retry: settings.retry.clone(),
                            lane: Lane::new(settings.retry.clone()),
                            kind,
                            pace: settings.every.map(Pace::new),
                            rooms: shared.rooms.clone(),
                            retired: CancellationToken::new(),
                        })
                    });
                    channels.insert(key, channel);
                }
                Err(error) => {
                    let error = error.context(format!("channel \"{}\"", settings.name));
                    failed.push((customer.id.clone(), error));
                }
            }
        }
    }
    // Those of broken customers may go on as they are.
    let kept = earlier.iter().filter(|((customer, _), _)| config.broken.contains_key(customer));
    shared.note_users(channels.values().chain(kept.map(|(_, channel)| channel)));
    (channels, failed)
}

fn open_ingestion(settings: &config::IngestionChannel, shared: &Shared) -> anyhow::Result<Kind> {
    Ok(Kind::Ingestion(Box::new(ingestion::Lines {
        client: Ingestion::open(settings, &shared.clients, Arc::clone(&shared.tokens))?,
        care: shared.care(&settings.login),
        rules: settings.answers.clone(),
        permits: Arc::new(Semaphore::new(settings.concurrency)),
        keeps_order: settings.concurrency == 1,
    })))
}

fn open_cpu(
    settings: &config::CpuChannel,
    shared: &Shared,
    earlier: Option<&Arc<Channel>>,
) -> anyhow::Result<Kind> {
    let (files, book, behind) = match earlier.map(|earlier| &earlier.kind) {
        Some(Kind::Cpu(rights)) => {
            (rights.files.clone(), rights.book.clone(), rights.behind.clone())
        }
        _ => Default::default(),
    };
    Ok(Kind::Cpu(Box::new(cpu::Rights {
        client: Cpu::open(settings, &shared.clients, Arc::clone(&shared.tokens))?,
        care: shared.care(&settings.login),
        confirm: settings.confirm,
        verdict_within: settings.verdict_within,
        permits: Arc::new(Semaphore::new(settings.concurrency)),
        files,
        book,
        behind,
    })))
}

fn open_scr(
    settings: &ScrChannel,
    config: &Config,
    customer: &Customer,
    shared: &Shared,
    earlier: Option<&Arc<Channel>>,
) -> anyhow::Result<Kind> {
    let api = config.scr.get(&settings.api).context("the SCR API is not there")?;
    let files = match earlier.map(|earlier| &earlier.kind) {
        Some(Kind::Scr(releases)) => releases.files.clone(),
        _ => OrderBook::default(),
    };
    Ok(Kind::Scr(Box::new(scr::Releases {
        gate: shared.gate(api)?,
        vat: customer.vat.clone(),
        park_for: settings.park_for,
        verdict_within: settings.verdict_within,
        files,
    })))
}

impl Shared {
    /// Tells each gate whether several customers use it: then whose a release is must be asked
    /// first.
    fn note_users<'a>(&self, channels: impl Iterator<Item = &'a Arc<Channel>>) {
        let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let channels: Vec<_> = channels.collect();
        for channel in &channels {
            if let Kind::Scr(releases) = &channel.kind {
                users.entry(releases.gate.url()).or_default().insert(channel.customer());
            }
        }
        for channel in &channels {
            if let Kind::Scr(releases) = &channel.kind {
                releases.gate.set_shared(users[releases.gate.url()].len() > 1);
            }
        }
    }

    fn care(&self, login: &config::Login) -> Care {
        Care { tokens: Arc::clone(&self.tokens), login: login.clone() }
    }

    /// The gate of an API.
    pub fn gate(&self, api: &ScrApi) -> anyhow::Result<Arc<Gate>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let held = gates.get(&api.normal);
        if let Some((_, gate)) = held.filter(|(of, _)| of == api) {
            return Ok(Arc::clone(gate));
        }
        let client = Scr::open(api, &self.clients)?;
        let gate = Arc::new(match held {
            Some((_, earlier)) => earlier.renewed(client, api.concurrency),
            None => Gate::new(client, &api.normal, api.concurrency),
        });
        gates.insert(api.normal.clone(), (api.clone(), Arc::clone(&gate)));
        Ok(gate)
    }
}

impl Kind {
    /// Whether nothing that the channel's own settings do not say has changed.
    fn goes_on_as(&self, new: &Kind) -> bool {
        match (self, new) {
            (Kind::Ingestion(_), Kind::Ingestion(_)) | (Kind::Cpu(_), Kind::Cpu(_)) => true,
            (Kind::Scr(earlier), Kind::Scr(new)) => {
                Arc::ptr_eq(&earlier.gate, &new.gate) && earlier.vat == new.vat
            }
            _ => false,
        }
    }
}
