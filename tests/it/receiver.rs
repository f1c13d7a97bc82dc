//! Notifications that come in: who sends one must prove itself, what is answered is durable, and a
//! release that comes wakes what waits for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jsonwebtoken::{Algorithm, EncodingKey};
use lighterman::sandbox::{Fault, Release, What};
use serde_json::json;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

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

    /// From now on the API does not answer.
    fn cut(&self) {
        self.port.fault(Fault::new("/wallet-a/*", What::Drop)).unwrap();
    }

    fn listens(&self) {
        until_true("it listens", || TcpStream::connect(self.at).is_ok());
    }

    fn tell(&self, event: &str, n: u64) -> u16 {
        post(self.at, API, &[&signed()], &on_release(event, &address(n), VAT))
    }

    /// How many notifications are still to be worked on.
    fn open(&self) -> u64 {
        let status = self.provider.status();
        let senders = status["notifications"].as_object().into_iter().flat_map(|all| all.values());
        senders.map(|sender| sender["open"].as_u64().unwrap()).sum()
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

/// The daemon is killed before each of these steps for a notification, which is open then or not.
fn is_killed(body: &serde_json::Value, steps: &[(&str, u64)]) {
    let stage = Stage::new();
    let parks = stage.start();
    let file = [Assignment::of(&container(0), None, driver("D0"))];
    stage.provider.drop_file("wilgen", "1.xml", xml(file));
    until_true("the parking", || stage.provider.records("wilgen", "parked") == 1);
    parks.kill();
    let body = body.to_string();
    let header = signed();
    for (step, open) in steps {
        let fault = format!("kill;at;1;{step}");
        let daemon = stage.provider.start_in(&["run"], &[("LIGHTERMAN_FAULT", &fault)]);
        stage.listens();
        let answered = try_post(stage.at, API, &[&header], body.as_bytes());
        assert!(answered.is_err(), "{step}: {answered:?}");
        let ended = daemon.end();
        assert_eq!(ended.code, 137, "{step}: {ended}");
        assert_eq!(stage.open(), *open, "{step}");
    }
    stage.port.replace(Port::scr_world(releases(1), 0)).unwrap();
    let daemon = stage.start();
    assert_eq!(try_post(stage.at, API, &[&header], body.as_bytes()).unwrap(), 200, "a repeat");
    until_true("the delivery", || stage.provider.records("wilgen", "delivered") == 1);
    until_true("the end of events", || stage.open() == 0);
    assert_eq!(daemon.stop().code, 0);
    let read = format!("{SCR}/releases/{}", address(0).to_lowercase());
    assert_eq!(stage.port.calls_to(&read).len(), 2, "the event was worked on, and the assignment");
    let left = std::fs::read_dir(stage.provider.path("state/test/events")).unwrap();
    assert_eq!(left.count(), 0);
    stage.provider.check_ledger();
}

#[test]
fn what_was_acknowledged_is_worked_on_after_a_kill_and_what_was_not_may_be_sent_again() {
    is_killed(&on_release("TRANSFER", &address(0), VAT), &[("acknowledge events/1.json", 1)]);
}

#[test]
fn a_long_one_lies_in_a_file_before_the_ledger_knows_of_it() {
    let mut body = on_release("TRANSFER", &address(0), VAT);
    body["note"] = "x".repeat(300).into();
    let steps = [
        ("write events/1.json", 0),
        ("rename events/1.json", 0),
        ("sync folder test/events", 0),
        ("acknowledge events/1.json", 1),
    ];
    is_killed(&body, &steps);
}

#[test]
fn the_key_decides_which_algorithms_are_taken() {
    let key = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/remote/test_keys");
        std::fs::read(folder.join(name)).unwrap()
    };
    let rsa = EncodingKey::from_rsa_pem(&key("rsa-pkcs1.pem")).unwrap();
    let ec = EncodingKey::from_ec_pem(&key("ec-p256-pkcs8.pem")).unwrap();
    for (public, right, wrong) in [
        (
            "rsa-public.pem",
            vec![(Algorithm::RS256, &rsa), (Algorithm::RS512, &rsa)],
            vec![(Algorithm::PS256, &rsa), (Algorithm::ES256, &ec)],
        ),
        ("ec-p256-public.pem", vec![(Algorithm::ES256, &ec)], vec![(Algorithm::RS256, &rsa)]),
    ] {
        let stage = Stage::new();
        stage.port.replace(Port::scr_world(releases(1), 0)).unwrap();
        stage.provider.file("secrets/callback", key(public));
        let daemon = stage.start();
        let post = |token: String| {
            let header = format!("Authorization: Bearer {token}");
            post(stage.at, API, &[&header], &on_release("UPDATE", &address(0), VAT))
        };
        for (algorithm, key) in right {
            assert_eq!(post(jwt(algorithm, key, 60)), 200, "{public}, {algorithm:?}");
        }
        for (algorithm, key) in wrong {
            assert_eq!(post(jwt(algorithm, key, 60)), 401, "{public}, {algorithm:?}");
        }
        // Everybody knows the public key: it is no secret to sign with.
        let public_as_secret = EncodingKey::from_secret(&key(public));
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            assert_eq!(post(jwt(algorithm, &public_as_secret, 60)), 401, "{public}, {algorithm:?}");
        }
        assert_eq!(daemon.stop().code, 0);
    }
}

#[test]
fn a_key_that_can_prove_nothing_is_told_by_a_check_and_by_an_alarm() {
    let short = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/remote/test_keys");
    let short = std::fs::read_to_string(short.join("rsa-1024-public.pem")).unwrap();
    let rubbish = "-----BEGIN PUBLIC KEY-----\nzzz\n-----END PUBLIC KEY-----\n";
    for (key, why) in [(&*short, "fewer than 2048 bits"), (rubbish, "no RSA or EC key")] {
        let stage = Stage::new();
        stage.provider.file("secrets/callback", key);
        let check = stage.provider.run(&["check"]);
        check.ended(1);
        let told = "lighterman.toml: [scr.wallet-a] callback: the key in ";
        assert!(check.stderr.contains(told) && check.stderr.contains(why), "{check}");
        let daemon = stage.start();
        assert_eq!(stage.provider.alarms(), ["config"]);
        assert_eq!(stage.tell("UPDATE", 0), 503, "to be sent again once the key is mended");
        stage.provider.secret("callback", CALLBACK_KEY);
        daemon.hang_up();
        until_true("it is mended", || stage.provider.alarms().is_empty());
        assert_eq!(stage.tell("UPDATE", 0), 200);
        assert_eq!(daemon.stop().code, 0);
    }
}

#[test]
fn a_token_in_the_body_proves_it_and_is_not_kept() {
    let callback = "callback = { key = { file = \"secrets/callback\" }, in = \"body\" }";
    let stage = Stage::with("", callback);
    stage.cut();
    let daemon = stage.start();
    let mut body = on_release("TRANSFER", &address(0), VAT);
    assert_eq!(post(stage.at, API, &[&signed()], &body), 401, "not where it is to be");
    let other = EncodingKey::from_secret(b"another-secret-of-thirty-two-bytes!!");
    body["token"] = jwt(Algorithm::HS256, &other, 60).into();
    assert_eq!(post(stage.at, API, &[], &body), 401);
    let token = signed().trim_start_matches("Authorization: Bearer ").to_owned();
    // A long one lies in a file.
    let note = "x".repeat(300);
    (body["token"], body["note"]) = (token.clone().into(), note.clone().into());
    assert_eq!(post(stage.at, API, &[], &body), 200);
    assert_eq!(stage.open(), 1);
    let kept = std::fs::read_to_string(stage.provider.path("state/test/events/1.json")).unwrap();
    let mut bare = on_release("TRANSFER", &address(0), VAT);
    bare["note"] = note.into();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&kept).unwrap(), bare);
    let ended = daemon.stop();
    assert!(!ended.stderr.contains(&token), "{ended}");
}

#[test]
fn cpu_proves_itself_by_a_header_or_a_bearer_token() {
    let stage = Stage::new();
    for (customer, header) in [("fixed", "X-Notify"), ("bearer", "authorization")] {
        let text = format!(
            r#"
[logins.own]
client   = "nxtport"
username = "{customer}"
password = {{ file = "../secrets/scr" }}
callback = {{ header = "{header}", value = {{ file = "../secrets/callback" }} }}
"#
        );
        stage.provider.customer(customer, "BE1000000021", &text);
    }
    let daemon = stage.start();
    let body = json!({ "type": "ReleaseRight", "event": "Transferred", "PublicReferenceId": "r1" });
    let tell = |customer: &str, header: String| {
        post(stage.at, &format!("/notifications/cpu/{customer}"), &[&header], &body)
    };
    let right = CALLBACK_KEY;
    for (customer, header, status) in [
        ("fixed", format!("X-Notify: {right}!"), 401),
        ("fixed", "X-Notify:".to_owned(), 401),
        ("fixed", format!("X-Other: {right}"), 401),
        ("fixed", format!("Authorization: Bearer {right}"), 401),
        ("bearer", format!("Authorization: Bearer {right}x"), 401),
        ("bearer", format!("Authorization: Basic {right}"), 401),
        ("wilgen", format!("X-Notify: {right}"), 404),
        ("nobody", format!("X-Notify: {right}"), 404),
        ("fixed", format!("x-notify: {right}"), 200),
        ("bearer", format!("Authorization: Bearer {right}"), 200),
    ] {
        assert_eq!(tell(customer, header.clone()), status, "{customer}, {header}");
    }
    let status = stage.provider.status();
    let senders = status["notifications"].as_object().unwrap();
    assert_eq!(senders.keys().collect::<Vec<_>>(), ["cpu/bearer", "cpu/fixed"]);
    assert!(senders["cpu/fixed"]["last"].is_string(), "{status}");
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn who_tells_of_a_customer_whose_config_is_to_be_mended_is_to_come_again() {
    let stage = Stage::new();
    stage.provider.customer("broken", "BE1000000021", "nonsense = 1");
    let daemon = stage.start();
    let body = json!({ "type": "ReleaseRight", "event": "Transferred", "PublicReferenceId": "r1" });
    let tell = |customer: &str| {
        let path = format!("/notifications/cpu/{customer}");
        post(stage.at, &path, &[&format!("X-Notify: {CALLBACK_KEY}")], &body)
    };
    assert_eq!((tell("broken"), tell("nobody")), (503, 404));
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn a_body_that_is_too_large_or_too_slow_is_refused_and_nobody_waits_for_it() {
    let stage = Stage::new();
    stage.port.replace(Port::scr_world(releases(1), 0)).unwrap();
    let daemon = stage.start();
    let connect = || TcpStream::connect(stage.at).unwrap();
    let (mut no_head, mut no_body) = (connect(), connect());
    no_head.write_all(b"POST /notifications/scr/wallet-a HTT").unwrap();
    let head =
        format!("POST {API} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n{}\r\n\r\n{{", signed());
    no_body.write_all(head.as_bytes()).unwrap();
    // What is announced, and what is not.
    let large = vec![b' '; (1 << 20) + 1];
    assert_eq!(try_post(stage.at, API, &[&signed()], &large).unwrap(), 413);
    // Who writes all of it before he reads sees the answer, too.
    let mut patient = connect();
    let length = 5 << 20;
    let head = format!(
        "POST {API} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{}\r\n\r\n",
        signed()
    );
    patient.write_all(head.as_bytes()).unwrap();
    patient.write_all(&vec![b' '; length]).unwrap();
    let mut answer = [0; 12];
    patient.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let mut chunked = connect();
    let head = format!(
        "POST {API} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{}\r\n\r\n",
        signed()
    );
    chunked.write_all(head.as_bytes()).unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    // It is refused before the last is written.
    while chunked.write_all(&chunk).is_ok() {}
    // Of the unproven nothing is read.
    assert_eq!(try_post(stage.at, API, &[], &large).unwrap(), 401);
    assert_eq!(stage.tell("UPDATE", 0), 200);
    let mut answer = String::new();
    no_body.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    answer.clear();
    no_head.read_to_string(&mut answer).unwrap();
    assert!(!answer.contains("200"), "{answer}");
    until_true("the end of the good one", || stage.open() == 0);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn of_a_flood_nothing_that_was_acknowledged_is_lost() {
    let stage = Stage::new();
    stage.cut();
    let daemon = stage.start();
    // Nobody else comes in while so many connections are open.
    let idle: Vec<TcpStream> = (0..256).map(|_| TcpStream::connect(stage.at).unwrap()).collect();
    until_true("it is full", || stage.tell("UPDATE", 999) == 503);
    drop(idle);
    until_true("it is not full", || stage.tell("UPDATE", 999) == 200);
    let mut acknowledged: Vec<u64> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let stage = &stage;
                scope.spawn(move || {
                    let mine = sender * 25..(sender + 1) * 25;
                    mine.filter(|n| stage.tell("TRANSFER", *n) == 200).collect::<Vec<u64>>()
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    acknowledged.push(999);
    assert_eq!(daemon.kill().code, 137);
    assert_eq!(stage.open(), acknowledged.len() as u64);
    let before = stage.port.calls_to(SCR).len();
    stage.port.clear_faults();
    stage.port.replace(Port::scr_world(releases(1000), 0)).unwrap();
    let daemon = stage.start();
    until_true("the end of events", || stage.open() == 0);
    let reads = stage.port.calls_to(SCR).split_off(before);
    for n in acknowledged {
        let read = format!("{SCR}/releases/{}", address(n).to_lowercase());
        assert!(reads.iter().any(|call| call.path == read), "{n} was acknowledged");
    }
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn events_are_worked_on_though_callbacks_keep_coming() {
    const SENDERS: u64 = 64;
    const EACH: u64 = 500;
    let stage = Stage::new();
    stage.port.replace(Port::scr_world(releases(SENDERS), 0)).unwrap();
    let daemon = stage.start();
    let (sent, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (stage, sent, enough) = (&stage, &sent, &enough);
            scope.spawn(move || {
                for _ in (0..EACH).take_while(|_| !enough.load(Ordering::Relaxed)) {
                    stage.tell("UPDATE", sender);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        until_true("the work", || {
            let is_left = sent.load(Ordering::Relaxed) < SENDERS * EACH;
            !is_left || stage.port.calls_to(SCR).len() > 200
        });
        assert!(sent.load(Ordering::Relaxed) < SENDERS * EACH, "it did not wait for their end");
        enough.store(true, Ordering::Relaxed);
    });
    until_true("the end of events", || stage.open() == 0);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn repeats_are_told_from_what_comes_again() {
    let stage = Stage::new();
    stage.cut();
    let daemon = stage.start();
    let (first, body) = (signed(), on_release("GREENLIGHTS", &address(0), VAT));
    for _ in 0..3 {
        assert_eq!(post(stage.at, API, &[&first], &body), 200);
    }
    assert_eq!(stage.open(), 1, "sent again, it has its token");
    assert_eq!(stage.tell("GREENLIGHTS", 0), 200);
    assert_eq!(stage.open(), 2, "the lights have changed again");
    let status = stage.provider.status();
    assert_eq!(status["notifications"]["scr/wallet-a"]["open"], 2, "{status}");
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn what_fits_nobody_is_kept_with_an_alarm_until_it_fits() {
    let stage = Stage::new();
    stage.port.replace(Port::scr_world(releases(2), 0)).unwrap();
    let daemon = stage.start();
    let tell = |n, vat| post(stage.at, API, &[&signed()], &on_release("UPDATE", &address(n), vat));
    assert_eq!(tell(0, "BE1000000021"), 200);
    until_true("the alarm", || stage.provider.alarms() == ["notification"]);
    // It lies where the alarm says that it may be looked at and removed.
    let kept = stage.provider.path("state/test/events/1.json");
    let says: serde_json::Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    assert_eq!(says, on_release("UPDATE", &address(0), "BE1000000021"));
    assert_eq!(tell(1, VAT), 200);
    until_true("the end of what fits", || stage.open() == 1);
    assert_eq!(stage.port.calls_to(SCR).len(), 1);
    stage.provider.transporter("elst", "BE 1000.000.021", "assignments", SLOW);
    daemon.hang_up();
    until_true("the end of the other", || stage.open() == 0);
    until_true("no alarm", || stage.provider.alarms().is_empty());
    assert_eq!(daemon.stop().code, 0);
    assert!(!kept.exists());
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let stage = Stage::with(
        ", tls = { cert = \"tls/cert.pem\", key = \"tls/key.pem\" }",
        "callback = { key = { file = \"secrets/callback\" }, in = \"header\" }",
    );
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/remote/test_keys");
    let install = |name: &str| {
        for (to, from) in [("key", format!("{name}-key.pem")), ("cert", format!("{name}.pem"))] {
            stage.provider.file(&format!("tls/{to}.pem"), std::fs::read(keys.join(from)).unwrap());
        }
    };
    install("tls-port");
    stage.port.replace(Port::scr_world(releases(1), 0)).unwrap();
    let daemon = stage.start();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(keys.join("tls-ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let post = || -> std::io::Result<u16> {
        let name = "localhost".try_into().unwrap();
        let tls = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut stream = StreamOwned::new(tls, TcpStream::connect(stage.at)?);
        let body = on_release("UPDATE", &address(0), VAT).to_string();
        stream.write_all(&request(API, &[&signed()], body.as_bytes()))?;
        answer(&mut stream)
    };
    let error = post().unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    install("tls-server");
    until_true("the renewed one", || post().is_ok_and(|status| status == 200));
    // A file that is half written leaves the one in use.
    stage.provider.file("tls/cert.pem", "-----BEGIN CERTIFICATE-----\nMIID");
    assert_eq!(post().unwrap(), 200);
    let ended = daemon.stop();
    assert!(ended.stderr.contains("The earlier certificate for notifications stays"), "{ended}");
}

#[test]
fn the_sandbox_calls_those_who_have_subscribed() {
    let stage = Stage::new();
    let daemon = stage.start();
    let file = [Assignment::of(&container(0), Some("BL1"), driver("D0"))];
    stage.provider.drop_file("wilgen", "1.xml", xml(file));
    until_true("the parking", || stage.provider.records("wilgen", "parked") == 1);
    let body = json!({
        "eventType": "onRelease", "callback_url": format!("http://{}{API}", stage.at)
    });
    let secret = EncodingKey::from_secret(SCR_KEY.as_bytes());
    let bearer = format!("Authorization: Bearer {}", jwt(Algorithm::HS256, &secret, 60));
    assert_eq!(post(stage.port.addr(), &format!("{SCR}/subscriptions"), &[&bearer], &body), 204);
    stage.port.change(SCR, "transfer", &releases(1)[0]).unwrap();
    until_true("the delivery", || stage.provider.records("wilgen", "delivered") == 1);
    until_true("the end of events", || stage.open() == 0);
    assert_eq!(daemon.stop().code, 0);
}
