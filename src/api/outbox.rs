//! What waits in the outboxes to be written as files for the ERP, and what a person lets go of it.

use serde::{Deserialize, Serialize};

use super::quarantine::Refused;
use crate::config::Config;
use crate::disk;
use crate::ledger::{Alarm, Ledger, Queued, Store};
use crate::pipeline::Payload;
use crate::spool::Spool;
use crate::sync::outbox::after_discard;

/// How many documents are listed at most.
const SHOWN: usize = 10_000;

/// How many are looked at in one step.
const PAGE: usize = 1000;

/// Exit status: it can be asked again later.
const LATER: u8 = 75;

/// Which documents are meant; what is not said means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// The customer's id.
    pub customer: Option<String>,
    /// The outbox's name.
    pub outbox: Option<String>,
    /// Their sequence numbers, as ranges, both ends inclusive.
    pub numbers: Option<Vec<(u64, u64)>>,
    /// Only what the mapping refuses.
    pub refused: bool,
}

/// What a person does not want any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discard {
    /// Which documents.
    pub which: Which,
    /// Whether it is to be done, and not only to be told.
    pub act: bool,
}

/// A document that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// The customer's id.
    pub customer: String,
    /// The outbox's name.
    pub outbox: String,
    /// Its number in the outbox.
    pub sequence: u64,
    /// Its event.
    pub event: String,
    /// The address of the release that it tells of, if it does.
    pub release: Option<String>,
    /// The container that it tells of.
    pub container: Option<String>,
    /// The bill of lading that it tells of.
    pub bl: Option<String>,
    /// Since when it waits.
    pub since: jiff::Timestamp,
    /// Whether the mapping refuses it.
    pub refused: bool,
    /// Why it waits, if it is not just next.
    pub why: Option<String>,
}

/// What waits, in the order of its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The documents.
    pub documents: Vec<Waits>,
    /// How many more wait and are not listed.
    pub more: u64,
}

/// What was discarded of one outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The customer's id.
    pub customer: String,
    /// The outbox's name.
    pub outbox: String,
    /// How many documents.
    pub documents: u64,
    /// Why nothing was done, if nothing was.
    pub refused: Option<Refused>,
}

/// Tells whether the config has an outbox no more. Of a customer whose config has faults that is not
/// known.
pub fn gone_from(config: Config) -> impl Fn(&str, &str) -> bool {
    move |customer, outbox| is_gone(&config, customer, outbox)
}

/// The same of one config.
pub fn is_gone(config: &Config, customer: &str, outbox: &str) -> bool {
    let of = config.customers.get(customer);
    !config.broken.contains_key(customer)
        && !of.is_some_and(|customer| customer.outboxes.contains_key(outbox))
}

/// Lists what waits.
pub async fn list(
    ledger: &Ledger,
    spool: &Spool,
    is_gone: impl Fn(&str, &str) -> bool,
    which: &Which,
) -> anyhow::Result<List> {
    let mut list = List::default();
    for Outbox { customer, name, waiting, refused, passed, alarm, .. } in
        outboxes(ledger, which).await?
    {
        let all = if which.refused { refused } else { waiting };
        let why = match is_gone(&customer, &name) {
            true => Some("its outbox is not in the customer's file".to_owned()),
            false => alarm,
        };
        let (mut after, mut listed) = (0, 0);
        while list.documents.len() < SHOWN && !(which.refused && after >= passed) {
            let page = queued(ledger, &customer, &name, after).await?;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            let meant =
                page.into_iter().filter(|queued| !which.refused || queued.refused.is_some());
            let meant: Vec<Queued> = meant.take(SHOWN - list.documents.len()).collect();
            listed += meant.len() as u64;
            let (spool, why) = (spool.clone(), why.clone());
            let told = move || meant.into_iter().map(|queued| of(&spool, queued, &why)).collect();
            let told: anyhow::Result<Vec<Waits>> = tokio::task::spawn_blocking(told).await?;
            list.documents.extend(told?);
        }
        list.more += all.saturating_sub(listed);
    }
    Ok(list)
}

/// Discards documents that the mapping refuses, and all of an outbox that is gone from the config.
/// What waits for its turn alone is written.
pub async fn discard(
    ledger: &Ledger,
    spool: &Spool,
    is_gone: impl Fn(&str, &str) -> bool,
    wish: &Discard,
) -> anyhow::Result<Vec<Done>> {
    let outboxes = outboxes(ledger, &wish.which).await?;
    let several = wish.which.numbers.is_some() && outboxes.len() > 1;
    let mut all = Vec::new();
    for outbox in outboxes {
        let gone = is_gone(&outbox.customer, &outbox.name);
        let done = match several {
            true => Err(Refused::usage(
                "documents are numbered by outbox, and several are meant; say --customer, too",
            )),
            false => pick(ledger, &outbox, gone, &wish.which).await?,
        };
        let Outbox { customer, name, .. } = outbox;
        let (documents, refused) = match done {
            Ok(0) => continue,
            Ok(_) if wish.act => (take(ledger, spool, &customer, &name, gone, wish).await?, None),
            Ok(meant) => (meant, None),
            Err(refused) => (0, Some(refused)),
        };
        if wish.act && refused.is_none() {
            tracing::info!(
                customer = %customer,
                "{documents} documents of the outbox {name} are discarded by a person"
            );
        }
        all.push(Done { customer, outbox: name, documents, refused });
    }
    Ok(all)
}

/// An outbox in which something waits.
struct Outbox {
    customer: String,
    name: String,
    waiting: u64,
    refused: u64,
    passed: u64,
    cut: Option<(u64, u64)>,
    /// What keeps all of it from being written.
    alarm: Option<String>,
}

async fn outboxes(ledger: &Ledger, which: &Which) -> anyhow::Result<Vec<Outbox>> {
    let Which { customer, outbox, .. } = which.clone();
    let meant = move |store: &mut Store| {
        let waiting = store.outboxes.iter().filter(|((of, name), waits)| {
            waits.waiting > 0
                && customer.as_ref().is_none_or(|id| id == of)
                && outbox.as_ref().is_none_or(|wanted| wanted == name)
        });
        let told = waiting.map(|((customer, name), waits)| {
            let of = Alarm::of_outbox(name);
            let alarm = store.alarms.iter().find(|alarm| {
                alarm.customer == *customer
                    && alarm.source == of
                    && alarm.kind != crate::ledger::AlarmKind::Outbox
            });
            Outbox {
                customer: customer.clone(),
                name: name.clone(),
                waiting: waits.waiting,
                refused: waits.refused,
                passed: waits.outbox.passed,
                cut: waits.outbox.cut,
                alarm: alarm.map(|alarm| alarm.advice.clone()),
            }
        });
        Ok(told.collect())
    };
    ledger.change(meant).await
}

async fn queued(
    ledger: &Ledger,
    customer: &str,
    name: &str,
    after: u64,
) -> anyhow::Result<Vec<Queued>> {
    let (customer, name) = (customer.to_owned(), name.to_owned());
    ledger.change(move |store| store.queued(&customer, &name, after, PAGE)).await
}

/// How many documents of an outbox are meant, or why none can be discarded.
async fn pick(
    ledger: &Ledger,
    outbox: &Outbox,
    gone: bool,
    which: &Which,
) -> anyhow::Result<Result<u64, Refused>> {
    let Outbox { customer, name, waiting, refused, cut, .. } = outbox;
    let Some(numbers) = &which.numbers else {
        return Ok(Ok(if gone { *waiting } else { *refused }));
    };
    let mut meant = 0;
    let mut after = 0;
    loop {
        let page = queued(ledger, customer, name, after).await?;
        let Some(last) = page.last() else { return Ok(Ok(meant)) };
        after = last.sequence;
        for Queued { sequence, refused, .. } in page {
            if !is_in(numbers, sequence) {
                continue;
            }
            if refused.is_none() {
                let why = match gone {
                    true => "its outbox is gone: leave --numbers out, and all of it is discarded",
                    false => "it waits for its turn alone, and is written",
                };
                return Ok(Err(Refused::usage(&format!("document {sequence}: {why}"))));
            }
            if cut.is_some_and(|(first, last)| (first..=last).contains(&sequence)) {
                let why = format!("document {sequence} is being written; ask again after that");
                return Ok(Err(Refused { why, code: LATER }));
            }
            meant += 1;
        }
    }
}

/// Takes what is meant out of the ledger, and then out of the spool; tells how many.
async fn take(
    ledger: &Ledger,
    spool: &Spool,
    customer: &str,
    name: &str,
    gone: bool,
    wish: &Discard,
) -> anyhow::Result<u64> {
    let (mut after, mut taken) = (0, 0);
    loop {
        let (of, outbox, numbers) =
            (customer.to_owned(), name.to_owned(), wish.which.numbers.clone());
        let step = move |store: &mut Store| {
            let page = store.queued(&of, &outbox, after, PAGE)?;
            let Some(last) = page.last().map(|last| last.sequence) else {
                after_discard(store, &of, &outbox, gone)?;
                return Ok(None);
            };
            let cut = store.outbox(&of, &outbox).and_then(|waits| waits.outbox.cut);
            let is_cut = |at: u64| cut.is_some_and(|(first, last)| (first..=last).contains(&at));
            let meant = page.iter().filter(|queued| match &numbers {
                None if gone => true,
                None => queued.refused.is_some() && !is_cut(queued.sequence),
                Some(numbers) => queued.refused.is_some() && is_in(numbers, queued.sequence),
            });
            let meant: Vec<u64> = meant.map(|queued| queued.sequence).collect();
            Ok(Some((last, store.discard_queued(&of, &outbox, &meant)?)))
        };
        let Some((last, payloads)) = ledger.change(step).await? else { return Ok(taken) };
        after = last;
        taken += payloads.len() as u64;
        let spool = spool.clone();
        let removed = tokio::task::spawn_blocking(move || {
            payloads.iter().try_for_each(|payload| disk::remove(&spool.payload(payload)))
        });
        if let Err(error) = removed.await? {
            tracing::warn!("What was discarded of an outbox is cleared by the next run: {error}");
        }
    }
}

fn is_in(numbers: &[(u64, u64)], sequence: u64) -> bool {
    numbers.iter().any(|(first, last)| (*first..=*last).contains(&sequence))
}

/// What a document tells of, and why it waits.
fn of(spool: &Spool, queued: Queued, why: &Option<String>) -> anyhow::Result<Waits> {
    let document = Payload::read(spool, &queued.payload)?.map(|payload| payload.document);
    let text = |path: &str| {
        let value = document.as_ref().and_then(|document| document.pointer(path))?;
        value.as_str().map(str::to_owned)
    };
    // A notification of CPu has the container in `id` (reference/domain.md, section 3).
    let container = text("/release/release_data/container/containerNumber");
    Ok(Waits {
        release: text("/release/address"),
        container: container.or_else(|| text("/notification/id")),
        bl: text("/release/release_data/billOfLading/blNumber"),
        refused: queued.refused.is_some(),
        why: queued.refused.or_else(|| why.clone()),
        customer: queued.customer,
        outbox: queued.outbox,
        sequence: queued.sequence,
        event: queued.event,
        since: queued.queued,
    })
}
