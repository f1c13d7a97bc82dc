//! Tests of the client against a small real server.

use std::collections::HashSet;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::json;

use super::*;
use crate::config::{Secret, SecretSource};
use crate::remote::release::{Assignee, Barge, Driver, Release};
use crate::remote::testing::{Secrets, Seen, Server, answer, test_key};

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
        stand_ins: None,
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
    assert_eq!(seen[1].body, r#"{"type":"barge","name":"Antigoon","identification":"06912345"}"#);
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
        matches!(&reply, Reply::LoginRefused(text) if text.contains("missing.pem")),
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
        let list: Vec<Value> =
            (0..250).skip(page * 100).take(100).map(|number| release(number, CONTAINER)).collect();
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
            stand_ins: None,
        };
        let error = Scr::open(&api, &Arc::default()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the SCR URL \"{url}\" is not")), "{error}");
    }
}

#[tokio::test]
async fn a_release_is_transferred_and_revoked() {
    let server = Server::always(202, "").await;
    let scr = open(&server);
    assert_eq!(scr.transfer("0xAB1", "0xC1").await, answered(202, ""));
    assert_eq!(scr.revoke("0xAB1").await, answered(202, ""));
    let seen = server.seen();
    let base = "/tmining/api/v1/releases/0xAB1";
    assert_eq!((&*seen[0].method, &seen[0].path), ("PUT", &format!("{base}/transfer")));
    assert_eq!(seen[0].body, r#"{"address":"0xC1"}"#);
    assert_eq!((&*seen[1].method, &seen[1].path), ("PUT", &format!("{base}/revoke")));
    assert_eq!(seen[1].body, "");
}

#[tokio::test]
async fn a_pin_is_read_when_it_is_asked_for() {
    for (body, pin) in [
        (r#"{"pincode":"01234"}"#, Some("01234")),
        (r#"{"pincode":12345}"#, Some("12345")),
        (r#"{"pincode":""}"#, None),
        ("{}", None),
    ] {
        let server = Server::always(200, body).await;
        let found = open(&server).pincode("0xAB1").await.unwrap();
        assert_eq!(found.as_ref().map(Secret::reveal), pin, "{body}");
        assert_eq!(paths(&server), ["/tmining/api/v1/releases/0xAB1/pincode"]);
    }
}

#[tokio::test]
async fn what_is_handed_on_of_a_release_holds_no_pin() {
    let mut told = release(1, CONTAINER);
    told["release_data"]["EncryptedPIN"] = json!("18570bfece4999db");
    told["greenLights"] = json!({ "total": "green" });
    let server = Server::start(move |_, _| {
        let told = told.to_string();
        async move { answer(200, told) }
    })
    .await;
    let document = open(&server).document("0xab1").await.unwrap().unwrap();
    let expected = json!({
        "address": "0xAB1",
        "release_data": {
            "container": { "containerNumber": CONTAINER },
            "billOfLading": { "blNumber": "BL 1" }
        },
        "greenLights": { "total": "green" }
    });
    assert_eq!(document, expected);
    assert_eq!(open(&server).document("0xAB2").await, Ok(None));
}

#[tokio::test]
async fn a_list_is_asked_for_with_what_is_set() {
    let server = Server::always(200, "[]").await;
    let query = Query {
        since: Some("2022-02-16T08:52:13.251Z".to_owned()),
        bl: Some("BL 1&2".to_owned()),
        limit: Some(7),
        page: Some(2),
        ..Query::default()
    };
    assert_eq!(open(&server).releases(&query).await, Ok(Vec::new()));
    let expected =
        "/tmining/api/v1/releases?bl=BL+1%262&since=2022-02-16T08%3A52%3A13.251Z&limit=7&page=2";
    assert_eq!(paths(&server), [expected]);
}

#[tokio::test]
async fn companies_are_invited_and_connected() {
    let body = json!([
        { "reference": "ref-1", "name": "Transporter NV", "vat": "ME1115487451",
          "address": "0xC1", "publicKey": "-----BEGIN PUBLIC KEY-----" },
        { "name": "without address" }
    ]);
    let server = Server::start(move |_, _| {
        let body = body.to_string();
        async move { answer(200, body) }
    })
    .await;
    let scr = open(&server);
    let expected = Connection {
        reference: Some("ref-1".to_owned()),
        name: "Transporter NV".to_owned(),
        vat: "ME1115487451".to_owned(),
        address: "0xC1".to_owned(),
    };
    assert_eq!(scr.connections().await, Ok(vec![expected]));
    let invitation = Invitation {
        reference: Some("clientref1".to_owned()),
        name: "Transporter NV".to_owned(),
        vat: "BE161023354".to_owned(),
        contact_email: "info@transporternv.com".to_owned(),
    };
    scr.invite(&invitation).await;
    scr.subscribe("onRelease", "https://x.example/notifications/scr/a").await;
    let seen = server.seen();
    let calls: Vec<(&str, &str)> =
        seen.iter().map(|seen| (seen.method.as_str(), seen.path.as_str())).collect();
    assert_eq!(
        calls,
        [
            ("GET", "/tmining/api/v1/connections"),
            ("POST", "/tmining/api/v1/invitations"),
            ("POST", "/tmining/api/v1/subscriptions")
        ]
    );
    assert_eq!(
        seen[1].body,
        r#"{"reference":"clientref1","name":"Transporter NV","vat":"BE161023354","contactEmail":"info@transporternv.com"}"#
    );
    assert_eq!(
        serde_json::from_str::<Value>(&seen[2].body).unwrap(),
        json!({ "eventType": "onRelease",
                "callback_url": "https://x.example/notifications/scr/a" })
    );
}
