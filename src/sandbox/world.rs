//! World: what exists at the port when the sandbox starts. Plain data, from JSON.

use std::collections::BTreeMap;

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};

/// Everything that exists: who may log in, and what may be called.
///
/// ```json
/// { "clients": [{ "id": "builder", "secret": "s", "grants": ["password"] }],
///   "users": [{ "username": "acme", "password": "p" }],
///   "token_lifetime_s": 3600,
///   "channels": [{ "id": "c-acme", "login": "acme", "subscription_key": "k" }],
///   "scr": [{ "path": "/wallet-a/tmining/api/v1",
///             "auth": { "algorithm": "HS256", "key": "secret", "secret_encoding": "raw" },
///             "latency_ms": 50, "workers": 20,
///             "self": { "address": "0x5E", "name": "Acme NV", "vat": "BE0403019261" },
///             "connections": [{ "reference": "r1", "name": "Transporter NV",
///                               "vat": "BE1000000021", "address": "0xC1" }],
///             "releases": [{ "address": "0xAA", "container": "CSQU3054383", "bl": "BL1",
///                            "green_lights": { "customs": "selectedforscan" } }] }],
///   "cpu": { "delay_ms": 50,
///            "companies": [{ "login": "acme", "subscription_key": "k", "name": "Acme NV",
///                            "vat": "BE0403019261", "nxt_entity_id": "NXT0001",
///                            "callback": { "url": "http://127.0.0.1:8443/notifications/cpu/acme",
///                                          "headers": { "X-Key": "s" } } }],
///            "bulk": "each",
///            "verdicts": [{ "contains": "BL-UNKNOWN", "event": "NotValidated",
///                           "message": "the bill of lading is not known" }] } }
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// Registrations of application builders at the token server.
    pub clients: Vec<Client>,
    /// Users of the password grant.
    pub users: Vec<User>,
    /// How long a token is valid, in seconds.
    pub token_lifetime_s: u64,
    /// Ingestion channels.
    pub channels: Vec<Channel>,
    /// SCR APIs, each with a wallet of its own.
    pub scr: Vec<ScrApi>,
    /// Certified Pick up.
    pub cpu: Cpu,
}

impl Default for World {
    fn default() -> World {
        World {
            clients: Vec::new(),
            users: Vec::new(),
            token_lifetime_s: 3600,
            channels: Vec::new(),
            scr: Vec::new(),
            cpu: Cpu::default(),
        }
    }
}

/// A registration at the token server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// Its `client_secret`.
    pub secret: String,
    /// The grants that it may use.
    pub grants: Vec<Grant>,
}

/// An OAuth2 grant (RFC 6749, sections 4.3 and 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// With a user's name and password.
    Password,
    /// With the client's own secret alone.
    ClientCredentials,
}

/// A user of the password grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its name.
    pub username: String,
    /// Its password.
    pub password: String,
}

/// An ingestion channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The last part of its URL.
    pub id: String,
    /// The user name or client id whose tokens may post here.
    pub login: String,
    /// The subscription key that a call must carry, if it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_key: Option<String>,
}

/// Certified Pick up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cpu {
    /// How long a verdict takes.
    pub delay_ms: u64,
    /// Who may call.
    pub companies: Vec<Company>,
    /// How a call for several release rights is told of.
    pub bulk: Bulk,
    /// What fails; the first that fits counts, and where none does all is validated.
    pub verdicts: Vec<Verdict>,
}

/// How a call for several release rights is told of, which is not public.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bulk {
    /// By one notification that names no container.
    #[default]
    One,
    /// By one for each container, all with the reference of the call.
    Each,
}

/// A company that is subscribed to Certified Pick up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Company {
    /// The user name or client id of its tokens.
    pub login: String,
    /// Its subscription key.
    pub subscription_key: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its VAT number.
    #[serde(default)]
    pub vat: String,
    /// Its EORI number.
    #[serde(default)]
    pub eori: String,
    /// Its DUNS number.
    #[serde(default)]
    pub duns: String,
    /// Its code in APCS.
    #[serde(default)]
    pub apcs: String,
    /// Its id at NxtPort.
    #[serde(default)]
    pub nxt_entity_id: String,
    /// Where its notifications are posted to, if it has a receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
}

/// A company's receiver of notifications.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// Its URL.
    pub url: String,
    /// Headers that every notification carries.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// What becomes of calls with a certain content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// A text in the body of the call; with `bulk = "each"` in that of one release right.
    pub contains: String,
    /// The event that is told: `NotValidated`, `ThrownException`, or one of a success.
    pub event: String,
    /// Its words.
    #[serde(default)]
    pub message: String,
    /// How long it takes, if not as long as all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

/// An installation of the SCR API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrApi {
    /// Its base path, such as `/wallet-a/tmining/api/v1`.
    pub path: String,
    /// How calls prove who they are; without it nobody has to.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How callbacks are signed; without it none are made.
    #[serde(default)]
    pub callback: Option<Signs>,
    /// How long a worker takes for a call that changes something or reads a pin.
    #[serde(default = "fifty")]
    pub latency_ms: u64,
    /// How long after its 202 a transfer, revoke or unassign is carried out.
    #[serde(default)]
    pub delay_ms: u64,
    /// How many such calls are worked at once; further ones wait for their turn.
    #[serde(default = "twenty")]
    pub workers: usize,
    /// The company that the wallet belongs to.
    #[serde(rename = "self")]
    pub owner: Party,
    /// The companies that releases can be transferred to.
    #[serde(default)]
    pub connections: Vec<Connection>,
    /// The releases that the wallet sees.
    #[serde(default)]
    pub releases: Vec<Release>,
}

fn fifty() -> u64 {
    50
}

fn twenty() -> usize {
    20
}

/// How the SCR API verifies the signed JWT of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The one algorithm that is taken: RS256/384/512, ES256/384 or HS256/384/512.
    pub algorithm: Algorithm,
    /// The public key as PEM, or the secret.
    pub key: String,
    /// How the text of the secret becomes its bytes.
    #[serde(default)]
    pub secret_encoding: SecretEncoding,
}

/// How the SCR API signs its callbacks (SCR API 1.2.9, "General principles for authentication").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signs {
    /// RS256/384/512, ES256/384 or HS256/384/512.
    pub algorithm: Algorithm,
    /// The private key as PEM, or the secret.
    pub key: String,
    /// `subscriptionAuthTokenInBody`: the token stands in the body, as `token`.
    #[serde(default)]
    pub in_body: bool,
}

/// How the text of an HMAC secret becomes its bytes. SCR API 1.2.9, "Setting the authentication
/// method", can be read both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretEncoding {
    /// The text is the secret.
    #[default]
    Raw,
    /// The text is the secret in base64.
    Base64,
}

/// A company of the SCR network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Its address on the network.
    pub address: String,
    /// Its name.
    pub name: String,
    /// Its VAT number.
    pub vat: String,
}

/// A connected company.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The reference that was given when it was invited.
    pub reference: String,
    /// Its name.
    pub name: String,
    /// Its VAT number.
    pub vat: String,
    /// Its address on the network.
    pub address: String,
}

/// A release at the start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its unique address.
    pub address: String,
    /// The container number.
    pub container: String,
    /// The bill of lading number.
    pub bl: String,
    /// The VAT number of the company of this wallet that owns it; by default the wallet's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_vat: Option<String>,
    /// The VAT number or address of the connection that it was already transferred to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transferred_to: Option<String>,
    /// Whether the carrier has blocked it.
    #[serde(default)]
    pub blocked: bool,
    /// Whether the carrier has deleted it.
    #[serde(default)]
    pub deleted: bool,
    /// When the container left the terminal.
    #[serde(default)]
    pub gate_out: Option<String>,
    /// What its green lights show, by the light's name; lights that are not named are those of a
    /// container that can be fetched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub green_lights: BTreeMap<String, String>,
}
