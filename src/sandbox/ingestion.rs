//! Ingestion: `POST /ingestion/{channel-id}`, where a customer's messages go into its vault.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::bail;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::answer::Answer;
use super::gate::Gate;
use super::hub::lock;
use super::records::records;
use super::stats::{ChannelStats, IngestionStats};
use super::token::{TokenServer, media_type};
use super::world::World;

/// What its paths start with; the channel's id follows.
pub(super) const PATH: &str = "/ingestion";

pub(super) struct Ingestion {
    channels: HashMap<String, Arc<Channel>>,
    /// Calls for channels that do not exist.
    astray: AtomicU64,
}

pub(super) struct Channel {
    login: String,
    subscription_key: Option<String>,
    /// The calls that are open now.
    pub open: Arc<Gate>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    stats: ChannelStats,
    /// Hash of the `Idempotency-Key` of each taken message, and of its body.
    taken: HashMap<[u8; 16], [u8; 16]>,
}

impl Ingestion {
    pub fn build(world: &World, tokens: &TokenServer) -> anyhow::Result<Ingestion> {
        let mut channels = HashMap::new();
        for channel in &world.channels {
            let id = &channel.id;
            if id.is_empty() || id.contains('/') {
                bail!("channel id {id:?} is empty or holds a slash");
            }
            if !tokens.knows(&channel.login) {
                bail!("channel {id}: no user or client is called {:?}", channel.login);
            }
            let built = Arc::new(Channel {
                login: channel.login.clone(),
                subscription_key: channel.subscription_key.clone(),
                open: Arc::default(),
                book: Mutex::default(),
            });
            if channels.insert(id.clone(), built).is_some() {
                bail!("two channels with the id {id:?}");
            }
        }
        Ok(Ingestion { channels, astray: AtomicU64::new(0) })
    }

    /// The channel a call is for. Counts the call.
    pub fn channel(&self, id: &str) -> Option<Arc<Channel>> {
        let channel = self.channels.get(id).cloned();
        match &channel {
            Some(channel) => lock(&channel.book).stats.calls += 1,
            None => drop(self.astray.fetch_add(1, Ordering::Relaxed)),
        }
        channel
    }

    pub fn stats(&self) -> IngestionStats {
        let calls = self.astray.load(Ordering::Relaxed);
        let mut stats = IngestionStats { calls, ..IngestionStats::default() };
        for (id, channel) in &self.channels {
            let highest_open = channel.open.highest();
            stats.add(id, ChannelStats { highest_open, ..lock(&channel.book).stats.clone() });
        }
        stats
    }
}

/// Works a call: takes the message, or says why not.
pub(super) fn answer(
    channel: Option<&Channel>,
    tokens: &TokenServer,
    parts: &Parts,
    body: &[u8],
) -> Answer {
    match refusal(channel, tokens, parts) {
        Err(answer) => answer,
        Ok(channel) => match records(&media_type(&parts.headers), body) {
            Err(why) => {
                // The shape of NxtPort's neighbouring CSV endpoint; reference/domain.md, section 2.
                let identifier = uuid::Uuid::new_v4().to_string();
                let error = json!({
                    "identifier": identifier, "error": "invalid message", "extraInfo": [why],
                });
                Answer::json(StatusCode::BAD_REQUEST, &error).noted(why)
            }
            Ok(records) => channel.take(parts, body, records),
        },
    }
}

/// The channel, if the caller may post there. The gateway in front looks at the subscription key
/// before anything else does.
fn refusal<'a>(
    channel: Option<&'a Channel>,
    tokens: &TokenServer,
    parts: &Parts,
) -> Result<&'a Channel, Answer> {
    if let Some(wanted) = channel.and_then(|channel| channel.subscription_key.as_deref()) {
        let given = parts.headers.get("ocp-apim-subscription-key").map(HeaderValue::as_bytes);
        match given {
            Some(given) if given == wanted.as_bytes() => {}
            // What Azure API Management answers; reference/domain.md, section 1.
            Some(_) => {
                return Err(unauthorized(
                    "Access denied due to invalid subscription key. Make sure to provide a \
                     valid key for an active subscription.",
                ));
            }
            None => {
                return Err(unauthorized(
                    "Access denied due to missing subscription key. Make sure to include \
                     subscription key when making requests to an API.",
                ));
            }
        }
    }
    let Some(login) = tokens.login(&parts.headers) else {
        return Err(unauthorized("Unauthorized. Access token is missing or invalid.")
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    };
    let Some(channel) = channel else {
        return Err(fault(StatusCode::NOT_FOUND, "Resource not found"));
    };
    if channel.login != login {
        return Err(fault(StatusCode::FORBIDDEN, "The channel is not one of this login's"));
    }
    if parts.method != Method::POST {
        return Err(fault(StatusCode::METHOD_NOT_ALLOWED, "Only POST is allowed here")
            .with(header::ALLOW, HeaderValue::from_static("POST")));
    }
    Ok(channel)
}

impl Channel {
    fn take(&self, parts: &Parts, body: &[u8], records: u64) -> Answer {
        let body_hash = short_hash(body);
        let key = parts.headers.get("idempotency-key").map(|key| short_hash(key.as_bytes()));
        let mut book = lock(&self.book);
        let Book { stats, taken } = &mut *book;
        stats.accepted += 1;
        let repeated = match key.map(|key| taken.entry(key)) {
            None => {
                stats.without_key += 1;
                false
            }
            Some(Entry::Vacant(vacant)) => {
                vacant.insert(body_hash);
                stats.distinct_keys += 1;
                false
            }
            Some(Entry::Occupied(first)) => {
                stats.repeated_keys += 1;
                stats.conflicting_keys += u64::from(*first.get() != body_hash);
                true
            }
        };
        if !repeated {
            stats.records += records;
        }
        let answer = json!({ "status": "accepted", "records": records, "repeated": repeated });
        Answer::json(StatusCode::ACCEPTED, &answer)
    }
}

fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

fn unauthorized(message: &str) -> Answer {
    fault(StatusCode::UNAUTHORIZED, message)
}

fn fault(status: StatusCode, message: &str) -> Answer {
    Answer::json(status, &json!({ "statusCode": status.as_u16(), "message": message }))
        .noted(message)
}
