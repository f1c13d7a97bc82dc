//! Faults, as a caller meets them.

use super::*;

const CHANNEL: &str = "/ingestion/c-acme";

fn post(port: &Port, token: &str) -> RequestBuilder {
    let call = port.call("POST", CHANNEL).bearer_auth(token);
    call.header("idempotency-key", "k1").json(&json!([1]))
}

#[tokio::test]
async fn a_status_is_answered_without_working_the_call() {
    let port = Port::open().await;
    let token = port.token().await;
    let what = What::Status {
        status: 503,
        retry_after: Some("2".into()),
        body: Some("{\"why\":\"maintenance\"}".into()),
        headers: Default::default(),
    };
    port.sandbox.fault(Fault::new("/ingestion/", what).times(1)).unwrap();
    let response = post(&port, &token).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.text().await.unwrap(), "{\"why\":\"maintenance\"}");
    assert_eq!(port.sandbox.stats().ingestion.accepted, 0);
    assert_eq!(answer(post(&port, &token)).await.0, 202);
    let calls = port.sandbox.calls();
    assert_eq!((calls[1].fault.as_deref(), calls[1].status), (Some("status"), Some(503)));
    assert_eq!((calls[2].fault.as_deref(), calls[2].status), (None, Some(202)));
}

#[tokio::test]
async fn a_dropped_call_is_a_connection_fault_and_was_not_worked() {
    let port = Port::open().await;
    let token = port.token().await;
    port.sandbox.fault(Fault::new("/ingestion", What::Drop).times(2)).unwrap();
    for _ in 0..2 {
        let error = post(&port, &token).send().await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    }
    assert_eq!(port.sandbox.stats().ingestion.accepted, 0);
    assert_eq!(answer(post(&port, &token)).await.0, 202);
    let ingestion = port.sandbox.stats().ingestion;
    assert_eq!((ingestion.calls, ingestion.accepted, ingestion.repeated_keys), (3, 1, 0));
    let call = &port.sandbox.calls()[1];
    assert_eq!((call.fault.as_deref(), call.status), (Some("drop"), None));
}

#[tokio::test]
async fn a_call_dropped_after_its_work_is_a_connection_fault_and_was_worked() {
    let port = Port::open().await;
    let token = port.token().await;
    port.sandbox.fault(Fault::new("/ingestion", What::DropAfter).times(1)).unwrap();
    post(&port, &token).send().await.unwrap_err();
    assert_eq!(answer(post(&port, &token)).await.0, 202);
    let ingestion = port.sandbox.stats().ingestion;
    assert_eq!((ingestion.calls, ingestion.accepted, ingestion.repeated_keys), (2, 2, 1));
}

#[tokio::test]
async fn a_drop_ends_one_connection_and_no_other() {
    let port = Port::open().await;
    let token = port.token().await;
    port.sandbox.fault(Fault::new("/ingestion", What::DelayMs(AN_HOUR)).times(1)).unwrap();
    port.sandbox.fault(Fault::new("/ingestion", What::Drop).times(1)).unwrap();
    let slow = tokio::spawn(post(&port, &token).send());
    until(|| port.sandbox.calls().len() == 2).await;
    post(&port, &token).send().await.unwrap_err();
    port.sandbox.clear_faults();
    assert_eq!(slow.await.unwrap().unwrap().status(), 202);
}

#[tokio::test]
async fn a_delayed_call_is_then_answered_as_ever() {
    let port = Port::open().await;
    let token = port.token().await;
    port.sandbox.fault(Fault::new("/ingestion", What::DelayMs(30)).times(1)).unwrap();
    let start = std::time::Instant::now();
    assert_eq!(answer(post(&port, &token)).await.0, 202);
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn a_delayed_message_is_taken_though_its_caller_has_gone() {
    let port = Port::open().await;
    let token = port.token().await;
    port.sandbox.fault(Fault::new("/ingestion", What::DelayMs(AN_HOUR)).times(1)).unwrap();
    let busy = || json!(port.sandbox.hub.faults.shown())[0]["struck"] == 1;
    leave(post(&port, &token), busy).await;
    assert_eq!(port.sandbox.stats().ingestion.accepted, 0);
    port.sandbox.clear_faults();
    until(|| port.sandbox.stats().ingestion.accepted == 1).await;
    assert_eq!(answer(post(&port, &token)).await.0, 202);
    assert_eq!(port.sandbox.stats().ingestion.repeated_keys, 1);
}

#[tokio::test]
async fn an_expired_token_stays_expired_and_a_new_one_works() {
    let port = Port::open().await;
    let token = port.token().await;
    port.sandbox.fault(Fault::new("/ingestion", What::ExpireToken).times(1)).unwrap();
    assert_eq!(answer(post(&port, &token)).await.0, 401);
    assert_eq!(answer(post(&port, &token)).await.0, 401);
    let renewed = port.token().await;
    assert_eq!(answer(post(&port, &renewed)).await.0, 202);
}

#[tokio::test]
async fn a_redirect_can_name_its_place() {
    let port = Port::open().await;
    let fault = json!({
        "path": "/ingestion",
        "what": { "status": 302, "headers": { "Location": "/ingestion/elsewhere" } },
    });
    port.sandbox.fault(serde_json::from_value(fault).unwrap()).unwrap();
    let policy = reqwest::redirect::Policy::none();
    let http = Client::builder().no_proxy().redirect(policy).build().unwrap();
    let url = format!("{}{CHANNEL}", port.sandbox.url());
    let response = http.post(url).send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "/ingestion/elsewhere");
}

#[tokio::test]
async fn an_scr_write_that_was_struck_is_counted_but_not_carried_out() {
    let port = Port::open().await;
    let path = format!("{SCR}/releases/*/unassign");
    port.sandbox.fault(Fault::status(&path, 503).times(1)).unwrap();
    port.sandbox.fault(Fault::new(&path, What::DropAfter).times(1)).unwrap();
    let unassign = || port.call("PUT", &format!("{SCR}/releases/0xAa01/unassign"));
    assert_eq!(answer(unassign()).await.0, 503);
    assert!(port.sandbox.release(SCR, "0xAa01").unwrap().history.is_empty());
    unassign().send().await.unwrap_err();
    assert_eq!(port.sandbox.release(SCR, "0xAa01").unwrap().history.len(), 1);
    let scr = &port.sandbox.stats().scr[SCR];
    assert_eq!((scr.writes, scr.accepted, scr.highest_open, scr.overlapping), (2, 1, 1, 0));
}

#[tokio::test]
async fn the_token_server_can_fail_too() {
    let port = Port::open().await;
    port.sandbox.fault(Fault::new("/connect", What::Drop)).unwrap();
    form_call(&port, FORM).send().await.unwrap_err();
    port.sandbox.clear_faults();
    assert_eq!(port.log_in(FORM).await.0, 200);
    let token = port.sandbox.stats().token;
    assert_eq!((token.requests, token.refused), (2, 0));
}
