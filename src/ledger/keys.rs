//! Keys: where each thing stands in the store. One tree, and a letter for each kind of entry.

use anyhow::Context;
use jiff::civil::Date;

use super::{Alarm, Told};
use crate::model::{Arrival, Identity};

/// A file's account.
pub fn account_key(arrival: Arrival) -> Vec<u8> {
    [b"f/".as_slice(), &arrival.0.to_be_bytes()].concat()
}

/// The chunks of one final state of a file.
pub fn chunk_prefix(arrival: Arrival, tag: u8) -> Vec<u8> {
    [b"s/".as_slice(), &arrival.0.to_be_bytes(), &[tag]].concat()
}

/// One chunk of them.
pub fn chunk_key(arrival: Arrival, tag: u8, chunk: u32) -> Vec<u8> {
    [chunk_prefix(arrival, tag).as_slice(), &chunk.to_be_bytes()].concat()
}

/// The file and the state of a chunk, by its key.
pub fn file_of_chunk(key: &[u8]) -> Option<(Arrival, u8)> {
    let number = key.get(2..10)?.try_into().ok()?;
    Some((Arrival(u64::from_be_bytes(number)), *key.get(10)?))
}

/// What waits of a file.
pub fn waiting_prefix(arrival: Arrival) -> Vec<u8> {
    [b"w/".as_slice(), &arrival.0.to_be_bytes()].concat()
}

/// What waits from this ordinal on.
pub fn waiting_key(arrival: Arrival, first: u64) -> Vec<u8> {
    [waiting_prefix(arrival).as_slice(), &first.to_be_bytes()].concat()
}

/// How often records of a settled file were worked again.
pub fn generation_key(arrival: Arrival) -> Vec<u8> {
    [b"g/".as_slice(), &arrival.0.to_be_bytes()].concat()
}

/// A file's identity within its source.
pub fn identity_key(customer: &str, source: &str, identity: &Identity) -> Vec<u8> {
    [b"i/", customer.as_bytes(), b"/", source.as_bytes(), b"/", &identity.0].concat()
}

/// What is left of a customer's settled files.
pub fn tally_key(customer: &str) -> Vec<u8> {
    [b"c/", customer.as_bytes()].concat()
}

/// What was counted of a customer's files that settled on one day.
pub fn day_key(customer: &str, day: Date) -> Vec<u8> {
    format!("d/{customer}/{day}").into_bytes()
}

/// An alarm.
pub fn alarm_key(alarm: &Alarm) -> Vec<u8> {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let (channel, source) = (part(&alarm.channel), part(&alarm.source));
    format!("a/{}/{channel}/{source}/{}", alarm.customer, alarm.kind.word()).into_bytes()
}

/// How often a login was refused.
pub fn login_key(login: &str) -> Vec<u8> {
    [b"l/", login.as_bytes()].concat()
}

/// A remote file that is still to be moved or removed.
pub fn fetched_key(arrival: Arrival) -> Vec<u8> {
    [b"p/".as_slice(), &arrival.0.to_be_bytes()].concat()
}

/// The number in such a key.
pub fn number_of(key: &[u8]) -> anyhow::Result<Arrival> {
    let number = key.get(2..).and_then(|rest| rest.try_into().ok());
    Ok(Arrival(u64::from_be_bytes(number.context("a key is cut short")?)))
}

/// The remote files of a source that are known.
pub fn known_prefix(customer: &str, source: &str) -> Vec<u8> {
    format!("k/{customer}/{source}/").into_bytes()
}

/// One of them. A path may be long, and a key is to be short.
pub fn known_key(customer: &str, source: &str, path: &str) -> Vec<u8> {
    let path = blake3::hash(path.as_bytes());
    [known_prefix(customer, source).as_slice(), &path.as_bytes()[..16]].concat()
}

/// The verdicts of CPu's for a public reference, in letters of either case. A reference may be long,
/// and a key is to be short.
pub fn verdict_prefix(customer: &str, reference: &str) -> Vec<u8> {
    let reference = blake3::hash(reference.to_ascii_lowercase().as_bytes());
    [b"v/", customer.as_bytes(), b"/", &reference.as_bytes()[..16]].concat()
}

/// One of them: that on all of the call, or on the container that it names.
pub fn verdict_key(customer: &str, told: &Told) -> Vec<u8> {
    let container = told.container.as_deref().unwrap_or_default();
    [verdict_prefix(customer, &told.reference).as_slice(), container.as_bytes()].concat()
}

/// What such a key starts with.
pub fn prefix_of_verdict<'a>(key: &'a [u8], told: &Told) -> Option<&'a [u8]> {
    let container = told.container.as_deref().unwrap_or_default();
    key.strip_suffix(container.as_bytes())
}

/// A notification that is still to be worked on.
pub fn event_key(number: u64) -> Vec<u8> {
    [b"e/".as_slice(), &number.to_be_bytes()].concat()
}

/// That a notification with this hash came.
pub fn heard_key(hash: &[u8; 16]) -> Vec<u8> {
    [b"h/".as_slice(), hash].concat()
}

/// One who sends notifications.
pub fn sender_key(sender: &str) -> Vec<u8> {
    [b"n/", sender.as_bytes()].concat()
}

/// An invitation at an SCR API, named by `short_api`.
pub fn invitation_key(api: &str, name: &str) -> Vec<u8> {
    format!("j/{api}/{}", name.strip_prefix("invitation ").unwrap_or(name)).into_bytes()
}

/// When the connections of an SCR API, named by `short_api`, were told.
pub fn connections_key(api: &str) -> Vec<u8> {
    format!("b/{api}").into_bytes()
}

/// One of them, by its address in lower case.
pub fn connection_key(api: &str, address: &str) -> Vec<u8> {
    format!("b/{api}/{address}").into_bytes()
}

/// What was registered at an SCR API for a type of event.
pub fn subscription_key(api: &str, event_type: &str) -> Vec<u8> {
    format!("u/{api}/{event_type}").into_bytes()
}

/// The API and the type of event in such a key.
pub fn api_and_event(key: &[u8]) -> Option<(&str, &str)> {
    // The name of a customer's own API holds a slash.
    std::str::from_utf8(key.get(2..)?).ok()?.rsplit_once('/')
}

/// How a release of an SCR API was when it was last looked at.
pub fn seen_key(api: &str, address: &str) -> Vec<u8> {
    let api = blake3::hash(api.as_bytes());
    [b"t/".as_slice(), &api.as_bytes()[..8], b"/", address.as_bytes()].concat()
}

/// How it was when it was last looked at as a customer's that is not its owner any more.
pub fn former_key(api: &str, address: &str, customer: &str) -> Vec<u8> {
    seen_key(api, &format!("{address}/{customer}"))
}

/// How far the releases of an SCR API were walked.
pub fn walked_key(api: &str) -> Vec<u8> {
    [b"y/".as_slice(), &blake3::hash(api.as_bytes()).as_bytes()[..8]].concat()
}

/// How far an outbox has come. Neither name holds a slash.
pub fn outbox_key(customer: &str, outbox: &str) -> Vec<u8> {
    format!("o/{customer}/{outbox}").into_bytes()
}

/// The documents that wait in an outbox.
pub fn queued_prefix(customer: &str, outbox: &str) -> Vec<u8> {
    format!("q/{customer}/{outbox}/").into_bytes()
}

/// One of them.
pub fn queued_key(customer: &str, outbox: &str, sequence: u64) -> Vec<u8> {
    [queued_prefix(customer, outbox).as_slice(), &sequence.to_be_bytes()].concat()
}

/// The age of a release at an SCR API.
pub fn release_key(api: &str, address: &str) -> Vec<u8> {
    let api = blake3::hash(api.as_bytes());
    [b"r/".as_slice(), &api.as_bytes()[..8], b"/", address.as_bytes()].concat()
}
