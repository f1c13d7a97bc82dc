//! Concerned: those of an SCR API's users whom a release concerns.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::deliver::{Channel, same_vat};
use crate::ledger::{Account, Store};
use crate::model::Arrival;
use crate::pipeline::{Parts, Setup};
use crate::remote::Release;

/// Those of an SCR API's users whom a release concerns.
#[derive(Clone, Default)]
pub struct Concerned {
    channels: Vec<Arc<Channel>>,
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

    /// Whether they are the same customers.
    pub fn are(&self, others: &Concerned) -> bool {
        self.customers() == others.customers()
    }

    /// Wakes the records of theirs that wait for a release.
    pub async fn wake(&self, parts: &Parts, names: &[String]) -> anyhow::Result<()> {
        let of = self.channel_names();
        let arrivals = parts.ledger.change(move |store| Ok(files_of(store, &of))).await?;
        for arrival in arrivals {
            parts.wakes.ring(arrival, names);
        }
        Ok(())
    }

    /// Their channels, each by customer and name.
    pub fn channel_names(&self) -> Vec<(String, String)> {
        let names =
            |channel: &Arc<Channel>| (channel.customer().to_owned(), channel.name().to_owned());
        self.channels.iter().map(names).collect()
    }
}

/// The open files that go to one of these channels.
pub fn files_of(store: &Store, channels: &[(String, String)]) -> Vec<Arrival> {
    let is_theirs = |account: &Account| {
        account.pinned.as_ref().is_some_and(|pinned| {
            channels.iter().any(|(of, to)| *of == account.customer && *to == pinned.channel)
        })
    };
    let open = store.files.values().map(|(account, _)| account);
    open.filter(|account| is_theirs(account)).map(|account| account.arrival).collect()
}
