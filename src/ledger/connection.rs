//! Connection: a company that releases can be transferred to, as an SCR API last told it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A company that releases can be transferred to. No public key is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its address, to which releases are transferred.
    pub address: String,
    /// The reference of its invitation; of a long one the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Its VAT number; of a long one the hash.
    pub vat: String,
    /// Its name, shortened if it is long.
    pub name: String,
}

/// All connections of an SCR API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// When the API told them.
    pub at: Timestamp,
    /// By address in lower case.
    pub list: std::collections::BTreeMap<String, Connection>,
}

/// What a long text is kept as: values stay small.
pub fn kept(text: &str) -> String {
    match text.len() {
        ..=120 => text.to_owned(),
        _ => blake3::hash(text.as_bytes()).to_hex().to_string(),
    }
}

impl Connection {
    /// A connection as it is kept; none if its address is no address.
    pub fn new(
        address: &str,
        reference: Option<&str>,
        vat: &str,
        name: &str,
    ) -> Option<Connection> {
        let end = name.char_indices().map(|(at, _)| at).take_while(|at| *at <= 100).last();
        (address.len() <= 120).then(|| Connection {
            address: address.to_owned(),
            reference: reference.map(kept),
            vat: kept(vat),
            name: name[..if name.len() <= 100 { name.len() } else { end.unwrap_or(0) }].to_owned(),
        })
    }
}
