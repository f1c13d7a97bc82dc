//! HTTP as the servers see it (design, section 4.4): token calls, the headers of a message, and
//! what every answer does to message and channel.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::contract_fake::*;
use crate::contract_shop::*;

#[test]
fn a_password_token_call_is_a_form_with_exactly_these_fields() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let calls = fake.to("/connect/token");
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!(call.method, "POST");
    assert_eq!(call.header("content-type"), "application/x-www-form-urlencoded");
    let fields = [
        ("grant_type", "password"),
        ("client_id", "builder"),
        ("client_secret", CLIENT_SECRET),
        ("scope", "openid"),
        ("username", "api@acme.example"),
        ("password", PASSWORD),
    ];
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(call.form(), fields.collect());
    assert_eq!(call.header("authorization"), "");
}

#[test]
fn a_client_credentials_token_call_has_no_user_and_no_empty_scope() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let config = config.replace("\"password\"", "\"client_credentials\"");
    provider.file("lighterman.toml", config.replace("scope         = \"openid\"\n", ""));
    let text = acme_text(&releases("")).replace(
        "username = \"api@acme.example\"\npassword = { file = \"../secrets/acme\" }\n",
        "",
    );
    std::fs::create_dir_all(provider.inbox("acme")).unwrap();
    provider.file("customers/acme.toml", text);
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n001;10\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "builder"),
        ("client_secret", CLIENT_SECRET),
    ];
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(fake.to("/connect/token")[0].form(), fields.collect());
}

#[test]
fn a_login_may_have_a_client_of_its_own_keys() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    provider.secret("own", "own-secret");
    acme(&provider, &releases("").replace(
        "\n[channels.releases]",
        "client_id = \"own-client\"\nclient_secret = { file = \"../secrets/own\" }\nscope = \"own/.default\"\n\n[channels.releases]",
    ));
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n001;10\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let form = fake.to("/connect/token")[0].form();
    assert_eq!(form["client_id"], "own-client");
    assert_eq!(form["client_secret"], "own-secret");
    assert_eq!(form["scope"], "own/.default");
    assert_eq!(form["username"], "api@acme.example");
}

#[test]
fn a_message_carries_the_headers_of_the_contract() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => token("abc.def", 3600),
        _ => answer(202, ""),
    });
    let provider = shop(&fake);
    acme(
        &provider,
        &releases("headers = { \"X-Partner\" = \"P 1\", \"X-Env\" = { uat = \"u\", production = \"p\" } }").replace(
            "\n[channels.releases]",
            "subscription_key = { file = \"../secrets/key\" }\n\n[channels.releases]",
        ),
    );
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n001;10\n002;20\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let calls = fake.to("/ingestion");
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/ingestion/chan-1"));
    assert_eq!(call.query, "");
    assert_eq!(call.header("authorization"), "Bearer abc.def");
    assert_eq!(call.header("content-type"), "application/json");
    assert_eq!(call.header("messagetype"), "ReleaseOrder");
    assert_eq!(call.header("ocp-apim-subscription-key"), SUBSCRIPTION_KEY);
    assert_eq!(call.header("x-partner"), "P 1");
    assert_eq!(call.header("x-env"), "u");
    assert_ne!(call.header("idempotency-key"), "");
    let body = json!([{"id": "001", "weight": "10"}, {"id": "002", "weight": "20"}]);
    assert_eq!(call.json(), body);
    let token = &fake.to("/connect/token")[0];
    assert_eq!(token.header("ocp-apim-subscription-key"), "", "a key is for the API alone");
}

#[test]
fn the_message_type_travels_in_a_query_or_not_at_all() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    let text = releases("").replace(
        r#"message_type_in = { header = "messageType" }"#,
        r#"message_type_in = { query = "type" }"#,
    );
    acme(&provider, &text.replace("\"ReleaseOrder\"", "\"Release Order&1\""));
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n001;10\n");
    provider.run_once(&[]).ended(0);
    let call = &fake.to("/ingestion")[0];
    assert_eq!(call.parameters()["type"], "Release Order&1");
    assert_eq!(call.header("messagetype"), "");

    let fake = Fake::willing();
    let provider = shop(&fake);
    let text = releases("");
    acme(&provider, &text.replace(r#"{ header = "messageType" }"#, "\"none\""));
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n001;10\n");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let call = &fake.to("/ingestion")[0];
    assert_eq!((call.query.as_str(), call.header("messagetype")), ("", ""));
    assert!(!call.headers.values().any(|value| value == "ReleaseOrder"));
}

#[test]
fn a_key_stays_over_retries_and_restarts_and_differs_between_messages() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/ingestion/chan-1" if earlier < 4 => answer(503, ""),
        _ => answer(0, ""),
    });
    let provider = ready(
        &fake,
        &format!("{QUICK}\nconcurrency = 1\nbatch = {{ records = 1, bytes = \"1 MiB\" }}"),
    );
    for _ in 0..3 {
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 75, "{run}");
        std::thread::sleep(Duration::from_millis(110));
    }
    let run = provider.run_once(&["--wait", "10s"]);
    assert_eq!(run.code, 0, "{run}");
    let calls = fake.to("/ingestion");
    let mut bodies: std::collections::BTreeMap<String, BTreeSet<String>> = Default::default();
    for call in &calls {
        bodies.entry(call.header("idempotency-key").to_owned()).or_default().insert(call.text());
    }
    assert!(calls.len() >= 6, "{}", calls.len());
    assert_eq!(bodies.len(), 2, "one key a message: {bodies:?}");
    assert!(bodies.values().all(|bodies| bodies.len() == 1), "one body a key: {bodies:?}");
    // batch.records = 1 sends one object, not an array.
    assert_eq!(calls[0].json(), json!({"id": "001", "weight": "10"}));
    let token = fake.to("/connect/token").len();
    assert!(token <= 4, "one token a run at most: {token}");
}

#[test]
fn one_token_serves_all_calls_of_a_login() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(
        &provider,
        &(releases("batch = { records = 1, bytes = \"1 MiB\" }")
            + r#"
[channels.others]
type         = "ingestion"
login        = "nxtport"
channel_id   = "chan-2"
media_type   = "application/json"
message_type = "Other"
message_type_in = "none"

[[routes]]
source  = "erp"
files   = "*.txt"
mapping = "plain"
channel = "others"
"#)
        .replace(
            "message_type_in = \"none\"",
            "message_type_in = \"none\"\nbatch = { records = 1, bytes = \"1 MiB\" }",
        ),
    );
    let many: String = (0..30).map(|n| format!("{n};1\n")).collect();
    provider.drop_file("acme", "A.csv", format!("ID;WEIGHT\n{many}"));
    provider.drop_file("acme", "B.txt", format!("ID;WEIGHT\n{many}last;1\n"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fake.to("/ingestion").len(), 61);
    assert_eq!(fake.to("/connect/token").len(), 1);
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => token(&format!("t{earlier}"), 1),
        _ => answer(200, "").after(Duration::from_millis(150)),
    });
    let provider = ready(&fake, "concurrency = 1\nbatch = { records = 1, bytes = \"1 MiB\" }");
    let many: String = (0..10).map(|n| format!("{n};1\n")).collect();
    provider.drop_file("acme", "B.csv", format!("ID;WEIGHT\n{many}"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let used: BTreeSet<String> =
        fake.to("/ingestion").iter().map(|call| call.header("authorization").to_owned()).collect();
    assert!(used.len() > 1, "{used:?}");
}

#[test]
fn a_401_brings_one_forced_renewal_and_one_repeat() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => token(&format!("t{earlier}"), 3600),
        _ if seen.header("authorization") == "Bearer t0" => answer(401, ""),
        _ => answer(200, ""),
    });
    let provider = ready(&fake, QUICK);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let calls = fake.to("/ingestion");
    let used: Vec<&str> = calls.iter().map(|call| call.header("authorization")).collect();
    assert_eq!(used, ["Bearer t0", "Bearer t1"]);
    assert_eq!(calls[0].header("idempotency-key"), calls[1].header("idempotency-key"));
    assert_eq!(fake.to("/connect/token").len(), 2);
}

#[test]
fn a_second_401_pauses_the_channel_and_rejects_nothing() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => token(&format!("t{earlier}"), 3600),
        _ => answer(401, ""),
    });
    let provider = ready(&fake, "");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(fake.to("/ingestion").len(), 2);
    assert_eq!(provider.records("acme", "deferred"), 2);
    assert_eq!(provider.alarms().len(), 1);
    assert_eq!(provider.names("acme", "rejects"), [""; 0]);
}

#[test]
fn a_401_of_the_subscription_key_asks_for_no_new_token() {
    let body = r#"{"statusCode":401,"message":"Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API."}"#;
    let fake = Fake::start(move |seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ => answer(401, body),
    });
    let provider = ready(&fake, "");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(fake.to("/connect/token").len(), 1);
    assert_eq!(fake.to("/ingestion").len(), 1);
    assert_eq!(provider.records("acme", "deferred"), 2);
}

/// Runs one file of two records in one message against a channel that answers so.
#[track_caller]
fn answered(
    status: u16,
    expected_code: i32,
    expected_state: &str,
    expected_calls: std::ops::RangeInclusive<usize>,
) {
    let fake = Fake::start(move |seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        "/elsewhere" => answer(200, ""),
        _ => answer(status, "why").with("location", "/elsewhere"),
    });
    let provider = ready(&fake, r#"retry = { first = "5m", max = "10m", give_up_after = "24h" }"#);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, expected_code, "{status}: {run}");
    let calls = fake.to("/ingestion").len();
    assert!(expected_calls.contains(&calls), "{status}: {calls} calls: {run}");
    assert_eq!(fake.to("/elsewhere").len(), 0, "{status}: a redirection was followed");
    assert_eq!(provider.records("acme", expected_state), 2, "{status}: {}", provider.status());
    if expected_code == 4 {
        assert_eq!(provider.alarms().len(), 1, "{status}");
    }
    provider.check_ledger();
}

#[test]
fn success_is_any_2xx() {
    for status in [200, 201, 202, 204] {
        answered(status, 0, "delivered", 1..=1);
    }
}

#[test]
fn what_may_pass_is_tried_later() {
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        answered(status, 75, "deferred", 1..=1);
    }
}

#[test]
fn what_the_channel_is_to_blame_for_pauses_it() {
    for status in [301, 302, 303, 307, 308, 403, 404, 402, 405, 406, 410, 411, 415, 418, 451] {
        answered(status, 4, "deferred", 1..=1);
    }
}

#[test]
fn what_the_record_is_to_blame_for_is_set_aside_with_the_answer() {
    // Both records together, then each alone.
    for status in [400, 409, 422, 413] {
        answered(status, 3, "quarantined", 3..=3);
    }
}

#[test]
fn a_403_with_retry_after_is_a_quota() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if earlier == 0 => answer(403, "quota").with("retry-after", "1"),
        _ => answer(200, ""),
    });
    let provider = ready(&fake, r#"retry = { first = "10ms", max = "5m", give_up_after = "24h" }"#);
    let started = Instant::now();
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After holds the channel");
    assert_eq!(fake.to("/ingestion").len(), 2);
}

#[test]
fn retry_after_is_obeyed_up_to_the_longest_wait() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if earlier == 0 => answer(429, "").with("retry-after", "3600"),
        _ => answer(200, ""),
    });
    let provider =
        ready(&fake, r#"retry = { first = "10ms", max = "300ms", give_up_after = "24h" }"#);
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fake.to("/ingestion").len(), 2);
}

#[test]
fn a_retry_after_may_be_a_date() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if earlier == 0 => answer(503, "").with("retry-after", "Tue, 31 Dec 2199 23:59:59 GMT"),
        _ => answer(200, ""),
    });
    let provider =
        ready(&fake, r#"retry = { first = "10ms", max = "700ms", give_up_after = "24h" }"#);
    let started = Instant::now();
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(started.elapsed() >= Duration::from_millis(700));
}

#[test]
fn a_dropped_connection_and_a_time_out_are_tried_again_with_the_same_key() {
    let fake = Fake::start(|seen, earlier| match (seen.path.as_str(), earlier) {
        ("/connect/token", _) => answer(0, ""),
        (_, 0) => dropped(),
        (_, 1) => answer(200, "").after(Duration::from_millis(800)),
        _ => answer(200, ""),
    });
    let provider = ready(&fake, &format!("{QUICK}\ntimeout = \"300ms\""));
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    let calls = fake.to("/ingestion");
    assert_eq!(calls.len(), 3, "{run}");
    assert!(
        calls
            .iter()
            .all(|call| call.headers["idempotency-key"] == calls[0].headers["idempotency-key"])
    );
}

#[test]
fn a_guilty_record_is_found_among_many() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if seen.text().contains("\"BAD\"") => {
            answer(400, r#"{"identifier":"x","error":"weight is wrong","extraInfo":[]}"#)
        }
        _ => answer(200, ""),
    });
    let provider = shop(&fake);
    acme(&provider, &releases(QUICK));
    let mut text = String::from("ID;WEIGHT\r\n");
    for n in 1..=50 {
        let id = if n == 37 { "BAD".to_owned() } else { format!("{n:03}") };
        text += &format!("{id};{n}\r\n");
    }
    provider.drop_file("acme", "A.csv", text);
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    let taken: Vec<String> = fake
        .to("/ingestion")
        .iter()
        .filter(|call| !call.text().contains("\"BAD\""))
        .flat_map(|call| {
            let value = call.json();
            value
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let once: BTreeSet<&String> = taken.iter().collect();
    assert_eq!((taken.len(), once.len()), (49, 49));
    assert_eq!(provider.rejects("acme", "A.csv").unwrap(), b"ID;WEIGHT\r\nBAD;37\r\n");
    let problems = provider.problems("acme", "A.csv");
    assert_eq!(problems.len(), 1);
    let problem = &problems[0];
    assert_eq!((problem.record, problem.line), (37, 38));
    assert_eq!((problem.rule.as_str(), problem.level.as_str()), ("refused", "reject"));
    assert!(
        problem.advice.contains("400") && problem.advice.contains("weight is wrong"),
        "{problem:?}"
    );
    assert_eq!(provider.records("acme", "delivered"), 49);
    assert_eq!(provider.records("acme", "quarantined"), 1);
}

#[test]
fn a_message_that_is_too_large_is_cut_smaller() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if seen.body.len() > 120 => answer(413, ""),
        _ => answer(200, ""),
    });
    let provider = shop(&fake);
    acme(&provider, &releases(QUICK));
    let many: String = (0..40).map(|n| format!("{n:03};{n}\n")).collect();
    provider.drop_file("acme", "A.csv", format!("ID;WEIGHT\n{many}"));
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(provider.records("acme", "delivered"), 40);
    let small = fake.to("/ingestion").into_iter().filter(|call| call.body.len() <= 120);
    let ids: Vec<String> = small
        .flat_map(|call| {
            let value = call.json();
            value
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let once: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), once.len()), (40, 40));
}

#[test]
fn answers_override_the_table() {
    for (status, word, code, state) in [
        (409, "delivered", 0, "delivered"),
        (404, "record", 3, "quarantined"),
        (400, "channel", 4, "deferred"),
        (400, "later", 75, "deferred"),
        (200, "later", 75, "deferred"),
    ] {
        let fake = Fake::start(move |seen, _| match seen.path.as_str() {
            "/connect/token" => answer(0, ""),
            _ => answer(status, "x"),
        });
        let provider = ready(&fake, &format!("answers = {{ \"{status}\" = \"{word}\" }}"));
        let run = provider.run_once(&[]);
        assert_eq!(run.code, code, "{status} {word}: {run}");
        assert_eq!(provider.records("acme", state), 2, "{status} {word}");
    }
}

#[test]
fn a_refused_login_pauses_and_is_not_hammered() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(400, r#"{"error":"invalid_grant"}"#),
        _ => answer(200, ""),
    });
    let provider = ready(&fake, QUICK);
    let run = provider.run_once(&["--wait", "1s"]);
    assert_eq!(run.code, 4, "{run}");
    assert!(fake.to("/connect/token").len() <= 3);
    assert_eq!(fake.to("/ingestion").len(), 0);
    assert_eq!(provider.records("acme", "deferred"), 2);
    let status = provider.status();
    let alarm = &status["alarms"][0];
    assert_eq!(alarm["kind"], "login-refused");
    assert_eq!((&alarm["customer"], &alarm["channel"]), (&json!("acme"), &json!("releases")));
    assert!(
        !alarm["since"].as_str().unwrap().is_empty()
            && !alarm["advice"].as_str().unwrap().is_empty()
    );
}

#[test]
fn twenty_refusals_without_a_success_pause_the_channel() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ => answer(400, "no"),
    });
    let provider = shop(&fake);
    acme(&provider, &releases("concurrency = 1\nbatch = { records = 1, bytes = \"1 MiB\" }"));
    let many: String = (0..100).map(|n| format!("{n:03};{n}\n")).collect();
    provider.drop_file("acme", "A.csv", format!("ID;WEIGHT\n{many}"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(fake.to("/ingestion").len(), 20);
    let (quarantined, open) = (
        provider.records("acme", "quarantined"),
        provider.records("acme", "deferred") + provider.records("acme", "pending"),
    );
    assert_eq!(quarantined + open, 100, "{}", provider.status());
    assert!(quarantined <= 20 && open >= 80, "{quarantined} {open}");
}
