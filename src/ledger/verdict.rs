//! Verdict: what CPu told of something that it accepted, kept from its coming until its record is
//! settled. One that comes before its 202 was noted waits here for it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Ledger;
use crate::model::Arrival;

/// What CPu told, by the public reference of the 202.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The public reference, as it was told.
    pub reference: String,
    /// The container that it names, as containers are compared; none if it speaks of no single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Why it failed; none if it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it came.
    pub at: Timestamp,
}

impl Ledger {
    /// Notes a verdict for a customer; it is on disk when this answers. The first for a reference and
    /// container stands, but that a failure outweighs a success. Tells whose record is parked for it, if one is: that file is to look again.
    pub async fn note_verdict(
        &self,
        customer: &str,
        told: Told,
    ) -> anyhow::Result<Option<Arrival>> {
        let customer = customer.to_owned();
        self.change(move |store| store.note_verdict(&customer, told)).await
    }
}
