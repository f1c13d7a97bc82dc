//! Release: one that came or changed is fetched; what waits for it wakes, and the ERP is told.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::change;
use super::concerned::Concerned;
use super::taken;
use super::work::{Ends, Worked};
use crate::deliver::{fault_of, is_not_found, names_of};
use crate::ledger::{Seen, Store};
use crate::model::Reply;
use crate::pipeline::{Parts, Prepared};
use crate::remote::Release;

/// How long a release that was taken from us may be unreadable before its event is told without it:
/// an API may answer 500 for a moment, too.
const TAKEN: SignedDuration = SignedDuration::from_mins(1);

/// After what time any event is told without its release.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24);

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

/// What one customer is told.
pub struct Tell {
    /// The customer.
    pub customer: String,
    /// The event.
    pub event: String,
    /// The release, as far as the customer may know it.
    pub release: Value,
}

/// Works on events of one release, which one look at it answers.
///
/// The release is told to its owner alone (`selfOwnerVat`); who lost it is told what was known.
pub async fn work(
    parts: &Parts,
    happened: &Happened<'_>,
    vat: Option<&str>,
    ends: Ends,
) -> anyhow::Result<Worked> {
    let setup = parts.setup();
    let called = Concerned::of(&setup, happened.api, vat);
    let Some(channel) = called.channel() else {
        let vat = vat.unwrap_or_default();
        return Ok(Worked::Nobody(format!("no customer of this API has the VAT number {vat}")));
    };
    let api = channel.scr_url().unwrap_or_default().to_owned();
    let mut turn = parts.looks.line_up(&format!("{api} {}", happened.address));
    turn.wait().await;
    let asked = Timestamp::now();
    let document = match channel.release_document(happened.address).await {
        Ok(document) => document,
        // An answer about this release: who has lost it may not be told of it any more.
        Err(Reply::Answered(answer)) if matches!(answer.status, 404 | 410 | 500) => {
            if !happened.is_given_up(is_not_found(&answer), Timestamp::now()) {
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
    let found = document.and_then(|it| Release::parse(&it).map(|release| (it, release)));
    let Some((document, release)) = found else {
        if vat.is_none() && called.one().is_none() {
            return Ok(Worked::Nobody("it does not tell of which customer it is".to_owned()));
        }
        taken::note(parts, happened, &called, &api).await?;
        called.wake(parts, &names_of(happened.address, None)).await?;
        return tell_known(parts, &called, happened, &api, ends).await;
    };
    let all = Concerned::of(&setup, happened.api, None);
    let whose = Concerned::by(&setup, happened.api, &release, &all);
    let names = names_of(happened.address, Some(&release));
    whose.wake(parts, &names).await?;
    if vat.is_some() && !whose.are(&called) {
        taken::note(parts, happened, &called, &api).await?;
        called.wake(parts, &names).await?;
        let mut was_theirs = false;
        for customer in called.customers() {
            was_theirs |= known(parts, &api, happened.address, customer).await?.is_some();
        }
        if happened.is_loss(was_theirs) {
            return tell_known(parts, &called, happened, &api, ends).await;
        }
    }
    if whose.is_nobody() {
        return Ok(Worked::Nobody(match &release.self_owner_vat {
            Some(vat) => {
                let vat: String = vat.chars().take(60).collect();
                format!("its release is that of {vat}, the VAT number of no customer of this API")
            }
            None => "its release does not tell of which customer of this API it is".to_owned(),
        }));
    }
    let (of, address) = (api.clone(), happened.address.to_owned());
    let before = parts.ledger.change(move |store| store.seen(&of, &address)).await?;
    let before = before.filter(|before| before.customer.as_deref() == whose.one());
    let seen = change::seen(&document, whose.one(), asked);
    let changed = match (&before, &seen) {
        (Some(before), Some(seen)) => change::events(Some(before), seen),
        _ => Vec::new(),
    };
    let is_same = before.as_ref().zip(seen.as_ref());
    let is_same = is_same.is_some_and(|(before, seen)| change::is_same(before, seen));
    let (happened, found) = happened.with(before.as_ref(), &changed, is_same);
    let seen = seen.map(|seen| Seen { told: happened.events.clone(), found, ..seen });
    let tells = happened.to(&whose, &document);
    tell(parts, &happened, tells, &api, seen, ends).await
}

/// Tells customers who cannot see a release, or not any more, what was known of it as theirs: what
/// is another's now is none of their business.
async fn tell_known(
    parts: &Parts,
    to: &Concerned,
    happened: &Happened<'_>,
    api: &str,
    ends: Ends,
) -> anyhow::Result<Worked> {
    let mut tells = Vec::new();
    for customer in to.customers() {
        let known = known(parts, api, happened.address, customer).await?;
        let mut stub = stub(happened.address, known.as_ref());
        if happened.events.iter().any(|event| event == "delete") {
            stub["deleted"] = true.into();
        }
        for event in happened.with(known.as_ref(), &[], false).0.events {
            tells.push(Tell { customer: customer.to_owned(), event, release: stub.clone() });
        }
    }
    tell(parts, happened, tells, api, None, ends).await
}

/// How a release was when a customer last knew it as its own.
async fn known(
    parts: &Parts,
    api: &str,
    address: &str,
    customer: &str,
) -> anyhow::Result<Option<Seen>> {
    let (api, address, customer) = (api.to_owned(), address.to_owned(), customer.to_owned());
    parts.ledger.change(move |store| store.seen_by(&api, &address, &customer)).await
}

/// Queues what the ERPs are told, and keeps how the release is now.
async fn tell(
    parts: &Parts,
    happened: &Happened<'_>,
    tells: Vec<Tell>,
    api: &str,
    seen: Option<Seen>,
    ends: Ends,
) -> anyhow::Result<Worked> {
    let prepared = match prepare(parts, happened, tells).await? {
        Ok(prepared) => prepared,
        Err(why) => return Ok(Worked::Full(why)),
    };
    let (api, address) = (api.to_owned(), happened.address.to_owned());
    let noted = move |store: &mut Store| {
        if let Some(seen) = seen {
            store.note_seen(&api, &address, &seen);
        }
        ends.note(store);
    };
    parts.outbox_queue(prepared, noted).await?;
    Ok(Worked::Done)
}

/// Prepares what the ERPs are told; or tells why there is no room.
pub async fn prepare(
    parts: &Parts,
    happened: &Happened<'_>,
    tells: Vec<Tell>,
) -> anyhow::Result<Result<Vec<Prepared>, String>> {
    let mut prepared = Vec::new();
    for Tell { customer, event, release } in tells {
        let told = json!({
            "event": event, "received": happened.received.to_string(), "customer": customer,
            "api": happened.api, "release": release,
        });
        match parts.outbox_prepare(&customer, &event, told).await? {
            Ok(next) => prepared.push(next),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(prepared))
}

impl Happened<'_> {
    /// The same with what else has changed, of which the notification may be lost or still to come;
    /// and without what was told, if nothing has changed since: by a look that began after it had
    /// come, or because a look had found it before it came. With it those events that were found and
    /// of which no notification has come yet.
    fn with(&self, before: Option<&Seen>, changed: &[&str], is_same: bool) -> (Self, Vec<String>) {
        let is_told = |event: &String| {
            before.is_some_and(|before| {
                let is_answered = before.at >= self.received && before.told.contains(event);
                changed.is_empty() && is_answered || is_same && before.found.contains(event)
            })
        };
        let mut events: Vec<String> =
            self.events.iter().filter(|event| !is_told(event)).cloned().collect();
        let mut found: Vec<String> = before
            .filter(|_| is_same)
            .map(|before| before.found.iter().filter(|it| !self.events.contains(it)))
            .map(|found| found.cloned().collect())
            .unwrap_or_default();
        for event in changed {
            // Each brings the whole release, so that an update needs no event beside another.
            if !events.iter().any(|known| known == event)
                && (events.is_empty() || *event != "update")
            {
                events.push((*event).to_owned());
                found.push((*event).to_owned());
            }
        }
        (Happened { events, ..*self }, found)
    }

    /// Each event for each of these customers, with the release.
    pub fn to(&self, customers: &Concerned, release: &Value) -> Vec<Tell> {
        let each = |customer: &str| {
            let tell = |event: &String| Tell {
                customer: customer.to_owned(),
                event: event.clone(),
                release: release.clone(),
            };
            self.events.iter().map(tell).collect::<Vec<_>>()
        };
        customers.customers().into_iter().flat_map(each).collect()
    }

    /// Whether it says that the release was taken from the customer.
    fn is_taken(&self) -> bool {
        self.events.iter().any(|event| matches!(event.as_str(), "revoke" | "delete"))
    }

    /// Whether who is not the owner lost the release: also by handing over what was known as theirs.
    fn is_loss(&self, was_theirs: bool) -> bool {
        self.is_taken() || was_theirs && self.events.iter().any(|event| event == "transfer")
    }

    /// Whether it is told all the same when the API does not tell of the release: soon, if it says
    /// that the release was taken from us, and at once, if there is no such release any more.
    fn is_given_up(&self, is_not_found: bool, now: Timestamp) -> bool {
        let least = match self.is_taken() {
            true if is_not_found => SignedDuration::ZERO,
            true => TAKEN,
            false => GIVEN_UP,
        };
        now.duration_since(self.received) >= least
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
    fn what_the_api_does_not_tell_of_is_given_up_sooner_where_the_release_was_taken_or_is_gone() {
        let given_up = |event: &str, minutes: i64| {
            let received = Timestamp::UNIX_EPOCH;
            let events = vec!["update".to_owned(), event.to_owned()];
            let happened = Happened { api: "a", address: "0xab", events, received };
            [false, true].map(|is_not_found| {
                happened.is_given_up(is_not_found, received + SignedDuration::from_mins(minutes))
            })
        };
        assert_eq!(given_up("revoke", 0), [false, true]);
        assert_eq!(given_up("delete", 0), [false, true]);
        assert_eq!(given_up("revoke", 1), [true, true]);
        assert_eq!(given_up("transfer", 1439), [false, false]);
        assert_eq!(given_up("transfer", 1440), [true, true]);
    }

    fn owned(events: &[&str]) -> Vec<String> {
        events.iter().map(|event| (*event).to_owned()).collect()
    }

    #[test]
    fn what_else_changed_is_told_and_what_a_later_look_told_is_not_told_again() {
        let received = Timestamp::UNIX_EPOCH;
        let told = |events: &[&str], looked: i64, before: &[&str], changed: &[&str]| {
            let mut seen = change::seen(&json!({ "address": "0xAB" }), None, received).unwrap();
            (seen.at, seen.told) = (received + SignedDuration::from_secs(looked), owned(before));
            let happened = Happened { api: "a", address: "0xab", events: owned(events), received };
            happened.with(Some(&seen), changed, changed.is_empty()).0.events
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
    fn what_a_look_has_found_is_not_told_again_by_its_notification_while_nothing_changes() {
        let received = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1);
        let seen = change::seen(&json!({ "address": "0xAB" }), None, Timestamp::UNIX_EPOCH);
        let told = |events: &[&str], found: &[&str], changed: &[&str], is_same: bool| {
            let seen = Seen { told: owned(found), found: owned(found), ..seen.clone().unwrap() };
            let happened = Happened { api: "a", address: "0xab", events: owned(events), received };
            let (happened, found) = happened.with(Some(&seen), changed, is_same);
            [happened.events, found]
        };
        let none: &[&str] = &[];
        // Each notification takes its own event out, and a second one is told.
        assert_eq!(
            told(&["block"], &["block", "greenlights"], none, true),
            [none, &["greenlights"]]
        );
        assert_eq!(told(&["block"], &["greenlights"], none, true), [["block"], ["greenlights"]]);
        assert_eq!(told(&["update"], &["transfer"], none, true), [["update"], ["transfer"]]);
        // It is another state, or the same one at another time.
        assert_eq!(
            told(&["transfer"], &["transfer"], &["block"], false),
            [&["transfer", "block"][..], &["block"]]
        );
        assert_eq!(told(&["update"], &["update"], none, false), [&["update"], none]);
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
