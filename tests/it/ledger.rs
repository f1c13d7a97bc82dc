//! The ledger as a whole: written as text and read back, made smaller, and what is said when it
//! cannot be opened.

use lighterman::sandbox::Fault;

use crate::harness::*;

const CSV: &str = "format = \"csv\"\ndelimiter = \";\"";
const SMALL: &str = "batch = { records = 10, bytes = \"64 KiB\" }";

/// A provider of acme.
fn provider() -> (Port, Provider) {
    let port = Port::open(Port::world(&["acme"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    provider.forwarder("acme", "orders", &format!("{SMALL}\nconcurrency = 1"));
    (port, provider)
}

/// A provider of acme, whose file of 60 orders is delivered but for what its channel does not take
/// now: from the fourth message on its server is out of order.
fn half_delivered() -> (Port, Provider) {
    let (port, provider) = provider();
    let fault = Fault::status("/ingestion/c-acme", 503);
    port.fault(fault.skip(3)).unwrap();
    provider.drop_file("acme", "A.csv", csv((0..60).map(|n| n.to_string()), |_| false));
    provider.run_once(&[]).ended(75);
    assert_eq!(provider.records("acme", "delivered"), 30);
    (port, provider)
}

fn export(provider: &Provider) -> String {
    let export = provider.run(&["ledger", "export"]);
    assert_eq!(export.code, 0, "{export}");
    export.stdout
}

/// What was sent besides the 30 orders, and that each order was taken once.
#[track_caller]
fn goes_on(port: &Port, provider: &Provider) {
    port.clear_faults();
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    provider.check_ledger();
    assert_eq!(port.stats().ingestion.by_channel["c-acme"].records, 60);
    let receipt = provider.receipt("acme", "A.csv");
    assert_eq!(receipt["records"]["delivered"], 60, "{receipt}");
}

#[test]
fn open_files_go_on_after_an_import() {
    let (port, provider) = half_delivered();
    let text = export(&provider);
    let written = provider.run(&["ledger", "export", "ledger.ndjson"]);
    assert_eq!(written.code, 0, "{written}");
    assert_eq!(std::fs::read_to_string(provider.path("ledger.ndjson")).unwrap(), text);
    let again = provider.run(&["ledger", "export", "ledger.ndjson"]);
    assert_eq!(again.code, 1, "nothing is overwritten: {again}");

    let full = provider.run(&["ledger", "import", "ledger.ndjson"]);
    assert_eq!(full.code, 1, "{full}");
    assert!(full.stderr.contains("holds something already"), "{full}");
    let ledger = provider.path("state/test/ledger");
    std::fs::rename(&ledger, provider.path("aside")).unwrap();
    let import = provider.run(&["ledger", "import", "ledger.ndjson"]);
    assert_eq!(import.code, 0, "{import}");
    assert_eq!(export(&provider), text);
    goes_on(&port, &provider);
}

#[test]
fn an_import_that_is_wrong_changes_nothing() {
    let (port, provider) = half_delivered();
    let text = export(&provider);
    provider
        .file("wrong.ndjson", text.replace("\"delivered\",\"ranges\"", "\"pending\",\"ranges\""));
    let ledger = provider.path("state/test/ledger");
    std::fs::rename(&ledger, provider.path("aside")).unwrap();
    let import = provider.run(&["ledger", "import", "wrong.ndjson"]);
    assert_eq!(import.code, 1, "{import}");
    assert!(import.stderr.contains("wrong.ndjson, line "), "{import}");
    assert!(!ledger.exists());
    std::fs::rename(provider.path("aside"), &ledger).unwrap();
    goes_on(&port, &provider);
}

#[test]
fn open_files_go_on_in_a_ledger_made_smaller() {
    let (port, provider) = half_delivered();
    let text = export(&provider);
    let compact = provider.run(&["ledger", "compact"]);
    assert_eq!(compact.code, 0, "{compact}");
    assert_eq!(export(&provider), text);
    goes_on(&port, &provider);
}

#[test]
fn a_ledger_that_a_daemon_holds_is_left_alone() {
    let (_port, provider) = half_delivered();
    let daemon = provider.start();
    until_true("that it started", || daemon.stderr().contains("Started"));
    for command in [["ledger", "export"], ["ledger", "compact"]] {
        let end = provider.run(&command);
        assert_eq!(end.code, 75, "{end}");
        assert!(end.stderr.contains(&format!("process {}", daemon.id())), "{end}");
    }
    assert_eq!(daemon.stop().code, 0);
}

/// What the ledger says of A.csv, in an export.
fn delivered(text: &str) -> Vec<(u64, u64)> {
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|entry| entry["entry"] == "records" && entry["state"] == "delivered")
        .flat_map(|entry| {
            serde_json::from_value::<Vec<(u64, u64)>>(entry["ranges"].clone()).unwrap()
        })
        .collect()
}

#[test]
fn a_ledger_damaged_anywhere_is_repaired_and_invents_no_delivery() {
    let (seed, mut random) = Random::seeded();
    let (port, provider) = half_delivered();
    let state = provider.path("state/test");
    let pristine = provider.path("pristine");
    copy(&state, &pristine);
    for round in 0..30 {
        std::fs::remove_dir_all(&state).unwrap();
        copy(&pristine, &state);
        damage(&state.join("ledger/db"), round, &mut random);
        let told = format!("seed {seed}, round {round}");
        let status = provider.run(&["status"]);
        let advised = status.stderr.contains("`lighterman ledger repair`");
        assert!(status.code == 0 || (status.code == 1 && advised), "{told}: {status}");

        let repair = provider.run(&["ledger", "repair"]);
        assert_eq!(repair.code, 0, "{told}: {repair}");
        let check = provider.run(&["check-ledger"]);
        assert_eq!(check.code, 0, "{told}: {repair}\n{check}");
        let believed = delivered(&export(&provider));
        assert!(believed.iter().all(|(_, last)| *last <= 30), "{told}: {believed:?}");
        let all = believed == [(1, 30)];
        assert!(all || repair.stdout.contains("A.csv of acme (arrival 1): "), "{told}: {repair}");
    }
    goes_on(&port, &provider);
}

#[test]
fn a_torn_snapshot_costs_nothing_below_the_mark() {
    let (port, provider) = half_delivered();
    let text = export(&provider);
    let mut torn = 0;
    for entry in std::fs::read_dir(provider.path("state/test/ledger")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            std::fs::write(path, "torn").unwrap();
            torn += 1;
        }
    }
    assert!(torn > 0, "there is no snapshot to tear");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("`lighterman ledger repair`"), "{run}");
    let repair = provider.run(&["ledger", "repair"]);
    assert_eq!(repair.code, 0, "{repair}");
    // Answers may be noted in any order, so only what lies below the mark is sure to be whole.
    let mark = text.split("\"mark\":").nth(1).unwrap().split(',').next().unwrap();
    let mark: u64 = mark.parse().unwrap();
    assert!(mark > 1, "{text}");
    assert_eq!(delivered(&export(&provider)), [(1, (mark - 1).min(30))], "{repair}");
    goes_on(&port, &provider);
}

/// Cuts a file short, flips bits in it, or writes over a part of it.
fn damage(file: &std::path::Path, round: u64, random: &mut Random) {
    let mut bytes = std::fs::read(file).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    match round % 3 {
        0 => bytes.truncate(random.below(used) as usize),
        1 => {
            for _ in 0..=random.below(20) {
                bytes[random.below(used) as usize] ^= 1 << random.below(8);
            }
        }
        _ => {
            let (at, length) = (random.below(used) as usize, random.below(4000) as usize);
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(0xa5);
        }
    }
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_ledger_that_is_sound_is_not_repaired() {
    let (port, provider) = half_delivered();
    let text = export(&provider);
    let repair = provider.run(&["ledger", "repair"]);
    assert_eq!(repair.code, 0, "{repair}");
    assert!(repair.stdout.contains("nothing was changed"), "{repair}");
    assert_eq!(export(&provider), text);
    goes_on(&port, &provider);
}

#[test]
fn a_lost_ledger_is_made_anew_from_what_lies_around_it() {
    let (port, provider) = provider();
    let orders = csv((0..60).map(|n| n.to_string()), |id| id.parse::<u32>().unwrap() >= 30);
    provider.drop_file("acme", "A.csv", &orders);
    provider.run_once(&[]).ended(3);
    let aside = provider.run(&["quarantine", "list"]).stdout;
    assert_eq!(aside.lines().count(), 30);
    std::fs::remove_dir_all(provider.path("state/test/ledger")).unwrap();
    let repair = provider.run(&["ledger", "repair"]);
    assert_eq!(repair.code, 0, "{repair}");
    provider.check_ledger();
    assert_eq!(provider.run(&["quarantine", "list"]).stdout, aside);
    assert_eq!(provider.records("acme", "delivered"), 30);
    assert_eq!(provider.records("acme", "quarantined"), 30);

    // The same bytes are known again, and only what was set aside is tried again.
    provider.drop_file("acme", "B.csv", &orders);
    provider.run_once(&[]).ended(3);
    assert_eq!(provider.receipt("acme", "B.csv")["records"]["discarded"], 30);
    assert_eq!(port.stats().ingestion.by_channel["c-acme"].records, 30);
    provider.check_ledger();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn a_customer_is_taken_out_with_its_account_as_files() {
    let port = Port::open(Port::world(&["acme", "zeta"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders(CSV, "json"));
    for customer in ["acme", "zeta"] {
        provider.forwarder(customer, "orders", &format!("{SMALL}\nconcurrency = 1"));
        let faulty = csv((0..20).map(|n| n.to_string()), |id| id == "7");
        provider.drop_file(customer, "A.csv", faulty);
    }
    provider.run_once(&[]).ended(3);
    port.fault(Fault::status("/ingestion/c-acme", 503).skip(1)).unwrap();
    let open = csv((100..140).map(|n| n.to_string()), |_| false);
    provider.drop_file("acme", "B.csv", &open);
    provider.run_once(&[]).ended(75);
    let before = provider.status()["customers"]["zeta"].clone();

    let forget =
        |more: &[&str]| provider.run(&[&["forget", "acme", "--export", "gone"], more].concat());
    let active = forget(&["--with-open"]);
    assert_eq!(active.code, 1, "{active}");
    assert!(active.stderr.contains("acme.toml") && active.stderr.contains("active = false"));
    let config = std::fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file("customers/acme.toml", format!("active = false\n{config}"));
    let with_open = forget(&[]);
    assert_eq!(with_open.code, 1, "{with_open}");
    assert!(with_open.stderr.contains("--with-open"), "{with_open}");
    assert!(!provider.path("gone").exists());

    // A folder may be shared: another customer's receipt lies beside.
    let receipts = |customer: &str| provider.inbox(customer).join("receipts");
    std::fs::copy(
        receipts("zeta").join("A.csv.receipt.json"),
        receipts("acme").join("theirs.csv.receipt.json"),
    )
    .unwrap();
    let gone = forget(&["--with-open"]);
    assert_eq!(gone.code, 0, "{gone}");
    let read = |name: &str| std::fs::read(provider.path("gone").join(name)).unwrap();
    assert!(read("open/3/B.csv") == open || read("open/2/B.csv") == open);
    let account = String::from_utf8(read("account.ndjson")).unwrap();
    assert_eq!(delivered(&account), [(1, 10)]);
    assert!(!account.contains("zeta"), "{account}");
    let quarantined = std::fs::read_dir(provider.path("gone/quarantine")).unwrap().next();
    let folder = quarantined.unwrap().unwrap().path();
    let records = std::fs::read_to_string(folder.join("A.csv")).unwrap();
    assert_eq!(records.lines().count(), 2, "its header and one row: {records}");
    assert!(folder.join("problems.json").exists());
    assert!(provider.path("gone/receipts/in/A.csv.receipt.json").exists());
    assert!(!provider.path("gone/receipts/in/theirs.csv.receipt.json").exists());
    let left = std::fs::read_dir(provider.path("state/test/quarantine")).unwrap().count();
    assert_eq!(left, 1, "that of the other customer");

    let text = export(&provider);
    assert!(!text.contains("acme"), "{text}");
    provider.check_ledger();
    assert_eq!(provider.status()["customers"]["zeta"], before);
    let unknown = provider.run(&["forget", "acme", "--export", "again", "--with-open"]);
    assert_eq!(unknown.code, 1, "{unknown}");
}
