//! A client for Certified Pick up (reference/domain.md, section 3): calls that change something,
//! which it accepts and works later, and the notifications that tell what became of them.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, bail};
use reqwest::Url;
use serde_json::{Map, Value};

use super::bearer::Bearer;
use super::http::{Clients, TEXT_LIMIT};
use super::oauth2::Tokens;
use crate::config::CpuChannel;
use crate::model::{Answer, Reply};

/// Bytes of a list of notifications at most.
const LIST_LIMIT: usize = 8 * 1024 * 1024;

/// Bytes of a public reference of ours at most; those that are seen are UUIDs.
pub const REFERENCE: usize = 128;

/// Bytes of a container's name at most that is told from others: those of ISO 6346 have eleven.
const CONTAINER: usize = 32;

/// Bytes of a failure's words that are kept.
const WORDS: usize = 300;

/// One customer's access to Certified Pick up.
pub struct Cpu {
    bearer: Bearer,
    url: Url,
}

/// What CPu tells of something that it accepted, as it is posted to a receiver and as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// That of the 202; its letters may be of either case.
    pub reference: String,
    /// The container that it names, as containers are compared.
    pub container: Option<String>,
    /// What happened.
    pub event: String,
    /// Its words, where there are any.
    pub message: String,
}

impl Cpu {
    /// Prepares the calls. No secret is read yet and nothing is sent.
    pub fn open(
        channel: &CpuChannel,
        clients: &Arc<Clients>,
        tokens: Arc<Tokens>,
    ) -> anyhow::Result<Cpu> {
        let CpuChannel { login, ca, timeout, .. } = channel;
        let url = Url::parse(&channel.url)
            .with_context(|| format!("the CPu URL \"{}\" is not valid", channel.url))?;
        if url.cannot_be_a_base() {
            bail!("the CPu URL \"{}\" is not one of HTTP", channel.url);
        }
        let bearer = Bearer::open(clients, tokens, login, &url, ca.as_deref(), *timeout)?;
        Ok(Cpu { bearer, url })
    }

    /// Asks for something; the segments of its path follow the base URL.
    pub async fn put(&self, path: &[&str], body: &Value) -> Reply {
        let request = self.bearer.client().put(self.path(path)).json(body);
        match self.bearer.send(request, TEXT_LIMIT).await {
            Ok(received) => Reply::Answered(received.answer()),
            Err(reply) => reply,
        }
    }

    /// The notifications that are stored for a public reference; any answer but a success is the
    /// error.
    pub async fn notifications(&self, reference: &str) -> Result<Vec<Notification>, Reply> {
        let mut url = self.path(&["notifications"]);
        url.query_pairs_mut().append_pair("PublicReferenceId", reference);
        let told = self.list(url).await?;
        let mut found: Vec<Notification> = told.iter().filter_map(Notification::parse).collect();
        found.retain(|told| told.reference.eq_ignore_ascii_case(reference));
        Ok(found)
    }

    /// The companies in the phone book that fit, by `Eori`, `Duns`, `Vat`, `EntityName` or
    /// `ApcsCode`; any answer but a success is the error.
    pub async fn entities(&self, query: &[(String, String)]) -> Result<Vec<Value>, Reply> {
        let mut url = self.path(&["entities"]);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.list(url).await
    }

    /// The elements of a list that is answered at once.
    async fn list(&self, url: Url) -> Result<Vec<Value>, Reply> {
        let request = self.bearer.client().get(url);
        let received = self.bearer.send(request, LIST_LIMIT).await?;
        if !(200..300).contains(&received.status) {
            return Err(Reply::Answered(received.answer()));
        }
        if let Some(fault) = received.fault {
            return Err(Reply::Broken(format!("CPu's answer is not whole: {fault}")));
        }
        if received.body.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let list: Value = serde_json::from_slice(&received.body).map_err(|error| {
            // The parser's message tells places, never contents.
            Reply::Broken(format!("CPu did not answer with valid JSON: {error}"))
        })?;
        Ok(elements(&list).to_vec())
    }

    /// Forgets what was read from secrets, so that they are read anew, and the certificate.
    pub fn reload(&self) {
        self.bearer.reload();
    }

    /// The base URL with further segments, each percent-encoded.
    fn path(&self, segments: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cpu").field("login", &self.bearer.login.id).finish_non_exhaustive()
    }
}

impl Notification {
    /// Reads one; none if it names no reference or no event. Capitals differ between sources, so
    /// names are compared without case (reference/domain.md, section 3).
    pub fn parse(value: &Value) -> Option<Notification> {
        let told = value.as_object()?;
        let reference = reference(told)?;
        let event = field(told, "event")?.as_str()?.trim().to_owned();
        let body = field(told, "body").and_then(Value::as_object);
        let message = field(told, "message").filter(|message| !message.is_null());
        let message = message.or_else(|| field(body?, "message")).or(field(told, "body"));
        let message = message.map(words).unwrap_or_default();
        // `equipmentNumber` in what is stored, `id` in what is posted.
        let names = [
            field(told, "equipmentNumber"),
            body.and_then(|body| field(body, "equipmentNumber")),
            field(told, "id"),
        ];
        let container = names.into_iter().flatten().find_map(|name| container(name.as_str()?));
        (!event.is_empty()).then_some(Notification { reference, container, event, message })
    }

    /// Why it failed, if it did: only two events tell so, all others that it was done.
    pub fn failure(&self) -> Option<String> {
        let failed = ["NotValidated", "ThrownException"];
        let failed = failed.iter().any(|event| self.event.eq_ignore_ascii_case(event));
        failed.then(|| match self.message.as_str() {
            "" => self.event.clone(),
            message => format!("{}: {message}", self.event),
        })
    }
}

/// A container's name as it is compared with others: capitals and digits, without the blanks and
/// hyphens that some write; none if it is no such name.
pub fn container(text: &str) -> Option<String> {
    let letters = text.chars().filter(|letter| letter.is_alphanumeric());
    let name: String = letters.flat_map(char::to_uppercase).take(CONTAINER + 1).collect();
    (1..=CONTAINER).contains(&name.len()).then_some(name)
}

/// The public reference of a 202, if it names one.
pub fn public_reference(answer: &Answer) -> Option<String> {
    let told: Value = serde_json::from_str(&answer.text).ok()?;
    reference(told.as_object()?)
}

fn reference(told: &Map<String, Value>) -> Option<String> {
    let reference = field(told, "publicReferenceId")?.as_str()?.trim();
    let sound = !reference.is_empty() && reference.len() <= REFERENCE;
    sound.then(|| reference.to_owned())
}

fn field<'a>(told: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    told.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A list, or the list in an object that tells of its pages: the shape of the answer is not public.
fn elements(list: &Value) -> &[Value] {
    match list {
        Value::Array(list) => list,
        Value::Object(around) => around
            .values()
            .find_map(Value::as_array)
            .map_or(std::slice::from_ref(list), Vec::as_slice),
        _ => &[],
    }
}

/// Words on one line, short enough for a cell.
fn words(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.len() > WORDS {
        let end = (0..=WORDS).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::testing::{Secrets, Server, answer, token};
    use super::*;
    use crate::config::{Confirm, Login};

    const REFERENCE: &str = "3f2a1c9e-5b7d-4e2f-9a60-1d2c3b4a5f60";

    /// A token server and CPu in one, which answers everything so, and a client for it.
    async fn open(status: u16, body: &'static str) -> (Server, Secrets, Cpu) {
        let server = Server::start(move |_, seen| async move {
            match seen.path.as_str() {
                "/token" => token("token-1", 3600),
                _ => answer(status, body),
            }
        })
        .await;
        let files = Secrets::new();
        let login = Login {
            subscription_key: Some(files.file("key", "sub-key\n")),
            ..files.password_login(&format!("{}/token", server.url))
        };
        let channel = CpuChannel {
            url: format!("{}/certified-pickup/v1", server.url),
            login,
            batch_records: 1,
            confirm: Confirm::Poll,
            verdict_within: Duration::from_secs(60),
            concurrency: 4,
            timeout: Duration::from_secs(60),
            ca: None,
        };
        let clients = Arc::new(Clients::new());
        let tokens = Arc::new(Tokens::new(Arc::clone(&clients)));
        let cpu = Cpu::open(&channel, &clients, tokens).unwrap();
        (server, files, cpu)
    }

    #[tokio::test]
    async fn a_call_is_a_put_below_the_base_with_both_credentials() {
        let accepted = r#"{"publicReferenceId":"AB-1","externalReferenceId":null}"#;
        let (server, _files, cpu) = open(202, accepted).await;
        let path = ["BEANR", "containers", "CSQU 305/4383", "import", "release-rights"];
        let reply = cpu.put(&path, &json!({ "actionType": "Accept" })).await;
        let Reply::Answered(answer) = reply else { panic!("{reply:?}") };
        assert_eq!(public_reference(&answer).as_deref(), Some("AB-1"));
        let seen = &server.seen()[1];
        assert_eq!(seen.method, "PUT");
        let base = "/certified-pickup/v1/BEANR/containers";
        assert_eq!(seen.path, format!("{base}/CSQU%20305%2F4383/import/release-rights"));
        assert_eq!(seen.header("authorization"), "Bearer token-1");
        assert_eq!(seen.header("ocp-apim-subscription-key"), "sub-key");
        assert_eq!(seen.header("content-type"), "application/json");
        assert_eq!(seen.body, r#"{"actionType":"Accept"}"#);
    }

    #[tokio::test]
    async fn notifications_are_asked_for_by_their_reference_and_others_are_left_out() {
        let list = r#"[
            {"nxtEntityId":"NXT0001","equipmentNumber":"CSQU3054383","publicReferenceId":
             "3F2A1C9E-5B7D-4E2F-9A60-1D2C3B4A5F60","externalReferenceId":"","storedOn":
             "2026-11-22T10:00:00Z","message":null,"type":"ReleaseRight","event":"ValidatedRelease"},
            {"publicReferenceId":"another","event":"NotValidated"}
        ]"#;
        let (server, _files, cpu) = open(200, list).await;
        let found = cpu.notifications(REFERENCE).await.unwrap();
        let told = Notification {
            reference: REFERENCE.to_ascii_uppercase(),
            container: Some("CSQU3054383".to_owned()),
            event: "ValidatedRelease".to_owned(),
            message: String::new(),
        };
        assert_eq!(found, [told]);
        let path = format!("/certified-pickup/v1/notifications?PublicReferenceId={REFERENCE}");
        let seen = &server.seen()[1];
        assert_eq!((seen.method.as_str(), &seen.path), ("GET", &path));
        assert_eq!(seen.header("ocp-apim-subscription-key"), "sub-key");
    }

    #[tokio::test]
    async fn a_list_that_is_empty_wrapped_or_faulty_is_told_apart() {
        let found = async |status, body| open(status, body).await.2.notifications("r").await;
        assert_eq!(found(200, "").await, Ok(vec![]));
        assert_eq!(found(200, "[]").await, Ok(vec![]));
        let wrapped = r#"{"page":1,"items":[{"PublicReferenceId":"R","Event":"Validated"}]}"#;
        assert_eq!(found(200, wrapped).await.unwrap()[0].event, "Validated");
        assert!(matches!(found(200, "<html>").await, Err(Reply::Broken(_))));
        assert!(matches!(found(500, "").await, Err(Reply::Answered(_))));
    }

    #[test]
    fn only_two_events_tell_of_a_failure_in_letters_of_either_case() {
        let failure = |told: Value| Notification::parse(&told).unwrap().failure();
        let told = |event: &str, message: Value| {
            json!({ "type": "ReleaseRight", "Event": event, "PublicReferenceId": "R",
                    "id": "CSQU3054383", "message": message })
        };
        for event in ["ValidatedReleaseRight", "Released", "validated"] {
            assert_eq!(failure(told(event, json!("any"))), None);
        }
        let said = failure(told("notvalidated", json!("the B/L\n is unknown")));
        assert_eq!(said.as_deref(), Some("notvalidated: the B/L is unknown"));
        assert_eq!(failure(told("ThrownException", Value::Null)).unwrap(), "ThrownException");
        let within = json!({ "event": "NotValidated", "publicReferenceId": "r",
                             "body": { "message": "no such container" } });
        assert_eq!(failure(within).unwrap(), "NotValidated: no such container");
        let other = json!({ "event": "NotValidated", "publicReferenceId": "r",
                            "body": { "errors": ["terminalCode"] } });
        assert_eq!(failure(other).unwrap(), r#"NotValidated: {"errors":["terminalCode"]}"#);
        let long = failure(told("NotValidated", json!("é".repeat(400)))).unwrap();
        assert_eq!(long, format!("NotValidated: {}…", "é".repeat(150)));
    }

    #[test]
    fn the_container_is_found_wherever_it_stands_and_however_it_is_written() {
        let named = |fields: Value| {
            let mut told = json!({ "event": "Validated", "PublicReferenceId": "r" });
            told.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            Notification::parse(&told).unwrap().container
        };
        for fields in [
            json!({ "id": "CSQU3054383" }),
            json!({ "Id": " csqu 305438-3 " }),
            json!({ "EquipmentNumber": "CSQU3054383", "id": "4711" }),
            json!({ "id": "4711", "body": { "equipmentNumber": "CSQU3054383" } }),
            json!({ "equipmentNumber": "", "id": "CSQU3054383", "body": null }),
        ] {
            assert_eq!(named(fields.clone()).as_deref(), Some("CSQU3054383"), "{fields}");
        }
        let long = "C".repeat(33);
        for fields in [json!({}), json!({ "id": 7 }), json!({ "id": "-" }), json!({ "id": long })] {
            assert_eq!(named(fields.clone()), None, "{fields}");
        }
    }

    #[test]
    fn what_names_no_reference_or_no_event_is_no_notification() {
        let none = |told: Value| Notification::parse(&told).is_none();
        assert!(none(json!([])));
        assert!(none(json!({ "event": "Validated" })));
        assert!(none(json!({ "publicReferenceId": "r" })));
        assert!(none(json!({ "publicReferenceId": 7, "event": "Validated" })));
        assert!(none(json!({ "publicReferenceId": "x".repeat(129), "event": "Validated" })));
        let told = |text: &str| Answer { text: text.to_owned(), ..Answer::default() };
        assert_eq!(public_reference(&told("")), None);
        assert_eq!(public_reference(&told("{}")), None);
    }
}
