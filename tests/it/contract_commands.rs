//! The commands (design, section 4.3): what they print and where, and how they exit.

use serde_json::Value;

use crate::contract_fake::*;
use crate::contract_shop::*;
use crate::harness::*;

/// The keys of an object, sorted.
#[track_caller]
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect()
}

#[test]
fn status_as_json_has_the_shape_of_the_contract() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    provider.drop_file("acme", "B.csv", "ID;WEIGHT\n1;1\n;2\n");
    // Before anything ran.
    let status = provider.status();
    assert_eq!(status["customers"]["acme"]["files"]["waiting"], 2, "{status}");
    provider.run_once(&[]).ended(3);
    let status = provider.status();
    let acme = &status["customers"]["acme"];
    let mut files = keys(&acme["files"]);
    files.sort_unstable();
    assert_eq!(files, ["answered", "open", "quarantined", "settled", "waiting"]);
    let mut records = keys(&acme["records"]);
    records.sort_unstable();
    assert_eq!(
        records,
        [
            "deferred",
            "delivered",
            "discarded",
            "in_flight",
            "parked",
            "pending",
            "quarantined",
            "superseded"
        ]
    );
    assert_eq!((&acme["files"]["settled"], &acme["files"]["waiting"]), (&2.into(), &0.into()));
    assert_eq!(
        (&acme["records"]["delivered"], &acme["records"]["quarantined"]),
        (&3.into(), &1.into())
    );
    assert_eq!(status["alarms"], serde_json::json!([]));
}

#[test]
fn an_alarm_names_since_customer_channel_kind_and_advice() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ => answer(404, "no such channel"),
    });
    let provider = ready(&fake, "");
    provider.run_once(&[]).ended(4);
    let status = provider.status();
    let alarm = &status["alarms"][0];
    alarm["since"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(alarm["customer"], "acme");
    assert_eq!(alarm["channel"], "releases");
    assert!(alarm["kind"].as_str().unwrap().contains("channel"), "{alarm}");
    assert!(alarm["advice"].as_str().unwrap().contains("404"), "{alarm}");
    let run = provider.run(&["status"]);
    assert_eq!(run.code, 0);
    for word in ["acme", "releases", "404", "A.csv"] {
        assert!(run.stdout.contains(word), "{word}: {run}");
    }
    assert_eq!(run.stderr, "");
}

#[test]
fn the_first_exit_status_that_applies_is_given() {
    // A login is refused and something is quarantined and something is deferred: 4.
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(401, r#"{"error":"invalid_client"}"#),
        _ => answer(200, ""),
    });
    let provider = ready(&fake, "");
    provider.drop_file("acme", "B.csv", "ID;WEIGHT\n1;1\n;2\n");
    provider.drop_file("acme", "C.txt", "no route");
    provider.run_once(&[]).ended(4);
    // Something is quarantined and something is deferred: 3, then only 75.
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ => answer(503, ""),
    });
    let provider = ready(&fake, "");
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n1;1\n;2\n");
    provider.run_once(&[]).ended(3);
    provider.run_once(&[]).ended(75);
}

#[test]
fn an_unusable_state_is_fatal() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    provider.file("state", "a file, not a folder");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("state"), "{run}");
}

#[test]
fn a_second_run_waits_and_then_names_the_holder() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    let daemon = provider.start();
    until_true("the daemon", || provider.path("state/uat/control.sock").exists());
    let lock = std::fs::read_to_string(provider.path("state/uat/lock"))
        .or_else(|_| std::fs::read_to_string(provider.path("state/lock")))
        .unwrap();
    let id = daemon.id().to_string();
    assert!(lock.contains(&id), "the lock says who holds the state: {lock:?}");
    let started = std::time::Instant::now();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert!(run.stderr.contains(&id), "{run}");
    let waited = started.elapsed().as_secs();
    assert!((9..30).contains(&waited), "{waited}");
    // Other commands ask the daemon.
    until_true("the file", || provider.records("acme", "delivered") == 2);
    for command in [
        &["status"][..],
        &["status", "--json"],
        &["quarantine", "list"],
        &["check-ledger"],
        &["check"],
    ] {
        let run = provider.run(command);
        assert_eq!(run.code, 0, "{command:?}: {run}");
    }
    let ended = daemon.stop();
    assert_eq!(ended.code, 0, "{ended}");
}

#[test]
fn check_logs_in_everywhere_only_when_asked_to() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fake.seen().len(), 0);
    let run = provider.run(&["check", "--connect"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fake.to("/connect/token").len(), 1);
    assert_eq!(fake.to("/ingestion").len(), 0, "nothing is sent");
    assert!(!provider.path("state").exists(), "check changes nothing");

    let fake = Fake::start(|_, _| answer(401, r#"{"error":"invalid_client"}"#));
    let provider = ready(&fake, "");
    let run = provider.run(&["check", "--connect"]);
    assert_ne!(run.code, 0, "{run}");
    assert!(run.stderr.contains("acme") || run.stdout.contains("acme"), "{run}");
}

#[test]
fn preview_shows_what_would_be_sent_and_sends_nothing() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    provider.file("elsewhere/X.csv", "ID;WEIGHT\n001;10\n;20\n003;30\n");
    for arguments in [
        &["preview", "elsewhere/X.csv", "--customer", "acme", "--source", "erp"][..],
        &["preview", "elsewhere/X.csv", "--mapping", "plain"],
        &["preview", "inbox/acme/A.csv"],
    ] {
        let run = provider.run(arguments);
        assert!(run.stdout.contains("001"), "{arguments:?}: {run}");
    }
    let run = provider.run(&["preview", "elsewhere/X.csv", "--mapping", "plain", "--json"]);
    let shown: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    let text = shown.to_string();
    assert!(
        text.contains("\"001\"") && text.contains("\"003\"") && text.contains("required"),
        "{text}"
    );
    let run = provider.run(&["preview", "elsewhere/X.csv", "--mapping", "plain", "--limit", "1"]);
    assert!(run.stdout.contains("001") && !run.stdout.contains("003"), "{run}");
    assert_eq!(fake.seen().len(), 0);
    assert!(!provider.path("state").exists());
    assert!(provider.inbox("acme").join("A.csv").exists());
    let run = provider.run(&["preview", "elsewhere/none.csv", "--mapping", "plain"]);
    assert_ne!(run.code, 0, "{run}");
    assert!(run.stderr.contains("none.csv"), "{run}");
    let run = provider.run(&["preview", "elsewhere/X.csv", "--mapping", "plian"]);
    assert_ne!(run.code, 0, "{run}");
    assert!(run.stderr.contains("plain"), "{run}");
}

#[test]
fn quarantine_list_tells_records_and_reasons() {
    let fake = Fake::willing();
    let provider = shop(&fake);
    acme(&provider, &releases(""));
    let run = provider.run(&["quarantine", "list"]);
    assert_eq!(run.code, 0, "{run}");
    provider.drop_file("acme", "A.csv", "ID;WEIGHT\n1;1\n;2\n");
    provider.drop_file("acme", "B.nothing", "x");
    provider.run_once(&[]).ended(3);
    let run = provider.run(&["quarantine", "list"]);
    assert_eq!(run.code, 0, "{run}");
    for word in ["A.csv", "required", "ID", "B.nothing"] {
        assert!(run.stdout.contains(word), "{word}: {run}");
    }
    for (option, value, shown, hidden) in [
        ("--file", "A.csv", "A.csv", "B.nothing"),
        ("--rule", "required", "A.csv", "B.nothing"),
        ("--customer", "acme", "A.csv", "bolt"),
    ] {
        let run = provider.run(&["quarantine", "list", option, value]);
        assert_eq!(run.code, 0, "{option}: {run}");
        assert!(run.stdout.contains(shown) && !run.stdout.contains(hidden), "{option}: {run}");
    }
    let run = provider.run(&["quarantine", "list", "--customer", "nobody"]);
    assert!(!run.stdout.contains("A.csv"), "{run}");
}

#[test]
fn log_lines_go_to_stderr_as_text_or_json_and_less_when_quiet() {
    let fake = Fake::willing();
    let provider = ready(&fake, "");
    let run = provider.run(&["run", "--once", "--log-format", "json"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(run.stdout, "");
    assert!(run.stderr.lines().count() > 0);
    for line in run.stderr.lines() {
        let _: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    provider.drop_file("acme", "B.csv", "ID;WEIGHT\n9;1\n");
    let run = provider.run(&["-q", "run", "--once"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""), "{run}");
    // What is wrong is JSON, too, when that is asked for.
    provider.drop_file("acme", "C.csv", "ID;WEIGHT\n;1\n");
    provider.file("customers/bolt.toml", "nme = \"x\"\n");
    let run = provider.run(&["run", "--once", "--log-format", "json"]);
    assert_eq!(run.code, 4, "{run}");
    for line in run.stderr.lines() {
        let _: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn check_ledger_proves_the_books_and_tells_of_a_spool_that_lost_a_file() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ => answer(503, ""),
    });
    let provider = ready(&fake, "");
    let run = provider.run(&["check-ledger"]);
    assert_eq!(run.code, 0, "an empty ledger is sound: {run}");
    provider.run_once(&[]).ended(75);
    assert_eq!(provider.run(&["check-ledger"]).code, 0);
    for file in files_below(&provider.path("state/uat")) {
        if std::fs::read(&file).unwrap() == b"ID;WEIGHT\n001;10\n002;20\n" {
            std::fs::remove_file(file).unwrap();
        }
    }
    let run = provider.run(&["check-ledger"]);
    assert_ne!(run.code, 0, "{run}");
    assert!(
        run.stderr.contains("A.csv")
            || run.stdout.contains("A.csv")
            || run.stderr.contains("arrival 1")
            || run.stdout.contains("arrival 1"),
        "{run}"
    );
}

#[test]
fn a_wait_sees_deferred_records_through_and_ends_when_they_are_done() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if earlier < 2 => answer(503, ""),
        _ => answer(200, ""),
    });
    let provider =
        ready(&fake, "retry = { first = \"300ms\", max = \"1s\", give_up_after = \"24h\" }");
    let started = std::time::Instant::now();
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(started.elapsed().as_secs() < 10);
    assert_eq!(fake.to("/ingestion").len(), 3);
}

#[test]
fn help_and_version_go_to_stdout_and_exit_0() {
    let provider = Provider::empty();
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"], &["help", "check"]] {
        let run = provider.run(arguments);
        assert_eq!(run.code, 0, "{run}");
        assert!(!run.stdout.is_empty() && run.stderr.is_empty(), "{run}");
    }
    let run = provider.run(&[]);
    assert_eq!(run.code, 2, "{run}");
}
