//! Transfers and revokes: accepted first, confirmed by the event of one's own action or by a look,
//! and overtaken by nothing.

use std::time::Duration;

use lighterman::sandbox::{Fault, Release, What};

use crate::harness::moves::*;
use crate::harness::*;

const AN_HOUR: Duration = Duration::from_secs(3600);

fn refusal(text: &str) -> What {
    let body = format!(r#"{{"code": 99, "description": "{text}"}}"#);
    What::Status { status: 500, retry_after: None, body: Some(body), headers: Default::default() }
}

#[test]
fn a_transfer_is_delivered_once_a_look_shows_its_next_owner() {
    let stage = Stage::new(world([release(0)]), QUICK);
    stage.file("1.csv", [["transfer", &address(0), "", "", HAULIER.1, ""]]);
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(stage.history(0), ["transfer 0xC1aa"]);
    let last = address(0);
    let read = format!("GET {last}");
    assert_eq!(stage.calls(0), [read.as_str(), "PUT transfer", &read]);
    assert_eq!(stage.records("delivered"), 1);
    // It was accepted first, so that its verdict is told, though it came at once.
    let verdicts = stage.provider.verdicts("wilgen", "1.csv");
    assert_eq!(verdicts.len(), 1);
    assert_eq!(verdicts[0].told(), (2, last.as_str(), "delivered", ""));
    stage.provider.check_ledger();
}

#[test]
fn a_transfer_is_parked_until_the_event_of_it_comes() {
    let stage = Stage::new(world([release(0)]), SLOW);
    stage.port.set_delay(SCR, AN_HOUR).unwrap();
    let daemon = stage.start();
    stage.subscribe("onRelease");
    stage.file("1.csv", [["transfer", &address(0), "", "", HAULIER.1, ""]]);
    stage.until("parked", 1);
    // An event of something else shows nothing new.
    stage.tell("UPDATE", 0);
    let looks = || stage.calls(0).len();
    until_true("the look", || looks() == 5);
    assert_eq!(stage.records("parked"), 1);
    stage.port.set_delay(SCR, Duration::ZERO).unwrap();
    // The API tells of one's own action as of any other.
    stage.until("delivered", 1);
    assert_eq!(stage.history(0), ["transfer 0xC1aa"]);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(stage.calls(0).iter().filter(|call| **call == "PUT transfer").count(), 1);
    stage.provider.check_ledger();
}

#[test]
fn what_is_accepted_and_never_confirmed_is_set_aside_as_an_unknown_outcome() {
    let stage = Stage::new(world([release(0)]), &format!("{QUICK}\nverdict_within = \"300ms\""));
    stage.port.set_delay(SCR, AN_HOUR).unwrap();
    stage.file(
        "1.csv",
        [
            ["transfer", &address(0), "", "", HAULIER.1, ""],
            ["assign", &address(0), "", "", "", "D1"],
        ],
    );
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    let problems = stage.problems("1.csv");
    assert_eq!((problems.len(), problems[0].0, problems[0].1.as_str()), (1, 1, "unknown outcome"));
    assert!(problems[0].2.contains("it has no next owner yet"), "{problems:?}");
    // The later one went on.
    assert_eq!(stage.history(0), ["assign D1"]);
    assert_eq!(stage.records("delivered"), 1);
    stage.provider.check_ledger();
}

#[test]
fn whom_a_release_goes_to_is_named_by_vat_number_reference_or_address() {
    let stage = Stage::new(world((0..6).map(release)), QUICK);
    let own = "transfer";
    stage.file(
        "1.csv",
        [
            [own, &address(0), "", "", "BE 0417.497.106", ""],
            [own, &address(1), "", "", BARGES.0, ""],
            [own, &address(2), "", "", "0xc2BB", ""],
            [own, &address(3), "", "", "BE0403019261", ""],
            [own, &address(4), "", "", "0xC3cc", ""],
            [own, &address(5), "", "", "", ""],
        ],
    );
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    let to = |n| stage.history(n);
    assert_eq!(to(0), ["transfer 0xC1aa"]);
    assert_eq!(to(1), ["transfer 0xC2bb"]);
    assert_eq!(to(2), ["transfer 0xC2bb"]);
    for n in 3..6 {
        assert_eq!(stage.calls(n), [""; 0], "nothing was asked of release {n}");
    }
    let mut problems = stage.provider.problems("wilgen", "1.csv");
    problems.sort_by_key(|problem| problem.record);
    let rows: Vec<(u64, &str, &str, &str)> = problems
        .iter()
        .map(|row| (row.record, row.field.as_str(), row.value.as_str(), row.rule.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            (4, "TO", "BE0403019261", "connection"),
            (5, "TO", "0xC3cc", "connection"),
            (6, "TO", "", "required"),
        ]
    );
    assert!(problems[0].advice.contains("invite the company"), "{problems:?}");
    assert_eq!(port_calls(&stage, "connections"), 1, "one look serves them all");
    // A further file of a later run knows them.
    stage.file("2.csv", [["revoke", &address(0), "", "", "", ""]]);
    stage.file("3.csv", [[own, &address(0), "", "", HAULIER.0, ""]]);
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(to(0), ["transfer 0xC1aa", "revoke", "transfer 0xC1aa"]);
    assert_eq!(port_calls(&stage, "connections"), 1);
}

fn port_calls(stage: &Stage, word: &str) -> usize {
    stage.port.calls_to(&format!("{SCR}/{word}")).len()
}

#[test]
fn a_pin_is_not_read_by_hand_while_a_transfer_of_its_release_waits() {
    let stage = Stage::new(world((0..2).map(release)), SLOW);
    let fault =
        Fault { what: refusal("it is busy"), ..Fault::status("/wallet-a/**/transfer", 500) };
    stage.port.fault(fault.times(2)).unwrap();
    let own = ["transfer", "", &container(0), "", HAULIER.1, ""];
    stage.file("1.csv", [own, ["transfer", &address(1), "", "", HAULIER.1, ""]]);
    stage.provider.run_once(&[]).ended(75);
    for n in 0..2 {
        let run = stage.provider.run(&["scr", "pincode", &address(n), "--yes"]);
        assert_eq!(run.code, 75, "{run}");
        assert!(run.stderr.contains("a transfer or revoke of it is not done yet"), "{run}");
    }
    assert_eq!(stage.port.stats().scr[SCR].pin_reads, 0);
}

#[test]
fn a_pin_is_not_read_by_hand_while_a_transfer_waits_that_names_the_container() {
    for shared in [false, true] {
        let stage = Stage::new(world([release(1)]), SLOW);
        if shared {
            stage.provider.transporter("kraan", "BE0999142065", "moves", SLOW);
        }
        stage.file("1.csv", [["transfer", "", &container(0), "", HAULIER.1, ""]]);
        stage.provider.run_once(&[]).ended(75);
        // It has come since, and nobody has looked.
        stage.port.replace(world([release(0), release(1)])).unwrap();
        for customer in [&[][..], &["--customer", "wilgen"]] {
            let own = address(0);
            let run = stage.provider.run(&[&["scr", "pincode", &own, "--yes"], customer].concat());
            assert_eq!(run.code, 75, "{shared} {customer:?}: {run}");
            assert!(run.stderr.contains("a transfer or revoke of it is not done yet"), "{run}");
        }
        assert_eq!(stage.port.stats().scr[SCR].pin_reads, 0);
        let run = stage.provider.run(&["scr", "pincode", &address(1), "--yes"]);
        assert_eq!(run.code, 0, "another release's: {run}");
    }
}

#[test]
fn what_was_transferred_on_comes_back_by_a_revoke_and_wakes_what_waits_for_it() {
    let stage = Stage::new(world([release(0)]), SLOW);
    let daemon = stage.start();
    stage.file("1.csv", [["transfer", "", &container(0), "", HAULIER.2, ""]]);
    stage.until("delivered", 1);
    stage.file("2.csv", [["assign", "", &container(0), "BL1", "", "D1"]]);
    stage.file("3.csv", [["assign", &address(0), "", "", "", "D2"]]);
    stage.until("parked", 2);
    assert!(
        !stage.calls(0).contains(&"PUT assign".to_owned()),
        "it is not ours: {:?}",
        stage.calls(0)
    );
    stage.file("4.csv", [["revoke", "", &container(0), "", "", ""]]);
    stage.until("delivered", 2);
    assert_eq!(stage.history(0), ["transfer 0xC1aa", "revoke"]);
    stage.tell("REVOKE", 0);
    until_true("the assignments", || stage.records("parked") == 0);
    stage.until("pending", 0);
    until_true("all", || stage.records("delivered") + stage.records("superseded") == 4);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(stage.history(0).last().unwrap(), "assign D2");
    stage.provider.check_ledger();
}

#[test]
fn nothing_overtakes_a_transfer_that_was_put_off_over_kills_and_files() {
    for (by_container, how) in [(false, "file"), (true, "file"), (false, "files"), (true, "files")]
    {
        let stage = Stage::new(world([release(0), release(1)]), QUICK);
        let path = format!("{SCR}/releases/{}/transfer", address(0));
        stage.port.fault(Fault::new(&path, refusal("the network is busy"))).unwrap();
        let daemon = stage.start();
        let (place, other) = (address(0), container(0));
        let transfer = match by_container {
            true => ["transfer", "", &other, "", HAULIER.1, ""],
            false => ["transfer", &place, "", "", HAULIER.1, ""],
        };
        let assign = ["assign", &place, "", "", "", "D1"];
        let unrelated = ["assign", &address(1), "", "", "", "D9"];
        if how == "file" {
            stage.file("1.csv", [transfer, assign, unrelated]);
        } else {
            stage.file("1.csv", [transfer]);
            until_true("the refusal", || stage.calls(0).contains(&"PUT transfer".to_owned()));
            stage.file("2.csv", [assign, unrelated]);
        }
        stage.until("delivered", 1);
        assert_eq!(stage.history(1), ["assign D9"], "another release waits for nobody");
        stage.until("deferred", 2);
        daemon.kill();
        let daemon = stage.start();
        let before = stage.calls(0).len();
        until_true("further attempts", || stage.calls(0).len() > before + 6);
        assert_eq!(stage.history(0), [""; 0], "{by_container} {how}");
        stage.port.clear_faults();
        stage.until("delivered", 2);
        stage.until("parked", 1);
        assert_eq!(stage.history(0), ["transfer 0xC1aa"], "{by_container} {how}");
        assert_eq!(daemon.stop().code, 0);
        stage.file("3.csv", [["revoke", &place, "", "", "", ""]]);
        let run = stage.provider.run_once(&["--wait", "20s"]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(stage.history(0), ["transfer 0xC1aa", "revoke", "assign D1"]);
        stage.provider.check_ledger();
    }
}

#[test]
fn a_transfer_is_never_superseded_and_what_is_older_never_follows_it() {
    let stage = Stage::new(world([release(0)]), QUICK);
    let assign = format!("{SCR}/releases/{}/assign", address(0));
    stage.port.fault(Fault::status(&assign, 503).times(1)).unwrap();
    let own = address(0);
    stage.file(
        "1.csv",
        [
            ["assign", &own, "", "", "", "older"],
            ["transfer", &own, "", "", HAULIER.1, ""],
            ["revoke", &own, "", "", "", ""],
            ["assign", &own, "", "", "", "newer"],
        ],
    );
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    let history = stage.history(0);
    assert_eq!(history.last().unwrap(), "assign newer", "{history:?}");
    let moved = history.iter().position(|what| what == "transfer 0xC1aa").unwrap();
    assert_eq!(history[moved + 1..], ["revoke", "assign newer"]);
    stage.provider.check_ledger();
}

#[test]
fn a_transfer_after_the_pin_was_retrieved_is_not_sent() {
    let stage = Stage::new(world([release(0), release(1)]), QUICK);
    for n in 0..2 {
        read_pin(&stage, n);
    }
    stage.file(
        "1.csv",
        [
            ["transfer", &address(0), "", "", HAULIER.1, ""],
            ["transfer", "", &container(1), "", HAULIER.1, ""],
        ],
    );
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    let problems = stage.problems("1.csv");
    assert_eq!(problems.len(), 2, "{problems:?}");
    for (_, rule, advice) in problems {
        assert_eq!(rule, "release");
        assert!(advice.contains("its pin was retrieved"), "{advice}");
    }
    assert!(!stage.calls(0).contains(&"PUT transfer".to_owned()));
    assert!(!stage.calls(1).contains(&"PUT transfer".to_owned()));
}

/// Reads the pin of release `n`, as a person does at the carrier's counter.
fn read_pin(stage: &Stage, n: u64) {
    let url = format!("{}{SCR}/releases/{}/pincode", stage.port.url(), address(n));
    let token = {
        let key = jsonwebtoken::EncodingKey::from_secret(SCR_KEY.as_bytes());
        crate::harness::callback::jwt(jsonwebtoken::Algorithm::HS256, &key, 60)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    });
    assert_eq!(status, 200);
}

#[test]
fn what_an_older_file_has_still_to_send_is_not_overtaken_after_an_outage() {
    let stage = Stage::new(world([release(0), release(1)]), QUICK);
    // Of the first file nothing but its first record is tried while nobody answers.
    stage.port.fault(Fault::new("/wallet-a/*", What::Drop)).unwrap();
    let daemon = stage.start();
    stage.file(
        "1.csv",
        [
            ["assign", &address(1), "", "", "", "D1"],
            ["transfer", &address(0), "", "", HAULIER.1, ""],
        ],
    );
    until_true("the pause", || stage.provider.alarms() == ["unreachable"]);
    stage.file("2.csv", [["assign", &address(0), "", "", "", "D2"]]);
    stage.until("deferred", 3);
    stage.port.clear_faults();
    stage.until("parked", 1);
    stage.until("delivered", 2);
    assert_eq!(stage.history(0), ["transfer 0xC1aa"]);
    assert_eq!(daemon.stop().code, 0);
    stage.provider.check_ledger();
}

#[test]
fn at_a_shared_api_nothing_of_one_customer_keeps_another_ones_release_back() {
    let stage = Stage::new(world([release(0)]), QUICK);
    stage.provider.transporter("kraan", "BE0999142065", "moves", QUICK);
    let file = moves([["transfer", "", &container(0), "", HAULIER.1, ""]]);
    stage.provider.drop_file("kraan", "1.csv", file);
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(stage.provider.records("kraan", "parked"), 1, "it is not its own");
    stage.file("1.csv", [["assign", "", &container(0), "", "", "D1"]]);
    let run = stage.provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(stage.history(0), ["assign D1"]);
    assert_eq!(stage.records("delivered"), 1);
}

#[test]
fn at_a_shared_api_a_reference_names_those_that_the_customer_has_invited() {
    let stage = Stage::new(world([release(0), release(1)]), QUICK);
    stage.provider.transporter("kraan", "BE0999142065", "moves", QUICK);
    stage.file(
        "1.csv",
        [
            ["transfer", &address(0), "", "", HAULIER.0, ""],
            ["transfer", &address(1), "", "", HAULIER.1, ""],
        ],
    );
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    let problems = stage.problems("1.csv");
    assert_eq!((problems.len(), problems[0].0, problems[0].1.as_str()), (1, 1, "connection"));
    assert_eq!((stage.history(0), stage.history(1)), (vec![], vec!["transfer 0xC1aa".to_owned()]));
}

#[test]
fn a_transfer_to_an_address_needs_no_list_of_connections() {
    let stage = Stage::new(world([release(0)]), QUICK);
    stage.port.fault(Fault::status(&format!("{SCR}/connections"), 403)).unwrap();
    stage.file("1.csv", [["transfer", &address(0), "", "", HAULIER.2, ""]]);
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(stage.history(0), ["transfer 0xC1aa"]);
    assert_eq!(stage.provider.alarms(), [""; 0]);
}

#[test]
fn a_transfer_whose_answer_was_lost_is_delivered_though_its_container_was_picked_up_since() {
    for (to, by_container) in [(HAULIER, false), (HAULIER, true), (BARGES, false)] {
        let stage = Stage::new(world([release(0)]), QUICK);
        let path = format!("{SCR}/releases/{}/transfer", address(0));
        stage.port.fault(Fault::new(&path, What::DropAfter).times(1)).unwrap();
        let (own, container) = (address(0), container(0));
        stage.file(
            "1.csv",
            [match by_container {
                true => ["transfer", "", &container, "BL1", HAULIER.1, ""],
                false => ["transfer", &own, "", "", HAULIER.1, ""],
            }],
        );
        let run = stage.provider.run_once(&[]);
        assert_eq!(run.code, 75, "{run}");
        let picked_up = Release {
            transferred_to: Some(to.1.to_owned()),
            gate_out: Some("2026-01-05T14:00:00Z".to_owned()),
            ..release(0)
        };
        stage.port.replace(world([picked_up])).unwrap();
        let run = stage.provider.run_once(&["--wait", "20s"]);
        if to == HAULIER {
            assert_eq!(run.code, 0, "{run}");
            assert_eq!(stage.records("delivered"), 1);
        } else {
            assert_eq!(run.code, 3, "{run}");
            let problems = stage.problems("1.csv");
            assert_eq!(problems[0].1, "unknown outcome");
            assert!(problems[0].2.contains("picked up"), "{problems:?}");
            assert!(problems[0].2.contains("was not answered"), "{problems:?}");
        }
        stage.provider.check_ledger();
    }
}

#[test]
fn a_revoke_of_what_was_taken_back_by_hand_is_set_aside_and_what_is_newer_goes_on() {
    for by_container in [false, true] {
        let stage = Stage::new(world([release(0)]), QUICK);
        let (own, container) = (address(0), container(0));
        let revoke = match by_container {
            true => ["revoke", "", &container, "", "", ""],
            false => ["revoke", &own, "", "", "", ""],
        };
        stage.file("1.csv", [revoke, ["assign", &own, "", "", "", "D1"]]);
        let run = stage.provider.run_once(&["--wait", "20s"]);
        assert_eq!(run.code, 3, "{run}");
        let told = format!("nothing to take back: {own} is already with you");
        assert_eq!(stage.problems("1.csv"), [(1, "release".to_owned(), told)]);
        assert_eq!(stage.history(0), ["assign D1"]);
        stage.provider.check_ledger();
    }
}

#[test]
fn a_revoke_waits_for_the_older_transfer_that_is_only_accepted() {
    for by_container in [false, true] {
        let stage = Stage::new(world([release(0)]), QUICK);
        stage.port.set_delay(SCR, AN_HOUR).unwrap();
        let (own, container) = (address(0), container(0));
        let transfer = match by_container {
            true => ["transfer", "", &container, "", HAULIER.1, ""],
            false => ["transfer", &own, "", "", HAULIER.1, ""],
        };
        stage.file("1.csv", [transfer, ["revoke", "", &container, "", "", ""]]);
        let daemon = stage.start();
        stage.until("parked", 1);
        // It is at home by every look.
        let before = stage.port.calls_to(&format!("{SCR}/releases")).len();
        until_true("looks", || stage.port.calls_to(&format!("{SCR}/releases")).len() > before + 10);
        assert_eq!((stage.records("parked"), stage.records("deferred")), (1, 1));
        stage.port.set_delay(SCR, Duration::ZERO).unwrap();
        stage.until("delivered", 2);
        assert_eq!(stage.history(0), ["transfer 0xC1aa", "revoke"]);
        assert_eq!(daemon.stop().code, 0);
        stage.provider.check_ledger();
    }
}

#[test]
fn a_revoke_is_not_set_aside_for_what_was_read_before_its_release_went() {
    let away = Release { transferred_to: Some(HAULIER.1.to_owned()), ..release(0) };
    let stage = Stage::new(world([away]), QUICK);
    let at_home = serde_json::json!([{
        "address": address(0),
        "release_data": { "container": { "containerNumber": container(0) } },
    }]);
    let body = Some(at_home.to_string());
    let stale = What::Status { status: 200, retry_after: None, body, headers: Default::default() };
    stage.port.fault(Fault::new(&format!("{SCR}/releases"), stale).times(1)).unwrap();
    stage.file("1.csv", [["revoke", "", &container(0), "", "", ""]]);
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(stage.history(0), ["revoke"]);
}

#[test]
fn a_transfer_of_what_went_on_to_another_company_does_not_keep_its_revoke_back() {
    for by_container in [false, true] {
        let away = Release { transferred_to: Some(HAULIER.1.to_owned()), ..release(0) };
        let stage = Stage::new(world([away]), SLOW);
        let (own, container) = (address(0), container(0));
        let name = if by_container { ["", &container] } else { [&own, ""] };
        let row = |what, to| [what, name[0], name[1], "", to, ""];
        stage.file("1.csv", [row("transfer", BARGES.1), row("revoke", "")]);
        let run = stage.provider.run_once(&[]);
        assert_eq!(run.code, 3, "{run}");
        let told = "it was transferred on to BE0417497106 (0xC1aa): revoke that first, then drop \
                    the record again";
        assert_eq!(stage.problems("1.csv"), [(1, "release".to_owned(), told.to_owned())]);
        assert_eq!(stage.history(0), ["revoke"]);
        stage.provider.check_ledger();
    }
}

#[test]
fn a_transfer_waits_for_the_older_revoke_that_brings_its_release_home() {
    for by_container in [false, true] {
        let away = Release { transferred_to: Some(HAULIER.1.to_owned()), ..release(0) };
        let stage = Stage::new(world([away]), QUICK);
        stage.port.set_delay(SCR, AN_HOUR).unwrap();
        let (own, container) = (address(0), container(0));
        let name = if by_container { ["", &container] } else { [&own, ""] };
        let row = |what, to| [what, name[0], name[1], "", to, ""];
        stage.file("1.csv", [row("revoke", ""), row("transfer", BARGES.1)]);
        let daemon = stage.start();
        stage.until("parked", 1);
        stage.until("deferred", 1);
        stage.port.set_delay(SCR, Duration::ZERO).unwrap();
        stage.until("delivered", 2);
        assert_eq!(stage.history(0), ["revoke", "transfer 0xC2bb"]);
        assert_eq!(daemon.stop().code, 0);
        stage.provider.check_ledger();
    }
}

#[test]
fn a_transfer_of_a_container_whose_releases_all_went_on_names_them() {
    let away = |n| {
        let release = Port::release(&address(n), &container(0), &format!("BL{n}"));
        Release { transferred_to: Some(BARGES.1.to_owned()), ..release }
    };
    let stage = Stage::new(world([away(0), away(1)]), QUICK);
    let revoke = ["revoke", &address(1), "", "", "", ""];
    stage.file("1.csv", [["transfer", "", &container(0), "", HAULIER.1, ""], revoke]);
    let run = stage.provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    let problems = stage.problems("1.csv");
    assert_eq!((problems.len(), problems[0].0), (1, 1), "{problems:?}");
    for n in 0..2 {
        let named = format!("{} to BE0999142065 (0xC2bb)", address(n));
        assert!(problems[0].2.contains(&named), "{problems:?}");
    }
    assert_eq!((stage.history(0), stage.history(1)), (vec![], vec!["revoke".to_owned()]));
}

/// What is to happen to a release: the moves that have something to do, by age and as its history
/// tells them, and how many have not.
#[derive(Clone, Default)]
struct Moves {
    effective: Vec<(u64, String)>,
    needless: u64,
    at: Option<&'static str>,
}

/// Four releases, and in three files what is to happen to each: assignments as it comes, and
/// transfers and revokes, also of what is not there where they begin.
fn drop_random_moves(stage: &Stage, random: &mut Random, count: u64) -> Vec<Moves> {
    let mut moved = vec![Moves::default(); 4];
    let mut files: Vec<Vec<[String; 6]>> = vec![Vec::new(); 3];
    for age in 0..count {
        let n = random.below(4);
        let of = &mut moved[n as usize];
        let to = if random.below(3) == 0 { BARGES } else { HAULIER };
        let what = match random.below(8) {
            0 => "revoke",
            1 => "transfer",
            2 if of.at.is_some() => "revoke",
            2 => "transfer",
            _ => "assign",
        };
        match (what, of.at) {
            ("transfer", None) => {
                of.at = Some(to.2);
                of.effective.push((age, format!("transfer {}", to.2)));
            }
            ("revoke", Some(_)) => {
                of.at = None;
                of.effective.push((age, "revoke".to_owned()));
            }
            // What is there already counts as done.
            ("transfer", Some(at)) if at == to.2 => {}
            ("transfer" | "revoke", _) => of.needless += 1,
            _ => {}
        }
        let text = |is: bool, text: String| if is { text } else { String::new() };
        let by_address = random.below(2) == 0;
        files[(age * 3 / count) as usize].push([
            what.to_owned(),
            text(by_address, address(n)),
            text(!by_address, container(n)),
            text(!by_address && random.below(2) == 0, "BL1".to_owned()),
            text(what == "transfer", to.1.to_owned()),
            text(what == "assign", format!("{age}")),
        ]);
    }
    for (at, rows) in files.iter().enumerate() {
        let rows = rows.iter().map(|row| row.each_ref().map(String::as_str));
        stage.file(&format!("{at}.csv"), rows);
    }
    moved
}

#[test]
fn random_moves_keep_their_order_through_faults_and_kills() {
    let (seed, mut random) = Random::seeded();
    println!("seed {seed}");
    let stage = Stage::new(world((0..4).map(release)), QUICK);
    for (path, what, every, times) in [
        ("assign", What::DropAfter, 5, 8),
        ("assign", refusal("the network is busy"), 3, 8),
        ("transfer", What::DropAfter, 2, 3),
        ("transfer", refusal("the network is busy"), 3, 4),
        ("revoke", What::DropAfter, 2, 3),
        ("revoke", refusal("the network is busy"), 3, 4),
    ] {
        let path = format!("/wallet-a/*/{path}");
        stage.port.fault(Fault::new(&path, what).every(every).times(times)).unwrap();
    }
    let moved = drop_random_moves(&stage, &mut random, 70);
    stage.port.set_delay(SCR, Duration::from_millis(30)).unwrap();
    let calls = || stage.port.calls_to(SCR).len();
    for kill in 1..6 {
        let daemon = stage.start();
        let enough = calls() + 15 + random.below(10) as usize;
        until_true(&format!("calls before kill {kill}"), || {
            calls() >= enough || stage.records("pending") + stage.records("deferred") == 0
        });
        daemon.kill();
    }
    let daemon = stage.start();
    // What is assigned to a release that is away in the end stays parked.
    let is_done = |n: usize| {
        let state = stage.release(n as u64);
        let moves = state.history.iter().filter(|change| !change.action.starts_with("assign"));
        moves.count() == moved[n].effective.len()
    };
    until_true("all moves", || (0..4).all(is_done));
    until_true("the end", || {
        ["pending", "in_flight", "deferred"].iter().all(|state| stage.records(state) == 0)
    });
    assert_eq!(daemon.stop().code, 0);
    // A revoke of what is at home whose first answer was lost counts as done.
    let needless: u64 = moved.iter().map(|of| of.needless).sum();
    assert!(stage.records("quarantined") <= needless, "seed {seed}");
    for (n, moved) in moved.iter().enumerate() {
        let moved = &moved.effective;
        let history = stage.history(n as u64);
        let told = format!("seed {seed}: release {n}: {moved:?} {history:?}");
        let seen: Vec<&String> =
            history.iter().filter(|what| !what.starts_with("assign")).collect();
        let wanted: Vec<&String> = moved.iter().map(|(_, what)| what).collect();
        assert_eq!(seen, wanted, "{told}");
        let mut at = moved.iter();
        let mut last = 0;
        for what in &history {
            match what.strip_prefix("assign ") {
                None => {
                    let (age, what) = at.next().unwrap();
                    // An assignment from before a transfer never follows it.
                    last = if what == "revoke" { last } else { *age };
                }
                Some(age) => {
                    let age: u64 = age.parse().unwrap();
                    assert!(age >= last, "{told}");
                    let next = at.clone().next().map_or(u64::MAX, |(age, _)| *age);
                    assert!(age < next, "it overtook what moves the release: {told}");
                    last = age;
                }
            }
        }
    }
    stage.provider.check_ledger();
}
