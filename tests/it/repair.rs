//! A repair of the ledger while records are worked again: whatever is missing, none is lost, and
//! no key is used for another round's message.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use lighterman::sandbox::Fault;

use crate::harness::*;

const CHANNEL: &str = "concurrency = 1\nbatch = { records = 1, bytes = \"64 KiB\" }\n\
                       retry = { first = \"20ms\", max = \"100ms\", give_up_after = \"24h\" }";

/// A provider of acme, of whose file of five orders four were set aside. These are retried: two
/// are delivered, and two wait, since the server is out of order now.
fn half_retried() -> (Port, Provider) {
    let port = Port::open(Port::world(&["acme"]));
    let provider = Provider::new(&port);
    let mapping = orders("format = \"csv\"\ndelimiter = \";\"", "json");
    provider.mapping("orders", &mapping);
    provider.forwarder("acme", "orders", CHANNEL);
    provider.drop_file("acme", "A.csv", csv((1..=5).map(|n| n.to_string()), |id| id != "3"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    // Any weight will do now.
    provider.mapping("orders", &mapping.replace("number   = { decimal = \",\" }\n", ""));
    let run = provider.run(&["quarantine", "retry", "--all"]);
    assert_eq!(run.code, 0, "{run}");
    port.fault(Fault::status("/ingestion/c-acme", 503).skip(2)).unwrap();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(counts(&provider), [3, 0, 2]);
    port.clear_faults();
    (port, provider)
}

/// How many records are delivered, quarantined and open; the ledger is proved before.
#[track_caller]
fn counts(provider: &Provider) -> [u64; 3] {
    provider.check_ledger();
    let records = provider.status()["customers"]["acme"]["records"].clone();
    let of = |state: &str| records[state].as_u64().unwrap();
    let open = of("pending") + of("in_flight") + of("deferred") + of("parked");
    [of("delivered"), of("quarantined"), open]
}

/// How often the channel took each order; no key came with two bodies.
fn taken(port: &Port) -> BTreeMap<String, usize> {
    let mut taken = BTreeMap::new();
    for record in sent(port, "c-acme").values().flatten() {
        *taken.entry(record["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    taken
}

fn once_each() -> BTreeMap<String, usize> {
    (1..=5).map(|id| (id.to_string(), 1)).collect()
}

#[track_caller]
fn repair(provider: &Provider) -> String {
    let repair = provider.run(&["ledger", "repair"]);
    assert_eq!(repair.code, 0, "{repair}");
    repair.stdout
}

/// The spool folder of the round.
fn round(provider: &Provider) -> PathBuf {
    provider.path("state/test/spool/00000000000000000002")
}

#[test]
fn a_round_that_is_open_goes_on_after_a_repair() {
    let (port, provider) = half_retried();
    for entry in fs::read_dir(provider.path("state/test/ledger")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            fs::write(path, "torn").unwrap();
        }
    }
    let told = repair(&provider);
    assert!(told.contains("A.csv of acme (arrival 2): it goes on from record "), "{told}");
    let [delivered, quarantined, open] = counts(&provider);
    assert_eq!((delivered + open, quarantined), (5, 0), "{told}");
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(counts(&provider), [5, 0, 0]);
    assert_eq!(taken(&port), once_each(), "what was sent again had its key");
    let receipt = provider.receipt("acme", "A-2.csv");
    assert_eq!(receipt["ordinals"]["delivered"], "1-2,4-5", "{receipt}");
}

#[test]
fn the_records_of_a_round_of_which_something_is_missing_return_to_where_they_were() {
    let (port, provider) = half_retried();
    fs::remove_file(round(&provider).join("inspection.json")).unwrap();
    let told = repair(&provider);
    assert!(told.contains("A.csv of acme (arrival 2): "), "{told}");
    assert_eq!(counts(&provider), [3, 2, 0], "{told}");
    let run = provider.run(&["quarantine", "retry", "--all"]);
    assert_eq!(run.code, 0, "{run}");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(counts(&provider), [5, 0, 0]);
    assert_eq!(taken(&port), once_each());
}

#[test]
fn a_round_that_nothing_knows_any_more_leaves_its_records_set_aside() {
    let (port, provider) = half_retried();
    fs::remove_dir_all(provider.path("state/test/ledger")).unwrap();
    let told = repair(&provider);
    assert!(told.contains("arrival 2: its account is lost"), "{told}");
    // Nothing tells what the round has delivered: the ledger alone knew.
    assert_eq!(counts(&provider), [1, 4, 0], "{told}");
    let run = provider.run(&["quarantine", "retry", "--all"]);
    assert_eq!(run.code, 0, "{run}");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(counts(&provider), [5, 0, 0]);
    let twice = [("1", 2), ("2", 2), ("3", 1), ("4", 1), ("5", 1)];
    assert_eq!(taken(&port), twice.map(|(id, times)| (id.to_owned(), times)).into());
    let receipt = provider.receipt("acme", "A-2.csv");
    assert_eq!(receipt["retry_of"]["generation"], 2, "{receipt}");
}
