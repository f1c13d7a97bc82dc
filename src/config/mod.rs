//! Config: what the provider and the customers have written, checked as a whole. Whoever holds a
//! `Config` holds a valid one.

pub mod secret;
pub mod section;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use secret::{Secret, SecretSource};
pub use section::{Environments, Fault, Faults, Section};

/// The provider's configuration with all its usable customers.
#[derive(Clone, Debug)]
pub struct Config {
    /// The provider's file.
    pub file: PathBuf,
    /// All environments and the one in use.
    pub environments: Environments,
    /// The folder of mapping files; its `aka` folder holds the tables.
    pub mappings: PathBuf,
    /// `state/<environment>`: everything durable.
    pub state: PathBuf,
    /// The ingestion endpoint, without the channel id.
    pub ingestion: Option<String>,
    /// The SCR APIs that the provider declares, by name; a customer's own are named
    /// `customer/name` and stand here too.
    pub scr: BTreeMap<String, ScrApi>,
    /// Limits over all customers.
    pub limits: Limits,
    /// The usable customers by id.
    pub customers: BTreeMap<String, Customer>,
    /// The customers whose files cannot be used, by id, with why.
    pub broken: BTreeMap<String, Vec<Fault>>,
}

/// Limits over all customers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests open at once, over all channels, SCR's 20 apart. Default 64.
    pub in_flight: usize,
    /// Bytes of request bodies held at once. Default 16 MiB.
    pub in_flight_bytes: u64,
    /// Free disk below which pickup pauses. Default 1 GiB.
    pub free_disk: u64,
    /// How long identities and counters of settled files are kept. Default 90 days.
    pub remember: Duration,
}

/// One installation of the SCR API: one wallet, one key, one gate.
#[derive(Clone, Debug)]
pub struct ScrApi {
    /// The base URL, without a slash at its end.
    pub url: String,
    /// How calls prove who they come from.
    pub auth: ScrAuth,
    /// Calls that change something open at once, 1 to 20. Default 20.
    pub concurrency: usize,
    /// How long one call may take, the API's own queue included. Default 5 minutes.
    pub timeout: Duration,
    /// A further root certificate in PEM.
    pub ca: Option<PathBuf>,
}

/// How calls to an SCR API prove who they come from (SCR API 1.2.9, "General principles for
/// authentication").
#[derive(Clone, Debug)]
pub enum ScrAuth {
    /// No authentication.
    None,
    /// A JWT signed for every call.
    SignedJwt {
        /// RS256, RS384, RS512, ES256, ES384, HS256, HS384 or HS512.
        algorithm: String,
        /// The private key in PEM, or the shared secret.
        key: SecretSource,
        /// Whether a shared secret is base64 to be decoded first.
        base64: bool,
        /// How long a token is valid. Default 60 s.
        lifetime: Duration,
    },
}

/// One customer: the company whose data this is.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The stem of its file.
    pub id: String,
    /// Its file.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// Its VAT number, as SCR's `selfOwnerVat` says it.
    pub vat: Option<String>,
    /// Whether it takes in new files.
    pub active: bool,
    /// Where its files appear, by name.
    pub sources: BTreeMap<String, Source>,
    /// Its channels by name.
    pub channels: BTreeMap<String, Channel>,
    /// Its routes; the first that matches wins.
    pub routes: Vec<Route>,
}

/// A local folder in which files appear.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in the customer's file.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// When a file counts as finished.
    pub ready: Ready,
    /// Names that are never looked at, as globs.
    pub ignore: globset::GlobSet,
    /// In which order the files of one look are taken.
    pub order: Order,
    /// Where the originals go. Default `archive` in the folder.
    pub archive: PathBuf,
    /// Where rejected records go. Default `rejects` in the folder.
    pub rejects: PathBuf,
    /// Where receipts go. Default `receipts` in the folder.
    pub receipts: PathBuf,
}

/// When a file counts as finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Size, modification time and inode unchanged for this long on our own clock. Default 2 s.
    Quiet(Duration),
    /// As soon as it is there: writers rename finished files into place.
    Renamed,
    /// When the marker beside it is there; `{name}` and `{stem}` stand for the file's.
    Marker(String),
}

/// In which order the files of one look are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By name.
    Name,
    /// By modification time, then by name.
    Modified,
}

/// Source + file pattern → mapping → channel.
#[derive(Clone, Debug)]
pub struct Route {
    /// The source's name.
    pub source: String,
    /// The pattern as written.
    pub files: String,
    /// The pattern; letters of either case match.
    pub pattern: globset::GlobMatcher,
    /// The mapping's name: the stem of a file in `mappings`.
    pub mapping: String,
    /// The channel's name.
    pub channel: String,
    /// Whether records of a repeated file are sent again. Default: only to SCR.
    pub send_repeats: bool,
}

/// Where a customer's messages go.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name in the customer's file.
    pub name: String,
    /// What it speaks to.
    pub kind: ChannelKind,
    /// The waits between attempts.
    pub retry: Retry,
}

/// What a channel speaks to.
#[derive(Clone, Debug)]
pub enum ChannelKind {
    /// An NxtPort ingestion channel.
    Ingestion(IngestionChannel),
    /// An SCR API.
    Scr(ScrChannel),
}

/// An NxtPort ingestion channel.
#[derive(Clone, Debug)]
pub struct IngestionChannel {
    /// The whole URL, the channel id included.
    pub url: String,
    /// Who the customer is.
    pub login: Login,
    /// The value of `Content-Type`.
    pub media_type: String,
    /// The message type, and where it travels.
    pub message_type: MessageType,
    /// Further fixed headers.
    pub headers: Vec<(String, String)>,
    /// Records a message at most. Default 500.
    pub batch_records: usize,
    /// Bytes a message at most. Default 1 MiB.
    pub batch_bytes: usize,
    /// Requests of this channel open at once. Default 4.
    pub concurrency: usize,
    /// How long one request may take. Default 30 s.
    pub timeout: Duration,
    /// Verdicts that override the table of the design's section 4.4, by status.
    pub answers: BTreeMap<u16, AnswerRule>,
    /// A further root certificate in PEM.
    pub ca: Option<PathBuf>,
}

/// A verdict that the configuration gives to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the key `answers`")]
pub enum AnswerRule {
    Delivered,
    Record,
    Channel,
    Later,
}

/// Where the message type travels (reference/domain.md, section 2: agreed at onboarding).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// In a header: its name, the value.
    Header(String, String),
    /// In the query: the parameter's name, the value.
    Query(String, String),
    /// Nowhere.
    None,
}

/// An SCR channel of a customer.
#[derive(Clone, Debug)]
pub struct ScrChannel {
    /// The name of the SCR API in `Config::scr`.
    pub api: String,
    /// How long a record waits for its release before it is quarantined. Default 30 days.
    pub park_for: Duration,
    /// How long a 202 may stay unconfirmed. Default 1 hour.
    pub verdict_within: Duration,
}

/// A customer's login at a token server, with the client it comes through.
#[derive(Clone, Debug)]
pub struct Login {
    /// `customer/login`: tokens are cached and refusals counted by it.
    pub id: String,
    /// The token endpoint.
    pub token_url: String,
    /// The grant and what it needs.
    pub grant: Grant,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: SecretSource,
    /// The scope, if one is asked for.
    pub scope: Option<String>,
    /// The subscription key, where one is needed.
    pub subscription_key: Option<SecretSource>,
    /// A further root certificate in PEM.
    pub ca: Option<PathBuf>,
}

/// An OAuth 2.0 grant.
#[derive(Clone, Debug)]
pub enum Grant {
    /// The resource owner's name and password.
    Password {
        /// The user's name.
        username: String,
        /// The user's password.
        password: SecretSource,
    },
    /// The client for itself.
    ClientCredentials,
}

/// The waits between attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first wait. Default 1 s (SCR: 30 s).
    pub first: Duration,
    /// The longest wait. Default 5 min (SCR: 10 min).
    pub max: Duration,
    /// After how much reachable time a record is given up. Default 24 h.
    pub give_up_after: Duration,
}

/// Where the config's `listen` binds; nothing listens unless it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
}
