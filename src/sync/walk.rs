//! Walk: at the start of a run one look at all releases that changed since the last. It stands for
//! the notifications that nobody took meanwhile, as under a timer without a receiver; more would be
//! polling, which the API asks to be left alone with (SCR API 1.2.9, "Implementation guidelines").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::change;
use super::concerned::Concerned;
use super::event::ADDRESS;
use super::receiver::scr_callback;
use super::release::{Happened, prepare};
use crate::deliver::{Channel, Turn, fault_of, names_of};
use crate::ledger::{AlarmKind, Doubtful, Seen, Store, Walked};
use crate::model::Reply;
use crate::pipeline::{Parts, Prepared, Setup};
use crate::remote::Release;
use crate::remote::scr::{Query, Walk};

/// How far before the latest change that was seen the next walk begins: clocks differ, and changes
/// that are made together become visible one after the other.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);

/// How often the list is walked at most, where it changes while it is walked.
const ROUNDS: usize = 5;

/// Releases that are looked at together.
const TOGETHER: usize = 64;

/// Bytes of releases that are held at most, to be told in the order of their change; a longer list
/// is told in parts.
const HELD: usize = 8 * 1024 * 1024;

/// How long what is known of a release may stay unconfirmed before it is noted anew.
const FRESH: SignedDuration = SignedDuration::from_hours(24);

/// Why a walk did not come to its end.
pub enum Broken {
    /// The API did not tell.
    Api(Arc<Channel>, Reply),
    /// Nothing more can be kept.
    Full(String),
    /// The ledger failed.
    Ledger(anyhow::Error),
}

/// The SCR APIs whose releases an outbox of one of their users waits for.
pub fn wanted(setup: &Arc<Setup>) -> BTreeSet<String> {
    let waits = |channel: &&Arc<Channel>| {
        let customer = setup.of(channel.customer()).config.customers.get(channel.customer());
        customer.is_some_and(|customer| {
            customer.outboxes.values().any(|outbox| outbox.is_of_releases())
        })
    };
    let channels = setup.all_channels();
    channels.values().filter(waits).filter_map(|it| it.scr_api().map(str::to_owned)).collect()
}

/// Looks at what changed at an API; tells how many releases had. Where we listen to it, the first
/// look of all only notes what there is: what was there before is no event.
pub async fn walk(parts: &Parts, api: &str, listens: bool) -> Result<usize, Broken> {
    let setup = parts.setup();
    let all = Concerned::of(&setup, api, None);
    let Some(channel) = all.channel() else { return Ok(0) };
    let url = channel.scr_url().unwrap_or_default().to_owned();
    let of = url.clone();
    let walked = parts.ledger.change(move |store| store.walked(&of)).await?;
    let tells = walked.is_some() || !listens || !is_heard(&setup, api);
    let walked = walked.unwrap_or_default();
    let of = BTreeMap::new();
    let mut round = Round { parts, setup: &setup, api, url: &url, all: &all, tells, of };
    let begun = Timestamp::now();
    let mut since = walked.since;
    let mut before = walked.doubtful;
    let mut latest: Option<Timestamp> = None;
    let mut changed = 0;
    let mut doubtful = None;
    let mut unowned = false;
    for _ in 0..ROUNDS {
        let from = Timestamp::now();
        let query = Query { since: since.map(|since| format!("{since:.3}")), ..Query::default() };
        let mut list = Walk::new(query);
        let (mut new, mut hidden) = (0, false);
        let mut held = Vec::new();
        let mut is_over = false;
        while !is_over {
            let asked = Timestamp::now();
            let page = channel.next_page(&mut list).await;
            let page = page.map_err(|reply| Broken::Api(Arc::clone(channel), reply))?;
            is_over = page.is_none();
            for next in round.hold(page.unwrap_or_default(), asked) {
                latest = latest.max(next.at);
                unowned |= next.whose.is_nobody();
                held.push(next);
            }
            held.retain(|held| !held.whose.is_nobody());
            if is_over || held.iter().map(|held| held.text.len()).sum::<usize>() > HELD {
                for looked in round.look(std::mem::take(&mut held)).await? {
                    new += usize::from(looked.is_new);
                    hidden |= before.as_ref().is_some_and(|before| looked.was_in(before));
                }
            }
        }
        changed += new;
        let may_hide = list.pages() > 1 && list.has_changed();
        doubtful = may_hide.then(|| Doubtful { since, from, until: Timestamp::now() });
        match before.take() {
            // What changed during the last walk may have moved others from a page that was still to
            // be read to one that had been.
            Some(earlier) if hidden => since = earlier.since.min(since),
            _ if !may_hide || new == 0 => break,
            _ => {}
        }
    }
    let next = latest.map(|latest| latest.min(begun)).and_then(|it| it.checked_sub(OVERLAP).ok());
    // What is nobody's may be a customer's whose config is to be mended.
    let stays = unowned && !setup.config.broken.is_empty();
    let next = if stays { walked.since } else { next.max(walked.since) };
    let walked = Walked { since: next, doubtful };
    parts.ledger.update(move |store| store.note_walked(&url, &walked)).await?;
    Ok(changed)
}

/// Whether a daemon takes the notifications of an API.
fn is_heard(setup: &Arc<Setup>, api: &str) -> bool {
    setup.config.listen.notifications.is_some() && scr_callback(setup, api).is_some()
}

/// One look at the whole list.
struct Round<'a> {
    parts: &'a Parts,
    setup: &'a Arc<Setup>,
    api: &'a str,
    url: &'a str,
    all: &'a Concerned,
    /// Whether the ERPs are told.
    tells: bool,
    /// Whom releases concern, by the VAT number of their owner.
    of: BTreeMap<Option<String>, Arc<Concerned>>,
}

/// A release that was read, and is to be told after those that changed before it.
struct Held {
    /// When it was changed, as the API tells.
    at: Option<Timestamp>,
    /// When it was asked for.
    asked: Timestamp,
    whose: Arc<Concerned>,
    /// All that the API tells of it.
    text: String,
}

/// What a look at one release brought.
struct Looked {
    /// When it was changed, as the API tells.
    at: Option<Timestamp>,
    /// Whether it was not known to be as it is.
    is_new: bool,
    /// What is to be kept of it.
    change: Option<Change>,
}

/// What is to be kept of a release in one commit.
struct Change {
    address: String,
    seen: Seen,
    told: Vec<Prepared>,
    /// No other looks at the release meanwhile.
    _turn: Turn,
}

impl Looked {
    fn was_in(&self, walk: &Doubtful) -> bool {
        let around = |at: Timestamp| {
            at >= walk.from.saturating_sub(OVERLAP).unwrap_or(Timestamp::MIN)
                && at <= walk.until.saturating_add(OVERLAP).unwrap_or(Timestamp::MAX)
        };
        self.is_new && self.at.is_none_or(around)
    }
}

impl Round<'_> {
    /// The releases of a page that was asked for at that time.
    fn hold(&mut self, page: Vec<Value>, asked: Timestamp) -> Vec<Held> {
        let hold = |document: Value| {
            let release = Release::parse(&document)?;
            let at = release.updated_at.as_deref().and_then(|at| at.parse().ok());
            let is_one = release.address.len() <= ADDRESS;
            let held =
                || Held { at, asked, whose: self.concerned(&release), text: document.to_string() };
            is_one.then(held)
        };
        page.into_iter().filter_map(hold).collect()
    }

    /// Looks at releases in the order of their change.
    async fn look(&self, mut held: Vec<Held>) -> Result<Vec<Looked>, Broken> {
        held.sort_by_key(|held| held.at);
        let looks = stream::iter(held).map(|held| self.compare(held)).buffered(TOGETHER);
        let mut looks = looks.ready_chunks(TOGETHER);
        let mut all = Vec::new();
        while let Some(chunk) = looks.next().await {
            let mut changes = Vec::new();
            let mut broken = None;
            for looked in chunk {
                match looked {
                    Ok(mut looked) => {
                        changes.extend(looked.change.take());
                        all.push(looked);
                    }
                    Err(why) => {
                        broken = Some(why);
                        break;
                    }
                }
            }
            self.keep(changes).await?;
            if let Some(why) = broken {
                return Err(why);
            }
        }
        Ok(all)
    }

    /// Queues what is told, in this order, and keeps how the releases are.
    async fn keep(&self, mut changes: Vec<Change>) -> anyhow::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let told = changes.iter_mut().flat_map(|change| change.told.drain(..)).collect();
        let notes: Vec<(String, Seen)> =
            changes.iter().map(|change| (change.address.clone(), change.seen.clone())).collect();
        let url = self.url.to_owned();
        let noted = move |store: &mut Store| {
            for (address, seen) in notes {
                store.note_seen(&url, &address, &seen);
            }
        };
        self.parts.outbox_queue(told, noted).await?;
        Ok(())
    }

    /// Whom a release concerns: at an API of several customers only whose VAT number it has.
    fn concerned(&mut self, release: &Release) -> Arc<Concerned> {
        let made = || Arc::new(Concerned::by(self.setup, self.api, release, self.all));
        let key = release.self_owner_vat.clone();
        Arc::clone(self.of.entry(key).or_insert_with(made))
    }

    async fn compare(&self, held: Held) -> Result<Looked, Broken> {
        let Held { at, asked, whose, text } = held;
        let known = Looked { at, is_new: false, change: None };
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        let Some(release) = Release::parse(&document) else { return Ok(known) };
        let (url, address) = (self.url.to_owned(), release.address.to_lowercase());
        let mut turn = self.parts.looks.line_up(&format!("{url} {address}"));
        turn.wait().await;
        let now = Timestamp::now();
        let of = address.clone();
        let before = self.parts.ledger.change(move |store| store.seen(&url, &of)).await?;
        // A notification of it was worked on since the page was asked for.
        if before.as_ref().is_some_and(|before| before.at >= asked) {
            return Ok(known);
        }
        // To whom it is new, it came.
        let before = before.filter(|before| before.customer.as_deref() == whose.one());
        let Some(seen) = change::seen(&document, whose.one(), asked) else { return Ok(known) };
        let events = change::events(before.as_ref(), &seen);
        let is_new = !events.is_empty();
        if is_new {
            whose.wake(self.parts, &names_of(&address, Some(&release))).await?;
        } else if before.is_some_and(|before| now.duration_since(before.at) < FRESH) {
            return Ok(known);
        }
        let events = if self.tells { events } else { Vec::new() };
        let events: Vec<String> = events.into_iter().map(str::to_owned).collect();
        let happened = Happened { api: self.api, address: &address, events, received: now };
        let told = prepare(self.parts, &happened, happened.to(&whose, &document)).await?;
        let told = told.map_err(Broken::Full)?;
        let seen = Seen { told: happened.events.clone(), found: happened.events, ..seen };
        Ok(Looked { at, is_new, change: Some(Change { address, seen, told, _turn: turn }) })
    }
}

impl From<anyhow::Error> for Broken {
    fn from(error: anyhow::Error) -> Broken {
        Broken::Ledger(error)
    }
}

/// Looks at all that is wanted; tells how many APIs could not be asked to the end.
pub async fn walk_all(parts: &Parts, left: &mut BTreeSet<String>, listens: bool) {
    let setup = parts.setup();
    for api in std::mem::take(left) {
        let broken = match walk(parts, &api, listens).await {
            Ok(changed) => {
                tracing::debug!(api = %api, "{changed} releases had changed");
                clear(parts, &setup, &api).await;
                continue;
            }
            Err(broken) => broken,
        };
        match broken {
            Broken::Api(channel, reply) => {
                if let Some(alarm) = channel.trouble(&reply) {
                    let raised = parts.ledger.update(|store| {
                        store.raise(alarm);
                    });
                    if let Err(error) = raised.await {
                        tracing::error!("The alarm cannot be noted: {error:#}");
                    }
                }
                tracing::warn!("The releases of scr/{api} are not looked at: {}", fault_of(reply));
            }
            Broken::Full(why) => {
                tracing::warn!("The releases of scr/{api} are not looked at: {why}");
            }
            Broken::Ledger(error) => {
                tracing::error!("The releases of scr/{api} are not looked at: {error:#}");
            }
        }
        left.insert(api);
    }
}

/// The API answers: what was wrong with it is over.
pub async fn clear(parts: &Parts, setup: &Arc<Setup>, api: &str) {
    let users: BTreeSet<(String, String)> = setup
        .all_channels()
        .into_iter()
        .filter(|(_, channel)| channel.scr_api() == Some(api) && channel.lane.is_open())
        .map(|(key, _)| key)
        .collect();
    let cleared = parts.ledger.update(move |store| {
        store.clear(|alarm| {
            let kinds =
                [AlarmKind::Unreachable, AlarmKind::LoginRefused, AlarmKind::ChannelRefused];
            let channel = alarm.channel.clone().unwrap_or_default();
            kinds.contains(&alarm.kind) && users.contains(&(alarm.customer.clone(), channel))
        });
    });
    if let Err(error) = cleared.await {
        tracing::error!("The alarm cannot be cleared: {error:#}");
    }
}

#[cfg(test)]
mod tests;
