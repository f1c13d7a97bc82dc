//! A client for one SCR API ("Secure Container Release", SCR API 1.2.9): reading releases,
//! assigning and unassigning them. The gate of 20 is not here: whoever calls holds the permit.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use reqwest::header::AUTHORIZATION;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::Value;

use super::http::{self, Clients, exchange, without_secrets};
use super::jwt::Signer;
use super::release::{Assignee, Release};
use crate::config::{ScrApi, ScrAuth};
use crate::model::{Answer, Reply};

/// Releases a page.
const PAGE: usize = 100;
/// Pages that are read at most for one question.
const PAGES: usize = 100;
/// Bytes of one page at most; terms and conditions alone are of unlimited length ("Field lengths
/// and definitions").
const PAGE_LIMIT: usize = 8 * 1024 * 1024;

/// An SCR API, ready to be called.
pub struct Scr {
    client: Client,
    url: Url,
    auth: ScrAuth,
    timeout: Duration,
    /// Opened when first needed, and anew after a refusal.
    signer: Mutex<Option<Arc<Signer>>>,
}

impl Scr {
    /// Prepares an API. No key is read yet and nothing is sent.
    pub fn open(api: &ScrApi, clients: &Clients) -> anyhow::Result<Scr> {
        let url = Url::parse(&api.url)
            .with_context(|| format!("the SCR URL \"{}\" is not valid", api.url))?;
        if url.cannot_be_a_base() {
            bail!("the SCR URL \"{}\" is not one of HTTP", api.url);
        }
        Ok(Scr {
            client: clients.get(&url, api.ca.as_deref())?,
            url,
            auth: api.auth.clone(),
            timeout: api.timeout,
            signer: Mutex::default(),
        })
    }

    /// Assigns a release to a driver or a barge. A repeat overwrites, so it does no harm.
    pub async fn assign(&self, address: &str, to: &Assignee) -> Reply {
        self.put(address, "assign", Some(to)).await
    }

    /// Takes back the assignment of a release.
    pub async fn unassign(&self, address: &str) -> Reply {
        self.put(address, "unassign", None).await
    }

    /// The release of an address; `None` if the API answers with success but without one.
    pub async fn release(&self, address: &str) -> Result<Option<Release>, Reply> {
        let url = self.path(&["releases", address])?;
        let value = self.get(url).await?;
        let found = match &value {
            Value::Array(list) => list.first().and_then(Release::parse),
            other => Release::parse(other),
        };
        Ok(found.filter(|release| release.address.eq_ignore_ascii_case(address.trim())))
    }

    /// The releases of a container and, if given, of a bill of lading; those that the API sends
    /// for others are left out.
    pub async fn find(&self, container: &str, bl: Option<&str>) -> Result<Vec<Release>, Reply> {
        let mut url = self.path(&["releases"])?;
        url.query_pairs_mut().append_pair("container", container);
        if let Some(bl) = bl {
            url.query_pairs_mut().append_pair("bl", bl);
        }
        url.query_pairs_mut().append_pair("limit", &PAGE.to_string());
        let mut releases = self.pages(url).await?;
        releases.retain(|release| release.is_for(container, bl));
        Ok(releases)
    }

    /// Forgets the key, so that it is read anew.
    pub fn reload(&self) {
        *self.signer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// All pages of a list. The document does not say whether `page` counts from 0 or from 1
    /// ("Get all releases"): so the first request names no page, which is right for both and
    /// nearly always enough, and page 1 may well bring the same again. From page 2 on, a page
    /// that brings nothing new is the end, also of a list that knows no pages.
    async fn pages(&self, url: Url) -> Result<Vec<Release>, Reply> {
        let mut releases = Vec::new();
        let mut known = HashSet::new();
        for page in 0..PAGES {
            let mut url = url.clone();
            if page > 0 {
                url.query_pairs_mut().append_pair("page", &page.to_string());
            }
            let list = match self.get(url).await? {
                Value::Array(list) => list,
                Value::Null => Vec::new(),
                _ => {
                    return Err(Reply::Broken("the SCR API did not answer with a list".to_owned()));
                }
            };
            let before = releases.len();
            for release in list.iter().filter_map(Release::parse) {
                if known.insert(release.address.to_ascii_lowercase()) {
                    releases.push(release);
                }
            }
            if list.len() < PAGE || page > 1 && releases.len() == before {
                break;
            }
        }
        Ok(releases)
    }

    async fn put(&self, address: &str, action: &str, body: Option<&Assignee>) -> Reply {
        let url = match self.path(&["releases", address, action]) {
            Ok(url) => url,
            Err(reply) => return reply,
        };
        let request = self.client.request(Method::PUT, url);
        let request = match body {
            Some(body) => request.json(body),
            None => request.body(""),
        };
        match self.sign(request).await {
            Ok((request, token)) => {
                let reply = exchange(request, self.timeout).await;
                self.after(reply, &token)
            }
            Err(reply) => reply,
        }
    }

    /// The JSON of a successful answer; any other answer is the error.
    async fn get(&self, url: Url) -> Result<Value, Reply> {
        let (request, token) = self.sign(self.client.get(url)).await?;
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
        let signer = self.signer().await.map_err(no_login)?;
        let Some(signer) = signer else { return Ok((request, String::new())) };
        let token = signer.sign(Timestamp::now()).map_err(no_login)?;
        let header = http::bearer(&token).map_err(no_login)?;
        Ok((request.header(AUTHORIZATION, header), token))
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
            self.reload();
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
