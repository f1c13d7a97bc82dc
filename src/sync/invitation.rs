//! Invitation: a company that was invited has answered. The record that asked is settled, the
//! connections are read anew, and the ERP is told.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::concerned::Concerned;
use super::work::{Ends, Worked};
use crate::deliver::fault_of;
use crate::model::Reply;
use crate::pipeline::{Parts, Put};

/// What a company has answered.
pub struct Answered<'a> {
    /// The API's name in the config.
    pub api: &'a str,
    /// The invitation's reference; empty if the event tells none.
    pub reference: &'a str,
    /// `accepted` or `refused`.
    pub status: &'a str,
    /// All that the event says: the company, "as received in the connections endpoint", too.
    pub body: &'a Map<String, Value>,
    /// When it came.
    pub received: Timestamp,
}

/// Works on an answer. To do it twice is harmless.
pub async fn work(parts: &Parts, answered: &Answered<'_>, ends: Ends) -> anyhow::Result<Worked> {
    let Answered { api, status, received, .. } = *answered;
    if !matches!(status, "accepted" | "refused") {
        return Ok(Worked::Nobody(format!("no invitation is answered by {status:?}")));
    }
    let concerned = Concerned::of(&parts.setup(), api, None);
    let Some(channel) = concerned.channel() else {
        return Ok(Worked::Nobody("no customer uses this API".to_owned()));
    };
    let url = channel.scr_url().unwrap_or_default().to_owned();
    let reference = Some(answered.reference).filter(|text| !text.is_empty()).map(str::to_owned);
    let (vat, accepted) = (answered.text("vat"), status == "accepted");
    let meant = parts
        .ledger
        .change(move |store| {
            let (reference, vat) = (reference.as_deref(), vat.as_deref());
            store.settle_invitations(&url, reference, vat, accepted, received)
        })
        .await?;
    let names: Vec<String> = meant.iter().map(|invitation| invitation.name()).collect();
    concerned.wake(parts, &names).await?;
    if accepted && let Err(reply) = channel.refresh_connections(&parts.ledger).await? {
        let is_answer = matches!(reply, Reply::Answered(_));
        let why = fault_of(reply);
        return Ok(if is_answer { Worked::Refused(why) } else { Worked::Unreachable(why) });
    }
    let mut customers: BTreeSet<&str> =
        meant.iter().map(|invitation| invitation.customer.as_str()).collect();
    if customers.is_empty() {
        // It was made by hand.
        let whole = parts.setup().config.broken.is_empty();
        customers.extend(concerned.one().filter(|_| whole));
    }
    if customers.is_empty() {
        let why = "no record has made this invitation, and several customers use this API";
        return Ok(Worked::Nobody(why.to_owned()));
    }
    let setup = parts.setup();
    let is_there = |customer: &&str| setup.of(customer).config.customers.contains_key(*customer);
    if let Some(missing) = customers.iter().find(|customer| !is_there(customer)) {
        return Ok(Worked::Nobody(format!("the config of {missing} cannot be used")));
    }
    tell(parts, answered, &customers, ends).await
}

/// Queues the answer for the ERPs of all whom it concerns.
async fn tell(
    parts: &Parts,
    answered: &Answered<'_>,
    customers: &BTreeSet<&str>,
    ends: Ends,
) -> anyhow::Result<Worked> {
    let mut invitation = json!({ "reference": answered.reference, "status": answered.status });
    for name in ["name", "vat", "address"] {
        if let Some(text) = answered.text(name) {
            invitation[name] = text.into();
        }
    }
    let last = customers.len().saturating_sub(1);
    for (at, customer) in customers.iter().enumerate() {
        let told = json!({
            "event": answered.status, "received": answered.received.to_string(),
            "customer": customer, "api": answered.api, "invitation": invitation,
        });
        let ends = ends.clone();
        let put = parts.outbox_put(customer, answered.status, told, move |store| {
            if at == last {
                ends.note(store);
            }
        });
        if let Put::Full(why) = put.await? {
            return Ok(Worked::Full(why));
        }
    }
    Ok(Worked::Done)
}

impl Answered<'_> {
    /// A text of the company's. Whether its data stands by itself the API's document leaves open.
    fn text(&self, name: &str) -> Option<String> {
        let of = |body: &Map<String, Value>| {
            let (_, value) = body.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let inner = || self.body.values().filter_map(Value::as_object).find_map(of);
        of(self.body).or_else(inner)
    }
}
