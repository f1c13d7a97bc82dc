//! Sources with a schedule are looked into at their times alone: once for a time that was missed,
//! and by `run --once` at once.

use std::fs;

use serde_json::{Value, json};

use crate::harness::*;

const CSV: &str = "format = \"csv\"\ndelimiter = \";\"";

/// A schedule of seconds, and one of 29 February.
const EVERY_SECOND: &str = "schedule = \"* * * * * *\"";
const LEAP_DAY: &str = "schedule = \"0 12 29 2 *\"\ntimezone = \"UTC\"";

/// A provider with `acme`, whose source has these lines, and `zeta`, whose source goes by events.
fn provider_with(when: &str) -> (Port, Provider) {
    let port = Port::open(Port::world(&["acme", "zeta"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    for customer in ["acme", "zeta"] {
        provider.forwarder(customer, "orders", "");
    }
    set_schedule(&provider, when);
    (port, provider)
}

/// Writes these lines into acme's source instead of those of before.
fn set_schedule(provider: &Provider, when: &str) {
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    let is_of_it = |line: &&str| !line.starts_with("schedule") && !line.starts_with("timezone");
    let text: Vec<&str> = text.lines().filter(is_of_it).collect();
    let with = text.join("\n").replace("[sources.in]", &format!("[sources.in]\n{when}"));
    provider.file("customers/acme.toml", with + "\n");
}

fn set_ready(provider: &Provider, ready: &str) {
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    let text = text.replace("ready = { when = \"renamed\" }", ready);
    provider.file("customers/acme.toml", text);
}

fn drop_order(provider: &Provider, customer: &str, name: &str) {
    provider.drop_file(customer, name, csv([format!("{customer}-{name}")], |_| false));
}

fn taken(port: &Port, customer: &str) -> u64 {
    port.stats().ingestion.by_channel.get(&format!("c-{customer}")).map_or(0, |of| of.records)
}

/// Has zeta's next file taken: by then acme's would have been, too, if it were looked for.
fn see_zetas(port: &Port, provider: &Provider, name: &str) {
    let before = taken(port, "zeta");
    drop_order(provider, "zeta", name);
    until_true("zeta's file", || taken(port, "zeta") == before + 1);
}

fn source(provider: &Provider) -> Value {
    provider.status()["customers"]["acme"]["sources"]["in"].clone()
}

/// Has the next run take it that acme's source was last looked into years ago.
fn miss_a_time(provider: &Provider) {
    let path = provider.path("state/test/looks/acme/in.last");
    let mut last: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    last["done"] = json!("2023-11-22T09:00:00Z");
    provider.file("state/test/looks/acme/in.last", serde_json::to_vec(&last).unwrap());
}

#[test]
fn a_source_is_looked_into_at_the_times_of_its_expression() {
    for when in [EVERY_SECOND, "every = \"1s\""] {
        let (port, provider) = provider_with(when);
        let daemon = provider.start();
        for n in 1..=3 {
            drop_order(&provider, "acme", &format!("{n}.csv"));
            until_true("the file", || taken(&port, "acme") == n);
        }
        let source = source(&provider);
        assert!(source["last_look"].is_string() && source["next_look"].is_string(), "{source}");
        assert_eq!(source["last_error"], Value::Null);
        assert_eq!(daemon.stop().code, 0);
        provider.check_ledger();
    }
}

#[test]
fn before_its_time_nothing_has_a_source_looked_into_but_run_once() {
    let (port, provider) = provider_with(LEAP_DAY);
    drop_order(&provider, "acme", "A.csv");
    let daemon = provider.start();
    see_zetas(&port, &provider, "Z.csv");
    drop_order(&provider, "acme", "B.csv");
    daemon.hang_up();
    until_true("the reload", || daemon.stderr().contains("was reloaded"));
    see_zetas(&port, &provider, "Y.csv");
    let seen = source(&provider);
    let next = seen["next_look"].as_str().unwrap();
    assert!(next.ends_with("-02-29T12:00:00Z"), "{seen}");
    assert_eq!(seen["last_look"], Value::Null);
    let status = provider.run(&["status"]);
    assert!(status.stdout.contains(&format!("  in: next look {next}\n")), "{status}");
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(taken(&port, "acme"), 0);

    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(taken(&port, "acme"), 2);
}

#[test]
fn a_time_that_was_missed_is_made_up_for_once_at_the_start() {
    let (port, provider) = provider_with(LEAP_DAY);
    drop_order(&provider, "acme", "A.csv");
    let daemon = provider.start();
    see_zetas(&port, &provider, "Z.csv");
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(taken(&port, "acme"), 0);

    miss_a_time(&provider);
    let daemon = provider.start();
    until_true("the file", || taken(&port, "acme") == 1);
    drop_order(&provider, "acme", "B.csv");
    see_zetas(&port, &provider, "Y.csv");
    assert_eq!(daemon.stop().code, 0);
    // The next start knows of that look.
    let daemon = provider.start();
    see_zetas(&port, &provider, "X.csv");
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(taken(&port, "acme"), 1);
    assert!(provider.inbox("acme").join("B.csv").exists());
}

#[test]
fn a_reload_brings_another_schedule_or_none() {
    let (port, provider) = provider_with(LEAP_DAY);
    let daemon = provider.start();
    drop_order(&provider, "acme", "A.csv");
    see_zetas(&port, &provider, "Z.csv");
    assert_eq!(taken(&port, "acme"), 0);
    set_schedule(&provider, EVERY_SECOND);
    daemon.hang_up();
    until_true("the file", || taken(&port, "acme") == 1);
    set_schedule(&provider, LEAP_DAY);
    daemon.hang_up();
    until_true("the reload", || daemon.stderr().matches("was reloaded").count() == 2);
    until_true("the schedule", || {
        source(&provider)["next_look"].as_str().is_some_and(|next| next.contains("-02-29T12"))
    });
    drop_order(&provider, "acme", "B.csv");
    see_zetas(&port, &provider, "Y.csv");
    assert_eq!(taken(&port, "acme"), 1);
    set_schedule(&provider, "");
    daemon.hang_up();
    until_true("the waiting file", || taken(&port, "acme") == 2);
    drop_order(&provider, "acme", "C.csv");
    until_true("a file told by an event", || taken(&port, "acme") == 3);
    assert_eq!(source(&provider)["next_look"], Value::Null);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn what_a_look_saw_is_taken_once_it_is_ready_and_what_came_later_is_not() {
    let (port, provider) = provider_with(LEAP_DAY);
    provider.run_once(&[]).ended(0);
    miss_a_time(&provider);
    set_ready(&provider, "ready = { when = \"quiet\", for = \"1s\" }");
    drop_order(&provider, "acme", "A.csv");
    let daemon = provider.start();
    until_true("the look", || source(&provider)["last_look"].is_string());
    drop_order(&provider, "acme", "B.csv");
    until_true("the file that was seen", || taken(&port, "acme") == 1);
    // The look is over, and will not be made up for again.
    until_true("the end of the look", || {
        let last = fs::read_to_string(provider.path("state/test/looks/acme/in.last")).unwrap();
        !last.contains("2023-11-22")
    });
    see_zetas(&port, &provider, "Z.csv");
    assert_eq!(taken(&port, "acme"), 1);
    assert!(provider.inbox("acme").join("B.csv").exists());
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn a_look_that_failed_is_made_up_for_before_the_next_time() {
    let (port, provider) = provider_with(LEAP_DAY);
    provider.run_once(&[]).ended(0);
    miss_a_time(&provider);
    let (inbox, away) = (provider.inbox("acme"), provider.path("away"));
    fs::rename(&inbox, &away).unwrap();
    let daemon = provider.start();
    let error = until("the error", || source(&provider)["last_error"].as_str().map(str::to_owned));
    assert!(error.contains("cannot be listed"), "{error}");
    assert_eq!(provider.alarms(), ["disk"]);
    fs::rename(&away, &inbox).unwrap();
    drop_order(&provider, "acme", "A.csv");
    until_true("the file", || taken(&port, "acme") == 1);
    until_true("that all is well", || source(&provider)["last_error"].is_null());
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn times_that_pass_while_a_customer_is_not_active_are_let_go() {
    let (port, provider) = provider_with(EVERY_SECOND);
    let active = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file("customers/acme.toml", format!("active = false\n{active}"));
    drop_order(&provider, "acme", "A.csv");
    let daemon = provider.start();
    let next = || source(&provider)["next_look"].as_str().map(str::to_owned);
    let first = until("the next time", next);
    until_true("a time that passes", || next().is_some_and(|next| next > first));
    assert_eq!(source(&provider)["last_look"], Value::Null);
    assert_eq!(taken(&port, "acme"), 0);
    provider.file("customers/acme.toml", active);
    daemon.hang_up();
    until_true("the file", || taken(&port, "acme") == 1);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
#[cfg(debug_assertions)]
fn a_claim_that_was_broken_off_is_gone_on_with_at_the_start() {
    let (port, provider) = provider_with(LEAP_DAY);
    drop_order(&provider, "acme", "A.csv");
    let fault = "kill;at;1;rename 00000000000000000001/data";
    let killed = provider.start_in(&["run", "--once"], &[("LIGHTERMAN_FAULT", fault)]).end();
    assert_eq!(killed.code, 137, "{killed}");
    drop_order(&provider, "acme", "B.csv");
    let daemon = provider.start();
    until_true("the file that was claimed", || taken(&port, "acme") == 1);
    see_zetas(&port, &provider, "Z.csv");
    assert_eq!(taken(&port, "acme"), 1);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn check_shows_the_next_three_times() {
    let (_port, provider) = provider_with(LEAP_DAY);
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 0, "{run}");
    let line = run.stdout.lines().find(|line| line.starts_with("acme / in: ")).unwrap();
    assert_eq!(line.matches("-02-29 12:00:00 +00:00").count(), 3, "{run}");
    assert!(!run.stdout.contains("zeta / in"), "{run}");
    set_schedule(&provider, "schedule = \"0 25 * * *\"");
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("customers/acme.toml:"), "{run}");
    assert!(run.stderr.contains("the hour is \"25\""), "{run}");
}
