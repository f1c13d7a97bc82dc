//! Invitation: a company that was asked, by a record, to connect, and what it has answered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Age;

/// An invitation that a record asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Who invites.
    pub customer: String,
    /// The reference, if it has one; of a long one the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The company's VAT number in letters and digits alone; of a long one the hash.
    pub vat: String,
    /// The age of the record that asked last.
    pub by: Age,
    /// When the API was last asked to invite.
    pub asked: Timestamp,
    /// Whether the API has taken it.
    pub taken: bool,
    /// What the company answered, and when that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Decision>,
}

/// What an invited company answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether it accepted.
    pub accepted: bool,
    /// When that was told.
    pub at: Timestamp,
}

impl Invitation {
    /// The name under which records wait for the answer: short, and one for what the answer is known
    /// by, the reference and the VAT number.
    pub fn name(&self) -> String {
        let by = match &self.reference {
            Some(reference) => {
                format!("{}/reference {reference}/vat {}", self.customer, self.vat)
            }
            None => format!("{}/vat {}", self.customer, self.vat),
        };
        format!("invitation {}", &blake3::hash(by.as_bytes()).to_hex()[..16])
    }
}
