//! A changed config is taken in while the work goes on: new claims use it, files in work keep what
//! their claim pinned, and what cannot be used changes nothing.

use lighterman::sandbox::{Fault, What};
use serde_json::Value;

use crate::harness::*;

const CSV: &str = "format = \"csv\"\ndelimiter = \";\"";
const SMALL: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }
batch = { records = 10, bytes = "64 KiB" }"#;
const AN_HOUR: u64 = 3_600_000;

/// A provider with these customers, and a port that knows these and `late`.
fn provider_of(customers: &[&str]) -> (Port, Provider) {
    let port = Port::open(Port::world(&[customers, &["late"]].concat()));
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
    port.stats().ingestion.by_channel.get(&format!("c-{customer}")).map_or(0, |of| of.records)
}

/// A daemon that has read its config.
fn started(provider: &Provider) -> Running {
    let daemon = provider.start();
    until_true("the start", || daemon.stderr().contains("Started"));
    daemon
}

fn reload(daemon: &Running, times: usize) {
    daemon.hang_up();
    until_true("the reload", || daemon.stderr().matches("was reloaded").count() >= times);
}

fn advice(provider: &Provider) -> String {
    provider.status()["alarms"][0]["advice"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_customer_that_is_added_is_served_after_a_reload() {
    let (port, provider) = provider_of(&["acme"]);
    let daemon = started(&provider);
    drop_orders(&provider, "acme", "A.csv", 10);
    until_true("the first customer's file", || taken(&port, "acme") == 10);
    provider.forwarder("late", "orders", SMALL);
    drop_orders(&provider, "late", "L.csv", 10);
    reload(&daemon, 1);
    until_true("the new customer's file", || taken(&port, "late") == 10);
    // Its folder is watched from now on, and so is the first's still.
    drop_orders(&provider, "late", "M.csv", 10);
    drop_orders(&provider, "acme", "B.csv", 10);
    until_true("the next files", || (taken(&port, "late"), taken(&port, "acme")) == (20, 20));
    assert_eq!(daemon.stop().code, 0);
    provider.check_ledger();
}

#[test]
fn a_customer_that_is_taken_out_takes_nothing_more() {
    let (port, provider) = provider_of(&["acme", "zeta"]);
    let daemon = started(&provider);
    drop_orders(&provider, "zeta", "Z.csv", 10);
    until_true("its file", || provider.totals("zeta").get("delivered") == Some(&10));
    std::fs::remove_file(provider.path("customers/zeta.toml")).unwrap();
    reload(&daemon, 1);
    drop_orders(&provider, "zeta", "Y.csv", 10);
    drop_orders(&provider, "acme", "A.csv", 10);
    until_true("the other's file", || provider.totals("acme").get("delivered") == Some(&10));
    assert!(provider.inbox("zeta").join("Y.csv").exists());
    assert_eq!(taken(&port, "zeta"), 10);
    // It comes back.
    provider.forwarder("zeta", "orders", SMALL);
    reload(&daemon, 2);
    until_true("what it dropped meanwhile", || taken(&port, "zeta") == 20);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn a_file_in_work_keeps_the_mapping_of_its_claim_and_the_next_takes_todays() {
    let (port, provider) = provider_of(&["acme"]);
    port.fault(Fault::new("/ingestion", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    let daemon = started(&provider);
    drop_orders(&provider, "acme", "A.csv", 100);
    until_true("the calls", || port.stats().ingestion.calls == 5);
    let changed = orders(CSV, "json").replace("to       = \"id\"", "to       = \"number\"");
    provider.mapping("orders", &changed);
    reload(&daemon, 1);
    port.clear_faults();
    until_true("the file", || provider.totals("acme").get("delivered") == Some(&100));
    drop_orders(&provider, "acme", "B.csv", 10);
    until_true("the next file", || provider.totals("acme").get("delivered") == Some(&110));
    let sent = |field: &str| -> usize {
        let records = port.calls_to("/ingestion").into_iter().filter_map(|call| call.body);
        let records = records.flat_map(|body| serde_json::from_str::<Vec<Value>>(&body).unwrap());
        records.filter(|record| record.get(field).is_some()).count()
    };
    assert_eq!((sent("id"), sent("number")), (100, 10));
    assert_eq!(daemon.stop().code, 0);
    provider.check_ledger();
}

#[test]
fn a_file_in_work_goes_on_to_the_channel_that_took_the_others_place() {
    let (port, provider) = provider_of(&["acme"]);
    port.fault(Fault::new("/ingestion/c-acme", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    let daemon = started(&provider);
    drop_orders(&provider, "acme", "A.csv", 100);
    until_true("the calls", || port.stats().ingestion.calls == 5);
    let file = provider.path("customers/acme.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("c-acme", "c-late").replace("\"acme\"", "\"late\""))
        .unwrap();
    provider.secret("acme", "late-password");
    reload(&daemon, 1);
    port.clear_faults();
    until_true("the file", || provider.totals("acme").get("delivered") == Some(&100));
    assert_eq!((taken(&port, "acme"), taken(&port, "late")), (50, 50), "what was open ends there");
    assert_eq!(daemon.stop().code, 0);
    provider.check_ledger();
}

#[test]
fn a_customer_whose_new_config_is_broken_stays_on_its_old_one() {
    let (port, provider) = provider_of(&["acme", "zeta"]);
    let daemon = started(&provider);
    let file = provider.path("customers/acme.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("channel_id", "chanel_id")).unwrap();
    provider.forwarder("late", "orders", SMALL);
    reload(&daemon, 1);
    assert_eq!(provider.alarms(), ["config"]);
    assert!(advice(&provider).contains("the earlier config is used"), "{}", advice(&provider));
    for customer in ["acme", "zeta", "late"] {
        drop_orders(&provider, customer, "A.csv", 10);
    }
    until_true("all files", || {
        ["acme", "zeta", "late"].iter().all(|customer| taken(&port, customer) == 10)
    });
    std::fs::write(&file, good).unwrap();
    reload(&daemon, 2);
    assert_eq!(provider.alarms(), [""; 0]);
    drop_orders(&provider, "acme", "B.csv", 10);
    until_true("the next file", || taken(&port, "acme") == 20);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn a_customer_whose_mapping_is_broken_stays_on_the_old_one() {
    let (port, provider) = provider_of(&["acme"]);
    let daemon = started(&provider);
    provider.mapping("orders", "[input]\nformat = \"cvs\"\n");
    reload(&daemon, 1);
    assert_eq!(provider.alarms(), ["config"]);
    drop_orders(&provider, "acme", "A.csv", 10);
    until_true("the file", || provider.totals("acme").get("delivered") == Some(&10));
    assert_eq!(taken(&port, "acme"), 10);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn a_provider_file_that_cannot_be_used_changes_nothing() {
    let (port, provider) = provider_of(&["acme"]);
    let daemon = started(&provider);
    let good = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file("lighterman.toml", good.replace("[endpoints]", "[endpoint]"));
    daemon.hang_up();
    until_true("the alarm", || provider_alarms(&daemon) > 0);
    drop_orders(&provider, "acme", "A.csv", 10);
    until_true("the file", || taken(&port, "acme") == 10);
    provider.file("lighterman.toml", good);
    assert_eq!(provider.alarms(), ["config"]);
    assert!(advice(&provider).contains("the config in use is the earlier one"));
    reload(&daemon, 1);
    assert_eq!(provider.alarms(), [""; 0]);
    assert_eq!(daemon.stop().code, 0);
}

fn provider_alarms(daemon: &Running) -> usize {
    daemon.stderr().matches("Not reloaded").count()
}

#[test]
fn a_customer_that_is_not_active_takes_nothing_new_and_finishes_what_is_open() {
    let (port, provider) = provider_of(&["acme", "zeta"]);
    port.fault(Fault::new("/ingestion/c-acme", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    let daemon = started(&provider);
    drop_orders(&provider, "acme", "A.csv", 100);
    until_true("the calls", || port.stats().ingestion.calls == 5);
    let file = provider.path("customers/acme.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("vat =", "active = false\nvat =", 1)).unwrap();
    reload(&daemon, 1);
    drop_orders(&provider, "acme", "B.csv", 10);
    port.clear_faults();
    until_true("what is open", || provider.totals("acme").get("delivered") == Some(&100));
    drop_orders(&provider, "zeta", "Z.csv", 10);
    until_true("the other's file", || provider.totals("zeta").get("delivered") == Some(&10));
    assert!(provider.inbox("acme").join("B.csv").exists(), "it was not claimed");
    assert_eq!(taken(&port, "acme"), 100);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn a_file_whose_channel_is_taken_out_raises_an_alarm_and_goes_on_when_it_is_back() {
    let (port, provider) = provider_of(&["acme"]);
    port.fault(Fault::status("/ingestion", 503)).unwrap();
    let daemon = started(&provider);
    drop_orders(&provider, "acme", "A.csv", 10);
    until_true("that the file waits", || provider.alarms() == ["unreachable"]);
    let file = provider.path("customers/acme.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let other = good.replace("[channels.out]", "[channels.other]");
    std::fs::write(&file, other.replace("channel = \"out\"", "channel = \"other\"")).unwrap();
    reload(&daemon, 1);
    until_true("the alarm", || advice(&provider).contains("the channel out is not there"));
    port.clear_faults();
    std::fs::write(&file, good).unwrap();
    reload(&daemon, 2);
    until_true("the file", || provider.totals("acme").get("delivered") == Some(&10));
    assert_eq!(provider.alarms(), [""; 0]);
    assert_eq!(port.stats().ingestion.conflicting_keys, 0);
    assert_eq!(daemon.stop().code, 0);
    provider.check_ledger();
}

#[test]
fn never_more_than_the_limit_are_open_at_one_api_over_reloads() {
    let address = |n: u64| format!("0xc0de{n:036x}");
    let releases = (1..=200).map(|n| Port::release(&address(n), "", "")).collect();
    let port = Port::open(Port::scr_world(releases, 20));
    let provider = Provider::new(&port);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("acme", VAT, "assignments", "");
    let daemon = started(&provider);
    let driver = |n: u64| Assignment::at(&address(n), Wanted::Driver(n.to_string()));
    provider.drop_file("acme", "A.xml", xml((1..=200).map(driver)));
    // Each reload gives the channel other settings, so that it is opened anew.
    for n in 1..=8 {
        until_true("some calls", || port.stats().scr[SCR].writes >= n * 15);
        let more =
            format!("retry = {{ first = \"{n}s\", max = \"10m\", give_up_after = \"24h\" }}");
        provider.transporter("acme", VAT, "assignments", &more);
        reload(&daemon, n as usize);
    }
    until_true("all of them", || provider.totals("acme").get("delivered") == Some(&200));
    let stats = &port.stats().scr[SCR];
    assert_eq!((stats.highest_open, stats.overlapping), (20, 0));
    assert_eq!(stats.writes, 200);
    assert_eq!(daemon.stop().code, 0);
    provider.check_ledger();
}
