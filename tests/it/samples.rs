//! The samples end exactly as `samples/expected.json` says: each file's counts, and record, line,
//! field and rule of every problem and warning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lighterman::sandbox::World;
use serde::Deserialize;

use crate::harness::*;

/// What must come out, by customer and file.
type Expected = BTreeMap<String, BTreeMap<String, OfFile>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfFile {
    records: u64,
    delivered: u64,
    quarantined: u64,
    parked: u64,
    problems: Vec<Place>,
    warnings: Vec<Place>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    record: u64,
    line: u64,
    field: String,
    rule: String,
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(samples().join(name)).unwrap()
}

/// The samples' provider and its port, before a run.
fn open() -> (Port, Provider, Expected) {
    let world: World = serde_json::from_slice(&read("sandbox.json")).unwrap();
    let port = Port::open(world);
    let provider = Provider::copy_of(&samples());
    let config = String::from_utf8(read("lighterman.toml")).unwrap();
    let here = config.replace("http://127.0.0.1:8480", &port.url());
    // The samples ask for more free disk than a test needs.
    provider.file("lighterman.toml", here.replace("\"100 MiB\"", "\"1 MiB\""));
    (port, provider, serde_json::from_slice(&read("expected.json")).unwrap())
}

/// All problems of a level, in the order of `expected.json`.
fn places(problems: &[Problem], level: &str) -> Vec<Place> {
    let of_level = problems.iter().filter(|problem| problem.level == level);
    let mut places: Vec<Place> = of_level
        .map(|problem| Place {
            record: problem.record,
            line: problem.line,
            field: problem.field.clone(),
            rule: problem.rule.clone(),
        })
        .collect();
    places.sort();
    places
}

#[test]
fn every_file_ends_with_the_counts_and_problems_that_are_expected() {
    let (_port, provider, expected) = open();
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "something was newly quarantined: {run}");
    let mut files = 0;
    for (customer, of_customer) in &expected {
        for (file, want) in of_customer {
            files += 1;
            let receipt = provider.receipt(customer, file);
            let count = |state: &str| receipt["records"][state].as_u64().unwrap();
            assert_eq!(
                (count("total"), count("delivered"), count("quarantined"), count("parked")),
                (want.records, want.delivered, want.quarantined, want.parked),
                "{file}"
            );
            assert_eq!(receipt["settled"].is_string(), want.parked == 0, "{file}: {receipt}");
            let problems = provider.problems(customer, file);
            assert_eq!(places(&problems, "reject"), want.problems, "{file}");
            assert_eq!(places(&problems, "warn"), want.warnings, "{file}");
            for problem in &problems {
                assert!(!problem.advice.is_empty(), "{file}: {problem:?}");
            }
        }
        assert_eq!(provider.receipts(customer).len(), of_customer.len(), "{customer}");
    }
    assert_eq!(files, 6);
    let status = provider.status();
    let sum = |state: &str| -> u64 {
        let customers = status["customers"].as_object().unwrap().values();
        customers.map(|customer| customer["records"][state].as_u64().unwrap()).sum()
    };
    assert_eq!((sum("delivered"), sum("quarantined"), sum("parked")), (627, 43, 2), "{status}");
    assert_eq!(provider.alarms(), [""; 0]);
    provider.check_ledger();
}

#[test]
fn the_servers_took_what_the_receipts_say_was_delivered() {
    let (port, provider, expected) = open();
    let run = provider.run_once(&["--wait", "30s"]);
    let stats = port.stats();
    let delivered =
        |customer: &str| -> u64 { expected[customer].values().map(|file| file.delivered).sum() };
    for (customer, channel) in [
        ("kraanvogel-forwarding", "kraanvogel-releases-sandbox"),
        ("bremhoek-chemicals", "bremhoek-shipments-sandbox"),
    ] {
        let of_channel = &stats.ingestion.by_channel[channel];
        assert_eq!(of_channel.records, delivered(customer), "{run}");
        assert_eq!(
            sent(&port, channel).values().map(Vec::len).sum::<usize>() as u64,
            of_channel.records
        );
        assert_eq!((of_channel.repeated_keys, of_channel.without_key), (0, 0));
    }
    let scr = &stats.scr["/wallet-a/tmining/api/v1"];
    assert_eq!(scr.accepted, delivered("wilgenhof-transport"), "{scr:?}");
    assert!(scr.highest_open <= 20 && scr.overlapping == 0, "{scr:?}");
    assert_eq!((scr.refused_tokens, scr.replayed_tokens, scr.pin_reads), (0, 0, 0));
}

#[test]
fn a_second_run_finds_nothing_to_do_but_to_look_for_the_parked_releases() {
    let (port, provider, _) = open();
    provider.run_once(&["--wait", "30s"]);
    let (before, calls) = (port.stats(), port.calls().len());
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "two records are parked: {run}");
    let after = port.stats();
    assert_eq!(after.ingestion, before.ingestion);
    let (before, after) =
        (&before.scr["/wallet-a/tmining/api/v1"], &after.scr["/wallet-a/tmining/api/v1"]);
    assert_eq!(after.writes, before.writes);
    let lists = port.calls().split_off(calls);
    let (looks, rest): (Vec<_>, Vec<_>) =
        lists.iter().partition(|call| call.query.contains("container="));
    assert_eq!(looks.len(), 2, "each parked record is looked up once a run");
    let changes = rest.iter().filter(|call| call.query.contains("since=")).count();
    assert_eq!(changes, rest.len(), "besides, it is asked what changed: {rest:?}");
    provider.check_ledger();
}

#[test]
fn rejects_are_the_bytes_of_the_input() {
    let (_port, provider, expected) = open();
    provider.run_once(&["--wait", "30s"]);
    let file = "RELEASE_20261120_0615.csv";
    let input = read(&format!("inbox/kraanvogel-forwarding/{file}"));
    let lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
    // The rejected records of this file are one line each; above them the ERP's own line and the
    // header.
    let mut wanted = lines[..2].concat();
    let mut seen = 0;
    for problem in &expected["kraanvogel-forwarding"][file].problems {
        if problem.line > seen {
            wanted.extend_from_slice(lines[problem.line as usize - 1]);
            seen = problem.line;
        }
    }
    let rejects = provider.rejects("kraanvogel-forwarding", file).unwrap();
    assert_eq!(String::from_utf8_lossy(&rejects), String::from_utf8_lossy(&wanted));
    assert_eq!(rejects, wanted);
    for (customer, of_customer) in &expected {
        for (file, _) in of_customer.iter().filter(|(_, want)| want.parked == 0) {
            let input = read(&format!("inbox/{customer}/{file}"));
            assert!(provider.archived(customer, file) == Some(input), "{file} in the archive");
        }
    }
}

#[test]
fn rejects_that_are_dropped_again_are_rejected_again_for_the_same_reasons() {
    let (_port, provider, expected) = open();
    provider.run_once(&["--wait", "30s"]);
    for (customer, of_customer) in &expected {
        for file in of_customer.keys() {
            let rejects = provider.rejects(customer, file).unwrap();
            provider.drop_file(customer, &file.replace("_2026", "_AGAIN_2026"), rejects);
        }
    }
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "{run}");
    for (customer, of_customer) in &expected {
        for (file, want) in of_customer {
            let again = file.replace("_2026", "_AGAIN_2026");
            let receipt = provider.receipt(customer, &again);
            assert_eq!(receipt["records"]["total"], want.quarantined, "{again}: {receipt}");
            assert_eq!(receipt["records"]["quarantined"], want.quarantined, "{again}: {receipt}");
            let rules = |file| -> Vec<(String, String, String)> {
                let problems = provider.problems(customer, file).into_iter();
                problems
                    .filter(|problem| problem.level == "reject")
                    .map(|problem| (problem.field, problem.value, problem.rule))
                    .collect()
            };
            assert_eq!(rules(&again), rules(file), "{again}");
        }
    }
}
