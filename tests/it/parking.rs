//! What keeps an assignment from its release, told apart: what passes parks the record, and what is
//! final sets it aside with the reason.

use lighterman::sandbox::Release;

use crate::harness::moves::*;
use crate::harness::*;

fn assign<'a>(address: &'a str, container: &'a str, bl: &'a str) -> [&'a str; 6] {
    ["assign", address, container, bl, "", "D1"]
}

fn blocked(n: u64) -> Release {
    Release { blocked: true, ..release(n) }
}

#[test]
fn a_blocked_release_parks_its_assignment_until_it_is_unblocked() {
    for by_container in [false, true] {
        let stage = Stage::new(world([blocked(0)]), SLOW);
        let daemon = stage.start();
        stage.subscribe("onRelease");
        let (address, container) = (address(0), container(0));
        let row = match by_container {
            true => assign("", &container, ""),
            false => assign(&address, "", ""),
        };
        stage.file("1.csv", [row]);
        stage.until("parked", 1);
        let status = stage.provider.run(&["status", "1.csv"]).stdout;
        assert!(status.contains("blocked"), "{status}");
        stage.port.change(SCR, "unblock", &release(0)).unwrap();
        stage.until("delivered", 1);
        assert_eq!(stage.history(0), ["assign D1"]);
        assert_eq!(daemon.stop().code, 0);
        assert_eq!(stage.provider.alarms(), [""; 0]);
        stage.provider.check_ledger();
    }
}

#[test]
fn twenty_blocked_releases_in_a_row_pause_nothing() {
    let stage = Stage::new(world((0..25).map(blocked).chain([release(25)])), QUICK);
    let addresses: Vec<String> = (0..26).map(address).collect();
    stage.file("1.csv", addresses.iter().map(|address| assign(address, "", "")));
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!((stage.records("parked"), stage.records("delivered")), (25, 1));
    assert_eq!(stage.provider.alarms(), [""; 0]);
}

#[test]
fn a_release_that_is_gone_for_good_sets_its_assignment_aside_with_the_reason() {
    let mut releases: Vec<Release> = (0..4).map(release).collect();
    releases[0].deleted = true;
    releases[1].deleted = true;
    releases[2].gate_out = Some("2026-01-05T14:00:00Z".to_owned());
    releases[3].gate_out = Some("2026-01-05T14:00:00Z".to_owned());
    let stage = Stage::new(world(releases), QUICK);
    let names: Vec<(String, String)> = (0..4).map(|n| (address(n), container(n))).collect();
    stage.file(
        "1.csv",
        [
            assign(&names[0].0, "", ""),
            assign("", &names[1].1, "BL1"),
            assign("", &names[3].1, "BL1"),
            // A container comes back some day, with another bill of lading.
            assign("", &names[1].1, ""),
            assign("", &names[3].1, ""),
            assign("", &names[3].1, "BL2"),
        ],
    );
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    let mut problems = stage.problems("1.csv");
    problems.sort();
    let records: Vec<u64> = problems.iter().map(|problem| problem.0).collect();
    assert_eq!(records, [1, 2, 3], "{problems:?}");
    assert!(problems.iter().all(|problem| problem.1 == "release"), "{problems:?}");
    for (at, words) in ["deleted", "deleted", "left the terminal"].iter().enumerate() {
        assert!(problems[at].2.contains(words), "{problems:?}");
    }
    assert_eq!(stage.records("parked"), 3);
    // It comes back.
    let again = Port::release(&address(9), &container(3), "BL2");
    stage.port.replace(world([again])).unwrap();
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(stage.records("parked"), 1, "of the deleted one's container nothing came");
    assert_eq!(stage.release(9).assigned.unwrap().identification, "D1");
    stage.provider.check_ledger();
}

#[test]
fn a_release_that_was_transferred_on_by_hand_parks_until_it_comes_back() {
    let away = Release { transferred_to: Some(HAULIER.1.to_owned()), ..release(0) };
    let stage = Stage::new(world([away]), SLOW);
    let daemon = stage.start();
    stage.subscribe("onRelease");
    let own = address(0);
    stage.file("1.csv", [assign(&own, "", "")]);
    stage.until("parked", 1);
    stage.port.change(SCR, "revoke", &release(0)).unwrap();
    stage.until("delivered", 1);
    assert_eq!(stage.history(0), ["assign D1"]);
    assert_eq!(daemon.stop().code, 0);
}

#[test]
fn a_release_that_was_taken_back_sets_aside_what_is_parked_for_it() {
    let stage = Stage::new(world((0..2).map(blocked)), SLOW);
    let daemon = stage.start();
    let names: Vec<(String, String)> = (0..2).map(|n| (address(n), container(n))).collect();
    stage.file(
        "1.csv",
        [
            assign("", &names[0].1, "BL1"),
            assign(&names[0].0, "", ""),
            assign("", &names[1].1, "BL1"),
            assign(&names[1].0, "", ""),
            // A container comes back some day, with another bill of lading.
            assign("", &names[0].1, ""),
        ],
    );
    stage.until("parked", 5);
    // Of the first the API tells no more, the second is another company's.
    let theirs = Release { owner_vat: Some(HAULIER.1.to_owned()), ..blocked(1) };
    stage.port.replace(world([theirs])).unwrap();
    stage.tell("REVOKE", 0);
    stage.tell("REVOKE", 1);
    stage.until("quarantined", 4);
    until_true("the last one tells why it waits", || {
        let status = stage.provider.run(&["status", "1.csv"]).stdout;
        status.contains("taken back") && !status.contains("blocked")
    });
    assert_eq!(stage.records("parked"), 1);
    daemon.stop();
    let mut problems = stage.problems("1.csv");
    problems.sort();
    let records: Vec<u64> = problems.iter().map(|problem| problem.0).collect();
    assert_eq!(records, [1, 2, 3, 4], "{problems:?}");
    let is_told = |problem: &(u64, String, String)| {
        problem.1 == "release" && problem.2.contains("taken back")
    };
    assert!(problems.iter().all(is_told), "{problems:?}");
    stage.provider.check_ledger();
}

#[test]
fn a_revoke_of_ones_own_takes_nothing_from_what_is_parked() {
    let stage = Stage::new(world([blocked(0)]), SLOW);
    let daemon = stage.start();
    let container = container(0);
    stage.file("1.csv", [assign("", &container, "BL1")]);
    stage.until("parked", 1);
    // The API tells of it as of the carrier's, and the release is ours as before.
    stage.tell("REVOKE", 0);
    until_true("it is worked on", || {
        stage.provider.status()["notifications"]["scr/wallet-a"]["open"] == 0
    });
    assert_eq!(daemon.stop().code, 0);
    // A list that lacks it for a while decides nothing.
    stage.port.replace(world([])).unwrap();
    stage.provider.run_once(&[]).ended(75);
    assert_eq!(stage.records("parked"), 1);
    stage.port.replace(world([release(0)])).unwrap();
    stage.provider.run_once(&["--wait", "20s"]).ended(0);
    assert_eq!(stage.history(0), ["assign D1"]);
}
