//! A client for one customer's NxtPort ingestion channel ("Sharing data with NxtPort
//! International over HTTPS"): one POST a message.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, bail};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Url};

use super::bearer::{Bearer, SUBSCRIPTION_KEY};
use super::http::{Clients, TEXT_LIMIT};
use super::oauth2::Tokens;
use crate::config::{IngestionChannel, MessageType};
use crate::model::Reply;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// An ingestion channel, ready to be posted to.
pub struct Ingestion {
    bearer: Bearer,
    url: Url,
    headers: HeaderMap,
}

impl Ingestion {
    /// Prepares a channel. No secret is read yet and nothing is sent.
    pub fn open(
        channel: &IngestionChannel,
        clients: &Arc<Clients>,
        tokens: Arc<Tokens>,
    ) -> anyhow::Result<Ingestion> {
        let IngestionChannel { login, ca, timeout, .. } = channel;
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
        let bearer = Bearer::open(clients, tokens, login, &url, ca.as_deref(), *timeout)?;
        Ok(Ingestion { bearer, url, headers })
    }

    /// Posts one message, and repeats it once with the same key where the token was refused.
    pub async fn post(&self, key: &str, body: impl Into<Body>) -> Reply {
        let request = self
            .bearer
            .client()
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(IDEMPOTENCY_KEY, key)
            .body(body);
        match self.bearer.send(request, TEXT_LIMIT).await {
            Ok(received) => Reply::Answered(received.answer()),
            Err(reply) => reply,
        }
    }

    /// Forgets what was read from secrets, so that they are read anew, and the certificate.
    pub fn reload(&self) {
        self.bearer.reload();
    }
}

impl fmt::Debug for Ingestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingestion").field("login", &self.bearer.login.id).finish_non_exhaustive()
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::testing::{Secrets, Seen, Server, answer, raw_server, token};
    use super::*;
    use crate::config::Login;
    use crate::model::Answer;

    const MISSING_KEY: &str = r#"{"statusCode":401,"message":"Access denied due to missing subscription key. Make sure to include it."}"#;

    fn channel(url: &str, login: Login) -> IngestionChannel {
        IngestionChannel {
            url: format!("{url}/ingestion/0af3"),
            login,
            media_type: "application/json".to_owned(),
            message_type: MessageType::Header("messageType".to_owned(), "ReleaseOrder".to_owned()),
            headers: vec![("X-Partner".to_owned(), "acme".to_owned())],
            batch_records: 500,
            batch_bytes: 1 << 20,
            concurrency: 4,
            timeout: Duration::from_secs(60),
            answers: BTreeMap::new(),
            ca: None,
        }
    }

    fn open(channel: &IngestionChannel) -> Ingestion {
        let clients = Arc::new(Clients::new());
        Ingestion::open(channel, &clients, Arc::new(Tokens::new(Arc::clone(&clients)))).unwrap()
    }

    /// The error of a channel that cannot be opened.
    fn error(channel: &IngestionChannel) -> String {
        let clients = Arc::new(Clients::new());
        let tokens = Arc::new(Tokens::new(Arc::clone(&clients)));
        format!("{:#}", Ingestion::open(channel, &clients, tokens).unwrap_err())
    }

    fn answered(status: u16, text: &str) -> Reply {
        Reply::Answered(Answer { status, retry_after: None, text: text.to_owned() })
    }

    /// A token server (`token-0`, `token-1`, …) and a channel in one; the channel's answers come
    /// from a function of the message.
    async fn server(
        message: impl Fn(&Seen) -> axum::response::Response + Clone + Send + Sync + 'static,
    ) -> Server {
        Server::start(move |number, seen| {
            let message = message.clone();
            async move {
                match seen.path.as_str() {
                    "/token" => token(&format!("token-{number}"), 3600),
                    _ => message(&seen),
                }
            }
        })
        .await
    }

    fn messages(server: &Server) -> Vec<Seen> {
        server.seen().into_iter().filter(|seen| seen.path != "/token").collect()
    }

    fn login(server: &Server, files: &Secrets) -> Login {
        files.client_login(&format!("{}/token", server.url))
    }

    #[tokio::test]
    async fn a_message_is_posted_as_agreed() {
        let (server, files) = (server(|_| answer(202, "taken")).await, Secrets::new());
        let login = Login {
            subscription_key: Some(files.file("key", "sub-key\n")),
            ..login(&server, &files)
        };
        let ingestion = open(&channel(&server.url, login));
        let reply = ingestion.post("k-1", br#"[{"a":"01700"}]"#.to_vec()).await;
        assert_eq!(reply, answered(202, "taken"));
        let seen = &messages(&server)[0];
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/ingestion/0af3"));
        assert_eq!(seen.body, r#"[{"a":"01700"}]"#);
        for (name, value) in [
            ("authorization", "Bearer token-0"),
            ("content-type", "application/json"),
            ("messagetype", "ReleaseOrder"),
            ("idempotency-key", "k-1"),
            ("ocp-apim-subscription-key", "sub-key"),
            ("x-partner", "acme"),
        ] {
            assert_eq!(seen.header(name), value, "{name}");
            assert_eq!(seen.headers.get_all(name).iter().count(), 1, "{name}");
        }
    }

    #[tokio::test]
    async fn the_message_type_can_stand_in_the_query_or_nowhere() {
        let (server, files) = (server(|_| answer(200, "")).await, Secrets::new());
        for message_type in [
            MessageType::Query("messageType".to_owned(), "Release Order".to_owned()),
            MessageType::None,
        ] {
            let channel =
                IngestionChannel { message_type, ..channel(&server.url, login(&server, &files)) };
            open(&channel).post("k", "{}").await;
        }
        let paths: Vec<String> = messages(&server).into_iter().map(|seen| seen.path).collect();
        assert_eq!(paths, ["/ingestion/0af3?messageType=Release+Order", "/ingestion/0af3"]);
        assert!(messages(&server).iter().all(|seen| seen.header("messagetype").is_empty()));
    }

    #[tokio::test]
    async fn a_401_leads_to_one_new_token_and_one_repeat_with_the_same_key() {
        let server = server(|seen| match seen.header("authorization") {
            "Bearer token-0" => answer(401, "expired"),
            _ => answer(200, "ok"),
        })
        .await;
        let files = Secrets::new();
        let ingestion = open(&channel(&server.url, login(&server, &files)));
        assert_eq!(ingestion.post("k-1", "{}").await, answered(200, "ok"));
        assert_eq!(ingestion.post("k-2", "{}").await, answered(200, "ok"));
        let found: Vec<(String, String, String)> = messages(&server)
            .iter()
            .map(|seen| {
                let header = |name| seen.header(name).to_owned();
                (header("authorization"), header("idempotency-key"), seen.body.clone())
            })
            .collect();
        let expected = [
            ("Bearer token-0", "k-1", "{}"),
            ("Bearer token-2", "k-1", "{}"),
            ("Bearer token-2", "k-2", "{}"),
        ];
        let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_second_401_is_the_answer() {
        let (server, files) = (server(|_| answer(401, "no")).await, Secrets::new());
        let ingestion = open(&channel(&server.url, login(&server, &files)));
        assert_eq!(ingestion.post("k", "{}").await, answered(401, "no"));
        assert_eq!(server.seen().len(), 4, "two tokens, two attempts");
    }

    #[tokio::test]
    async fn a_401_that_speaks_of_the_subscription_key_needs_no_new_token() {
        let (server, files) = (server(|_| answer(401, MISSING_KEY)).await, Secrets::new());
        let ingestion = open(&channel(&server.url, login(&server, &files)));
        assert_eq!(ingestion.post("k", "{}").await, answered(401, MISSING_KEY));
        assert_eq!(server.seen().len(), 2, "one token, one attempt");
    }

    #[tokio::test]
    async fn a_refused_subscription_key_is_read_anew() {
        let server = server(|seen| match seen.header("ocp-apim-subscription-key") {
            "new" => answer(200, ""),
            _ => answer(401, MISSING_KEY),
        })
        .await;
        let files = Secrets::new();
        let login =
            Login { subscription_key: Some(files.file("key", "old")), ..login(&server, &files) };
        let ingestion = open(&channel(&server.url, login));
        assert_eq!(ingestion.post("k", "{}").await, answered(401, MISSING_KEY));
        files.file("key", "new");
        assert_eq!(ingestion.post("k", "{}").await, answered(200, ""));
    }

    #[tokio::test]
    async fn a_refused_login_and_one_not_to_be_had_are_told_apart() {
        let files = Secrets::new();
        let refusing = Server::always(400, r#"{"error":"invalid_grant"}"#).await;
        let reply = open(&channel(&refusing.url, login(&refusing, &files))).post("k", "{}").await;
        let expected = "login acme/nxtport: the token server refused the login: HTTP 400, \
                        invalid_grant";
        assert_eq!(reply, Reply::LoginRefused(expected.to_owned()));
        assert!(messages(&refusing).is_empty());

        let down = Server::always(503, "").await;
        let reply = open(&channel(&down.url, login(&down, &files))).post("k", "{}").await;
        assert!(matches!(&reply, Reply::NoLogin(text) if text.contains("503")), "{reply:?}");

        let missing =
            Login { subscription_key: Some(files.file("key", "")), ..login(&down, &files) };
        let reply = open(&channel(&down.url, missing)).post("k", "{}").await;
        let why = "login acme/nxtport, subscription key: the secret in file";
        assert!(matches!(&reply, Reply::NoLogin(text) if text.starts_with(why)), "{reply:?}");
    }

    #[tokio::test]
    async fn a_login_refused_between_401_and_repeat_is_the_reply() {
        let server = Server::start(|number, _| async move {
            match number {
                0 => token("first", 3600),
                1 => answer(401, "expired"),
                _ => answer(400, r#"{"error":"invalid_grant"}"#),
            }
        })
        .await;
        let files = Secrets::new();
        let reply = open(&channel(&server.url, login(&server, &files))).post("k", "{}").await;
        assert!(matches!(reply, Reply::LoginRefused(_)), "{reply:?}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_timed_out() {
        let server = Server::start(|number, _| async move {
            if number > 0 {
                std::future::pending::<()>().await;
            }
            token("first", 3600)
        })
        .await;
        let files = Secrets::new();
        let channel = IngestionChannel {
            timeout: Duration::from_millis(50),
            ..channel(&server.url, login(&server, &files))
        };
        assert_eq!(open(&channel).post("k", "{}").await, Reply::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_dropped_after_the_request_is_told_apart() {
        let (server, files) = (server(|_| answer(200, "")).await, Secrets::new());
        let channel = channel(&raw_server(b"").await, login(&server, &files));
        let reply = open(&channel).post("k", "{}").await;
        assert!(matches!(reply, Reply::Lost(_)), "{reply:?}");
    }

    #[tokio::test]
    async fn what_a_server_echoes_shows_no_secret() {
        let server = server(|seen| {
            let headers = ["authorization", "ocp-apim-subscription-key"];
            answer(500, headers.map(|name| seen.header(name)).join(" and "))
        })
        .await;
        let files = Secrets::new();
        let login = Login {
            subscription_key: Some(files.file("key", "sub-key")),
            ..login(&server, &files)
        };
        let ingestion = open(&channel(&server.url, login));
        assert_eq!(ingestion.post("k", "{}").await, answered(500, "Bearer *** and ***"));
        assert_eq!(format!("{ingestion:?}"), "Ingestion { login: \"acme/nxtport\", .. }");
    }

    #[test]
    fn a_channel_that_cannot_be_spoken_to_is_explained() {
        let files = Secrets::new();
        let good = channel("http://127.0.0.1:9", files.client_login("http://127.0.0.1:9/token"));
        let header = |name: &str, value: &str| IngestionChannel {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..good.clone()
        };
        let no_url = IngestionChannel { url: "ingestion/0af3".to_owned(), ..good.clone() };
        assert!(error(&no_url).contains("the ingestion URL \"ingestion/0af3\" is not valid"));
        assert!(error(&header("X Y", "a")).contains("\"X Y\" cannot be the name of a header"));
        assert!(error(&header("X-Y", "a\nb")).contains("the value of \"X-Y\" cannot stand"));
        assert!(error(&header("Authorization", "a")).contains("is set for every message"));
    }
}
