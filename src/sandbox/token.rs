//! Token server: `POST /connect/token`, by the grants of RFC 6749, sections 4.3 and 4.4.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::bail;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::json;

use super::answer::Answer;
use super::hub::lock;
use super::log::bearer;
use super::stats::TokenStats;
use super::world::{Client, Grant, World};

/// Where it is called.
pub(super) const PATH: &str = "/connect/token";

pub(super) struct TokenServer {
    clients: HashMap<String, Client>,
    passwords: HashMap<String, String>,
    lifetime_s: u64,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    tokens: HashMap<String, Token>,
    stats: TokenStats,
    /// How many tokens there may be before those that expired are thrown away.
    sweep_at: usize,
}

struct Token {
    login: String,
    expires: Instant,
}

impl TokenServer {
    pub fn build(world: &World) -> anyhow::Result<TokenServer> {
        let mut clients = HashMap::new();
        for client in &world.clients {
            if clients.insert(client.id.clone(), client.clone()).is_some() {
                bail!("two clients with the id {:?}", client.id);
            }
        }
        let mut passwords = HashMap::new();
        for user in &world.users {
            if passwords.insert(user.username.clone(), user.password.clone()).is_some() {
                bail!("two users with the name {:?}", user.username);
            }
            if clients.contains_key(&user.username) {
                bail!(
                    "a user and a client are both called {:?}: logins must differ",
                    user.username
                );
            }
        }
        let lifetime_s = world.token_lifetime_s;
        Ok(TokenServer { clients, passwords, lifetime_s, issued: Mutex::default() })
    }

    pub fn knows(&self, login: &str) -> bool {
        self.clients.contains_key(login) || self.passwords.contains_key(login)
    }

    /// Counts a call that arrived.
    pub fn note_call(&self) {
        lock(&self.issued).stats.requests += 1;
    }

    pub fn stats(&self) -> TokenStats {
        lock(&self.issued).stats.clone()
    }

    /// Works a call: a new token, or why not (RFC 6749, section 5.2).
    pub fn answer(&self, parts: &Parts, body: &[u8]) -> Answer {
        match self.grant(parts, body) {
            Ok(login) => self.issue(login, scope(body)),
            Err(answer) => {
                lock(&self.issued).stats.refused += 1;
                answer
            }
        }
    }

    /// Whose token the call carries, if it is one of ours that has not expired.
    pub fn login(&self, headers: &HeaderMap) -> Option<String> {
        let issued = lock(&self.issued);
        let token = issued.tokens.get(bearer(headers)?)?;
        (token.expires > Instant::now()).then(|| token.login.clone())
    }

    pub fn expire(&self, headers: &HeaderMap) {
        if let Some(token) = bearer(headers) {
            lock(&self.issued).tokens.remove(token);
        }
    }

    pub fn expire_all(&self) {
        lock(&self.issued).tokens.clear();
    }

    /// The login that a token may be issued for.
    fn grant(&self, parts: &Parts, body: &[u8]) -> Result<String, Answer> {
        if parts.method != Method::POST {
            return Err(Answer::empty(StatusCode::METHOD_NOT_ALLOWED)
                .with(header::ALLOW, HeaderValue::from_static("POST")));
        }
        if media_type(&parts.headers) != "application/x-www-form-urlencoded" {
            return Err(refuse("invalid_request", "the Content-Type is not that of a form"));
        }
        let form = form(body).ok_or_else(|| refuse("invalid_request", "the body is no form"))?;
        let field = |name: &str| {
            let mut values = form.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
            match (values.next(), values.next()) {
                (Some(value), None) => Ok(value.as_str()),
                (None, _) => Err(refuse("invalid_request", &format!("{name} is missing"))),
                _ => Err(refuse("invalid_request", &format!("{name} is given twice"))),
            }
        };
        let grant = match field("grant_type")? {
            "password" => Grant::Password,
            "client_credentials" => Grant::ClientCredentials,
            _ => return Err(refuse("unsupported_grant_type", "the grant is unknown")),
        };
        let (id, secret) = (field("client_id")?, field("client_secret")?);
        let client = match self.clients.get(id) {
            Some(client) if client.secret == secret => client,
            _ => {
                let mut answer = refuse("invalid_client", "the client or its secret is wrong");
                answer.status = StatusCode::UNAUTHORIZED;
                return Err(answer);
            }
        };
        if !client.grants.contains(&grant) {
            return Err(refuse("unauthorized_client", "the client may not use this grant"));
        }
        match grant {
            Grant::ClientCredentials => Ok(client.id.clone()),
            Grant::Password => {
                let (username, password) = (field("username")?, field("password")?);
                match self.passwords.get(username) {
                    Some(known) if known == password => Ok(username.to_string()),
                    _ => Err(refuse("invalid_grant", "the user name or password is wrong")),
                }
            }
        }
    }

    fn issue(&self, login: String, scope: Option<String>) -> Answer {
        let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let mut body = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime_s,
        });
        if let Some(scope) = scope {
            body["scope"] = scope.into();
        }
        let now = Instant::now();
        // A time too far for the clock is as good as a century.
        let century = Duration::from_secs(100 * 365 * 86_400);
        let expires = now + Duration::from_secs(self.lifetime_s).min(century);
        let mut issued = lock(&self.issued);
        *issued.stats.issued.entry(login.clone()).or_default() += 1;
        issued.tokens.insert(token, Token { login, expires });
        if issued.tokens.len() > issued.sweep_at {
            issued.tokens.retain(|_, token| token.expires > now);
            issued.sweep_at = 1000 + 2 * issued.tokens.len();
        }
        Answer::json(StatusCode::OK, &body)
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }
}

/// The body of a token call as the log may show it.
pub(super) fn masked(body: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(body) else { return b"***".to_vec() };
    let mask = |pair: &str| match pair.split_once('=') {
        Some((name @ ("grant_type" | "client_id" | "username" | "scope"), value)) => {
            format!("{name}={value}")
        }
        Some((name @ ("password" | "client_secret"), _)) => format!("{name}=***"),
        // What is no known field of a form may be a secret in any shape.
        _ => "***".to_string(),
    };
    text.split('&').map(mask).collect::<Vec<_>>().join("&").into_bytes()
}

/// The media type of a call without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn scope(body: &[u8]) -> Option<String> {
    form(body)?.into_iter().find(|(name, _)| name == "scope").map(|(_, value)| value)
}

/// The fields of a form, which is written as a query is.
fn form(body: &[u8]) -> Option<Vec<(String, String)>> {
    let query = format!("/?{}", std::str::from_utf8(body).ok()?);
    let uri: Uri = query.parse().ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(fields)| fields)
}

fn refuse(error: &str, why: &str) -> Answer {
    Answer::json(StatusCode::BAD_REQUEST, &json!({ "error": error, "error_description": why }))
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .noted(why)
}
