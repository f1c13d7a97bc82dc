//! Stored: which keys and values an entry stands for on disk.

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::super::account::{Account, Waiting};
use super::super::entries::{Pair, parse};
use super::super::keys::{
    account_key, alarm_key, api_and_event, chunk_key, connection_key, connections_key, day_key,
    event_key, fetched_key, generation_key, heard_key, identity_key, invitation_key, known_key,
    login_key, outbox_key, prefix_of_verdict, queued_key, sender_key, subscription_key, tally_key,
    verdict_key, waiting_key,
};
use super::super::ordinals::Ordinals;
use super::super::{Alarm, Connection, Event, Invitation, Known, Outbox, Queued, Settled, Told};
use crate::model::{Arrival, Identity};

use super::{Entry, STATES, to_hex};

impl Entry {
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

fn from_hex(text: &str) -> Option<[u8; 8]> {
    let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(text, 16).ok().map(u64::to_be_bytes)).flatten()
}
