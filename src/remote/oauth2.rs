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
mod tests {
    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::super::testing::{Secrets as Files, Server, answer, token};
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(Arc::new(Clients::new()))
    }

    /// A token server that counts: `token-0`, `token-1`, …, each for an hour.
    async fn counting() -> Server {
        Server::start(|number, _| async move { token(&format!("token-{number}"), 3600) }).await
    }

    #[tokio::test]
    async fn a_password_grant_is_asked_for_in_a_form() {
        let (server, files) = (counting().await, Files::new());
        let login = files.password_login(&server.url);
        let token = tokens().token(&login).await.unwrap();
        assert_eq!(token.reveal(), "token-0");
        let seen = &server.seen()[0];
        assert_eq!(seen.method, "POST");
        assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
        assert_eq!(seen.header("authorization"), "");
        assert_eq!(
            seen.body,
            "grant_type=password&client_id=builder&client_secret=s%26e+cret&scope=openid\
             &username=api%40acme.example&password=p%C3%A4%2Bss"
        );
    }

    #[tokio::test]
    async fn a_client_credentials_grant_is_asked_for_in_a_form() {
        let (server, files) = (counting().await, Files::new());
        tokens().token(&files.client_login(&server.url)).await.unwrap();
        assert_eq!(
            server.seen()[0].body,
            "grant_type=client_credentials&client_id=builder&client_secret=s%26e+cret"
        );
    }

    #[tokio::test]
    async fn fifty_who_ask_at_once_make_one_request() {
        let outcomes = fifty_at_once(|| token("shared", 3600)).await;
        for outcome in outcomes {
            assert_eq!(outcome.unwrap().reveal(), "shared");
        }
    }

    #[tokio::test]
    async fn fifty_who_ask_with_a_wrong_password_try_it_once() {
        let refused = r#"{"error":"invalid_grant","error_description":"wrong password"}"#;
        for outcome in fifty_at_once(move || answer(400, refused)).await {
            let text = "invalid_grant: wrong password".to_owned();
            assert_eq!(outcome, Err(TokenError::Refused { status: 400, text }));
        }
    }

    #[tokio::test]
    async fn a_refused_request_is_news_once_for_all_who_share_it() {
        let server =
            Server::start(|_, _| async { answer(400, r#"{"error":"invalid_grant"}"#) }).await;
        let files = Files::new();
        let (tokens, login) = (tokens(), files.client_login(&server.url));
        for _ in 0..2 {
            assert!(tokens.token(&login).await.is_err());
            assert!(tokens.is_news(&login));
            assert!(!tokens.is_news(&login));
        }
    }

    /// Fifty callers for one token; the server answers when all of them have asked.
    async fn fifty_at_once(
        reply: impl Fn() -> axum::response::Response + Clone + Send + Sync + 'static,
    ) -> Vec<Result<Token, TokenError>> {
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        let server = Server::start(move |_, _| {
            let (gate, reply) = (Arc::clone(&gate), reply.clone());
            async move {
                let _permit = gate.acquire().await.unwrap();
                reply()
            }
        })
        .await;
        let files = Files::new();
        let (tokens, login) = (tokens(), files.client_login(&server.url));
        let asked = AtomicU64::new(0);
        let callers = join_all((0..50).map(|_| async {
            asked.fetch_add(1, Ordering::SeqCst);
            tokens.token(&login).await
        }));
        let release = async {
            while asked.load(Ordering::SeqCst) < 50 {
                tokio::task::yield_now().await;
            }
            opened.add_permits(1);
        };
        let (outcomes, ()) = tokio::join!(callers, release);
        assert_eq!(server.seen().len(), 1);
        outcomes
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_ends() {
        let (server, files) = (counting().await, Files::new());
        let (tokens, login) = (tokens(), files.client_login(&server.url));
        let begun = Instant::now();
        let mut found = Vec::new();
        for second in [0, 1, 2879, 2880, 3599, 2880 + 2879, 2880 + 2880] {
            let now = begun + Duration::from_secs(second);
            found.push(tokens.token_at(&login, now).await.unwrap().reveal().to_owned());
        }
        let expected =
            ["token-0", "token-0", "token-0", "token-1", "token-1", "token-1", "token-2"];
        assert_eq!(found, expected);
        assert_eq!(server.seen().len(), 3);
    }

    #[tokio::test]
    async fn nobody_waits_for_an_early_renewal_but_who_makes_it() {
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        let server = Server::start(move |number, _| {
            let gate = Arc::clone(&gate);
            async move {
                if number > 0 {
                    let _permit = gate.acquire().await.unwrap();
                }
                token(&format!("token-{number}"), 3600)
            }
        })
        .await;
        let files = Files::new();
        let (tokens, login) = (tokens(), files.client_login(&server.url));
        let begun = Instant::now();
        tokens.token_at(&login, begun).await.unwrap();
        let later = begun + Duration::from_secs(3000);
        let others = async {
            let found = tokens.token_at(&login, later).await.unwrap();
            opened.add_permits(1);
            found
        };
        let (renewed, other) = tokio::join!(tokens.token_at(&login, later), others);
        assert_eq!((renewed.unwrap().reveal(), other.reveal()), ("token-1", "token-0"));
        assert_eq!(server.seen().len(), 2);
    }

    #[tokio::test]
    async fn an_old_token_serves_to_its_end_when_it_cannot_be_renewed() {
        let server = Server::start(|number, _| async move {
            if number == 0 { token("first", 3600) } else { answer(503, "") }
        })
        .await;
        let files = Files::new();
        let (tokens, login) = (tokens(), files.client_login(&server.url));
        let begun = Instant::now();
        let after = |second| begun + Duration::from_secs(second);
        for second in [0, 3000, 3001, 3009] {
            let token = tokens.token_at(&login, after(second)).await.unwrap();
            assert_eq!(token.reveal(), "first");
        }
        assert_eq!(server.seen().len(), 2, "a failed renewal is put off for 10 s");
        let error = tokens.token_at(&login, after(3600)).await.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_forced_renewal_replaces_the_stale_token_once() {
        let (server, files) = (counting().await, Files::new());
        let (tokens, login) = (tokens(), files.client_login(&server.url));
        let stale = tokens.token(&login).await.unwrap();
        for renewed in join_all((0..20).map(|_| tokens.renew(&login, &stale))).await {
            assert_eq!(renewed.unwrap().reveal(), "token-1");
        }
        let late = tokens.renew(&login, &stale).await.unwrap();
        assert_eq!(late.reveal(), "token-1");
        assert_eq!(tokens.token(&login).await.unwrap(), late);
        assert_eq!(server.seen().len(), 2);
    }

    #[tokio::test]
    async fn a_token_server_that_asks_for_peace_is_left_alone() {
        let server = Server::start(|number, _| async move {
            if number > 0 {
                return token("late", 3600);
            }
            let mut response = answer(429, "");
            response.headers_mut().insert("retry-after", HeaderValue::from_static("100"));
            response
        })
        .await;
        let files = Files::new();
        let (tokens, login) = (tokens(), files.client_login(&server.url));
        let begun = Instant::now();
        for second in [0, 50, 99] {
            let error = tokens.token_at(&login, begun + Duration::from_secs(second)).await;
            assert!(matches!(error, Err(TokenError::Unavailable(_))), "{error:?}");
        }
        assert_eq!(server.seen().len(), 1);
        let token = tokens.token_at(&login, begun + Duration::from_secs(100)).await.unwrap();
        assert_eq!(token.reveal(), "late");
    }

    #[tokio::test]
    async fn two_logins_never_share_a_token() {
        let (server, files) = (counting().await, Files::new());
        let tokens = tokens();
        let acme = files.client_login(&server.url);
        let other = Login { id: "other/nxtport".to_owned(), ..acme.clone() };
        assert_eq!(tokens.token(&acme).await.unwrap().reveal(), "token-0");
        assert_eq!(tokens.token(&other).await.unwrap().reveal(), "token-1");
    }

    #[tokio::test]
    async fn secrets_are_read_anew_for_every_request() {
        let refused = r#"{"error":"invalid_client"}"#;
        let server = Server::start(move |_, seen| async move {
            if seen.body.contains("client_secret=new") {
                token("good", 60)
            } else {
                answer(401, refused)
            }
        })
        .await;
        let files = Files::new();
        let (tokens, login) = (tokens(), files.client_login(&server.url));
        let error = tokens.token(&login).await.unwrap_err();
        assert!(matches!(error, TokenError::Refused { status: 401, .. }), "{error:?}");
        files.file("client-secret", "new\r\n");
        assert_eq!(tokens.token(&login).await.unwrap().reveal(), "good");
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_read_is_named_and_nothing_is_sent() {
        let (server, files) = (counting().await, Files::new());
        let login = files.password_login(&server.url);
        files.file("password", "");
        let error = tokens().token(&login).await.unwrap_err();
        assert!(matches!(&error, TokenError::Secret(text) if text.contains("password")), "{error}");
        assert!(matches!(error.reply(&login), Reply::NoLogin(_)));
        assert!(server.seen().is_empty());
    }

    #[tokio::test]
    async fn a_token_server_out_of_reach_is_not_a_refusal() {
        let files = Files::new();
        let login = files.client_login("http://127.0.0.1:9/token");
        let error = tokens().token(&login).await.unwrap_err();
        let TokenError::Unavailable(text) = &error else { panic!("{error:?}") };
        assert!(text.contains("Connection refused"), "{text}");
        assert!(matches!(error.reply(&login), Reply::NoLogin(_)));
    }

    #[tokio::test]
    async fn what_a_server_echoes_shows_no_secret() {
        let echo =
            r#"{"error":"invalid_grant","error_description":"no user pä+ss of client s&e cret"}"#;
        let server = Server::always(400, echo).await;
        let files = Files::new();
        let login = files.password_login(&server.url);
        let error = tokens().token(&login).await.unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.reply(&login));
        assert!(shown.contains("no user *** of client ***"), "{shown}");
        assert!(!shown.contains("pä+ss") && !shown.contains("s&e"), "{shown}");
    }

    #[test]
    fn renewal_comes_at_80_percent_or_60_s_before_the_end() {
        let after = |lifetime| renewal(Duration::from_secs(lifetime)).as_secs();
        assert_eq!(after(86_400), 69_120);
        assert_eq!(after(3600), 2880);
        assert_eq!(after(300), 240);
        assert_eq!(after(200), 140);
        assert_eq!(after(60), 30);
        assert_eq!(after(2), 1);
        assert_eq!(after(0), 0);
    }

    #[test]
    fn a_changed_password_changes_the_mark() {
        let files = Files::new();
        let login = files.password_login("http://127.0.0.1:9/");
        let mark = secret_mark(&login, &[1; 32]);
        assert!(mark.is_some());
        assert_eq!(secret_mark(&login, &[1; 32]), mark);
        assert_ne!(secret_mark(&login, &[2; 32]), mark);
        files.file("password", "another");
        assert_ne!(secret_mark(&login, &[1; 32]), mark);
        files.file("password", "");
        assert_eq!(secret_mark(&login, &[1; 32]), None);
    }
}
