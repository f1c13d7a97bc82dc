//! A run that goes on: it sees files by itself, answers other commands while it works, stops in
//! good order, and is alone with its state.

use std::time::Duration;

use lighterman::sandbox::{Fault, What};

use crate::harness::*;

const CSV: &str = "format = \"csv\"\ndelimiter = \";\"";
const SMALL: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }
batch = { records = 10, bytes = "64 KiB" }"#;
const AN_HOUR: u64 = 3_600_000;

/// A provider with these customers, each with a channel of its own.
fn provider_of(customers: &[&str]) -> (Port, Provider) {
    let port = Port::open(Port::world(customers));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    for customer in customers {
        provider.forwarder(customer, "orders", SMALL);
    }
    (port, provider)
}

fn drop_orders(provider: &Provider, customer: &str, name: &str, count: u64) {
    let ids = (1..=count).map(|n| format!("{name}-{n}"));
    provider.drop_file(customer, name, csv(ids, |_| false));
}

fn taken(port: &Port, customer: &str) -> u64 {
    port.stats().ingestion.by_channel[&format!("c-{customer}")].records
}

#[test]
fn a_file_is_seen_when_it_is_renamed() {
    let (port, provider) = provider_of(&["acme"]);
    let daemon = provider.start();
    drop_orders(&provider, "acme", "A.csv", 10);
    until_true("the first file", || taken(&port, "acme") == 10);
    // The daemon also looks by itself, but far less often than this takes.
    for n in 1..=20 {
        drop_orders(&provider, "acme", &format!("B{n}.csv"), 10);
        until_true("the next file", || taken(&port, "acme") == 10 + n * 10);
    }
    until_true("the last receipt", || provider.totals("acme").get("delivered") == Some(&210));
    assert_eq!(daemon.stop().code, 0);
    provider.check_ledger();
}

#[test]
fn a_file_under_a_hidden_or_ignored_name_is_left_alone() {
    let (port, provider) = provider_of(&["acme"]);
    let daemon = provider.start();
    let inbox = provider.inbox("acme");
    let order = csv(["1".to_owned()], |_| false);
    for name in [".hidden.csv", "A.csv.tmp", "B.csv.part", "C.filepart", "D.csv.writing"] {
        std::fs::write(inbox.join(name), &order).unwrap();
    }
    drop_orders(&provider, "acme", "Z.csv", 1);
    until_true("the finished file", || taken(&port, "acme") == 1);
    assert_eq!(daemon.stop().code, 0);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(taken(&port, "acme"), 1);
    for name in [".hidden.csv", "A.csv.tmp", "B.csv.part", "C.filepart", "D.csv.writing"] {
        assert!(inbox.join(name).exists(), "{name}");
    }
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    let (port, provider) = provider_of(&["acme"]);
    port.fault(Fault::new("/ingestion", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    let mut daemon = provider.start();
    drop_orders(&provider, "acme", "A.csv", 1000);
    // The first goes alone, then four at a time.
    until_true("the calls", || port.stats().ingestion.calls == 5);
    daemon.terminate();
    until_true("that it heard", || daemon.stderr().contains("Stopping"));
    assert!(daemon.runs(), "four answers are still to come");
    port.clear_faults();
    let end = daemon.end();
    assert_eq!(end.code, 0, "{end}");
    let calls = port.stats().ingestion.calls;
    assert_eq!(calls, 5, "nothing new was sent after the signal");
    assert_eq!(provider.records("acme", "delivered"), 50, "what was answered is noted");
    provider.check_ledger();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(port.stats().ingestion.repeated_keys, 0, "nothing was sent twice");
    assert_eq!(taken(&port, "acme"), 1000);
}

#[test]
fn a_second_signal_stops_at_once_and_the_next_run_sends_with_the_same_key() {
    let (port, provider) = provider_of(&["acme"]);
    port.fault(Fault::new("/ingestion", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    let daemon = provider.start();
    drop_orders(&provider, "acme", "A.csv", 100);
    until_true("the calls", || port.stats().ingestion.calls == 5);
    daemon.terminate();
    until_true("that it heard", || daemon.stderr().contains("Stopping"));
    daemon.terminate();
    let end = daemon.end();
    assert_ne!(end.code, 0, "{end}");
    provider.check_ledger();
    port.clear_faults();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let stats = port.stats().ingestion;
    assert_eq!((stats.records, stats.distinct_keys, stats.conflicting_keys), (100, 10, 0));
    assert_eq!(stats.repeated_keys, 4, "what was in flight, and nothing else");
}

#[test]
fn the_commands_say_the_same_while_a_daemon_runs_and_without_one() {
    let (port, provider) = provider_of(&["acme", "zeta"]);
    let daemon = provider.start();
    let ids = (1..=40).map(|n| n.to_string());
    provider.drop_file("acme", "A.csv", csv(ids, |id| id.ends_with('7')));
    provider.drop_file("acme", "B.csv", b"ID;WEIGHT;REMARK\r\n1;\"never closed\r\n");
    drop_orders(&provider, "zeta", "Z.csv", 10);
    until_true("the end of both", || {
        let status = provider.status();
        let files = |id: &str| status["customers"][id]["files"].clone();
        let (acme, zeta) = (files("acme"), files("zeta"));
        acme["settled"] == 1 && acme["quarantined"] == 1 && zeta["settled"] == 1
    });
    // An alarm, and a file that stays open.
    port.fault(Fault::status("/ingestion/c-zeta", 404)).unwrap();
    drop_orders(&provider, "zeta", "Y.csv", 10);
    until_true("the alarm", || provider.alarms() == ["channel-refused"]);
    let commands: [&[&str]; 8] = [
        &["status"],
        &["status", "Y"],
        &["quarantine", "list"],
        &["quarantine", "list", "--json"],
        &["quarantine", "list", "--customer", "zeta"],
        &["quarantine", "list", "--rule", "number", "--json"],
        &["quarantine", "list", "--file", "B"],
        &["check-ledger"],
    ];
    let ask = || commands.map(|command| provider.run(command));
    let during = ask();
    assert_eq!(daemon.stop().code, 0);
    let after = ask();
    for ((command, during), after) in commands.iter().zip(&during).zip(&after) {
        assert_eq!(during.code, 0, "{command:?}: {during}");
        assert_eq!(after.code, 0, "{command:?}: {after}");
        assert_eq!(timeless(&during.stdout), timeless(&after.stdout), "{command:?}");
        assert_eq!((during.stderr.as_str(), after.stderr.as_str()), ("", ""), "{command:?}");
    }
    let listed = &during[2].stdout;
    assert!(listed.contains("record 7, line 8") && listed.contains("whole file"), "{listed}");
}

/// Without the times of the next tries, which a daemon at work moves on, and the requests that it
/// has open just then.
fn timeless(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("  requests "));
    lines.map(|line| line.split(", next try").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn status_tells_what_is_in_flight() {
    let (port, provider) = provider_of(&["acme"]);
    port.fault(Fault::new("/ingestion", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    let daemon = provider.start();
    drop_orders(&provider, "acme", "A.csv", 100);
    until_true("the calls", || port.stats().ingestion.calls == 5);
    until_true("the account of the first", || provider.records("acme", "delivered") == 10);
    let status = provider.status();
    let records = &status["customers"]["acme"]["records"];
    assert_eq!((&records["in_flight"], &records["pending"]), (&40.into(), &50.into()), "{status}");
    assert_eq!(status["customers"]["acme"]["files"]["open"], 1);
    provider.check_ledger();
    port.clear_faults();
    until_true("the end", || provider.records("acme", "delivered") == 100);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn a_second_run_waits_and_then_names_who_holds_the_state() {
    let (port, provider) = provider_of(&["acme"]);
    let daemon = provider.start();
    drop_orders(&provider, "acme", "A.csv", 1);
    until_true("the daemon at work", || taken(&port, "acme") == 1);
    let second = provider.run_once(&[]);
    assert_eq!(second.code, 75, "{second}");
    assert!(second.stderr.contains(&format!("process {}", daemon.id())), "{second}");
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn a_second_run_goes_on_when_the_first_ends() {
    let (port, provider) = provider_of(&["acme"]);
    let daemon = provider.start();
    drop_orders(&provider, "acme", "A.csv", 1);
    until_true("the daemon at work", || taken(&port, "acme") == 1);
    let second = provider.start_with(&["run", "--once"]);
    assert_eq!(daemon.stop().code, 0);
    let second = second.end();
    assert_eq!(second.code, 0, "{second}");
}

#[test]
fn commands_asked_while_a_daemon_starts_and_stops_are_answered() {
    let (_port, provider) = provider_of(&["acme"]);
    for _ in 0..10 {
        let daemon = provider.start();
        let early = provider.start_with(&["status", "--json"]);
        until_true("that it started", || daemon.stderr().contains("Started"));
        daemon.terminate();
        let late = provider.start_with(&["check-ledger"]);
        for command in [early, late] {
            let end =
                command.end_within(Duration::from_secs(8)).ok().expect("it waits for the lock");
            assert_eq!(end.code, 0, "{end}");
        }
        assert_eq!(daemon.end().code, 0);
    }
}

#[test]
fn a_slow_customer_does_not_hold_up_another() {
    let (port, provider) = provider_of(&["acme", "zeta"]);
    port.fault(Fault::new("/ingestion/c-acme", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    let daemon = provider.start();
    for n in 0..12 {
        drop_orders(&provider, "acme", &format!("A{n}.csv"), 100);
    }
    until_true("the slow calls", || port.stats().ingestion.by_channel["c-acme"].calls >= 5);
    for n in 1..=12 {
        drop_orders(&provider, "zeta", &format!("Z{n}.csv"), 100);
        until_true("the other customer's file", || taken(&port, "zeta") == n * 100);
    }
    until_true("its receipts", || provider.totals("zeta").get("delivered") == Some(&1200));
    assert_eq!(taken(&port, "acme"), 10);
    port.clear_faults();
    until_true("the slow customer's files", || taken(&port, "acme") == 1200);
    assert_eq!(daemon.stop().code, 0);
    provider.check_ledger();
}

#[test]
fn a_slow_customer_with_many_calls_open_leaves_room_for_another() {
    let port = Port::open(Port::world(&["acme", "zeta"]));
    let provider = Provider::new(&port);
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file("lighterman.toml", config.replace("[limits]", "[limits]\nin_flight = 8"));
    provider.mapping("orders", &orders(CSV, "json"));
    provider.forwarder("acme", "orders", &format!("{SMALL}\nconcurrency = 8"));
    provider.forwarder("zeta", "orders", SMALL);
    port.fault(Fault::new("/ingestion/c-acme", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    let daemon = provider.start();
    drop_orders(&provider, "acme", "A.csv", 1000);
    until_true("the slow calls", || port.stats().ingestion.by_channel["c-acme"].calls >= 5);
    drop_orders(&provider, "zeta", "Z.csv", 100);
    // The slow calls are answered in an hour, or given up after 30 s.
    let begun = std::time::Instant::now();
    until_true("the other customer's file", || taken(&port, "zeta") == 100);
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the slow one");
    port.clear_faults();
    assert_eq!(daemon.stop().code, 0);
}
