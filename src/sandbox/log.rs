//! Log: the calls that came in, as a test wants to read them. Bounded: the newest calls, and of
//! those the newest bodies.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Mutex;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hub::lock;

/// How many calls the log holds.
const CALLS: usize = 100_000;
/// How many bytes of bodies it holds.
const BODIES: usize = 64 << 20;

/// One call, as it came in and as it was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its number, from 1, in order of arrival; never given twice.
    pub seq: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// How many calls the sandbox had open then, this one included.
    pub open_at_start: u64,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query, as written; empty without one.
    pub query: String,
    /// Its headers by name in lower case; several of one name are joined with `, `. Credentials
    /// are shown as their [`token_hash`].
    pub headers: BTreeMap<String, String>,
    /// What its bearer token says of itself, where it is a JWT.
    pub jwt: Option<Jwt>,
    /// Whose token it carried, where the token server had issued it.
    pub login: Option<String>,
    /// Its body as text, as long as the log holds it. Secrets of a token call are masked.
    pub body: Option<String>,
    /// The length of its body.
    pub body_bytes: u64,
    /// The fault that struck it: `status`, `delay_ms`, `drop`, `drop_after` or `expire_token`.
    pub fault: Option<String>,
    /// The status it was answered with; none while it is open, and when it got no answer.
    pub status: Option<u16>,
    /// When it was answered.
    pub answered: Option<Timestamp>,
    /// Why it was refused, where the answer says less.
    pub note: Option<String>,
}

/// The claims of a JWT that tell whether it was made afresh; of whatever type they came as.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Jwt {
    /// Its unique id.
    pub jti: Option<Value>,
    /// When it was issued.
    pub iat: Option<Value>,
    /// When it expires.
    pub exp: Option<Value>,
}

/// How the log shows a token or key: enough to tell two apart, no way back.
pub fn token_hash(token: &str) -> String {
    format!("blake3:{}", &blake3::hash(token.as_bytes()).to_hex()[..16])
}

#[derive(Default)]
pub(super) struct Log(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    calls: VecDeque<Entry>,
    /// The number of the last call.
    last: u64,
    /// Bytes of bodies held.
    bodies: usize,
    /// All calls before this number have no body any more.
    bodies_from: u64,
}

/// A call as the log keeps it: few allocations, since there are many.
struct Entry {
    seq: u64,
    at: Timestamp,
    open_at_start: u64,
    method: Method,
    path: Box<str>,
    query: Box<str>,
    /// `name: value` lines.
    head: Box<str>,
    jwt: Option<Box<Jwt>>,
    body: Option<Box<[u8]>>,
    body_bytes: u64,
    end: End,
}

/// How a call ended.
#[derive(Default)]
pub(super) struct End {
    pub login: Option<String>,
    pub fault: Option<&'static str>,
    pub status: Option<u16>,
    pub answered: Option<Timestamp>,
    pub note: Option<String>,
}

impl Log {
    /// Notes a call whose body is still to come, and numbers it.
    pub fn arrived(&self, parts: &Parts, open_at_start: u64) -> u64 {
        let mut entry = Entry {
            seq: 0,
            at: Timestamp::now(),
            open_at_start,
            method: parts.method.clone(),
            path: parts.uri.path().into(),
            query: parts.uri.query().unwrap_or_default().into(),
            head: head(&parts.headers),
            jwt: jwt(&parts.headers).map(Box::new),
            body: None,
            body_bytes: 0,
            end: End::default(),
        };
        let mut entries = lock(&self.0);
        entries.last += 1;
        entry.seq = entries.last;
        entries.calls.push_back(entry);
        if entries.calls.len() > CALLS
            && let Some(oldest) = entries.calls.pop_front()
        {
            entries.bodies -= oldest.body.map_or(0, |body| body.len());
        }
        entries.last
    }

    /// Adds the body that may be shown. `length` is that of the true one.
    pub fn body(&self, seq: u64, shown: &[u8], length: usize) {
        // A copy, since the original may share a far larger buffer of its connection.
        let shown: Box<[u8]> = shown.into();
        let mut entries = lock(&self.0);
        let size = shown.len();
        let Some(entry) = entries.get(seq) else { return };
        entry.body_bytes = length as u64;
        if size <= BODIES {
            entry.body = Some(shown);
            entries.bodies += size;
            entries.shed_bodies();
        }
    }

    pub fn ended(&self, seq: u64, end: End) {
        if let Some(entry) = lock(&self.0).get(seq) {
            entry.end = end;
        }
    }

    /// The calls after number `since` whose path starts with `path`, oldest first.
    pub fn calls(&self, since: u64, path: &str) -> Vec<Call> {
        lock(&self.0)
            .calls
            .iter()
            .filter(|entry| entry.seq > since && entry.path.starts_with(path))
            .map(Entry::call)
            .collect()
    }

    /// Forgets all calls; the numbers go on.
    pub fn clear(&self) {
        let mut entries = lock(&self.0);
        entries.calls.clear();
        entries.bodies = 0;
    }
}

impl Entries {
    fn get(&mut self, seq: u64) -> Option<&mut Entry> {
        let first = self.calls.front()?.seq;
        self.calls.get_mut(usize::try_from(seq.checked_sub(first)?).ok()?)
    }

    fn shed_bodies(&mut self) {
        while self.bodies > BODIES {
            let first = self.calls.front().map_or(self.last, |entry| entry.seq);
            self.bodies_from = self.bodies_from.max(first);
            let seq = self.bodies_from;
            let Some(entry) = self.get(seq) else { return };
            let freed = entry.body.take().map_or(0, |body| body.len());
            self.bodies -= freed;
            self.bodies_from += 1;
        }
    }
}

impl Entry {
    fn call(&self) -> Call {
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in self.head.lines().filter_map(|line| line.split_once(": ")) {
            headers
                .entry(name.to_string())
                .and_modify(|known| {
                    known.push_str(", ");
                    known.push_str(value);
                })
                .or_insert_with(|| value.to_string());
        }
        Call {
            seq: self.seq,
            at: self.at,
            open_at_start: self.open_at_start,
            method: self.method.to_string(),
            path: self.path.to_string(),
            query: self.query.to_string(),
            headers,
            jwt: self.jwt.as_deref().cloned(),
            login: self.end.login.clone(),
            body: self.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned()),
            body_bytes: self.body_bytes,
            fault: self.end.fault.map(str::to_string),
            status: self.end.status,
            answered: self.end.answered,
            note: self.end.note.clone(),
        }
    }
}

fn head(headers: &HeaderMap) -> Box<str> {
    let mut head = String::with_capacity(256);
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        // Writing to a String cannot fail.
        let _ = match name.as_str() {
            "authorization" => {
                let (scheme, token) = value.split_once(' ').unwrap_or(("", &value));
                writeln!(head, "{name}: {scheme} {}", token_hash(token.trim()))
            }
            "ocp-apim-subscription-key" => writeln!(head, "{name}: {}", token_hash(&value)),
            _ => writeln!(head, "{name}: {value}"),
        };
    }
    head.into_boxed_str()
}

/// The claims of a bearer token that is a JWT; nothing is verified here.
fn jwt(headers: &HeaderMap) -> Option<Jwt> {
    let token = bearer(headers)?;
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let claim = |name| claims.get(name).cloned();
    Some(Jwt { jti: claim("jti"), iat: claim("iat"), exp: claim("exp") })
}

/// The bearer token of a call (RFC 6750, section 2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn call(log: &Log, path: &str) -> u64 {
        let (parts, ()) = Request::builder().uri(path).body(()).unwrap().into_parts();
        log.arrived(&parts, 1)
    }

    #[test]
    fn only_the_newest_hundred_thousand_calls_are_held() {
        let log = Log::default();
        for _ in 0..100_003 {
            call(&log, "/a");
        }
        let calls = log.calls(0, "");
        assert_eq!(calls.len(), 100_000);
        assert_eq!((calls[0].seq, calls[99_999].seq), (4, 100_003));
        log.ended(2, End { status: Some(200), ..End::default() });
        log.ended(4, End { status: Some(202), ..End::default() });
        assert_eq!(log.calls(0, "")[0].status, Some(202));
    }

    #[test]
    fn the_oldest_bodies_go_first_when_they_are_over_64_mib_together() {
        let log = Log::default();
        let body = vec![b'x'; 20 << 20];
        for _ in 0..4 {
            let seq = call(&log, "/a");
            log.body(seq, &body, body.len());
        }
        let held: Vec<bool> = log.calls(0, "").iter().map(|call| call.body.is_some()).collect();
        assert_eq!(held, [false, true, true, true]);
        assert_eq!(log.calls(0, "")[0].body_bytes, 20 << 20);
        log.clear();
        let seq = call(&log, "/b");
        log.body(seq, b"small", 5);
        assert_eq!(seq, 5);
        assert_eq!(log.calls(0, "")[0].body.as_deref(), Some("small"));
        assert_eq!(lock(&log.0).bodies, 5);
    }
}
