//! What is where: per customer and file, and the alarms.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::deliver::{self, Channels, InUse};
use crate::ledger::{Alarm, AlarmKind, FileCounts, Ledger, Store, Subscription, Tally};
use crate::model::{Arrival, Counts};
use crate::pickup::{Sight, Sights, Waiting};

/// The answer to `status` (design, section 4.3).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// By customer.
    pub customers: BTreeMap<String, OfCustomer>,
    /// The alarms that stand, oldest first.
    pub alarms: Vec<Alarm>,
    /// The files that are not settled, in the order of their arrival.
    pub open: Vec<OpenFile>,
    /// Who has sent notifications: `scr/<api>` or `cpu/<customer>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notifications: BTreeMap<String, OfSender>,
    /// What of SCR APIs calls us, by API: those with a `callback`, and those that something was
    /// registered at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subscriptions: BTreeMap<String, OfApi>,
}

/// What was registered at one SCR API, as far as it is remembered: the API does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfApi {
    /// By type of event.
    pub registered: BTreeMap<String, Registered>,
    /// When its last notification came.
    pub last_event: Option<Timestamp>,
    /// What is to be done, if something is.
    pub advice: Option<String>,
}

/// A URL that was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The URL.
    pub url: String,
    /// When.
    pub at: Timestamp,
}

/// The notifications of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfSender {
    /// When the last one came.
    pub last: Timestamp,
    /// How many are still to be worked on.
    pub open: u64,
    /// How many of them are kept, since nothing can be done with them as things are.
    pub kept: u64,
}

/// One customer's files and records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfCustomer {
    /// How many files are in each state.
    pub files: FileCounts,
    /// How many records are in each state.
    pub records: Counts,
    /// Its requests: how many are open, and how many wait while others have their turn.
    #[serde(default)]
    pub requests: InUse,
    /// What came of the looks into its sources, while a run goes on.
    #[serde(default)]
    pub sources: BTreeMap<String, Sight>,
    /// Its outboxes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outboxes: BTreeMap<String, OfOutbox>,
}

/// What waits to be written as files for the ERP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfOutbox {
    /// How many documents wait, the refused ones too.
    pub waiting: u64,
    /// How many of them cannot be written as things are.
    pub refused: u64,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
    /// The highest sequence number that is written; 0 at first.
    pub last_written: u64,
    /// How many documents a person has discarded.
    #[serde(default)]
    pub discarded: u64,
    /// What keeps it from being written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
}

/// A file that is not settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenFile {
    /// Its pick-up's number.
    pub arrival: Arrival,
    /// The customer's id.
    pub customer: String,
    /// The source's name.
    pub source: String,
    /// Its name.
    pub file: String,
    /// When it was claimed.
    pub picked_up: Timestamp,
    /// The channel's name, once it is known.
    pub channel: Option<String>,
    /// How many records are in each state.
    pub records: Counts,
    /// When something of it is tried next, where a time is known.
    pub due: Option<Timestamp>,
    /// Why something of it waits.
    pub reasons: Vec<String>,
}

/// Gathers the status from the ledger, from the folders what waits there, and from the channels of
/// a run what is under way.
pub async fn gather(
    ledger: &Ledger,
    config: &Config,
    channels: &Channels,
    waiting: &Waiting,
    sights: &Sights,
) -> anyhow::Result<Status> {
    let mut tallies: BTreeMap<String, Tally> = match ledger.summary().await {
        Ok(tallies) => tallies,
        // What is told while the ledger cannot be opened, as on a full disk, is that alone.
        Err(error) => {
            let alarm = Alarm {
                since: Timestamp::now(),
                customer: String::new(),
                channel: None,
                source: None,
                kind: AlarmKind::Disk,
                advice: format!("{error:#}; nothing is taken in until then"),
            };
            return Ok(Status { alarms: vec![alarm], ..Status::default() });
        }
    };
    for customer in config.customers.keys().chain(config.broken.keys()) {
        tallies.entry(customer.clone()).or_default();
    }
    for (id, customer) in &config.customers {
        for source in customer.sources.values() {
            let count = waiting.count(id, source).await;
            tallies.entry(id.clone()).or_default().files.waiting += count;
        }
    }
    let (alarms, open, notifications, registered, mut outboxes) = ledger
        .change(|store| {
            let open = store.files.values().map(|(account, progress)| {
                let pinned = account.pinned.as_ref();
                let total = pinned.map_or(0, |pinned| pinned.total);
                let waits = progress.waiting.values();
                let mut reasons: Vec<String> =
                    waits.clone().map(|waiting| waiting.reason.clone()).collect();
                reasons.sort();
                reasons.dedup();
                reasons.truncate(5);
                OpenFile {
                    arrival: account.arrival,
                    customer: account.customer.clone(),
                    source: account.source.clone(),
                    file: account.name.clone(),
                    picked_up: account.picked_up,
                    channel: pinned.map(|pinned| pinned.channel.clone()),
                    records: progress.counts(total, account.held_until.is_some()),
                    due: waits.map(|waiting| waiting.due).chain(account.held_until).min(),
                    reasons,
                }
            });
            let senders = store.senders.iter().map(|(name, sender)| {
                (name.clone(), OfSender { last: sender.last, open: 0, kept: 0 })
            });
            let mut senders: BTreeMap<String, OfSender> = senders.collect();
            for event in store.events.values() {
                if let Some(of) = senders.get_mut(&event.sender) {
                    of.open += 1;
                    of.kept += u64::from(event.kept.is_some());
                }
            }
            let (registered, outboxes) = (store.subscriptions()?, outboxes(store)?);
            Ok((store.alarms.clone(), open.collect(), senders, registered, outboxes))
        })
        .await?;
    let subscriptions = subscriptions(config, registered, &notifications);
    let mut in_use = deliver::in_use(channels);
    let customers = tallies
        .into_iter()
        .map(|(id, Tally { files, records })| {
            let requests = in_use.remove(&id).unwrap_or_default();
            let sources = config.customers.get(&id).map(|customer| customer.sources.keys());
            let sight = |source: &String| (source.clone(), sights.of(&id, source));
            let sources = sources.into_iter().flatten().map(sight).collect();
            let mut outboxes = outboxes.remove(&id).unwrap_or_default();
            let configured = config.customers.get(&id).map(|customer| customer.outboxes.keys());
            for outbox in configured.into_iter().flatten() {
                outboxes.entry(outbox.clone()).or_default();
            }
            (id, OfCustomer { files, records, requests, sources, outboxes })
        })
        .collect();
    Ok(Status { customers, alarms, open, notifications, subscriptions })
}

/// What was registered where, beside what the config says today.
pub fn subscriptions(
    config: &Config,
    registered: BTreeMap<(String, String), Subscription>,
    senders: &BTreeMap<String, OfSender>,
) -> BTreeMap<String, OfApi> {
    let mut all: BTreeMap<String, OfApi> = BTreeMap::new();
    if config.listen.notifications.is_some() {
        let called = config.scr.iter().filter(|(_, api)| api.callback.is_some());
        all.extend(called.map(|(name, _)| (name.clone(), OfApi::default())));
    }
    let mut moved: BTreeSet<String> = BTreeSet::new();
    for ((name, event_type), subscription) in registered {
        let Subscription { url, registered, at } = subscription;
        if config.scr.get(&name).is_some_and(|api| api.normal != at) {
            moved.insert(name.clone());
        }
        let of = all.entry(name).or_default();
        of.registered.insert(event_type, Registered { url, at: registered });
    }
    for (name, of) in &mut all {
        of.last_event = senders.get(&format!("scr/{name}")).map(|sender| sender.last);
        of.advice = advice(config, name, of, moved.contains(name));
    }
    all
}

/// What is to be done about the callbacks of an API. One that calls us was registered, if not from
/// here.
fn advice(config: &Config, name: &str, of: &OfApi, is_moved: bool) -> Option<String> {
    let register = format!(
        "register it: lighterman scr subscribe --api {name} --url \
         https://<this machine>/notifications/scr/{name}"
    );
    let Some(api) = config.scr.get(name) else {
        return Some("the config has no such API any more, so what it sends is refused".to_owned());
    };
    let path = format!("/notifications/scr/{name}");
    let is_elsewhere = |of: &Registered| !of.url.ends_with(&path);
    if config.listen.notifications.is_none() {
        Some("nothing listens here: see [listen] notifications".to_owned())
    } else if api.callback.is_none() {
        Some(format!("[scr.{name}] has no callback, so what it sends is refused"))
    } else if is_moved {
        Some(format!("the API's own URL has changed since; {register}"))
    } else if of.registered.values().any(is_elsewhere) {
        Some(format!("notifications are taken at {path} now; {register}"))
    } else if of.registered.is_empty() && of.last_event.is_none() {
        Some(format!("nothing was registered from here, and nothing came; {register}"))
    } else {
        None
    }
}

/// The outboxes that something was queued in, by customer and name.
fn outboxes(store: &Store) -> anyhow::Result<BTreeMap<String, BTreeMap<String, OfOutbox>>> {
    let mut all: BTreeMap<String, BTreeMap<String, OfOutbox>> = BTreeMap::new();
    for ((customer, name), waits) in &store.outboxes {
        let oldest = store.queued(customer, name, 0, 1)?.first().map(|queued| queued.queued);
        let alarm = store
            .alarms
            .iter()
            .find(|alarm| alarm.customer == *customer && alarm.source == Alarm::of_outbox(name));
        let of = OfOutbox {
            waiting: waits.waiting,
            refused: waits.refused,
            oldest,
            last_written: waits.outbox.written,
            discarded: waits.outbox.discarded,
            alarm: alarm.map(|alarm| alarm.advice.clone()),
        };
        all.entry(customer.clone()).or_default().insert(name.clone(), of);
    }
    Ok(all)
}
