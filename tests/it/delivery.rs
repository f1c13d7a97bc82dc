//! How messages go out: in order where that is promised, at the rate that is set, cut smaller when
//! they are too large; and what is told of a record of which nobody knows whether it arrived.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::contract_fake::*;
use crate::contract_shop::*;

/// The ids that came in one request after the other.
fn came(fake: &Fake) -> Vec<Vec<String>> {
    let ids = |seen: Seen| match seen.json() {
        serde_json::Value::Array(records) => {
            records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
        }
        record => vec![record["id"].as_str().unwrap().to_owned()],
    };
    fake.to("/ingestion").into_iter().map(ids).collect()
}

fn drop_rows(provider: &crate::harness::Provider, count: usize) {
    let rows: String = (1..=count).map(|n| format!("{n:03};1\n")).collect();
    provider.drop_file("acme", "A.csv", format!("ID;WEIGHT\n{rows}"));
}

#[test]
fn with_a_concurrency_of_one_nothing_overtakes_a_message_that_waits() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if earlier == 1 => answer(500, "not now"),
        _ if earlier == 3 => dropped(),
        _ => answer(200, ""),
    });
    let channel = "concurrency = 1\nbatch = { records = 1, bytes = \"1 MiB\" }";
    let provider = ready(&fake, &format!("{QUICK}\n{channel}"));
    drop_rows(&provider, 6);
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    let came: Vec<String> = came(&fake).concat();
    assert_eq!(came, ["001", "002", "002", "003", "003", "004", "005", "006"]);
    provider.check_ledger();
}

#[test]
fn with_a_concurrency_of_one_the_halves_of_a_refused_message_come_first() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if seen.text().contains("\"002\"") => answer(422, "no"),
        _ => answer(200, ""),
    });
    let channel = "concurrency = 1\nbatch = { records = 4, bytes = \"1 MiB\" }";
    let provider = ready(&fake, &format!("{QUICK}\n{channel}"));
    drop_rows(&provider, 8);
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 3, "{run}");
    let came: Vec<String> = came(&fake).iter().map(|ids| ids.join(" ")).collect();
    let order = ["001 002 003 004", "001 002", "001", "002", "003 004", "005 006 007 008"];
    assert_eq!(came, order);
    provider.check_ledger();
}

#[test]
fn a_rate_is_kept_over_all_files_of_a_channel() {
    let fake = Fake::willing();
    let channel = "rate = \"50/s\"\nconcurrency = 8\nbatch = { records = 1, bytes = \"1 MiB\" }";
    let provider = ready(&fake, channel);
    drop_rows(&provider, 15);
    let rows: String = (1..=15).map(|n| format!("B{n};1\n")).collect();
    provider.drop_file("acme", "B.csv", format!("ID;WEIGHT\n{rows}"));
    let begun = Instant::now();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(fake.to("/ingestion").len(), 30);
    assert!(begun.elapsed() >= Duration::from_millis(29 * 20), "{:?}", begun.elapsed());
}

#[test]
fn messages_that_are_too_large_are_cut_until_they_fit_however_many_they_are() {
    let fake = Fake::start(|seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if seen.text().matches("id").count() > 3 => answer(413, ""),
        _ => answer(200, ""),
    });
    let channel = "batch = { records = 10, bytes = \"1 MiB\" }";
    let provider = ready(&fake, &format!("{QUICK}\n{channel}"));
    drop_rows(&provider, 400);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "forty messages in a row were too large: {run}");
    let taken: BTreeSet<String> =
        came(&fake).into_iter().filter(|ids| ids.len() <= 3).flatten().collect();
    assert_eq!(taken.len(), 400);
    assert_eq!(provider.alarms(), [""; 0]);
}

#[test]
fn a_record_given_up_after_an_unanswered_attempt_is_told_apart() {
    let fake = Fake::start(|seen, earlier| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if seen.text().contains("\"001\"") => answer(200, ""),
        // It is taken, but nobody hears of it.
        _ if earlier == 1 => dropped(),
        _ => answer(500, "not now"),
    });
    let channel = "concurrency = 1\nbatch = { records = 1, bytes = \"1 MiB\" }\n\
                   retry = { first = \"20ms\", max = \"400ms\", give_up_after = \"1s\" }";
    let provider = ready(&fake, channel);
    let run = provider.run_once(&["--wait", "30s"]);
    assert_eq!(run.code, 3, "{run}");
    let problems = provider.problems("acme", "A.csv");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].record, problems[0].rule.as_str()), (2, "unknown outcome"));
    assert!(problems[0].advice.contains("the channel may have the record"), "{problems:?}");
    let receipt = provider.receipt("acme", "A.csv");
    assert_eq!(receipt["unknown_outcome"], 1, "{receipt}");
    assert_eq!(receipt["records"]["quarantined"], 1, "{receipt}");
}

#[test]
fn a_channel_that_refuses_everything_pauses_after_twenty_messages() {
    let refusing = Arc::new(AtomicBool::new(true));
    let refuses = Arc::clone(&refusing);
    let fake = Fake::start(move |seen, _| match seen.path.as_str() {
        "/connect/token" => answer(0, ""),
        _ if refuses.load(Ordering::SeqCst) => answer(422, "unknown field"),
        _ => answer(200, ""),
    });
    let channel = "batch = { records = 1, bytes = \"1 MiB\" }\nconcurrency = 2\n\
                   retry = { first = \"10m\", max = \"10m\", give_up_after = \"24h\" }";
    let provider = ready(&fake, channel);
    drop_rows(&provider, 100);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(provider.alarms(), ["everything-refused"]);
    let set_aside = provider.records("acme", "quarantined");
    // One more may be under way when the twentieth answer comes.
    assert!((20..=21).contains(&set_aside), "{set_aside}");
    assert_eq!(provider.records("acme", "deferred"), 100 - set_aside);
    assert_eq!(fake.to("/ingestion").len() as u64, set_aside);

    refusing.store(false, Ordering::SeqCst);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(provider.records("acme", "delivered"), 100 - set_aside);
    assert_eq!(provider.alarms(), [""; 0]);
    provider.check_ledger();
}
