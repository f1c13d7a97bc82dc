//! Entry: one thing that the ledger keeps, in words, as `ledger export` writes it; and which keys
//! and values it stands for on disk.

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::account::{Account, Waiting};
use super::entries::{Pair, parse};
use super::keys::{
    account_key, alarm_key, api_and_event, chunk_key, connection_key, connections_key, day_key,
    event_key, fetched_key, generation_key, heard_key, identity_key, invitation_key, known_key,
    login_key, outbox_key, prefix_of_verdict, queued_key, sender_key, subscription_key, tally_key,
    verdict_key, waiting_key,
};
use super::ordinals::Ordinals;
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

    /// What a stored pair means; none for what only serves the program.
    pub fn read(key: &[u8], value: &[u8]) -> anyhow::Result<Option<Entry>> {
        let (kind, rest) = key.split_at_checked(2).context("a key is cut short")?;
        let text = || String::from_utf8(rest.to_vec()).context("a key is no text");
        Ok(Some(match kind {
            b"m/" => match rest {
                b"schema" => Entry::Schema { version: parse(value)? },
                b"installation" => Entry::Installation { name: parse(value)? },
                b"next" => Entry::NextArrival { number: parse(value)? },
                b"tidied" => Entry::Tidied(parse(value)?),
                b"touched" => {
                    let _: Timestamp = parse(value)?;
                    return Ok(None);
                }
                _ => bail!("an entry is of no known kind"),
            },
            b"c/" => Entry::Tally { customer: text()?, tally: parse(value)? },
            b"d/" => {
                let key = text()?;
                let (customer, day) = key.rsplit_once('/').context("a key is damaged")?;
                let day: Date = day.parse().context("a key is damaged")?;
                Entry::Day { customer: customer.to_owned(), day, counted: parse(value)? }
            }
            b"a/" => {
                let alarm: Alarm = parse(value)?;
                ensure!(alarm_key(&alarm) == key, "an alarm stands in another's place");
                Entry::Alarm(alarm)
            }
            b"l/" => Entry::Login { login: text()?, refusals: parse(value)? },
            b"r/" => {
                let (api, address) = rest.split_at_checked(8).context("a key is cut short")?;
                let address = address.strip_prefix(b"/").context("a key is damaged")?;
                Entry::Release {
                    api: to_hex(api),
                    address: String::from_utf8(address.to_vec()).context("a key is no text")?,
                    age: parse(value)?,
                }
            }
            b"i/" => identity(rest, parse(value)?)?,
            b"g/" => {
                let (arrival, rest) = number(rest)?;
                ensure!(rest.is_empty(), "a key is too long");
                Entry::Generation { arrival, generation: parse(value)? }
            }
            b"p/" => {
                let (arrival, rest) = number(rest)?;
                ensure!(rest.is_empty(), "a key is too long");
                Entry::Fetched { arrival, fetched: parse(value)? }
            }
            b"k/" => known(key, rest, parse(value)?)?,
            b"j/" => {
                let (api, _) = rest_api(&text()?)?;
                let invitation: Invitation = parse(value)?;
                let own = invitation_key(&api, &invitation.name());
                ensure!(own == key, "an invitation stands in another's place");
                Entry::Invitation { api, invitation }
            }
            b"b/" => connection(key, &text()?, value)?,
            b"v/" => verdict(key, rest, parse(value)?)?,
            b"e/" => {
                let event: Event = parse(value)?;
                ensure!(event_key(event.number) == key, "a notification has another's number");
                Entry::Event(event)
            }
            b"h/" => {
                ensure!(rest.len() == 16, "a key is damaged");
                Entry::Heard { hash: to_hex(rest), at: parse(value)? }
            }
            b"n/" => Entry::Sender { sender: text()?, known: parse(value)? },
            b"u/" => {
                let (api, event_type) = api_and_event(key).context("a key is damaged")?;
                Entry::Subscription {
                    api: api.to_owned(),
                    event_type: event_type.to_owned(),
                    subscription: parse(value)?,
                }
            }
            b"t/" => {
                let (api, address) = rest.split_at_checked(8).context("a key is cut short")?;
                let address = address.strip_prefix(b"/").context("a key is damaged")?;
                Entry::Seen {
                    api: to_hex(api),
                    address: String::from_utf8(address.to_vec()).context("a key is no text")?,
                    seen: parse(value)?,
                }
            }
            b"y/" => {
                ensure!(rest.len() == 8, "a key is damaged");
                Entry::Walked { api: to_hex(rest), walked: parse(value)? }
            }
            b"o/" => {
                let outbox: Outbox = parse(value)?;
                let own = outbox_key(&outbox.customer, &outbox.outbox);
                ensure!(own == key, "an outbox stands in another's place");
                Entry::Outbox(outbox)
            }
            b"q/" => {
                let queued: Queued = parse(value)?;
                let own = queued_key(&queued.customer, &queued.outbox, queued.sequence);
                ensure!(own == key, "a document for an outbox stands in another's place");
                Entry::Queued(queued)
            }
            b"f/" => {
                let account: Account = parse(value)?;
                ensure!(account_key(account.arrival) == key, "an account has another's number");
                Entry::File(Box::new(account))
            }
            b"s/" => records(rest, value)?,
            b"w/" => {
                let (arrival, _) = number(rest)?;
                let waiting: Waiting = parse(value)?;
                ensure!(
                    waiting_key(arrival, waiting.first) == key,
                    "what waits stands in another's place"
                );
                Entry::Waiting { arrival, waiting }
            }
            _ => bail!("an entry is of no known kind"),
        }))
    }

    /// The pairs that keep it.
    pub fn pairs(&self) -> anyhow::Result<Vec<Pair>> {
        Ok(match self {
            Entry::Schema { version } => vec![pair(b"m/schema", version)?],
            Entry::Installation { name } => vec![pair(b"m/installation", name)?],
            Entry::NextArrival { number } => vec![pair(b"m/next", number)?],
            Entry::Tally { customer, tally } => vec![pair(&tally_key(customer), tally)?],
            Entry::Day { customer, day, counted } => {
                vec![pair(&day_key(customer, *day), counted)?]
            }
            Entry::Tidied(believed) => vec![pair(b"m/tidied", believed)?],
            Entry::Alarm(alarm) => vec![pair(&alarm_key(alarm), alarm)?],
            Entry::Login { login, refusals } => vec![pair(&login_key(login), refusals)?],
            Entry::Release { api, address, age } => {
                let api = from_hex(api).context("api is not 16 hexadecimal digits")?;
                vec![pair(&[b"r/", api.as_slice(), b"/", address.as_bytes()].concat(), age)?]
            }
            Entry::Identity { customer, source, identity, settled } => {
                vec![pair(&identity_key(customer, source, identity), settled)?]
            }
            Entry::Generation { arrival, generation } => {
                vec![pair(&generation_key(*arrival), generation)?]
            }
            Entry::Fetched { arrival, fetched } => vec![pair(&fetched_key(*arrival), fetched)?],
            Entry::Known { customer, source, known } => {
                vec![pair(&known_key(customer, source, &known.path), known)?]
            }
            Entry::Connection { api, connection } => {
                let address = connection.address.to_lowercase();
                vec![pair(&connection_key(api, &address), connection)?]
            }
            Entry::Invitation { api, invitation } => {
                vec![pair(&invitation_key(api, &invitation.name()), invitation)?]
            }
            Entry::Connected { api, at } => vec![pair(&connections_key(api), at)?],
            Entry::Verdict { customer, told } => {
                vec![pair(&verdict_key(customer, told), told)?]
            }
            Entry::Event(event) => vec![pair(&event_key(event.number), event)?],
            Entry::Heard { hash, at } => {
                let halves = hash.split_at_checked(16).context("hash is too short")?;
                let halves = (from_hex(halves.0), from_hex(halves.1));
                let (Some(first), Some(second)) = halves else {
                    bail!("hash is not 32 hexadecimal digits");
                };
                let mut hash = [0; 16];
                hash[..8].copy_from_slice(&first);
                hash[8..].copy_from_slice(&second);
                vec![pair(&heard_key(&hash), at)?]
            }
            Entry::Sender { sender, known } => vec![pair(&sender_key(sender), known)?],
            Entry::Subscription { api, event_type, subscription } => {
                vec![pair(&subscription_key(api, event_type), subscription)?]
            }
            Entry::Seen { api, address, seen } => {
                let api = from_hex(api).context("api is not 16 hexadecimal digits")?;
                vec![pair(&[b"t/", api.as_slice(), b"/", address.as_bytes()].concat(), seen)?]
            }
            Entry::Walked { api, walked } => {
                let api = from_hex(api).context("api is not 16 hexadecimal digits")?;
                vec![pair(&[b"y/".as_slice(), api.as_slice()].concat(), walked)?]
            }
            Entry::Outbox(outbox) => {
                vec![pair(&outbox_key(&outbox.customer, &outbox.outbox), outbox)?]
            }
            Entry::Queued(queued) => {
                let key = queued_key(&queued.customer, &queued.outbox, queued.sequence);
                vec![pair(&key, queued)?]
            }
            Entry::File(account) => vec![pair(&account_key(account.arrival), account)?],
            Entry::Records { arrival, state, ranges } => {
                let tag = STATES.iter().find(|(of, _)| of == state).map(|(_, tag)| *tag);
                let tag = tag.with_context(|| format!("{state:?} is not a final state"))?;
                let mut set = Ordinals::default();
                for (first, last) in ranges {
                    set.insert(*first, *last);
                }
                let chunk = |chunk| (chunk_key(*arrival, tag, chunk), set.chunk_to_bytes(chunk));
                set.chunks().map(chunk).collect()
            }
            Entry::Waiting { arrival, waiting } => {
                vec![pair(&waiting_key(*arrival, waiting.first), waiting)?]
            }
            Entry::End { .. } => Vec::new(),
        })
    }
}

fn pair(key: &[u8], value: &impl Serialize) -> anyhow::Result<Pair> {
    Ok((key.to_vec(), serde_json::to_vec(value)?))
}

fn identity(key: &[u8], settled: Settled) -> anyhow::Result<Entry> {
    let (names, bytes) = key
        .len()
        .checked_sub(32)
        .and_then(|at| key.split_at_checked(at))
        .context("a key is cut short")?;
    let names = std::str::from_utf8(names).context("a key is no text")?;
    let (customer, source) = names
        .strip_suffix('/')
        .and_then(|names| names.split_once('/'))
        .context("a key is damaged")?;
    Ok(Entry::Identity {
        customer: customer.to_owned(),
        source: source.to_owned(),
        identity: Identity(bytes.try_into()?),
        settled,
    })
}

fn known(key: &[u8], rest: &[u8], known: Known) -> anyhow::Result<Entry> {
    let mut parts = rest.splitn(3, |byte| *byte == b'/');
    let mut name = || Some(std::str::from_utf8(parts.next()?).ok()?.to_owned());
    let customer = name().context("a key is damaged")?;
    let source = name().context("a key is damaged")?;
    let own = known_key(&customer, &source, &known.path);
    ensure!(own == key, "a remote file stands in another's place");
    Ok(Entry::Known { customer, source, known })
}

fn rest_api(rest: &str) -> anyhow::Result<(String, String)> {
    let (api, name) = rest.split_once('/').context("a key is damaged")?;
    Ok((api.to_owned(), name.to_owned()))
}

fn connection(key: &[u8], rest: &str, value: &[u8]) -> anyhow::Result<Entry> {
    let (api, address) = rest.split_once('/').unwrap_or((rest, ""));
    let api = api.to_owned();
    if address.is_empty() {
        return Ok(Entry::Connected { api, at: parse(value)? });
    }
    let connection: Connection = parse(value)?;
    let own = connection_key(&api, &connection.address.to_lowercase());
    ensure!(own == key, "a connection stands in another's place");
    Ok(Entry::Connection { api, connection })
}

fn verdict(key: &[u8], rest: &[u8], told: Told) -> anyhow::Result<Entry> {
    let rest = prefix_of_verdict(rest, &told).context("a verdict names another container")?;
    let customer = rest.len().checked_sub(17).and_then(|at| rest.get(..at));
    let customer = std::str::from_utf8(customer.context("a key is cut short")?);
    let customer = customer.context("a key is damaged")?.to_owned();
    ensure!(verdict_key(&customer, &told) == key, "a verdict stands in another's place");
    Ok(Entry::Verdict { customer, told })
}

fn records(key: &[u8], value: &[u8]) -> anyhow::Result<Entry> {
    let (arrival, rest) = number(key)?;
    let (tag, chunk) = rest.split_first().context("a key is cut short")?;
    let chunk = u32::from_be_bytes(chunk.try_into().context("a key is cut short")?);
    let state = STATES.iter().find(|(_, of)| of == tag).map(|(state, _)| *state);
    let state = state.context("records are in no known state")?;
    let mut set = Ordinals::default();
    set.add_chunk(chunk, value).context("a chunk of records cannot be read")?;
    Ok(Entry::Records { arrival, state, ranges: set.ranges() })
}

fn number(key: &[u8]) -> anyhow::Result<(Arrival, &[u8])> {
    let (number, rest) = key.split_at_checked(8).context("a key is cut short")?;
    Ok((Arrival(u64::from_be_bytes(number.try_into()?)), rest))
}

/// Bytes as hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 8]> {
    let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(text, 16).ok().map(u64::to_be_bytes)).flatten()
}
