//! Work: what is done with an event.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Event, ScrKind};
use crate::deliver::{Channel, fault_of, names_of, same_vat};
use crate::model::Reply;
use crate::pipeline::Parts;
use crate::remote::cpu::Notification;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worked {
    /// It is done.
    Done,
    /// The API could not be asked; nothing else of it can be worked now.
    Unreachable(String),
    /// The API answered with a fault: it is tried again, and holds up no other.
    Refused(String),
    /// It fits nobody: it is kept.
    Nobody(String),
    /// Nothing here works on such an event: it stays as it is.
    Left,
}

/// Does what an event asks for. To do it twice is harmless.
pub async fn work(parts: &Parts, event: &Event) -> anyhow::Result<Worked> {
    match event {
        Event::Scr { api, kind: ScrKind::Release { address, vat, .. } } => {
            release_changed(parts, api, address, vat.as_deref()).await
        }
        Event::Scr { kind: ScrKind::Unknown, .. } => {
            Ok(Worked::Nobody("it is nothing that the API's document knows".to_owned()))
        }
        Event::Cpu { customer, reference, event, message } => {
            // Others tell of what was not our call: there is nothing that waits for them.
            if let Some(reference) = reference {
                let (reference, event) = (reference.clone(), event.clone());
                let message = message.clone().unwrap_or_default();
                let told = Notification { reference, event, message };
                parts.take_notification(customer, &told).await?;
            }
            Ok(Worked::Done)
        }
        Event::Scr { kind: ScrKind::Invitation { .. }, .. } => Ok(Worked::Left),
    }
}

/// Wakes the records that wait for a release.
async fn release_changed(
    parts: &Parts,
    api: &str,
    address: &str,
    vat: Option<&str>,
) -> anyhow::Result<Worked> {
    let setup = parts.setup();
    let channels: Vec<Arc<Channel>> = setup.all_channels().into_values().collect();
    let users: Vec<&Arc<Channel>> =
        channels.iter().filter(|channel| channel.scr_api() == Some(api)).collect();
    let customers: BTreeSet<&str> = users.iter().map(|channel| channel.customer()).collect();
    let is_whose = |channel: &Channel| {
        let customer = setup.of(channel.customer()).config.customers.get(channel.customer());
        match (vat, customer.and_then(|customer| customer.vat.as_deref())) {
            (Some(vat), Some(theirs)) => same_vat(vat, theirs),
            (None, _) => true,
            // Without a VAT number it is the only one's.
            (Some(_), None) => customers.len() == 1,
        }
    };
    let theirs: Vec<&Arc<Channel>> =
        users.into_iter().filter(|channel| is_whose(channel)).collect();
    let Some(channel) = theirs.first() else {
        let vat = vat.unwrap_or_default();
        return Ok(Worked::Nobody(format!("no customer of this API has the VAT number {vat}")));
    };
    let release = match channel.release(address).await {
        Ok(release) => release,
        Err(reply) => {
            let is_answer = matches!(reply, Reply::Answered(_));
            let why = fault_of(reply);
            return Ok(match is_answer {
                true => Worked::Refused(why),
                false => Worked::Unreachable(why),
            });
        }
    };
    let names = names_of(address, release.as_ref());
    let whose: Vec<(String, String)> = theirs
        .iter()
        .map(|channel| (channel.customer().to_owned(), channel.name().to_owned()))
        .collect();
    let arrivals = parts
        .ledger
        .change(move |store| {
            let open = store.files.values().filter(|(account, _)| {
                account.pinned.as_ref().is_some_and(|pinned| {
                    let mut whose = whose.iter();
                    whose.any(|(of, to)| *of == account.customer && *to == pinned.channel)
                })
            });
            Ok(open.map(|(account, _)| account.arrival).collect::<Vec<_>>())
        })
        .await?;
    for arrival in arrivals {
        parts.wakes.ring(arrival, &names);
    }
    Ok(Worked::Done)
}
