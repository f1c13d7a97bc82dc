//! Notifications that come in: who sends one must prove itself, what is answered is durable, and a
//! release that comes wakes what waits for it.

use std::net::SocketAddr;

use jsonwebtoken::{Algorithm, EncodingKey};
use lighterman::sandbox::Release;
use serde_json::json;

use crate::harness::callback::*;
use crate::harness::*;

const API: &str = "/notifications/scr/wallet-a";

/// What is parked is looked up again by itself after the test is long over.
const SLOW: &str = r#"retry = { first = "1h", max = "1h", give_up_after = "24h" }"#;

fn address(n: u64) -> String {
    format!("0xC0de{n:036x}")
}

fn container(n: u64) -> String {
    format!("TEST{n:07}")
}

fn releases(count: u64) -> Vec<Release> {
    (0..count).map(|n| Port::release(&address(n), &container(n), "BL1")).collect()
}

fn driver(id: impl std::fmt::Display) -> Wanted {
    Wanted::Driver(id.to_string())
}

/// A port without releases, and a customer of its wallet whose notifications are taken.
struct Stage {
    port: Port,
    provider: Provider,
    at: SocketAddr,
}

impl Stage {
    fn new() -> Stage {
        Stage::with("", "callback = { key = { file = \"secrets/callback\" }, in = \"header\" }")
    }

    fn with(listener: &str, callback: &str) -> Stage {
        let at = free_address();
        let port = Port::open(Port::scr_world(Vec::new(), 0));
        let listen =
            format!("{callback}\n\n[listen]\nnotifications = {{ address = \"{at}\"{listener} }}\n");
        let provider = Provider::with(&port, &listen);
        provider.secret("callback", CALLBACK_KEY);
        provider.mapping("assignments", ASSIGNMENTS);
        provider.transporter("wilgen", VAT, "assignments", SLOW);
        Stage { port, provider, at }
    }

    /// Starts the daemon, and waits until it listens.
    fn start(&self) -> Running {
        let daemon = self.provider.start();
        self.listens();
        daemon
    }

    fn listens(&self) {
        until_true("it listens", || std::net::TcpStream::connect(self.at).is_ok());
    }

    fn tell(&self, event: &str, n: u64) -> u16 {
        post(self.at, API, &[&signed()], &on_release(event, &address(n), VAT))
    }

    /// How many notifications lie there to be worked on.
    fn open(&self) -> usize {
        let files = std::fs::read_dir(self.provider.path("state/test/events")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).count()
    }
}

#[test]
fn a_parked_assignment_wakes_on_its_transfer_and_on_nothing_else() {
    let stage = Stage::new();
    let daemon = stage.start();
    let file = [
        Assignment::of(&container(0), None, driver("D0")),
        Assignment::of(&container(1), Some("BL1"), driver("D1")),
        Assignment::of(&container(2), Some("BL9"), driver("D2")),
    ];
    stage.provider.drop_file("wilgen", "1.xml", xml(file));
    until_true("the parking", || stage.provider.records("wilgen", "parked") == 3);
    let looks = stage.port.calls_to(SCR).len();
    stage.port.replace(Port::scr_world(releases(3), 0)).unwrap();
    for n in 0..3 {
        assert_eq!(stage.tell("TRANSFER", n), 200);
    }
    until_true("the delivery", || stage.provider.records("wilgen", "delivered") == 2);
    until_true("the end of events", || stage.open() == 0);
    assert_eq!(daemon.stop().code, 0);
    let assigned = |n| stage.port.release(SCR, &address(n)).unwrap().assigned;
    assert_eq!(assigned(0).unwrap().identification, "D0");
    assert_eq!(assigned(1).unwrap().identification, "D1");
    assert_eq!(assigned(2), None, "its bill of lading is another's");
    // Of each release one read for the event; of two records one look and one assignment each.
    assert_eq!(stage.port.calls_to(SCR).len() - looks, 3 + 2 * 2);
    stage.provider.check_ledger();
}

#[test]
fn who_does_not_prove_itself_is_refused_and_nothing_is_kept() {
    let stage = Stage::new();
    stage.port.replace(Port::scr_world(releases(1), 0)).unwrap();
    let daemon = stage.start();
    let body = on_release("TRANSFER", &address(0), VAT);
    let key = EncodingKey::from_secret(CALLBACK_KEY.as_bytes());
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let good = jwt(Algorithm::HS256, &key, 60);
    // {"alg":"none","typ":"JWT"}, by python3: base64.urlsafe_b64encode(…).rstrip(b"=")
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let claims = good.split('.').nth(1).unwrap();
    let other = EncodingKey::from_secret(b"another-secret-of-thirty-two-bytes!!");
    let mut altered = good.clone();
    altered.replace_range(altered.len() - 2.., if good.ends_with("AA") { "BB" } else { "AA" });
    for (what, headers) in [
        ("no token", vec![]),
        ("no bearer", vec![format!("Authorization: Basic {good}")]),
        ("nonsense", vec![bearer("a.b.c")]),
        ("empty", vec![bearer("")]),
        ("another key", vec![bearer(&jwt(Algorithm::HS256, &other, 60))]),
        ("expired", vec![bearer(&jwt(Algorithm::HS256, &key, -60))]),
        ("unsigned", vec![bearer(&format!("{unsigned}.{claims}."))]),
        (
            "unsigned, with a signature",
            vec![bearer(&format!("{unsigned}.{claims}.{}", good.split('.').nth(2).unwrap()))],
        ),
        ("altered", vec![bearer(&altered)]),
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        assert_eq!(post(stage.at, API, &headers, &body), 401, "{what}");
    }
    assert_eq!(post(stage.at, API, &[&bearer(&good)], &body), 200);
    for path in ["/notifications/scr/wallet-b", "/notifications/cpu/wilgen", "/notifications"] {
        assert_eq!(post(stage.at, path, &[&bearer(&good)], &body), 404, "{path}");
    }
    assert_eq!(post(stage.at, API, &[&bearer(&good)], &json!(["no object"])), 400);
    until_true("the end of the good one", || stage.open() == 0);
    let ended = daemon.stop();
    assert_eq!(ended.code, 0);
    assert!(!ended.stderr.contains(&good), "{ended}");
    assert_eq!(stage.port.calls_to(SCR).len(), 1, "one was asked for");
}

#[test]
fn what_was_acknowledged_is_worked_on_after_a_kill_and_what_was_not_may_be_sent_again() {
    let stage = Stage::new();
    let parks = stage.start();
    let file = [Assignment::of(&container(0), None, driver("D0"))];
    stage.provider.drop_file("wilgen", "1.xml", xml(file));
    until_true("the parking", || stage.provider.records("wilgen", "parked") == 1);
    parks.kill();
    // Killed before the file is there, before the ledger knows of it, and before it is answered.
    let body = on_release("TRANSFER", &address(0), VAT).to_string();
    let header = signed();
    for (step, open) in [
        ("write events/1.json", 0),
        ("rename events/1.json", 0),
        ("sync folder test/events", 1),
        ("acknowledge events/1.json", 1),
    ] {
        let fault = format!("kill;at;1;{step}");
        let daemon = stage.provider.start_in(&["run"], &[("LIGHTERMAN_FAULT", &fault)]);
        stage.listens();
        let answered = try_post(stage.at, API, &[&header], body.as_bytes());
        assert!(answered.is_err(), "{step}: {answered:?}");
        let ended = daemon.end();
        assert_eq!(ended.code, 137, "{step}: {ended}");
        assert_eq!(stage.open(), open, "{step}");
    }
    stage.port.replace(Port::scr_world(releases(1), 0)).unwrap();
    let daemon = stage.start();
    assert_eq!(try_post(stage.at, API, &[&header], body.as_bytes()).unwrap(), 200, "a repeat");
    until_true("the delivery", || stage.provider.records("wilgen", "delivered") == 1);
    until_true("the end of events", || stage.open() == 0);
    assert_eq!(daemon.stop().code, 0);
    let read = format!("{SCR}/releases/{}", address(0).to_lowercase());
    assert_eq!(stage.port.calls_to(&read).len(), 2, "the event was worked on, and the assignment");
    stage.provider.check_ledger();
}
