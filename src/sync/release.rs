//! Release: one that came or changed is fetched; what waits for it wakes, and the ERP is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::change;
use super::taken;
use super::work::{Ends, Worked};
use crate::deliver::{Channel, fault_of, names_of, same_vat};
use crate::ledger::{Seen, Store};
use crate::model::Reply;
use crate::pipeline::{Parts, Put, Setup};
use crate::remote::Release;

/// How long a release that was taken from us may be unreadable before its event is told without it:
/// an API may answer 500 for a moment, too.
const TAKEN: SignedDuration = SignedDuration::from_mins(1);

/// After what time any event is told without its release.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24);

/// Those of an SCR API's users whom a release concerns.
#[derive(Clone, Default)]
pub struct Concerned {
    channels: Vec<Arc<Channel>>,
}

/// What happened to a release.
pub struct Happened<'a> {
    /// The API's name in the config.
    pub api: &'a str,
    /// The release's address, in lower case.
    pub address: &'a str,
    /// The events, in their order.
    pub events: Vec<String>,
    /// When the first came.
    pub received: Timestamp,
}

impl Concerned {
    /// The customers who use an API and have this VAT number; all of them if there is none.
    pub fn of(setup: &Arc<Setup>, api: &str, vat: Option<&str>) -> Concerned {
        let users: Vec<Arc<Channel>> = setup
            .all_channels()
            .into_values()
            .filter(|channel| channel.scr_api() == Some(api))
            .collect();
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
        let whose: Vec<bool> = users.iter().map(|channel| is_whose(channel)).collect();
        let channels = users.into_iter().zip(whose).filter(|(_, is_whose)| *is_whose);
        Concerned { channels: channels.map(|(channel, _)| channel).collect() }
    }

    /// Those whom a release names as its owner; where it names none, the only customer of the API.
    pub fn by(setup: &Arc<Setup>, api: &str, release: &Release, all: &Concerned) -> Concerned {
        match (&release.self_owner_vat, all.one()) {
            (Some(vat), _) => Concerned::of(setup, api, Some(vat)),
            (None, Some(_)) => all.clone(),
            (None, None) => Concerned::default(),
        }
    }

    /// Whether it concerns nobody.
    pub fn is_nobody(&self) -> bool {
        self.channels.is_empty()
    }

    /// One of their channels.
    pub fn channel(&self) -> Option<&Arc<Channel>> {
        self.channels.first()
    }

    /// The customers.
    pub fn customers(&self) -> BTreeSet<&str> {
        self.channels.iter().map(|channel| channel.customer()).collect()
    }

    /// The customer, if it is one.
    pub fn one(&self) -> Option<&str> {
        let customers = self.customers();
        customers.first().copied().filter(|_| customers.len() == 1)
    }

    /// Wakes the records of theirs that wait for a release.
    pub async fn wake(&self, parts: &Parts, names: &[String]) -> anyhow::Result<()> {
        let whose: Vec<(String, String)> = self
            .channels
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
            parts.wakes.ring(arrival, names);
        }
        Ok(())
    }
}

/// Works on events of one release, which one look at it answers.
pub async fn work(
    parts: &Parts,
    happened: &Happened<'_>,
    vat: Option<&str>,
    ends: Ends,
) -> anyhow::Result<Worked> {
    let concerned = Concerned::of(&parts.setup(), happened.api, vat);
    let Some(channel) = concerned.channel() else {
        let vat = vat.unwrap_or_default();
        return Ok(Worked::Nobody(format!("no customer of this API has the VAT number {vat}")));
    };
    let api = channel.scr_url().unwrap_or_default().to_owned();
    taken::note(parts, happened, concerned.customers(), &api).await?;
    let mut turn = parts.looks.line_up(&format!("{api} {}", happened.address));
    turn.wait().await;
    let asked = Timestamp::now();
    let document = match channel.release_document(happened.address).await {
        Ok(document) => document,
        // An answer about this release: who has lost it may not be told of it any more.
        Err(Reply::Answered(answer)) if matches!(answer.status, 404 | 410 | 500) => {
            if !happened.is_given_up(Timestamp::now()) {
                return Ok(Worked::Refused(fault_of(Reply::Answered(answer))));
            }
            None
        }
        Err(reply) => {
            if let Some(alarm) = channel.trouble(&reply) {
                parts.ledger.change(move |store| Ok(store.raise(alarm))).await?;
            }
            return Ok(Worked::Unreachable(fault_of(reply)));
        }
    };
    let release = document.as_ref().and_then(Release::parse);
    let whose = match (vat, &release) {
        // The event does not tell whose it is, so that the release has to.
        (None, Some(release)) => Concerned::by(&parts.setup(), happened.api, release, &concerned),
        (None, None) if concerned.one().is_none() => Concerned::default(),
        _ => concerned.clone(),
    };
    if whose.is_nobody() {
        let why = "neither it nor the release tells of which customer it is";
        return Ok(Worked::Nobody(why.to_owned()));
    }
    whose.wake(parts, &names_of(happened.address, release.as_ref())).await?;
    let (of, address) = (api.clone(), happened.address.to_owned());
    let before = parts.ledger.change(move |store| store.seen(&of, &address)).await?;
    let seen = document.as_ref().and_then(|document| change::seen(document, whose.one(), asked));
    let changed = match (&before, &seen) {
        (Some(before), Some(seen)) => change::events(Some(before), seen),
        _ => Vec::new(),
    };
    let happened = &happened.with(before.as_ref(), &changed);
    let document = document.unwrap_or_else(|| {
        let mut stub = stub(happened.address, before.as_ref());
        if happened.events.iter().any(|event| event == "delete") {
            stub["deleted"] = true.into();
        }
        stub
    });
    tell(parts, &whose, happened, &document, &api, seen, ends).await
}

/// Queues what happened for the ERPs of all whom it concerns, and keeps how the release is now.
pub async fn tell(
    parts: &Parts,
    concerned: &Concerned,
    happened: &Happened<'_>,
    document: &Value,
    api: &str,
    seen: Option<Seen>,
    ends: Ends,
) -> anyhow::Result<Worked> {
    let puts: Vec<(&str, &String)> = concerned
        .customers()
        .into_iter()
        .flat_map(|customer| happened.events.iter().map(move |event| (customer, event)))
        .collect();
    let (api, address) = (api.to_owned(), happened.address.to_owned());
    let told = happened.events.clone();
    let mut noted = Some(move |store: &mut Store| {
        if let Some(mut seen) = seen {
            seen.told = told;
            store.note_seen(&api, &address, &seen);
        }
        ends.note(store);
    });
    let last = puts.len().saturating_sub(1);
    for (at, (customer, event)) in puts.into_iter().enumerate() {
        let told = json!({
            "event": event, "received": happened.received.to_string(), "customer": customer,
            "api": happened.api, "release": document,
        });
        let noted = noted.take_if(|_| at == last);
        let put = parts.outbox_put(customer, event, told, |store| {
            if let Some(noted) = noted {
                noted(store);
            }
        });
        if let Put::Full(why) = put.await? {
            return Ok(Worked::Full(why));
        }
    }
    if let Some(noted) = noted {
        parts.ledger.update(noted).await?;
    }
    Ok(Worked::Done)
}

impl Happened<'_> {
    /// The same with what else has changed, of which the notification may be lost or still to come;
    /// and without what a look told that began after it had come, if nothing has changed since.
    fn with(&self, before: Option<&Seen>, changed: &[&str]) -> Self {
        let is_told = |event: &String| {
            let told = before
                .is_some_and(|before| before.at >= self.received && before.told.contains(event));
            told && changed.is_empty()
        };
        let mut events: Vec<String> =
            self.events.iter().filter(|event| !is_told(event)).cloned().collect();
        for event in changed {
            // Each brings the whole release, so that an update needs no event beside another.
            if !events.iter().any(|known| known == event)
                && (events.is_empty() || *event != "update")
            {
                events.push((*event).to_owned());
            }
        }
        Happened { events, ..*self }
    }

    /// Whether it is told all the same when the API does not tell of the release: soon, if it says
    /// that the release was taken from us.
    fn is_given_up(&self, now: Timestamp) -> bool {
        let mut events = self.events.iter();
        let is_taken = events.any(|event| matches!(event.as_str(), "revoke" | "delete"));
        now.duration_since(self.received) >= if is_taken { TAKEN } else { GIVEN_UP }
    }
}

/// What is known of a release that cannot be read any more.
fn stub(address: &str, before: Option<&Seen>) -> Value {
    let mut known = BTreeMap::from([("address", json!(address))]);
    if let Some(seen) = before {
        let data = json!({
            "container": { "containerNumber": seen.container },
            "billOfLading": { "blNumber": seen.bl },
        });
        known.insert("release_data", data);
    }
    json!(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_does_not_tell_of_is_given_up_sooner_where_the_release_was_taken() {
        let given_up = |event: &str, minutes: i64| {
            let received = Timestamp::UNIX_EPOCH;
            let events = vec!["update".to_owned(), event.to_owned()];
            let happened = Happened { api: "a", address: "0xab", events, received };
            happened.is_given_up(received + SignedDuration::from_mins(minutes))
        };
        assert!(!given_up("revoke", 0) && given_up("revoke", 1) && given_up("delete", 1));
        assert!(!given_up("transfer", 1439) && given_up("transfer", 1440));
    }

    #[test]
    fn what_else_changed_is_told_and_what_a_later_look_told_is_not_told_again() {
        let received = Timestamp::UNIX_EPOCH;
        let told = |events: &[&str], looked: i64, before: &[&str], changed: &[&str]| {
            let owned = |events: &[&str]| events.iter().map(|event| (*event).to_owned()).collect();
            let mut seen = change::seen(&json!({ "address": "0xAB" }), None, received).unwrap();
            (seen.at, seen.told) = (received + SignedDuration::from_secs(looked), owned(before));
            let happened = Happened { api: "a", address: "0xab", events: owned(events), received };
            happened.with(Some(&seen), changed).events
        };
        assert_eq!(told(&["block"], -1, &["block"], &[]), ["block"], "it came after the look");
        assert_eq!(told(&["block"], 1, &["block"], &[]), [""; 0]);
        assert_eq!(told(&["block"], 1, &["greenlights"], &[]), ["block"]);
        assert_eq!(
            told(&["block"], 1, &["block"], &["block"]),
            ["block"],
            "it was unblocked between"
        );
        assert_eq!(
            told(&["greenlights"], -1, &[], &["block", "greenlights"]),
            ["greenlights", "block"]
        );
        assert_eq!(told(&["block"], -1, &[], &["update"]), ["block"]);
    }

    #[test]
    fn of_a_release_that_cannot_be_read_the_erp_is_told_what_was_known() {
        assert_eq!(stub("0xab", None), json!({ "address": "0xab" }));
        let before = json!({
            "address": "0xAB",
            "release_data": { "container": { "containerNumber": "CSQU3054383" },
                              "billOfLading": { "blNumber": "BL1" } }
        });
        let seen = change::seen(&before, Some("acme"), Timestamp::UNIX_EPOCH).unwrap();
        let expected = json!({
            "address": "0xab",
            "release_data": { "container": { "containerNumber": "CSQU3054383" },
                              "billOfLading": { "blNumber": "BL1" } }
        });
        assert_eq!(stub("0xab", Some(&seen)), expected);
    }
}
