//! Transfers and revokes: accepted first, confirmed by the event of one's own action or by a look,
//! and overtaken by nothing.

use std::time::Duration;

use lighterman::sandbox::{Fault, What};

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
