//! What an export says, and that a ledger comes back from it as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::renewal::{compact, import};
use super::super::store::Store;
use super::super::{tests, *};
use super::*;
use crate::model::{Arrival, Counts, Identity, State};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn account(arrival: u64, customer: &str, total: Option<u64>) -> Account {
    let open = tests::account(arrival, total.unwrap_or(0));
    let identity = Identity([arrival as u8; 32]);
    Account {
        customer: customer.to_owned(),
        name: format!("RELEASE \"{arrival}\".csv"),
        picked_up: at(arrival as i64),
        phase: if total.is_some() { Phase::Open } else { Phase::Claimed },
        pinned: open.pinned.filter(|_| total.is_some()).map(|of| Pinned { identity, ..of }),
        ..open
    }
}

fn waiting(first: u64, last: u64) -> Waiting {
    let waiting = tests::waiting(first, last, Wait::Time);
    Waiting { due: at(9), since: at(1), last_attempt: at(2), ..waiting }
}

fn exported(folder: &Path) -> String {
    let mut out = Vec::new();
    export(folder, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    check(text.as_bytes()).unwrap()
}

/// A small ledger with one entry of each kind.
fn sample(folder: &Path) {
    let mut store = Store::open(folder).unwrap();
    let (settled, open) = (store.next_arrival(), store.next_arrival());
    store.set_account(account(settled.0, "acme", Some(5)));
    store
        .change(
            settled,
            vec![
                Change::Final(State::Delivered, vec![(1, 3), (5, 5)]),
                Change::Final(State::Quarantined, vec![(4, 4)]),
            ],
        )
        .unwrap();
    store.close(settled, FileCounts { settled: 1, ..FileCounts::default() }).unwrap();
    store.set_account(account(open.0, "acme", Some(10_000)));
    let remembered = Settled { arrival: settled, name: "RELEASE_1.csv".to_owned(), at: at(3) };
    store.remember("acme", "erp", &Identity([1; 32]), &remembered);
    let age =
        ReleaseAge { last: Some((settled, 9)), tried: Some((open, 1)), ..ReleaseAge::default() };
    store
        .change(
            open,
            vec![
                Change::Final(State::Delivered, vec![(1, 9000), (9002, 9003)]),
                Change::Wait(waiting(9001, 9001)),
                Change::Release { api: "http://a".to_owned(), address: "0xa/b".to_owned(), age },
            ],
        )
        .unwrap();
    store.raise(Alarm {
        since: at(4),
        customer: "acme".to_owned(),
        channel: Some("releases".to_owned()),
        source: None,
        kind: AlarmKind::LoginRefused,
        advice: "correct the password".to_owned(),
    });
    let refusals = LoginRefusals { times: 2, last: Some(at(5)), secret_mark: Some(77) };
    store.set_login("acme/nxtport", &refusals);
    store.touch();
    store.set_tidied(Believed { time: at(6), at: at(7) });
    store.commit().unwrap();
}

#[test]
fn an_export_tells_each_entry_in_words() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path());
    let text = exported(folder.path());
    let name = Store::open(folder.path()).unwrap().installation().to_owned();
    let day = jiff::Zoned::now().date();
    let api = &blake3::hash(b"http://a").to_hex()[..16];
    let wanted = format!(
        r#"{{"entry":"schema","version":1}}
{{"entry":"installation","name":"{name}"}}
{{"entry":"next-arrival","number":3}}
{{"entry":"tidied","time":"2026-09-21T14:13:26Z","at":"2026-09-21T14:13:27Z"}}
{{"entry":"tally","customer":"acme","records":{{"pending":0,"in_flight":0,"deferred":0,"parked":0,"delivered":4,"quarantined":1,"superseded":0,"discarded":0}},"files":{{"waiting":0,"open":0,"answered":0,"settled":1,"quarantined":0}}}}
{{"entry":"day","customer":"acme","day":"{day}","records":{{"pending":0,"in_flight":0,"deferred":0,"parked":0,"delivered":4,"quarantined":0,"superseded":0,"discarded":0}},"files":{{"waiting":0,"open":0,"answered":0,"settled":1,"quarantined":0}}}}
{{"entry":"alarm","since":"2026-09-21T14:13:24Z","customer":"acme","channel":"releases","kind":"login-refused","advice":"correct the password"}}
{{"entry":"login","login":"acme/nxtport","times":2,"last":"2026-09-21T14:13:25Z","secret_mark":77}}
{{"entry":"release","api":"{api}","address":"0xa/b","last":[1,9],"busy":null,"tried":[2,1]}}
{{"entry":"identity","customer":"acme","source":"erp","identity":"0101010101010101010101010101010101010101010101010101010101010101","arrival":1,"name":"RELEASE_1.csv","at":"2026-09-21T14:13:23Z"}}
{{"entry":"file","arrival":2,"customer":"acme","source":"erp","name":"RELEASE \"2\".csv","picked_up":"2026-09-21T14:13:22Z","phase":"open","pinned":{{"identity":"0202020202020202020202020202020202020202020202020202020202020202","total":10000,"mapping":"releases","bundle":"0000000000000000000000000000000000000000000000000000000000000000","channel":"releases","batch_records":500,"batch_bytes":1048576,"date":"2026-11-22","generation":0}},"mark":1,"messages":0}}
{{"entry":"records","arrival":2,"state":"delivered","ranges":[[1,9000],[9002,9003]]}}
{{"entry":"waiting","arrival":2,"first":9001,"last":9001,"wait":"time","due":"2026-09-21T14:13:29Z","attempts":2,"since":"2026-09-21T14:13:21Z","last_attempt":"2026-09-21T14:13:22Z","answered":true,"spent":7,"reason":"503"}}
{{"entry":"records","arrival":1,"state":"quarantined","ranges":[[4,4]]}}
{{"entry":"end","lines":14}}
"#
    );
    assert_eq!(text, wanted);
    assert_eq!(faults(&text), [""; 0]);
}

#[test]
fn an_import_that_makes_no_ledger_is_told_with_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path());
    let text = exported(folder.path());
    let lines: Vec<&str> = text.lines().collect();
    let with = |line: usize, from: &str, to: &str| {
        let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert!(changed[line - 1].contains(from), "line {line} holds no {from}");
        changed[line - 1] = changed[line - 1].replacen(from, to, 1);
        faults(&(changed.join("\n") + "\n"))
    };
    let cases = [
        (1, "\"version\":1", "\"version\":2", "line 1: is of version 2, newer than this"),
        (1, "schema", "installation", "line 1: missing field `name`"),
        (2, "\"name\":\"", "\"name\":\"../", "line 2: the name of an installation is letters"),
        (3, "\"number\":3", "\"number\":2", "line 11: arrival 2 is not below the next, 2"),
        (5, "\"pending\":0", "\"pending\":1", "line 5: a settled file has no open records"),
        (9, "\"api\":\"", "\"api\":\"x", "line 9: api is not 16 hexadecimal digits"),
        (10, "\"identity\":\"01", "\"identity\":\"0", "line 10: "),
        (11, "\"total\":10000", "\"total\":9002", "line 12: the file has 9002 records, not 9003"),
        (11, "\"mark\":1", "\"mark\":10002", "line 11: the mark lies behind the last record"),
        (12, "[1,9000]", "[1,9002]", "line 12: a record is told of twice"),
        (12, "[1,9000]", "[9000,1]", "line 12: 9000 to 1 are no records"),
        (12, "[1,9000]", "[1,9001]", "line 13: records 9001 to 9001 wait but are final"),
        (12, "delivered", "pending", "line 12: records are kept in a final state only"),
        (14, "quarantined", "delivered", "line 14: only quarantined records outlive their file"),
        (14, "\"arrival\":1", "\"arrival\":2", ""),
        (14, "[[4,4]]", "[[4,4]]}", "line 14: trailing characters"),
        (15, "14", "13", "line 15: 13 lines were written before it"),
    ];
    for (line, from, to, wanted) in cases {
        let found = with(line, from, to);
        assert!(found.iter().any(|fault| fault.starts_with(wanted)), "{to}: {found:?}");
    }
    let two = with(14, "\"arrival\":1", "\"arrival\":2");
    assert_eq!(two, ["line 12: of records 4 to 4 some are in two states"]);
    let cut = lines[..14].join("\n");
    assert_eq!(
        faults(&cut),
        ["line 15: the line that ends an export is missing: it was cut short"]
    );
    let doubled = format!("{}\n{}\n{}\n", lines[..14].join("\n"), lines[6], lines[14]);
    assert!(faults(&doubled).contains(&"line 15: an earlier line tells of the same thing".into()));
    assert!(faults("")[0].starts_with("line 1: the line that ends an export is missing"));
    assert!(faults("PK\u{3}\u{4}")[0].starts_with("line 1: "));
}

#[test]
fn only_an_empty_ledger_takes_an_import() {
    let (full, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(full.path());
    let text = exported(full.path());
    let ledger = full.path().to_owned();
    let error = import(&ledger, text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("holds something already"), "{error}");
    let ledger = empty.path().join("ledger");
    drop(Store::open(&ledger).unwrap());
    import(&ledger, text.as_bytes()).unwrap();
    assert_eq!(exported(&ledger), text);
    let left: Vec<_> = std::fs::read_dir(empty.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_is_set_aside_whole_and_what_is_worked_again_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    sample(&ledger);
    let mut store = Store::open(&ledger).unwrap();
    let whole = store.next_arrival();
    store.set_account(Account { phase: Phase::Refused, ..account(whole.0, "acme", None) });
    store.close(whole, FileCounts { quarantined: 1, ..FileCounts::default() }).unwrap();
    let round = store.next_arrival();
    let again = Again { of: Arrival(1), age: Arrival(1), how: How::Retry, generation: 0 };
    let opened = Account { again: Some(again), ..account(round.0, "acme", Some(1)) };
    store.begin_again(opened, &[(4, 4)]).unwrap();
    // Of two who chose records of the same state, the second finds it changed.
    let again = Again { of: Arrival(1), age: Arrival(1), how: How::Resend, generation: 0 };
    let late = Account { again: Some(again), ..account(round.0 + 1, "acme", Some(1)) };
    assert!(store.begin_again(late, &[(1, 1)]).is_err());
    store.commit().unwrap();
    drop(store);
    let text = exported(&ledger);
    for line in [
        format!(
            r#"{{"entry":"records","arrival":{whole},"state":"quarantined","ranges":[[0,0]]}}"#
        ),
        r#"{"entry":"generation","arrival":1,"generation":1}"#.to_owned(),
        r#""again":{"of":1,"age":1,"how":"retry","generation":1}"#.to_owned(),
    ] {
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert_eq!(faults(&text), [""; 0]);
    let copy = folder.path().join("copy");
    import(&copy, text.as_bytes()).unwrap();
    assert_eq!(exported(&copy), text);
}

#[test]
fn acknowledged_notifications_are_exported_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, copy) = (folder.path().join("ledger"), folder.path().join("copy"));
    let mut store = Store::open(&ledger).unwrap();
    let event = Event {
        number: 1,
        sender: "scr/wallet-a".to_owned(),
        kind: "release".to_owned(),
        received: at(7),
        kept: None,
        body: serde_json::json!({ "release": "0xab" }).as_object().cloned(),
    };
    store.add_event(event.clone(), &[7; 16]);
    let subscription = Subscription {
        url: "https://acme.example/notifications/scr/acme/own".to_owned(),
        registered: at(8),
        at: "https://localhost:4431/tmining/api/v1".to_owned(),
    };
    // A customer's own API has a slash in its name.
    store.subscribed("acme/own", "onRelease", &subscription);
    store.commit().unwrap();
    drop(store);
    let text = exported(&ledger);
    import(&copy, text.as_bytes()).unwrap();
    assert_eq!(exported(&copy), text);
    let store = Store::open(&copy).unwrap();
    assert_eq!(store.events_of("scr/wallet-a", &BTreeSet::new(), 2).unwrap(), [event]);
    assert_eq!(store.events[&1].body, None, "what it says is on disk alone");
    assert!(store.heard(&[7; 16], Timestamp::MIN).unwrap());
    assert_eq!(store.senders["scr/wallet-a"].number, 1);
    let key = ("acme/own".to_owned(), "onRelease".to_owned());
    assert_eq!(store.subscriptions().unwrap(), BTreeMap::from([(key, subscription)]));
}

#[test]
fn verdicts_on_calls_and_on_their_containers_are_exported_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, copy) = (folder.path().join("ledger"), folder.path().join("copy"));
    let mut store = Store::open(&ledger).unwrap();
    let told = |container: Option<&str>, failure: Option<&str>| Told {
        reference: "Ref-1".to_owned(),
        container: container.map(str::to_owned),
        failure: failure.map(str::to_owned),
        at: at(5),
    };
    let long = "Ü".repeat(16);
    let all = [told(None, None), told(Some("C1"), Some("no")), told(Some(&long), None)];
    for told in &all {
        store.note_verdict("acme", told.clone()).unwrap();
    }
    store.commit().unwrap();
    drop(store);
    let text = exported(&ledger);
    assert_eq!(faults(&text), [""; 0]);
    import(&copy, text.as_bytes()).unwrap();
    assert_eq!(exported(&copy), text);
    let mut copied = Store::open(&copy).unwrap();
    assert_eq!(copied.verdicts("acme", "REF-1").unwrap(), all);
    assert_eq!(copied.forget_verdicts(at(6)).unwrap(), 3);
}

#[test]
fn what_waits_in_an_outbox_is_exported_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, copy) = (folder.path().join("ledger"), folder.path().join("copy"));
    let mut store = Store::open(&ledger).unwrap();
    store.next_arrival();
    for payload in ["a1", "b2", "c3"] {
        store.queue(("acme", "erp"), "transfer", (payload, 100));
    }
    store.commit().unwrap();
    store.pass("acme", "erp", &[1], &[(2, "no such code".to_owned())]).unwrap();
    store.commit().unwrap();
    let waits = store.outbox("acme", "erp").cloned();
    drop(store);
    let text = exported(&ledger);
    assert_eq!(faults(&text), [""; 0]);
    import(&copy, text.as_bytes()).unwrap();
    assert_eq!(exported(&copy), text);
    assert_eq!(Store::open(&copy).unwrap().outbox("acme", "erp").cloned(), waits);
    // What was never queued, or is written, does not wait.
    for (from, to) in [("\"sequence\":3", "\"sequence\":4"), ("\"sequence\":3", "\"sequence\":1")] {
        assert!(text.contains(from));
        assert_eq!(faults(&text.replace(from, to)).len(), 1, "{to}");
    }
}

#[test]
fn connections_invitations_and_what_a_transfer_holds_back_are_exported_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, copy) = (folder.path().join("ledger"), folder.path().join("copy"));
    let mut store = Store::open(&ledger).unwrap();
    let arrival = store.next_arrival();
    store.set_account(account(arrival.0, "acme", Some(9)));
    let holds = Holds {
        api: short_api("http://a"),
        release: "0xa".to_owned(),
        others: vec!["0xb".to_owned()],
        age: (arrival, 3),
        to: Some("0xC1".to_owned()),
    };
    let waits = Waiting { holds: Some(holds), ..waiting(3, 3) };
    store.change(arrival, vec![Change::Wait(waits)]).unwrap();
    let long = "é".repeat(255);
    let told = [("0xC1", Some("r1"), "BE1", "T NV"), ("0xC2", Some(long.as_str()), "BE2", &long)];
    let told = told.map(|(address, reference, vat, name)| {
        Connection::new(address, reference, vat, name).unwrap()
    });
    store.set_connections("http://a", at(1), told.to_vec());
    let invitation = Invitation {
        customer: "acme".to_owned(),
        reference: Some("r1".to_owned()),
        vat: plain_vat("be 1"),
        by: (arrival, 4),
        asked: at(2),
        taken: true,
        answer: None,
    };
    store.set_invitation("http://a", &invitation);
    let meant =
        store.settle_invitations("http://a", Some("r1"), Some("BE 1"), true, at(3)).unwrap();
    assert_eq!(meant.len(), 1);
    store.commit().unwrap();
    let connections = store.connections("http://a").cloned().unwrap();
    drop(store);
    let text = exported(&ledger);
    assert_eq!(faults(&text), [""; 0]);
    assert!(text.lines().all(|line| line.len() < 700), "values stay small: {text}");
    import(&copy, text.as_bytes()).unwrap();
    assert_eq!(exported(&copy), text);
    let mut copied = Store::open(&copy).unwrap();
    assert_eq!(copied.connections("http://a"), Some(&connections));
    let known = copied.invitation("http://a", &invitation.name()).unwrap().unwrap();
    assert!(known.answer.is_some_and(|answer| answer.accepted));
    let name = ["0xa".to_owned()];
    let held = |store: &Store, ordinal| store.held("http://a", &name, true, (arrival, ordinal));
    assert_eq!((held(&copied, 3), held(&copied, 4)), (Held::No, Held::Yes));
    copied.change(arrival, vec![Change::Unwait(3)]).unwrap();
    assert_eq!(held(&copied, 4), Held::No);
    // Who is not told of any more is a connection no more.
    copied.set_connections("http://a", at(4), told[..1].to_vec());
    copied.commit().unwrap();
    drop(copied);
    assert_eq!(Store::open(&copy).unwrap().connections("http://a").unwrap().list.len(), 1);
}

#[test]
fn a_ledger_made_smaller_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    sample(&ledger);
    let mut store = Store::open(&ledger).unwrap();
    for second in 0..400 {
        let settled = Settled { arrival: Arrival(1), name: "N".repeat(300), at: at(second) };
        let identity = Identity(*blake3::hash(&second.to_le_bytes()).as_bytes());
        store.remember("acme", "erp", &identity, &settled);
        store.commit().unwrap();
        store.forget("acme", "erp", &identity);
        store.commit().unwrap();
    }
    drop(store);
    let text = exported(&ledger);
    let (before, after) = compact(&ledger).unwrap();
    assert!(after < before, "{before} bytes became {after}");
    assert_eq!(exported(&ledger), text);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_renewal_broken_off_between_its_renames_is_finished_at_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    sample(&ledger);
    let text = exported(&ledger);
    std::fs::rename(&ledger, folder.path().join("ledger.new")).unwrap();
    assert_eq!(Store::open(&ledger).unwrap().files.len(), 1);
    assert_eq!(exported(&ledger), text);
}

/// A file, and which of its records are in which state: 0 to 3 are final, 4 waits, 5 is pending.
type Generated = (u8, bool, Vec<(u8, u64)>);

fn generated() -> impl Strategy<Value = Vec<Generated>> {
    let runs = prop::collection::vec((0u8..6, 1u64..3000), 0..30);
    prop::collection::vec((0u8..3, any::<bool>(), runs), 0..8)
}

fn build(folder: &Path, files: &[Generated], seed: u8) {
    let mut store = Store::open(folder).unwrap();
    for (customer, close, runs) in files {
        let customer = ["acme", "zeta", "wilgen-hof_2"][usize::from(*customer)];
        let arrival = store.next_arrival();
        let total: u64 = runs.iter().map(|(_, length)| length).sum();
        store.set_account(account(arrival.0, customer, (total > 0).then_some(total)));
        let mut first = 1;
        for (kind, length) in runs {
            let last = first + length - 1;
            let state = [State::Delivered, State::Quarantined, State::Superseded, State::Discarded]
                .get(usize::from(*kind));
            let change = match (state, kind) {
                (Some(state), _) => Some(Change::Final(*state, vec![(first, last)])),
                (None, 4) if !close => Some(Change::Wait(waiting(first, last))),
                _ if *close => Some(Change::Final(State::Discarded, vec![(first, last)])),
                _ => None,
            };
            store.change(arrival, change.into_iter().collect()).unwrap();
            first = last + 1;
        }
        let identity = Identity([arrival.0 as u8 ^ seed; 32]);
        let settled = Settled { arrival, name: "\u{0}é\n/".to_owned(), at: at(seed.into()) };
        store.remember(customer, ["erp", "a/b", "ünï"][runs.len() % 3], &identity, &settled);
        if *close {
            store.close(arrival, FileCounts { settled: 1, ..FileCounts::default() }).unwrap();
        }
    }
    store.commit().unwrap();
}

type Seen = Vec<(Account, Counts, Vec<Vec<(u64, u64)>>, Vec<Waiting>)>;

fn seen(folder: &Path) -> (Seen, BTreeMap<String, Tally>, Arrival) {
    let mut store = Store::open(folder).unwrap();
    assert_eq!(store.audit().unwrap(), [""; 0]);
    let files = store.files.values().map(|(account, progress)| {
        let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
        let sets =
            [&progress.delivered, &progress.quarantined, &progress.superseded, &progress.discarded];
        (
            account.clone(),
            progress.counts(total, false),
            sets.iter().map(|set| set.ranges()).collect(),
            progress.waiting.values().cloned().collect(),
        )
    });
    let files = files.collect();
    (files, store.tallies.clone(), store.next_arrival())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_exported_and_imported_is_the_same_ledger(files in generated(), seed in any::<u8>()) {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        build(one.path(), &files, seed);
        let text = exported(one.path());
        prop_assert_eq!(faults(&text), [""; 0]);
        let ledger = two.path().join("ledger");
        import(&ledger, text.as_bytes()).unwrap();
        prop_assert_eq!(exported(&ledger), text);
        prop_assert_eq!(seen(&ledger), seen(one.path()));
    }
}
