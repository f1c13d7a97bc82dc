//! The shared HTTP clients, and one exchange: a request out, a `Reply` in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder};
use tracing::warn;

use crate::model::{Answer, Reply};

/// How much of an answer's body is kept as text.
const TEXT_LIMIT: usize = 64 * 1024;
/// How long a connection, its TLS handshake included, may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait that `Retry-After` can ask for. It only keeps a nonsensical number from
/// overflowing a clock; the channel's own `retry.max` is far below.
const LONGEST_WAIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// The HTTP clients: one for each TLS identity, made once and shared by all who speak with it,
/// because every client holds its own connections and root certificates.
#[derive(Debug, Default)]
pub struct Clients {
    made: Mutex<HashMap<Option<PathBuf>, Client>>,
}

impl Clients {
    /// No client yet; they are made as they are asked for.
    pub fn new() -> Clients {
        Clients::default()
    }

    /// The client that trusts the system's roots and, if one is named, a further root in PEM.
    pub fn get(&self, ca: Option<&Path>) -> anyhow::Result<Client> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let key = ca.map(Path::to_owned);
        if let Some(client) = made.get(&key) {
            return Ok(client.clone());
        }
        let client = match ca {
            Some(ca) => builder()
                .tls_certs_merge(certificates(ca)?)
                .build()
                .with_context(|| format!("the CA file {} cannot be used", ca.display()))?,
            None => builder().build().or_else(|error| without_roots(&error))?,
        };
        made.insert(key, client.clone());
        Ok(client)
    }
}

/// Sends a request and waits for the answer at most `timeout`, connecting included. The answer's
/// status decides: a body that breaks off after it takes nothing away from what was answered.
///
/// A connection that does not come about within 10 s is `Broken`, for nothing was sent; a
/// `timeout` shorter than that cannot tell the two apart and says `TimedOut`.
pub async fn exchange(request: RequestBuilder, timeout: Duration) -> Reply {
    match send(request, timeout, TEXT_LIMIT).await {
        Ok(received) => Reply::Answered(received.answer()),
        Err(reply) => reply,
    }
}

/// An answer as it came in, for those who must read its body.
#[derive(Debug)]
pub(super) struct Received {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After` as a wait from now.
    pub retry_after: Option<Duration>,
    /// The body, or as much of it as came or was allowed.
    pub body: Vec<u8>,
    /// Why the body is not whole, if it is not.
    pub fault: Option<String>,
}

impl Received {
    /// The answer without its bytes.
    pub fn answer(&self) -> Answer {
        let kept = &self.body[..self.body.len().min(TEXT_LIMIT)];
        Answer { status: self.status, retry_after: self.retry_after, text: text(kept) }
    }
}

/// One exchange with a body of at most `limit` bytes; the error is never `Answered`.
pub(super) async fn send(
    request: RequestBuilder,
    timeout: Duration,
    limit: usize,
) -> Result<Received, Reply> {
    let (client, request) = request.build_split();
    let request = request.map_err(|error| broken("the request", error))?;
    let origin = request.url().origin().ascii_serialization();
    let begun = Instant::now();
    let mut response = match tokio::time::timeout(timeout, client.execute(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(broken(&origin, error)),
        Err(_) => return Err(Reply::TimedOut),
    };
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers(), Timestamp::now());
    let mut body = Vec::new();
    let rest = timeout.saturating_sub(begun.elapsed());
    let fault = match tokio::time::timeout(rest, read(&mut response, limit, &mut body)).await {
        Ok(fault) => fault,
        Err(_) => Some("its end did not come in time".to_owned()),
    };
    Ok(Received { status, retry_after, body, fault })
}

/// A bearer token as the value of `Authorization`, marked so that nothing prints it.
pub(super) fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    secret_header(&format!("Bearer {token}"))
}

/// A header value that nothing prints. The error names no value.
pub(super) fn secret_header(text: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .ok()
        .context("it holds characters that no HTTP header can carry")?;
    value.set_sensitive(true);
    Ok(value)
}

/// The reply with every occurrence of a secret in its text made unreadable: servers echo.
pub(super) fn without_secrets(reply: Reply, secrets: &[&str]) -> Reply {
    match reply {
        Reply::Answered(answer) => {
            Reply::Answered(Answer { text: redact(answer.text, secrets), ..answer })
        }
        Reply::Broken(text) => Reply::Broken(redact(text, secrets)),
        Reply::NoLogin(text) => Reply::NoLogin(redact(text, secrets)),
        Reply::LoginRefused(text) => Reply::LoginRefused(redact(text, secrets)),
        Reply::TimedOut => Reply::TimedOut,
    }
}

/// The text with every occurrence of a secret replaced by `***`.
pub(super) fn redact(mut text: String, secrets: &[&str]) -> String {
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        if text.contains(secret) {
            text = text.replace(secret, "***");
        }
    }
    text
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("lighterman/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .gzip(true)
}

/// A client that trusts nobody. Without root certificates on the system no client could be
/// built at all, yet plain HTTP on the own machine needs none.
fn without_roots(error: &reqwest::Error) -> anyhow::Result<Client> {
    warn!(
        "no root certificates on this system, so no HTTPS server can be trusted ({error:?}): \
         install the package ca-certificates"
    );
    builder().tls_certs_only([]).build().context("the HTTP client cannot be made")
}

fn certificates(ca: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = std::fs::read(ca)
        .with_context(|| format!("the CA file {} cannot be read", ca.display()))?;
    let certificates = Certificate::from_pem_bundle(&pem)
        .with_context(|| format!("the CA file {} is not a PEM file", ca.display()))?;
    if certificates.is_empty() {
        bail!("the CA file {} holds no certificate in PEM", ca.display());
    }
    Ok(certificates)
}

/// Reads the body up to the limit; says why it is not whole.
async fn read(
    response: &mut reqwest::Response,
    limit: usize,
    body: &mut Vec<u8>,
) -> Option<String> {
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = limit - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return Some(format!("it is longer than {limit} bytes"));
                }
            }
            Ok(None) => return None,
            Err(error) => return Some(format!("{:#}", anyhow::Error::new(error.without_url()))),
        }
    }
}

/// The whole chain of causes. The URL stays out of it: its query may hold what is not to be told.
fn broken(place: &str, error: reqwest::Error) -> Reply {
    Reply::Broken(format!("{place}: {:#}", anyhow::Error::new(error.without_url())))
}

/// The bytes as text; a character that the limit has cut in two is left out.
fn text(body: &[u8]) -> String {
    let whole = match std::str::from_utf8(body) {
        Err(error) if error.error_len().is_none() => &body[..error.valid_up_to()],
        _ => body,
    };
    String::from_utf8_lossy(whole).into_owned()
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3). A date is measured by the
/// server's own `Date` where there is one, since the two clocks need not agree.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let now = headers.get(DATE).and_then(http_date).unwrap_or(now);
        let until = http_date(headers.get(RETRY_AFTER)?)?;
        Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(LONGEST_WAIT))
}

/// An IMF-fixdate (RFC 9110, section 5.6.7); the two forms that no sender may use any more are
/// not read.
fn http_date(value: &HeaderValue) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(value.to_str().ok()?.trim()).ok()?;
    Some(date.timestamp())
}
