//! Cpu: what a person asks of Certified Pick up, the same with and without a run.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quarantine::Refused;
use super::scr::refusal;
use crate::deliver::Channels;
use crate::deliver::verdict::Remote;
use crate::ledger::Ledger;

/// Exit statuses (design, section 4.3).
const USAGE: u8 = 2;
const PERSON: u8 = 4;

/// A search in the phone book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Whose login is used; may be left out where only one customer has CPu.
    pub customer: Option<String>,
    /// What must fit: `Eori`, `Duns`, `Vat`, `EntityName`, `ApcsCode`.
    pub query: Vec<(String, String)>,
}

/// The companies that fit, or why there is no answer.
pub type Answer = Result<Vec<Value>, Refused>;

/// Searches the phone book.
pub async fn entities(
    channels: &Channels,
    ledger: &Ledger,
    search: &Search,
) -> anyhow::Result<Answer> {
    let mut users: Vec<_> = channels.values().filter(|channel| channel.is_cpu()).collect();
    users.retain(|channel| search.customer.as_ref().is_none_or(|of| of == channel.customer()));
    let refused = |why: &str, code| Ok(Err(Refused { why: why.to_owned(), code }));
    let Some(channel) = users.first() else {
        return match &search.customer {
            Some(customer) => {
                let why = format!("there is no customer {customer:?} with a channel of type cpu");
                refused(&why, USAGE)
            }
            None => refused("no customer has a channel of type cpu", USAGE),
        };
    };
    if users.iter().any(|other| other.customer() != channel.customer()) {
        return refused("say by whose login, with --customer", USAGE);
    }
    let (customer, name) = (channel.customer(), channel.name());
    match channel.entities(ledger, &search.query).await? {
        None => {
            let why = format!(
                "{customer} / {name}: the login was refused three times and is left alone, since \
                 accounts lock; correct the password"
            );
            refused(&why, PERSON)
        }
        Some(Ok(found)) => Ok(Ok(found)),
        Some(Err(reply)) => {
            let (why, code) = refusal(Remote::Cpu, &reply, "try again later");
            refused(&format!("{customer} / {name}: {why}"), code)
        }
    }
}
