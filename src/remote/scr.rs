//! A client for one SCR API ("Secure Container Release", SCR API 1.2.9): reading releases,
//! assigning and unassigning them. The gate of 20 is not here: whoever calls holds the permit.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;

use super::http::{self, Caller, Clients, exchange, without_secrets};
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
    caller: Caller,
    url: Url,
    auth: ScrAuth,
    timeout: Duration,
    /// Opened when first needed, and anew after a refusal.
    signer: Mutex<Option<Arc<Signer>>>,
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

    /// Forgets the key, so that it is read anew, and the certificate.
    pub fn reload(&self) {
        self.caller.renew();
        self.forget_key();
    }

    fn forget_key(&self) {
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
        let attempt = async || {
            let request = self.caller.client().request(Method::PUT, url.clone());
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
        let signer = self.signer().await.map_err(no_login)?;
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
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    use serde_json::json;

    use super::super::release::{Barge, Driver};
    use super::super::testing::{Secrets, Seen, Server, answer, test_key};
    use super::*;
    use crate::config::SecretSource;

    const CONTAINER: &str = "CSQU3054383";

    fn api(server: &Server, auth: ScrAuth) -> ScrApi {
        ScrApi {
            normal: String::new(),
            url: format!("{}/tmining/api/v1", server.url),
            auth,
            callback: None,
            concurrency: 20,
            timeout: Duration::from_secs(60),
            ca: None,
            identity: None,
        }
    }

    fn open(server: &Server) -> Scr {
        Scr::open(&api(server, ScrAuth::None), &Arc::default()).unwrap()
    }

    fn signed(algorithm: &str, key: SecretSource) -> ScrAuth {
        let lifetime = Duration::from_secs(60);
        ScrAuth::SignedJwt { algorithm: algorithm.to_owned(), key, base64: false, lifetime }
    }

    fn answered(status: u16, text: &str) -> Reply {
        Reply::Answered(Answer { status, retry_after: None, text: text.to_owned() })
    }

    fn driver() -> Assignee {
        Assignee::Driver(Driver {
            first_name: "Ann".to_owned(),
            last_name: "Example".to_owned(),
            identification: "0012345".to_owned(),
            email: None,
            phone: None,
        })
    }

    fn release(number: usize, container: &str) -> Value {
        json!({
            "address": format!("0xAB{number}"),
            "release_data": {
                "container": { "containerNumber": container },
                "billOfLading": { "blNumber": "BL 1" }
            },
            "encryptedPin": "18570bfece4999db"
        })
    }

    fn addresses(releases: &[Release]) -> Vec<&str> {
        releases.iter().map(|release| release.address.as_str()).collect()
    }

    fn paths(server: &Server) -> Vec<String> {
        server.seen().into_iter().map(|seen| seen.path).collect()
    }

    #[tokio::test]
    async fn drivers_and_barges_are_assigned_and_unassigned() {
        let server = Server::always(204, "").await;
        let scr = open(&server);
        let barge = Assignee::Barge(Barge {
            name: "Antigoon".to_owned(),
            identification: "06912345".to_owned(),
            visit_number: None,
        });
        assert_eq!(scr.assign("0xAB1", &driver()).await, answered(204, ""));
        assert_eq!(scr.assign("0xAB1", &barge).await, answered(204, ""));
        assert_eq!(scr.unassign("0xAB1").await, answered(204, ""));
        let seen = server.seen();
        let calls: Vec<(&str, &str)> =
            seen.iter().map(|seen| (seen.method.as_str(), seen.path.as_str())).collect();
        let base = "/tmining/api/v1/releases/0xAB1";
        let (assign, unassign) = (format!("{base}/assign"), format!("{base}/unassign"));
        assert_eq!(calls, [("PUT", &*assign), ("PUT", &*assign), ("PUT", &*unassign)]);
        assert_eq!(
            seen[0].body,
            r#"{"type":"driver","firstName":"Ann","lastName":"Example","identification":"0012345"}"#
        );
        assert_eq!(
            seen[1].body,
            r#"{"type":"barge","name":"Antigoon","identification":"06912345"}"#
        );
        assert_eq!(seen[0].header("content-type"), "application/json");
        assert_eq!(seen[0].header("authorization"), "");
        assert_eq!((seen[2].body.as_str(), seen[2].header("content-length")), ("", "0"));
    }

    #[tokio::test]
    async fn an_error_of_the_api_comes_with_its_description() {
        let body = r#"{"code":1,"description":"an error"}"#;
        let server = Server::always(500, body).await;
        assert_eq!(open(&server).assign("0xAB1", &driver()).await, answered(500, body));
    }

    #[tokio::test]
    async fn an_address_is_encoded_and_never_leads_elsewhere() {
        let server = Server::always(204, "").await;
        let scr = open(&server);
        scr.unassign("0x1/../x?y#z%2e é").await;
        let expected = "/tmining/api/v1/releases/0x1%2F..%2Fx%3Fy%23z%252e%20%C3%A9/unassign";
        assert_eq!(paths(&server), [expected]);
        for address in ["", ".", "..", ".\t."] {
            let reply = scr.unassign(address).await;
            let Reply::Answered(answer) = reply else { panic!("{reply:?}") };
            assert_eq!(answer.status, 400);
            assert!(answer.text.starts_with("nothing was sent: "), "{}", answer.text);
        }
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn every_attempt_carries_a_token_of_its_own() {
        let server = Server::always(204, "").await;
        let key = SecretSource::File(test_key("ec-p256-sec1.pem"));
        let scr = Scr::open(&api(&server, signed("ES256", key)), &Arc::default()).unwrap();
        scr.unassign("0xAB1").await;
        scr.unassign("0xAB1").await;
        let public = std::fs::read(test_key("ec-p256-public.pem")).unwrap();
        let public = DecodingKey::from_ec_pem(&public).unwrap();
        let ids: HashSet<String> = server
            .seen()
            .iter()
            .map(|seen| {
                let token = seen.header("authorization").strip_prefix("Bearer ").unwrap();
                let validation = Validation::new(Algorithm::ES256);
                let claims = decode::<Value>(token, &public, &validation).unwrap().claims;
                claims["jti"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(ids.len(), 2);
    }

    #[tokio::test]
    async fn a_refused_token_is_followed_by_one_of_a_key_that_is_read_anew() {
        let files = Secrets::new();
        let key = files.file("key", "the first secret");
        let server = Server::start(|_, seen: Seen| async move {
            let token = seen.header("authorization").strip_prefix("Bearer ").unwrap().to_owned();
            let secret = DecodingKey::from_secret(b"the new secret");
            match decode::<Value>(&token, &secret, &Validation::new(Algorithm::HS256)) {
                Ok(_) => answer(200, "[]"),
                Err(_) => answer(401, format!("who is {token}?")),
            }
        })
        .await;
        let scr = Scr::open(&api(&server, signed("HS256", key)), &Arc::default()).unwrap();
        assert_eq!(scr.unassign("0xAB1").await, answered(401, "who is ***?"));
        assert_eq!(server.seen().len(), 2, "one repeat");
        // The key that was read for the repeat is forgotten, too.
        files.file("key", "the new secret");
        assert_eq!(scr.unassign("0xAB1").await, answered(200, "[]"));
        assert_eq!(server.seen().len(), 3);
    }

    #[tokio::test]
    async fn a_key_that_changed_while_it_was_known_costs_one_repeat() {
        let files = Secrets::new();
        let key = files.file("key", "the former secret");
        let server = Server::start(|_, seen: Seen| async move {
            let token = seen.header("authorization").strip_prefix("Bearer ").unwrap().to_owned();
            let known = seen.path.contains("0xOLD").then_some("the former secret");
            let secret = DecodingKey::from_secret(known.unwrap_or("the new secret").as_bytes());
            match decode::<Value>(&token, &secret, &Validation::new(Algorithm::HS256)) {
                Ok(_) => answer(200, "[]"),
                Err(_) => answer(401, ""),
            }
        })
        .await;
        let scr = Scr::open(&api(&server, signed("HS256", key)), &Arc::default()).unwrap();
        assert_eq!(scr.unassign("0xOLD").await, answered(200, "[]"));
        files.file("key", "the new secret");
        assert_eq!(scr.unassign("0xAB1").await, answered(200, "[]"));
        assert_eq!(server.seen().len(), 3, "refused, and repeated with the new key");
        files.file("key", "the former secret");
        assert_eq!(scr.release("0xOLD").await, Ok(None));
        assert_eq!(server.seen().len(), 5, "a read as well");
    }

    #[tokio::test]
    async fn without_a_token_nothing_is_repeated() {
        let server = Server::always(401, "").await;
        assert_eq!(open(&server).unassign("0xAB1").await, answered(401, ""));
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn without_a_usable_key_nothing_is_sent() {
        let server = Server::always(204, "").await;
        let key = SecretSource::File(test_key("missing.pem"));
        let scr = Scr::open(&api(&server, signed("RS256", key)), &Arc::default()).unwrap();
        let reply = scr.assign("0xAB1", &driver()).await;
        assert!(
            matches!(&reply, Reply::NoLogin(text) if text.contains("missing.pem")),
            "{reply:?}"
        );
        assert!(server.seen().is_empty());
    }

    #[tokio::test]
    async fn releases_are_found_by_container_and_bill_of_lading() {
        let list = json!([release(1, CONTAINER), release(2, "TOLU4734787"), {"odd": true}]);
        let server = Server::start(move |_, _| {
            let list = list.to_string();
            async move { answer(200, list) }
        })
        .await;
        let scr = open(&server);
        assert_eq!(addresses(&scr.find(CONTAINER, None).await.unwrap()), ["0xAB1"]);
        assert_eq!(addresses(&scr.find(CONTAINER, Some("BL 1")).await.unwrap()), ["0xAB1"]);
        assert_eq!(addresses(&scr.find(CONTAINER, Some("BL 2")).await.unwrap()), [""; 0]);
        let base = "/tmining/api/v1/releases?container=CSQU3054383";
        let expected = [
            format!("{base}&limit=100"),
            format!("{base}&bl=BL+1&limit=100"),
            format!("{base}&bl=BL+2&limit=100"),
        ];
        assert_eq!(paths(&server), expected);
    }

    /// A list of 250 releases in pages that count from `first`.
    async fn paged(first: usize) -> Server {
        Server::start(move |_, seen: Seen| async move {
            let page = match seen.path.split("page=").nth(1) {
                Some(page) => page.parse::<usize>().unwrap().saturating_sub(first),
                None => 0,
            };
            let list: Vec<Value> = (0..250)
                .skip(page * 100)
                .take(100)
                .map(|number| release(number, CONTAINER))
                .collect();
            answer(200, Value::from(list).to_string())
        })
        .await
    }

    #[tokio::test]
    async fn all_pages_are_read_whether_they_count_from_0_or_from_1() {
        for (first, requests) in [(0, 3), (1, 4)] {
            let server = paged(first).await;
            let found = open(&server).find(CONTAINER, None).await.unwrap();
            assert_eq!(found.len(), 250, "pages from {first}");
            assert_eq!(server.seen().len(), requests, "pages from {first}");
        }
    }

    #[tokio::test]
    async fn a_list_that_knows_no_pages_comes_to_an_end() {
        let server = Server::start(|_, _| async {
            let list: Vec<Value> = (0..150).map(|number| release(number, CONTAINER)).collect();
            answer(200, Value::from(list).to_string())
        })
        .await;
        let found = open(&server).find(CONTAINER, None).await.unwrap();
        assert_eq!((found.len(), server.seen().len()), (150, 3));
    }

    #[tokio::test]
    async fn endless_pages_are_read_at_most_a_hundred_times() {
        let server = Server::start(|number, _| async move {
            let numbers = number * 100..(number + 1) * 100;
            let list: Vec<Value> = numbers.map(|number| release(number, CONTAINER)).collect();
            answer(200, Value::from(list).to_string())
        })
        .await;
        let found = open(&server).find(CONTAINER, None).await.unwrap();
        assert_eq!((found.len(), server.seen().len()), (10_000, 100));
    }

    #[tokio::test]
    async fn a_page_may_be_longer_than_an_answers_text() {
        let server = Server::start(|_, _| async {
            let mut one = release(1, CONTAINER);
            one["release_data"]["container"]["termsAndConditions"] = "x".repeat(1 << 20).into();
            answer(200, json!([one]).to_string())
        })
        .await;
        assert_eq!(open(&server).find(CONTAINER, None).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_release_is_fetched_by_its_address() {
        let one = release(1, CONTAINER).to_string();
        let server = Server::start(move |_, _| {
            let one = one.clone();
            async move { answer(200, one) }
        })
        .await;
        let scr = open(&server);
        let found = scr.release("0xab1").await.unwrap().unwrap();
        assert_eq!((found.address.as_str(), found.container.as_str()), ("0xAB1", CONTAINER));
        assert_eq!(scr.release("0xab2").await.unwrap(), None, "another release is none");
        assert_eq!(paths(&server)[0], "/tmining/api/v1/releases/0xab1");
    }

    #[tokio::test]
    async fn an_answer_without_a_release_is_none() {
        for body in ["", "null", "[]", "{}"] {
            let server = Server::always(200, body).await;
            assert_eq!(open(&server).release("0xAB1").await, Ok(None), "{body}");
        }
    }

    #[tokio::test]
    async fn a_failed_lookup_is_the_reply() {
        let server = Server::always(404, "no such path").await;
        let scr = open(&server);
        assert_eq!(scr.release("0xAB1").await, Err(answered(404, "no such path")));
        assert_eq!(scr.find(CONTAINER, None).await, Err(answered(404, "no such path")));
    }

    #[tokio::test]
    async fn an_answer_that_is_no_json_is_broken_and_not_repeated() {
        for body in ["<html>", r#"[{"encryptedPin":"18570bfece4999db" "#, r#"{"a":1}"#] {
            let server = Server::always(200, body).await;
            let reply = open(&server).find(CONTAINER, None).await.unwrap_err();
            let Reply::Broken(text) = &reply else { panic!("{reply:?}") };
            assert!(text.starts_with("the SCR API did not answer with"), "{text}");
            assert!(!text.contains("18570bfece4999db"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_pin_is_dropped_from_every_answer() {
        for body in [r#"{"encryptedPin":"18570bfece4999db"}"#, r#"{"pincode":"12345"}"#] {
            let server = Server::always(500, body).await;
            let reply = open(&server).assign("0xAB1", &driver()).await;
            assert_eq!(reply, answered(500, "(left out: it holds a pin)"));
        }
    }

    #[tokio::test]
    async fn an_api_that_does_not_answer_is_timed_out() {
        let server = Server::start(|_, _| std::future::pending()).await;
        let timeout = Duration::from_millis(50);
        let api = ScrApi { timeout, ..api(&server, ScrAuth::None) };
        let scr = Scr::open(&api, &Arc::default()).unwrap();
        assert_eq!(scr.unassign("0xAB1").await, Reply::TimedOut);
        assert_eq!(scr.find(CONTAINER, None).await, Err(Reply::TimedOut));
    }

    #[test]
    fn a_url_that_cannot_be_called_is_named() {
        for url in ["localhost:4431", "tmining/api/v1"] {
            let api = ScrApi {
                url: url.to_owned(),
                normal: url.to_owned(),
                auth: ScrAuth::None,
                callback: None,
                concurrency: 20,
                timeout: Duration::from_secs(60),
                ca: None,
                identity: None,
            };
            let error = Scr::open(&api, &Arc::default()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the SCR URL \"{url}\" is not")), "{error}");
        }
    }
}
