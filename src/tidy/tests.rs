//! What a pass removes, what it leaves, and by which clock.

use std::path::{Path, PathBuf};

use jiff::civil::date;
use jiff::tz::TimeZone;

use super::*;
use crate::config::{Folder, Order, Ready, Source};
use crate::ledger::{Again, Change, FileCounts, How, Phase, ReleaseAge, ResultNames, Settled};
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
        folder: None,
        partner: None,
        look: None,
    };
    Account { phase: Phase::Claimed, ..claim::account(Arrival(arrival), slip) }
}

fn source(folder: &Path) -> Source {
    Source {
        name: "erp".to_owned(),
        folder: Folder::Local(folder.to_owned()),
        schedule: None,
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
fn only_what_old_receipts_of_the_source_name_is_removed() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap();
    let source = source(&folder);
    let receipt = |settled: &str, customer: &str, source: &str, archive: &str| {
        format!(
            r#"{{"file":"A.csv","identity":"{}","arrival":1,"customer":"{customer}",
               "source":"{source}","mapping":null,"channel":null,
               "picked_up":"2026-01-01T00:00:00Z","answered":null,
               "settled":{settled},"records":{{"total":0,"pending":0,"in_flight":0,"deferred":0,
               "parked":0,"delivered":0,"quarantined":0,"superseded":0,"discarded":0}},
               "messages":0,"problems":null,"repeat_of":null,
               "archive":"{}/{archive}"}}"#,
            "00".repeat(32),
            folder.display()
        )
    };
    let old = r#""2026-01-02T00:00:00Z""#;
    let young = r#""2026-01-04T23:00:00Z""#;
    let receipts = [
        ("old", receipt(old, "acme", "erp", "archive/2026-01-02/old.csv")),
        ("alone", receipt(old, "acme", "erp", "archive/2026-01-03/alone.csv")),
        ("lost", receipt(old, "acme", "erp", "archive/2026-01-03/lost.csv")),
        ("elsewhere", receipt(old, "acme", "erp", "rejects/2026-01-02/old.csv")),
        ("other-day", receipt(old, "acme", "erp", "archive/2026-1-2/other.csv")),
        ("upwards", receipt(old, "acme", "erp", "archive/2026-01-02/../../precious.csv")),
        ("young", receipt(young, "acme", "erp", "archive/2026-01-02/young.csv")),
        ("open", receipt("null", "acme", "erp", "archive/2026-01-02/open.csv")),
        ("zeta", receipt(old, "zeta", "erp", "archive/2026-01-02/zeta.csv")),
        ("partner", receipt(old, "acme", "partner", "archive/2026-01-02/partner.csv")),
        ("broken", "{".to_owned()),
    ];
    for (name, text) in &receipts {
        file(folder.join(format!("receipts/{name}.csv.receipt.json")), text);
    }
    file(folder.join("receipts/notes.json"), &receipts[0].1);
    for path in [
        "archive/2026-01-02/note-of-a-person.txt",
        "archive/2026-01-02/old.csv",
        "archive/2026-01-02/open.csv",
        "archive/2026-01-02/partner.csv",
        "archive/2026-01-02/young.csv",
        "archive/2026-01-02/zeta.csv",
        "archive/2026-01-03/alone.csv",
        "archive/2026-1-2/other.csv",
        "precious.csv",
        "rejects/2026-01-02/old.csv",
    ] {
        file(folder.join(path), "");
    }
    for entry in fs::read_dir(folder.join("receipts")).unwrap() {
        let written = fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
        written.set_modified(SystemTime::from(at(0))).unwrap();
    }
    let mut open = account(7, "open.csv");
    open.results = Some(ResultNames { day: date(2026, 1, 2), suffix: 1 });
    // The fourth of January has just begun.
    let before = date(2026, 1, 4).to_zoned(TimeZone::system()).unwrap().timestamp();
    // Six receipts, and two of the files that they name.
    assert_eq!(results::expire(&source, "acme", before, &[open.clone()]).unwrap(), 8);
    assert_eq!(
        files(&folder),
        [
            "archive/2026-01-02/note-of-a-person.txt",
            "archive/2026-01-02/open.csv",
            "archive/2026-01-02/partner.csv",
            "archive/2026-01-02/young.csv",
            "archive/2026-01-02/zeta.csv",
            "archive/2026-1-2/other.csv",
            "precious.csv",
            "receipts/broken.csv.receipt.json",
            "receipts/notes.json",
            "receipts/open.csv.receipt.json",
            "receipts/partner.csv.receipt.json",
            "receipts/young.csv.receipt.json",
            "receipts/zeta.csv.receipt.json",
            "rejects/2026-01-02/old.csv",
        ]
    );
    assert!(!folder.join("archive/2026-01-03").exists());
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

#[tokio::test]
async fn a_resend_is_forgotten_with_its_day_and_costs_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let ledger = Ledger::open(&spool.ledger()).unwrap();
    let later = Timestamp::now() + SignedDuration::from_hours(24 * 3);
    let records = ledger
        .change(move |store| {
            // Two files of ten records; of the first, two are set aside, and one of them discarded.
            for arrival in 1..=2u64 {
                let number = store.next_arrival();
                let mut account = account(number.0, "A.csv");
                account.pinned = Some(pinned(10));
                store.set_account(account);
                let done = |state, first, last| Change::Final(state, vec![(first, last)]);
                let changes = match arrival {
                    1 => vec![done(State::Delivered, 1, 8), done(State::Quarantined, 9, 10)],
                    _ => vec![done(State::Delivered, 1, 10)],
                };
                store.change(number, changes)?;
                store.close(number, FileCounts { settled: 1, ..FileCounts::default() })?;
            }
            store.discard("acme", Arrival(1), &[(9, 9)])?;
            let mut told = vec![store.tallies["acme"].records];
            // The first day is over; then all that was delivered of the first file is sent again.
            assert_eq!(store.forget_days(later)?, 1);
            told.push(store.tallies["acme"].records);
            for _ in 0..2 {
                let round = store.next_arrival();
                let mut account = account(round.0, "A.csv");
                account.pinned = Some(pinned(8));
                let (of, age) = (Arrival(1), Arrival(1));
                let generation = store.generation(of)?;
                account.again = Some(Again { of, age, how: How::Resend, generation });
                store.begin_again(account, &[(1, 8)])?;
                store.change(round, vec![Change::Final(State::Delivered, vec![(1, 8)])])?;
                store.close_again(round, of, |ranges| ranges.to_vec())?;
                told.push(store.tallies["acme"].records);
            }
            assert_eq!(store.forget_days(later)?, 1);
            told.push(store.tallies["acme"].records);
            assert_eq!(store.audit()?, [""; 0]);
            Ok(told)
        })
        .await
        .unwrap();
    let counts =
        |delivered, discarded| Counts { delivered, discarded, quarantined: 1, ..Counts::default() };
    assert_eq!(records, [counts(18, 1), counts(0, 0), counts(8, 0), counts(8, 0), counts(0, 0)]);
}

#[tokio::test]
async fn a_release_is_free_once_what_keeps_it_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let ledger = Ledger::open(&spool.ledger()).unwrap();
    let age = |last, busy, tried| ReleaseAge { last, busy, tried, away: false };
    let of = |arrival, ordinal| Some((Arrival(arrival), ordinal));
    let releases = ledger
        .change(move |store| {
            let number = store.next_arrival();
            store.set_account(account(number.0, "A.csv"));
            let notes = [
                ("0xa", age(of(1, 1), of(7, 1), None)),
                ("0xb", age(of(9, 1), None, of(7, 2))),
                ("0xc", age(None, of(8, 1), of(7, 1))),
                ("0xd", age(of(7, 1), of(8, 1), None)),
            ];
            for (address, age) in notes {
                let (api, address) = ("http://scr".to_owned(), address.to_owned());
                store.change(number, vec![Change::Release { api, address, age }])?;
            }
            store.free_releases(|(arrival, _)| arrival == Arrival(7))?;
            ["0xa", "0xb", "0xc", "0xd"]
                .map(|address| store.release("http://scr", address))
                .into_iter()
                .collect::<anyhow::Result<Vec<_>>>()
        })
        .await
        .unwrap();
    let free = [
        age(of(7, 1), None, None),
        age(of(9, 1), None, None),
        age(None, of(8, 1), None),
        age(of(7, 1), of(8, 1), None),
    ];
    assert_eq!(releases, free);
}

#[tokio::test]
async fn only_rounds_that_were_kept_before_the_question_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let ledger = Ledger::open(&spool.ledger()).unwrap();
    let kept = |of: u64, round: u64| {
        spool.quarantined(Arrival(of)).join(format!("{round:020}")).join("data")
    };
    for (of, round) in [(1, 1), (1, 9), (2, 2), (3, 3)] {
        file(kept(of, round), "");
    }
    ledger
        .update(|store| {
            // The last record of the second file is worked again.
            let mut again = account(12, "B.csv");
            let (of, age) = (Arrival(2), Arrival(2));
            again.again = Some(Again { of, age, how: How::Retry, generation: 1 });
            store.set_account(again);
        })
        .await
        .unwrap();
    // The ledger is held up until the folders are listed; then a round of the third file is kept.
    let (go, held) = std::sync::mpsc::channel::<()>();
    let busy = ledger.change(move |_| Ok(held.recv()?));
    let kept_late = async {
        file(kept(3, 14), "late");
        go.send(()).unwrap();
    };
    let kept_now = vec![Arrival(1), Arrival(2), Arrival(3)];
    let (held_up, tidied, ()) =
        tokio::join!(busy, again::tidy(&ledger, &spool, kept_now), kept_late);
    held_up.unwrap();
    tidied.unwrap();
    assert!(!spool.quarantined(Arrival(1)).exists());
    assert!(kept(2, 2).exists());
    assert!(!kept(3, 3).exists());
    assert_eq!(fs::read_to_string(kept(3, 14)).unwrap(), "late");
}
