//! Work: what is done with events.

use serde_json::{Map, Value, json};

use super::invitation::{self, Answered};
use super::release::{self, Happened};
use super::{Event, ScrKind};
use crate::config::Outbox;
use crate::ledger::{self, Store};
use crate::pipeline::{Parts, Put};
use crate::remote::cpu::Notification;

/// An event that is to be worked on.
#[derive(Clone, Debug)]
pub struct Open {
    /// What it says.
    pub says: Event,
    /// All that it said.
    pub body: Map<String, Value>,
    /// What the ledger keeps of it.
    pub event: ledger::Event,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worked {
    /// It is done.
    Done,
    /// The API could not be asked.
    Unreachable(String),
    /// There is no room to keep what came of it.
    Full(String),
    /// The API answered with a fault: it is tried again, and holds up no other.
    Refused(String),
    /// It fits nobody: it is kept.
    Nobody(String),
}

/// The events that end when what came of them is kept, in the same moment.
#[derive(Clone, Debug, Default)]
pub struct Ends(Vec<u64>);

impl Ends {
    /// Ends them.
    pub fn note(&self, store: &mut Store) {
        store.end_events(&self.0);
    }
}

/// Does what events ask for that one answer is enough for; the first says what. To do it twice is
/// harmless.
pub async fn work(parts: &Parts, events: &[Open]) -> anyhow::Result<Worked> {
    let Some(first) = events.first() else { return Ok(Worked::Done) };
    let ends = Ends(events.iter().map(|open| open.event.number).collect());
    match &first.says {
        Event::Scr { api, kind: ScrKind::Release { address, vat, .. } } => {
            let mut words: Vec<String> = Vec::new();
            for open in events {
                let Event::Scr { kind: ScrKind::Release { event, .. }, .. } = &open.says else {
                    continue;
                };
                // What a later version of the API may tell of is an update at least.
                let word = Outbox::word_of_release(event).unwrap_or("update");
                if !words.iter().any(|known| known == word) {
                    words.push(word.to_owned());
                }
            }
            let received = first.event.received;
            let happened = Happened { api, address, events: words, received };
            release::work(parts, &happened, vat.as_deref(), ends).await
        }
        Event::Scr { kind: ScrKind::Unknown, .. } => {
            Ok(Worked::Nobody("it is nothing that the API's document knows".to_owned()))
        }
        Event::Cpu { customer, kind, reference, container, event, message } => {
            // Others tell of what was not our call: there is nothing that waits for them.
            if let Some(reference) = reference {
                let (reference, event) = (reference.clone(), event.clone());
                let (container, message) = (container.clone(), message.clone().unwrap_or_default());
                let told = Notification { reference, container, event, message };
                parts.take_notification(customer, &told).await?;
            }
            if !parts.setup().of(customer).config.customers.contains_key(customer) {
                return Ok(Worked::Nobody(format!("the config of {customer} cannot be used")));
            }
            let Some(kind) = kind else { return Ok(Worked::Done) };
            let told = json!({
                "event": kind, "received": first.event.received.to_string(),
                "customer": customer, "notification": first.body,
            });
            Ok(
                match parts.outbox_put(customer, kind, told, move |store| ends.note(store)).await? {
                    Put::Queued(_) => Worked::Done,
                    Put::Full(why) => Worked::Full(why),
                },
            )
        }
        Event::Scr { api, kind: ScrKind::Invitation { reference, status } } => {
            let (body, received) = (&first.body, first.event.received);
            let answered = Answered { api, reference, status, body, received };
            invitation::work(parts, &answered, ends).await
        }
    }
}
