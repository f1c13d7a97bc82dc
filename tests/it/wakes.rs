//! Ten thousand assignments wait for their release, and ten thousand releases come in no order.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lighterman::sandbox::{Fault, Release, What};

use crate::harness::callback::*;
use crate::harness::*;

const API: &str = "/notifications/scr/wallet-a";
const RELEASES: u64 = 10_000;
const FILES: u64 = 4;
/// Of every so many releases one is assigned twice.
const TWICE: u64 = 10;
/// Who tells of them at the same time.
const SENDERS: usize = 8;

fn address(n: u64) -> String {
    format!("0xC0de{n:036x}")
}

fn container(n: u64) -> String {
    format!("TEST{n:07}")
}

fn assignment(n: u64, driver: &str) -> Assignment {
    Assignment::of(&container(n), None, Wanted::Driver(format!("{driver}{n}")))
}

fn releases() -> Vec<Release> {
    (0..RELEASES).map(|n| Port::release(&address(n), &container(n), "BL1")).collect()
}

/// Tells of these releases one by one.
fn tell(at: SocketAddr, releases: &[u64]) {
    for n in releases {
        let body = on_release("TRANSFER", &address(*n), VAT);
        // One that was sent away comes again.
        until_true("200", || post(at, API, &[&signed()], &body) == 200);
    }
}

/// Waits for a number of open records, for as long as anything goes on.
fn settles(provider: &Provider, what: &str, mut is_reached: impl FnMut(u64) -> bool) {
    let mut last = BTreeMap::new();
    let records = || -> BTreeMap<String, u64> {
        let status = provider.status()["customers"]["wilgen"]["records"].clone();
        serde_json::from_value(status).unwrap()
    };
    loop {
        let now = until(what, || Some(records()).filter(|now| *now != last));
        let open = ["pending", "in_flight", "deferred", "parked"].map(|state| now[state]);
        if is_reached(open.iter().sum()) {
            return;
        }
        last = now;
    }
}

#[test]
fn all_are_assigned_once_at_most_twenty_at_a_time_and_the_newest_driver_stays() {
    let at = free_address();
    let port = Port::open(Port::scr_world(Vec::new(), 0));
    let callback = "callback = { key = { file = \"secrets/callback\" }, in = \"header\" }";
    let listen = format!("{callback}\n\n[listen]\nnotifications = {{ address = \"{at}\" }}\n");
    let provider = Provider::with(&port, &listen);
    provider.secret("callback", CALLBACK_KEY);
    provider.mapping("assignments", ASSIGNMENTS);
    let slow = r#"retry = { first = "1h", max = "1h", give_up_after = "24h" }"#;
    provider.transporter("wilgen", VAT, "assignments", slow);
    let daemon = provider.start();
    // The second driver of a release may come in the same file, or in another.
    for file in 0..FILES {
        let first = (0..RELEASES).filter(|n| n % FILES == file).map(|n| assignment(n, "A"));
        let second = (0..RELEASES)
            .filter(|n| n % TWICE == 0 && (n / TWICE) % FILES == file && n % FILES <= file)
            .map(|n| assignment(n, "B"));
        provider.drop_file("wilgen", &format!("{file}.xml"), xml(first.chain(second)));
    }
    let twice = |n: &u64| n.is_multiple_of(TWICE) && n % FILES <= (n / TWICE) % FILES;
    let second = (0..RELEASES).filter(twice).count() as u64;
    assert!(second > 500, "{second}");
    let parked = || provider.records("wilgen", "parked");
    settles(&provider, "the parking", |open| open == RELEASES + second && parked() == open);
    port.replace(Port::scr_world(releases(), 0)).unwrap();
    let (seed, mut random) = Random::seeded();
    let mut order: Vec<u64> = (0..RELEASES).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    std::thread::scope(|scope| {
        for part in order.chunks(order.len().div_ceil(SENDERS)) {
            scope.spawn(move || tell(at, part));
        }
    });
    settles(&provider, &format!("seed {seed}"), |open| open == 0);
    assert_eq!(daemon.stop().code, 0);
    let scr = port.stats().scr[SCR].clone();
    let superseded = provider.records("wilgen", "superseded");
    assert_eq!(provider.records("wilgen", "delivered") + superseded, RELEASES + second);
    assert_eq!(scr.accepted + superseded, RELEASES + second, "each once, seed {seed}");
    assert!(scr.highest_open <= 20, "{}", scr.highest_open);
    assert_eq!((scr.overlapping, scr.overlapping_in_work), (0, 0));
    let assigned: BTreeMap<u64, String> = (0..RELEASES)
        .map(|n| (n, port.release(SCR, &address(n)).unwrap().assigned.unwrap().identification))
        .collect();
    for (n, driver) in assigned {
        let wanted = if twice(&n) { "B" } else { "A" };
        assert_eq!(driver, format!("{wanted}{n}"), "seed {seed}");
    }
    provider.check_ledger();
}

/// The drivers of the calls to a release, in the order in which they came.
fn drivers(port: &Port, address: &str) -> Vec<String> {
    let calls = port.calls_to(&format!("{SCR}/releases/{address}/assign")).into_iter();
    let bodies = calls.map(|call| call.body.unwrap());
    let bodies = bodies.map(|body| serde_json::from_str::<serde_json::Value>(&body).unwrap());
    bodies.map(|body| body["identification"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_wakes_together_never_goes_after_a_newer_one_that_was_answered_with_a_fault() {
    const COUNT: u64 = 8;
    let at = free_address();
    let blocked = |n| Release { blocked: true, ..Port::release(&address(n), &container(n), "BL1") };
    let port = Port::open(Port::scr_world((0..COUNT).map(blocked).collect(), 0));
    let callback = "callback = { key = { file = \"secrets/callback\" }, in = \"header\" }";
    let listen = format!("{callback}\n\n[listen]\nnotifications = {{ address = \"{at}\" }}\n");
    let provider = Provider::with(&port, &listen);
    provider.secret("callback", CALLBACK_KEY);
    provider.mapping("assignments", ASSIGNMENTS);
    let quick = r#"retry = { first = "20ms", max = "1h", give_up_after = "24h" }"#;
    provider.transporter("wilgen", VAT, "assignments", quick);
    let daemon = provider.start();
    for (file, driver) in ["A", "B", "C"].into_iter().enumerate() {
        let rows = (0..COUNT).map(|n| assignment(n, driver));
        provider.drop_file("wilgen", &format!("{file}.xml"), xml(rows));
        let parked = (file as u64 + 1) * COUNT;
        until_true("parked", || provider.records("wilgen", "parked") == parked);
    }
    let free = (0..COUNT).map(|n| Port::release(&address(n), &container(n), "BL1"));
    port.replace(Port::scr_world(free.collect(), 0)).unwrap();
    // What the first call for each release does is done behind the API all the same.
    let fault = What::Status {
        status: 500,
        retry_after: None,
        body: Some(r#"{"code": 3, "description": "no answer from the chain"}"#.to_owned()),
        headers: Default::default(),
    };
    for n in 0..COUNT {
        let path = format!("{SCR}/releases/{}/assign", address(n).to_lowercase());
        port.fault(Fault::new(&path, fault.clone()).times(1)).unwrap();
    }
    for n in 0..COUNT {
        let body = on_release("UNBLOCK", &address(n), VAT);
        assert_eq!(post(at, API, &[&signed()], &body), 200);
    }
    settles(&provider, "all are done", |open| open == 0);
    assert_eq!(daemon.stop().code, 0);
    for n in 0..COUNT {
        let told = drivers(&port, &address(n).to_lowercase());
        assert!(told.is_sorted(), "an older one followed a newer one: {told:?}");
        assert_eq!(told.last(), Some(&format!("C{n}")));
        assert!(told.len() > 1, "the first was answered with a fault: {told:?}");
    }
    provider.check_ledger();
}
