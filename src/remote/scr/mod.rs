//! A client for one SCR API ("Secure Container Release", SCR API 1.2.9): how a call is signed, made
//! and read. The gate of 20 is not here: whoever calls holds the permit.

mod connection;
mod release;
mod stand_in;

pub use connection::{Connection, Invitation};
pub use release::{Query, Walk};

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH};
use reqwest::{Method, RequestBuilder, Url};
use serde::Serialize;
use serde_json::Value;

use self::stand_in::StandIns;
use super::http::{self, Caller, Clients, exchange, without_secrets};
use super::jwt::Signer;
use crate::config::{ScrApi, ScrAuth};
use crate::model::{Answer, Reply};

/// Bytes of one page at most; terms and conditions alone are of unlimited length ("Field lengths
/// and definitions").
const PAGE_LIMIT: usize = 8 * 1024 * 1024;

/// An SCR API, ready to be called.
pub struct Scr {
    caller: Caller,
    url: Url,
    auth: ScrAuth,
    timeout: Duration,
    /// Opened when first needed, and anew after a refusal.
    signer: Mutex<Option<Arc<Signer>>>,
    /// Who goes out in the place of drivers, if they are not to be named.
    stand_ins: Option<StandIns>,
}

impl Scr {
    /// Prepares an API. No key is read yet and nothing is sent.
    pub fn open(api: &ScrApi, clients: &Arc<Clients>) -> anyhow::Result<Scr> {
        let url = Url::parse(&api.url)
            .with_context(|| format!("the SCR URL \"{}\" is not valid", api.url))?;
        if url.cannot_be_a_base() {
            bail!("the SCR URL \"{}\" is not one of HTTP", api.url);
        }
        Ok(Scr {
            caller: Caller::open(clients, &url, api.ca.as_deref(), api.identity.as_ref())?,
            url,
            auth: api.auth.clone(),
            timeout: api.timeout,
            signer: Mutex::default(),
            stand_ins: api.stand_ins.clone().map(StandIns::new),
        })
    }

    /// Forgets the key, so that it is read anew, and the certificate.
    pub fn reload(&self) {
        self.caller.renew();
        self.forget_key();
    }

    fn forget_key(&self) {
        *self.signer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Makes a call that changes something.
    async fn change(
        &self,
        method: Method,
        segments: &[&str],
        body: Option<&impl Serialize>,
    ) -> Reply {
        let url = match self.path(segments) {
            Ok(url) => url,
            Err(reply) => return reply,
        };
        let attempt = async || {
            let request = self.caller.client().request(method.clone(), url.clone());
            let request = match body {
                Some(body) => request.json(body),
                // Some servers answer 411 to a PUT that does not say that it has no body.
                None => request.header(CONTENT_LENGTH, 0),
            };
            match self.sign(request).await {
                Ok((request, token)) => {
                    let reply = exchange(request, self.timeout).await;
                    self.after(reply, &token)
                }
                Err(reply) => reply,
            }
        };
        match attempt().await {
            refused if self.is_repeated(&refused) => attempt().await,
            reply => reply,
        }
    }

    /// The JSON of a successful answer; any other answer is the error.
    async fn get(&self, url: Url) -> Result<Value, Reply> {
        match self.get_once(url.clone()).await {
            Err(refused) if self.is_repeated(&refused) => self.get_once(url).await,
            result => result,
        }
    }

    async fn get_once(&self, url: Url) -> Result<Value, Reply> {
        let (request, token) = self.sign(self.caller.client().get(url)).await?;
        let received = http::send(request, self.timeout, PAGE_LIMIT).await;
        let received = received.map_err(|reply| self.after(reply, &token))?;
        if !(200..300).contains(&received.status) {
            return Err(self.after(Reply::Answered(received.answer()), &token));
        }
        if let Some(fault) = received.fault {
            return Err(Reply::Broken(format!("the SCR API's answer is not whole: {fault}")));
        }
        if received.body.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&received.body).map_err(|error| {
            // The parser's message tells places, never contents.
            Reply::Broken(format!("the SCR API did not answer with valid JSON: {error}"))
        })
    }

    /// A request with a token of its own, and that token.
    async fn sign(&self, request: RequestBuilder) -> Result<(RequestBuilder, String), Reply> {
        if matches!(self.auth, ScrAuth::None) {
            return Ok((request, String::new()));
        }
        let no_login = |error: anyhow::Error| Reply::NoLogin(format!("SCR API: {error:#}"));
        // Nothing but a person mends a key.
        let no_key = |error: anyhow::Error| Reply::LoginRefused(format!("{error:#}"));
        let signer = self.signer().await.map_err(no_key)?;
        let Some(signer) = signer else { return Ok((request, String::new())) };
        let token = signer.sign(Timestamp::now()).map_err(no_login)?;
        let header = http::bearer(&token).map_err(no_login)?;
        Ok((request.header(AUTHORIZATION, header), token))
    }

    /// Whether a refused token is followed by one more, signed with a key that is read anew: it
    /// may have changed since it was read.
    fn is_repeated(&self, reply: &Reply) -> bool {
        matches!(reply, Reply::Answered(answer) if answer.status == 401)
            && !matches!(self.auth, ScrAuth::None)
    }

    async fn signer(&self) -> anyhow::Result<Option<Arc<Signer>>> {
        let known = self.signer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() {
            return Ok(known);
        }
        let auth = self.auth.clone();
        let opened = super::blocking(move || Signer::open(&auth)).await?.map(Arc::new);
        *self.signer.lock().unwrap_or_else(PoisonError::into_inner) = opened.clone();
        Ok(opened)
    }

    fn after(&self, reply: Reply, token: &str) -> Reply {
        if let Reply::Answered(answer) = &reply
            && matches!(answer.status, 401 | 403)
        {
            self.forget_key();
        }
        without_pin(without_secrets(reply, &[token]))
    }

    /// The base URL with further segments, each percent-encoded.
    fn path(&self, segments: &[&str]) -> Result<Url, Reply> {
        // A URL cannot carry these as a segment, in no encoding: another call would come of it.
        let unsendable = |segment: &&&str| {
            matches!(**segment, "" | "." | "..") || segment.chars().any(char::is_control)
        };
        if let Some(segment) = segments.iter().find(unsendable) {
            return Err(Reply::Answered(Answer {
                status: 400,
                retry_after: None,
                text: format!("nothing was sent: {segment:?} cannot be the address of a release"),
            }));
        }
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        Ok(url)
    }
}

impl fmt::Debug for Scr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scr").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// A pin, encrypted or not, is dropped on receipt, wherever an answer carries one.
fn without_pin(reply: Reply) -> Reply {
    match reply {
        Reply::Answered(answer)
            if ["encryptedpin", "pincode"]
                .iter()
                .any(|word| answer.text.to_ascii_lowercase().contains(word)) =>
        {
            Reply::Answered(Answer { text: "(left out: it holds a pin)".to_owned(), ..answer })
        }
        reply => reply,
    }
}

#[cfg(test)]
mod tests;
