//! Certified Pick up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

const BASE: &str = "/certified-pickup/v1";
const RIGHTS: &str = "/certified-pickup/v1/BEANR/containers/CSQU3054383/import/release-rights";

async fn open(delay_ms: u64, callback: Value) -> Port {
    let mut world = world();
    world["cpu"] = json!({
        "delay_ms": delay_ms,
        "companies": [{
            "login": "acme", "subscription_key": "acme-key", "name": "Acme NV",
            "vat": "BE0403019261", "nxt_entity_id": "NXT0001", "callback": callback
        }],
        "verdicts": [{ "contains": "BL-X", "event": "NotValidated", "message": "unknown B/L" }]
    });
    Port::of(world).await
}

fn right(bill: &str) -> Value {
    json!({ "actionType": "Accept", "portLoCode": "BEANR", "equipmentNumber": "CSQU3054383",
            "billOfLadingNumbers": [bill] })
}

async fn call(port: &Port, method: &str, path: &str, body: Value) -> (u16, Value) {
    let call = port.call(method, path).bearer_auth(port.token().await);
    let call = call.header("Ocp-Apim-Subscription-Key", "acme-key");
    let (status, body) = answer(if body.is_null() { call } else { call.json(&body) }).await;
    (status.as_u16(), body)
}

async fn stored(port: &Port, query: &str) -> Vec<Value> {
    let path = format!("{BASE}/notifications{query}");
    let (status, found) = call(port, "GET", &path, Value::Null).await;
    assert_eq!(status, 200);
    found.as_array().unwrap().clone()
}

#[tokio::test]
async fn every_documented_call_is_accepted_with_two_references() {
    let port = open(0, Value::Null).await;
    let party = |by: &str| {
        let mut body = right("BL1");
        body["actionType"] = "Assign".into();
        body["pickupParty"] = json!({ "partyType": by, "identificationType": "Tin",
                                      "identificationCode": "BE0403019261" });
        body
    };
    let mut means = right("BL1");
    means["meansOfTransport"] = "Rail".into();
    let bulk = json!({ "portLoCode": "BEANR", "actionType": "Accept",
                       "releaseRights": [right("BL1"), right("BL2")] });
    for (path, body) in [
        (RIGHTS.to_string(), right("BL1")),
        (format!("{BASE}/BEANR/containers/import/release-rights"), bulk),
        (RIGHTS.replace("release-rights", "pickup-rights"), party("Truck")),
        (format!("{BASE}/pickup-rights/barge-rail"), party("Barge")),
        (format!("{BASE}/release-rights/means-of-transport"), means),
    ] {
        let (status, told) = call(&port, "PUT", &path, body).await;
        assert_eq!(status, 202, "{path}: {told}");
        assert!(told["publicReferenceId"].is_string() && told["externalReferenceId"].is_string());
    }
    let stats = port.sandbox.stats().cpu;
    assert_eq!((stats.writes, stats.accepted, stats.by_action.len()), (5, 5, 5));
}

#[tokio::test]
async fn what_is_not_valid_is_405_or_400_by_its_call_and_told_as_problem_details() {
    let port = open(0, Value::Null).await;
    let (status, told) = call(&port, "PUT", RIGHTS, json!({ "actionType": "Fly" })).await;
    assert_eq!((status, &told["status"]), (405, &json!(405)));
    let rights = RIGHTS.replace("release-rights", "pickup-rights");
    assert_eq!(call(&port, "PUT", &rights, json!({})).await.0, 400);
    let elsewhere = RIGHTS.replace("BEANR", "NLRTM");
    assert_eq!(call(&port, "PUT", &elsewhere, right("BL1")).await.0, 405);
    assert_eq!(call(&port, "PUT", &format!("{BASE}/else"), right("BL1")).await.0, 404);
    assert_eq!(port.sandbox.stats().cpu.accepted, 0);
}

#[tokio::test]
async fn both_credentials_are_asked_for() {
    let port = open(0, Value::Null).await;
    let put = || port.call("PUT", RIGHTS).json(&right("BL1"));
    let (status, told) = answer(put().bearer_auth(port.token().await)).await;
    assert_eq!(status, 401);
    assert!(told["message"].as_str().unwrap().contains("missing subscription key"));
    let with_key = |key| put().header("Ocp-Apim-Subscription-Key", key);
    let (status, told) = answer(with_key("other").bearer_auth(port.token().await)).await;
    assert_eq!(status, 401);
    assert!(told["message"].as_str().unwrap().contains("invalid subscription key"));
    let (status, told) = answer(with_key("acme-key").bearer_auth("made-up")).await;
    assert_eq!(status, 401);
    assert!(!told["message"].as_str().unwrap().contains("subscription"));
}

#[tokio::test]
async fn verdicts_are_stored_when_their_time_has_come_and_found_by_their_reference() {
    let port = open(AN_HOUR, Value::Null).await;
    let (_, good) = call(&port, "PUT", RIGHTS, right("BL1")).await;
    let (_, bad) = call(&port, "PUT", RIGHTS, right("BL-X")).await;
    assert_eq!(stored(&port, "").await.len(), 0);
    port.sandbox.set_verdict_delay(Duration::ZERO);
    let of = |told: &Value| {
        format!("?PublicReferenceId={}", told["publicReferenceId"].as_str().unwrap())
    };
    let found = stored(&port, &of(&good)).await;
    assert_eq!((found.len(), &found[0]["event"]), (1, &json!("Validated")));
    assert_eq!(found[0]["publicReferenceId"], good["publicReferenceId"]);
    let found = stored(&port, &of(&bad)).await;
    assert_eq!(found[0]["event"], "NotValidated");
    assert_eq!(found[0]["message"], "unknown B/L");
    assert_eq!(stored(&port, "?NotificationEvent=notvalidated").await.len(), 1);
    assert_eq!(stored(&port, "?EquipmentNumber=OTHER").await.len(), 0);
}

#[tokio::test]
async fn a_call_for_several_is_told_of_at_once_or_container_by_container() {
    for (bulk, expected) in [
        ("one", vec![("", "NotValidated")]),
        ("each", vec![("C1", "Validated"), ("C2", "NotValidated")]),
    ] {
        let mut world = world();
        world["cpu"] = json!({
            "bulk": bulk,
            "companies": [{ "login": "acme", "subscription_key": "acme-key" }],
            "verdicts": [
                { "contains": "BL-X", "event": "NotValidated", "message": "unknown B/L" },
                { "contains": "C3", "event": "Validated", "delay_ms": AN_HOUR }
            ]
        });
        let port = Port::of(world).await;
        let of = |container: &str, bill: &str| json!({ "equipmentNumber": container, "billOfLadingNumbers": [bill] });
        let rights = [of("C1", "BL1"), of("C2", "BL-X"), of("C3", "BL3")];
        let body =
            json!({ "portLoCode": "BEANR", "actionType": "Accept", "releaseRights": rights });
        let path = format!("{BASE}/BEANR/containers/import/release-rights");
        let (_, told) = call(&port, "PUT", &path, body).await;
        let query = format!("?PublicReferenceId={}", told["publicReferenceId"].as_str().unwrap());
        let found = stored(&port, &query).await;
        let of = |notice: &Value, name: &str| notice[name].as_str().unwrap().to_string();
        let found: Vec<(String, String)> = found
            .iter()
            .map(|notice| (of(notice, "equipmentNumber"), of(notice, "event")))
            .collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, event)| (name.to_string(), event.to_string())).collect();
        assert_eq!(found, expected, "{bulk}");
    }
}

#[tokio::test]
async fn verdicts_are_posted_to_the_companys_receiver_with_its_headers() {
    let got: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let taken = Arc::clone(&got);
    let receiver = axum::Router::new().fallback(
        move |headers: axum::http::HeaderMap, axum::Json(body): axum::Json<Value>| async move {
            let key = headers["x-key"].to_str().unwrap().to_string();
            taken.lock().unwrap().push((key, body));
        },
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/n", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, receiver).await.unwrap() });
    let port = open(0, json!({ "url": url, "headers": { "X-Key": "s" } })).await;
    let (_, told) = call(&port, "PUT", RIGHTS, right("BL-X")).await;
    while port.sandbox.stats().cpu.posted == 0 {
        tokio::task::yield_now().await;
    }
    let got = got.lock().unwrap();
    let (key, body) = &got[0];
    assert_eq!(key, "s");
    assert_eq!(body["PublicReferenceId"], told["publicReferenceId"]);
    assert_eq!((&body["event"], &body["id"]), (&json!("NotValidated"), &json!("CSQU3054383")));
    assert_eq!(body["body"].get("actionType"), None);
}

#[tokio::test]
async fn the_phone_book_is_searched() {
    let port = open(0, Value::Null).await;
    let path = format!("{BASE}/entities?Vat=be0403019261");
    let (status, found) = call(&port, "GET", &path, Value::Null).await;
    assert_eq!((status, &found[0]["nxtEntityId"]), (200, &json!("NXT0001")));
    for query in ["Vat=X", "Eori=X", "Duns=X", "ApcsCode=X", "EntityName=X"] {
        let path = format!("{BASE}/entities?{query}");
        let (_, none) = call(&port, "GET", &path, Value::Null).await;
        assert_eq!(none, json!([]), "{query}");
    }
}
