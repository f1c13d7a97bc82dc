//! Releases that come or change: each is fetched, and lies in the outbox of whom it concerns, in
//! the ERP's own dialect. Without a receiver one look at the start of a run stands for the events.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};

use lighterman::sandbox::{Fault, Release, What};
use serde_json::json;

use crate::harness::callback::*;
use crate::harness::*;

const API: &str = "/notifications/scr/wallet-a";

/// What the ERP reads: `;`, no header, its own words for terminals.
const OUT: &str = r#"
direction = "out"

[output]
format    = "csv"
delimiter = ";"
header    = false
line_end  = "lf"

[[fields]]
to   = "NR"
from = "sequence"

[[fields]]
to   = "EVENT"
from = "event"

[[fields]]
to   = "CONT"
from = "release.release_data.container.containerNumber"

[[fields]]
to   = "BL"
from = "release.release_data.billOfLading.blNumber"

[[fields]]
to     = "BLOCKED"
from   = "release.blocked"
values = { true = "J", false = "N" }

[[fields]]
to   = "CUSTOMS"
from = "release.greenLights.events.customs.value"
"#;

/// Another company's VAT number.
const OTHER: &str = "BE1000000021";

fn address(n: u64) -> String {
    format!("0xC0de{n:036x}")
}

fn container(n: u64) -> String {
    format!("TEST{n:07}")
}

fn release(n: u64) -> Release {
    Port::release(&address(n), &container(n), "BL1")
}

fn releases(count: u64) -> Vec<Release> {
    (0..count).map(release).collect()
}

/// A port, and a provider whose customers have an outbox each.
struct Stage {
    port: Port,
    provider: Provider,
    at: SocketAddr,
}

impl Stage {
    /// With these releases at the port, and a receiver or none.
    fn with(releases: Vec<Release>, listens: bool) -> Stage {
        let at = free_address();
        let port = Port::open(Port::scr_world(releases, 0));
        let callback = "callback = { key = { file = \"secrets/callback\" }, in = \"header\" }\n";
        let listen = match listens {
            true => format!("[listen]\nnotifications = {{ address = \"{at}\" }}\n"),
            false => String::new(),
        };
        let provider = Provider::with(&port, &format!("{callback}\n{listen}"));
        provider.secret("callback", CALLBACK_KEY);
        provider.mapping("assignments", ASSIGNMENTS);
        provider.mapping("out", OUT);
        let stage = Stage { port, provider, at };
        stage.customer("wilgen", VAT, "");
        stage
    }

    fn customer(&self, id: &str, vat: &str, outbox: &str) {
        std::fs::create_dir_all(self.provider.path(&format!("erp/{id}"))).unwrap();
        let text = format!(
            r#"
[channels.out]
type  = "scr"
api   = "wallet-a"
retry = {{ first = "1h", max = "1h", give_up_after = "24h" }}

[[routes]]
source  = "in"
files   = "*"
mapping = "assignments"
channel = "out"

[[outbox]]
mapping = "out"
path    = "../erp/{id}"
{outbox}
"#
        );
        self.provider.customer(id, vat, &text);
    }

    fn start(&self) -> Running {
        let daemon = self.provider.start();
        until_true("it listens", || TcpStream::connect(self.at).is_ok());
        daemon
    }

    /// Starts the daemon, and waits until it has asked what changed while it was away.
    fn start_and_look(&self) -> Running {
        let asked = self.lists().len();
        let daemon = self.start();
        until_true("the look at the start", || self.lists().len() > asked);
        daemon
    }

    fn tell(&self, event: &str, n: u64) {
        self.tell_of(event, n, VAT);
    }

    fn tell_of(&self, event: &str, n: u64, vat: &str) {
        let body = on_release(event, &address(n), vat);
        assert_eq!(post(self.at, API, &[&signed()], &body), 200);
    }

    /// What is answered whenever this release is asked for.
    fn answer(&self, n: u64, status: u16, body: &str) {
        let (body, headers) = (Some(body.to_owned()), BTreeMap::new());
        let what = What::Status { status, retry_after: None, body, headers };
        let path = format!("{SCR}/releases/{}", address(n).to_lowercase());
        self.port.fault(Fault::new(&path, what)).unwrap();
    }

    /// Waits until so many rows lie in a customer's outbox.
    fn until_rows(&self, customer: &str, count: usize) {
        until_true(&format!("row {count} of {customer}"), || self.rows(customer).len() == count);
    }

    /// All that lies in a customer's outbox, in the order of the names.
    fn rows(&self, customer: &str) -> Vec<String> {
        let folder = self.provider.path(&format!("erp/{customer}"));
        let names = std::fs::read_dir(&folder).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        let text = |name: &String| std::fs::read_to_string(folder.join(name)).unwrap();
        names
            .iter()
            .flat_map(|name| text(name).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    fn lists(&self) -> Vec<String> {
        let calls = self.port.calls_to(&format!("{SCR}/releases"));
        let lists = calls.into_iter().filter(|call| call.path == format!("{SCR}/releases"));
        lists.map(|call| call.query).collect()
    }
}

#[test]
fn what_happens_to_a_release_lies_in_the_outbox_as_it_is_now() {
    let stage = Stage::with(Vec::new(), true);
    let daemon = stage.start_and_look();
    stage.port.replace(Port::scr_world(releases(1), 0)).unwrap();
    stage.tell("TRANSFER", 0);
    until_true("the first row", || stage.rows("wilgen").len() == 1);
    let blocked = Release { blocked: true, ..release(0) };
    stage.port.replace(Port::scr_world(vec![blocked], 0)).unwrap();
    stage.tell("block", 0);
    until_true("the next rows", || stage.rows("wilgen").len() == 3);
    let scanned = Release {
        green_lights: [("customs".to_owned(), "selectedforscan".to_owned())].into(),
        ..release(0)
    };
    stage.port.replace(Port::scr_world(vec![scanned], 0)).unwrap();
    stage.tell("GREENLIGHTS", 0);
    until_true("the last rows", || stage.rows("wilgen").len() == 5);
    assert_eq!(
        stage.rows("wilgen"),
        [
            "1;transfer;TEST0000000;BL1;N;released",
            "2;block;TEST0000000;BL1;J;released",
            // "Container has been commercially blocked" is a light of its own ("Green lights").
            "3;greenlights;TEST0000000;BL1;J;released",
            "4;greenlights;TEST0000000;BL1;N;selectedforscan",
            // Of this no notification came.
            "5;unblock;TEST0000000;BL1;N;selectedforscan"
        ]
    );
    assert_eq!(daemon.stop().code, 0);
    stage.provider.check_ledger();
}

#[test]
fn a_run_without_receiver_asks_once_for_what_changed_and_tells_it_once() {
    let stage = Stage::with(releases(3), false);
    stage.provider.run_once(&[]).ended(0);
    let mut rows = stage.rows("wilgen");
    rows.sort_by_key(|row| row.split(';').nth(2).unwrap().to_owned());
    let told = |rows: &[String]| -> Vec<String> {
        rows.iter().map(|row| row.split_once(';').unwrap().1.to_owned()).collect()
    };
    let came = |n: u64| format!("transfer;TEST000000{n};BL1;N;released");
    assert_eq!(told(&rows), [came(0), came(1), came(2)]);
    let first = stage.lists();
    assert_eq!(first.len(), 1);
    assert!(!first[0].contains("since="), "{first:?}");

    stage.provider.run_once(&[]).ended(0);
    assert_eq!(stage.rows("wilgen").len(), 3, "nothing has happened");
    let second = stage.lists();
    assert_eq!(second.len(), 2);
    assert!(second[1].contains("since=20"), "{second:?}");

    let blocked = Release { blocked: true, ..release(1) };
    stage.port.change(SCR, "block", &blocked).unwrap();
    stage.provider.run_once(&[]).ended(0);
    // "Container has been commercially blocked" is a light of its own ("Green lights").
    assert_eq!(
        told(&stage.rows("wilgen")[3..]),
        ["block;TEST0000001;BL1;J;released", "greenlights;TEST0000001;BL1;J;released"]
    );
    stage.provider.check_ledger();
}

#[test]
fn what_was_there_before_a_daemon_that_listens_began_is_told_by_its_notification_alone() {
    let stage = Stage::with(releases(2), true);
    let daemon = stage.start_and_look();
    stage.tell("TRANSFER", 0);
    stage.until_rows("wilgen", 1);
    stage.tell("TRANSFER", 1);
    stage.until_rows("wilgen", 2);
    assert_eq!(daemon.stop().code, 0);
    let came = |n: u64| format!("{};transfer;{};BL1;N;released", n + 1, container(n));
    assert_eq!(stage.rows("wilgen"), [came(0), came(1)]);
    assert_eq!(stage.lists().len(), 1);
}

#[test]
fn what_a_look_has_told_is_not_told_again_by_its_notification() {
    let stage = Stage::with(releases(2), true);
    assert_eq!(stage.provider.run_once(&[]).code, 0);
    stage.until_rows("wilgen", 2);
    let daemon = stage.start_and_look();
    stage.tell("TRANSFER", 0);
    // Only the first is the notification of what was told.
    stage.tell("UPDATE", 0);
    stage.until_rows("wilgen", 3);
    stage.tell("TRANSFER", 0);
    stage.until_rows("wilgen", 4);
    // What has changed since is something else.
    let blocked = Release { blocked: true, ..release(1) };
    stage.port.replace(Port::scr_world(vec![release(0), blocked], 0)).unwrap();
    stage.tell("TRANSFER", 1);
    stage.until_rows("wilgen", 7);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(
        stage.rows("wilgen")[2..],
        [
            "3;update;TEST0000000;BL1;N;released",
            "4;transfer;TEST0000000;BL1;N;released",
            "5;transfer;TEST0000001;BL1;J;released",
            "6;block;TEST0000001;BL1;J;released",
            "7;greenlights;TEST0000001;BL1;J;released"
        ]
    );
}

#[test]
fn an_assignment_that_is_parked_wakes_by_the_look_of_a_run_too() {
    let stage = Stage::with(Vec::new(), false);
    let file = [Assignment::of(&container(0), None, Wanted::Driver("D0".to_owned()))];
    stage.provider.drop_file("wilgen", "1.xml", xml(file));
    stage.provider.run_once(&[]).ended(75);
    assert_eq!(stage.provider.records("wilgen", "parked"), 1);
    stage.port.replace(Port::scr_world(releases(1), 0)).unwrap();
    stage.provider.run_once(&[]).ended(0);
    assert_eq!(
        stage.port.release(SCR, &address(0)).unwrap().assigned.unwrap().identification,
        "D0"
    );
    assert_eq!(stage.rows("wilgen").len(), 1);
}

#[test]
fn at_an_api_of_several_a_release_goes_to_its_owner_alone() {
    let theirs = Release { owner_vat: Some(OTHER.to_owned()), ..release(1) };
    let stage = Stage::with(vec![release(0), theirs.clone()], true);
    stage.customer("zeta", OTHER, "");
    stage.provider.run_once(&[]).ended(0);
    assert_eq!(stage.rows("wilgen"), ["1;transfer;TEST0000000;BL1;N;released"]);
    assert_eq!(stage.rows("zeta"), ["1;transfer;TEST0000001;BL1;N;released"]);
    let daemon = stage.start();
    // Without a VAT number in the event the release says whose it is.
    let body = json!({ "release": address(1), "event": "UPDATE" });
    assert_eq!(post(stage.at, API, &[&signed()], &body), 200);
    until_true("the row", || stage.rows("zeta").len() == 2);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(stage.rows("zeta")[1], "2;update;TEST0000001;BL1;N;released");
    assert_eq!(stage.rows("wilgen").len(), 1);
}

/// The same release in another's hands, who has given it another container.
fn gone_over(n: u64) -> Release {
    Release { owner_vat: Some(OTHER.to_owned()), container: container(n + 90), ..release(n) }
}

#[test]
fn an_event_never_brings_a_customer_the_release_of_another() {
    let stage = Stage::with(releases(4), true);
    stage.customer("zeta", OTHER, "");
    assert_eq!(stage.provider.run_once(&[]).code, 0);
    stage.until_rows("wilgen", 4);
    let daemon = stage.start_and_look();
    let third = Release { owner_vat: Some("BE0000000097".to_owned()), ..gone_over(3) };
    let world = vec![gone_over(0), gone_over(1), gone_over(2), third];
    stage.port.replace(Port::scr_world(world, 0)).unwrap();
    // Told to the one, it is the other's.
    stage.tell("UPDATE", 0);
    stage.until_rows("zeta", 1);
    // Taken from the one and given to the other, told in this order and in the other.
    stage.tell("REVOKE", 1);
    stage.until_rows("wilgen", 5);
    stage.tell_of("TRANSFER", 1, OTHER);
    stage.until_rows("zeta", 2);
    stage.tell_of("TRANSFER", 2, "be 1000.000.021");
    stage.until_rows("zeta", 3);
    stage.tell("TRANSFER", 2);
    stage.until_rows("wilgen", 6);
    // It is that of neither.
    stage.tell("UPDATE", 3);
    until_true("the alarm", || stage.provider.alarms() == ["notification"]);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(
        stage.rows("zeta"),
        [
            "1;update;TEST0000090;BL1;N;released",
            "2;transfer;TEST0000091;BL1;N;released",
            "3;transfer;TEST0000092;BL1;N;released"
        ]
    );
    assert_eq!(
        stage.rows("wilgen")[4..],
        ["5;revoke;TEST0000001;BL1;;", "6;transfer;TEST0000002;BL1;;"],
        "what was known"
    );
    stage.provider.check_ledger();
}

#[test]
fn at_an_api_of_several_a_release_that_names_no_owner_is_kept_with_an_alarm() {
    let stage = Stage::with(Vec::new(), true);
    stage.customer("zeta", OTHER, "");
    let daemon = stage.start_and_look();
    let unowned = json!({ "address": address(0), "owner": "0x5e1f", "blocked": false });
    stage.answer(0, 200, &unowned.to_string());
    stage.tell("UPDATE", 0);
    until_true("the alarm", || stage.provider.alarms() == ["notification"]);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(stage.rows("wilgen"), [""; 0]);
    assert_eq!(stage.rows("zeta"), [""; 0]);
}

#[test]
fn the_only_customer_is_not_told_of_another_companys_release_either() {
    let stage = Stage::with(Vec::new(), true);
    let daemon = stage.start_and_look();
    stage.port.replace(Port::scr_world(vec![gone_over(0)], 0)).unwrap();
    stage.tell("UPDATE", 0);
    until_true("the alarm", || stage.provider.alarms() == ["notification"]);
    assert_eq!(stage.rows("wilgen"), [""; 0]);
    // That it was taken away is told, but nothing of how it is now.
    stage.tell("REVOKE", 0);
    stage.until_rows("wilgen", 1);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(stage.rows("wilgen"), ["1;revoke;;;;"]);
}

#[test]
fn of_a_release_that_is_gone_is_told_at_once_what_was_known() {
    let stage = Stage::with(releases(3), true);
    assert_eq!(stage.provider.run_once(&[]).code, 0);
    stage.until_rows("wilgen", 3);
    let daemon = stage.start_and_look();
    // "Release … not found", with code and description.
    stage.port.replace(Port::scr_world(Vec::new(), 0)).unwrap();
    stage.answer(1, 404, "");
    stage.answer(2, 500, r#"{"code": 7, "description": "the ledger is busy"}"#);
    // What may be over soon is waited for.
    stage.tell("REVOKE", 2);
    stage.tell("DELETE", 0);
    stage.until_rows("wilgen", 4);
    stage.tell("REVOKE", 1);
    stage.until_rows("wilgen", 5);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(
        stage.rows("wilgen")[3..],
        ["4;delete;TEST0000000;BL1;;", "5;revoke;TEST0000001;BL1;;"]
    );
}

#[test]
fn an_api_that_cannot_be_asked_is_an_alarm_and_is_asked_by_the_next_run() {
    let stage = Stage::with(releases(1), false);
    stage.port.fault(Fault::new("/wallet-a/*", What::Drop)).unwrap();
    stage.provider.run_once(&[]).ended(75);
    assert_eq!(stage.provider.alarms(), ["unreachable"]);
    stage.port.clear_faults();
    stage.provider.run_once(&[]).ended(0);
    assert_eq!(stage.provider.alarms(), [""; 0]);
    assert_eq!(stage.rows("wilgen").len(), 1);
}

#[test]
fn a_release_that_cannot_be_read_holds_up_no_other() {
    let stage = Stage::with(Vec::new(), true);
    let daemon = stage.start_and_look();
    stage.port.replace(Port::scr_world(releases(3), 0)).unwrap();
    // Its connection breaks whenever it is asked for.
    let path = format!("{SCR}/releases/{}", address(0).to_lowercase());
    stage.port.fault(Fault::new(&path, What::Drop)).unwrap();
    for n in 0..3 {
        stage.tell("TRANSFER", n);
    }
    until_true("the rows of the others", || stage.rows("wilgen").len() == 2);
    stage.port.clear_faults();
    until_true("its own row", || stage.rows("wilgen").len() == 3);
    assert_eq!(daemon.stop().code, 0);
    let mut containers: Vec<String> =
        stage.rows("wilgen").iter().map(|row| row.split(';').nth(2).unwrap().to_owned()).collect();
    containers.sort();
    assert_eq!(containers, [container(0), container(1), container(2)]);
}

#[test]
fn of_what_was_acknowledged_before_fifty_kills_nothing_is_lost() {
    const ROUNDS: u64 = 50;
    const EACH: u64 = 12;
    let (seed, mut random) = Random::seeded();
    let stage = Stage::with(releases(ROUNDS * EACH), true);
    // What is there at the start is known, so that all rows tell of events.
    stage.provider.run_once(&[]).ended(0);
    let known = stage.rows("wilgen").len();
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let daemon = stage.start();
        let wanted = random.below(EACH) + 1;
        for n in round * EACH..round * EACH + wanted {
            let body = on_release("UPDATE", &address(n), VAT).to_string();
            if try_post(stage.at, API, &[&signed()], body.as_bytes()).is_ok_and(|code| code == 200)
            {
                acknowledged.insert(container(n));
            }
        }
        daemon.kill();
    }
    let daemon = stage.start();
    let told = || -> BTreeSet<String> {
        let rows = stage.rows("wilgen");
        let updates = rows.iter().filter(|row| row.contains(";update;"));
        updates.map(|row| row.split(';').nth(2).unwrap().to_owned()).collect()
    };
    until_true(&format!("all rows, seed {seed}"), || told().is_superset(&acknowledged));
    assert_eq!(daemon.stop().code, 0);
    stage.provider.check_ledger();
    let numbers = numbers(&stage);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "seed {seed}");
    assert!(numbers.len() >= known + acknowledged.len(), "seed {seed}");
}

/// The numbers in the outbox, each once.
fn numbers(stage: &Stage) -> Vec<u64> {
    let rows = stage.rows("wilgen");
    let mut numbers: Vec<u64> =
        rows.iter().map(|row| row.split(';').next().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
