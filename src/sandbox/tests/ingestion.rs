//! The ingestion channels.

use super::*;

/// Posts as acme to its own channel.
async fn post(port: &Port, token: &str, key: &str, media_type: &str, body: &str) -> u16 {
    let call = port.call("POST", "/ingestion/c-acme").bearer_auth(token);
    let call = call.header("idempotency-key", key).header("content-type", media_type);
    answer(call.body(body.to_string())).await.0.as_u16()
}

#[tokio::test]
async fn a_message_is_taken_with_202_and_json() {
    let port = Port::open().await;
    let call = port.call("POST", "/ingestion/c-acme").bearer_auth(port.token().await);
    let (status, body) = answer(call.json(&json!([{}, {}]))).await;
    assert_eq!(status, 202);
    assert_eq!(body, json!({ "status": "accepted", "records": 2, "repeated": false }));
}

#[tokio::test]
async fn without_a_valid_token_it_is_401_and_does_not_speak_of_a_subscription_key() {
    let port = Port::open().await;
    for call in [
        port.call("POST", "/ingestion/c-acme"),
        port.call("POST", "/ingestion/c-acme").bearer_auth("made-up"),
        port.call("POST", "/ingestion/c-acme").basic_auth("acme", Some("acme-password")),
    ] {
        let (status, body) = answer(call).await;
        assert_eq!((status.as_u16(), body["statusCode"].as_u64()), (401, Some(401)));
        assert!(!body["message"].as_str().unwrap().contains("subscription"));
    }
    assert_eq!(port.sandbox.stats().ingestion.accepted, 0);
}

#[tokio::test]
async fn a_missing_or_wrong_subscription_key_is_401_in_the_words_of_azure() {
    let port = Port::open().await;
    let (_, login) = port
        .log_in(
            "grant_type=password&client_id=builder&client_secret=builder-secret\
             &username=zeta&password=zeta%2Bpassword+%26%25",
        )
        .await;
    let token = login["access_token"].as_str().unwrap();
    let call = || port.call("POST", "/ingestion/c-zeta").bearer_auth(token);
    let (status, body) = answer(call()).await;
    assert_eq!(status, 401);
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("Access denied due to missing subscription key."), "{message}");
    let (status, body) = answer(call().header("Ocp-Apim-Subscription-Key", "wrong")).await;
    assert_eq!(status, 401);
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("Access denied due to invalid subscription key."), "{message}");
    assert_eq!(answer(call().header("Ocp-Apim-Subscription-Key", "zeta-key")).await.0, 202);
}

#[tokio::test]
async fn an_unknown_channel_is_404_and_another_logins_channel_403() {
    let port = Port::open().await;
    let token = port.token().await;
    let post = |path| answer(port.call("POST", path).bearer_auth(&token));
    assert_eq!(post("/ingestion/c-nobody").await.0, 404);
    assert_eq!(post("/ingestion").await.0, 404);
    assert_eq!(post("/ingestion/c-machine").await.0, 403);
    assert_eq!(answer(port.call("GET", "/ingestion/c-acme").bearer_auth(&token)).await.0, 405);
    let ingestion = port.sandbox.stats().ingestion;
    assert_eq!((ingestion.calls, ingestion.accepted), (4, 0));
    assert_eq!(ingestion.by_channel["c-machine"].calls, 1);
}

#[tokio::test]
async fn an_unparsable_body_is_400_and_names_the_place() {
    let port = Port::open().await;
    let call = port.call("POST", "/ingestion/c-acme").bearer_auth(port.token().await);
    let call = call.header("content-type", "Application/JSON; charset=utf-8").body("[1,");
    let (status, body) = answer(call).await;
    assert_eq!((status.as_u16(), body["error"].as_str()), (400, Some("invalid message")));
    assert!(body["extraInfo"][0].as_str().unwrap().contains("line 1 column 3"), "{body}");
}

#[tokio::test]
async fn repeated_keys_are_taken_and_counted_and_their_records_are_not() {
    let port = Port::open().await;
    let token = port.token().await;
    let json = "application/json";
    assert_eq!(post(&port, &token, "k1", json, "[1,2,3]").await, 202);
    assert_eq!(post(&port, &token, "k2", json, "[1,2]").await, 202);
    assert_eq!(post(&port, &token, "k1", json, "[1,2,3]").await, 202);
    assert_eq!(post(&port, &token, "k1", json, "[1,2,4,5]").await, 202);
    assert_eq!(post(&port, &token, "k3", "application/x-ndjson", "{}\n{}\n").await, 202);
    assert_eq!(post(&port, &token, "k4", json, "{\"a\":[1,2]}").await, 202);
    assert_eq!(post(&port, &token, "k5", "text/csv", "a\n1\n2\n").await, 202);
    assert_eq!(post(&port, &token, "k6", json, "[").await, 400);
    let ingestion = port.sandbox.stats().ingestion;
    let expected = ChannelStats {
        calls: 8,
        accepted: 7,
        distinct_keys: 5,
        repeated_keys: 2,
        conflicting_keys: 1,
        without_key: 0,
        records: 3 + 2 + 2 + 1 + 1,
        highest_open: 1,
    };
    assert_eq!(ingestion.by_channel["c-acme"], expected);
    assert_eq!((ingestion.distinct_keys, ingestion.records), (5, 9));
    assert_eq!((ingestion.repeated_keys, ingestion.conflicting_keys), (2, 1));
}

#[tokio::test]
async fn a_message_without_a_key_counts_for_itself() {
    let port = Port::open().await;
    let token = port.token().await;
    for _ in 0..2 {
        let call = port.call("POST", "/ingestion/c-acme").bearer_auth(&token);
        assert_eq!(answer(call.json(&json!([1, 2]))).await.0, 202);
    }
    let ingestion = port.sandbox.stats().ingestion;
    assert_eq!((ingestion.without_key, ingestion.distinct_keys, ingestion.records), (2, 0, 4));
}

#[tokio::test]
async fn a_large_message_is_taken_whole() {
    let port = Port::open().await;
    let token = port.token().await;
    let body = format!("[{}1]", "\"0123456789\",".repeat(400_000));
    assert_eq!(post(&port, &token, "big", "application/json", &body).await, 202);
    assert_eq!(port.sandbox.stats().ingestion.records, 400_001);
    assert_eq!(port.sandbox.calls()[1].body_bytes, body.len() as u64);
}

#[tokio::test]
async fn the_log_tells_a_call_as_it_came_in() {
    let port = Port::open().await;
    let token = port.token().await;
    let path = "/ingestion/c-acme?messageType=ReleaseOrder";
    let call = port.call("POST", path).bearer_auth(&token).header("X-Extra", "1");
    answer(call.json(&json!([{ "name": "Müller" }]))).await;
    let calls = port.sandbox.calls();
    let call = &calls[1];
    assert_eq!((call.seq, call.open_at_start, call.status), (2, 1, Some(202)));
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/ingestion/c-acme"));
    assert_eq!(call.query, "messageType=ReleaseOrder");
    assert_eq!(call.headers["content-type"], "application/json");
    assert_eq!(call.headers["x-extra"], "1");
    assert_eq!(call.body.as_deref(), Some("[{\"name\":\"Müller\"}]"));
    assert_eq!(call.login.as_deref(), Some("acme"));
    assert!(call.answered.unwrap() >= call.at);
}
