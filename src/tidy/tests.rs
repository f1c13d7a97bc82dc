//! What a pass removes, what it leaves, and by which clock.

use std::path::{Path, PathBuf};

use jiff::civil::date;
use jiff::tz::TimeZone;

use super::*;
use crate::config::{Order, Ready, Source};
use crate::ledger::{Change, FileCounts, Phase, ResultNames, Settled};
use crate::model::{Arrival, Counts, Identity, State};
use crate::pickup::claim;
use crate::spool::Slip;

fn at(day: i16) -> Timestamp {
    let noon = date(2026, 1, 1).at(12, 0, 0, 0).to_zoned(TimeZone::system()).unwrap();
    noon.timestamp() + SignedDuration::from_hours(i64::from(day) * 24)
}

fn account(arrival: u64, name: &str) -> Account {
    let slip = Slip {
        customer: "acme".to_owned(),
        source: "erp".to_owned(),
        name: name.to_owned(),
        picked_up: at(0),
        look: None,
    };
    Account { phase: Phase::Claimed, ..claim::account(Arrival(arrival), slip) }
}

fn source(folder: &Path) -> Source {
    Source {
        name: "erp".to_owned(),
        path: folder.to_owned(),
        ready: Ready::Renamed,
        ignore: globset::GlobSet::empty(),
        order: Order::Name,
        archive: folder.join("archive"),
        rejects: folder.join("rejects"),
        receipts: folder.join("receipts"),
        keep: None,
    }
}

fn file(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Every file below a folder, by its path from there.
fn files(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => {
                    let path = entry.path();
                    all.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
    }
    all.sort();
    all
}

#[test]
fn only_old_results_of_our_own_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let receipt = |settled: &str, customer: &str| {
        format!(
            r#"{{"file":"A.csv","identity":"{}","arrival":1,"customer":"{customer}","source":"erp",
               "mapping":null,"channel":null,"picked_up":"2026-01-01T00:00:00Z","answered":null,
               "settled":{settled},"records":{{"total":0,"pending":0,"in_flight":0,"deferred":0,
               "parked":0,"delivered":0,"quarantined":0,"superseded":0,"discarded":0}},
               "messages":0,"problems":null,"repeat_of":null}}"#,
            "00".repeat(32)
        )
    };
    let old = r#""2026-01-02T00:00:00Z""#;
    for (path, text) in [
        ("archive/2026-01-02/old.csv", ""),
        ("archive/2026-01-02/open.csv", ""),
        ("archive/2026-01-02/theirs/old.csv", ""),
        ("archive/2026-01-03/old-2.csv", ""),
        ("archive/2026-01-04/young.csv", ""),
        ("archive/2026-1-2/other.csv", ""),
        ("archive/notes/other.csv", ""),
        ("archive/2026-01-02.csv", ""),
        ("rejects/old.csv", ""),
        ("rejects/2026-01-02/old.csv", ""),
        ("receipts/old.csv.receipt.json", &receipt(old, "acme")),
        ("receipts/young.csv.receipt.json", &receipt(r#""2026-01-04T23:00:00Z""#, "acme")),
        ("receipts/open.csv.receipt.json", &receipt("null", "acme")),
        ("receipts/other.csv.receipt.json", &receipt(old, "zeta")),
        ("receipts/broken.csv.receipt.json", "{"),
        ("receipts/notes.json", &receipt(old, "acme")),
    ] {
        let path = folder.path().join(path);
        file(path.clone(), text);
        let written = std::time::SystemTime::from(at(0));
        fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    }
    let mut open = account(7, "open.csv");
    open.results = Some(ResultNames { day: date(2026, 1, 2), suffix: 1 });
    // The fourth of January has just begun.
    let before = date(2026, 1, 4).to_zoned(TimeZone::system()).unwrap().timestamp();
    assert_eq!(results::expire(&source, "acme", before, &[open.clone()]).unwrap(), 3);
    assert_eq!(
        files(folder.path()),
        [
            "archive/2026-01-02.csv",
            "archive/2026-01-02/open.csv",
            "archive/2026-01-02/theirs/old.csv",
            "archive/2026-01-04/young.csv",
            "archive/2026-1-2/other.csv",
            "archive/notes/other.csv",
            "receipts/broken.csv.receipt.json",
            "receipts/notes.json",
            "receipts/open.csv.receipt.json",
            "receipts/other.csv.receipt.json",
            "receipts/young.csv.receipt.json",
            "rejects/2026-01-02/old.csv",
            "rejects/old.csv",
        ]
    );
    assert!(!folder.path().join("archive/2026-01-03").exists());
    assert_eq!(results::expire(&source, "acme", before, &[open]).unwrap(), 0, "again");
}

#[test]
fn a_clock_that_jumped_is_believed_a_week_a_day() {
    let first = trusted(None, at(0));
    assert_eq!(first, Believed { time: at(0), at: at(0) });
    assert_eq!(trusted(Some(first), at(8)).time, at(8), "a week off");
    assert_eq!(trusted(Some(first), at(-3)).time, at(-3), "set back");
    // A year ahead by mistake: after five days ninety days are not over yet.
    let mut known = first;
    for day in 0..5 {
        known = trusted(Some(known), at(365 + day));
        // Starting again and again on one day makes no difference.
        known = trusted(Some(known), at(365 + day) + SignedDuration::from_mins(5));
    }
    assert_eq!(known.time, at(40));
    assert_eq!(trusted(Some(known), at(6)).time, at(6), "it was set right");
    // Three weeks switched off: caught up on the third day.
    let mut known = first;
    for day in 21..24 {
        known = trusted(Some(known), at(day));
    }
    assert_eq!(known.time, at(23));
}

#[tokio::test]
async fn identities_and_counters_are_forgotten_and_what_is_set_aside_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let ledger = Ledger::open(&spool.ledger()).unwrap();
    ledger
        .update(|store| {
            for arrival in 1..=3u64 {
                let number = store.next_arrival();
                let mut account = account(number.0, "A.csv");
                account.pinned = Some(pinned(10));
                store.set_account(account);
                let settled = Settled { arrival: number, name: "A.csv".to_owned(), at: at(0) };
                store.remember("acme", "erp", &Identity([arrival as u8; 32]), &settled);
            }
            let done = |state, first, last| Change::Final(state, vec![(first, last)]);
            let changes = vec![done(State::Delivered, 1, 8), done(State::Quarantined, 9, 10)];
            store.change(Arrival(1), changes).unwrap();
            store.change(Arrival(2), vec![done(State::Discarded, 1, 10)]).unwrap();
            for arrival in [1, 2] {
                let files = FileCounts { settled: 1, ..FileCounts::default() };
                store.close(Arrival(arrival), files).unwrap();
            }
        })
        .await
        .unwrap();
    let known = || {
        ledger.change(|store| {
            let known = |arrival: u8| store.settled("acme", "erp", &Identity([arrival; 32]));
            Ok([known(1)?.is_some(), known(2)?.is_some(), known(3)?.is_some()])
        })
    };
    // Identities and days are noted by this clock, so the pass is made long after.
    let later = Timestamp::now() + SignedDuration::from_hours(24 * 3);
    let (forgotten, _) =
        ledger.change(move |store| store.forget_before(at(1), b"", 2)).await.unwrap();
    assert_eq!((forgotten, known().await.unwrap()), (2, [false, false, true]));
    let rest = ledger.change(move |store| store.forget_before(at(1), b"", 9)).await.unwrap();
    assert_eq!(rest.0, 0, "that of an open file stays");

    let today = ledger.change(|store| store.forget_days(Timestamp::now())).await.unwrap();
    assert_eq!(today, 0, "today is not over");
    assert_eq!(ledger.change(move |store| store.forget_days(later)).await.unwrap(), 1);
    let tally = ledger.change(|store| Ok(store.tallies["acme"].clone())).await.unwrap();
    assert_eq!(tally.records, Counts { quarantined: 2, ..Counts::default() });
    assert_eq!(tally.files.settled, 0);
    assert_eq!(ledger.change(|store| store.audit()).await.unwrap(), [""; 0]);
}

fn pinned(total: u64) -> crate::ledger::Pinned {
    crate::ledger::Pinned {
        identity: Identity([9; 32]),
        total,
        mapping: "releases".to_owned(),
        bundle: "aa".to_owned(),
        channel: "releases".to_owned(),
        batch_records: 500,
        batch_bytes: 1 << 20,
        date: date(2026, 1, 1),
        generation: 0,
        repeat_of: None,
    }
}

#[test]
fn a_mapping_goes_when_no_file_pins_it() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let old = SystemTime::now() - Duration::from_secs(48 * 3600);
    for hash in ["open", "aside", "today", "unused", "young"] {
        fs::write(spool.bundle(hash), "{}").unwrap();
        if hash != "young" {
            fs::File::open(spool.bundle(hash)).unwrap().set_modified(old).unwrap();
        }
    }
    let mut aside = account(3, "A.csv");
    aside.pinned = Some(crate::ledger::Pinned { bundle: "aside".to_owned(), ..pinned(1) });
    let round = spool.quarantined(Arrival(3)).join(format!("{:020}", 3));
    let kept = round.join("account.json");
    file(kept.clone(), &serde_json::to_string(&aside).unwrap());
    let nines = "09".repeat(32);
    let stock =
        format!(r#"{{"identity":"{nines}","ordinals":[[1,1]],"original":"{nines}","age":3}}"#);
    file(round.join("stock.json"), &stock);
    file(round.join("problems.json"), "[]");
    let needed = || ["open", "today"].map(str::to_owned).into();
    assert_eq!(prune(&spool, needed()).unwrap(), 1);
    let mut left: Vec<String> = spool.pinned().unwrap().into_iter().map(|(hash, _)| hash).collect();
    left.sort();
    assert_eq!(left, ["aside", "open", "today", "young"]);
    file(kept, "torn");
    assert_eq!(prune(&spool, needed()).unwrap(), 0, "what it pins is not known");
}
