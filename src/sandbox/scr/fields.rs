//! Fields: what the body of a call to the SCR API must hold.

use serde_json::{Map, Value};

use super::action::Verb;
use super::refusal::Refusal;
use super::release::{Assignee, Kind};

/// "Assign a release": which fields a driver and a barge have, and which are mandatory.
pub(super) fn assignee(verb: Verb, fields: &Map<String, Value>) -> Result<Assignee, Refusal> {
    let kind = match verb {
        Verb::AssignBarge => optional(fields, "type")?.unwrap_or_else(|| "barge".to_string()),
        _ => mandatory(fields, "type")?,
    };
    let kind = match (kind.as_str(), verb) {
        ("driver", Verb::Assign) => Kind::Driver,
        ("barge", _) => Kind::Barge,
        _ => return Err(Refusal::BadType(kind)),
    };
    match kind {
        Kind::Driver => Ok(Assignee {
            kind,
            first_name: Some(mandatory(fields, "firstName")?),
            last_name: Some(mandatory(fields, "lastName")?),
            identification: mandatory(fields, "identification")?,
            email: optional(fields, "email")?,
            phone: optional(fields, "phone")?,
            ..Assignee::default()
        }),
        Kind::Barge => Ok(Assignee {
            kind,
            name: Some(mandatory(fields, "name")?),
            identification: mandatory(fields, "identification")?,
            visit_number: optional(fields, "visitNumber")?,
            ..Assignee::default()
        }),
    }
}

pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::BadBody(error.to_string()))
}

pub(super) fn mandatory(
    fields: &Map<String, Value>,
    name: &'static str,
) -> Result<String, Refusal> {
    match optional(fields, name)? {
        Some(text) if !text.trim().is_empty() => Ok(text),
        _ => Err(Refusal::Missing(name)),
    }
}

/// "All text fields have a default length of 255 characters."
pub(super) fn optional(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() > 255 => {
            Err(Refusal::TooLong(name.to_string()))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::NotText(name.to_string())),
    }
}
