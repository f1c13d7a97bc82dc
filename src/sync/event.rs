//! Event: what a notification says.

use serde_json::{Map, Value};

use crate::remote::cpu::Notification;

/// What a notification says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What became of a call to CPu (reference/domain.md, section 3).
    Cpu {
        /// Whose notifications they are.
        customer: String,
        /// What an outbox calls it by its `type`: `release-right`, `release-light` or
        /// `terminal-event`; none if it is of no type that is known.
        kind: Option<&'static str>,
        /// `PublicReferenceId`: that of the 202.
        reference: Option<String>,
        /// The container that it names, as containers are compared.
        container: Option<String>,
        /// The event's name, as it was written.
        event: String,
        /// What it says in words.
        message: Option<String>,
    },
    /// What happened at an SCR API (SCR API 1.2.9, "Callback and notifications").
    Scr {
        /// The API's name in the config.
        api: String,
        /// What happened.
        kind: ScrKind,
    },
}

/// What happened at an SCR API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScrKind {
    /// onRelease: a release came or changed.
    Release {
        /// Its address, in lower case.
        address: String,
        /// `transfer`, `update`, `block`, …, in lower case.
        event: String,
        /// The address of the company it is told to.
        organization: Option<String>,
        /// The VAT number of that company: a key to route by.
        vat: Option<String>,
    },
    /// onAcceptInvitation: an invitation was accepted or refused.
    Invitation {
        /// The reference it was made with; empty if none is told.
        reference: String,
        /// `accepted` or `refused`, in lower case.
        status: String,
    },
    /// Nothing that the document knows.
    Unknown,
}

/// Bytes of a release's address at most: text fields hold 255 characters (SCR API 1.2.9, "Field
/// lengths and definitions").
pub const ADDRESS: usize = 255;

impl Event {
    /// What a body says that came from this sender; none if the sender is no such thing.
    pub fn of(sender: &str, body: &Map<String, Value>) -> Option<Event> {
        match sender.split_once('/')? {
            ("scr", api) => Some(Event::Scr { api: api.to_owned(), kind: ScrKind::of(body) }),
            ("cpu", customer) => {
                let told = Notification::parse(&Value::Object(body.clone()));
                let (container, message) = match told {
                    Some(told) => (told.container, Some(told.message)),
                    None => (None, None),
                };
                Some(Event::Cpu {
                    customer: customer.to_owned(),
                    kind: text(body, "type").and_then(|text| kind(&text)),
                    reference: text(body, "publicReferenceId"),
                    container,
                    event: text(body, "event").unwrap_or_default(),
                    message: message.filter(|message| !message.is_empty()),
                })
            }
            _ => None,
        }
    }

    /// What it is about, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Event::Cpu { .. } => "cpu",
            Event::Scr { kind: ScrKind::Release { .. }, .. } => "onRelease",
            Event::Scr { kind: ScrKind::Invitation { .. }, .. } => "onAcceptInvitation",
            Event::Scr { kind: ScrKind::Unknown, .. } => "unknown",
        }
    }
}

impl ScrKind {
    fn of(body: &Map<String, Value>) -> ScrKind {
        let lower = |name| text(body, name).map(|text| text.to_lowercase());
        if let Some(address) = lower("release") {
            if address.len() > ADDRESS {
                return ScrKind::Unknown;
            }
            return ScrKind::Release {
                address,
                event: lower("event").unwrap_or_default(),
                organization: text(body, "organization"),
                vat: text(body, "vat"),
            };
        }
        match (text(body, "reference"), lower("status")) {
            (Some(reference), Some(status)) => ScrKind::Invitation { reference, status },
            // An invitation may be made without one ("Invite an organization").
            (None, Some(status)) if matches!(status.as_str(), "accepted" | "refused") => {
                ScrKind::Invitation { reference: String::new(), status }
            }
            _ => ScrKind::Unknown,
        }
    }
}

/// What an outbox calls a type of CPu's, whose capitals differ between sources
/// (reference/domain.md, section 3).
fn kind(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "releaseright" => Some("release-right"),
        "releaselight" => Some("release-light"),
        "terminalevent" => Some("terminal-event"),
        _ => None,
    }
}

/// A text that is not empty, whatever the capitals of its name: they differ between sources.
fn text(body: &Map<String, Value>, name: &str) -> Option<String> {
    let (_, value) = body.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(sender: &str, body: Value) -> Event {
        Event::of(sender, body.as_object().unwrap()).unwrap()
    }

    #[test]
    fn the_documents_transfer_is_read() {
        // SCR API 1.2.9, "The onRelease event type".
        let body = json!({
            "release": "0x24Fc2D465AaAbf47DA7284920A7B5c3b368EC1D9",
            "event": "TRANSFER",
            "organization": "0x78f13e5253a30f0EE079f5DDE281B3F1efe70B94",
            "vat": "BE2020112701"
        });
        let kind = ScrKind::Release {
            address: "0x24fc2d465aaabf47da7284920a7b5c3b368ec1d9".to_owned(),
            event: "transfer".to_owned(),
            organization: Some("0x78f13e5253a30f0EE079f5DDE281B3F1efe70B94".to_owned()),
            vat: Some("BE2020112701".to_owned()),
        };
        assert_eq!(of("scr/a", body), Event::Scr { api: "a".to_owned(), kind });
    }

    #[test]
    fn an_answer_to_an_invitation_is_read() {
        let body = json!({ "reference": "clientref1", "status": "Accepted", "name": "T NV" });
        let (reference, status) = ("clientref1".to_owned(), "accepted".to_owned());
        let kind = ScrKind::Invitation { reference, status };
        assert_eq!(of("scr/b/own", body), Event::Scr { api: "b/own".to_owned(), kind });
    }

    #[test]
    fn names_of_members_are_read_whatever_their_capitals() {
        let body = json!({
            "type": "ReleaseRight", "event": "NotValidated", "PublicReferenceId": "r-1",
            "ID": "CSQU3054383", "message": "no such release"
        });
        let event = Event::Cpu {
            customer: "acme".to_owned(),
            kind: Some("release-right"),
            reference: Some("r-1".to_owned()),
            container: Some("CSQU3054383".to_owned()),
            event: "NotValidated".to_owned(),
            message: Some("no such release".to_owned()),
        };
        assert_eq!(of("cpu/acme", body), event);
    }

    #[test]
    fn what_the_document_does_not_know_is_unknown() {
        for body in [json!({}), json!({ "release": 5.5e3, "x": [] }), json!({ "release": "" })] {
            let event = of("scr/a", body.clone());
            let is_known = matches!(event, Event::Scr { kind: ScrKind::Invitation { .. }, .. });
            assert!(!is_known, "{body}");
        }
        assert_eq!(Event::of("x/a", &Map::new()), None);
        assert_eq!(Event::of("scr", &Map::new()), None);
    }
}
