//! OAuth 2.0 tokens (RFC 6749): a cache by login, renewed early and by one request however many
//! wait for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{RequestBuilder, Url};
use tracing::debug;

use super::grant::{Granted, Secrets, granted};
use super::http::{self, Clients};
use crate::config::{Grant, Login, Secret};
use crate::model::Reply;

/// How long one token request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
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

    /// Whether the last request for a token has not been asked about yet: those who share one that
    /// was refused are to count it once.
    pub fn is_news(&self, login: &Login) -> bool {
        let slot = self.slot(login);
        let ended = slot.ended();
        slot.told.swap(ended, Ordering::SeqCst) != ended
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
        let request = self
            .request_of(login, &secrets)
            .map_err(|error| TokenError::Unavailable(format!("{error:#}")))?;
        let received = http::send(request, TIMEOUT, 64 * 1024).await.map_err(|reply| {
            TokenError::Unavailable(match reply {
                Reply::Broken(text) | Reply::Lost(text) => http::redact(text, &secrets.shown()),
                _ => format!("the token server did not answer within {} s", TIMEOUT.as_secs()),
            })
        })?;
        granted(&received).map_err(|error| Failure {
            error: error.redacted(&secrets.shown()),
            retry_after: received.retry_after,
        })
    }

    fn request_of(&self, login: &Login, secrets: &Secrets) -> anyhow::Result<RequestBuilder> {
        let url = Url::parse(&login.token_url)
            .with_context(|| format!("the token URL \"{}\" is not valid", login.token_url))?;
        let client = self.clients.get(&url, login.ca.as_deref(), login.identity.as_ref())?;
        Ok(client.post(url).header(ACCEPT, "application/json").form(&secrets.form(login)))
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
    /// A token from its `Authorization`.
    pub(super) fn new(authorization: HeaderValue) -> Token {
        Token(authorization)
    }

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

/// By what a change of a login's secrets is noticed. `None` if a secret cannot be read.
pub fn secret_mark(login: &Login, key: &[u8; 32]) -> Option<u16> {
    let mut secrets = vec![login.client_secret.read().ok()?];
    if let Grant::Password { password, .. } = &login.grant {
        secrets.push(password.read().ok()?);
    }
    Some(Secret::mark(&secrets, key))
}

/// One login's token, and the request that is under way for it.
#[derive(Debug, Default)]
struct Slot {
    cached: Mutex<Option<Cached>>,
    flight: tokio::sync::Mutex<Flight>,
    /// How many requests have ended: whoever finds it changed after waiting for `flight` has
    /// waited for a request that ended meanwhile, and takes its outcome.
    ended: AtomicU64,
    /// As many of them somebody was told of.
    told: AtomicU64,
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

struct Failure {
    error: TokenError,
    retry_after: Option<Duration>,
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Failure {
        Failure { error, retry_after: None }
    }
}

/// When a token is renewed: after 80 % of its life or 60 s before its end, whichever is sooner;
/// but never before half of it, so that a short-lived token is not renewed for every call.
fn renewal(lifetime: Duration) -> Duration {
    let early = lifetime.saturating_sub(Duration::from_secs(60)).max(lifetime / 2);
    early.min(lifetime * 4 / 5)
}

#[cfg(test)]
mod tests;
