//! OAuth 2.0 tokens (RFC 6749): a cache by login, renewed early and by one request however many
//! wait for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, HeaderValue};
use serde_json::Value;
use tracing::debug;

use super::http::{self, Clients, Received};
use crate::config::{Grant, Login, Secret};
use crate::model::Reply;

/// How long one token request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a token holds whose answer does not say it.
const UNSAID_LIFETIME: Duration = Duration::from_secs(300);
/// The longest lifetime that is believed; it only keeps a nonsensical number from overflowing.
const LONGEST_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an early renewal that failed is put off while the old token still holds.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);
/// How long a token server's `Retry-After` is heeded at most.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// An access token. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The token server refused the login itself: a person is needed.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's own words.
        text: String,
    },
    /// The token server could not be reached, or did not give a usable answer.
    Unavailable(String),
    /// A secret of the login could not be read here.
    Secret(String),
}

/// The tokens of all logins.
#[derive(Debug)]
pub struct Tokens {
    clients: Arc<Clients>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

impl Tokens {
    /// An empty cache.
    pub fn new(clients: Arc<Clients>) -> Tokens {
        Tokens { clients, slots: Mutex::default() }
    }

    /// The login's token: from the cache, or by one request for all who ask meanwhile. Whoever
    /// waited while a request failed shares its failure, so that a wrong password is tried once
    /// and not once for each of them.
    pub async fn token(&self, login: &Login) -> Result<Token, TokenError> {
        self.token_at(login, Instant::now()).await
    }

    /// A newer token than one that was refused: the cached one if another has renewed it already,
    /// else by a request.
    pub async fn renew(&self, login: &Login, stale: &Token) -> Result<Token, TokenError> {
        let now = Instant::now();
        let slot = self.slot(login);
        let ended = slot.ended();
        let mut flight = slot.flight.lock().await;
        if let Some(cached) = &*slot.cached()
            && cached.token != *stale
            && now < cached.ends
        {
            return Ok(cached.token.clone());
        }
        match &flight.last {
            Some(last) if slot.ended() != ended => last.clone(),
            _ => self.request(login, &slot, &mut flight, now).await,
        }
    }

    async fn token_at(&self, login: &Login, now: Instant) -> Result<Token, TokenError> {
        let slot = self.slot(login);
        let ended = slot.ended();
        let held = slot.cached().clone().filter(|cached| now < cached.ends);
        let mut flight = match &held {
            Some(cached) if now < cached.renew => return Ok(cached.token.clone()),
            // It grows old but still holds. If somebody is renewing it, there is no need to wait.
            Some(cached) => match slot.flight.try_lock() {
                Ok(flight) => flight,
                Err(_) => return Ok(cached.token.clone()),
            },
            None => slot.flight.lock().await,
        };
        let outcome = match &flight.last {
            Some(last) if slot.ended() != ended => last.clone(),
            _ => self.request(login, &slot, &mut flight, now).await,
        };
        match (outcome, held) {
            (Err(TokenError::Unavailable(text)), Some(held)) => {
                debug!(login = login.id, "The token could not be renewed early: {text}");
                slot.put_off(now + RENEWAL_PAUSE);
                Ok(held.token)
            }
            (outcome, _) => outcome,
        }
    }

    /// The one request of a flight; its end is told to all who wait.
    async fn request(
        &self,
        login: &Login,
        slot: &Slot,
        flight: &mut Flight,
        now: Instant,
    ) -> Result<Token, TokenError> {
        if let (Some(until), Some(Err(error))) = (flight.hold, &flight.last)
            && now < until
        {
            return Err(error.clone());
        }
        flight.hold = None;
        let outcome = match self.ask(login).await {
            Ok(granted) => {
                // Counted from before the request, so that the server's own count ends later.
                *slot.cached() = Some(Cached {
                    token: granted.token.clone(),
                    renew: now + renewal(granted.lifetime),
                    ends: now + granted.lifetime,
                });
                debug!(login = login.id, lifetime_s = granted.lifetime.as_secs(), "A new token");
                Ok(granted.token)
            }
            Err(failure) => {
                flight.hold = failure.retry_after.map(|wait| now + wait.min(LONGEST_HOLD));
                Err(failure.error)
            }
        };
        flight.last = Some(outcome.clone());
        slot.ended.fetch_add(1, Ordering::SeqCst);
        outcome
    }

    async fn ask(&self, login: &Login) -> Result<Granted, Failure> {
        let secrets = Secrets::read(login).await.map_err(TokenError::Secret)?;
        let client = self
            .clients
            .get(login.ca.as_deref())
            .map_err(|error| TokenError::Unavailable(format!("{error:#}")))?;
        let request = client
            .post(&login.token_url)
            .header(ACCEPT, "application/json")
            .form(&secrets.form(login));
        let received = http::send(request, TIMEOUT, 64 * 1024).await.map_err(|reply| {
            TokenError::Unavailable(match reply {
                Reply::Broken(text) => http::redact(text, &secrets.shown()),
                _ => format!("the token server did not answer within {} s", TIMEOUT.as_secs()),
            })
        })?;
        granted(&received).map_err(|error| Failure {
            error: error.redacted(&secrets.shown()),
            retry_after: received.retry_after,
        })
    }

    /// The slot of a login. What else tells two logins apart stands in its key too, so that a
    /// changed configuration never finds the token of the former one.
    fn slot(&self, login: &Login) -> Arc<Slot> {
        let user = match &login.grant {
            Grant::Password { username, .. } => username,
            Grant::ClientCredentials => "",
        };
        let scope = login.scope.as_deref().unwrap_or_default();
        let key = [&login.id, &login.token_url, &login.client_id, user, scope]
            .map(String::from)
            .join("\n");
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key).or_default())
    }
}

impl Token {
    /// The value of `Authorization`.
    pub fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The token itself, for taking it out of texts.
    pub(super) fn reveal(&self) -> &str {
        self.0.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::Refused { status, text } => {
                write!(f, "the token server refused the login: HTTP {status}, {text}")
            }
            TokenError::Unavailable(text) => write!(f, "no token could be had: {text}"),
            TokenError::Secret(text) => write!(f, "no token could be asked for: {text}"),
        }
    }
}

impl std::error::Error for TokenError {}

impl TokenError {
    /// What it means for a message that needed the token.
    pub fn reply(&self, login: &Login) -> Reply {
        let text = format!("login {}: {self}", login.id);
        match self {
            TokenError::Refused { .. } => Reply::LoginRefused(text),
            TokenError::Unavailable(_) | TokenError::Secret(_) => Reply::NoLogin(text),
        }
    }

    fn redacted(self, secrets: &[&str]) -> TokenError {
        match self {
            TokenError::Refused { status, text } => {
                TokenError::Refused { status, text: http::redact(text, secrets) }
            }
            TokenError::Unavailable(text) => TokenError::Unavailable(http::redact(text, secrets)),
            TokenError::Secret(text) => TokenError::Secret(http::redact(text, secrets)),
        }
    }
}

/// Sixteen bits of a keyed hash over the login's secrets, to notice that a refused password was
/// changed without keeping anything that helps to guess it. `None` if a secret cannot be read.
pub fn secret_mark(login: &Login, key: &[u8; 32]) -> Option<u16> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    let mut add = |secret: Secret| {
        hasher.update(&(secret.reveal().len() as u64).to_le_bytes());
        hasher.update(secret.reveal().as_bytes());
    };
    add(login.client_secret.read().ok()?);
    if let Grant::Password { password, .. } = &login.grant {
        add(password.read().ok()?);
    }
    let [first, second, ..] = *hasher.finalize().as_bytes();
    Some(u16::from_le_bytes([first, second]))
}

/// One login's token, and the request that is under way for it.
#[derive(Debug, Default)]
struct Slot {
    cached: Mutex<Option<Cached>>,
    flight: tokio::sync::Mutex<Flight>,
    /// How many requests have ended: whoever finds it changed after waiting for `flight` has
    /// waited for a request that ended meanwhile, and takes its outcome.
    ended: AtomicU64,
}

#[derive(Clone, Debug)]
struct Cached {
    token: Token,
    renew: Instant,
    ends: Instant,
}

#[derive(Debug, Default)]
struct Flight {
    last: Option<Result<Token, TokenError>>,
    /// Until when the server wants to be left alone.
    hold: Option<Instant>,
}

impl Slot {
    fn cached(&self) -> MutexGuard<'_, Option<Cached>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    fn put_off(&self, until: Instant) {
        if let Some(cached) = &mut *self.cached() {
            cached.renew = cached.renew.max(until);
        }
    }
}

/// What a token server gave.
#[derive(Debug, PartialEq)]
struct Granted {
    token: Token,
    lifetime: Duration,
}

struct Failure {
    error: TokenError,
    retry_after: Option<Duration>,
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Failure {
        Failure { error, retry_after: None }
    }
}

/// A login's secrets, read anew for each request.
struct Secrets {
    client: Secret,
    password: Option<Secret>,
}

impl Secrets {
    async fn read(login: &Login) -> Result<Secrets, String> {
        let client = login.client_secret.clone();
        let password = match &login.grant {
            Grant::Password { password, .. } => Some(password.clone()),
            Grant::ClientCredentials => None,
        };
        super::blocking(move || {
            Ok(Secrets {
                client: client.read()?,
                password: password.map(|password| password.read()).transpose()?,
            })
        })
        .await
        .map_err(|error| format!("{error:#}"))
    }

    /// The form of RFC 6749, sections 4.3.2 and 4.4.2, with the client in the body (2.3.1).
    fn form<'a>(&'a self, login: &'a Login) -> Vec<(&'static str, &'a str)> {
        let mut form = match &login.grant {
            Grant::Password { .. } => vec![("grant_type", "password")],
            Grant::ClientCredentials => vec![("grant_type", "client_credentials")],
        };
        form.push(("client_id", &login.client_id));
        form.push(("client_secret", self.client.reveal()));
        if let Some(scope) = &login.scope {
            form.push(("scope", scope));
        }
        if let (Grant::Password { username, .. }, Some(password)) = (&login.grant, &self.password) {
            form.push(("username", username));
            form.push(("password", password.reveal()));
        }
        form
    }

    fn shown(&self) -> Vec<&str> {
        [Some(&self.client), self.password.as_ref()]
            .into_iter()
            .flatten()
            .map(Secret::reveal)
            .collect()
    }
}

/// Reads a token server's answer (RFC 6749, sections 5.1 and 5.2).
fn granted(received: &Received) -> Result<Granted, TokenError> {
    let status = received.status;
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    if !(200..300).contains(&status) {
        return Err(refusal(status, &body));
    }
    let unusable = |what: &str| {
        Err(TokenError::Unavailable(format!("the token server answered HTTP {status}, but {what}")))
    };
    if let Some(kind) = body["token_type"].as_str()
        && !kind.eq_ignore_ascii_case("bearer")
    {
        return unusable(&format!("its token is of the type \"{kind}\" instead of \"Bearer\""));
    }
    match body["access_token"].as_str() {
        None | Some("") => unusable("without an access_token in JSON"),
        Some(token) => match http::bearer(token) {
            Ok(header) => Ok(Granted { token: Token(header), lifetime: lifetime(&body) }),
            Err(error) => unusable(&format!("its token cannot be used: {error}")),
        },
    }
}

/// Tells a refused login from a token server in trouble. A 401 is a refusal whatever its body
/// says, because taking a refusal for a fault of the network would repeat it until the account
/// is locked; the other two need an OAuth error to be believed.
fn refusal(status: u16, body: &Value) -> TokenError {
    let error = match &body["error"] {
        Value::Null => None,
        Value::String(error) => Some(error.clone()),
        other => Some(other.to_string()),
    };
    let text = match (&error, body["error_description"].as_str()) {
        (Some(error), Some(description)) => format!("{error}: {description}"),
        (Some(error), None) => error.clone(),
        (None, _) => "without an OAuth error".to_owned(),
    };
    let passing = matches!(error.as_deref(), Some("temporarily_unavailable" | "server_error"));
    match status {
        401 if !passing => TokenError::Refused { status, text },
        400 | 403 if error.is_some() && !passing => TokenError::Refused { status, text },
        _ => TokenError::Unavailable(format!("the token server answered HTTP {status}, {text}")),
    }
}

/// `expires_in`, which some servers write as a text.
fn lifetime(body: &Value) -> Duration {
    let seconds = match &body["expires_in"] {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds.is_finite() => {
            Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_LIFETIME.as_secs_f64()))
        }
        _ => UNSAID_LIFETIME,
    }
}

/// When a token is renewed: after 80 % of its life or 60 s before its end, whichever is sooner;
/// but never before half of it, so that a short-lived token is not renewed for every call.
fn renewal(lifetime: Duration) -> Duration {
    let early = lifetime.saturating_sub(Duration::from_secs(60)).max(lifetime / 2);
    early.min(lifetime * 4 / 5)
}
