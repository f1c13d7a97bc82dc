//! Troubles: what keeps the worker itself from working for a customer, as alarms.

use jiff::Timestamp;

use super::Run;
use super::file::OpenFile;
use crate::config::Config;
use crate::disk;
use crate::ledger::{Account, Alarm, AlarmKind};
use crate::model::Arrival;
use crate::pipeline::{Missing, Parts};
use crate::sync;

/// Raises an alarm for every broken customer, and for every API whose notifications cannot be
/// proven. Alarms of earlier runs are cleared where nothing will
/// clear them: what is mended by now, and channels that are no longer there or for which nothing
/// waits.
pub async fn tell_broken_customers(parts: &Parts) -> anyhow::Result<()> {
    let setup = parts.setup();
    let mut alarms: Vec<Alarm> = setup
        .config
        .broken
        .iter()
        .map(|(customer, faults)| {
            let what = match faults.as_slice() {
                [] => "its config cannot be used".to_owned(),
                [fault] => fault.to_string(),
                [fault, rest @ ..] => {
                    format!("{fault} (and {} more: lighterman check)", rest.len())
                }
            };
            let advice = match setup.kept.contains_key(customer) {
                true => format!("{what}; until it is mended the earlier config is used"),
                false => what,
            };
            of_config(customer, advice)
        })
        .collect();
    for alarm in &alarms {
        match setup.kept.contains_key(&alarm.customer) {
            true => tracing::error!(customer = %alarm.customer, "Not reloaded: {}", alarm.advice),
            false => {
                tracing::error!(customer = %alarm.customer, "Customer left out: {}", alarm.advice);
            }
        }
    }
    alarms.extend(of_callbacks(&setup.config));
    let channels = setup.all_channels();
    parts
        .ledger
        .change(move |store| {
            let open: Vec<Account> =
                store.files.values().map(|(account, _)| account.clone()).collect();
            // An outbox takes its own back.
            store.clear(|held| match (held.kind, &held.channel) {
                _ if held.is_of_outbox() => false,
                (AlarmKind::Config, _) => !alarms.iter().any(|alarm| alarm.same(held)),
                // Whatever fails still raises its own again.
                (AlarmKind::Disk, _) => true,
                (_, Some(channel)) => {
                    let key = (held.customer.clone(), channel.clone());
                    !channels.contains_key(&key)
                        || !open.iter().any(|file| may_wait_for(file, &key.0, channel))
                }
                (_, None) => true,
            });
            for alarm in alarms {
                store.raise(alarm);
            }
            Ok(())
        })
        .await
}

/// The APIs whose notifications cannot be proven, where any are listened for.
fn of_callbacks(config: &Config) -> Vec<Alarm> {
    if config.listen.notifications.is_none() {
        return Vec::new();
    }
    let alarm = |(api, error): (String, anyhow::Error)| {
        // An API of a customer's own has the customer's name before its own.
        let customer = api.split_once('/').map_or("", |(customer, _)| customer);
        let advice = format!("notifications of scr/{api} cannot be proven: {error:#}");
        tracing::error!("{advice}");
        of_config(customer, advice)
    };
    sync::unproven(&config.scr).into_iter().map(alarm).collect()
}

/// Whether a file's records may wait for this channel; which it goes to is known once it is begun.
fn may_wait_for(file: &Account, customer: &str, channel: &str) -> bool {
    let pinned = file.pinned.as_ref();
    file.customer == customer && pinned.is_none_or(|pinned| pinned.channel == channel)
}

/// An alarm about a customer's config, or the provider's if the customer is empty.
pub fn of_config(customer: &str, advice: String) -> Alarm {
    Alarm {
        since: Timestamp::now(),
        customer: customer.to_owned(),
        channel: None,
        source: None,
        kind: AlarmKind::Config,
        advice,
    }
}

/// Raises an alarm for a file that is open while the config lacks what it needs.
pub async fn tell_missing(run: &Run, file: &OpenFile, missing: Missing) {
    let OpenFile { customer, name, .. } = file;
    if missing == Missing::Customer && run.parts.setup().config.broken.contains_key(customer) {
        // That has an alarm of its own.
        return;
    }
    let (what, channel) = match missing {
        Missing::Customer => ("this customer's config".to_owned(), None),
        Missing::Source => (format!("the source {}", file.source), None),
        Missing::Channel(channel) => (format!("the channel {channel}"), Some(channel)),
    };
    let advice = format!(
        "{name} and perhaps others are open, but {what} is not there; put it back until they are \
         settled"
    );
    let source = match &channel {
        None => Some(file.source.clone()),
        Some(_) => None,
    };
    raise(run, Alarm { channel, source, ..of_config(customer, advice) }).await;
}

/// Tells that the worker could not do its work for a customer; it is tried again by itself.
/// `of` is the file that it concerns; none where it is the look into the folder.
pub async fn raise_fault(
    run: &Run,
    customer: &str,
    source: &str,
    of: Option<Arrival>,
    error: &anyhow::Error,
) {
    let advice = format!("{error:#}; {}", disk::what_to_do(error));
    tracing::error!(customer = %customer, "{advice}");
    let key = (customer.to_owned(), source.to_owned());
    run.faults().entry(key).or_default().insert(of);
    let alarm = Alarm {
        source: Some(source.to_owned()),
        kind: AlarmKind::Disk,
        ..of_config(customer, advice)
    };
    raise(run, alarm).await;
}

/// Notes an alarm.
pub async fn raise(run: &Run, alarm: Alarm) {
    if let Err(error) = run.parts.ledger.change(move |store| Ok(store.raise(alarm))).await {
        tracing::error!("The alarm cannot be noted: {error:#}");
    }
}

/// Takes such an alarm back, once nothing else of the source is concerned.
pub async fn clear_fault(run: &Run, customer: &str, source: &str, of: Option<Arrival>) {
    {
        let mut faults = run.faults();
        let key = (customer.to_owned(), source.to_owned());
        let Some(others) = faults.get_mut(&key) else { return };
        others.remove(&of);
        if !others.is_empty() {
            return;
        }
        faults.remove(&key);
    }
    let (customer, source) = (customer.to_owned(), Some(source.to_owned()));
    let cleared = run
        .parts
        .ledger
        .change(move |store| {
            Ok(store.clear(|alarm| {
                alarm.kind == AlarmKind::Disk
                    && alarm.customer == customer
                    && alarm.source == source
            }))
        })
        .await;
    if let Err(error) = cleared {
        tracing::error!("The alarm cannot be cleared: {error:#}");
    }
}
