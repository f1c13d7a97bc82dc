//! Certified Pick up: one call a record with both credentials; what is accepted is parked until its
//! verdict, and the verdict decides, over restarts and kills.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::contract_fake::{Answer, Fake, Seen, answer};
use crate::contract_shop::*;
use crate::harness::callback::{free_address, post};
use crate::harness::*;

const BASE: &str = "/certified-pickup/v1";
const RIGHTS: &str = "/certified-pickup/v1/BEANR/containers/CSQU3054383/import/release-rights";

/// A mapping that writes each record as it is.
const RAW: &str = r#"
[input]
format = "ndjson"

[output]
format = "json"
"#;

/// The fields of all four calls, as a mapping names them.
const FIELDS: &[&str] = &[
    "action",
    "actionType",
    "portLoCode",
    "equipmentNumber",
    "terminalCode",
    "meansOfTransport",
    "colour",
    "pickupParty.partyType",
    "pickupParty.identificationType",
    "pickupParty.identificationCode",
];

/// A shop whose customer `acme` sends ndjson files to CPu at `fake`.
fn pick_up(fake: &Fake, channel: &str) -> Provider {
    pick_up_at(fake, channel, None)
}

/// The same; with an address, it takes notifications there that carry the header `X-Key`.
fn pick_up_at(fake: &Fake, channel: &str, at: Option<SocketAddr>) -> Provider {
    let (listen, callback) = match at {
        None => (String::new(), ""),
        Some(at) => (
            format!("\n[listen]\nnotifications = {{ address = \"{at}\" }}\n"),
            "callback = { header = \"X-Key\", value = { file = \"../secrets/hook\" } }",
        ),
    };
    let provider = shop_with(fake, &listen);
    provider.secret("hook", "the-key-of-callbacks");
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let endpoint = format!("[endpoints]\ncpu = \"{}{BASE}\"", fake.url());
    provider.file("lighterman.toml", config.replace("[endpoints]", &endpoint));
    let mut mapping = RAW.to_owned();
    for field in FIELDS {
        let name = field.replace('.', "_");
        mapping += &format!("\n[[fields]]\nto = \"{field}\"\nfrom = \"{name}\"\n");
    }
    mapping += "\n[[fields]]\nto = \"billOfLadingNumbers[]\"\nfrom = \"BL\"\n";
    provider.mapping("rights", &mapping);
    acme(
        &provider,
        &format!(
            r#"
subscription_key = {{ file = "../secrets/key" }}
{callback}

[channels.pickup]
type  = "cpu"
login = "nxtport"
retry = {{ first = "20ms", max = "100ms", give_up_after = "24h" }}
{channel}

[[routes]]
source  = "erp"
files   = "*"
mapping = "rights"
channel = "pickup"
"#
        ),
    );
    provider
}

fn release_right() -> Value {
    json!({
        "action": "release-rights", "actionType": "Accept", "portLoCode": "BEANR",
        "equipmentNumber": "CSQU3054383", "BL": "BL1", "terminalCode": "01700"
    })
}

fn drop_records(provider: &Provider, records: &[Value]) {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    provider.drop_file("acme", "R.ndjson", lines);
}

/// What CPu answers: every call is accepted as `REF-<n>` by the number of calls before on its path;
/// stored notifications come from `notify`, which is given the reference that is asked for.
fn cpu(seen: &Seen, earlier: usize, notify: impl Fn(&str) -> Value) -> Answer {
    match seen.method.as_str() {
        "PUT" if seen.path.starts_with(BASE) => {
            let told = json!({ "publicReferenceId": format!("REF-{earlier}"),
                               "externalReferenceId": "" });
            answer(202, told.to_string())
        }
        "GET" if seen.path == format!("{BASE}/notifications") => {
            answer(200, notify(&seen.parameters()["PublicReferenceId"]).to_string())
        }
        _ => answer(0, ""),
    }
}

/// One stored notification (reference/domain.md, section 3).
fn stored(reference: &str, event: &str, message: &str) -> Value {
    json!([{
        "nxtEntityId": "NXT0001", "equipmentNumber": "CSQU3054383",
        "publicReferenceId": reference.to_lowercase(), "externalReferenceId": "",
        "storedOn": "2026-11-22T10:00:00Z", "message": message, "type": "ReleaseRight",
        "event": event
    }])
}

#[track_caller]
fn counts(provider: &Provider, parked: u64, delivered: u64, quarantined: u64) {
    let records = &provider.status()["customers"]["acme"]["records"];
    let count = |state: &str| records[state].as_u64().unwrap();
    assert_eq!(
        (count("parked"), count("delivered"), count("quarantined")),
        (parked, delivered, quarantined),
        "{records}"
    );
    provider.check_ledger();
}

#[test]
fn every_action_is_one_call_with_both_credentials_and_delivered_by_its_verdict() {
    let fake = Fake::start(|seen, earlier| {
        cpu(seen, earlier, |reference| stored(reference, "ValidatedReleaseRight", ""))
    });
    let provider = pick_up(&fake, "confirm = \"poll\"");
    let party = |by: &str| {
        json!({
            "actionType": "Assign", "equipmentNumber": "CSQU3054383", "BL": "BL1",
            "pickupParty_partyType": by, "pickupParty_identificationType": "Tin",
            "pickupParty_identificationCode": "BE0403019261"
        })
    };
    let mut truck = party("Truck");
    (truck["action"], truck["portLoCode"]) = (json!("pickup-rights"), json!("BEANR"));
    let mut rail = party("Rail");
    rail["action"] = json!("barge-rail");
    let means = json!({ "action": "means-of-transport", "meansOfTransport": "Barge",
                        "equipmentNumber": "CSQU3054383", "BL": "BL1" });
    drop_records(&provider, &[release_right(), truck, rail, means]);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    let calls: Vec<Seen> = fake.to(BASE).into_iter().filter(|seen| seen.method == "PUT").collect();
    let mut paths: Vec<&str> =
        calls.iter().map(|seen| seen.path.strip_prefix(BASE).unwrap()).collect();
    paths.sort();
    let expected = [
        "/BEANR/containers/CSQU3054383/import/pickup-rights",
        "/BEANR/containers/CSQU3054383/import/release-rights",
        "/pickup-rights/barge-rail",
        "/release-rights/means-of-transport",
    ];
    assert_eq!(paths, expected);
    for seen in fake.to(BASE) {
        assert_eq!(seen.header("authorization"), "Bearer token-of-the-default");
        assert_eq!(seen.header("ocp-apim-subscription-key"), SUBSCRIPTION_KEY);
    }
    let right = calls.iter().find(|seen| seen.path == RIGHTS).unwrap();
    let body = json!({
        "actionType": "Accept", "portLoCode": "BEANR", "equipmentNumber": "CSQU3054383",
        "billOfLadingNumbers": ["BL1"], "terminalCode": "01700"
    });
    assert_eq!(right.json(), body);
    let receipt = provider.receipt("acme", "R.ndjson");
    assert_eq!((&receipt["records"]["delivered"], &receipt["messages"]), (&json!(4), &json!(4)));
    counts(&provider, 0, 4, 0);
}

#[test]
fn what_is_accepted_is_parked_until_a_poll_finds_its_verdict() {
    let fake = Fake::start(|seen, earlier| {
        cpu(seen, earlier, |reference| match earlier {
            0..3 => json!([]),
            _ => stored(reference, "Validated", ""),
        })
    });
    let provider = pick_up(&fake, "confirm = \"poll\"");
    drop_records(&provider, &[release_right()]);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    counts(&provider, 1, 0, 0);
    let receipt = provider.receipt("acme", "R.ndjson");
    assert_eq!(receipt["records"]["parked"], 1, "{receipt}");
    assert_eq!(receipt["settled"], Value::Null, "{receipt}");
    let path = provider.inbox("acme").join("receipts/R.ndjson.verdicts.csv");
    assert_eq!(receipt["verdicts"], path.canonicalize().unwrap().to_str().unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("line,reference,outcome,message,time\n1,REF-0,parked,"), "{text}");

    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    counts(&provider, 0, 1, 0);
    let verdicts = provider.verdicts("acme", "R.ndjson");
    assert_eq!(verdicts.len(), 1);
    assert_eq!(verdicts[0].told(), (1, "REF-0", "delivered", ""));
    assert_eq!(fake.to(RIGHTS).len(), 1, "nothing is sent twice");
    let asked = fake.to(&format!("{BASE}/notifications"));
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|seen| seen.query == "PublicReferenceId=REF-0"), "{asked:?}");
    assert_eq!(provider.receipt("acme", "R.ndjson")["records"]["delivered"], 1);
}

#[test]
fn a_verdict_that_it_failed_sets_the_record_aside_with_its_words() {
    for event in ["NotValidated", "thrownException"] {
        let fake = Fake::start(move |seen, earlier| {
            cpu(seen, earlier, |reference| stored(reference, event, "the B/L is not known"))
        });
        let provider = pick_up(&fake, "confirm = \"poll\"");
        drop_records(&provider, &[release_right()]);
        let run = provider.run_once(&["--wait", "30s"]);
        assert_eq!(run.code, 3, "{run}");
        counts(&provider, 0, 0, 1);
        let problems = provider.problems("acme", "R.ndjson");
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].record, problems[0].rule.as_str()), (1, "refused"));
        assert_eq!(problems[0].advice, format!("{event}: the B/L is not known"));
        let words = format!("{event}: the B/L is not known");
        let verdicts = provider.verdicts("acme", "R.ndjson");
        assert_eq!(verdicts[0].told(), (1, "REF-0", "quarantined", words.as_str()));
        assert_eq!(
            provider.rejects("acme", "R.ndjson").unwrap(),
            format!("{}\n", release_right()).into_bytes()
        );
    }
}

/// A release right for a container at a port.
fn right_of(container: &str, port: &str) -> Value {
    let mut right = release_right();
    (right["equipmentNumber"], right["portLoCode"]) = (json!(container), json!(port));
    right
}

#[test]
fn release_rights_that_are_alike_go_together_and_no_others() {
    let fake = Fake::start(|seen, earlier| cpu(seen, earlier, |_| json!([])));
    let channel = "confirm = \"none\"\nconcurrency = 1\nbatch = { records = 3 }";
    let provider = pick_up(&fake, channel);
    let means = json!({ "action": "means-of-transport", "meansOfTransport": "Barge",
                        "equipmentNumber": "C4", "BL": "BL1" });
    let mut other = right_of("C6", "BEANR");
    other["actionType"] = json!("Decline");
    let records = [
        right_of("C1", "BEANR"),
        right_of("C2", "BEANR"),
        right_of("C3", "BEANR"),
        right_of("C4", "BEANR"),
        means,
        right_of("C5", "BEANR"),
        other,
        right_of("C7", "NLRTM"),
        right_of("C8", "NLRTM"),
    ];
    drop_records(&provider, &records);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    counts(&provider, 0, 9, 0);
    let calls = fake.to(BASE);
    let paths: Vec<&str> = calls.iter().map(|seen| seen.path.strip_prefix(BASE).unwrap()).collect();
    let expected = [
        "/BEANR/containers/import/release-rights",
        "/BEANR/containers/C4/import/release-rights",
        "/release-rights/means-of-transport",
        "/BEANR/containers/C5/import/release-rights",
        "/BEANR/containers/C6/import/release-rights",
        "/NLRTM/containers/import/release-rights",
    ];
    assert_eq!(paths, expected);
    let one = |container: &str| json!({ "equipmentNumber": container, "billOfLadingNumbers": ["BL1"], "terminalCode": "01700" });
    let body = json!({ "portLoCode": "BEANR", "actionType": "Accept",
                       "releaseRights": [one("C1"), one("C2"), one("C3")] });
    assert_eq!(calls[0].json(), body);
    assert!(calls.iter().all(|seen| seen.header("ocp-apim-subscription-key") == SUBSCRIPTION_KEY));
    assert_eq!(provider.receipt("acme", "R.ndjson")["messages"], 6);
}

#[test]
fn a_container_that_comes_twice_goes_in_two_calls() {
    let fake = Fake::start(|seen, earlier| cpu(seen, earlier, |_| json!([])));
    let provider = pick_up(&fake, "confirm = \"none\"\nbatch = { records = 10 }");
    let records = ["C1", "C2", "C3", "C1"].map(|container| right_of(container, "BEANR"));
    drop_records(&provider, &records);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    counts(&provider, 0, 4, 0);
    for seen in fake.to(BASE) {
        assert!(seen.text().matches("\"C1\"").count() < 2, "{seen:?}");
    }
}

#[test]
fn of_several_that_are_refused_together_the_guilty_one_is_found() {
    let fake = Fake::start(|seen, earlier| match seen.text().contains("\"C3\"") {
        true => answer(405, r#"{"title":"Invalid input","status":405}"#),
        false => cpu(seen, earlier, |reference| stored(reference, "Validated", "")),
    });
    let provider = pick_up(&fake, "confirm = \"poll\"\nbatch = { records = 10 }");
    let records: Vec<Value> = (0..5).map(|n| right_of(&format!("C{n}"), "BEANR")).collect();
    drop_records(&provider, &records);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "{run}");
    counts(&provider, 0, 4, 1);
    let problems = provider.problems("acme", "R.ndjson");
    let told: Vec<(u64, u64, &str)> = problems
        .iter()
        .map(|problem| (problem.record, problem.line, problem.rule.as_str()))
        .collect();
    assert_eq!(told, [(4, 4, "refused")]);
}

#[test]
fn the_verdict_on_several_is_for_all_of_them() {
    let is_told = Arc::new(AtomicBool::new(false));
    let tells = Arc::clone(&is_told);
    let fake = Fake::start(move |seen, earlier| {
        cpu(seen, earlier, |reference| match (tells.load(Ordering::SeqCst), reference) {
            (false, _) => json!([]),
            (true, "REF-0") => stored(reference, "NotValidated", "no such release"),
            (true, _) => stored(reference, "Validated", ""),
        })
    });
    let channel = "confirm = \"poll\"\nconcurrency = 1\nbatch = { records = 3 }";
    let provider = pick_up(&fake, channel);
    let records: Vec<Value> = (0..5).map(|n| right_of(&format!("C{n}"), "BEANR")).collect();
    drop_records(&provider, &records);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    counts(&provider, 5, 0, 0);
    is_told.store(true, Ordering::SeqCst);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "{run}");
    counts(&provider, 0, 2, 3);
    let problems = provider.problems("acme", "R.ndjson");
    let told: Vec<(u64, u64, &str)> = problems
        .iter()
        .map(|problem| (problem.record, problem.line, problem.advice.as_str()))
        .collect();
    let words = "NotValidated: no such release";
    assert_eq!(told, [(1, 1, words), (2, 2, words), (3, 3, words)]);
    let sent = fake.to(&format!("{BASE}/BEANR"));
    assert_eq!(sent.len(), 2, "nothing is sent twice");
    assert_eq!(provider.receipt("acme", "R.ndjson")["messages"], 2);
    let verdicts = provider.verdicts("acme", "R.ndjson");
    let expected = [
        (1, "REF-0", "quarantined", words),
        (2, "REF-0", "quarantined", words),
        (3, "REF-0", "quarantined", words),
        (4, "REF-1", "delivered", ""),
        (5, "REF-1", "delivered", ""),
    ];
    assert_eq!(verdicts.iter().map(|row| row.told()).collect::<Vec<_>>(), expected);
}

/// A release right for a container, told from others by its B/L.
fn right_with(container: &str, bl: &str) -> Value {
    let mut right = right_of(container, "BEANR");
    right["BL"] = json!(bl);
    right
}

/// The B/Ls of the calls that mention a container, in their order; `!` behind those that were not
/// taken.
fn order_of(fake: &Fake, container: &str, refused: &[&str]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let calls = fake.to(&format!("{BASE}/BEANR")).into_iter();
    let calls = calls.filter(|call| call.text().contains(&format!("{container:?}")));
    let bls = calls.flat_map(|call| {
        let body = call.json();
        let rights = match body["releaseRights"].as_array() {
            Some(rights) => rights.clone(),
            None => vec![body],
        };
        let mine = rights.into_iter().filter(|right| right["equipmentNumber"] == container);
        mine.map(|right| right["billOfLadingNumbers"][0].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    });
    bls.map(|bl| {
        let first = seen.insert(bl.clone());
        if first && refused.contains(&bl.as_str()) { format!("{bl}!") } else { bl }
    })
    .collect()
}

#[test]
fn a_call_that_is_tried_again_is_not_overtaken_by_a_newer_one_for_its_container() {
    for batch in ["", "batch = { records = 2 }"] {
        // Whatever tells of B/L A is refused once.
        let fake =
            Fake::start(move |seen, earlier| match seen.text().contains("\"A\"") && earlier == 0 {
                true => answer(500, ""),
                false => cpu(seen, earlier, |_| json!([])),
            });
        let channel = format!("confirm = \"none\"\n{batch}");
        let provider = pick_up(&fake, &channel);
        drop_records(&provider, &[right_with("C0", "X")]);
        assert_eq!(provider.run_once(&[]).code, 0, "the channel works");
        let records = [
            right_with("C1", "A"),
            right_with("C2", "D"),
            right_with("C1", "B"),
            right_with("C3", "E"),
            right_with("C1", "C"),
        ];
        drop_records(&provider, &records);
        let run = provider.run_once(&["--wait", "30s"]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(order_of(&fake, "C1", &["A"]), ["A!", "A", "B", "C"], "{batch}");
        counts(&provider, 0, 6, 0);
    }
}

#[test]
fn nor_by_one_of_a_later_file_after_a_restart() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let fake = Fake::start(move |seen, earlier| {
        let is_down = down.load(Ordering::SeqCst) && seen.text().contains("\"A\"");
        if is_down { answer(500, "") } else { cpu(seen, earlier, |_| json!([])) }
    });
    let provider = pick_up(&fake, "confirm = \"none\"");
    let config = std::fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    let slow = config.replace("first = \"20ms\", max = \"100ms\"", "first = \"1s\", max = \"1s\"");
    provider.file("customers/acme.toml", slow);
    drop_records(&provider, &[right_with("C1", "A")]);
    provider.run_once(&[]).ended(75);
    for (name, bl) in [("S.ndjson", "B"), ("T.ndjson", "C")] {
        let records = format!("{}\n{}\n", right_with("C1", bl), right_with("C2", bl));
        provider.drop_file("acme", name, records);
        provider.run_once(&[]).ended(75);
    }
    is_down.store(false, Ordering::SeqCst);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    let order = order_of(&fake, "C1", &[]);
    let first_other = order.iter().position(|bl| bl != "A").unwrap();
    assert_eq!(order[first_other..], ["B", "C"], "{order:?}");
    assert_eq!(order_of(&fake, "C2", &[]).len(), 2);
    counts(&provider, 0, 5, 0);
}

#[test]
fn nor_by_one_of_a_file_that_came_a_moment_later() {
    let fake = Fake::start(|seen, earlier| cpu(seen, earlier, |_| json!([])));
    let provider = pick_up(&fake, "confirm = \"none\"\nconcurrency = 1");
    // One shows that the channel works.
    drop_records(&provider, &[right_with("C0", "X")]);
    provider.run_once(&[]).ended(0);
    let mut first: Vec<Value> = (0..40).map(|n| right_of(&format!("D{n}"), "BEANR")).collect();
    first.push(right_with("C1", "A"));
    let lines: String = first.iter().map(|record| format!("{record}\n")).collect();
    provider.drop_file("acme", "S1.ndjson", lines);
    provider.drop_file("acme", "S2.ndjson", format!("{}\n", right_with("C1", "B")));
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(order_of(&fake, "C1", &[]), ["A", "B"]);
    counts(&provider, 0, 43, 0);
}

#[test]
fn a_message_of_several_that_cpu_chokes_on_keeps_back_its_own_containers_alone() {
    let fake = Fake::start(|seen, earlier| match seen.text().contains("\"POISON\"") {
        true => answer(500, ""),
        false => cpu(seen, earlier, |_| json!([])),
    });
    let provider = pick_up(&fake, "confirm = \"none\"\nbatch = { records = 2 }");
    drop_records(&provider, &[right_with("C0", "X")]);
    assert_eq!(provider.run_once(&[]).code, 0, "the channel works");
    let records = [
        right_with("C1", "A"),
        right_with("C2", "POISON"),
        right_with("C3", "C"),
        right_with("C4", "D"),
        right_with("C2", "E"),
    ];
    drop_records(&provider, &records);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    counts(&provider, 0, 3, 0);
    assert_eq!(order_of(&fake, "C3", &[]), ["C"]);
    assert_eq!(order_of(&fake, "C2", &[]).iter().filter(|bl| *bl == "E").count(), 0);
}

#[test]
fn where_nobody_asks_what_is_accepted_counts_as_delivered() {
    let fake = Fake::start(|seen, earlier| cpu(seen, earlier, |_| json!([])));
    let provider = pick_up(&fake, "confirm = \"none\"");
    drop_records(&provider, &[release_right()]);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    counts(&provider, 0, 1, 0);
    assert_eq!(fake.to(&format!("{BASE}/notifications")).len(), 0);
}

#[test]
fn invalid_input_is_the_records_fault_and_stops_nobody_else() {
    let fake = Fake::start(|seen, earlier| match seen.text().contains("\"Block\"") {
        true => answer(405, r#"{"title":"Invalid input","status":405}"#),
        false => cpu(seen, earlier, |reference| stored(reference, "Validated", "")),
    });
    let provider = pick_up(&fake, "confirm = \"poll\"");
    let mut wrong = release_right();
    wrong["actionType"] = json!("Block");
    drop_records(&provider, &[wrong, release_right()]);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "{run}");
    counts(&provider, 0, 1, 1);
    let problems = provider.problems("acme", "R.ndjson");
    assert_eq!((problems[0].record, problems[0].rule.as_str()), (1, "refused"));
    assert!(problems[0].advice.contains("405") && problems[0].advice.contains("Invalid input"));
    assert_eq!(provider.alarms(), [""; 0]);
    // What was refused at once never waited.
    let verdicts = provider.verdicts("acme", "R.ndjson");
    assert_eq!(verdicts.len(), 1);
    assert_eq!((verdicts[0].line, verdicts[0].outcome.as_str()), (2, "delivered"));
}

#[test]
fn the_verdicts_file_has_a_row_for_each_record_that_waits_or_did_by_the_lines_of_the_file() {
    let fake = Fake::start(|seen, earlier| match seen.method.as_str() {
        "PUT" => {
            let right = seen.json();
            let told = json!({ "publicReferenceId": right["billOfLadingNumbers"][0] });
            answer(202, told.to_string())
        }
        _ => cpu(seen, earlier, |reference| match reference {
            "GOOD" => stored(reference, "Validated", ""),
            "BAD" => stored(reference, "NotValidated", "no such \"B/L\", or none of yours"),
            _ => json!([]),
        }),
    });
    let provider = pick_up(&fake, "confirm = \"poll\"");
    let right = |bl: &str| {
        let mut right = release_right();
        right["BL"] = json!(bl);
        format!("{right}\n")
    };
    let lines = ["WAITS-1", "GOOD", "", "BAD", "WAITS-2"];
    let file: String =
        lines.map(|bl| if bl.is_empty() { "\n".to_owned() } else { right(bl) }).concat();
    provider.drop_file("acme", "R.ndjson", file);
    let run = provider.run_once(&["--wait", "2s"]);
    assert_eq!(run.code, 3, "{run}");
    counts(&provider, 2, 1, 1);
    let rows = || {
        let rows = provider.verdicts("acme", "R.ndjson").into_iter();
        rows.map(|row| (row.line, row.reference, row.outcome)).collect::<Vec<_>>()
    };
    let row =
        |line, reference: &str, outcome: &str| (line, reference.to_owned(), outcome.to_owned());
    let expected = [
        row(1, "WAITS-1", "parked"),
        row(2, "GOOD", "delivered"),
        row(4, "BAD", "quarantined"),
        row(5, "WAITS-2", "parked"),
    ];
    assert_eq!(rows(), expected);
    let told = &provider.verdicts("acme", "R.ndjson")[2];
    assert_eq!(told.message, "NotValidated: no such \"B/L\", or none of yours");
    // Another run finds nothing new, and tells the same.
    std::fs::remove_file(provider.inbox("acme").join("receipts/R.ndjson.verdicts.csv")).unwrap();
    provider.run_once(&[]);
    assert_eq!(rows(), expected);
}

#[test]
fn what_is_missing_or_unknown_is_named_and_nothing_is_sent() {
    let fake = Fake::start(|seen, earlier| cpu(seen, earlier, |_| json!([])));
    let provider = pick_up(&fake, "confirm = \"poll\"");
    let mut unknown = release_right();
    unknown["colour"] = json!("red");
    let missing = json!({ "action": "pickup-rights", "actionType": "Fly", "portLoCode": "BEANR",
                          "equipmentNumber": "CSQU3054383" });
    drop_records(&provider, &[unknown, missing]);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    counts(&provider, 0, 0, 2);
    let rows: Vec<(u64, String, String)> = provider
        .problems("acme", "R.ndjson")
        .into_iter()
        .map(|problem| (problem.record, problem.field, problem.rule))
        .collect();
    let row = |record, field: &str, rule: &str| (record, field.to_owned(), rule.to_owned());
    let expected = [
        row(1, "colour", "unknown"),
        row(2, "actionType", "values"),
        row(2, "BL", "required"),
        row(2, "pickupParty", "required"),
    ];
    assert_eq!(rows, expected);
    assert_eq!(fake.to(BASE).len(), 0);
}

#[test]
fn without_a_verdict_in_time_the_outcome_is_unknown_and_an_alarm_stands() {
    for confirm in ["poll", "notification"] {
        let fake = Fake::start(|seen, earlier| cpu(seen, earlier, |_| json!([])));
        let channel = format!("confirm = \"{confirm}\"\nverdict_within = \"300ms\"");
        let provider = pick_up(&fake, &channel);
        drop_records(&provider, &[release_right()]);
        let run = provider.run_once(&["--wait", "30s"]);
        run.ended(3);
        counts(&provider, 0, 0, 1);
        assert_eq!(provider.alarms(), ["no-verdict"]);
        let problems = provider.problems("acme", "R.ndjson");
        assert_eq!(problems[0].rule, "unknown outcome");
        assert!(problems[0].advice.contains("REF-0"), "{problems:?}");
        assert_eq!(fake.to(RIGHTS).len(), 1);
        if confirm == "notification" {
            assert_eq!(fake.to(&format!("{BASE}/notifications")).len(), 1, "one last look");
        }
    }
}

#[test]
fn a_verdict_that_was_told_while_nobody_listened_is_found_by_the_last_look() {
    let fake = Fake::start(|seen, earlier| {
        cpu(seen, earlier, |reference| stored(reference, "Validated", ""))
    });
    let channel = "confirm = \"notification\"\nverdict_within = \"300ms\"";
    let provider = pick_up(&fake, channel);
    drop_records(&provider, &[release_right()]);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    counts(&provider, 0, 1, 0);
}

#[test]
fn a_process_killed_between_202_and_verdict_loses_nothing_and_sends_nothing_twice() {
    let told = Arc::new(AtomicBool::new(false));
    let tells = Arc::clone(&told);
    let fake = Fake::start(move |seen, earlier| {
        cpu(seen, earlier, |reference| match tells.load(Ordering::SeqCst) {
            true => stored(reference, "Validated", ""),
            false => json!([]),
        })
    });
    let provider = pick_up(&fake, "confirm = \"poll\"");
    drop_records(&provider, &[release_right()]);
    let asked = || fake.to(&format!("{BASE}/notifications")).len();
    for _ in 0..3 {
        let before = asked();
        let daemon = provider.start();
        until_true("that it asks", || asked() > before + 1);
        daemon.kill();
        counts(&provider, 1, 0, 0);
    }
    told.store(true, Ordering::SeqCst);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    counts(&provider, 0, 1, 0);
    assert_eq!(fake.to(RIGHTS).len(), 1, "sent once");
}

#[test]
fn a_server_that_does_not_answer_polls_costs_nothing_but_time() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let fake = Fake::start(move |seen, earlier| match seen.method.as_str() {
        "GET" if !is_up.load(Ordering::SeqCst) => answer(503, ""),
        _ => cpu(seen, earlier, |reference| stored(reference, "Validated", "")),
    });
    let provider = pick_up(&fake, "confirm = \"poll\"");
    drop_records(&provider, &[release_right()]);
    let run = provider.run_once(&["--wait", "300ms"]);
    assert_eq!(run.code, 75, "{run}");
    counts(&provider, 1, 0, 0);
    up.store(true, Ordering::SeqCst);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    counts(&provider, 0, 1, 0);
    assert_eq!(fake.to(RIGHTS).len(), 1);
}

/// Posts a notification as CPu does (reference/domain.md, section 3).
#[track_caller]
fn notify(at: SocketAddr, reference: &str, event: &str, message: &str) {
    notify_of(at, reference, "CSQU3054383", event, message);
}

/// The same, on another container.
#[track_caller]
fn notify_of(at: SocketAddr, reference: &str, container: &str, event: &str, message: &str) {
    let body = json!({
        "type": "ReleaseRight", "event": event, "PublicReferenceId": reference,
        "id": container, "body": { "message": message }
    });
    let status = post(at, "/notifications/cpu/acme", &["X-Key: the-key-of-callbacks"], &body);
    assert!((200..300).contains(&status), "{status}");
}

#[test]
fn a_notification_settles_its_record_and_repeats_and_strangers_are_harmless() {
    let at = free_address();
    let fake = Fake::start(|seen, earlier| cpu(seen, earlier, |_| json!([])));
    let provider = pick_up_at(&fake, "confirm = \"notification\"", Some(at));
    let daemon = provider.start();
    until_true("it listens", || std::net::TcpStream::connect(at).is_ok());
    drop_records(&provider, &[release_right(), release_right(), release_right()]);
    until_true("the parking", || provider.records("acme", "parked") == 3);
    notify(at, "REF-of-nobody", "Validated", "");
    // In the order in which they were sent, for they are of one container.
    notify(at, "ref-1", "NotValidated", "the B/L is not known");
    notify(at, "REF-0", "ValidatedReleaseRight", "");
    until_true("the verdicts", || provider.records("acme", "parked") == 1);
    notify(at, "REF-0", "NotValidated", "too late");
    notify(at, "REF-1", "Validated", "too late");
    notify(at, "REF-2", "Validated", "");
    until_true("the settling", || provider.records("acme", "delivered") == 2);
    assert_eq!(daemon.stop().code, 0);
    counts(&provider, 0, 2, 1);
    let problems = provider.problems("acme", "R.ndjson");
    assert_eq!((problems.len(), problems[0].record), (1, 2));
    assert_eq!(problems[0].advice, "NotValidated: the B/L is not known");
    assert_eq!(fake.to(RIGHTS).len(), 3);
    assert_eq!(fake.to(&format!("{BASE}/notifications")).len(), 0, "nobody asks");
}

#[test]
fn a_notification_that_overtakes_its_202_is_kept_for_it() {
    let at = free_address();
    let fake = Fake::start(move |seen, earlier| {
        if seen.method == "PUT" {
            notify(at, &format!("REF-{earlier}"), "Validated", "");
        }
        cpu(seen, earlier, |_| json!([]))
    });
    let provider = pick_up_at(&fake, "confirm = \"notification\"", Some(at));
    let daemon = provider.start();
    until_true("it listens", || std::net::TcpStream::connect(at).is_ok());
    drop_records(&provider, &[release_right()]);
    until_true("the delivery", || provider.records("acme", "delivered") == 1);
    assert_eq!(daemon.stop().code, 0);
    counts(&provider, 0, 1, 0);
    assert_eq!(fake.to(RIGHTS).len(), 1);
}

#[test]
fn notifications_on_each_container_that_overtake_their_202_are_kept_for_it_in_any_order() {
    let at = free_address();
    let fake = Fake::start(move |seen, earlier| {
        if seen.method == "PUT" {
            let reference = format!("REF-{earlier}");
            notify_of(at, &reference, "C3", "Validated", "");
            notify_of(at, &reference, "C1", "NotValidated", "the B/L is not known");
            notify_of(at, &reference, "C3", "Validated", "once more");
            notify_of(at, &reference, "C0", "Validated", "");
            notify_of(at, &reference, "C1", "Validated", "after all");
        }
        cpu(seen, earlier, |_| json!([]))
    });
    let channel = "confirm = \"notification\"\nbatch = { records = 10 }";
    let provider = pick_up_at(&fake, channel, Some(at));
    let daemon = provider.start();
    until_true("it listens", || std::net::TcpStream::connect(at).is_ok());
    let records: Vec<Value> = (0..4).map(|n| right_of(&format!("C{n}"), "BEANR")).collect();
    drop_records(&provider, &records);
    until_true("the deliveries", || provider.records("acme", "delivered") == 2);
    until_true("the refusal", || provider.records("acme", "quarantined") == 1);
    assert_eq!(provider.records("acme", "parked"), 1);
    notify_of(at, "ref-0", "C2", "NotValidated", "blocked");
    until_true("the last", || provider.records("acme", "quarantined") == 2);
    assert_eq!(daemon.stop().code, 0);
    counts(&provider, 0, 2, 2);
    let problems = provider.problems("acme", "R.ndjson");
    let told: Vec<(u64, &str)> =
        problems.iter().map(|problem| (problem.line, problem.advice.as_str())).collect();
    let expected = [(2, "NotValidated: the B/L is not known"), (3, "NotValidated: blocked")];
    assert_eq!(told, expected);
    assert_eq!(fake.to(&format!("{BASE}/BEANR")).len(), 1, "sent once");
}

#[test]
fn results_tell_of_every_verdict_once_a_run_has_ended_and_after_a_kill() {
    let at = free_address();
    let fake = Fake::start(|seen, _| match seen.method.as_str() {
        "PUT" if seen.path.starts_with(BASE) => {
            let told = json!({ "publicReferenceId": seen.json()["equipmentNumber"] });
            answer(202, told.to_string())
        }
        _ => cpu(seen, 0, |_| json!([])),
    });
    let provider = pick_up_at(&fake, "confirm = \"notification\"", Some(at));
    let records: Vec<Value> = (0..60).map(|n| right_of(&format!("C{n}"), "BEANR")).collect();
    let tell = |containers: std::ops::Range<usize>| {
        let left = provider.records("acme", "parked") - containers.len() as u64;
        containers.for_each(|n| notify(at, &format!("C{n}"), "Validated", ""));
        until_true("the verdicts", || provider.records("acme", "parked") == left);
    };
    let listening = || {
        let daemon = provider.start();
        until_true("it listens", || std::net::TcpStream::connect(at).is_ok());
        daemon
    };
    let told = || {
        let rows = provider.verdicts("acme", "R.ndjson");
        let delivered = rows.iter().filter(|row| row.outcome == "delivered").count() as u64;
        let receipt = provider.receipt("acme", "R.ndjson");
        (delivered, receipt["records"]["delivered"].as_u64().unwrap(), rows.len())
    };
    let daemon = listening();
    drop_records(&provider, &records);
    until_true("the parking", || provider.records("acme", "parked") == 60);
    tell(0..20);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(told(), (20, 20, 60));

    let daemon = listening();
    tell(20..50);
    daemon.kill();
    let daemon = listening();
    until_true("the receipt", || told() == (50, 50, 60));
    tell(50..60);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(told(), (60, 60, 60));
    counts(&provider, 0, 60, 0);
}
