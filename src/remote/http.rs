//! The shared HTTP clients, and one exchange: a request out, a `Reply` in.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Identity, RequestBuilder, Url};
use tracing::warn;

use crate::config::TlsIdentity;
use crate::model::{Answer, Reply};

/// How much of an answer's body is kept as text.
pub(super) const TEXT_LIMIT: usize = 64 * 1024;
/// How long a connection, its TLS handshake included, may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait that `Retry-After` can ask for. It only keeps a nonsensical number from
/// overflowing a clock; the channel's own `retry.max` is far below.
const LONGEST_WAIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// The HTTP clients: one for each TLS identity, made once and shared by all who speak with it,
/// because every client holds its own connections and root certificates.
#[derive(Default)]
pub struct Clients {
    made: Mutex<HashMap<Kind, Client>>,
}

/// What tells two clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    /// A hash of the further root and of the client certificate with its key, so that renewed ones
    /// make a client anew.
    tls: [u8; 32],
    /// Speaks to this machine, which no proxy of the environment is asked for.
    loopback: bool,
}

impl Clients {
    /// No client yet; they are made as they are asked for.
    pub fn new() -> Clients {
        Clients::default()
    }

    /// The client for a URL: it trusts the system's roots and, if one is named, a further root in
    /// PEM; and it shows a certificate where it has one. The files are read every time.
    pub fn get(
        &self,
        url: &Url,
        ca: Option<&Path>,
        identity: Option<&TlsIdentity>,
    ) -> anyhow::Result<Client> {
        let ca = ca.map(|path| read_pem(path, "CA").map(|pem| (path, pem))).transpose()?;
        let identity = identity.map(|identity| Ok::<_, anyhow::Error>((identity, pem(identity)?)));
        let identity = identity.transpose()?;
        let mut tls = blake3::Hasher::new();
        for pem in [ca.as_ref().map(|(_, pem)| pem), identity.as_ref().map(|(_, pem)| pem)] {
            let pem = pem.map_or(&[][..], Vec::as_slice);
            tls.update(&(pem.len() as u64).to_le_bytes());
            tls.update(pem);
        }
        let kind = Kind { tls: *tls.finalize().as_bytes(), loopback: is_loopback(url) };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&kind) {
            return Ok(client.clone());
        }
        let mut builder = builder(&kind);
        if let Some((TlsIdentity { certificate, .. }, pem)) = &identity {
            let identity = Identity::from_pem(pem).with_context(|| {
                format!("the certificate {} cannot be used with its key", certificate.display())
            })?;
            builder = builder.identity(identity);
        }
        let client = match ca {
            Some((path, pem)) => builder
                .tls_certs_merge(certificates(path, &pem)?)
                .build()
                .with_context(|| format!("the CA file {} cannot be used", path.display()))?,
            None if identity.is_some() => {
                builder.build().context("the client certificate cannot be used")?
            }
            None => builder.build().or_else(|error| {
                warn!(
                    "No HTTPS server can be trusted ({:#}): install the package ca-certificates",
                    anyhow::Error::new(error)
                );
                trusting_nobody(&kind)
            })?,
        };
        made.insert(kind, client.clone());
        Ok(client)
    }
}

/// The client for one server, made anew when its certificate was renewed.
pub(super) struct Caller {
    clients: Arc<Clients>,
    url: Url,
    ca: Option<PathBuf>,
    identity: Option<TlsIdentity>,
    client: Mutex<Client>,
}

impl Caller {
    /// The client as the files are now.
    pub fn open(
        clients: &Arc<Clients>,
        url: &Url,
        ca: Option<&Path>,
        identity: Option<&TlsIdentity>,
    ) -> anyhow::Result<Caller> {
        Ok(Caller {
            clients: Arc::clone(clients),
            url: url.clone(),
            ca: ca.map(Path::to_owned),
            identity: identity.cloned(),
            client: Mutex::new(clients.get(url, ca, identity)?),
        })
    }

    /// The client.
    pub fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again; the client stays as it is if they cannot be used.
    pub fn renew(&self) {
        match self.clients.get(&self.url, self.ca.as_deref(), self.identity.as_ref()) {
            Ok(client) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => warn!("The former certificates stay in use: {error:#}"),
        }
    }
}

impl fmt::Debug for Clients {
    /// Leaves the clients themselves out: they show the proxy with its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
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
        Reply::Lost(text) => Reply::Lost(redact(text, secrets)),
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

fn builder(kind: &Kind) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("lighterman/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .gzip(true);
    if kind.loopback { builder.no_proxy() } else { builder }
}

/// A client that trusts no server. Without root certificates on the system no other can be made,
/// yet plain HTTP on the own machine needs none.
fn trusting_nobody(kind: &Kind) -> anyhow::Result<Client> {
    builder(kind).tls_certs_only([]).build().context("the HTTP client cannot be made")
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn certificates(ca: &Path, pem: &[u8]) -> anyhow::Result<Vec<Certificate>> {
    let certificates = Certificate::from_pem_bundle(pem)
        .with_context(|| format!("the CA file {} is not a PEM file", ca.display()))?;
    if certificates.is_empty() {
        bail!("the CA file {} holds no certificate in PEM", ca.display());
    }
    Ok(certificates)
}

/// A certificate and its key in one text.
fn pem(identity: &TlsIdentity) -> anyhow::Result<Vec<u8>> {
    let mut pem = read_pem(&identity.certificate, "certificate")?;
    pem.push(b'\n');
    pem.extend_from_slice(identity.key.read()?.reveal().as_bytes());
    Ok(pem)
}

fn read_pem(path: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path)
        .with_context(|| format!("the {what} file {} cannot be read", path.display()))
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

/// What broke, and whether anything had been sent by then. The whole chain of causes; the URL stays out of it: its query may hold what is not to be told.
fn broken(place: &str, error: reqwest::Error) -> Reply {
    let unsent = error.is_connect() || error.is_builder();
    let text = format!("{place}: {:#}", anyhow::Error::new(error.without_url()));
    if unsent { Reply::Broken(text) } else { Reply::Lost(text) }
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

#[cfg(test)]
mod tests;
