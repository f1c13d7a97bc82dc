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
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::super::testing::{Server, answer, raw_server, test_key};
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn get(url: &str, timeout: Duration) -> Reply {
        let url: Url = url.parse().unwrap();
        exchange(Clients::new().get(&url, None, None).unwrap().get(url), timeout).await
    }

    fn answered(reply: Reply) -> Answer {
        match reply {
            Reply::Answered(answer) => answer,
            other => panic!("not answered: {other:?}"),
        }
    }

    fn broken(reply: Reply) -> String {
        match reply {
            Reply::Broken(text) => text,
            other => panic!("not broken: {other:?}"),
        }
    }

    #[tokio::test]
    async fn an_answer_keeps_status_and_text() {
        let server = Server::always(422, "no such port").await;
        let answer = answered(get(&server.url, LONG).await);
        let expected = Answer { status: 422, retry_after: None, text: "no such port".to_owned() };
        assert_eq!(answer, expected);
        let agent = format!("lighterman/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(server.seen()[0].header("user-agent"), agent);
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let server = Server::start(|_, _| async {
            let mut response = answer(307, "");
            response.headers_mut().insert("location", HeaderValue::from_static("/elsewhere"));
            response
        })
        .await;
        assert_eq!(answered(get(&server.url, LONG).await).status, 307);
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_long_text_is_cut_at_64_kib_between_two_characters() {
        let server =
            Server::start(|_, _| async { answer(200, format!("a{}", "é".repeat(100_000))) }).await;
        let text = answered(get(&server.url, LONG).await).text;
        assert_eq!(text, format!("a{}", "é".repeat((65_536 - 1) / 2)));
    }

    #[tokio::test]
    async fn a_compressed_text_is_unpacked() {
        // python3: gzip.compress(b"packed", mtime=0)
        const PACKED: &[u8] = &[
            0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x2b, 0x48, 0x4c, 0xce,
            0x4e, 0x4d, 0x01, 0x00, 0x10, 0xb4, 0xf6, 0x21, 0x06, 0x00, 0x00, 0x00,
        ];
        let server = Server::start(|_, _| async {
            let mut response = answer(200, "");
            *response.body_mut() = PACKED.into();
            response.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
            response
        })
        .await;
        assert_eq!(answered(get(&server.url, LONG).await).text, "packed");
    }

    #[tokio::test]
    async fn retry_after_comes_with_the_answer() {
        let server = Server::start(|_, _| async {
            let mut response = answer(503, "later");
            response.headers_mut().insert("retry-after", HeaderValue::from_static("120"));
            response
        })
        .await;
        let answer = answered(get(&server.url, LONG).await);
        assert_eq!(answer.retry_after, Some(Duration::from_secs(120)));
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        let wait = |value: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("0", None), Some(0));
        assert_eq!(wait("30", None), Some(30));
        assert_eq!(wait("Sun, 06 Nov 1994 08:51:37 GMT", None), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", None), Some(0));
        let date = Some("Sun, 06 Nov 1994 08:51:07 GMT");
        assert_eq!(wait("Sun, 06 Nov 1994 08:51:37 GMT", date), Some(30));
        assert_eq!(wait("99999999999999999999999", None), Some(366 * 24 * 3600));
        for nonsense in ["", "soon", "-5", "1.5", "Sun, 99 Nov 1994 08:51:37 GMT"] {
            assert_eq!(wait(nonsense, None), None, "{nonsense}");
        }
    }

    #[tokio::test]
    async fn a_connection_dropped_after_the_request_is_told_apart() {
        let url = raw_server(b"").await;
        let Reply::Lost(text) = get(&url, LONG).await else { panic!("the request was sent") };
        assert!(text.starts_with(&format!("{url}: error sending request: ")), "{text}");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_takes_nothing_from_the_status() {
        let url = raw_server(b"HTTP/1.1 202 Accepted\r\nContent-Length: 50\r\n\r\nhalf of").await;
        let answer = answered(get(&url, LONG).await);
        assert_eq!((answer.status, answer.text.as_str()), (202, "half of"));
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_cause_but_not_the_query() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let text = broken(get(&format!("{origin}/path?code=hidden"), LONG).await);
        assert!(text.starts_with(&origin), "{text}");
        assert!(text.contains("Connection refused"), "{text}");
        assert!(!text.contains("hidden"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_timed_out() {
        let server = Server::start(|_, _| std::future::pending()).await;
        assert_eq!(get(&server.url, Duration::from_millis(50)).await, Reply::TimedOut);
    }

    #[tokio::test]
    async fn without_root_certificates_plain_http_still_works() {
        let server = Server::always(200, "").await;
        let client = trusting_nobody(&Kind { tls: [0; 32], loopback: true }).unwrap();
        assert_eq!(answered(exchange(client.get(&server.url), LONG).await).status, 200);
    }

    #[test]
    fn clients_are_made_once_for_each_identity() {
        let clients = Clients::new();
        let ca = test_key("tls-ca.pem");
        for url in ["https://one.example/", "https://two.example/"] {
            let url: Url = url.parse().unwrap();
            for ca in [None, Some(ca.as_path())] {
                clients.get(&url, ca, None).unwrap();
            }
        }
        assert_eq!(clients.made.lock().unwrap().len(), 2);
    }

    #[test]
    fn the_own_machine_is_known_by_its_names() {
        let loopback = |url: &str| is_loopback(&url.parse().unwrap());
        assert!(loopback("https://localhost:4431/tmining"));
        assert!(loopback("http://127.0.0.1:8080/"));
        assert!(loopback("http://[::1]:8080/"));
        assert!(!loopback("https://localhost.example/"));
        assert!(!loopback("https://10.0.0.1/"));
    }

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        let error = |path: PathBuf| {
            let url: Url = "https://scr.example/".parse().unwrap();
            format!("{:#}", Clients::new().get(&url, Some(&path), None).unwrap_err())
        };
        assert!(error(test_key("missing.pem")).contains("missing.pem cannot be read: No such"));
        assert!(error(test_key("README.md")).contains("README.md holds no certificate in PEM"));
    }

    #[tokio::test]
    async fn a_further_ca_is_trusted_beside_the_systems() {
        let url: Url = tls_server().await.parse().unwrap();
        let clients = Clients::new();
        let untrusted = clients.get(&url, None, None).unwrap().get(url.clone());
        let text = broken(exchange(untrusted, LONG).await);
        assert!(text.contains("invalid peer certificate"), "{text}");

        let ca = test_key("tls-ca.pem");
        let trusted = clients.get(&url, Some(&ca), None).unwrap().get(url);
        assert_eq!(answered(exchange(trusted, LONG).await).text, "safe");
    }

    async fn tls_server() -> String {
        let certificate = CertificateDer::from_pem_file(test_key("tls-server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(test_key("tls-server-key.pem")).unwrap();
        let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe").await;
                let _ = stream.shutdown().await;
            }
        });
        format!("https://localhost:{port}/")
    }

    #[test]
    fn secrets_are_taken_out_of_every_text() {
        let answer = Answer { text: "you sent geheim, geheim".to_owned(), ..Answer::default() };
        let reply = without_secrets(Reply::Answered(answer), &["geheim", ""]);
        assert_eq!(answered(reply).text, "you sent ***, ***");
        let reply = without_secrets(Reply::Broken("no geheim".to_owned()), &["geheim"]);
        assert_eq!(reply, Reply::Broken("no ***".to_owned()));
        assert_eq!(format!("{:?}", bearer("geheim").unwrap()), "Sensitive");
    }
}
