//! Invitation: a company that was asked to connect, and what it has answered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields::{mandatory, optional};
use super::refusal::Refusal;

/// An invitation, as it was posted ("Invite an organization").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invitation {
    /// Made up where none was given: those of the document's connections look so.
    pub reference: String,
    pub name: String,
    pub vat: String,
    pub contact_email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Decision>,
}

/// What an invited company answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It becomes a connection.
    Accepted,
    /// It does not.
    Refused,
}

impl Invitation {
    pub fn read(fields: &Map<String, Value>) -> Result<Invitation, Refusal> {
        Ok(Invitation {
            name: mandatory(fields, "name")?,
            vat: mandatory(fields, "vat")?,
            contact_email: mandatory(fields, "contactEmail")?,
            reference: optional(fields, "reference")?
                .unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            status: None,
        })
    }
}
