//! What was set aside: it is shown as it came, and goes when a person says so.

use serde_json::{Value, json};

use crate::harness::*;

/// A port and the customer acme, whose CSV orders go to it.
fn acme() -> (Port, Provider) {
    let port = Port::open(Port::world(&["acme"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders("format = \"csv\"\ndelimiter = \";\"", "json"));
    provider.forwarder("acme", "orders", QUICK);
    (port, provider)
}

const QUICK: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }"#;

fn drop_faulty(provider: &Provider, name: &str, faulty: &[&str]) {
    let ids = (1..=10).map(|n| n.to_string());
    provider.drop_file("acme", name, csv(ids, |id| faulty.contains(&id)));
}

#[track_caller]
fn told(provider: &Provider, arguments: &[&str]) -> Value {
    let run = provider.run(&[arguments, &["--json"]].concat());
    assert_eq!(run.code, 0, "{run}");
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

#[test]
fn a_record_is_shown_as_it_came_with_all_that_is_wrong_with_it() {
    let (_port, provider) = acme();
    provider.drop_file(
        "acme",
        "A.csv",
        b"ID;WEIGHT;REMARK\r\n1;24350,5;a\r\n;heavy;\"two\r\nlines\"\r\n3;heavy;c\r\n",
    );
    provider.run_once(&[]).ended(3);
    let shown = told(&provider, &["quarantine", "show", "--file", "A.csv"]);
    let shown = shown.as_array().unwrap();
    let seen = |at: usize| {
        let problems = shown[at]["problems"].as_array().unwrap().iter();
        let rules: Vec<&Value> = problems.map(|problem| &problem["rule"]).collect();
        json!([shown[at]["record"], shown[at]["line"], shown[at]["text"], rules])
    };
    assert_eq!(shown.len(), 2);
    assert_eq!(seen(0), json!([2, 3, ";heavy;\"two\r\nlines\"", ["required", "number"]]));
    assert_eq!(seen(1), json!([3, 5, "3;heavy;c", ["number"]]));
    let run = provider.run(&["quarantine", "show", "--rule", "required"]);
    assert!(run.stdout.contains("A.csv (arrival 1), record 2, line 3"), "{run}");
    assert!(run.stdout.contains("  | ;heavy;\"two"), "{run}");
    assert!(run.stdout.contains("WEIGHT: \"heavy\" (number)"), "{run}");
    assert!(!run.stdout.contains("record 3"), "{run}");
}

#[test]
fn a_record_of_a_dos_page_is_shown_in_its_letters() {
    let (_port, provider) = acme();
    let input = "format = \"csv\"\ndelimiter = \";\"\nencoding = \"cp850\"";
    provider.mapping("orders", &orders(input, "json"));
    // M\u{fc}ller and \u{d8}rsted, as Python's cp850 writes them.
    provider.drop_file("acme", "A.csv", b"ID;WEIGHT;REMARK\r\n1;heavy;M\x81ller \x9drsted\r\n");
    provider.run_once(&[]).ended(3);
    let shown = told(&provider, &["quarantine", "show", "--file", "A.csv"]);
    assert_eq!(shown[0]["text"], "1;heavy;M\u{fc}ller \u{d8}rsted");
}

#[test]
fn who_a_driver_is_is_not_shown() {
    let port = Port::open(Port::scr_world(Vec::new(), 0));
    let provider = Provider::new(&port);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", QUICK);
    let wrong = Assignment::at("nowhere", Wanted::Driver("ALF-1234".to_owned()));
    provider.drop_file("wilgen", "A.xml", xml([wrong]));
    provider.run_once(&[]).ended(3);
    let run = provider.run(&["quarantine", "show"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("<Last>Peeters</Last><Id>***</Id>"), "{run}");
    assert!(!run.stdout.contains("ALF-1234"), "{run}");
}

#[test]
fn what_is_discarded_is_counted_so_and_gone() {
    let (_port, provider) = acme();
    drop_faulty(&provider, "A.csv", &["3", "7", "8"]);
    drop_faulty(&provider, "AB.csv", &["5"]);
    provider.drop_file("acme", "whole.csv", b"ID;WEIGHT;REMARK\r\n1;\"never closed\r\n");
    provider.run_once(&[]).ended(3);
    let counts = |provider: &Provider| {
        let acme = provider.status()["customers"]["acme"].clone();
        provider.check_ledger();
        let of = |key: &str, state: &str| acme[key][state].as_u64().unwrap();
        (
            of("records", "delivered"),
            of("records", "quarantined"),
            of("records", "discarded"),
            of("files", "quarantined"),
            of("files", "settled"),
        )
    };
    // AB.csv has the records of A.csv but for the faulty ones, in other bytes.
    assert_eq!(counts(&provider), (16, 4, 0, 1, 2));

    let run = provider.run(&["quarantine", "discard"]);
    assert_eq!(run.code, 2, "nothing is meant by no selection: {run}");
    let run = provider.run(&["quarantine", "discard", "--file", "A"]);
    assert_eq!(run.code, 2, "a part of a name is no file: {run}");
    let run = provider.run(&["quarantine", "discard", "--records", "3"]);
    assert_eq!(run.code, 2, "of which file: {run}");
    assert_eq!(counts(&provider), (16, 4, 0, 1, 2));

    let run = provider.run(&["quarantine", "discard", "--file", "A.csv", "--records", "1-7"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "acme / A.csv: 2 records are discarded\n"));
    assert_eq!(counts(&provider), (16, 2, 2, 1, 2));
    let listed = told(&provider, &["quarantine", "list", "--file", "A.csv"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["record"], 8);
    let run = provider.run(&["quarantine", "discard", "--file", "A.csv", "--records", "3"]);
    assert_eq!(run.code, 2, "it is gone: {run}");
    assert!(run.stderr.contains("nothing"), "{run}");

    // The same again, but for whom it is about, while a daemon runs.
    let daemon = provider.start();
    until_true("the daemon", || provider.path("state/test/control.sock").exists());
    let done = told(&provider, &["quarantine", "discard", "--file", "whole.*"]);
    let done = &done[0];
    assert_eq!(
        (&done["file"], &done["records"], &done["refused"]),
        (&json!("whole.csv"), &json!(0), &Value::Null)
    );
    assert_eq!(counts(&provider), (16, 2, 2, 0, 3));
    assert_eq!(daemon.stop().code, 0);

    let run = provider.run(&["quarantine", "discard", "--all"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(counts(&provider), (16, 0, 4, 0, 3));
    let left = std::fs::read_dir(provider.path("state/test/quarantine")).unwrap().count();
    assert_eq!(left, 0, "nothing is kept of what nobody wants");
    let run = provider.run(&["quarantine", "discard", "--all"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run}");
}
