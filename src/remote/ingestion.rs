//! A client for one customer's NxtPort ingestion channel ("Sharing data with NxtPort
//! International over HTTPS"): one POST a message.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Client, RequestBuilder, Url};

use super::http::{self, Clients, exchange, without_secrets};
use super::oauth2::{Token, Tokens};
use crate::config::{IngestionChannel, Login, MessageType};
use crate::model::Reply;

/// The second credential of the NxtPort APIs (reference/domain.md, section 1).
const SUBSCRIPTION_KEY: HeaderName = HeaderName::from_static("ocp-apim-subscription-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// An ingestion channel, ready to be posted to.
pub struct Ingestion {
    client: Client,
    tokens: Arc<Tokens>,
    login: Login,
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
    /// Read when first needed, and anew after a refusal.
    subscription_key: Mutex<Option<HeaderValue>>,
}

impl Ingestion {
    /// Prepares a channel. No secret is read yet and nothing is sent.
    pub fn open(
        channel: &IngestionChannel,
        clients: &Clients,
        tokens: Arc<Tokens>,
    ) -> anyhow::Result<Ingestion> {
        let mut url = Url::parse(&channel.url)
            .with_context(|| format!("the ingestion URL \"{}\" is not valid", channel.url))?;
        let mut headers = fixed_headers(channel)?;
        match &channel.message_type {
            MessageType::Header(name, value) => {
                headers.insert(header_name(name)?, header_value(name, value)?);
            }
            MessageType::Query(name, value) => {
                url.query_pairs_mut().append_pair(name, value);
            }
            MessageType::None => {}
        }
        headers.insert(CONTENT_TYPE, header_value("media_type", &channel.media_type)?);
        Ok(Ingestion {
            client: clients.get(&url, channel.ca.as_deref())?,
            tokens,
            login: channel.login.clone(),
            url,
            headers,
            timeout: channel.timeout,
            subscription_key: Mutex::default(),
        })
    }

    /// Posts one message. A 401 is answered by one forced renewal of the token and one repeat
    /// with the same key, unless it speaks of the subscription key, which no token cures.
    pub async fn post(&self, key: &str, body: impl Into<Body>) -> Reply {
        let mut request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(IDEMPOTENCY_KEY, key)
            .body(body);
        let subscription_key = match self.subscription_key().await {
            Ok(subscription_key) => subscription_key,
            Err(error) => {
                let id = &self.login.id;
                return Reply::NoLogin(format!("login {id}, subscription key: {error:#}"));
            }
        };
        if let Some(value) = &subscription_key {
            request = request.header(SUBSCRIPTION_KEY, value.clone());
        }
        let token = match self.tokens.token(&self.login).await {
            Ok(token) => token,
            Err(error) => return error.reply(&self.login),
        };
        // The body is held in memory and shared, so the request can be cloned at no cost.
        let again = request.try_clone();
        let reply = self.attempt(request, &token, subscription_key.as_ref()).await;
        let (Reply::Answered(answer), Some(again)) = (&reply, again) else { return reply };
        if answer.status != 401 || speaks_of_subscription_key(&answer.text) {
            return reply;
        }
        match self.tokens.renew(&self.login, &token).await {
            Ok(token) => self.attempt(again, &token, subscription_key.as_ref()).await,
            Err(error) => error.reply(&self.login),
        }
    }

    /// Forgets what was read from secrets, so that they are read anew.
    pub fn reload(&self) {
        *self.cached_subscription_key() = None;
    }

    async fn attempt(
        &self,
        request: RequestBuilder,
        token: &Token,
        subscription_key: Option<&HeaderValue>,
    ) -> Reply {
        let request = request.header(AUTHORIZATION, token.authorization());
        let reply = exchange(request, self.timeout).await;
        if let Reply::Answered(answer) = &reply
            && matches!(answer.status, 401 | 403)
        {
            self.reload();
        }
        let subscription_key = subscription_key.and_then(|value| value.to_str().ok());
        without_secrets(reply, &[token.reveal(), subscription_key.unwrap_or_default()])
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

impl fmt::Debug for Ingestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingestion").field("login", &self.login.id).finish_non_exhaustive()
    }
}

/// Whether a 401 is about the subscription key: "Access denied due to missing subscription key"
/// (reference/domain.md, section 1).
fn speaks_of_subscription_key(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["subscription key", "subscription-key", "subscriptionkey"]
        .iter()
        .any(|words| text.contains(words))
}

fn fixed_headers(channel: &IngestionChannel) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &channel.headers {
        let header = header_name(name)?;
        let ours = [AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY].contains(&header)
            || header == SUBSCRIPTION_KEY && channel.login.subscription_key.is_some();
        if ours {
            bail!("the header \"{name}\" is set for every message: take it out of \"headers\"");
        }
        headers.append(header, header_value(name, value)?);
    }
    Ok(headers)
}

fn header_name(name: &str) -> anyhow::Result<HeaderName> {
    name.parse().ok().with_context(|| format!("\"{name}\" cannot be the name of a header"))
}

fn header_value(name: &str, value: &str) -> anyhow::Result<HeaderValue> {
    HeaderValue::from_str(value)
        .ok()
        .with_context(|| format!("the value of \"{name}\" cannot stand in a header"))
}
