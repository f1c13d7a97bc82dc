//! Connections: whom a release can be transferred to. The ledger keeps what the API last told; it is
//! asked again where somebody is not found.

use std::sync::Arc;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::assignment::Target;
use super::resolve::{Unread, same_vat};
use super::scr::{Job, Releases};
use super::{Channel, Message, Outcome};
use crate::ledger::{Connection, Connections, Ledger, kept};
use crate::model::{Problem, Reply};
use crate::remote::scr;

/// What was read so long ago at most is not read again: one call serves all records of a file.
const FRESH: SignedDuration = SignedDuration::from_secs(10);

impl Releases {
    /// The address that a release goes to; or what becomes of the record, if anything.
    pub(super) async fn target(
        &self,
        job: &Job<'_>,
        target: &Target,
    ) -> anyhow::Result<Result<String, Option<Box<Outcome>>>> {
        let Job { channel, message, ledger, halt, .. } = *job;
        let known = self.connections(ledger).await?;
        let invited = self.invited(job).await?;
        if let [one] = found(known.as_deref(), target, invited.as_deref()).as_slice() {
            return Ok(Ok(one.address.clone()));
        }
        let known = match target {
            Target::Address(address) => match self.refresh_connections(ledger, FRESH).await? {
                Ok(()) => self.connections(ledger).await?,
                // The API itself refuses who is no connection.
                Err(_) => return Ok(Ok(address.clone())),
            },
            Target::Name(_) => match self.know_connections(channel, ledger, message, halt).await? {
                Ok(known) => known,
                Err(unread) => return Ok(Err(unread.outcome.map(Box::new))),
            },
        };
        Ok(match found(known.as_deref(), target, invited.as_deref()).as_slice() {
            [one] => Ok(one.address.clone()),
            several => Err(Some(Box::new(nobody(message, target, several)))),
        })
    }

    /// The connections, asked for anew unless that was just done.
    pub(super) async fn know_connections(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &Message,
        halt: &CancellationToken,
    ) -> anyhow::Result<Result<Option<Arc<Connections>>, Unread>> {
        let mut read = self.gate.connected.lock().await;
        let now = Timestamp::now();
        if read.is_none_or(|read| now.duration_since(read).abs() > FRESH) {
            match self.read_for(channel, message, halt, |scr| scr.connections()).await {
                Ok((told, leave)) => {
                    drop(leave);
                    self.note_connections(ledger, told).await?;
                    *read = Some(Timestamp::now());
                }
                Err(unread) => return Ok(Err(unread)),
            }
        }
        drop(read);
        self.connections(ledger).await.map(Ok)
    }

    /// The references of this customer's own invitations, where others use the API as well: theirs
    /// name companies that are not this one's partners.
    async fn invited(&self, job: &Job<'_>) -> anyhow::Result<Option<Vec<String>>> {
        if !self.gate.is_shared() {
            return Ok(None);
        }
        let (api, customer) = (self.gate.url().to_owned(), job.message.customer.clone());
        job.ledger.change(move |store| store.references_of(&api, &customer)).await.map(Some)
    }

    /// Asks the API for its connections and notes them, unless that was done within this time. It
    /// goes past the lane: what is wrong with this read is no fault of the channel's.
    pub(super) async fn refresh_connections(
        &self,
        ledger: &Ledger,
        within: SignedDuration,
    ) -> anyhow::Result<Result<(), Reply>> {
        let mut read = self.gate.connected.lock().await;
        let now = Timestamp::now();
        if read.is_some_and(|read| now.duration_since(read).abs() < within) {
            return Ok(Ok(()));
        }
        let told = {
            let _room = self.gate.reads.take("", 0).await;
            self.gate.client.connections().await
        };
        match told {
            Ok(told) => {
                self.note_connections(ledger, told).await?;
                *read = Some(Timestamp::now());
                Ok(Ok(()))
            }
            Err(reply) => Ok(Err(reply)),
        }
    }

    async fn connections(&self, ledger: &Ledger) -> anyhow::Result<Option<Arc<Connections>>> {
        let api = self.gate.url().to_owned();
        ledger
            .change(move |store| Ok(store.connections(&api).cloned()))
            .await
            .context("the connections cannot be read")
    }

    async fn note_connections(
        &self,
        ledger: &Ledger,
        told: Vec<scr::Connection>,
    ) -> anyhow::Result<()> {
        let told = told.iter().filter_map(|told| {
            Connection::new(&told.address, told.reference.as_deref(), &told.vat, &told.name)
        });
        let (api, told) = (self.gate.url().to_owned(), told.collect());
        ledger.update(move |store| store.set_connections(&api, Timestamp::now(), told)).await
    }
}

/// Whether a company with this VAT number is among the connections.
pub(super) fn is_connected(known: Option<&Connections>, vat: &str) -> bool {
    let mut all = known.into_iter().flat_map(|known| known.list.values());
    all.any(|one| is_of_vat(one, vat))
}

fn is_of_vat(one: &Connection, vat: &str) -> bool {
    same_vat(&one.vat, vat) || (vat.len() > one.vat.len() && one.vat == kept(vat))
}

/// The connections that may be meant; where these references alone are the customer's, by no other.
fn found<'a>(
    known: Option<&'a Connections>,
    target: &Target,
    invited: Option<&[String]>,
) -> Vec<&'a Connection> {
    let all = known.into_iter().flat_map(|known| known.list.values());
    let is_meant = |one: &&Connection| match target {
        Target::Address(address) => one.address.eq_ignore_ascii_case(address),
        Target::Name(name) => {
            let name = name.trim();
            let is_own = |of: &String| {
                *of == kept(name) && invited.is_none_or(|invited| invited.contains(of))
            };
            is_of_vat(one, name) || one.reference.as_ref().is_some_and(is_own)
        }
    };
    all.filter(is_meant).collect()
}

fn nobody(message: &Message, target: &Target, several: &[&Connection]) -> Outcome {
    let (Target::Address(value) | Target::Name(value)) = target;
    let advice = match several {
        [] => {
            "no connection of this SCR API has this address, VAT number or reference; invite the \
               company, and drop the record again when it has accepted"
                .to_owned()
        }
        several => {
            let named: Vec<String> =
                several.iter().map(|one| format!("{} ({})", one.address, one.name)).collect();
            format!(
                "several connections are called so: {}; name one by its address",
                named.join(", ")
            )
        }
    };
    message.quarantine(|record, line| Problem {
        field: "to".to_owned(),
        ..message.problem(record, line, "connection", value, &advice)
    })
}
