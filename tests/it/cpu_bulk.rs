//! Calls to Certified Pick up for several containers, at a port that tells of them at once or
//! container by container: each record ends as its container was told.

use std::net::SocketAddr;
use std::time::Duration;

use lighterman::sandbox::{Bulk, Callback, Company, Cpu, Verdict, World};
use serde_json::json;

use crate::harness::callback::{free_address, post};
use crate::harness::*;

const BULK: &str = "/certified-pickup/v1/BEANR/containers/import/release-rights";
const AN_HOUR: u64 = 3_600_000;
const HOOK: &str = "the-key-of-callbacks";
const WORDS: &str = "NotValidated: the B/L is not known";

const RIGHTS: &str = r#"
[input]
format = "csv"
delimiter = ";"

[output]
format = "json"

[[fields]]
to = "action"
value = "release-rights"

[[fields]]
to = "actionType"
value = "Accept"

[[fields]]
to = "portLoCode"
value = "BEANR"

[[fields]]
to = "equipmentNumber"
from = "CONT"

[[fields]]
to = "billOfLadingNumbers[]"
from = "BL"
required = true
"#;

/// A port where `BL-X` is refused, and calls for several are told of so.
fn world(bulk: Bulk, receiver: Option<SocketAddr>) -> World {
    let callback = receiver.map(|at| Callback {
        url: format!("http://{at}/notifications/cpu/acme"),
        headers: [("X-Key".to_owned(), HOOK.to_owned())].into(),
    });
    let company = Company {
        login: "acme".to_owned(),
        subscription_key: "acme-key".to_owned(),
        name: "Acme NV".to_owned(),
        vat: VAT.to_owned(),
        eori: String::new(),
        duns: String::new(),
        apcs: String::new(),
        nxt_entity_id: "NXT0001".to_owned(),
        callback,
    };
    let cpu = Cpu { bulk, companies: vec![company], verdicts: vec![refused("BL-X")], delay_ms: 0 };
    World { cpu, ..Port::world(&["acme"]) }
}

fn refused(contains: &str) -> Verdict {
    Verdict {
        contains: contains.to_owned(),
        event: "NotValidated".to_owned(),
        message: "the B/L is not known".to_owned(),
        delay_ms: None,
    }
}

/// A provider whose customer acme sends up to ten release rights in one call.
fn pick_up(port: &Port, channel: &str, receiver: Option<SocketAddr>) -> Provider {
    let (listen, callback) = match receiver {
        None => (String::new(), ""),
        Some(at) => (
            format!("\n[listen]\nnotifications = {{ address = \"{at}\" }}\n"),
            "callback = { header = \"X-Key\", value = { file = \"../secrets/hook\" } }",
        ),
    };
    let provider = Provider::with(port, &listen);
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let endpoint = format!("[endpoints]\ncpu = \"{}/certified-pickup/v1\"", port.url());
    provider.file("lighterman.toml", config.replace("[endpoints]", &endpoint));
    provider.secret("acme", "acme-password");
    provider.secret("key", "acme-key");
    provider.secret("hook", HOOK);
    provider.mapping("rights", RIGHTS);
    let text = format!(
        r#"
[logins.own]
client   = "nxtport"
username = "acme"
password = {{ file = "../secrets/acme" }}
subscription_key = {{ file = "../secrets/key" }}
{callback}

[channels.out]
type  = "cpu"
login = "own"
batch = {{ records = 10 }}
retry = {{ first = "20ms", max = "100ms", give_up_after = "24h" }}
{channel}

[[routes]]
source  = "in"
files   = "*"
mapping = "rights"
channel = "out"
"#
    );
    provider.customer("acme", VAT, &text);
    provider
}

/// Five release rights on lines 2, 3, 5, 6 and 7; what is on line 4 is rejected by the mapping.
/// C1 and C4 are refused at this port.
fn drop_rights(provider: &Provider) {
    let rows = "CONT;BL\nC0;BL0\nC1;BL-X\nC9;\nC2;BL2\nC3;BL3\nC4;BL-X\n";
    provider.drop_file("acme", "R.csv", rows);
}

/// Line, rule and advice of the problems of what was sent.
fn problems(provider: &Provider) -> Vec<(u64, String, String)> {
    let problems = provider.problems("acme", "R.csv").into_iter();
    let sent = problems.filter(|problem| problem.rule != "required");
    sent.inspect(|problem| assert_eq!(problem.record, problem.line - 1))
        .map(|problem| (problem.line, problem.rule, problem.advice))
        .collect()
}

/// Line, outcome and words of the verdicts, which all have the reference of the one call.
fn verdicts(provider: &Provider) -> Vec<(u64, String, String)> {
    let verdicts = provider.verdicts("acme", "R.csv");
    assert!(verdicts.iter().all(|row| row.reference == verdicts[0].reference), "{verdicts:?}");
    verdicts.into_iter().map(|row| (row.line, row.outcome, row.message)).collect()
}

fn rows(rows: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    rows.iter().map(|(line, one, two)| (*line, (*one).to_owned(), (*two).to_owned())).collect()
}

#[track_caller]
fn counts(provider: &Provider, parked: u64, delivered: u64, quarantined: u64) {
    let count = |state: &str| provider.records("acme", state);
    assert_eq!(
        (count("parked"), count("delivered"), count("quarantined")),
        (parked, delivered, quarantined)
    );
    provider.check_ledger();
}

/// C1 and C4 were refused and the others taken, in one call, and everything tells so.
#[track_caller]
fn each_ended_as_it_was_told(port: &Port, provider: &Provider) {
    counts(provider, 0, 3, 3);
    assert_eq!(problems(provider), rows(&[(3, "refused", WORDS), (7, "refused", WORDS)]));
    let expected = [
        (2, "delivered", ""),
        (3, "quarantined", WORDS),
        (5, "delivered", ""),
        (6, "delivered", ""),
        (7, "quarantined", WORDS),
    ];
    assert_eq!(verdicts(provider), rows(&expected));
    let rejects = provider.rejects("acme", "R.csv").unwrap();
    assert_eq!(String::from_utf8(rejects).unwrap(), "CONT;BL\nC1;BL-X\nC9;\nC4;BL-X\n");
    assert_eq!(port.calls_to(BULK).len(), 1, "sent once");
    let receipt = provider.receipt("acme", "R.csv");
    assert!(receipt["settled"].is_string(), "{receipt}");
    assert_eq!((&receipt["messages"], &receipt["records"]["delivered"]), (&json!(1), &json!(3)));
}

#[test]
fn each_container_of_one_call_ends_as_a_poll_finds_it() {
    let port = Port::open(world(Bulk::Each, None));
    let provider = pick_up(&port, "confirm = \"poll\"", None);
    drop_rights(&provider);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "{run}");
    each_ended_as_it_was_told(&port, &provider);
}

#[test]
fn each_container_of_one_call_ends_as_its_notification_tells() {
    let at = free_address();
    let port = Port::open(world(Bulk::Each, Some(at)));
    let provider = pick_up(&port, "confirm = \"notification\"", Some(at));
    let daemon = provider.start();
    until_true("it listens", || std::net::TcpStream::connect(at).is_ok());
    drop_rights(&provider);
    until_true("the verdicts", || provider.records("acme", "delivered") == 3);
    until_true("the refusals", || provider.records("acme", "quarantined") == 3);
    assert_eq!(daemon.stop().code, 0);
    each_ended_as_it_was_told(&port, &provider);
    assert_eq!(port.stats().cpu.reads, 0, "nobody asks");
}

#[test]
fn one_notification_that_names_no_container_decides_for_all() {
    for (refuses, code, delivered) in [(true, 3, 0), (false, 3, 5)] {
        let mut world = world(Bulk::One, None);
        if !refuses {
            world.cpu.verdicts.clear();
        }
        let port = Port::open(world);
        let provider = pick_up(&port, "confirm = \"poll\"", None);
        drop_rights(&provider);
        let run = provider.run_once(&["--wait", "30s"]);
        assert_eq!(run.code, code, "{run}");
        counts(&provider, 0, delivered, 6 - delivered);
        let (outcome, words) = if refuses { ("quarantined", WORDS) } else { ("delivered", "") };
        let expected = [2, 3, 5, 6, 7].map(|line| (line, outcome, words));
        assert_eq!(verdicts(&provider), rows(&expected));
        assert_eq!(port.calls_to(BULK).len(), 1);
    }
}

#[test]
fn containers_that_are_not_told_in_time_are_set_aside_and_the_others_end_as_they_were_told() {
    for confirm in ["poll", "notification"] {
        let mut world = world(Bulk::Each, None);
        let never =
            Verdict { event: "Validated".to_owned(), delay_ms: Some(AN_HOUR), ..refused("\"C2\"") };
        world.cpu.verdicts.insert(0, never);
        let port = Port::open(world);
        let channel = format!("confirm = \"{confirm}\"\nverdict_within = \"500ms\"");
        let provider = pick_up(&port, &channel, None);
        drop_rights(&provider);
        let run = provider.run_once(&["--wait", "30s"]);
        run.ended(3);
        counts(&provider, 0, 2, 4);
        assert_eq!(provider.alarms(), ["no-verdict"]);
        let told = problems(&provider);
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told[0], (3, "refused".to_owned(), WORDS.to_owned()));
        assert_eq!((told[1].0, told[1].1.as_str()), (5, "unknown outcome"));
        assert_eq!(told[2], (7, "refused".to_owned(), WORDS.to_owned()));
        let outcomes: Vec<String> = verdicts(&provider).into_iter().map(|row| row.1).collect();
        let expected = ["delivered", "quarantined", "quarantined", "delivered", "quarantined"];
        assert_eq!(outcomes, expected);
        assert_eq!(port.calls_to(BULK).len(), 1);
    }
}

#[test]
fn a_process_killed_between_the_verdicts_of_one_call_goes_on_with_the_rest() {
    let at = free_address();
    let mut world = world(Bulk::Each, Some(at));
    // At first C0 and C1 alone are told.
    let now = |verdict: Verdict| Verdict { delay_ms: Some(0), ..verdict };
    let done = Verdict { event: "Validated".to_owned(), ..refused("\"C0\"") };
    world.cpu.verdicts.splice(0..0, [now(done), now(refused("\"C1\""))]);
    world.cpu.delay_ms = AN_HOUR;
    let port = Port::open(world);
    let provider = pick_up(&port, "confirm = \"notification\"", Some(at));
    let mut daemon = provider.start();
    until_true("it listens", || std::net::TcpStream::connect(at).is_ok());
    drop_rights(&provider);
    until_true("the first verdicts", || {
        provider.records("acme", "delivered") == 1 && provider.records("acme", "quarantined") == 2
    });
    daemon.kill();
    counts(&provider, 3, 1, 2);

    // What was told is told again, and otherwise.
    daemon = provider.start();
    until_true("it listens", || std::net::TcpStream::connect(at).is_ok());
    until_true("it looked", || port.stats().cpu.reads > 0);
    let told = || verdicts(&provider).into_iter().map(|row| (row.0, row.1)).collect::<Vec<_>>();
    let row = |line: u64, outcome: &str| (line, outcome.to_owned());
    let expected = [
        row(2, "delivered"),
        row(3, "quarantined"),
        row(5, "parked"),
        row(6, "parked"),
        row(7, "parked"),
    ];
    until_true("the receipt", || told() == expected);
    let reference = provider.verdicts("acme", "R.csv")[0].reference.clone();
    for (container, event) in [("C0", "NotValidated"), ("c 1", "Validated"), ("C1", "Again")] {
        let body = json!({ "type": "ReleaseRight", "event": event, "id": container,
                           "PublicReferenceId": reference.to_uppercase() });
        let headers = [format!("X-Key: {HOOK}")];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        assert_eq!(post(at, "/notifications/cpu/acme", &headers, &body), 200);
    }
    let reads = port.stats().cpu.reads;
    until_true("that they are worked on", || port.stats().cpu.reads > reads);
    daemon.kill();
    counts(&provider, 3, 1, 2);

    // The rest is told while nobody listens.
    port.set_verdict_delay(Duration::ZERO);
    until_true("that it is told in vain", || port.stats().cpu.not_taken >= 9);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "{run}");
    each_ended_as_it_was_told(&port, &provider);
}
