//! A process that is killed loses nothing and repeats only what was in flight: SIGKILL at random
//! moments over one run of several files, to an ingestion channel as CSV and as NDJSON and to an
//! SCR API as XML, while the servers are slow and fail now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use lighterman::sandbox::{Call, Fault, What};

use crate::harness::*;

/// So often the process is killed.
const KILLS: u64 = 60;
/// Releases, and assignments to them in the first file.
const RELEASES: u64 = 250;
const ASSIGNED: u64 = 600;
fn address(release: u64) -> String {
    format!("0xc0de{release:036x}")
}

/// Every 97th order cannot be read.
fn is_faulty(id: &str) -> bool {
    let digits: String = id.chars().filter(char::is_ascii_digit).collect();
    digits.parse::<u64>().unwrap().is_multiple_of(97)
}

/// What went into the inboxes.
#[derive(Default)]
struct Dropped {
    /// The ids of each file, by customer and name.
    orders: BTreeMap<(&'static str, String), Vec<String>>,
    /// The age of the newest assignment of each release.
    newest: BTreeMap<u64, u64>,
    assignments: u64,
    next: u64,
    files: BTreeMap<(&'static str, String), Vec<u8>>,
}

impl Dropped {
    fn orders(&mut self, provider: &Provider, customer: &'static str, count: u64) {
        let first = self.next;
        self.next += count;
        let ids: Vec<String> = (first..self.next).map(|n| format!("{customer}{n}")).collect();
        let (name, bytes) = match customer {
            "acme" => (format!("{first:08}.csv"), csv(ids.clone(), is_faulty)),
            _ => (format!("{first:08}.ndjson"), ndjson(ids.clone(), is_faulty)),
        };
        provider.drop_file(customer, &name, &bytes);
        self.orders.insert((customer, name.clone()), ids);
        self.files.insert((customer, name), bytes);
    }

    fn assignments(&mut self, provider: &Provider, count: u64, random: &mut Random) {
        let name = format!("{:08}.xml", self.assignments);
        let mut file = Vec::new();
        for _ in 0..count {
            self.assignments += 1;
            let release = random.below(RELEASES);
            self.newest.insert(release, self.assignments);
            let driver = Wanted::Driver(self.assignments.to_string());
            file.push(Assignment::at(&address(release), driver));
        }
        let bytes = xml(file);
        provider.drop_file("wilgen", &name, &bytes);
        self.files.insert(("wilgen", name), bytes);
    }
}

fn open() -> (Port, Provider) {
    let releases = (0..RELEASES).map(|n| Port::release(&address(n), "TEST0000001", "BL1"));
    let mut world = Port::world(&["acme", "zeta"]);
    world.scr = Port::scr_world(releases.collect(), 10).scr;
    let port = Port::open(world);
    for (path, slow) in [("/ingestion", 8), ("/wallet-a", 0)] {
        port.fault(Fault::new(path, What::DropAfter).every(11)).unwrap();
        port.fault(Fault::new(path, What::Drop).every(17)).unwrap();
        port.fault(Fault::status(path, 503).every(13)).unwrap();
        if slow > 0 {
            port.fault(Fault::new(path, What::DelayMs(slow))).unwrap();
        }
    }
    let provider = Provider::new(&port);
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file("lighterman.toml", config + "concurrency = 4\n");
    let quick = r#"retry = { first = "10ms", max = "40ms", give_up_after = "24h" }"#;
    let small = format!("{quick}\nbatch = {{ records = 20, bytes = \"64 KiB\" }}");
    provider.mapping("csv", &orders("format = \"csv\"\ndelimiter = \";\"", "json"));
    provider.mapping("ndjson", &orders("format = \"ndjson\"", "ndjson"));
    provider.mapping("assignments", ASSIGNMENTS);
    provider.forwarder("acme", "csv", &small);
    provider.forwarder("zeta", "ndjson", &small);
    let path = "customers/zeta.toml";
    let zeta = std::fs::read_to_string(provider.path(path)).unwrap();
    provider.file(path, zeta.replace("application/json", "application/x-ndjson"));
    provider.transporter("wilgen", VAT, "assignments", quick);
    (port, provider)
}

#[test]
fn sixty_kills_lose_nothing_and_repeat_only_what_was_in_flight() {
    let (seed, mut random) = Random::seeded();
    println!("LIGHTERMAN_SEED={seed}");
    let (port, provider) = open();
    let mut dropped = Dropped::default();
    dropped.orders(&provider, "acme", 12_000);
    dropped.orders(&provider, "acme", 8_000);
    dropped.orders(&provider, "zeta", 3_000);
    dropped.assignments(&provider, ASSIGNED, &mut random);

    let mut kills = Vec::new();
    for kill in 0..KILLS {
        let daemon = provider.start();
        if kill % 4 == 1 {
            // A file that appears while the process is young, or in the middle of its work.
            rest(random.below(60));
            dropped.orders(&provider, "acme", 150);
        }
        if kill % 8 == 2 {
            dropped.orders(&provider, "zeta", 100);
            dropped.assignments(&provider, 30, &mut random);
        }
        let calls = port.stats().ingestion.calls;
        match random.below(3) {
            // At once, in the middle of opening the state or of a claim.
            0 => rest(random.below(80)),
            1 => rest(80 + random.below(150)),
            // Once it is at work.
            _ => {
                let wanted = calls + 1 + random.below(60);
                let deadline = std::time::Instant::now() + Duration::from_millis(400);
                while port.stats().ingestion.calls < wanted && std::time::Instant::now() < deadline
                {
                    rest(1);
                }
            }
        }
        let end = daemon.kill();
        assert_eq!(end.code, 128 + 9, "seed {seed}: it ended by itself: {end}");
        let at = Timestamp::now();
        let noted = ["acme", "zeta"].map(|customer| provider.records(customer, "delivered"));
        kills.push(Kill { at, noted });
        if kill % 4 == 3 {
            provider.check_ledger();
        }
    }

    let mut last = provider.run_once(&["--wait", "20s"]);
    for _ in 0..5 {
        if last.code != 75 {
            break;
        }
        last = provider.run_once(&["--wait", "20s"]);
    }
    assert!([0, 3].contains(&last.code), "seed {seed}: {last}");
    provider.check_ledger();
    every_order_is_answered_for_once(&port, &provider, &dropped, seed);
    only_what_was_in_flight_is_repeated(&port, &kills, seed);
    assignments_kept_their_order(&port, &provider, &dropped, seed);
    nothing_is_left_lying(&provider, &dropped, seed);
}

/// A random moment is what a kill waits for.
fn rest(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Each id is in exactly one message, or in exactly one rejects file; and the receipts say so.
fn every_order_is_answered_for_once(
    port: &Port,
    provider: &Provider,
    dropped: &Dropped,
    seed: u64,
) {
    for customer in ["acme", "zeta"] {
        let mut delivered = BTreeSet::new();
        for (key, records) in sent(port, &format!("c-{customer}")) {
            for record in records {
                let id = record["id"].as_str().unwrap().to_owned();
                assert!(delivered.insert(id), "seed {seed}: {record} again under the key {key}");
            }
        }
        let mut rejected = BTreeSet::new();
        let mut wanted = BTreeSet::new();
        for ((of, name), ids) in &dropped.orders {
            if *of != customer {
                continue;
            }
            wanted.extend(ids.iter().cloned());
            let faulty: Vec<&String> = ids.iter().filter(|id| is_faulty(id)).collect();
            let in_rejects = ids_of(&provider.rejects(customer, name).unwrap_or_default());
            assert_eq!(in_rejects.iter().collect::<Vec<_>>(), faulty, "seed {seed}: {name}");
            rejected.extend(in_rejects);
            let problems = provider.problems(customer, name);
            let records: Vec<usize> =
                problems.iter().map(|problem| problem.record as usize).collect();
            let places: Vec<usize> =
                (1..=ids.len()).filter(|place| is_faulty(&ids[place - 1])).collect();
            assert_eq!(records, places, "seed {seed}: the problems of {name}");
            let receipt = provider.receipt(customer, name);
            let count = |state: &str| receipt["records"][state].as_u64().unwrap() as usize;
            let sound = ids.len() - faulty.len();
            assert_eq!(
                (count("total"), count("delivered"), count("quarantined")),
                (ids.len(), sound, faulty.len()),
                "seed {seed}: {receipt}"
            );
            assert!(receipt["settled"].is_string(), "seed {seed}: {receipt}");
        }
        assert!(delivered.is_disjoint(&rejected), "seed {seed}");
        let answered: BTreeSet<String> = delivered.union(&rejected).cloned().collect();
        assert!(answered == wanted, "seed {seed}: {customer}: not every order is answered for");
    }
}

/// The ids in a rejects file of either format.
fn ids_of(rejects: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(rejects).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("ID;"));
    lines
        .map(|line| match line.strip_prefix("{\"ID\":\"") {
            Some(rest) => rest.split('"').next().unwrap().to_owned(),
            None => line.split(';').next().unwrap().to_owned(),
        })
        .collect()
}

/// A kill, and how many records of acme and zeta the ledger knew to be delivered then.
struct Kill {
    at: Timestamp,
    noted: [u64; 2],
}

/// A message that was taken comes again only if its sender could not hear so, or was killed before
/// it had noted it: what the ledger knew to be delivered never comes again.
fn only_what_was_in_flight_is_repeated(port: &Port, kills: &[Kill], seed: u64) {
    for (customer, channel) in [(0, "/ingestion/c-acme"), (1, "/ingestion/c-zeta")] {
        let taken: Vec<Call> = port.calls_to(channel).into_iter().filter(was_taken).collect();
        let records: BTreeMap<&str, u64> =
            taken.iter().map(|call| (key(call), records_of(call))).collect();
        let mut last: BTreeMap<&str, &Call> = BTreeMap::new();
        let mut repeated: BTreeMap<Timestamp, u64> = BTreeMap::new();
        for call in &taken {
            let Some(before) = last.insert(key(call), call) else { continue };
            let kill = kills.iter().rfind(|kill| before.at < kill.at && kill.at < call.at);
            match kill {
                Some(kill) => *repeated.entry(kill.at).or_default() += records[key(call)],
                None => assert!(
                    before.status.is_none(),
                    "seed {seed}: {} was taken and heard, and came again without a kill",
                    key(call)
                ),
            }
        }
        for kill in kills {
            let before: BTreeSet<&str> =
                taken.iter().filter(|call| call.at < kill.at).map(key).collect();
            let taken: u64 = before.iter().map(|key| records[key]).sum();
            let noted = kill.noted[customer];
            let repeated = repeated.get(&kill.at).copied().unwrap_or(0);
            assert!(
                noted + repeated <= taken,
                "seed {seed}: at {} {noted} of {taken} records were noted for {channel}, and \
                 {repeated} came again",
                kill.at
            );
        }
        println!("{channel}: {} records came again", repeated.values().sum::<u64>());
    }
}

fn key(call: &Call) -> &str {
    &call.headers["idempotency-key"]
}

/// How many records the body of a taken message holds; each has one id.
fn records_of(call: &Call) -> u64 {
    call.body.as_ref().map_or(0, |body| body.matches("\"id\"").count() as u64)
}

fn assignments_kept_their_order(port: &Port, provider: &Provider, dropped: &Dropped, seed: u64) {
    for (release, newest) in &dropped.newest {
        let changes = port.release(SCR, &address(*release)).unwrap().history.into_iter();
        let seen: Vec<u64> = changes
            .map(|change| change.assigned.unwrap().identification.parse().unwrap())
            .collect();
        assert!(seen.is_sorted(), "seed {seed}: release {release} saw {seen:?}");
        assert_eq!(seen.last(), Some(newest), "seed {seed}: release {release} saw {seen:?}");
    }
    let totals = provider.totals("wilgen");
    assert_eq!(
        (totals["total"], totals["delivered"] + totals["superseded"]),
        (dropped.assignments, dropped.assignments),
        "seed {seed}: {totals:?}"
    );
    let scr = &port.stats().scr[SCR];
    assert!(scr.highest_open <= 4 && scr.overlapping == 0, "seed {seed}: {scr:?}");
    assert_eq!((scr.refused_tokens, scr.replayed_tokens), (0, 0), "seed {seed}: {scr:?}");
}

/// Every file is in the archive under its own name, byte by byte; nothing else is left anywhere.
fn nothing_is_left_lying(provider: &Provider, dropped: &Dropped, seed: u64) {
    for customer in ["acme", "zeta", "wilgen"] {
        let files: Vec<String> = dropped
            .files
            .keys()
            .filter(|(of, _)| *of == customer)
            .map(|(_, name)| name.clone())
            .collect();
        let wanted: Vec<String> = files.iter().map(|name| format!("{name}.receipt.json")).collect();
        let mut receipts = provider.names(customer, "receipts");
        receipts.retain(|name| !name.ends_with(".verdicts.csv"));
        assert_eq!(receipts, wanted, "seed {seed}");
        for name in &files {
            let bytes = &dropped.files[&(customer, name.clone())];
            let archived = provider.archived(customer, name);
            assert!(archived.as_ref() == Some(bytes), "seed {seed}: {name} in the archive");
        }
        for name in provider.names(customer, "") {
            assert!(
                ["archive", "receipts", "rejects"].contains(&name.as_str()),
                "seed {seed}: {name} is left in the inbox of {customer}"
            );
        }
        for name in provider.names(customer, "rejects") {
            assert!(!name.starts_with('.'), "seed {seed}: {name} is left");
        }
    }
}
