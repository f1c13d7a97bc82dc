//! Pickup (design, sections 2, 3.3 and 4.1): what is taken, when, in which order, and what the
//! same bytes or the same name mean.

use std::fs;
use std::time::{Duration, Instant};

use crate::contract_fake::*;
use crate::contract_shop::*;
use crate::harness::*;

/// A shop whose source is ready by this rule, with these further keys.
fn source(fake: &Fake, ready: &str, more: &str) -> Provider {
    let provider = shop(fake);
    fs::create_dir_all(provider.inbox("acme")).unwrap();
    let text = acme_text(&releases("").replace("\"*.csv\"", "\"*\""))
        .replace("ready = { when = \"renamed\" }", &format!("{ready}\n{more}"));
    provider.file("customers/acme.toml", text);
    provider
}

const RENAMED: &str = "ready = { when = \"renamed\" }";
const ROW: &str = "ID;WEIGHT\n1;1\n";

fn row(id: &str) -> String {
    format!("ID;WEIGHT\n{id};1\n")
}

fn ids(fake: &Fake) -> Vec<String> {
    let mut ids = Vec::new();
    for call in fake.to("/ingestion") {
        for record in call.json().as_array().unwrap() {
            ids.push(record["id"].as_str().unwrap().to_owned());
        }
    }
    ids
}

/// The visible and hidden names in the inbox, folders apart.
fn left(provider: &Provider) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(provider.inbox("acme"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn unfinished_and_hidden_names_are_ignored_by_default() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "");
    let ignored = [".hidden", "a.filepart", "a.incomplete", "a.part", "a.tmp", "a.writing"];
    for name in ignored {
        fs::write(provider.inbox("acme").join(name), ROW).unwrap();
    }
    fs::create_dir(provider.inbox("acme").join("folder.csv")).unwrap();
    fs::write(provider.inbox("acme").join("folder.csv/inside.csv"), ROW).unwrap();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(left(&provider), ignored);
    assert_eq!(fake.seen().len(), 0);
}

#[test]
fn an_ignore_list_of_ones_own_takes_the_place_of_the_default() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "ignore = [\"*.bak\"]");
    for name in ["a.bak", "b.tmp"] {
        fs::write(provider.inbox("acme").join(name), row(name)).unwrap();
    }
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(left(&provider), ["a.bak"]);
    assert_eq!(ids(&fake), ["b.tmp"]);
}

#[test]
fn the_results_are_never_scanned() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "archive = \"../inbox/acme\"");
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "results in the folder itself would be taken again: {run}");

    let provider = source(&fake, RENAMED, "");
    for folder in ["archive", "rejects", "receipts", "archive/2026-01-01"] {
        fs::create_dir_all(provider.inbox("acme").join(folder)).unwrap();
        fs::write(provider.inbox("acme").join(folder).join("A.csv"), ROW).unwrap();
    }
    provider.run_once(&[]).ended(0);
    assert_eq!(fake.seen().len(), 0);
}

#[test]
fn a_quiet_file_is_taken_after_its_time_on_our_own_clock_whatever_its_mtime() {
    let fake = Fake::willing();
    let provider = source(&fake, "ready = { when = \"quiet\", for = \"1s\" }", "");
    let path = provider.inbox("acme").join("A.csv");
    fs::write(&path, ROW).unwrap();
    // As a copy tool leaves it: years old.
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    let started = Instant::now();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(ids(&fake), ["1"]);
}

#[test]
fn a_file_that_is_still_written_is_not_taken() {
    let fake = Fake::willing();
    let provider = source(&fake, "ready = { when = \"quiet\", for = \"600ms\" }", "");
    let path = provider.inbox("acme").join("A.csv");
    fs::write(&path, "ID;WEIGHT\n").unwrap();
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || {
            use std::io::Write;
            let mut file = fs::File::options().append(true).open(path).unwrap();
            for n in 0..10 {
                std::thread::sleep(Duration::from_millis(150));
                writeln!(file, "{n};1").unwrap();
            }
        })
    };
    let run = provider.run_once(&[]);
    writer.join().unwrap();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(ids(&fake).len(), 10, "{:?}", ids(&fake));
}

#[test]
fn a_longer_look_than_a_run_waits_for_is_remembered_for_the_next() {
    let fake = Fake::willing();
    let provider = source(&fake, "ready = { when = \"quiet\", for = \"31s\" }", "");
    fs::write(provider.inbox("acme").join("A.csv"), ROW).unwrap();
    let started = Instant::now();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(started.elapsed() < Duration::from_secs(20), "it is not waited out");
    assert_eq!(left(&provider), ["A.csv"]);
    assert_eq!(provider.status()["customers"]["acme"]["files"]["waiting"], 1);
    assert!(files_below(&provider.path("state/uat")).len() > 1);
}

#[test]
fn a_marker_says_that_its_file_is_finished_and_goes_with_it() {
    for (pattern, marker) in
        [("{name}.ok", "A.csv.ok"), ("{stem}.rdy", "A.rdy"), ("done_{stem}", "done_A")]
    {
        let fake = Fake::willing();
        let provider =
            source(&fake, &format!("ready = {{ when = \"marker\", name = \"{pattern}\" }}"), "");
        fs::write(provider.inbox("acme").join("A.csv"), ROW).unwrap();
        fs::write(provider.inbox("acme").join("B.csv"), row("2")).unwrap();
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(left(&provider), ["A.csv", "B.csv"], "{pattern}");
        fs::write(provider.inbox("acme").join(marker), "").unwrap();
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(ids(&fake), ["1"], "{pattern}");
        assert_eq!(left(&provider), ["B.csv"], "{pattern}");
    }
}

#[test]
fn arrivals_are_numbered_by_name_or_by_time() {
    for (order, expected) in
        [("name", ["A.csv", "B.csv", "C.csv"]), ("modified", ["C.csv", "A.csv", "B.csv"])]
    {
        let fake = Fake::willing();
        let provider = source(&fake, RENAMED, &format!("order = \"{order}\""));
        for (name, age) in [("B.csv", 10), ("C.csv", 1000), ("A.csv", 100)] {
            let path = provider.inbox("acme").join(name);
            fs::write(&path, row(name)).unwrap();
            let time = std::time::SystemTime::now() - Duration::from_secs(age);
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        provider.run_once(&[]).ended(0);
        let mut receipts: Vec<(u64, String)> = provider
            .receipts("acme")
            .into_iter()
            .map(|(name, receipt)| (receipt["arrival"].as_u64().unwrap(), name))
            .collect();
        receipts.sort();
        let names: Vec<String> = receipts.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, expected, "{order}");
    }
}

#[test]
fn the_same_name_with_new_bytes_is_a_new_file() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "");
    for id in ["1", "2"] {
        provider.drop_file("acme", "A.csv", row(id));
        provider.run_once(&[]).ended(0);
    }
    assert_eq!(ids(&fake), ["1", "2"]);
    assert!(provider.receipts("acme").values().all(|receipt| receipt["repeat_of"].is_null()));
}

#[test]
fn the_same_bytes_again_are_discarded_as_repeats_whatever_the_name() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "");
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n1;1\n2;2\n");
    provider.run_once(&[]).ended(0);
    for name in ["A.csv", "B.csv"] {
        provider.drop_file("acme", name, "ID;WEIGHT\n1;1\n2;2\n");
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 0, "{run}");
    }
    assert_eq!(ids(&fake), ["1", "2"]);
    let receipt = provider.receipt("acme", "B.csv");
    assert_eq!(
        (&receipt["records"]["discarded"], &receipt["records"]["delivered"]),
        (&2.into(), &0.into())
    );
    // The bytes came as A.csv, arrival 1, and then again as arrival 2.
    assert_eq!(receipt["repeat_of"]["name"], "A.csv", "{receipt}");
    assert!(receipt["repeat_of"]["arrival"].as_u64().unwrap() < 3, "{receipt}");
    assert_eq!(receipt["messages"], 0);
    provider.check_ledger();
}

#[test]
fn of_a_repeated_file_only_what_is_still_set_aside_is_tried_again() {
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let now = taken.clone();
    let fake = Fake::start(move |seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if seen.text().contains("\"b\"") && !now.load(std::sync::atomic::Ordering::SeqCst) => {
            answer(400, "no b")
        }
        _ => answer(200, ""),
    });
    let provider = source(&fake, RENAMED, "");
    let bytes = "ID;WEIGHT\na;1\nb;2\n;3\nd;4\n";
    provider.drop_file("acme", "A.csv", bytes);
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    let before = fake.to("/ingestion").len();
    taken.store(true, std::sync::atomic::Ordering::SeqCst);
    provider.drop_file("acme", "again.csv", bytes);
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "what fails again counts as newly quarantined: {run}");
    let bodies: Vec<String> = fake.to("/ingestion")[before..].iter().map(Seen::text).collect();
    assert_eq!(bodies, [r#"[{"id":"b","weight":"2"}]"#]);
    let receipt = provider.receipt("acme", "again.csv");
    let count = |state: &str| receipt["records"][state].as_u64().unwrap();
    assert_eq!(
        (count("total"), count("discarded"), count("delivered"), count("quarantined")),
        (4, 2, 1, 1),
        "{receipt}"
    );
    assert_eq!(provider.rejects("acme", "again.csv").unwrap(), b"ID;WEIGHT\n;3\n");
    // And the third time only the one that is left.
    provider.drop_file("acme", "third.csv", bytes);
    provider.run_once(&[]).ended(3);
    let receipt = provider.receipt("acme", "third.csv");
    assert_eq!(receipt["records"]["discarded"], 3, "{receipt}");
    assert_eq!(receipt["records"]["quarantined"], 1, "{receipt}");
    provider.check_ledger();
}

#[test]
fn what_is_still_open_is_discarded_from_a_repeat() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if earlier == 0 => answer(503, ""),
        _ => answer(200, ""),
    });
    let provider = source(&fake, RENAMED, "");
    provider.drop_file("acme", "A.csv", ROW);
    provider.run_once(&[]).ended(75);
    provider.drop_file("acme", "B.csv", ROW);
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(ids(&fake), ["1", "1"], "one attempt that failed, one that was taken");
    assert_eq!(provider.receipt("acme", "B.csv")["records"]["discarded"], 1);
    assert_eq!(provider.receipt("acme", "A.csv")["records"]["delivered"], 1);
}

#[test]
fn the_same_bytes_twice_at_once_are_sent_once_and_the_later_is_the_repeat() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "");
    for name in ["A.csv", "B.csv", "C.csv", "D.csv"] {
        provider.drop_file("acme", name, ROW);
    }
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(ids(&fake), ["1"]);
    let receipts = provider.receipts("acme");
    assert!(receipts["A.csv"]["repeat_of"].is_null(), "{receipts:?}");
    for name in ["B.csv", "C.csv", "D.csv"] {
        assert!(
            receipts[name]["repeat_of"]["arrival"].as_u64() < receipts[name]["arrival"].as_u64(),
            "{receipts:?}"
        );
    }
}

#[test]
fn the_same_bytes_of_another_source_are_another_file() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "");
    fs::create_dir_all(provider.path("inbox/second")).unwrap();
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file("customers/acme.toml", text + "\n[sources.second]\ntype = \"local\"\npath = \"../inbox/second\"\nready = { when = \"renamed\" }\n\n[[routes]]\nsource = \"second\"\nfiles = \"*\"\nmapping = \"plain\"\nchannel = \"releases\"\n");
    provider.drop_file("acme", "A.csv", ROW);
    provider.drop_file("second", "A.csv", ROW);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(ids(&fake), ["1", "1"]);
    let keys: std::collections::BTreeSet<String> = fake
        .to("/ingestion")
        .iter()
        .map(|call| call.header("idempotency-key").to_owned())
        .collect();
    assert_eq!(keys.len(), 2);
}

#[test]
fn an_inactive_customer_takes_nothing_new_and_finishes_what_is_open() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if earlier == 0 => answer(503, ""),
        _ => answer(200, ""),
    });
    let provider = source(&fake, RENAMED, "");
    provider.drop_file("acme", "A.csv", ROW);
    provider.run_once(&[]).ended(75);
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file("customers/acme.toml", format!("active = false\n{text}"));
    provider.drop_file("acme", "B.csv", row("2"));
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(left(&provider), ["B.csv"]);
    assert_eq!(ids(&fake), ["1", "1"]);
    assert_eq!(provider.status()["customers"]["acme"]["files"]["waiting"], 1);
}

#[test]
fn the_first_route_that_matches_wins() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    provider.mapping("other", &PLAIN.replace("to       = \"id\"", "to = \"other\""));
    acme(
        &provider,
        &(releases("").replace("*.csv", "special_*.csv")
            + "\n[[routes]]\nsource = \"erp\"\nfiles = \"*.csv\"\nmapping = \"other\"\nchannel = \"releases\"\n"),
    );
    provider.drop_file("acme", "SPECIAL_1.csv", ROW);
    provider.drop_file("acme", "x.csv", row("2"));
    provider.run_once(&[]).ended(0);
    let bodies: std::collections::BTreeSet<String> =
        fake.to("/ingestion").iter().map(Seen::text).collect();
    assert!(bodies.contains(r#"[{"id":"1","weight":"1"}]"#), "{bodies:?}");
    assert!(bodies.contains(r#"[{"other":"2","weight":"1"}]"#), "{bodies:?}");
}

#[test]
fn a_missing_folder_is_the_customers_alarm_and_the_others_run() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "");
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file(
        "customers/bolt.toml",
        text.replace("inbox/acme", "inbox/nowhere").replace("chan-1", "chan-2"),
    );
    provider.drop_file("acme", "A.csv", ROW);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(ids(&fake), ["1"]);
    let status = provider.status();
    assert_eq!(status["alarms"][0]["customer"], "bolt", "{status}");
    assert!(status["alarms"][0]["advice"].as_str().unwrap().contains("nowhere"), "{status}");
}

#[test]
fn a_daemon_takes_files_as_they_come() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "");
    let daemon = provider.start();
    until_true("the daemon", || provider.path("state/uat/control.sock").exists());
    for id in ["1", "2"] {
        provider.drop_file("acme", &format!("{id}.csv"), row(id));
        until_true("the file", || ids(&fake).contains(&id.to_owned()));
        until_true("its receipt", || {
            provider.names("acme", "receipts").contains(&format!("{id}.csv.receipt.json"))
        });
    }
    let ended = daemon.stop();
    assert_eq!(ended.code, 0, "{ended}");
}

#[test]
fn names_with_blanks_quotes_and_letters_of_all_kinds_are_taken() {
    let fake = Fake::willing();
    let provider = source(&fake, RENAMED, "");
    let names = ["Été 2026 (1).csv", "a'b\"c.csv", "no extension", "ünï=.csv", "x;y,z.csv"];
    for name in names {
        provider.drop_file("acme", name, row(name.split('"').next().unwrap()).replace(";y", ""));
    }
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let receipts = provider.receipts("acme");
    for name in names {
        assert_eq!(receipts[name]["file"], name);
        assert!(provider.archived("acme", name).is_some(), "{name}");
    }
}
