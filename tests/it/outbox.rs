//! Outboxes: what is queued for the ERP becomes files, in the order of its numbers, whatever happens
//! in between.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lighterman::config::load;
use lighterman::pipeline::Put;
use lighterman::worker::assemble;
use serde_json::{Value, json};

use crate::harness::*;

const RELEASES: &str = r#"
direction = "out"

[output]
format = "csv"
delimiter = ";"

[[fields]]
to = "NO"
from = "sequence"

[[fields]]
to = "EVENT"
from = "event"

[[fields]]
to = "CONT"
from = "release.release_data.container.containerNumber"
aka = "containers"
unknown = "keep"
"#;

/// A provider whose customer acme has these outboxes; they lie in `erp`.
fn provider(outboxes: &str) -> Provider {
    let provider = Provider::empty();
    provider.file(
        "lighterman.toml",
        "environments = [\"test\"]\nenvironment = \"test\"\n\n[limits]\nfree_disk = \"1 MiB\"\n",
    );
    fs::create_dir(provider.path("erp")).unwrap();
    provider.mapping("releases-out", RELEASES);
    provider.aka("containers", "alias,code\nKIST1,TEST0000001\n");
    provider.customer("acme", VAT, outboxes);
    provider
}

fn outbox(lines: &str) -> String {
    format!(
        "\n[[outbox]]\nname = \"erp\"\nmapping = \"releases-out\"\npath = \"../erp\"\n{lines}\n"
    )
}

fn document(container: &str) -> Value {
    let container = json!({ "containerNumber": container });
    json!({ "event": "transfer", "release": { "release_data": { "container": container } } })
}

/// Queues documents as the work on events does, without a process.
fn queue(provider: &Provider, containers: &[&str]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = load(Some(&provider.path("lighterman.toml")), None).unwrap().config;
        assert!(config.broken.is_empty(), "{:?}", config.broken);
        let parts = assemble(config).unwrap();
        for container in containers {
            let put = parts.outbox_put("acme", "transfer", document(container), |_| ()).await;
            assert!(matches!(put, Ok(Put::Queued(1..))), "{put:?}");
        }
    });
}

/// The files in a folder, by name, hidden ones too.
fn files(folder: PathBuf) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        })
        .collect();
    files.sort();
    files
}

fn rows(rows: &[&str]) -> String {
    let rows = rows.iter().map(|row| format!("{row}\r\n"));
    format!("NO;EVENT;CONT\r\n{}", rows.collect::<String>())
}

fn of(provider: &Provider) -> Value {
    provider.status()["customers"]["acme"]["outboxes"]["erp"].clone()
}

/// Nothing waits, and nothing lies in the state.
#[track_caller]
fn is_empty(provider: &Provider, last: u64) {
    let of = of(provider);
    assert_eq!(
        (of["waiting"].as_u64(), of["last_written"].as_u64()),
        (Some(0), Some(last)),
        "{of}"
    );
    assert_eq!(files(provider.path("state/test/outbox")), []);
    provider.check_ledger();
}

#[test]
fn each_event_has_a_file_with_the_erps_codes_and_a_marker_and_numbers_go_on() {
    let provider =
        provider(&outbox("file = \"REL_{event}_{sequence}.csv\"\nmarker = \"{stem}.ok\""));
    queue(&provider, &["TEST0000001", "TEST0000002"]);
    let waiting = of(&provider);
    assert_eq!(waiting["waiting"], 2, "{waiting}");
    assert!(waiting["oldest"].is_string(), "{waiting}");
    provider.check_ledger();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let first = [
        ("REL_transfer_00000001.csv".to_owned(), rows(&["1;transfer;KIST1"])),
        ("REL_transfer_00000001.ok".to_owned(), String::new()),
        ("REL_transfer_00000002.csv".to_owned(), rows(&["2;transfer;TEST0000002"])),
        ("REL_transfer_00000002.ok".to_owned(), String::new()),
    ];
    assert_eq!(files(provider.path("erp")), first);
    is_empty(&provider, 2);

    // The ERP takes them; what comes later has later numbers.
    for (name, _) in first {
        fs::remove_file(provider.path("erp").join(name)).unwrap();
    }
    queue(&provider, &["TEST0000003"]);
    provider.run_once(&[]).ended(0);
    let names: Vec<String> =
        files(provider.path("erp")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["REL_transfer_00000003.csv", "REL_transfer_00000003.ok"]);
    is_empty(&provider, 3);
}

#[test]
fn gathered_events_are_written_by_rows_and_by_time_whichever_comes_first() {
    let provider = provider(&outbox("gather = { every = \"1h\", rows = 2 }"));
    queue(&provider, &["A", "B", "C", "D", "E"]);
    provider.run_once(&[]).ended(0);
    let two = [
        ("00000001.csv".to_owned(), rows(&["1;transfer;A", "2;transfer;B"])),
        ("00000003.csv".to_owned(), rows(&["3;transfer;C", "4;transfer;D"])),
    ];
    assert_eq!(files(provider.path("erp")), two);
    assert_eq!(of(&provider)["waiting"], 1, "an hour has not passed");
    provider.check_ledger();

    let daemon = provider.start();
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file("customers/acme.toml", text.replace("1h", "1s"));
    until_true("it works", || daemon.stderr().contains("Started"));
    daemon.hang_up();
    until_true("the rest", || of(&provider)["waiting"] == 0);
    let all = files(provider.path("erp"));
    assert_eq!(all[2], ("00000005.csv".to_owned(), rows(&["5;transfer;E"])));
    assert_eq!(daemon.stop().code, 0);
    is_empty(&provider, 5);
}

#[test]
fn a_name_that_is_taken_gets_a_number() {
    let provider = provider(&outbox(""));
    provider.file("erp/00000001.csv", "another's");
    queue(&provider, &["A"]);
    provider.run_once(&[]).ended(0);
    let both = [
        ("00000001-2.csv".to_owned(), rows(&["1;transfer;A"])),
        ("00000001.csv".to_owned(), "another's".to_owned()),
    ];
    assert_eq!(files(provider.path("erp")), both);
}

#[test]
fn a_refused_document_holds_up_no_other_and_is_written_once_the_table_knows_its_code() {
    let provider = provider(&outbox(""));
    provider.mapping("releases-out", &RELEASES.replace("unknown = \"keep\"\n", ""));
    queue(&provider, &["TEST0000001", "TEST0000002", "TEST0000001"]);
    let daemon = provider.start();
    until_true("the last", || of(&provider)["last_written"] == 3);
    let waits = of(&provider);
    assert_eq!((waits["waiting"].as_u64(), waits["refused"].as_u64()), (Some(1), Some(1)));
    let alarm = waits["alarm"].as_str().unwrap();
    for part in ["document 2", "outbox erp", "containerNumber", "TEST0000002", "SIGHUP"] {
        assert!(alarm.contains(part), "{part} in {alarm}");
    }
    assert_eq!(provider.alarms(), ["outbox"]);
    provider.check_ledger();

    provider.aka("containers", "alias,code\nKIST1,TEST0000001\nKIST2,TEST0000002\n");
    daemon.hang_up();
    until_true("the second", || of(&provider)["waiting"] == 0);
    until_true("the alarm is over", || provider.alarms().is_empty());
    let second = fs::read_to_string(provider.path("erp/00000002.csv")).unwrap();
    assert_eq!(second, rows(&["2;transfer;KIST2"]));
    assert_eq!(daemon.stop().code, 0);
    is_empty(&provider, 3);
}

#[test]
fn an_outbox_without_its_folder_waits_with_an_alarm_and_holds_up_no_other() {
    let second = outbox("").replace("erp", "lights");
    let provider = provider(&(outbox("") + &second));
    fs::create_dir(provider.path("lights")).unwrap();
    fs::rename(provider.path("erp"), provider.path("away")).unwrap();
    queue(&provider, &["A", "B"]);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "a person is needed: {run}");
    assert_eq!(files(provider.path("lights")).len(), 2);
    assert_eq!(provider.alarms(), ["disk"]);
    let alarm = of(&provider)["alarm"].to_string();
    assert!(alarm.contains("erp is not there"), "{alarm}");

    let daemon = provider.start();
    until_true("it is tried", || daemon.stderr().contains("erp is not there"));
    fs::rename(provider.path("away"), provider.path("erp")).unwrap();
    until_true("both", || of(&provider)["waiting"] == 0);
    until_true("the alarm is over", || provider.alarms().is_empty());
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(files(provider.path("erp")), files(provider.path("lights")));
    is_empty(&provider, 2);
}

#[test]
fn a_full_disk_defers_and_loses_nothing() {
    let provider = provider(&outbox(""));
    let Some(disk) = SmallDisk::mount(&provider.path("erp"), "1m") else { return };
    disk.fill();
    queue(&provider, &["A", "B"]);
    let daemon = provider.start();
    until_true("the alarm", || provider.alarms() == ["disk"]);
    assert_eq!(of(&provider)["waiting"], 2);
    let alarm = of(&provider)["alarm"].to_string();
    assert!(alarm.contains("free some of the disk"), "{alarm}");
    disk.free();
    until_true("both", || of(&provider)["waiting"] == 0);
    assert_eq!(daemon.stop().code, 0);
    let both = [
        ("00000001.csv".to_owned(), rows(&["1;transfer;A"])),
        ("00000002.csv".to_owned(), rows(&["2;transfer;B"])),
    ];
    assert_eq!(files(provider.path("erp")), both);
    is_empty(&provider, 2);
}

#[test]
fn a_document_whose_file_is_gone_is_passed_over_with_a_loud_line_and_no_alarm() {
    for gather in ["", "gather = { every = \"1s\", rows = 2 }"] {
        let provider = provider(&outbox(gather));
        queue(&provider, &["A"]);
        for (name, _) in files(provider.path("state/test/outbox")) {
            fs::remove_file(provider.path("state/test/outbox").join(name)).unwrap();
        }
        queue(&provider, &["B"]);
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 0, "{run}");
        let told = run.stderr.lines().filter(|line| line.contains("Document 1 of the outbox erp"));
        assert_eq!(told.count(), 1, "{run}");
        assert_eq!(provider.alarms(), [""; 0]);
        let [(_, text)] = &files(provider.path("erp"))[..] else { panic!("one file") };
        assert_eq!(text, &rows(&["2;transfer;B"]));
        is_empty(&provider, 2);
    }
}

#[test]
#[cfg(debug_assertions)]
fn a_folder_that_does_not_answer_holds_up_neither_another_outbox_nor_the_end() {
    let second = outbox("").replace("erp", "lights");
    let provider = provider(&(outbox("") + &second));
    fs::create_dir(provider.path("lights")).unwrap();
    queue(&provider, &["A", "B"]);
    let flag = provider.path("hangs");
    fs::write(&flag, "").unwrap();
    let folder = provider.path("customers/../erp");
    let fault = format!("hang;while;{};{}", flag.display(), folder.display());
    let config = provider.path("lighterman.toml");
    let daemon = provider
        .start_in(&["--config", config.to_str().unwrap(), "run"], &[("LIGHTERMAN_FAULT", &fault)]);
    until_true("the other outbox", || files(provider.path("lights")).len() == 2);
    assert_eq!(files(provider.path("erp")), []);
    assert_eq!(daemon.stop().code, 0);
    provider.run_once(&[]).ended(0);
    assert_eq!(files(provider.path("erp")), files(provider.path("lights")));
    is_empty(&provider, 2);
}

#[test]
fn an_outbox_that_is_gone_from_the_config_keeps_what_waits() {
    let provider = provider(&outbox(""));
    queue(&provider, &["A"]);
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file("customers/acme.toml", text.split("\n[[outbox]]").next().unwrap());
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(provider.alarms(), ["outbox"]);
    provider.file("customers/acme.toml", text);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(provider.alarms(), [""; 0]);
    is_empty(&provider, 1);
}

/// What `lighterman outbox` lists, by number: whether it is refused, its container, and why it waits.
fn listed(provider: &Provider, more: &[&str]) -> Vec<(u64, bool, String, String)> {
    let run = provider.run(&[&["outbox", "--json"], more].concat());
    assert_eq!(run.code, 0, "{run}");
    let list: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |one: &Value| {
        assert_eq!((&one["customer"], &one["outbox"]), (&json!("acme"), &json!("erp")), "{one}");
        assert_eq!(one["event"], "transfer");
        assert!(one["since"].is_string(), "{one}");
        let refused = one["refused"].as_bool().unwrap();
        (one["sequence"].as_u64().unwrap(), refused, text(&one["container"]), text(&one["why"]))
    };
    list.iter().map(row).collect()
}

#[test]
fn what_is_refused_is_listed_and_discarded_with_and_without_a_run() {
    for running in [false, true] {
        let provider = provider(&outbox(""));
        provider.mapping("releases-out", &RELEASES.replace("unknown = \"keep\"\n", ""));
        queue(&provider, &["TEST0000002", "TEST0000001", "TEST0000003"]);
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 4, "{run}");
        let daemon = running.then(|| provider.start());
        if let Some(daemon) = &daemon {
            until_true("it works", || daemon.stderr().contains("Started"));
        }
        let list = listed(&provider, &[]);
        let told: Vec<(u64, bool, &str)> =
            list.iter().map(|(no, refused, of, _)| (*no, *refused, of.as_str())).collect();
        assert_eq!(told, [(1, true, "TEST0000002"), (3, true, "TEST0000003")]);
        assert!(list[0].3.contains("\"TEST0000002\" (aka)"), "{list:?}");
        let table = provider.run(&["outbox", "--customer", "acme"]);
        assert!(table.stdout.starts_with("CUSTOMER  OUTBOX  NO  EVENT"), "{table}");
        assert_eq!(table.stdout.lines().count(), 3, "{table}");

        // Nobody is there to be asked.
        let asked = provider.run(&["outbox", "discard", "--outbox", "erp", "--numbers", "1"]);
        assert_eq!(asked.code, 2, "{asked}");
        assert!(
            asked.stderr.contains("discarding 1 document of acme / erp is for good"),
            "{asked}"
        );
        assert_eq!(listed(&provider, &["--refused"]).len(), 2);

        let one = ["outbox", "discard", "--outbox", "erp", "--numbers", "1", "--yes"];
        let run = provider.run(&one);
        assert_eq!((run.code, run.stdout.as_str()), (0, "1 document of acme / erp discarded\n"));
        let alarm = of(&provider)["alarm"].to_string();
        assert!(alarm.contains("document 3 of the outbox erp cannot be written"), "{alarm}");
        provider.check_ledger();
        let again = provider.run(&one);
        assert_eq!(again.code, 2, "{again}");

        let run = provider.run(&["outbox", "discard", "--all", "--yes", "--json"]);
        assert_eq!(run.code, 0, "{run}");
        let done: Value = serde_json::from_str(&run.stdout).unwrap();
        let wanted =
            json!([{ "customer": "acme", "outbox": "erp", "documents": 1, "refused": null }]);
        assert_eq!(done, wanted);
        assert_eq!(listed(&provider, &[]), []);
        assert_eq!(provider.alarms(), [""; 0]);
        assert_eq!(of(&provider)["discarded"], 2);
        if let Some(daemon) = daemon {
            assert_eq!(daemon.stop().code, 0);
        }
        is_empty(&provider, 2);
        // Its number is not given again.
        queue(&provider, &["TEST0000001"]);
        assert_eq!(provider.run_once(&[]).code, 0);
        is_empty(&provider, 4);
        let names: Vec<String> =
            files(provider.path("erp")).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["00000002.csv", "00000004.csv"]);
    }
}

#[test]
fn what_waits_for_its_turn_is_discarded_only_where_its_outbox_is_gone() {
    let provider = provider(&outbox("gather = { every = \"1h\" }"));
    queue(&provider, &["A", "B"]);
    assert_eq!(provider.run_once(&[]).code, 0);
    let number = provider.run(&["outbox", "discard", "--outbox", "erp", "--numbers", "2", "--yes"]);
    assert_eq!(number.code, 2, "{number}");
    assert!(number.stderr.contains("document 2: it waits for its turn alone"), "{number}");
    let all = ["outbox", "discard", "--customer", "acme", "--yes"];
    let run = provider.run(&all);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(listed(&provider, &[]).len(), 2);

    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file("customers/acme.toml", format!("{text}\nnonsense = 1\n"));
    assert_eq!(provider.run(&all).code, 2, "a config with faults says nothing of it");
    provider.file("customers/acme.toml", text.split("\n[[outbox]]").next().unwrap());
    assert_eq!(provider.run_once(&[]).code, 4);
    assert_eq!(listed(&provider, &[])[1].3, "its outbox is not in the customer's file");
    let run = provider.run(&all);
    assert_eq!((run.code, run.stdout.as_str()), (0, "2 documents of acme / erp discarded\n"));
    assert_eq!(provider.alarms(), [""; 0]);
    assert_eq!(files(provider.path("state/test/outbox")), []);
    provider.check_ledger();

    provider.file("customers/acme.toml", text.replace("1h", "1s"));
    queue(&provider, &["C"]);
    let daemon = provider.start();
    until_true("the next", || of(&provider)["waiting"] == 0);
    assert_eq!(daemon.stop().code, 0);
    assert_eq!(files(provider.path("erp")), [("00000003.csv".to_owned(), rows(&["3;transfer;C"]))]);
    provider.check_ledger();
}

/// A run is killed before each step that it takes for an outbox; what is there then, and what the
/// next run adds, is what was queued, each under its own number.
#[track_caller]
fn is_killed_at_every_step(lines: &str, documents: &[&str], wanted: &[(String, String)]) {
    let scene = || {
        let provider = provider(&outbox(lines));
        queue(&provider, documents);
        provider
    };
    let well = scene();
    let steps = well.path("steps");
    let run =
        well.start_in(&["run", "--once"], &[("LIGHTERMAN_STEPS", steps.to_str().unwrap())]).end();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(files(well.path("erp")), wanted);
    let mut seen = Vec::new();
    let taken = fs::read_to_string(steps).unwrap();
    let cases: Vec<(usize, &str)> = taken
        .lines()
        .map(|step| {
            seen.push(step);
            (seen.iter().filter(|other| **other == step).count(), step)
        })
        .collect();
    // What comes before the first file is written is the same in every run.
    let first = cases.iter().position(|(_, step)| step.contains(" erp/")).unwrap();
    let of_outbox: BTreeSet<(usize, &str)> =
        cases[first.saturating_sub(3)..].iter().copied().collect();
    assert!(of_outbox.len() > 8, "{taken}");
    let (all, mut kills) = (of_outbox.len(), 0);
    for (nth, step) in of_outbox {
        let provider = scene();
        let fault = format!("kill;at;{nth};{step}");
        let killed = provider.start_in(&["run", "--once"], &[("LIGHTERMAN_FAULT", &fault)]).end();
        let case = format!("before {step} ({nth}): {killed}");
        // How many changes are committed together is not the same in every run.
        assert!([0, 137].contains(&killed.code), "{case}");
        kills += usize::from(killed.code == 137);
        // What a reader may take up by now is whole, and has the right name.
        for file in files(provider.path("erp")) {
            assert!(wanted.contains(&file) || file.0.starts_with(".lighterman-"), "{case}");
        }
        provider.check_ledger();
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 0, "{case}, then {run}");
        assert_eq!(files(provider.path("erp")), wanted, "{case}");
        is_empty(&provider, documents.len() as u64);
    }
    assert!(kills > all / 2, "{kills} of {all}");
}

#[test]
#[cfg(debug_assertions)]
fn killed_before_any_step_it_repeats_only_the_same_files() {
    is_killed_at_every_step(
        "marker = \"{name}.ok\"",
        &["A", "B"],
        &[
            ("00000001.csv".to_owned(), rows(&["1;transfer;A"])),
            ("00000001.csv.ok".to_owned(), String::new()),
            ("00000002.csv".to_owned(), rows(&["2;transfer;B"])),
            ("00000002.csv.ok".to_owned(), String::new()),
        ],
    );
}

#[test]
#[cfg(debug_assertions)]
fn killed_before_any_step_gathered_files_are_cut_at_the_same_places() {
    is_killed_at_every_step(
        "gather = { every = \"1h\", rows = 2 }",
        &["A", "B", "C", "D"],
        &[
            ("00000001.csv".to_owned(), rows(&["1;transfer;A", "2;transfer;B"])),
            ("00000003.csv".to_owned(), rows(&["3;transfer;C", "4;transfer;D"])),
        ],
    );
}

#[test]
fn what_waits_is_exported_when_its_customer_is_forgotten() {
    let provider = provider(&outbox(""));
    queue(&provider, &["A"]);
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file("customers/acme.toml", format!("active = false\n{text}"));
    let refused = provider.run(&["forget", "acme", "--export", "gone"]);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("1 documents wait in its outboxes"), "{refused}");
    let forgot = provider.run(&["forget", "acme", "--export", "gone", "--with-open"]);
    assert_eq!(forgot.code, 0, "{forgot}");
    let kept = fs::read_to_string(provider.path("gone/outbox/erp/00000001.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["document"], document("A"));
    assert_eq!(files(provider.path("state/test/outbox")), []);
    assert_eq!(of(&provider)["waiting"], 0);
    provider.check_ledger();
}

#[test]
fn a_repair_finds_what_was_queued_though_the_ledger_is_lost() {
    let provider = provider(&outbox(""));
    queue(&provider, &["A", "B"]);
    provider.run_once(&[]).ended(0);
    queue(&provider, &["C", "D"]);
    fs::remove_dir_all(provider.path("state/test/ledger")).unwrap();
    let repair = provider.run(&["ledger", "repair"]);
    assert!(repair.stdout.contains("2 documents are queued anew"), "{repair}");
    provider.check_ledger();
    for (name, _) in files(provider.path("erp")) {
        fs::remove_file(provider.path("erp").join(name)).unwrap();
    }
    provider.run_once(&[]).ended(0);
    let both = [
        ("00000001.csv".to_owned(), rows(&["1;transfer;C"])),
        ("00000002.csv".to_owned(), rows(&["2;transfer;D"])),
    ];
    assert_eq!(files(provider.path("erp")), both);
    is_empty(&provider, 2);
}

/// An outbox in the folder `in` of an SFTP server.
fn remote(sshd: &Sshd, lines: &str) -> String {
    fs::create_dir(sshd.folder().join("in")).unwrap();
    sshd.known_hosts(&["ed25519"]);
    format!(
        "\n[[outbox]]\nname = \"erp\"\nmapping = \"releases-out\"\ntype = \"sftp\"\n\
         host = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\nkey = {{ file = \"{}\" }}\n\
         known_hosts = \"{}\"\npath = \"{}\"\n{lines}\n",
        sshd.port(),
        sshd.user(),
        sshd.path("client").display(),
        sshd.path("known_hosts").display(),
        sshd.remote("in"),
    )
}

#[test]
fn files_come_to_an_sftp_server_with_their_markers_and_over_no_other() {
    let sshd = Sshd::start();
    let provider = provider(&remote(&sshd, "marker = \"{name}.ok\""));
    let folder = sshd.folder().join("in");
    fs::write(folder.join("00000001.csv"), "another's").unwrap();
    // Ours, from before a crash that came ahead of the marker.
    fs::write(folder.join("00000002.csv"), rows(&["2;transfer;B"])).unwrap();
    let check = provider.run(&["check", "--connect"]);
    assert_eq!(check.code, 0, "{check}");
    assert!(check.stderr.contains("acme / outbox erp: logged in, 2 files"), "{check}");
    queue(&provider, &["A", "B"]);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let all = [
        ("00000001-2.csv".to_owned(), rows(&["1;transfer;A"])),
        ("00000001-2.csv.ok".to_owned(), String::new()),
        ("00000001.csv".to_owned(), "another's".to_owned()),
        ("00000002.csv".to_owned(), rows(&["2;transfer;B"])),
        ("00000002.csv.ok".to_owned(), String::new()),
    ];
    assert_eq!(files(folder), all);
    is_empty(&provider, 2);
}

#[test]
fn a_server_that_is_down_defers_and_its_sessions_may_end_at_any_time() {
    let mut sshd = Sshd::start();
    let provider = provider(&remote(&sshd, ""));
    queue(&provider, &["A"]);
    sshd.stop();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 75, "{run}");
    assert_eq!(provider.alarms(), ["unreachable"]);
    let daemon = provider.start();
    sshd.launch();
    until_true("the first", || of(&provider)["waiting"] == 0);
    until_true("the alarm is over", || provider.alarms().is_empty());
    assert_eq!(daemon.stop().code, 0);
    let folder = sshd.folder().join("in");
    assert_eq!(files(folder), [("00000001.csv".to_owned(), rows(&["1;transfer;A"]))]);
    is_empty(&provider, 1);
}

#[test]
fn a_server_whose_key_is_not_known_gets_nothing() {
    let sshd = Sshd::start();
    let provider = provider(&remote(&sshd, ""));
    fs::write(sshd.path("known_hosts"), "").unwrap();
    queue(&provider, &["A"]);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(provider.alarms(), ["host-key"]);
    assert_eq!(of(&provider)["waiting"], 1);
    assert_eq!(files(sshd.folder().join("in")), []);
}

#[test]
#[cfg(debug_assertions)]
fn what_a_crash_left_half_at_a_server_is_written_anew() {
    for step in ["remote write", "remote rename"] {
        let sshd = Sshd::start();
        let provider = provider(&remote(&sshd, "marker = \"{name}.ok\""));
        queue(&provider, &["A"]);
        let steps = provider.path("steps");
        // What the step is called: hidden names are hashes.
        let told = [("LIGHTERMAN_STEPS", steps.to_str().unwrap())];
        let copy = Provider::copy_of(&provider.path(""));
        let run = copy.start_in(&["run", "--once"], &told).end();
        assert_eq!(run.code, 0, "{run}");
        let taken = fs::read_to_string(&steps).unwrap();
        for name in taken.lines().filter(|taken| taken.starts_with(step)) {
            for (file, _) in files(sshd.folder().join("in")) {
                fs::remove_file(sshd.folder().join("in").join(file)).unwrap();
            }
            let scene = Provider::copy_of(&provider.path(""));
            let fault = format!("kill;at;1;{name}");
            let killed = scene.start_in(&["run", "--once"], &[("LIGHTERMAN_FAULT", &fault)]).end();
            assert_eq!(killed.code, 137, "{name}: {killed}");
            let run = scene.run_once(&[]);
            assert_eq!(run.code, 0, "{name}: {run}");
            let both = [
                ("00000001.csv".to_owned(), rows(&["1;transfer;A"])),
                ("00000001.csv.ok".to_owned(), String::new()),
            ];
            assert_eq!(files(sshd.folder().join("in")), both, "{name}");
            is_empty(&scene, 1);
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_a_fault_of_the_check() {
    let provider = provider(&outbox(""));
    assert_eq!(provider.run(&["check"]).code, 0);
    provider.mapping(
        "releases-out",
        "[input]\nformat = \"csv\"\n[[fields]]\nto = \"id\"\nfrom = \"ID\"\n",
    );
    let check = provider.run(&["check"]);
    assert_eq!(check.code, 1, "{check}");
    assert!(check.stderr.contains("outbox erp: the mapping \"releases-out\" reads"), "{check}");
    provider.mapping("releases-out", RELEASES);
    // Root may write everywhere but on a disk that nobody may write to.
    let _disk = match rustix::process::getuid().is_root() {
        true => match SmallDisk::mount(&provider.path("erp"), "1m") {
            Some(disk) => Some(disk.closed()),
            None => return,
        },
        false => {
            let closed = fs::Permissions::from_mode(0o500);
            fs::set_permissions(provider.path("erp"), closed).unwrap();
            None
        }
    };
    let check = provider.run(&["check"]);
    assert_eq!(check.code, 1, "{check}");
    assert!(check.stderr.contains("of the outbox erp cannot be written"), "{check}");
}
