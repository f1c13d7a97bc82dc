//! Records are worked again: what was set aside after its reason was mended, and what the receiver
//! lost. Nothing else is sent, and every round has keys of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;

const QUICK: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }"#;

/// Orders of terminals, whose names are in a table.
const TERMINALS: &str = r#"
[input]
format    = "csv"
delimiter = ";"

[output]
format = "json"

[[fields]]
to       = "id"
from     = "ID"
required = true

[[fields]]
to   = "terminal"
from = "TERMINAL"
aka  = "terminals"
"#;

/// A port and the customer acme, whose table knows the terminals K1 and K2.
fn acme() -> (Port, Provider) {
    let port = Port::open(Port::world(&["acme"]));
    let provider = Provider::new(&port);
    provider.mapping("terminals", TERMINALS);
    knows(&provider, &["K1", "K2"]);
    provider.forwarder("acme", "terminals", QUICK);
    (port, provider)
}

fn knows(provider: &Provider, aliases: &[&str]) {
    let rows: String = aliases.iter().map(|alias| format!("{alias},BE{alias}\n")).collect();
    provider.aka("terminals", &format!("alias,code\n{rows}"));
}

/// A file of these terminals; the ids count from 1.
fn file(terminals: &[&str]) -> String {
    let rows = terminals.iter().enumerate().map(|(at, name)| format!("{};{name}\n", at + 1));
    format!("ID;TERMINAL\n{}", rows.collect::<String>())
}

/// How many records of acme are delivered, quarantined and discarded, and how many are open; the
/// ledger is proved before.
#[track_caller]
fn counts(provider: &Provider) -> [u64; 4] {
    provider.check_ledger();
    let records = provider.status()["customers"]["acme"]["records"].clone();
    let of = |state: &str| records[state].as_u64().unwrap();
    let open = of("pending") + of("in_flight") + of("deferred") + of("parked");
    [of("delivered"), of("quarantined"), of("discarded"), open]
}

/// The ids of every message that acme's channel took, by key.
fn ids(port: &Port) -> BTreeMap<String, Vec<String>> {
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    sent(port, "c-acme")
        .into_iter()
        .map(|(key, records)| (key, records.iter().map(id).collect()))
        .collect()
}

/// The ids that the channel took, each as often as it came.
fn all_ids(port: &Port) -> Vec<u64> {
    let mut all: Vec<u64> = ids(port).values().flatten().map(|id| id.parse().unwrap()).collect();
    all.sort();
    all
}

#[test]
fn a_retry_sends_what_was_set_aside_and_nothing_else_by_todays_table() {
    let (port, provider) = acme();
    provider.drop_file("acme", "A.csv", file(&["K1", "K9", "K2", "K8", "K1", "K9"]));
    provider.run_once(&[]).ended(3);
    assert_eq!(counts(&provider), [3, 3, 0, 0]);
    let before = ids(&port);

    knows(&provider, &["K1", "K2", "K9"]);
    let run = provider.run(&["quarantine", "retry", "--file", "A.csv"]);
    let told = "acme / A.csv: 3 records are tried again by the next run\n";
    assert_eq!((run.code, run.stdout.as_str()), (0, told), "{run}");
    assert_eq!(counts(&provider), [3, 0, 0, 3]);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "K8 is still unknown: newly set aside: {run}");
    assert_eq!(counts(&provider), [5, 1, 0, 0]);
    assert_eq!(all_ids(&port), [1, 2, 3, 5, 6]);
    let after = ids(&port);
    let new: Vec<_> = after.iter().filter(|(key, _)| !before.contains_key(*key)).collect();
    assert_eq!(new.len(), 1, "a key of its own");
    assert_eq!(*new[0].1, ["2", "6"]);

    // What is told of the second round speaks of the file as it came.
    let problems = provider.problems("acme", "A-2.csv");
    assert_eq!((problems.len(), problems[0].record, problems[0].line), (1, 4, 5));
    assert_eq!(problems[0].value, "K8");
    assert_eq!(provider.rejects("acme", "A-2.csv").unwrap(), b"ID;TERMINAL\n4;K8\n");
    let receipt = provider.receipt("acme", "A-2.csv");
    let round = json!({ "name": "A.csv", "arrival": 1, "age": 1, "generation": 1, "whole": false });
    assert_eq!((&receipt["retry_of"], &receipt["resend_of"]), (&round, &Value::Null));
    assert_eq!(receipt["file"], "A.csv");
    assert_eq!(receipt["records"]["total"], 3);
    assert_eq!(receipt["ordinals"], json!({ "delivered": "2,6", "quarantined": "4" }));
    assert_eq!(receipt["identity"], provider.receipt("acme", "A.csv")["identity"]);
    assert_eq!(provider.archived("acme", "A-2.csv"), None, "the file as it came is there");

    // It lies where it lay, by its number, with its last reason.
    let run = provider.run(&["quarantine", "show", "--json"]);
    let shown: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(shown.as_array().unwrap().len(), 1);
    let seen = ["arrival", "record", "line", "text"].map(|key| shown[0][key].clone());
    assert_eq!(json!(seen), json!([1, 4, 5, "4;K8"]));

    // Again in vain, then for good: the generation rises with every round.
    for (generation, known) in [(2, "K7"), (3, "K8")] {
        knows(&provider, &["K1", known]);
        let run = provider.run(&["quarantine", "retry", "--all"]);
        assert_eq!(run.code, 0, "{run}");
        provider.run_once(&[]).ended(if known == "K8" { 0 } else { 3 });
        let receipt = provider.receipt("acme", &format!("A-{}.csv", generation + 1));
        assert_eq!(receipt["retry_of"]["generation"], generation);
    }
    assert_eq!(counts(&provider), [6, 0, 0, 0]);
    assert_eq!(all_ids(&port), [1, 2, 3, 4, 5, 6]);
    let left = std::fs::read_dir(provider.path("state/test/quarantine")).unwrap().count();
    assert_eq!(left, 0);
    let status = provider.status();
    assert_eq!(status["customers"]["acme"]["files"]["settled"], 1, "it is one file");
    let run = provider.run(&["quarantine", "retry", "--file", "A.csv"]);
    assert_eq!(run.code, 2, "nothing is left to retry: {run}");
}

#[test]
fn chosen_records_are_retried_and_the_others_stay() {
    let (port, provider) = acme();
    provider.drop_file("acme", "A.csv", file(&["K8", "K9", "K9", "K8", "K9"]));
    provider.drop_file("acme", "B.csv", file(&["K9"]));
    provider.run_once(&[]).ended(3);
    knows(&provider, &["K9"]);
    let run = provider.run(&["quarantine", "retry", "--file", "A.csv", "--records", "2,4-9"]);
    assert_eq!(run.code, 0, "{run}");
    provider.run_once(&[]).ended(3);
    assert_eq!(all_ids(&port), [2, 5]);
    assert_eq!(counts(&provider), [2, 4, 0, 0]);
    let run = provider.run(&["quarantine", "retry", "--customer", "acme", "--rule", "aka"]);
    assert_eq!(run.code, 0, "{run}");
    provider.run_once(&[]).ended(3);
    assert_eq!(all_ids(&port), [1, 2, 3, 5], "3 of A.csv and 1 of B.csv");
    assert_eq!(counts(&provider), [4, 2, 0, 0]);
    let run = provider.run(&["quarantine", "discard", "--file", "1"]);
    assert_eq!(run.stdout, "acme / A.csv: 2 records are discarded\n");
    assert_eq!(counts(&provider), [4, 0, 2, 0]);
}

#[test]
fn a_file_that_was_set_aside_whole_begins_anew() {
    let (port, provider) = acme();
    provider.mapping("terminals", &TERMINALS.replace("\"TERMINAL\"", "\"TERMINALS\""));
    provider.drop_file("acme", "A.csv", file(&["K1", "K9"]));
    provider.run_once(&[]).ended(3);
    let files = |state: &str| provider.status()["customers"]["acme"]["files"][state].clone();
    assert_eq!((files("quarantined"), files("settled")), (json!(1), json!(0)));

    // In vain first: the mapping still asks for a column that is not there.
    assert_eq!(provider.run(&["quarantine", "retry", "--all"]).code, 0);
    assert_eq!((files("quarantined"), files("open")), (json!(0), json!(1)));
    provider.run_once(&[]).ended(3);
    assert_eq!((files("quarantined"), files("settled")), (json!(1), json!(0)));
    provider.check_ledger();

    provider.mapping("terminals", TERMINALS);
    let run = provider.run(&["quarantine", "retry", "--file", "A.csv"]);
    let told = "acme / A.csv: the whole file is tried again by the next run\n";
    assert_eq!((run.code, run.stdout.as_str()), (0, told), "{run}");
    provider.run_once(&[]).ended(3);
    assert_eq!((files("quarantined"), files("settled")), (json!(0), json!(1)));
    assert_eq!(counts(&provider), [1, 1, 0, 0]);
    assert_eq!(all_ids(&port), [1]);
    let receipt = provider.receipt("acme", "A-3.csv");
    assert_eq!(receipt["retry_of"]["whole"], true);
    assert_eq!(receipt["retry_of"]["age"], 1, "its records are as old as they are");

    knows(&provider, &["K9"]);
    assert_eq!(provider.run(&["quarantine", "retry", "--all"]).code, 0);
    provider.run_once(&[]).ended(0);
    assert_eq!(counts(&provider), [2, 0, 0, 0]);
    assert_eq!(all_ids(&port), [1, 2]);
}

#[test]
fn what_cannot_be_retried_says_why_and_stays_as_it_is() {
    let (_port, provider) = acme();
    provider.drop_file("acme", "A.csv", file(&["K1", "K9"]));
    provider.run_once(&[]).ended(3);
    let refused = |why: &str| {
        let run = provider.run(&["quarantine", "retry", "--all"]);
        assert_eq!(run.code, 4, "a person is needed: {run}");
        assert!(run.stderr.contains(why), "{why}: {run}");
        assert_eq!(counts(&provider), [1, 1, 0, 0]);
        let spool = std::fs::read_dir(provider.path("state/test/spool")).unwrap().count();
        assert_eq!(spool, 0, "{why}");
    };
    provider.mapping("terminals", "[input]\nformat = \"nonsense\"\n");
    refused("nonsense");
    provider.mapping("terminals", &TERMINALS.replace("\"csv\"", "\"csv\"\nskip = 1"));
    refused("header");
    provider.mapping(
        "terminals",
        &TERMINALS
            .replace("\"csv\"", "\"csv\"\nheader = false")
            .replace("\"ID\"", "\"1\"")
            .replace("\"TERMINAL\"", "\"2\""),
    );
    refused("finds 2 records where 1 were chosen");
    provider.mapping("terminals", TERMINALS);

    let folder = provider.path("state/test/quarantine");
    let data = |folder: &std::path::Path| {
        std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
    };
    let data = data(&data(&folder)).join("data");
    let kept = std::fs::read(&data).unwrap();
    std::fs::write(&data, b"ID;TERMINAL\n2;K1\n").unwrap();
    let run = provider.run(&["quarantine", "retry", "--all"]);
    assert!(run.code == 4 && run.stderr.contains("is not what was set aside"), "{run}");
    assert_eq!(provider.run(&["check-ledger"]).code, 1);
    std::fs::write(&data, kept).unwrap();

    // The same bytes once more: that file's records are the ones to retry.
    provider.drop_file("acme", "B.csv", file(&["K1", "K9"]));
    provider.run_once(&[]).ended(3);
    let run = provider.run(&["quarantine", "retry", "--file", "A.csv"]);
    assert!(run.code == 4 && run.stderr.contains("B.csv (arrival"), "{run}");
    knows(&provider, &["K9"]);
    assert_eq!(provider.run(&["quarantine", "retry", "--file", "B.csv"]).code, 0);
    provider.run_once(&[]).ended(0);
    assert_eq!(counts(&provider), [2, 1, 1, 0]);
}

#[test]
fn what_was_delivered_is_sent_again_from_the_archive_and_nothing_else() {
    let (port, provider) = acme();
    provider.drop_file("acme", "A.csv", file(&["K1", "K9", "K2", "K8", "K1", "K2"]));
    provider.run_once(&[]).ended(3);
    let run = provider.run(&["quarantine", "discard", "--file", "A.csv", "--records", "4"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(counts(&provider), [4, 1, 1, 0]);
    let first = ids(&port);

    let run = provider.run(&["resend", "A.csv", "--records", "2-5"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(
        run.stdout,
        "acme / A.csv (arrival 1): 2 records are sent again by the next run\n  \
         left out, not delivered: 4\n  left out, quarantined: 2\n"
    );
    assert_eq!(counts(&provider), [2, 1, 1, 2]);
    let run = provider.run(&["resend", "A.csv", "--records", "3"]);
    assert!(run.code == 4 && run.stdout.contains("being worked again: 3"), "{run}");
    provider.run_once(&[]).ended(0);
    assert_eq!(counts(&provider), [4, 1, 1, 0]);
    assert_eq!(all_ids(&port), [1, 3, 3, 5, 5, 6]);
    let second = ids(&port);
    assert_eq!(second.len(), first.len() + 1, "a key of its own");
    let receipt = provider.receipt("acme", "A-2.csv");
    assert_eq!(receipt["resend_of"]["generation"], 1);
    assert_eq!(receipt["ordinals"], json!({ "delivered": "3,5" }));

    // The receiver lost all of it, after a table has lost a terminal: what fails is quarantined.
    knows(&provider, &["K2"]);
    let receipt = provider.inbox("acme").join("receipts/A.csv.receipt.json");
    let run = provider.run(&["resend", receipt.to_str().unwrap()]);
    assert!(run.code == 0 && run.stdout.contains("4 records are sent"), "{run}");
    provider.run_once(&[]).ended(3);
    assert_eq!(counts(&provider), [2, 3, 1, 0]);
    assert_eq!(all_ids(&port), [1, 3, 3, 3, 5, 5, 6, 6]);
    assert_eq!(ids(&port).len(), second.len() + 1);
    let run = provider.run(&["quarantine", "list", "--json"]);
    let listed: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    let places: Vec<Value> =
        listed.iter().map(|one| json!([one["arrival"], one["record"], one["line"]])).collect();
    assert_eq!(json!(places), json!([[1, 1, 2], [1, 2, 3], [1, 5, 6]]));

    // They were set aside by two rounds, and are tried by one command.
    knows(&provider, &["K1", "K9"]);
    let run = provider.run(&["quarantine", "retry", "--file", "A.csv"]);
    assert_eq!(run.code, 0, "{run}");
    provider.run_once(&[]).ended(0);
    assert_eq!(counts(&provider), [5, 0, 1, 0]);
    assert_eq!(all_ids(&port), [1, 1, 2, 3, 3, 3, 5, 5, 5, 6, 6]);
}

#[test]
fn what_cannot_be_sent_again_says_why() {
    let (port, provider) = acme();
    provider.drop_file("acme", "A.csv", file(&["K1", "K2"]));
    provider.run_once(&[]).ended(0);
    provider.drop_file("acme", "A.csv", file(&["K2"]));
    provider.run_once(&[]).ended(0);
    let refused = |arguments: &[&str], code: i32, why: &str| {
        let run = provider.run(&[&["resend"], arguments].concat());
        assert_eq!(run.code, code, "{why}: {run}");
        assert!(run.stderr.contains(why), "{why}: {run}");
        assert_eq!(counts(&provider), [3, 0, 0, 0]);
    };
    refused(&["B.csv"], 2, "no receipt of B.csv");
    refused(&["A.csv", "--records", "0"], 2, "names no records");
    refused(&["A.csv", "--customer", "zeta"], 2, "no receipt");
    refused(&["A.csv", "--records", "2"], 4, "none of these records is delivered");

    let receipt = provider.inbox("acme").join("receipts/A-2.csv.receipt.json");
    let text = std::fs::read_to_string(&receipt).unwrap();
    let endless = text.replace("\"total\": 1", "\"total\": 18446744073709551615");
    assert_ne!(endless, text);
    std::fs::write(&receipt, endless).unwrap();
    refused(&["A.csv"], 4, "its receipt is damaged");
    std::fs::write(&receipt, text).unwrap();

    let archive = provider.inbox("acme").join("archive");
    let day = std::fs::read_dir(archive).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(day.join("A-2.csv")).unwrap();
    std::fs::write(day.join("A-2.csv"), b"ID;TERMINAL\n1;K1\n").unwrap();
    refused(&["A.csv"], 4, "is not the file that came");
    std::fs::remove_file(day.join("A-2.csv")).unwrap();
    refused(&["A.csv"], 4, "cannot be read");
    std::fs::write(day.join("A-2.csv"), bytes).unwrap();
    provider.mapping("terminals", &TERMINALS.replace("\"csv\"", "\"csv\"\nskip = 1"));
    refused(&["A.csv"], 4, "the mapping's input has changed");

    provider.mapping("terminals", TERMINALS);
    let run = provider.run(&["resend", "A.csv"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(
        run.stdout,
        "acme / A.csv (arrival 2): 1 record is sent again by the next run\n  \
         not meant, older files of this name: arrival 1\n"
    );
    let run = provider.run(&["resend", "1", "--json"]);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &told[0]["records"]), (0, &json!(2)));
    provider.run_once(&[]).ended(0);
    assert_eq!(counts(&provider), [3, 0, 0, 0]);
    assert_eq!(all_ids(&port), [1, 1, 1, 1, 2, 2]);
}

#[test]
fn a_running_daemon_works_them_at_once() {
    let (port, provider) = acme();
    provider.mapping("terminals", &TERMINALS.replace("\"TERMINAL\"", "\"TERMINALS\""));
    provider.drop_file("acme", "whole.csv", file(&["K1", "K2", "K1"]));
    let daemon = provider.start();
    let set_aside = || provider.status()["customers"]["acme"]["files"]["quarantined"] == 1;
    until_true("the refusal", set_aside);
    provider.mapping("terminals", TERMINALS);
    daemon.hang_up();
    knows(&provider, &["K1"]);
    let run = provider.run(&["quarantine", "retry", "--file", "whole.csv"]);
    let told = "acme / whole.csv: the whole file is tried again now\n";
    assert_eq!((run.code, run.stdout.as_str()), (0, told), "{run}");
    let is_closed = || {
        let files = provider.status()["customers"]["acme"]["files"].clone();
        files["open"] == 0 && files["answered"] == 0
    };
    until_true("the file", || counts(&provider)[..2].iter().sum::<u64>() == 3 && is_closed());
    // The daemon may have read its config before or after the table was written.
    let [delivered, quarantined, ..] = counts(&provider);
    assert!(delivered >= 2);

    provider.drop_file("acme", "A.csv", file(&["K1", "K9"]));
    until_true("its end", || counts(&provider)[1] == quarantined + 1 && is_closed());
    // What lies on disk is what counts, whether the daemon was told of it or not.
    knows(&provider, &["K1", "K2", "K9"]);
    let run = provider.run(&["quarantine", "retry", "--all"]);
    assert_eq!(run.code, 0, "{run}");
    until_true("all of it", || counts(&provider) == [5, 0, 0, 0]);
    assert_eq!(all_ids(&port), [1, 1, 2, 2, 3]);

    let run = provider.run(&["resend", "A.csv", "--records", "2"]);
    let told = "acme / A.csv (arrival 3): 1 record is sent again now\n";
    assert_eq!((run.code, run.stdout.as_str()), (0, told), "{run}");
    until_true("the resend", || counts(&provider) == [5, 0, 0, 0]);
    assert_eq!(all_ids(&port), [1, 1, 2, 2, 2, 3]);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(counts(&provider), [5, 0, 0, 0]);
}

#[test]
fn a_round_that_is_meant_by_itself_is_sent_again_alone() {
    let (port, provider) = acme();
    provider.drop_file("acme", "A.csv", file(&["K1", "K9", "K2"]));
    provider.run_once(&[]).ended(3);
    knows(&provider, &["K1", "K2", "K9"]);
    assert_eq!(provider.run(&["quarantine", "retry", "--all"]).code, 0);
    provider.run_once(&[]).ended(0);
    assert_eq!(all_ids(&port), [1, 2, 3]);
    let run = provider.run(&["resend", "A-2.csv"]);
    let told = "acme / A.csv (arrival 1): 1 record is sent again by the next run\n";
    assert_eq!((run.code, run.stdout.as_str()), (0, told), "{run}");
    provider.run_once(&[]).ended(0);
    assert_eq!(all_ids(&port), [1, 2, 2, 3]);
    assert_eq!(counts(&provider), [3, 0, 0, 0]);
}

#[test]
fn records_are_chosen_of_one_file_only() {
    let (_port, provider) = acme();
    provider.drop_file("acme", "A.csv", file(&["K9"]));
    provider.drop_file("acme", "AB.csv", file(&["K1", "K8"]));
    provider.drop_file("acme", "A[B].csv", file(&["K2", "K8"]));
    provider.run_once(&[]).ended(3);
    for action in ["retry", "discard"] {
        let run = provider.run(&["quarantine", action, "--file", "A*.csv", "--records", "1-2"]);
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains("arrivals 1, 2, 3"), "{run}");
    }
    assert_eq!(counts(&provider), [2, 3, 0, 0]);
    // As a pattern it would be AB.csv, too.
    assert_eq!(provider.run(&["quarantine", "discard", "--file", "A[B].csv"]).code, 0);
    assert_eq!(counts(&provider), [2, 2, 1, 0]);
}

#[test]
fn a_repeat_of_which_nothing_is_tried_leaves_the_first_to_be_retried() {
    let (port, provider) = acme();
    provider.drop_file("acme", "A.csv", file(&["K1", "K9"]));
    provider.run_once(&[]).ended(3);
    knows(&provider, &["K1", "K9"]);
    assert_eq!(provider.run(&["quarantine", "retry", "--all"]).code, 0);
    provider.run_once(&[]).ended(0);
    provider.drop_file("acme", "B.csv", file(&["K1", "K9"]));
    provider.run_once(&[]).ended(0);
    assert_eq!(provider.receipt("acme", "B.csv")["repeat_of"]["arrival"], 1);
    provider.drop_file("acme", "C.csv", file(&["K1", "K9"]));
    provider.run_once(&[]).ended(0);
    assert_eq!(provider.receipt("acme", "C.csv")["repeat_of"]["arrival"], 1);
    assert_eq!(provider.run(&["resend", "A.csv"]).code, 0);
    provider.run_once(&[]).ended(0);
    assert_eq!(all_ids(&port), [1, 1, 2, 2]);
    assert_eq!(counts(&provider), [2, 0, 4, 0]);
}

#[test]
fn a_rejects_file_that_was_corrected_works_what_it_holds() {
    let (port, provider) = acme();
    provider.drop_file("acme", "A.csv", file(&["K1", "K9", "K2", "K8"]));
    provider.run_once(&[]).ended(3);
    let rejects = String::from_utf8(provider.rejects("acme", "A.csv").unwrap()).unwrap();
    assert_eq!(rejects, "ID;TERMINAL\n2;K9\n4;K8\n");
    provider.drop_file("acme", "A.csv", rejects.replace("K9", "K1").replace("K8", "K2"));
    provider.run_once(&[]).ended(0);
    assert_eq!(all_ids(&port), [1, 2, 3, 4]);
    assert_eq!(counts(&provider), [4, 2, 0, 0]);
    let run = provider.run(&["quarantine", "discard", "--file", "1"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(counts(&provider), [4, 0, 2, 0]);
}

/// Assignments to two releases, and a mapping that takes them or not.
struct Wilgen {
    port: Port,
    provider: Provider,
}

const RELEASES: [&str; 2] =
    ["0xc0de00000000000000000000000000000000000a", "0xc0de00000000000000000000000000000000000b"];

impl Wilgen {
    fn new() -> Wilgen {
        let releases = RELEASES.map(|address| Port::release(address, "TEST0000001", "BL1"));
        let port = Port::open(Port::scr_world(releases.to_vec(), 0));
        let provider = Provider::new(&port);
        provider.transporter("wilgen", VAT, "assignments", QUICK);
        let wilgen = Wilgen { port, provider };
        wilgen.takes(true);
        wilgen
    }

    /// Whether the mapping knows the action `assign`.
    fn takes(&self, assign: bool) {
        let text = ASSIGNMENTS
            .replace("assign = \"assign\", ", if assign { "assign = \"assign\", " } else { "" });
        self.provider.mapping("assignments", &text);
    }

    #[track_caller]
    fn works(&self, name: &str, drivers: &[(usize, &str)], code: i32) {
        let records = drivers.iter().map(|(release, driver)| {
            Assignment::at(RELEASES[*release], Wanted::Driver((*driver).to_owned()))
        });
        self.provider.drop_file("wilgen", name, xml(records));
        let run = self.provider.run_once(&[]);
        assert_eq!(run.code, code, "{run}");
    }

    /// Who was assigned to a release, one after the other.
    fn history(&self, release: usize) -> Vec<String> {
        let state = self.port.release(SCR, RELEASES[release]).unwrap();
        state.history.into_iter().map(|change| change.assigned.unwrap().identification).collect()
    }

    #[track_caller]
    fn runs(&self, arguments: &[&str]) {
        let run = self.provider.run(arguments);
        assert_eq!(run.code, 0, "{run}");
        let run = self.provider.run_once(&[]);
        assert_eq!(run.code, 0, "{run}");
        self.provider.check_ledger();
    }
}

#[test]
fn a_retried_assignment_is_as_old_as_it_was_and_gives_way_to_a_newer_one() {
    let wilgen = Wilgen::new();
    wilgen.takes(false);
    wilgen.works("A.xml", &[(0, "old"), (1, "only")], 3);
    wilgen.takes(true);
    wilgen.works("B.xml", &[(0, "new")], 0);
    wilgen.runs(&["quarantine", "retry", "--file", "A.xml"]);
    assert_eq!(wilgen.history(0), ["new"]);
    assert_eq!(wilgen.history(1), ["only"]);
    let receipt = wilgen.provider.receipt("wilgen", "A-2.xml");
    assert_eq!(receipt["ordinals"], json!({ "delivered": "2", "superseded": "1" }));
    let problems = wilgen.provider.problems("wilgen", "A-2.xml");
    let told = &problems[0];
    assert_eq!((told.record, told.level.as_str(), told.rule.as_str()), (1, "warn", "superseded"));
    assert_eq!((problems.len(), told.line), (1, 3));
}

#[test]
fn of_assignments_that_are_sent_again_the_overtaken_are_left_out_and_told() {
    let wilgen = Wilgen::new();
    wilgen.works("A.xml", &[(0, "first"), (1, "kept")], 0);
    wilgen.works("B.xml", &[(0, "second")], 0);
    wilgen.runs(&["resend", "A.xml"]);
    assert_eq!(wilgen.history(0), ["first", "second"]);
    assert_eq!(wilgen.history(1), ["kept", "kept"]);
    let receipt = wilgen.provider.receipt("wilgen", "A-2.xml");
    assert_eq!(receipt["ordinals"], json!({ "delivered": "2", "superseded": "1" }));
    assert_eq!(wilgen.provider.problems("wilgen", "A-2.xml")[0].rule, "superseded");
    // What was sent again stands: an older file may not overtake it now either.
    wilgen.runs(&["resend", "B.xml"]);
    assert_eq!(wilgen.history(0), ["first", "second", "second"]);
}

#[test]
fn a_file_of_which_records_wait_is_not_retried_yet() {
    let wilgen = Wilgen::new();
    let unknown = "0xc0de0000000000000000000000000000000000ff";
    let parked = Assignment::of("TEST9999999", None, Wanted::Driver("later".to_owned()));
    let wrong = Assignment::at("nowhere", Wanted::Driver(unknown.to_owned()));
    wilgen.provider.drop_file("wilgen", "A.xml", xml([parked, wrong]));
    wilgen.provider.run_once(&[]).ended(3);
    for action in ["retry", "discard"] {
        let run = wilgen.provider.run(&["quarantine", action, "--file", "A.xml"]);
        assert_eq!(run.code, 75, "{run}");
        assert!(run.stderr.contains("A.xml is still open"), "{run}");
    }
    let run = wilgen.provider.run(&["quarantine", "show", "--file", "A.xml"]);
    assert!(run.stdout.contains("nowhere"), "{run}");
    wilgen.provider.check_ledger();
}

#[test]
fn a_retry_that_is_killed_counts_whole_or_not_at_all() {
    let (seed, mut random) = Random::seeded();
    println!("seed {seed}");
    let (port, provider) = acme();
    let names: Vec<String> = (0..40).map(|n| format!("T{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    provider.drop_file("acme", "A.csv", file(&names));
    provider.run_once(&[]).ended(3);
    assert_eq!(counts(&provider), [0, 40, 0, 0]);
    for known in 1..=20 {
        // Every round two more can be delivered; the others fail again.
        knows(&provider, &names[..known * 2]);
        for arguments in [["quarantine", "retry", "--all"].as_slice(), &["run", "--once"]] {
            let running = provider.start_with(arguments);
            std::thread::sleep(Duration::from_millis(random.below(60)));
            running.kill();
            let [delivered, quarantined, discarded, open] = counts(&provider);
            assert_eq!(delivered + quarantined + open, 40, "seed {seed}, round {known}");
            assert_eq!(discarded, 0, "seed {seed}");
        }
    }
    assert!([0, 3].contains(&provider.run_once(&["--wait", "20s"]).code), "seed {seed}");
    let run = provider.run(&["quarantine", "retry", "--all"]);
    assert_eq!(run.code, 0, "seed {seed}: {run}");
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "seed {seed}: {run}");
    assert_eq!(counts(&provider), [40, 0, 0, 0], "seed {seed}");
    assert_eq!(all_ids(&port), (1..=40).collect::<Vec<u64>>(), "seed {seed}: each once");
    for folder in ["spool", "quarantine"] {
        let left = std::fs::read_dir(provider.path("state/test").join(folder)).unwrap().count();
        assert_eq!(left, 0, "seed {seed}: {folder}");
    }
}
