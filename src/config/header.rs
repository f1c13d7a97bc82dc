//! Headers: names and values that a config adds to requests.

use reqwest::header::{HeaderName, HeaderValue};

use super::Section;

/// Headers that are set by us alone, or by the HTTP client (RFC 9110, sections 7.2, 7.6.1, 8.6).
const OURS: [&str; 10] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "ocp-apim-subscription-key",
    "transfer-encoding",
    "upgrade",
];

/// Reads a table of further fixed headers.
pub(super) fn parse(section: &mut Section, key: &str) -> Option<Vec<(String, String)>> {
    let mut table = section.section(key)?;
    let mut headers: Vec<(String, String)> = Vec::new();
    for name in table.names() {
        let Some(value) = table.text(&name) else { continue };
        let twice = headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name));
        let fault = match (name_fault(&name), value_fault(&value)) {
            (Some(fault), _) | (None, Some(fault)) => fault,
            (None, None) if twice => "stands here twice: letters of either case are one name",
            (None, None) => {
                headers.push((name, value));
                continue;
            }
        };
        table.error(&name, format!("the header {name:?} {fault}"));
    }
    Some(headers)
}

/// Why a text cannot be the name of a header that a config adds, if it cannot.
pub(super) fn name_fault(name: &str) -> Option<&'static str> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Err(_) => Some("is not a legal header name"),
        Ok(name) if OURS.contains(&name.as_str()) => {
            Some("is set by lighterman itself: it has a key of its own, or cannot be changed")
        }
        Ok(_) => None,
    }
}

/// Why a text cannot be the value of a header, if it cannot.
pub(super) fn value_fault(value: &str) -> Option<&'static str> {
    match HeaderValue::from_str(value) {
        Ok(value) if value.to_str().is_ok() => None,
        _ => Some("has a value with characters that a header cannot carry"),
    }
}
