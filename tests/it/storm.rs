//! Everything at once: SIGKILL at random moments while messages are cut in halves, records are
//! deferred, superseded and retried from quarantine, and the config is reloaded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::contract_fake::{Answer, Fake, Seen, answer, dropped};
use crate::harness::*;

/// So often the process is killed.
const KILLS: u64 = 100;
const RELEASES: u64 = 60;

/// An ingestion server that refuses every message with a `BAD` order in it until it is mended, and
/// fails now and then.
#[derive(Clone, Default)]
struct Server {
    mended: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    /// The keys and bodies of what it took, whether or not its sender heard so.
    taken: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    fn answer(&self, seen: &Seen) -> Answer {
        if !seen.path.starts_with("/ingestion") {
            return answer(0, "");
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if call % 17 == 7 {
            return dropped();
        }
        if call % 13 == 5 {
            return answer(503, "");
        }
        let body = seen.text();
        if body.contains("BAD") && !self.mended.load(Ordering::SeqCst) {
            return answer(400, "there is a bad order in it");
        }
        self.taken.lock().unwrap().push((seen.header("idempotency-key").to_owned(), body));
        match call % 11 {
            3 => dropped(),
            _ => answer(200, "{}"),
        }
    }
}

/// What went into the inboxes.
#[derive(Default)]
struct Given {
    orders: u64,
    assignments: u64,
    /// The age of the newest assignment of each release.
    newest: BTreeMap<u64, u64>,
}

/// Every 37th order is one that the server does not like.
fn id_of(order: u64) -> String {
    match order % 37 {
        5 => format!("BAD{order}"),
        _ => format!("N{order}"),
    }
}

/// Every 53rd cannot be read.
fn is_faulty(id: &str) -> bool {
    let number: u64 = id.trim_start_matches(char::is_alphabetic).parse().unwrap();
    number % 53 == 11
}

impl Given {
    fn orders(&mut self, provider: &Provider, count: u64) {
        let first = self.orders;
        self.orders += count;
        let ids = (first..self.orders).map(id_of);
        provider.drop_file("acme", &format!("{first:06}.csv"), csv(ids, is_faulty));
    }

    fn assignments(&mut self, provider: &Provider, count: u64, random: &mut Random) {
        let name = format!("{:06}.xml", self.assignments);
        let mut file = Vec::new();
        for _ in 0..count {
            self.assignments += 1;
            let release = random.below(RELEASES);
            self.newest.insert(release, self.assignments);
            let driver = Wanted::Driver(self.assignments.to_string());
            file.push(Assignment::at(&address(release), driver));
        }
        provider.drop_file("wilgen", &name, xml(file));
    }
}

fn address(release: u64) -> String {
    format!("0xc0de{release:036x}")
}

#[test]
fn a_hundred_kills_with_everything_going_on_lose_nothing_and_double_nothing() {
    let (seed, mut random) = Random::seeded();
    println!("LIGHTERMAN_SEED={seed}");
    let releases = (0..RELEASES).map(|n| Port::release(&address(n), "TEST0000001", "BL1"));
    let port = Port::open(Port::scr_world(releases.collect(), 5));
    for (path, what) in [
        ("/wallet-a", lighterman::sandbox::What::DropAfter),
        ("/wallet-a", lighterman::sandbox::What::Drop),
    ] {
        port.fault(lighterman::sandbox::Fault::new(path, what).every(9)).unwrap();
    }
    port.fault(lighterman::sandbox::Fault::status("/wallet-a", 503).every(7)).unwrap();
    let server = Server::default();
    let answers = server.clone();
    let fake = Fake::start(move |seen, _| answers.answer(seen));
    let provider = provider_of(&port, &fake);
    let mut given = Given::default();
    given.orders(&provider, 900);
    given.assignments(&provider, 150, &mut random);

    for kill in 0..KILLS {
        let daemon = provider.start();
        until_true("the start", || daemon.stderr().contains("Started"));
        let mut retry = None;
        match kill % 6 {
            0 => given.orders(&provider, 60),
            1 => given.assignments(&provider, 20, &mut random),
            2 | 4 => retry = Some(provider.start_with(&["quarantine", "retry", "--all"])),
            3 => {
                provider.mapping("csv", &mapping(kill));
                daemon.hang_up();
            }
            _ => {}
        }
        // A random moment is what a kill waits for.
        std::thread::sleep(Duration::from_millis(random.below(200)));
        let end = daemon.kill();
        assert_eq!(end.code, 128 + 9, "seed {seed}: it ended by itself: {end}");
        if let Some(retry) = retry {
            let end = retry.end();
            assert!(!end.stderr.contains("panicked"), "seed {seed}: {end}");
        }
        if kill % 5 == 4 {
            provider.check_ledger();
        }
    }

    server.mended.store(true, Ordering::SeqCst);
    let faulty = (0..given.orders).filter(|order| is_faulty(&id_of(*order))).count() as u64;
    let mut run = provider.run_once(&["--wait", "30s"]);
    for _ in 0..10 {
        if run.code != 75 && provider.records("acme", "quarantined") == faulty {
            break;
        }
        let retry = provider.run(&["quarantine", "retry", "--all"]);
        assert!(!retry.stderr.contains("panicked"), "seed {seed}: {retry}");
        run = provider.run_once(&["--wait", "30s"]);
    }
    provider.check_ledger();
    assert_eq!(provider.records("acme", "quarantined"), faulty, "seed {seed}: {run}");
    assert_eq!(provider.records("acme", "delivered"), given.orders - faulty, "seed {seed}: {run}");
    each_order_was_taken_under_one_key(&server, &given, seed);
    each_release_ended_with_the_newest(&port, &provider, &given, seed);
}

/// The mapping of orders; its text, and so what a claim pins, differs by `note`.
fn mapping(note: u64) -> String {
    let note = format!("\n[[fields]]\nto = \"note\"\nvalue = \"{note}\"\n");
    orders("format = \"csv\"\ndelimiter = \";\"", "json") + &note
}

fn provider_of(port: &Port, fake: &Fake) -> Provider {
    let provider = Provider::new(port);
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    let config = config
        .replace(&format!("{}/ingestion", port.url()), &format!("{}/ingestion", fake.url()))
        .replace(&format!("{}/connect", port.url()), &format!("{}/connect", fake.url()));
    provider.file("lighterman.toml", config);
    let quick = r#"retry = { first = "10ms", max = "40ms", give_up_after = "24h" }"#;
    provider.mapping("csv", &mapping(0));
    provider.mapping("assignments", ASSIGNMENTS);
    let small = format!("{quick}\nbatch = {{ records = 20, bytes = \"64 KiB\" }}");
    provider.forwarder("acme", "csv", &small);
    provider.transporter("wilgen", VAT, "assignments", quick);
    provider
}

fn each_order_was_taken_under_one_key(server: &Server, given: &Given, seed: u64) {
    let mut bodies: BTreeMap<String, String> = BTreeMap::new();
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    for (key, body) in server.taken.lock().unwrap().iter() {
        let first = bodies.entry(key.clone()).or_insert_with(|| body.clone());
        assert_eq!(first, body, "seed {seed}: two bodies under the key {key}");
        let records: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
        for record in records {
            let id = record["id"].as_str().unwrap().to_owned();
            let other = keys.insert(id.clone(), key.clone());
            assert!(other.is_none_or(|other| other == *key), "seed {seed}: {id} under two keys");
        }
    }
    let wanted: BTreeSet<String> =
        (0..given.orders).map(id_of).filter(|id| !is_faulty(id)).collect();
    let taken: BTreeSet<String> = keys.into_keys().collect();
    assert_eq!(taken, wanted, "seed {seed}");
}

fn each_release_ended_with_the_newest(port: &Port, provider: &Provider, given: &Given, seed: u64) {
    for (release, newest) in &given.newest {
        let changes = port.release(SCR, &address(*release)).unwrap().history.into_iter();
        let seen: Vec<u64> = changes
            .map(|change| change.assigned.unwrap().identification.parse().unwrap())
            .collect();
        assert!(seen.is_sorted(), "seed {seed}: release {release} saw {seen:?}");
        assert_eq!(seen.last(), Some(newest), "seed {seed}: release {release} saw {seen:?}");
    }
    let ended = ["delivered", "superseded"].map(|state| provider.records("wilgen", state));
    assert_eq!(ended.iter().sum::<u64>(), given.assignments, "seed {seed}");
    assert!(port.stats().scr[SCR].highest_open <= 20, "seed {seed}");
}
