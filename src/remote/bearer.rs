//! Bearer: calls that carry a login's token and, where it has one, its subscription key, the second
//! credential of the NxtPort APIs (reference/domain.md, section 1).

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};

use super::http::{self, Caller, Clients, Received, redact, without_secrets};
use super::oauth2::{Token, Tokens};
use crate::config::Login;
use crate::model::Reply;

/// The header of the subscription key (certified-pick-up-onboarding, section 2.4.2).
pub(super) const SUBSCRIPTION_KEY: HeaderName =
    HeaderName::from_static("ocp-apim-subscription-key");

/// One login at one server.
pub(super) struct Bearer {
    caller: Caller,
    tokens: Arc<Tokens>,
    pub login: Login,
    timeout: Duration,
    /// Read when first needed, and anew after a refusal.
    subscription_key: Mutex<Option<HeaderValue>>,
}

impl Bearer {
    /// Prepares the calls. No secret is read yet and nothing is sent.
    pub fn open(
        clients: &Arc<Clients>,
        tokens: Arc<Tokens>,
        login: &Login,
        url: &Url,
        ca: Option<&Path>,
        timeout: Duration,
    ) -> anyhow::Result<Bearer> {
        Ok(Bearer {
            caller: Caller::open(clients, url, ca, login.identity.as_ref())?,
            tokens,
            login: login.clone(),
            timeout,
            subscription_key: Mutex::default(),
        })
    }

    /// The client to make requests with.
    pub fn client(&self) -> Client {
        self.caller.client()
    }

    /// Sends one request; the body of its answer may have so many bytes. A 401 is answered by one
    /// forced renewal of the token and one repeat, unless it speaks of the subscription key, which
    /// no token cures. The error is never `Answered`.
    pub async fn send(&self, mut request: RequestBuilder, limit: usize) -> Result<Received, Reply> {
        let subscription_key = self.subscription_key().await.map_err(|error| {
            Reply::NoLogin(format!("login {}, subscription key: {error:#}", self.login.id))
        })?;
        if let Some(value) = &subscription_key {
            request = request.header(SUBSCRIPTION_KEY, value.clone());
        }
        let token = self.tokens.token(&self.login).await;
        let token = token.map_err(|error| error.reply(&self.login))?;
        // The body is held in memory and shared, so the request can be cloned at no cost.
        let again = request.try_clone();
        let received = self.attempt(request, &token, subscription_key.as_ref(), limit).await?;
        let Some(again) = again.filter(|_| received.status == 401) else { return Ok(received) };
        if speaks_of_subscription_key(&received.answer().text) {
            return Ok(received);
        }
        let token = self.tokens.renew(&self.login, &token).await;
        let token = token.map_err(|error| error.reply(&self.login))?;
        self.attempt(again, &token, subscription_key.as_ref(), limit).await
    }

    /// Forgets what was read from secrets, so that they are read anew, and the certificate.
    pub fn reload(&self) {
        self.caller.renew();
        self.forget_subscription_key();
    }

    fn forget_subscription_key(&self) {
        *self.cached_subscription_key() = None;
    }

    async fn attempt(
        &self,
        request: RequestBuilder,
        token: &Token,
        subscription_key: Option<&HeaderValue>,
        limit: usize,
    ) -> Result<Received, Reply> {
        let request = request.header(AUTHORIZATION, token.authorization());
        let subscription_key = subscription_key.and_then(|value| value.to_str().ok());
        let secrets = [token.reveal(), subscription_key.unwrap_or_default()];
        let mut received = http::send(request, self.timeout, limit)
            .await
            .map_err(|reply| without_secrets(reply, &secrets))?;
        if matches!(received.status, 401 | 403) {
            self.forget_subscription_key();
        }
        // Servers echo.
        let text = String::from_utf8_lossy(&received.body);
        if secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret)) {
            received.body = redact(text.into_owned(), &secrets).into_bytes();
        }
        Ok(received)
    }

    async fn subscription_key(&self) -> anyhow::Result<Option<HeaderValue>> {
        let Some(source) = &self.login.subscription_key else { return Ok(None) };
        let known = self.cached_subscription_key().clone();
        if known.is_some() {
            return Ok(known);
        }
        let reading = source.clone();
        let secret = super::blocking(move || reading.read()).await?;
        let value = http::secret_header(secret.reveal())
            .with_context(|| format!("the secret in {source} cannot be used"))?;
        *self.cached_subscription_key() = Some(value.clone());
        Ok(Some(value))
    }

    fn cached_subscription_key(&self) -> MutexGuard<'_, Option<HeaderValue>> {
        self.subscription_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a 401 is about the subscription key: "Access denied due to missing subscription key"
/// (reference/domain.md, section 1).
pub fn speaks_of_subscription_key(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["subscription key", "subscription-key", "subscriptionkey"]
        .iter()
        .any(|words| text.contains(words))
}
