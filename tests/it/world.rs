//! A fault of the world is not a fault of the record: a refused login, a server that is down, an
//! answer that never comes quarantine nothing and lose nothing. Once the fault is gone,
//! everything is delivered.

use std::collections::BTreeSet;

use lighterman::sandbox::{Fault, What};
use serde_json::Value;

use crate::harness::*;

const CSV: &str = "format = \"csv\"\ndelimiter = \";\"";
const QUICK: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }
batch = { records = 10, bytes = "64 KiB" }"#;

/// So that a run tries a refused channel once, however long it takes.
const SLOW: &str = r#"retry = { first = "10m", max = "10m", give_up_after = "24h" }
batch = { records = 10, bytes = "64 KiB" }"#;

/// One customer with two files of 50 sound orders each, in messages of 10.
fn acme() -> (Port, Provider) {
    let port = Port::open(Port::world(&["acme"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    provider.forwarder("acme", "orders", QUICK);
    drop_orders(&provider);
    (port, provider)
}

fn drop_orders(provider: &Provider) {
    provider.drop_file("acme", "A.csv", csv((1..=50).map(|n| format!("A{n}")), |_| false));
    provider.drop_file("acme", "B.csv", csv((1..=50).map(|n| format!("B{n}")), |_| false));
}

/// What must hold while a fault lasts: all records are open, none is set aside.
#[track_caller]
fn nothing_is_lost(provider: &Provider) {
    let status = provider.status();
    let acme = &status["customers"]["acme"];
    let count = |what: &str, state: &str| acme[what][state].as_u64().unwrap();
    assert_eq!(count("records", "quarantined") + count("files", "quarantined"), 0, "{status}");
    let all =
        ["pending", "in_flight", "deferred", "delivered"].map(|state| count("records", state));
    assert_eq!(all.iter().sum::<u64>(), 100, "{status}");
    provider.check_ledger();
}

/// What must hold in the end: every record was taken once, and the receipts say so.
#[track_caller]
fn everything_is_delivered(port: &Port, provider: &Provider) {
    let mut taken = BTreeSet::new();
    for record in sent(port, "c-acme").values().flatten() {
        let id = record["id"].as_str().unwrap().to_owned();
        assert!(taken.insert(id), "{record} came in two messages");
    }
    assert_eq!(taken.len(), 100);
    let totals = provider.totals("acme");
    assert_eq!((totals["total"], totals["delivered"]), (100, 100), "{totals:?}");
    for receipt in provider.receipts("acme").values() {
        assert!(receipt["settled"].is_string(), "{receipt}");
    }
    assert_eq!(provider.names("acme", "rejects"), [""; 0]);
    assert_eq!(provider.alarms(), [""; 0]);
    provider.check_ledger();
}

#[test]
fn a_wrong_password_is_an_alarm_and_is_tried_three_times_in_all_until_it_changes() {
    let (port, provider) = acme();
    provider.secret("acme", "not-the-password");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(provider.alarms(), ["login-refused"]);
    nothing_is_lost(&provider);
    for _ in 0..4 {
        let run = provider.run_once(&["--wait", "300ms"]);
        assert_eq!(run.code, 4, "{run}");
    }
    assert_eq!(port.stats().token.requests, 3, "three tries over all runs");
    assert_eq!(provider.alarms(), ["login-refused"]);
    nothing_is_lost(&provider);

    provider.secret("acme", "not-the-password-either");
    provider.run_once(&[]).ended(4);
    let tries = port.stats().token.requests;
    assert!((4..=6).contains(&tries), "another password is tried again, {tries} in all");
    nothing_is_lost(&provider);
    assert_eq!(port.stats().ingestion.calls, 0);

    provider.secret("acme", "acme-password");
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    everything_is_delivered(&port, &provider);
}

#[test]
fn no_secret_is_shown_when_a_login_is_refused() {
    let (_port, provider) = acme();
    provider.secret("acme", "hunter2-is-wrong");
    let run = provider.run_once(&["-vv"]);
    let status = provider.run(&["status"]);
    for text in [&run.stdout, &run.stderr, &status.stdout, &status.stderr] {
        assert!(!text.contains("hunter2") && !text.contains("builder-secret"), "{text}");
    }
}

#[test]
fn a_daemon_with_a_wrong_password_tries_it_three_times_and_goes_on_when_it_is_corrected() {
    let (port, provider) = acme();
    provider.secret("acme", "not-the-password");
    let daemon = provider.start();
    until_true("three tries", || port.stats().token.requests == 3);
    until_true("the alarm", || provider.alarms() == ["login-refused"]);
    nothing_is_lost(&provider);
    assert_eq!(port.stats().token.requests, 3);
    provider.secret("acme", "acme-password");
    until_true("the delivery", || port.stats().ingestion.records == 100);
    until_true("the settling", || provider.totals("acme").get("delivered") == Some(&100));
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(port.stats().token.requests, 4);
    everything_is_delivered(&port, &provider);
}

#[test]
fn sighup_tries_a_login_again_that_was_left_alone() {
    let (port, provider) = acme();
    provider.secret("acme", "not-the-password");
    let daemon = provider.start();
    let tried = || port.stats().token.requests;
    let is_left_alone = || {
        let status = provider.status();
        let advice = status["alarms"][0]["advice"].as_str();
        advice.is_some_and(|advice| advice.contains("left alone"))
    };
    until_true("that it is left alone", is_left_alone);
    assert_eq!(tried(), 3);
    daemon.hang_up();
    until_true("another try", || tried() > 3);
    until_true("that it is left alone again", || tried() == 6 && is_left_alone());
    nothing_is_lost(&provider);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(tried(), 6);
}

#[test]
fn servers_that_are_down_cost_nothing_but_time() {
    let (port, provider) = acme();
    let number = port.close();
    for _ in 0..3 {
        let run = provider.run_once(&["--wait", "300ms"]);
        assert_eq!(run.code, 75, "{run}");
        assert_eq!(provider.alarms(), ["unreachable"]);
        nothing_is_lost(&provider);
    }
    let port = Port::open_at(Port::world(&["acme"]), number);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    everything_is_delivered(&port, &provider);
}

#[test]
fn a_dead_token_server_costs_nothing_but_time() {
    let (port, provider) = acme();
    for what in [What::Drop, What::DropAfter] {
        port.fault(Fault::new("/connect/token", what)).unwrap();
        let run = provider.run_once(&["--wait", "300ms"]);
        assert_eq!(run.code, 75, "{run}");
        assert_eq!(provider.alarms(), ["unreachable"]);
        nothing_is_lost(&provider);
        port.clear_faults();
    }
    for status in [500, 502, 503, 429] {
        port.fault(Fault::status("/connect/token", status)).unwrap();
        let run = provider.run_once(&["--wait", "300ms"]);
        assert_eq!(run.code, 75, "{status}: {run}");
        nothing_is_lost(&provider);
        port.clear_faults();
    }
    assert_eq!(port.stats().ingestion.calls, 0);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    everything_is_delivered(&port, &provider);
}

#[test]
fn a_dead_ingestion_server_costs_nothing_but_time() {
    let (port, provider) = acme();
    for status in [408, 425, 429, 500, 502, 503, 504] {
        port.fault(Fault::status("/ingestion", status)).unwrap();
        let run = provider.run_once(&["--wait", "200ms"]);
        assert_eq!(run.code, 75, "{status}: {run}");
        nothing_is_lost(&provider);
        port.clear_faults();
    }
    port.fault(Fault::new("/ingestion", What::Drop)).unwrap();
    let run = provider.run_once(&["--wait", "200ms"]);
    assert_eq!(run.code, 75, "{run}");
    nothing_is_lost(&provider);
    assert_eq!(port.stats().ingestion.accepted, 0);
    port.clear_faults();
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    everything_is_delivered(&port, &provider);
}

#[test]
fn faults_strewn_over_a_run_cost_repeats_with_the_same_keys() {
    let (port, provider) = acme();
    port.fault(Fault::status("/ingestion", 503).every(5).times(6)).unwrap();
    port.fault(Fault::new("/ingestion", What::Drop).every(6).times(4)).unwrap();
    port.fault(Fault::new("/ingestion", What::DropAfter).every(4).times(4)).unwrap();
    port.fault(Fault::new("/connect/token", What::Drop).times(1)).unwrap();
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    everything_is_delivered(&port, &provider);
    let stats = port.stats().ingestion;
    assert_eq!(stats.distinct_keys, 10, "two files of five messages");
    assert!(stats.repeated_keys >= 1, "what was taken unheard came again: {stats:?}");
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let (port, provider) = acme();
    let channel = r#"retry = { first = "20ms", max = "5s", give_up_after = "24h" }
batch = { records = 10, bytes = "64 KiB" }
concurrency = 1"#;
    provider.forwarder("acme", "orders", channel);
    let what = What::Status {
        status: 429,
        retry_after: Some("2".to_owned()),
        body: None,
        headers: Default::default(),
    };
    port.fault(Fault::new("/ingestion", what).skip(3).times(1)).unwrap();
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    everything_is_delivered(&port, &provider);
    let calls = port.calls_to("/ingestion");
    let asked = calls.iter().position(|call| call.status == Some(429)).unwrap();
    let gap = calls[asked + 1].at.duration_since(calls[asked].answered.unwrap());
    assert!(gap.as_millis() >= 1900, "the channel rests for two seconds, not {gap:?}");
}

#[test]
fn an_unknown_channel_is_an_alarm_and_one_call_a_run() {
    let (port, provider) = acme();
    provider.forwarder("acme", "orders", SLOW);
    let path = provider.path("customers/acme.toml");
    let right = std::fs::read_to_string(&path).unwrap();
    provider.file("customers/acme.toml", right.replace("c-acme", "c-nobody"));
    for calls in 1..=3 {
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 4, "{run}");
        assert_eq!(provider.alarms(), ["channel-refused"]);
        nothing_is_lost(&provider);
        assert_eq!(port.stats().ingestion.calls, calls, "a probe a run, and no halves");
    }
    for call in port.calls_to("/ingestion") {
        let records: Vec<Value> = serde_json::from_str(&call.body.unwrap()).unwrap();
        assert_eq!(records.len(), 10, "no message is halved");
    }
    provider.file("customers/acme.toml", right);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    everything_is_delivered(&port, &provider);
}

#[test]
fn answers_that_speak_of_the_channel_are_alarms_and_nothing_is_set_aside() {
    for (status, alarm) in [
        (302, "channel-refused"),
        (401, "login-refused"),
        (403, "channel-refused"),
        (404, "channel-refused"),
        (405, "channel-refused"),
        (410, "channel-refused"),
        (415, "channel-refused"),
    ] {
        let (port, provider) = acme();
        port.fault(Fault::status("/ingestion", status)).unwrap();
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 4, "{status}: {run}");
        assert_eq!(provider.alarms(), [alarm], "{status}");
        nothing_is_lost(&provider);
        port.clear_faults();
        let run = provider.run_once(&["--wait", "30s"]);
        assert_eq!(run.code, 0, "{status}: {run}");
        everything_is_delivered(&port, &provider);
    }
}

#[test]
fn an_alarm_ends_with_the_next_run_once_nothing_waits_for_its_channel() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    provider.forwarder("acme", "orders", "batch = { records = 1 }");
    provider.drop_file("acme", "A.csv", csv((1..=20).map(|n| n.to_string()), |_| false));
    port.fault(Fault::status("/ingestion", 400)).unwrap();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(provider.alarms(), ["everything-refused"]);
    assert_eq!(provider.records("acme", "quarantined"), 20);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(provider.alarms().is_empty());
}

#[test]
fn a_wrong_subscription_key_is_an_alarm_of_its_own() {
    let mut world = Port::world(&["acme"]);
    world.channels[0].subscription_key = Some("the-right-key".to_owned());
    let port = Port::open(world);
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    provider.forwarder("acme", "orders", QUICK);
    let path = provider.path("customers/acme.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace(
        "[logins.own]",
        "[logins.own]\nsubscription_key = { file = \"../secrets/acme-key\" }",
    );
    provider.file("customers/acme.toml", text);
    provider.secret("acme-key", "a-wrong-key");
    drop_orders(&provider);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(provider.alarms(), ["subscription-key"]);
    nothing_is_lost(&provider);
    provider.secret("acme-key", "the-right-key");
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    everything_is_delivered(&port, &provider);
}

#[test]
fn an_expired_token_is_renewed_once_and_nothing_waits() {
    let (port, provider) = acme();
    port.fault(Fault::new("/ingestion", What::ExpireToken).skip(4).times(1)).unwrap();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    everything_is_delivered(&port, &provider);
    let stats = port.stats();
    assert_eq!(stats.token.issued["acme"], 2, "the first, and one renewal for all who wait");
    let refused: Vec<_> =
        port.calls_to("/ingestion").into_iter().filter(|call| call.status == Some(401)).collect();
    for call in &refused {
        let key = &call.headers["idempotency-key"];
        assert!(sent(&port, "c-acme").contains_key(key), "the repeat has the same key");
    }
}

#[test]
fn a_customer_in_trouble_does_not_hold_up_another() {
    let port = Port::open(Port::world(&["acme", "zeta"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    provider.forwarder("acme", "orders", QUICK);
    provider.forwarder("zeta", "orders", QUICK);
    provider.secret("acme", "not-the-password");
    drop_orders(&provider);
    provider.drop_file("zeta", "Z.csv", csv((1..=50).map(|n| format!("Z{n}")), |_| false));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    nothing_is_lost(&provider);
    assert_eq!(provider.receipt("zeta", "Z.csv")["records"]["delivered"], 50);
    assert_eq!(port.stats().ingestion.by_channel["c-acme"].calls, 0);
}
