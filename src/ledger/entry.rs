//! Entry: one thing that the ledger keeps, in words, as `ledger export` writes it.

mod stored;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::account::{Account, Waiting};
use super::{
    Alarm, Believed, Connection, Day, Event, Fetched, Invitation, Known, LoginRefusals, Outbox,
    Queued, ReleaseAge, Seen, Sender, Settled, Subscription, Tally, Told, Walked,
};
use crate::model::{Arrival, Identity, State};

/// The states whose records are kept, and their tags in keys.
pub const STATES: [(State, u8); 4] = [
    (State::Delivered, b'd'),
    (State::Quarantined, b'q'),
    (State::Superseded, b's'),
    (State::Discarded, b'x'),
];

/// One thing that the ledger keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    /// The version of what is stored.
    Schema {
        /// The version.
        version: u32,
    },
    /// A name that no other ledger has.
    Installation {
        /// The name.
        name: String,
    },
    /// The number of the next pick-up.
    NextArrival {
        /// The number.
        number: u64,
    },
    /// What is left of a customer's settled files.
    Tally {
        /// The customer's id.
        customer: String,
        /// The counters.
        #[serde(flatten)]
        tally: Tally,
    },
    /// What is counted of a customer's files that settled on one day.
    Day {
        /// The customer's id.
        customer: String,
        /// The day.
        day: Date,
        /// The counters.
        #[serde(flatten)]
        counted: Day,
    },
    /// How far the clock is believed where things are cleared by their age.
    Tidied(Believed),
    /// An alarm that stands.
    Alarm(Alarm),
    /// How often a login was refused in a row.
    Login {
        /// The login's id.
        login: String,
        /// How often, and when.
        #[serde(flatten)]
        refusals: LoginRefusals,
    },
    /// The age of a release at an SCR API.
    Release {
        /// The first 16 digits of the hash of the API's URL.
        api: String,
        /// The release's address.
        address: String,
        /// Its age.
        #[serde(flatten)]
        age: ReleaseAge,
    },
    /// What is remembered of a file by its identity.
    Identity {
        /// The customer's id.
        customer: String,
        /// The source's name.
        source: String,
        /// BLAKE3 of the bytes.
        identity: Identity,
        /// The file's last pick-up.
        #[serde(flatten)]
        settled: Settled,
    },
    /// How often records of a settled file were worked again.
    Generation {
        /// The pick-up's number.
        arrival: Arrival,
        /// How often.
        generation: u32,
    },
    /// A remote file that is still to be moved or removed where it was.
    Fetched {
        /// The pick-up's number.
        arrival: Arrival,
        /// Which.
        #[serde(flatten)]
        fetched: Fetched,
    },
    /// A remote file that stays where it is.
    Known {
        /// The customer's id.
        customer: String,
        /// The source's name.
        source: String,
        /// Which.
        #[serde(flatten)]
        known: Known,
    },
    /// What CPu told of something that it accepted, not acted on yet.
    Verdict {
        /// The customer's id.
        customer: String,
        /// What it told.
        #[serde(flatten)]
        told: Told,
    },
    /// A notification that is still to be worked on.
    Event(Event),
    /// That a notification came, so that a repeat is told.
    Heard {
        /// The first 32 digits of its hash.
        hash: String,
        /// When.
        at: Timestamp,
    },
    /// A company that releases can be transferred to.
    Connection {
        /// The first 16 digits of the hash of the SCR API's URL.
        api: String,
        /// The company.
        #[serde(flatten)]
        connection: Connection,
    },
    /// An invitation that a record asked for.
    Invitation {
        /// The first 16 digits of the hash of the SCR API's URL.
        api: String,
        /// Which, and what was answered.
        #[serde(flatten)]
        invitation: Invitation,
    },
    /// When an SCR API told its connections.
    Connected {
        /// The first 16 digits of the hash of its URL.
        api: String,
        /// When.
        at: Timestamp,
    },
    /// One who sends notifications.
    Sender {
        /// `scr/<api>` or `cpu/<customer>`.
        sender: String,
        /// Its last one.
        #[serde(flatten)]
        known: Sender,
    },
    /// A callback URL that was registered at an SCR API.
    Subscription {
        /// The API's name in the config.
        api: String,
        /// `onRelease` or `onAcceptInvitation`.
        event_type: String,
        /// What was registered.
        #[serde(flatten)]
        subscription: Subscription,
    },
    /// How a release of an SCR API was when it was last looked at.
    Seen {
        /// The first 16 digits of the hash of the API's URL.
        api: String,
        /// The release's address.
        address: String,
        /// How it was.
        #[serde(flatten)]
        seen: Seen,
    },
    /// How far the releases of an SCR API were walked.
    Walked {
        /// The first 16 digits of the hash of the API's URL.
        api: String,
        /// How far.
        #[serde(flatten)]
        walked: Walked,
    },
    /// How far an outbox has come.
    Outbox(Outbox),
    /// A document that is still to be written as a file for the ERP.
    Queued(Queued),
    /// An open file.
    File(Box<Account>),
    /// Records of a file that are in a final state. Of a settled file only those are kept that
    /// are quarantined.
    Records {
        /// The pick-up's number.
        arrival: Arrival,
        /// The state.
        state: State,
        /// Their ordinals, both ends inclusive.
        ranges: Vec<(u64, u64)>,
    },
    /// Records of a file that wait.
    Waiting {
        /// The pick-up's number.
        arrival: Arrival,
        /// Which, and for what.
        #[serde(flatten)]
        waiting: Waiting,
    },
    /// The last line of an export.
    End {
        /// The lines before it.
        lines: u64,
    },
}

impl Entry {
    /// What keys start with, by kind: what belongs to no file comes first.
    pub const PREFIXES: [&'static [u8]; 24] = [
        b"m/", b"c/", b"d/", b"a/", b"l/", b"r/", b"i/", b"g/", b"p/", b"k/", b"v/", b"e/", b"h/",
        b"n/", b"b/", b"j/", b"u/", b"t/", b"y/", b"o/", b"q/", b"f/", b"s/", b"w/",
    ];

    /// What a kind of entry is about, in words.
    pub fn kind(key: &[u8]) -> &'static str {
        match key.get(..2) {
            Some(b"c/") => "counters of a customer",
            Some(b"d/") => "counters of a customer's day",
            Some(b"a/") => "an alarm",
            Some(b"l/") => "how often a login was refused",
            Some(b"r/") => "the age of a release",
            Some(b"i/") => "the identity of a file",
            Some(b"g/") => "how often records were worked again",
            Some(b"p/") => "a remote file that is fetched",
            Some(b"k/") => "a remote file that stays",
            Some(b"v/") => "a verdict of CPu's",
            Some(b"e/") => "a notification to be worked on",
            Some(b"h/") => "that a notification came",
            Some(b"n/") => "one who sends notifications",
            Some(b"b/") => "a connection of an SCR API",
            Some(b"j/") => "an invitation to connect",
            Some(b"u/") => "a callback that was registered",
            Some(b"t/") => "how a release was",
            Some(b"y/") => "how far releases were walked",
            Some(b"o/") => "how far an outbox has come",
            Some(b"q/") => "a document for an outbox",
            Some(b"f/") => "the account of an open file",
            Some(b"s/") => "final records of a file",
            Some(b"w/") => "records that wait",
            _ => "something of the ledger itself",
        }
    }
}

/// Bytes as hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
