//! What a ledger keeps over opening again, errors and groups.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::*;
use crate::model::Identity;

pub(super) fn account(arrival: u64, total: u64) -> Account {
    Account {
        arrival: Arrival(arrival),
        customer: "acme".to_owned(),
        source: "erp".to_owned(),
        name: "RELEASE_1.csv".to_owned(),
        picked_up: Timestamp::UNIX_EPOCH,
        phase: Phase::Open,
        pinned: Some(Pinned {
            identity: Identity([3; 32]),
            total,
            mapping: "releases".to_owned(),
            bundle: "00".repeat(32),
            channel: "releases".to_owned(),
            batch_records: 500,
            batch_bytes: 1 << 20,
            date: jiff::civil::date(2026, 11, 22),
            generation: 0,
            repeat_of: None,
        }),
        mark: 1,
        messages: 0,
        held_until: None,
        answered: None,
        results: None,
        again: None,
    }
}

pub(super) fn waiting(first: u64, last: u64, wait: Wait) -> Waiting {
    Waiting {
        first,
        last,
        wait,
        due: Timestamp::UNIX_EPOCH,
        attempts: 2,
        since: Timestamp::UNIX_EPOCH,
        last_attempt: Timestamp::UNIX_EPOCH,
        answered: true,
        spent: 7,
        reason: "503".to_owned(),
        address: None,
        release: None,
        holds: None,
        unknown: false,
        named: false,
        found: None,
        taken: false,
    }
}

fn open(folder: &Path) -> Store {
    Store::open(folder).unwrap()
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let arrival = store.next_arrival();
    store.set_account(account(arrival.0, 10_000));
    let age = ReleaseAge { last: Some((arrival, 9)), ..ReleaseAge::default() };
    store
        .change(
            arrival,
            vec![
                Change::Final(State::Delivered, vec![(1, 4000), (4005, 9000)]),
                Change::Final(State::Quarantined, vec![(4001, 4003)]),
                Change::Final(State::Discarded, vec![(4004, 4004)]),
                Change::Wait(waiting(9001, 9500, Wait::Time)),
                Change::Wait(waiting(9501, 9501, Wait::Release)),
                Change::Mark(9502),
                Change::Message,
                Change::Release { api: "http://a".to_owned(), address: "0x1".to_owned(), age },
            ],
        )
        .unwrap();
    let alarm = Alarm {
        since: Timestamp::UNIX_EPOCH,
        customer: "acme".to_owned(),
        channel: Some("releases".to_owned()),
        source: None,
        kind: AlarmKind::LoginRefused,
        advice: "correct the password".to_owned(),
    };
    assert!(store.raise(alarm.clone()));
    assert!(!store.raise(alarm.clone()), "it stands already");
    store.commit().unwrap();
    let installation = store.installation().to_owned();
    drop(store);

    let mut store = open(folder.path());
    assert_eq!(store.installation(), installation);
    assert_eq!(store.next_arrival(), Arrival(arrival.0 + 1));
    assert_eq!(store.alarms, [alarm]);
    assert_eq!(store.release("http://a", "0x1").unwrap(), age);
    assert_eq!(store.release("http://b", "0x1").unwrap(), ReleaseAge::default());
    let (account, progress) = &store.files[&arrival];
    assert_eq!((account.mark, account.messages), (9502, 1));
    assert_eq!(
        progress.counts(10_000, false),
        Counts {
            pending: 499,
            deferred: 500,
            parked: 1,
            delivered: 8996,
            quarantined: 3,
            discarded: 1,
            ..Counts::default()
        }
    );
    assert_eq!(progress.counts(10_000, true).pending, 0, "what is held counts as deferred");
    assert_eq!(progress.counts(10_000, true).deferred, 999);
    assert_eq!(store.audit().unwrap(), Vec::<String>::new());
}

#[test]
fn what_was_not_committed_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.set_account(account(1, 5));
    store.commit().unwrap();
    store.change(Arrival(1), vec![Change::Final(State::Delivered, vec![(1, 5)])]).unwrap();
    drop(store);
    assert_eq!(open(folder.path()).files[&Arrival(1)].1.delivered.len(), 0);
}

#[test]
fn a_closed_file_leaves_counters_its_identity_and_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.set_account(account(1, 5000));
    let settled = Settled { arrival: Arrival(1), name: "a".to_owned(), at: Timestamp::UNIX_EPOCH };
    store.remember("acme", "erp", &Identity([3; 32]), &settled);
    store
        .change(
            Arrival(1),
            vec![
                Change::Final(State::Delivered, vec![(1, 4996), (4998, 5000)]),
                Change::Wait(waiting(4997, 4997, Wait::Time)),
            ],
        )
        .unwrap();
    store.commit().unwrap();
    // The last record fails in the same group that closes the file.
    store
        .change(
            Arrival(1),
            vec![Change::Final(State::Quarantined, vec![(4997, 4997)]), Change::Unwait(4997)],
        )
        .unwrap();
    store.close(Arrival(1), FileCounts { settled: 1, ..FileCounts::default() }).unwrap();
    store.commit().unwrap();
    drop(store);

    let store = open(folder.path());
    assert!(store.files.is_empty());
    let tally = &store.tallies["acme"];
    assert_eq!((tally.records.delivered, tally.records.quarantined), (4999, 1));
    assert_eq!(tally.files.settled, 1);
    assert_eq!(store.left_quarantined(Arrival(1)).unwrap().ranges(), [(4997, 4997)]);
    assert_eq!(store.settled("acme", "erp", &Identity([3; 32])).unwrap(), Some(settled));
    assert_eq!(store.settled("acme", "other", &Identity([3; 32])).unwrap(), None);
}

#[test]
fn a_close_for_which_something_cannot_be_read_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.set_account(account(1, 10));
    store.change(Arrival(1), vec![Change::Final(State::Delivered, vec![(1, 10)])]).unwrap();
    store.commit().unwrap();
    drop(store);
    let mut entries = entries::Entries::open(folder.path()).unwrap();
    let today = keys::day_key("acme", jiff::Zoned::now().date());
    entries.put_bytes(today, b"torn".to_vec());
    entries.write().unwrap();
    drop(entries);

    let mut store = open(folder.path());
    let files = FileCounts { settled: 1, ..FileCounts::default() };
    assert!(store.close(Arrival(1), files).is_err());
    // Another change of the same group is written.
    store.skip_arrival(Arrival(8));
    store.commit().unwrap();
    let is_open = |store: Store| {
        assert_eq!(store.files[&Arrival(1)].1.delivered.len(), 10);
        assert!(!store.tallies.contains_key("acme"), "it is not counted as closed");
    };
    is_open(store);
    is_open(open(folder.path()));
}

/// How many chunks of records lie in a ledger.
fn chunks(folder: &Path) -> usize {
    let entries = entries::Entries::open(folder).unwrap();
    entries.keys_starting_with(b"s/").unwrap().len()
}

#[test]
fn a_big_file_is_cleared_by_and_by_and_a_crash_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let total = 3_000_000;
    let mut store = open(folder.path());
    store.skip_arrival(Arrival(1));
    store.set_account(account(1, total));
    let done = vec![(1, 5), (7, total)];
    store
        .change(
            Arrival(1),
            vec![
                Change::Final(State::Delivered, done),
                Change::Final(State::Quarantined, vec![(6, 6)]),
            ],
        )
        .unwrap();
    store.commit().unwrap();
    store.close(Arrival(1), FileCounts { settled: 1, ..FileCounts::default() }).unwrap();
    store.commit().unwrap();
    assert!(store.is_clearing());
    drop(store);
    // 3,000,000 ordinals from 1 on lie in 733 chunks; one more is of the quarantined.
    assert_eq!(chunks(folder.path()), 733 + 1 - 256);
    let mut exported = Vec::new();
    transfer::export(folder.path(), &mut exported).unwrap();
    assert_eq!(transfer::check(exported.as_slice()).unwrap(), [""; 0]);

    let mut store = open(folder.path());
    assert!(store.is_clearing() && store.files.is_empty());
    assert_eq!(store.all_left_quarantined().unwrap()[&Arrival(1)].ranges(), [(6, 6)]);
    store.set_account(account(2, 10));
    store.change(Arrival(2), vec![Change::Final(State::Delivered, vec![(1, 3)])]).unwrap();
    for _ in 0..2 {
        assert!(store.is_clearing());
        store.commit().unwrap();
    }
    assert!(!store.is_clearing());
    drop(store);
    assert_eq!(chunks(folder.path()), 2, "what is set aside, and the open file's");
    let store = open(folder.path());
    assert_eq!(store.files[&Arrival(2)].1.delivered.ranges(), [(1, 3)]);
    assert_eq!(store.tallies["acme"].records.delivered, total - 1);
}

#[tokio::test]
async fn what_is_left_of_a_big_file_is_gone_before_the_ledger_is() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let delivered = Change::Final(State::Delivered, vec![(1, 3_000_000)]);
    ledger
        .change(move |store| {
            store.set_account(account(1, 3_000_000));
            store.change(Arrival(1), vec![delivered])
        })
        .await
        .unwrap();
    let files = FileCounts { settled: 1, ..FileCounts::default() };
    ledger.change(move |store| store.close(Arrival(1), files)).await.unwrap();
    drop(ledger);
    // Its thread lets go of the folder a little later.
    while Store::open(folder.path()).is_err() {
        std::thread::yield_now();
    }
    assert_eq!(chunks(folder.path()), 0);
}

#[test]
fn a_ledger_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let mut store = open(folder.path());
    store.set_schema(99);
    store.commit().unwrap();
    drop(store);
    let error = Store::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("version 99") && error.contains("newer program"), "{error}");
}

#[test]
fn a_torn_snapshot_does_not_keep_the_ledger_shut() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.set_account(account(1, 5));
    store.commit().unwrap();
    drop(store);
    fs::write(folder.path().join("snap.0000000000000042.generating"), b"torn").unwrap();
    assert_eq!(open(folder.path()).files.len(), 1);
}

#[tokio::test]
async fn a_change_is_answered_when_it_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.update(|store| store.set_account(account(1, 100))).await.unwrap();
    let notes = (1..=100).map(|ordinal| {
        ledger.note(Arrival(1), vec![Change::Final(State::Delivered, vec![(ordinal, ordinal)])])
    });
    futures::future::try_join_all(notes).await.unwrap();
    ledger.in_flight(Arrival(1), 3);
    let summary = ledger.summary().await.unwrap();
    assert_eq!(summary["acme"].records.delivered, 100);
    assert_eq!(summary["acme"].files.open, 1);
    assert!(ledger.note(Arrival(2), vec![]).await.is_err(), "no such file");
}

#[test]
fn changes_of_one_group_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let (first, identity) = (store.next_arrival(), Identity([3; 32]));
    store.set_account(account(first.0, 4));
    let settled = Settled { arrival: first, name: "A".to_owned(), at: Timestamp::UNIX_EPOCH };
    store.remember("acme", "erp", &identity, &settled);
    assert_eq!(store.settled("acme", "erp", &identity).unwrap(), Some(settled));
    let late = waiting(4, 4, Wait::Time);
    let set_aside = Change::Final(State::Quarantined, vec![(2, 3)]);
    store.change(first, vec![set_aside, Change::Wait(late)]).unwrap();
    store.close(first, FileCounts::default()).unwrap();
    assert_eq!(store.left_quarantined(first).unwrap().ranges(), [(2, 3)]);
    store.forget("acme", "erp", &identity);
    assert_eq!(store.settled("acme", "erp", &identity).unwrap(), None);
    store.commit().unwrap();
    assert_eq!(store.left_quarantined(first).unwrap().ranges(), [(2, 3)]);
    assert_eq!(store.settled("acme", "erp", &identity).unwrap(), None);
}

#[tokio::test]
async fn a_thread_that_panics_is_told_and_answers_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.update(|store| store.set_account(account(1, 100))).await.unwrap();
    assert!(ledger.update(|_| panic!("the tree is bent")).await.is_err());
    assert_eq!(ledger.died().await, "the tree is bent");
    assert!(ledger.summary().await.is_err());
    drop(ledger);
    assert_eq!(open(folder.path()).files.len(), 1);
}

fn parked(first: u64, reference: &str) -> Waiting {
    let due = Timestamp::from_second(1_000_000).unwrap();
    let address = Some(reference.to_owned());
    Waiting { due, address, ..waiting(first, first, Wait::Verdict) }
}

fn told(reference: &str, failure: Option<&str>, second: i64) -> Told {
    Told {
        reference: reference.to_owned(),
        container: None,
        failure: failure.map(str::to_owned),
        at: Timestamp::from_second(second).unwrap(),
    }
}

fn told_of(container: &str, reference: &str, failure: Option<&str>, second: i64) -> Told {
    Told { container: Some(container.to_owned()), ..told(reference, failure, second) }
}

#[test]
fn verdicts_on_several_containers_are_kept_apart_and_a_failure_outweighs() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let arrival = store.next_arrival();
    store.set_account(account(arrival.0, 10));
    let several = || Waiting { last: 5, ..parked(3, "REF-3") };
    store.change(arrival, vec![Change::Wait(several())]).unwrap();
    let c1 = told_of("C1", "ref-3", None, 7);
    let c1_failed = told_of("C1", "ref-3", Some("no"), 8);
    let c12 = told_of("C12", "ref-3", None, 9);
    for told in [&c1, &c12, &c1_failed, &c1] {
        assert_eq!(store.note_verdict("acme", told.clone()).unwrap(), Some(arrival));
    }
    store.commit().unwrap();
    drop(store);
    let mut store = open(folder.path());
    assert_eq!(store.verdicts("acme", "REF-3").unwrap(), [c1_failed.clone(), c12.clone()]);
    let due = |store: &Store| store.files[&arrival].1.waiting[&3].due.as_second();
    // One that came meanwhile makes the rest due; what was acted on does not.
    let heard = Change::Heard(vec![c1_failed.clone()]);
    store.change(arrival, vec![Change::Wait(several()), heard]).unwrap();
    assert_eq!((due(&store), store.verdicts("acme", "ref-3").unwrap()), (9, vec![c12.clone()]));
    let heard = Change::Heard(vec![c12]);
    store.change(arrival, vec![Change::Wait(several()), heard]).unwrap();
    assert_eq!((due(&store), store.verdicts("acme", "ref-3").unwrap()), (1_000_000, vec![]));
}

#[test]
fn a_verdict_makes_its_record_due_and_the_first_one_stands_over_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let arrival = store.next_arrival();
    store.set_account(account(arrival.0, 10));
    store
        .change(arrival, vec![Change::Wait(parked(3, "Ref-3")), Change::Wait(parked(4, "Ref-4"))])
        .unwrap();
    assert_eq!(store.note_verdict("acme", told("REF-3", Some("no"), 7)).unwrap(), Some(arrival));
    assert_eq!(store.note_verdict("acme", told("ref-3", None, 8)).unwrap(), Some(arrival));
    assert_eq!(store.note_verdict("zeta", told("ref-4", None, 9)).unwrap(), None, "another's");
    store.commit().unwrap();
    drop(store);
    let mut store = open(folder.path());
    let due = |store: &Store, first: u64| store.files[&arrival].1.waiting[&first].due.as_second();
    assert_eq!((due(&store, 3), due(&store, 4)), (7, 1_000_000));
    assert_eq!(store.verdicts("acme", "ref-3").unwrap(), [told("REF-3", Some("no"), 7)]);
    assert_eq!(store.note_verdict("acme", told("ref-4", None, 10)).unwrap(), Some(arrival));
    let settled = vec![
        Change::Final(State::Quarantined, vec![(3, 3)]),
        Change::Unwait(3),
        Change::Heard(vec![told("Ref-3", Some("no"), 7)]),
    ];
    store.change(arrival, settled).unwrap();
    assert_eq!(store.verdicts("acme", "ref-3").unwrap(), []);
    assert_eq!(store.note_verdict("acme", told("ref-3", None, 11)).unwrap(), None, "a repeat");
}

#[test]
fn a_verdict_that_comes_before_its_record_is_parked_is_kept_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let arrival = store.next_arrival();
    store.set_account(account(arrival.0, 10));
    assert_eq!(store.note_verdict("acme", told("ref-3", None, 7)).unwrap(), None);
    store.change(arrival, vec![Change::Wait(parked(3, "REF-3"))]).unwrap();
    assert_eq!(store.files[&arrival].1.waiting[&3].due.as_second(), 7);
    let mut other = parked(4, "ref-3");
    other.wait = Wait::Confirmation;
    store.change(arrival, vec![Change::Wait(other)]).unwrap();
    assert_eq!(store.files[&arrival].1.waiting[&4].due.as_second(), 1_000_000, "not CPu's");
}

#[test]
fn verdicts_that_nobody_waits_for_are_forgotten_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let arrival = store.next_arrival();
    store.set_account(account(arrival.0, 10));
    store.change(arrival, vec![Change::Wait(parked(3, "wanted"))]).unwrap();
    for reference in ["wanted", "old"] {
        store.note_verdict("acme", told(reference, None, 7)).unwrap();
        store.note_verdict("acme", told_of("C1", reference, None, 7)).unwrap();
    }
    store.note_verdict("acme", told("new", None, 70)).unwrap();
    store.commit().unwrap();
    let before = Timestamp::from_second(50).unwrap();
    assert_eq!(store.forget_verdicts(before).unwrap(), 2);
    let known = |of: &str| store.verdicts("acme", of).unwrap().len();
    assert_eq!([known("wanted"), known("old"), known("new")], [2, 0, 1]);
}

#[test]
fn a_record_may_be_open_while_its_file_is_and_its_state_is_not_final() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.set_account(account(1, 3));
    let change = Change::Final(State::Quarantined, vec![(2, 3)]);
    store.change(Arrival(1), vec![change]).unwrap();
    let again = Again { age: Arrival(5), of: Arrival(5), how: How::Whole, generation: 1 };
    store.set_account(Account { again: Some(again), ..account(9, 3) });
    let may_be = |arrival, ordinal| store.may_be_open((Arrival(arrival), ordinal));
    assert_eq!(
        [may_be(1, 1), may_be(1, 2), may_be(2, 1), may_be(5, 2)],
        [true, false, false, true]
    );
}

#[test]
fn an_answer_without_a_vat_number_is_for_the_only_one_of_its_reference() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let invitation = |customer: &str, reference: &str, vat: &str| Invitation {
        customer: customer.to_owned(),
        reference: Some(reference.to_owned()),
        vat: vat.to_owned(),
        by: (Arrival(1), 4),
        asked: Timestamp::UNIX_EPOCH,
        taken: true,
        answer: None,
    };
    for (customer, reference, vat) in [
        ("acme", "r1", "BE1"),
        ("acme", "r2", "BE2"),
        ("acme", "r2", "BE3"),
        ("acme", "r3", "BE4"),
        ("zeta", "r3", "BE4"),
    ] {
        store.set_invitation("http://a", &invitation(customer, reference, vat));
    }
    let mut settled = |reference: &str, vat: Option<&str>| {
        let at = Timestamp::UNIX_EPOCH;
        let all = store.settle_invitations("http://a", Some(reference), vat, true, at).unwrap();
        all.into_iter().map(|of| of.customer + " " + &of.vat).collect::<Vec<_>>()
    };
    assert_eq!(settled("r1", None), ["acme BE1"]);
    assert_eq!((settled("r2", None), settled("r3", None)), (vec![], vec![]));
    assert_eq!(settled("r2", Some("BE 3")), ["acme BE3"]);
    assert_eq!(store.references_of("http://a", "zeta").unwrap(), ["r3"]);
}
