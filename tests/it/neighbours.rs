//! One customer cannot hurt another: beside a dead server, a wrong password, a giant file and a
//! file of nothing but refused records, a small file of a fifth customer goes through.

use lighterman::sandbox::{Fault, What};
use serde_json::json;

use crate::harness::*;

const CSV: &str = "format = \"csv\"\ndelimiter = \";\"";
const GREEDY: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }
batch = { records = 10, bytes = "64 KiB" }
concurrency = 64"#;
const AN_HOUR: u64 = 3_600_000;
const GIANT: u64 = 40_000;

#[test]
fn a_small_file_goes_through_beside_four_customers_in_trouble() {
    let customers = ["dead", "locked", "giant", "refused", "small"];
    let port = Port::open(Port::world(&customers));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    for customer in customers {
        provider.forwarder(customer, "orders", GREEDY);
    }
    provider.secret("locked", "not-the-password");
    port.fault(Fault::new("/ingestion/c-dead", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    port.fault(Fault::status("/ingestion/c-refused", 422)).unwrap();
    let daemon = provider.start();
    let drop_orders = |customer: &str, count: u64| {
        let ids = (1..=count).map(|n| format!("{customer}-{n}"));
        provider.drop_file(customer, "A.csv", csv(ids, |_| false));
    };
    for customer in ["dead", "locked", "refused"] {
        drop_orders(customer, 1000);
    }
    drop_orders("giant", GIANT);
    let channel =
        |customer: &str| port.stats().ingestion.by_channel[&format!("c-{customer}")].clone();
    until_true("the dead server's calls", || channel("dead").calls >= 4);
    until_true("the refusals", || channel("refused").calls >= 20);
    until_true("the wrong password", || provider.alarms().iter().any(|is| is == "login-refused"));
    until_true("the giant's calls", || channel("giant").records >= 100);

    drop_orders("small", 100);
    until_true("the small file", || channel("small").records == 100);
    let giant = channel("giant").records;
    assert!(giant < GIANT, "the small file waited for the giant");
    assert_eq!(channel("dead").records, 10, "the dead server is dead still");
    until_true("its receipt", || provider.totals("small").get("delivered") == Some(&100));

    until_true("the giant", || channel("giant").records == GIANT);
    port.clear_faults();
    assert_eq!(daemon.stop().code, 0);
    provider.check_ledger();
}

#[test]
fn status_tells_whose_requests_are_open_and_whose_wait_for_their_turn() {
    let port = Port::open(Port::world(&["acme", "zeta"]));
    let provider = Provider::new(&port);
    let config = std::fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    provider.file("lighterman.toml", config.replace("[limits]", "[limits]\nin_flight = 8"));
    provider.mapping("orders", &orders(CSV, "json"));
    for customer in ["acme", "zeta"] {
        provider.forwarder(customer, "orders", &GREEDY.replace("64\"\n", "8\"\n"));
    }
    port.fault(Fault::new("/ingestion/c-acme", What::DelayMs(AN_HOUR)).skip(1)).unwrap();
    let daemon = provider.start();
    provider.drop_file("acme", "A.csv", csv((1..=1000).map(|n| format!("A{n}")), |_| false));
    let requests = || provider.status()["customers"]["acme"]["requests"].clone();
    // Of eight places, two stay free for the other customer.
    until_true("six requests", || requests()["open"] == 6 && requests()["waiting"] != 0);
    assert_eq!(
        provider.status()["customers"]["zeta"]["requests"],
        json!({"open": 0, "waiting": 0})
    );
    let told = provider.run(&["status"]).stdout;
    assert!(told.contains("\n  requests 6 open, "), "{told}");
    port.clear_faults();
    assert_eq!(daemon.stop().code, 0);
    let told = provider.run(&["status"]).stdout;
    assert!(!told.contains("requests"), "{told}");
}
