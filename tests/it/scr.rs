//! Assignments at an SCR API: at most 20 calls at a time over all customers, one call a release,
//! in the order in which the records came in, through faults and retries.

use std::time::Duration;

use lighterman::sandbox::{Fault, Kind, Release, ReleaseState, What};

use crate::harness::*;

const QUICK: &str = r#"retry = { first = "20ms", max = "100ms", give_up_after = "24h" }"#;
const AN_HOUR: Duration = Duration::from_secs(3600);

/// Release number `n`: its address and its container.
fn address(n: u64) -> String {
    format!("0xc0de{n:036x}")
}

fn container(n: u64) -> String {
    format!("TEST{n:07}")
}

fn releases(count: u64) -> Vec<Release> {
    (0..count).map(|n| Port::release(&address(n), &container(n), "BL1")).collect()
}

/// A port with so many releases, and one customer whose wallet it is.
fn wilgen(count: u64, latency_ms: u64) -> (Port, Provider) {
    let port = Port::open(Port::scr_world(releases(count), latency_ms));
    let provider = Provider::new(&port);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", QUICK);
    (port, provider)
}

fn driver(id: impl std::fmt::Display) -> Wanted {
    Wanted::Driver(id.to_string())
}

fn state(port: &Port, n: u64) -> ReleaseState {
    port.release(SCR, &address(n)).unwrap()
}

/// Who was assigned to release `n`, one after the other; `-` where nobody was any more.
fn history(port: &Port, n: u64) -> Vec<String> {
    let changes = state(port, n).history.into_iter();
    changes.map(|change| change.assigned.map_or("-".into(), |who| who.identification)).collect()
}

/// Drops 1,000 assignments over 300 releases in three files. Each driver's identification is the
/// record's age. Gives back the ages of each release, oldest first.
fn drop_a_thousand(provider: &Provider, random: &mut Random) -> Vec<Vec<u64>> {
    let mut ages = vec![Vec::new(); 300];
    let mut age = 0;
    for (name, records) in [("1.xml", 333), ("2.xml", 333), ("3.xml", 334)] {
        let mut file = Vec::new();
        for _ in 0..records {
            age += 1;
            let release = random.below(300);
            ages[release as usize].push(age);
            // Every third release is named by its container.
            file.push(match release % 3 {
                0 => Assignment::of(&container(release), Some("BL1"), driver(age)),
                _ => Assignment::at(&address(release), driver(age)),
            });
        }
        provider.drop_file("wilgen", name, xml(file));
    }
    ages
}

#[track_caller]
fn order_was_kept(port: &Port, ages: &[Vec<u64>], seed: u64) {
    for (release, ages) in ages.iter().enumerate() {
        let seen: Vec<u64> =
            history(port, release as u64).iter().map(|id| id.parse().unwrap()).collect();
        assert!(
            seen.is_sorted(),
            "seed {seed}: release {release} with the records {ages:?} saw {seen:?}: an older one \
             after a newer one"
        );
        assert_eq!(seen.last(), ages.last(), "seed {seed}: release {release} ends with the newest");
    }
}

#[track_caller]
fn all_thousand_are_answered_for(port: &Port, provider: &Provider, seed: u64) {
    let totals = provider.totals("wilgen");
    assert_eq!(totals["delivered"] + totals["superseded"], 1000, "seed {seed}: {totals:?}");
    assert_eq!(totals["total"], 1000, "seed {seed}");
    let scr = &port.stats().scr[SCR];
    assert!(scr.highest_open <= 20 && scr.highest_in_work <= 20, "seed {seed}: {scr:?}");
    assert_eq!((scr.overlapping, scr.overlapping_in_work), (0, 0), "seed {seed}: {scr:?}");
    assert_eq!((scr.refused_tokens, scr.replayed_tokens), (0, 0), "seed {seed}: {scr:?}");
    provider.check_ledger();
}

#[test]
fn a_thousand_assignments_keep_their_order_with_never_more_than_twenty_open() {
    let (seed, mut random) = Random::seeded();
    println!("seed {seed}");
    let (port, provider) = wilgen(300, 5);
    let ages = drop_a_thousand(&provider, &mut random);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 0, "seed {seed}: {run}");
    all_thousand_are_answered_for(&port, &provider, seed);
    order_was_kept(&port, &ages, seed);
    assert_eq!(port.stats().scr[SCR].accepted, 1000, "without faults all are carried out, once");
}

#[test]
fn a_thousand_assignments_keep_their_order_through_faults_and_retries() {
    let (seed, mut random) = Random::seeded();
    println!("seed {seed}");
    let (port, provider) = wilgen(300, 5);
    let ages = drop_a_thousand(&provider, &mut random);
    let puts = "/wallet-a/*/assign";
    let refusal = What::Status {
        status: 500,
        retry_after: None,
        body: Some(r#"{"code": 4711, "description": "the network is busy"}"#.to_owned()),
        headers: Default::default(),
    };
    port.fault(Fault::new(puts, refusal).every(7).times(40)).unwrap();
    port.fault(Fault::status(puts, 503).every(11).times(30)).unwrap();
    port.fault(Fault::new(puts, What::Drop).every(13).times(20)).unwrap();
    port.fault(Fault::new(puts, What::DropAfter).every(9).times(40)).unwrap();
    port.fault(Fault::status("/wallet-a/*/releases", 503).every(17).times(10)).unwrap();
    let run = provider.run_once(&["--wait", "50s"]);
    assert_eq!(run.code, 0, "seed {seed}: {run}");
    all_thousand_are_answered_for(&port, &provider, seed);
    order_was_kept(&port, &ages, seed);
}

#[test]
fn twenty_go_at_once_and_the_twenty_first_waits() {
    let (port, provider) = wilgen(41, 0);
    let daemon = provider.start();
    provider.drop_file("wilgen", "1.xml", xml([Assignment::at(&address(40), driver(0))]));
    until_true("the first", || port.stats().scr[SCR].accepted == 1);
    port.set_latency(SCR, AN_HOUR).unwrap();
    let file = (0..40).map(|n| Assignment::at(&address(n), driver(n)));
    provider.drop_file("wilgen", "2.xml", xml(file));
    until_true("twenty calls", || port.stats().scr[SCR].highest_open == 20);
    assert_eq!(provider.records("wilgen", "delivered"), 1);
    port.set_latency(SCR, Duration::ZERO).unwrap();
    until_true("all", || port.stats().scr[SCR].accepted == 41);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(port.stats().scr[SCR].highest_open, 20);
    assert_eq!(provider.records("wilgen", "delivered"), 41);
}

#[test]
fn a_lower_concurrency_is_kept_to() {
    let port = Port::open(Port::scr_world(releases(60), 2));
    let provider = Provider::new(&port);
    let path = provider.path("lighterman.toml");
    let config = std::fs::read_to_string(path).unwrap();
    provider.file("lighterman.toml", config + "concurrency = 3\n");
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", QUICK);
    let file = (0..60).map(|n| Assignment::at(&address(n), driver(n)));
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(port.stats().scr[SCR].highest_open, 3);
}

#[test]
fn two_customers_at_one_api_are_held_to_twenty_together() {
    let mut all = releases(82);
    for release in &mut all[41..] {
        release.owner_vat = Some("BE0999142065".to_owned());
    }
    let port = Port::open(Port::scr_world(all, 0));
    let provider = Provider::new(&port);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", QUICK);
    provider.transporter("kraan", "BE0999142065", "assignments", QUICK);
    let daemon = provider.start();
    let of = |from: u64, to: u64| xml((from..to).map(|n| Assignment::at(&address(n), driver(n))));
    provider.drop_file("wilgen", "1.xml", of(0, 1));
    provider.drop_file("kraan", "1.xml", of(41, 42));
    until_true("both channels work", || port.stats().scr[SCR].accepted == 2);
    port.set_latency(SCR, AN_HOUR).unwrap();
    provider.drop_file("wilgen", "2.xml", of(1, 41));
    provider.drop_file("kraan", "2.xml", of(42, 82));
    until_true("both files", || {
        let pending = ["wilgen", "kraan"].map(|id| provider.status()["customers"][id].clone());
        pending.iter().all(|customer| customer["files"]["open"] == 1)
    });
    until_true("twenty calls", || port.stats().scr[SCR].highest_open == 20);
    port.set_latency(SCR, Duration::ZERO).unwrap();
    until_true("all", || port.stats().scr[SCR].accepted == 82);
    assert_eq!(daemon.stop().code, 0);
    let scr = &port.stats().scr[SCR];
    assert_eq!((scr.highest_open, scr.highest_in_work), (20, 20));
    assert_eq!(provider.records("wilgen", "delivered"), 41);
    assert_eq!(provider.records("kraan", "delivered"), 41);
}

#[test]
fn at_a_shared_api_a_customer_cannot_touch_another_ones_release() {
    let mut all = releases(2);
    all[1].owner_vat = Some("BE0999142065".to_owned());
    let port = Port::open(Port::scr_world(all, 0));
    let provider = Provider::new(&port);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", QUICK);
    provider.transporter("kraan", "BE0999142065", "assignments", QUICK);
    let both =
        [Assignment::at(&address(0), driver("K0")), Assignment::at(&address(1), driver("K1"))];
    provider.drop_file("kraan", "1.xml", xml(both));
    let by_container = Assignment::of(&container(1), None, driver("W1"));
    provider.drop_file("wilgen", "1.xml", xml([by_container]));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!((history(&port, 0), history(&port, 1)), (vec![], vec!["K1".to_owned()]));
    let problems = provider.problems("kraan", "1.xml");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].record, problems[0].rule.as_str()), (1, "release"));
    assert_eq!(provider.records("wilgen", "parked"), 1, "it may be transferred to us yet");
}

#[test]
fn an_unknown_release_is_parked_and_delivered_when_it_appears() {
    let (port, provider) = wilgen(1, 0);
    let file = [
        Assignment::at(&address(0), driver("D0")),
        Assignment::of(&container(7), None, driver("D7")),
        Assignment::of(&container(0), Some("ANOTHER"), driver("DX")),
    ];
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "work is left: {run}");
    let receipt = provider.receipt("wilgen", "1.xml");
    assert_eq!(
        (&receipt["records"]["delivered"], &receipt["records"]["parked"]),
        (&1.into(), &2.into())
    );
    assert!(receipt["answered"].is_string() && receipt["settled"].is_null(), "{receipt}");
    assert_eq!(provider.alarms(), [""; 0]);
    let verdicts = || {
        let rows = provider.verdicts("wilgen", "1.xml").into_iter();
        rows.map(|row| (row.reference, row.outcome)).collect::<Vec<_>>()
    };
    let row = |reference: String, outcome: &str| (reference, outcome.to_owned());
    let another = format!("{} ANOTHER", container(0));
    assert_eq!(verdicts(), [row(container(7), "parked"), row(another, "parked")]);

    let mut known = releases(8);
    known.push(Port::release(&address(100), &container(0), "ANOTHER"));
    port.replace(Port::scr_world(known, 0)).unwrap();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!((history(&port, 0), history(&port, 7)), (vec![], vec!["D7".to_owned()]));
    assert_eq!(history(&port, 100), ["DX"]);
    let receipt = provider.receipt("wilgen", "1.xml");
    assert_eq!(receipt["records"]["delivered"], 3);
    assert!(receipt["settled"].is_string(), "{receipt}");
    assert_eq!(verdicts(), [row(address(7), "delivered"), row(address(100), "delivered")]);
    provider.check_ledger();
}

#[test]
fn a_parked_assignment_is_looked_up_by_a_daemon_too() {
    let (port, provider) = wilgen(0, 0);
    let daemon = provider.start();
    provider.drop_file("wilgen", "1.xml", xml([Assignment::of(&container(0), None, driver("D0"))]));
    until_true("the parking", || provider.records("wilgen", "parked") == 1);
    port.replace(Port::scr_world(releases(1), 0)).unwrap();
    until_true("the delivery", || provider.records("wilgen", "delivered") == 1);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(history(&port, 0), ["D0"]);
}

#[test]
fn several_candidates_are_quarantined_and_named() {
    let mut all = releases(4);
    for (n, release) in all.iter_mut().enumerate() {
        release.container = "MSCU0000001".to_owned();
        release.bl = format!("BL{n}");
    }
    all[2].deleted = true;
    all[3].gate_out = Some("2026-01-05 14:00".to_owned());
    let port = Port::open(Port::scr_world(all, 0));
    let provider = Provider::new(&port);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", QUICK);
    let file = [
        Assignment::of("MSCU0000001", None, driver("D1")),
        Assignment::of("MSCU0000001", Some("BL1"), driver("D2")),
        Assignment::of("MSCU0000001", Some("BL3"), driver("D3")),
    ];
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    let problems = provider.problems("wilgen", "1.xml");
    assert_eq!(problems.len(), 2, "{problems:?}");
    let of = |record| problems.iter().find(|problem| problem.record == record).unwrap();
    let Problem { record, field, value, rule, advice, .. } = of(1);
    assert_eq!((*record, field.as_str(), value.as_str()), (1, "Release/Container", "MSCU0000001"));
    assert_eq!(rule, "release");
    for shown in [address(0), address(1), "BL0".to_owned(), "BL1".to_owned()] {
        assert!(advice.contains(&shown), "{shown}: {advice}");
    }
    for hidden in [address(2), address(3)] {
        assert!(!advice.contains(&hidden), "{hidden} is out of question: {advice}");
    }
    assert_eq!(history(&port, 1), ["D2"]);
    assert!(of(3).advice.contains("left the terminal"), "of BL3 nothing is left to fetch");
}

#[test]
fn a_barge_is_assigned_and_a_missing_visit_number_is_a_warning() {
    let (port, provider) = wilgen(2, 0);
    let file = [
        Assignment::at(&address(0), Wanted::Barge("02312345".into(), Some("V1".into()))),
        Assignment::at(&address(1), Wanted::Barge("06105123".into(), None)),
    ];
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let assigned = |n| state(&port, n).assigned.unwrap();
    let first = assigned(0);
    assert_eq!((first.kind, first.identification.as_str()), (Kind::Barge, "02312345"));
    assert_eq!(
        (first.name.as_deref(), first.visit_number.as_deref()),
        (Some("Sirene"), Some("V1"))
    );
    assert_eq!((assigned(1).identification.as_str(), assigned(1).visit_number), ("06105123", None));
    assert_eq!(port.stats().scr[SCR].by_action.get("assign"), Some(&2), "barges go through assign");
    let problems = provider.problems("wilgen", "1.xml");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let Problem { record, line, level, field, rule, .. } = &problems[0];
    assert_eq!((*record, *line), (2, 6));
    assert_eq!((level.as_str(), field.as_str(), rule.as_str()), ("warn", "Visit", "required"));
}

#[test]
fn the_warning_of_a_record_that_waits_for_its_release_is_told_too() {
    let (port, provider) = wilgen(0, 0);
    let barge = Wanted::Barge("06105123".into(), None);
    provider.drop_file("wilgen", "1.xml", xml([Assignment::of(&container(0), None, barge)]));
    provider.run_once(&[]).ended(75);
    port.replace(Port::scr_world(releases(1), 0)).unwrap();
    provider.run_once(&[]).ended(0);
    let problems = provider.problems("wilgen", "1.xml");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].level.as_str(), problems[0].field.as_str()), ("warn", "Visit"));
}

#[test]
fn an_unassign_is_delivered_once_it_is_confirmed() {
    let (port, provider) = wilgen(1, 0);
    let file =
        [Assignment::at(&address(0), driver("D0")), Assignment::at(&address(0), Wanted::Unassign)];
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&["--wait", "10s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(history(&port, 0), ["D0", "-"]);
    assert_eq!(state(&port, 0).assigned, None);
    assert_eq!(provider.records("wilgen", "delivered"), 2);
    let calls = port.calls_to(SCR);
    let unassign = calls.iter().position(|call| call.path.ends_with("/unassign")).unwrap();
    assert!(
        calls[unassign + 1..].iter().any(|call| call.method == "GET"),
        "a GET confirms what was only accepted"
    );
}

#[test]
fn driver_a_then_b_then_a_again_ends_with_a() {
    for together in [true, false] {
        let (port, provider) = wilgen(1, 1);
        // The third file has the bytes of the first: at SCR a repeat is sent.
        for (name, who) in [("1.xml", "A"), ("2.xml", "B"), ("3.xml", "A")] {
            provider.drop_file("wilgen", name, xml([Assignment::at(&address(0), driver(who))]));
            if !together {
                provider.run_once(&[]).ended(0);
            }
        }
        if together {
            provider.run_once(&["--wait", "10s"]).ended(0);
        }
        assert_eq!(history(&port, 0), ["A", "B", "A"], "together: {together}");
        let third = provider.receipt("wilgen", "3.xml");
        assert_eq!(
            third["repeat_of"]["file"].as_str().or(third["repeat_of"]["name"].as_str()),
            Some("1.xml"),
            "{third}"
        );
        assert_eq!(provider.totals("wilgen")["delivered"], 3);
        provider.check_ledger();
    }
}

#[test]
fn an_older_assignment_never_follows_a_newer_one_that_may_have_been_taken() {
    let (port, provider) = wilgen(2, 0);
    // The first goes alone and shows that the channel works. Of the two for one release the older
    // is put off, and the newer is taken but nobody hears so, three times.
    let path = format!("{SCR}/releases/{}/assign", address(0));
    port.fault(Fault::status(&path, 503).times(1)).unwrap();
    port.fault(Fault::new(&path, What::DropAfter).times(3)).unwrap();
    let file = [
        Assignment::at(&address(1), driver("first")),
        Assignment::at(&address(0), driver("older")),
        Assignment::at(&address(0), driver("newer")),
    ];
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(history(&port, 0), ["newer"; 4]);
    let totals = provider.totals("wilgen");
    assert_eq!((totals["delivered"], totals["superseded"]), (2, 1), "{totals:?}");
}

#[test]
fn a_newer_call_that_is_refused_does_not_make_a_lost_answer_known() {
    let (port, provider) = wilgen(2, 0);
    let path = format!("{SCR}/releases/{}/assign", address(0));
    port.fault(Fault::status(&path, 503).times(1)).unwrap();
    port.fault(Fault::new(&path, What::DropAfter).times(1)).unwrap();
    port.fault(Fault::status(&path, 503).times(1)).unwrap();
    let file = [
        Assignment::at(&address(1), driver("first")),
        Assignment::at(&address(0), driver("put off")),
        Assignment::at(&address(0), driver("taken unheard")),
        Assignment::at(&address(0), driver("put off, too")),
    ];
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    let mut seen = history(&port, 0);
    seen.dedup();
    assert_eq!(seen, ["taken unheard", "put off, too"]);
}

#[test]
fn an_older_assignment_waits_no_longer_than_a_newer_one_that_is_parked() {
    let (port, provider) = wilgen(2, 0);
    let quick = "retry = { first = \"20ms\", max = \"100ms\", give_up_after = \"24h\" }\n";
    provider.transporter("wilgen", VAT, "assignments", &format!("{quick}park_for = \"1s\""));
    // The older is put off, and the newer, by its container, is taken but nobody hears so.
    let path = format!("{SCR}/releases/{}/assign", address(0));
    port.fault(Fault::status(&path, 503).times(1)).unwrap();
    port.fault(Fault::new(&path, What::DropAfter).times(1)).unwrap();
    let file = [
        Assignment::at(&address(1), driver("first")),
        Assignment::at(&address(0), driver("older")),
        Assignment::of(&container(0), None, driver("newer")),
    ];
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(history(&port, 0), ["newer"]);
    // Then its container is not found any more.
    let known = vec![Port::release(&address(0), &container(9), "ANOTHER")];
    port.replace(Port::scr_world(known, 0)).unwrap();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(history(&port, 0), [""; 0], "the newer may have been taken");
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "the newer was parked for too long: {run}");
    assert_eq!(history(&port, 0), [""; 0], "the newer may have been taken still");
    let totals = provider.totals("wilgen");
    assert_eq!((totals["quarantined"], totals["superseded"]), (1, 1), "{totals:?}");
    provider.check_ledger();
}

#[test]
fn what_is_set_aside_keeps_nothing_older_back() {
    let (port, provider) = wilgen(2, 0);
    let quick = r#"retry = { first = "20ms", max = "100ms", give_up_after = "1s" }"#;
    provider.transporter("wilgen", VAT, "assignments", quick);
    // The older is put off once, and the newer is refused for good.
    let path = format!("{SCR}/releases/{}/assign", address(0));
    let refusal = What::Status {
        status: 400,
        retry_after: None,
        body: Some("no such driver".to_owned()),
        headers: Default::default(),
    };
    port.fault(Fault::status(&path, 503).times(1)).unwrap();
    port.fault(Fault::new(&path, refusal).times(1)).unwrap();
    let file = [
        Assignment::at(&address(1), driver("first")),
        Assignment::at(&address(0), driver("older")),
        Assignment::at(&address(0), driver("newer")),
    ];
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(history(&port, 0), ["older"]);
    let problems = provider.problems("wilgen", "1.xml");
    assert_eq!((problems.len(), problems[0].record), (1, 3), "{problems:?}");
}

#[test]
fn a_run_does_not_sit_out_how_long_an_unanswered_call_keeps_its_release_and_its_place() {
    let port = Port::open(Port::scr_world(releases(2), 0));
    let provider = Provider::with(&port, "timeout = \"1s\"\nconcurrency = 1\n");
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", QUICK);
    // The API works on a call that is not answered for a minute, so that one is open all that time.
    let path = format!("{SCR}/releases/{}/assign", address(0));
    port.fault(Fault::new(&path, What::DelayMs(600_000)).times(1)).unwrap();
    let file = [
        Assignment::at(&address(0), driver("first")),
        Assignment::at(&address(0), driver("second")),
        Assignment::at(&address(1), driver("third")),
    ];
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&["--wait", "8s"]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(provider.records("wilgen", "deferred"), 3);
    assert_eq!(port.calls_to(&format!("{SCR}/releases/")).len(), 1, "nothing else could begin");
    provider.check_ledger();
}

#[test]
fn sigterm_finishes_the_calls_that_are_open_and_starts_no_other() {
    let (port, provider) = wilgen(101, 0);
    let mut daemon = provider.start();
    provider.drop_file("wilgen", "1.xml", xml([Assignment::at(&address(100), driver("first"))]));
    until_true("the first", || port.stats().scr[SCR].accepted == 1);
    port.set_latency(SCR, AN_HOUR).unwrap();
    let file = (0..100).map(|n| Assignment::at(&address(n), driver(n)));
    provider.drop_file("wilgen", "2.xml", xml(file));
    until_true("twenty calls", || port.stats().scr[SCR].writes == 21);
    daemon.terminate();
    until_true("that it heard", || daemon.stderr().contains("Stopping"));
    assert!(daemon.runs(), "twenty answers are still to come");
    port.set_latency(SCR, Duration::ZERO).unwrap();
    assert_eq!(daemon.end().code, 0);
    assert_eq!(port.stats().scr[SCR].writes, 21);
    assert_eq!(provider.records("wilgen", "delivered"), 21);
    provider.check_ledger();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(port.stats().scr[SCR].writes, 101, "each went out once");
}

#[test]
fn addresses_are_compared_whatever_their_letters() {
    let port = Port::open(Port::scr_world(vec![Port::release("0xABcdef", "TEST0000001", "B")], 1));
    let provider = Provider::new(&port);
    provider.mapping("assignments", ASSIGNMENTS);
    provider.transporter("wilgen", VAT, "assignments", QUICK);
    let file = ["0xABCDEF", "0xabcdef", "0xAbCdEf"].iter().enumerate();
    let file = file.map(|(n, address)| Assignment::at(address, driver(n)));
    provider.drop_file("wilgen", "1.xml", xml(file));
    provider.run_once(&[]).ended(0);
    assert_eq!(port.stats().scr[SCR].overlapping, 0);
    let release = port.release(SCR, "0xabcdef").unwrap();
    assert_eq!(release.assigned.unwrap().identification, "2");
}

#[test]
fn what_the_api_refuses_for_good_is_quarantined_with_its_words() {
    let (port, provider) = wilgen(2, 0);
    let quick = r#"retry = { first = "20ms", max = "100ms", give_up_after = "1s" }"#;
    provider.transporter("wilgen", VAT, "assignments", quick);
    let body = r#"{"code": 99, "description": "The driver is not known here"}"#.to_owned();
    let headers = Default::default();
    let refusal = What::Status { status: 500, retry_after: None, body: Some(body), headers };
    let path = format!("{SCR}/releases/{}/assign", address(1));
    port.fault(Fault::new(&path, refusal)).unwrap();
    let file = (0..2).map(|n| Assignment::at(&address(n), driver(n)));
    provider.drop_file("wilgen", "1.xml", xml(file));
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(history(&port, 0), ["0"]);
    let problems = provider.problems("wilgen", "1.xml");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].record, problems[0].rule.as_str()), (2, "refused"));
    assert!(problems[0].advice.contains("The driver is not known here"), "{problems:?}");
    assert!(problems[0].advice.contains("500"), "{problems:?}");
}

#[test]
fn a_refused_signature_is_an_alarm_and_nothing_is_set_aside() {
    for by_container in [false, true] {
        let (port, provider) = wilgen(10, 0);
        let slow = r#"retry = { first = "10m", max = "10m", give_up_after = "24h" }"#;
        provider.transporter("wilgen", VAT, "assignments", slow);
        provider.secret("scr", "another-secret-of-thirty-two-bytes!!");
        let file = (0..10).map(|n| match by_container {
            true => Assignment::of(&container(n), None, driver(n)),
            false => Assignment::at(&address(n), driver(n)),
        });
        provider.drop_file("wilgen", "1.xml", xml(file));
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 4, "{run}");
        assert_eq!(provider.alarms(), ["login-refused"]);
        assert_eq!(provider.records("wilgen", "quarantined"), 0);
        assert_eq!(port.calls_to(SCR).len(), 2, "one probe, and its one repeat");
        provider.check_ledger();
        provider.secret("scr", "a-secret-of-thirty-two-bytes-or-more");
        let run = provider.run_once(&["--wait", "10s"]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(provider.alarms(), [""; 0]);
        assert_eq!(port.stats().scr[SCR].accepted, 10);
    }
}

#[test]
fn a_key_that_cannot_sign_waits_for_a_person_and_nothing_is_set_aside() {
    for by_container in [false, true] {
        let (port, provider) = wilgen(2, 0);
        provider.secret("scr", "-----BEGIN PUBLIC KEY-----\nzzz\n-----END PUBLIC KEY-----");
        let file = (0..2).map(|n| match by_container {
            true => Assignment::of(&container(n), None, driver(n)),
            false => Assignment::at(&address(n), driver(n)),
        });
        provider.drop_file("wilgen", "1.xml", xml(file));
        provider.run_once(&["--wait", "200ms"]).ended(4);
        assert_eq!(provider.alarms(), ["login-refused"]);
        assert_eq!(provider.records("wilgen", "quarantined"), 0);
        provider.secret("scr", "a-secret-of-thirty-two-bytes-or-more");
        provider.run_once(&["--wait", "10s"]).ended(0);
        assert_eq!(provider.alarms(), [""; 0]);
        assert_eq!(port.stats().scr[SCR].accepted, 2);
    }
}

#[test]
fn an_api_that_is_down_costs_nothing_but_time() {
    for by_container in [false, true] {
        let (port, provider) = wilgen(10, 0);
        let number = port.close();
        let file = (0..10).map(|n| match by_container {
            true => Assignment::of(&container(n), None, driver(n)),
            false => Assignment::at(&address(n), driver(n)),
        });
        provider.drop_file("wilgen", "1.xml", xml(file));
        let run = provider.run_once(&["--wait", "200ms"]);
        assert_eq!(run.code, 75, "{run}");
        assert_eq!(provider.alarms(), ["unreachable"]);
        assert_eq!(provider.records("wilgen", "quarantined"), 0);
        provider.check_ledger();
        let port = Port::open_at(Port::scr_world(releases(10), 0), number);
        let run = provider.run_once(&["--wait", "10s"]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(provider.alarms(), [""; 0]);
        assert_eq!(port.stats().scr[SCR].accepted, 10);
    }
}
