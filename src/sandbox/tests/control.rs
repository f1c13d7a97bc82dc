//! The `/_` routes, for other processes.

use super::*;

async fn control(port: &Port, method: &str, path: &str, body: Value) -> (u16, Value) {
    let call = port.call(method, path);
    let (status, body) = answer(if body.is_null() { call } else { call.json(&body) }).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn the_log_is_read_from_a_number_on_and_by_path() {
    let port = Port::open().await;
    for path in ["/ingestion/a", "/ingestion/b", "/other", "/ingestion/c"] {
        answer(port.call("POST", path)).await;
    }
    let paths = async |query: &str| {
        let (_, log) = control(&port, "GET", &format!("/_log{query}"), Value::Null).await;
        let calls: Vec<Call> = serde_json::from_value(log).unwrap();
        calls.into_iter().map(|call| call.path).collect::<Vec<_>>()
    };
    assert_eq!(paths("").await.len(), 4);
    assert_eq!(paths("?since=2").await, ["/other", "/ingestion/c"]);
    assert_eq!(paths("?since=1&path=/ingestion").await, ["/ingestion/b", "/ingestion/c"]);
    assert_eq!(control(&port, "DELETE", "/_log", Value::Null).await.0, 204);
    assert!(paths("").await.is_empty());
    answer(port.call("POST", "/other")).await;
    assert_eq!(port.sandbox.calls()[0].seq, 5);
}

#[tokio::test]
async fn the_log_as_json_has_rfc_3339_times_and_plain_values() {
    let port = Port::open().await;
    answer(port.call("POST", "/ingestion/a?x=1").body("hello")).await;
    let (_, log) = control(&port, "GET", "/_log", Value::Null).await;
    let call = &log[0];
    assert!(call["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&call["seq"], &call["open_at_start"]), (&json!(1), &json!(1)));
    assert_eq!((&call["status"], &call["body"]), (&json!(401), &json!("hello")));
}

#[tokio::test]
async fn control_calls_are_neither_logged_nor_struck() {
    let port = Port::open().await;
    port.sandbox.fault(Fault::status("/", 503)).unwrap();
    assert_eq!(control(&port, "GET", "/_stats", Value::Null).await.0, 200);
    assert!(port.sandbox.calls().is_empty());
}

#[tokio::test]
async fn the_stats_over_http_are_those_of_the_process() {
    let port = Port::open().await;
    let token = port.token().await;
    answer(port.call("POST", "/ingestion/c-acme").bearer_auth(token)).await;
    let (_, stats) = control(&port, "GET", "/_stats", Value::Null).await;
    assert_eq!(stats["ingestion"]["by_channel"]["c-acme"]["accepted"], 1);
    assert_eq!(serde_json::from_value::<Stats>(stats).unwrap(), port.sandbox.stats());
}

#[tokio::test]
async fn faults_are_set_one_by_one_or_as_a_list_and_cleared() {
    let port = Port::open().await;
    let one = json!({ "path": "/a", "times": 1, "what": { "status": 418 } });
    let two = json!({ "path": "/b", "what": { "status": 503 } });
    assert_eq!(control(&port, "POST", "/_faults", one.clone()).await.0, 204);
    assert_eq!(control(&port, "POST", "/_faults", json!([one, two])).await.0, 204);
    assert_eq!(answer(port.call("GET", "/a")).await.0, 418);
    let (_, shown) = control(&port, "GET", "/_faults", Value::Null).await;
    assert_eq!(shown.as_array().unwrap().len(), 3);
    assert_eq!((&shown[0]["seen"], &shown[0]["struck"]), (&json!(1), &json!(1)));
    assert_eq!(control(&port, "DELETE", "/_faults", Value::Null).await.0, 204);
    assert_eq!(answer(port.call("GET", "/b")).await.0, 404);
}

#[tokio::test]
async fn a_list_with_a_faulty_fault_sets_none_of_them() {
    let port = Port::open().await;
    let good = json!({ "path": "/a", "what": { "status": 503 } });
    for (bad, why) in [
        (json!({ "path": "/a", "what": { "status": 42 } }), "200 to 599"),
        (json!({ "path": "/a", "what": {} }), "exactly one of"),
        (json!({ "path": "/a", "time": 1, "what": { "drop": true } }), "time"),
    ] {
        let (status, body) = control(&port, "POST", "/_faults", json!([good, bad])).await;
        assert_eq!(status, 400);
        assert!(body["error"].as_str().unwrap().contains(why), "{body}");
    }
    assert_eq!(answer(port.call("GET", "/a")).await.0, 404);
}

#[tokio::test]
async fn a_new_world_replaces_the_old_one_and_its_counts() {
    let port = Port::open().await;
    let token = port.token().await;
    let mut new = world();
    new["channels"] = json!([{ "id": "c-new", "login": "acme" }]);
    new["scr"][0]["path"] = json!("/wallet-b");
    assert_eq!(control(&port, "PUT", "/_world", new.clone()).await.0, 204);
    let stats = port.sandbox.stats();
    assert_eq!((stats.token.requests, stats.scr.len()), (0, 1));
    let call = port.call("POST", "/ingestion/c-new").bearer_auth(token);
    assert_eq!(answer(call).await.0, 401);
    let call = port.call("POST", "/ingestion/c-new").bearer_auth(port.token().await);
    assert_eq!(answer(call).await.0, 202);
    assert_eq!(answer(port.call("GET", "/wallet-b/releases/0xAa01")).await.0, 200);
    assert_eq!(port.sandbox.calls().len(), 5);
    new["channels"][0]["login"] = json!("nobody");
    let (status, body) = control(&port, "PUT", "/_world", new).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("nobody"), "{body}");
    let (status, body) = control(&port, "PUT", "/_world", json!({ "channel": [] })).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("unknown field"), "{body}");
}

#[tokio::test]
async fn a_world_of_ten_thousand_releases_is_taken() {
    let port = Port::open().await;
    let mut new = world();
    new["scr"][0]["releases"] = (0..30_000)
        .map(
            |n| json!({ "address": format!("0x{n:040}"), "container": format!("C{n}"), "bl": "B" }),
        )
        .collect();
    assert_eq!(control(&port, "PUT", "/_world", new).await.0, 204);
    let call = port.call("GET", &format!("{SCR}/releases?container=C29999"));
    let (_, found) = answer(call).await;
    assert_eq!(found.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_is_assigned_now_can_be_asked() {
    let port = Port::open().await;
    let driver =
        json!({ "type": "driver", "firstName": "J", "lastName": "P", "identification": "A1" });
    port.scr("PUT", "/releases/0xAa01/assign", driver).await;
    let query = format!("/_scr?path={SCR}&address=0xAA01");
    let (status, state) = control(&port, "GET", &query, Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(
        state["assigned"],
        json!({ "type": "driver", "firstName": "J", "lastName": "P", "identification": "A1" })
    );
    assert_eq!(state["history"][0]["action"], "assign");
    assert_eq!(
        Some(serde_json::from_value::<ReleaseState>(state).unwrap()),
        port.sandbox.release(SCR, "0xaa01")
    );
    let (status, _) = control(&port, "GET", "/_scr?path=/x&address=0xAA01", Value::Null).await;
    assert_eq!(status, 404);
    let query = format!("/_scr?path={SCR}&address=0xZ");
    assert_eq!(control(&port, "GET", &query, Value::Null).await.0, 404);
}
