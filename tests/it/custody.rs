//! Custody when the world is not as it should be: a full disk, a folder that cannot be written, one
//! that does not answer, a writer that does not let go of its file, and very many files at once.

use std::fs;
use std::io::Write;

use lighterman::sandbox::Fault;
use serde_json::Value;

use crate::harness::*;

fn provider_of(port: &Port, customers: &[&str]) -> Provider {
    let provider = Provider::new(port);
    provider.mapping("orders", &orders("format = \"csv\"\ndelimiter = \";\"", "json"));
    let quick = "retry = { first = \"10ms\", max = \"40ms\", give_up_after = \"24h\" }\n";
    for customer in customers {
        provider.forwarder(customer, "orders", &format!("{quick}batch = {{ records = 2 }}"));
    }
    provider
}

/// The rows of a file of orders, of which every third cannot be read.
fn rows(count: u32) -> Vec<u8> {
    csv((1..=count).map(|n| n.to_string()), |id| id.parse::<u32>().unwrap().is_multiple_of(3))
}

fn ids(port: &Port, channel: &str) -> Vec<u32> {
    let mut ids: Vec<u32> = sent(port, channel)
        .values()
        .flatten()
        .map(|record| record["id"].as_str().unwrap().parse().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

fn good(count: u32) -> Vec<u32> {
    (1..=count).filter(|n| !n.is_multiple_of(3)).collect()
}

/// The advice of the only alarm that stands.
fn advice(provider: &Provider) -> Option<String> {
    let status = provider.status();
    let alarms = status["alarms"].as_array().unwrap();
    assert!(alarms.len() <= 1, "{alarms:?}");
    alarms.first().map(|alarm| {
        assert_eq!(alarm["kind"], "disk");
        alarm["advice"].as_str().unwrap().to_owned()
    })
}

fn is_settled(provider: &Provider, customer: &str, file: &str) -> bool {
    provider.receipts(customer).get(file).is_some_and(|receipt| receipt["settled"].is_string())
}

/// While `broken` is there, steps below `folder` of acme's inbox meet this error.
#[track_caller]
fn a_folder_fails(folder: &str, error: &str, advised: &str) {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    let broken = provider.path("broken");
    fs::write(&broken, "").unwrap();
    let prefix = format!("inbox/acme/{folder}");
    let prefix = provider.path("customers").join("..").join(prefix);
    let fault = format!("{error};while;{};{}", broken.display(), prefix.display());
    provider.drop_file("acme", "A.csv", rows(9));
    let daemon = provider.start_in(
        &["--config", provider.path("lighterman.toml").to_str().unwrap(), "run"],
        &[("LIGHTERMAN_FAULT", &fault)],
    );
    let advice = until("the alarm", || advice(&provider));
    assert!(advice.contains(folder), "{advice}");
    assert!(advice.contains(advised) && advice.contains("by itself"), "{advice}");
    let files = &provider.status()["customers"]["acme"]["files"];
    assert_eq!((&files["answered"], &files["settled"]), (&1.into(), &0.into()), "{files}");
    assert_eq!(ids(&port, "c-acme"), good(9), "what can be delivered is");
    // Another file is taken and delivered all the same.
    provider.drop_file("acme", "B.csv", "ID;WEIGHT\r\n100;1\r\n");
    until_true("the second file", || ids(&port, "c-acme").contains(&100));
    provider.check_ledger();

    fs::remove_file(&broken).unwrap();
    for file in ["A.csv", "B.csv"] {
        until_true("it is settled", || is_settled(&provider, "acme", file));
    }
    until_true("the alarm is over", || self::advice(&provider).is_none());
    daemon.stop();
    provider.check_ledger();
    assert_eq!(provider.archived("acme", "A.csv"), Some(rows(9)));
    assert_eq!(provider.receipt("acme", "A.csv")["records"]["quarantined"], 3);
}

#[test]
fn an_archive_that_cannot_be_written_holds_up_nothing_but_the_results() {
    a_folder_fails("archive", "EACCES", "let lighterman's user write there");
}

#[test]
fn receipts_that_cannot_be_written_hold_up_nothing_but_the_results() {
    a_folder_fails("receipts", "ENOSPC", "free some of the disk");
}

#[test]
fn a_folder_that_does_not_answer_holds_up_its_own_customer_only() {
    let port = Port::open(Port::world(&["acme", "zeta"]));
    let provider = provider_of(&port, &["acme", "zeta"]);
    let flag = provider.path("hangs");
    fs::write(&flag, "").unwrap();
    let folder = provider.path("customers/../inbox/acme");
    let fault = format!("hang;while;{};{}", flag.display(), folder.display());
    for n in 1..=10 {
        provider.drop_file("acme", &format!("{n}.csv"), rows(3));
    }
    let _daemon = provider.start_in(
        &["--config", provider.path("lighterman.toml").to_str().unwrap(), "run"],
        &[("LIGHTERMAN_FAULT", &fault)],
    );
    for n in 1..=10 {
        let name = format!("{n}.csv");
        provider.drop_file("zeta", &name, csv([n.to_string()], |_| false));
        until_true("the other customer's file", || is_settled(&provider, "zeta", &name));
    }
    assert_eq!(ids(&port, "c-acme"), [0; 0], "its folder hangs");
}

#[test]
fn a_file_that_was_written_to_before_it_was_inspected_is_set_aside_whole() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    let mut writer = fs::File::create(provider.inbox("acme").join(".A.csv")).unwrap();
    writer.write_all(&rows(4)).unwrap();
    fs::rename(provider.inbox("acme").join(".A.csv"), provider.inbox("acme").join("A.csv"))
        .unwrap();
    // It dies when the file is in the spool, and nothing is known of it yet.
    let step = "kill;at;1;sync 00000000000000000001/data";
    let run = provider.start_in(&["run", "--once"], &[("LIGHTERMAN_FAULT", step)]).end();
    assert_eq!(run.code, 137, "{run}");
    writer.write_all(b"5;1;late\r\n").unwrap();

    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(ids(&port, "c-acme"), [0; 0]);
    let [problem] = provider.problems("acme", "A.csv").try_into().unwrap();
    assert_eq!((problem.record, problem.rule.as_str()), (0, "changed"));
    assert!(problem.advice.contains("who still writes"), "{problem:?}");
    let whole = [rows(4), b"5;1;late\r\n".to_vec()].concat();
    assert_eq!(provider.rejects("acme", "A.csv"), Some(whole), "with what came late");
    assert_eq!(provider.receipt("acme", "A.csv")["quarantined_whole"], true);
    provider.check_ledger();
}

#[test]
fn a_file_that_is_written_to_while_it_is_worked_is_sent_no_further() {
    for (late, late_row) in [(Late::Grows, "6;1;late\r\n"), (Late::IsCutOff, "")] {
        let port = Port::open(Port::world(&["acme"]));
        let provider = provider_of(&port, &["acme"]);
        provider.drop_file("acme", "A.csv", rows(5));
        // The process dies before the problem of the third record is noted.
        let step = "kill;at;1;append 00000000000000000001/problems.ndjson";
        let fault = [("LIGHTERMAN_FAULT", step)];
        let _ = provider.start_in(&["run", "--once"], &fault).end();
        let data = provider.path("state/test/spool/00000000000000000001/data");
        if !data.exists() {
            panic!("it was settled before it died");
        }
        let before = ids(&port, "c-acme");
        match late {
            Late::Grows => {
                let mut file = fs::File::options().append(true).open(&data).unwrap();
                file.write_all(b"6;1;late\r\n").unwrap();
            }
            Late::IsCutOff => {
                let file = fs::File::options().write(true).open(&data).unwrap();
                file.set_len(20).unwrap();
            }
        }
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 3, "{run}");
        assert_eq!(ids(&port, "c-acme"), before, "nothing more was sent");
        let receipt = provider.receipt("acme", "A.csv");
        let count = |state: &str| receipt["records"][state].as_u64().unwrap();
        assert_eq!(count("total"), 5, "{receipt}");
        assert_eq!(count("delivered") + count("quarantined"), 5, "{receipt}");
        assert!(receipt["warnings"][0].as_str().unwrap().contains("was written to"), "{receipt}");
        let rejects = String::from_utf8(provider.rejects("acme", "A.csv").unwrap()).unwrap();
        assert!(rejects.ends_with(late_row), "{rejects}");
        provider.check_ledger();
        let retry = provider.run(&["quarantine", "retry", "--all"]);
        assert_eq!(retry.code, 4, "{retry}");
        assert!(retry.stderr.contains("which record is which is not sure"), "{retry}");
        assert_eq!(ids(&port, "c-acme"), before);
    }
}

#[test]
#[cfg(debug_assertions)]
fn an_empty_file_that_is_written_to_before_it_is_archived_is_told() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    provider.drop_file("acme", "A.csv", "");
    let fault = "kill;at;1;create receipts/.lighterman-1.taking";
    let killed = provider.start_in(&["run", "--once"], &[("LIGHTERMAN_FAULT", fault)]).end();
    assert_eq!(killed.code, 137, "{killed}");
    fs::write(provider.path("state/test/spool/00000000000000000001/data"), rows(2)).unwrap();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let warnings = provider.receipt("acme", "A.csv")["warnings"].to_string();
    assert!(warnings.contains("the file was written to"), "{warnings}");
    assert_eq!(provider.archived("acme", "A.csv"), Some(rows(2)));
}

#[test]
#[cfg(debug_assertions)]
fn an_archive_that_hangs_while_it_is_cleared_does_not_keep_a_run_from_ending() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    let kept = text.replace("type = \"local\"\n", "type = \"local\"\nkeep = \"1ms\"\n");
    provider.file("customers/acme.toml", kept);
    provider.drop_file("acme", "A.csv", rows(2));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    let (flag, steps) = (provider.path("hangs"), provider.path("steps"));
    fs::write(&flag, "").unwrap();
    let folder = provider.path("customers/../inbox/acme/archive");
    let fault = format!("hang;while;{};{}", flag.display(), folder.display());
    let config = provider.path("lighterman.toml");
    let run = provider
        .start_in(
            &["--config", config.to_str().unwrap(), "run", "--once"],
            &[("LIGHTERMAN_FAULT", &fault), ("LIGHTERMAN_STEPS", steps.to_str().unwrap())],
        )
        .end();
    assert_eq!(run.code, 0, "{run}");
    let taken = fs::read_to_string(steps).unwrap();
    assert!(taken.lines().any(|step| step.ends_with("/A.csv")), "it did not come so far: {taken}");
    assert!(provider.archived("acme", "A.csv").is_some());
}

#[derive(Clone, Copy)]
enum Late {
    Grows,
    IsCutOff,
}

#[test]
#[cfg(debug_assertions)]
fn a_claim_that_was_broken_off_is_gone_on_with_where_it_was_though_its_source_has_moved() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    provider.drop_file("acme", "A.csv", rows(2));
    let fault = "kill;at;1;rename 00000000000000000001/data";
    let killed = provider.start_in(&["run", "--once"], &[("LIGHTERMAN_FAULT", fault)]).end();
    assert_eq!(killed.code, 137, "{killed}");
    fs::create_dir_all(provider.inbox("elsewhere")).unwrap();
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    provider.file("customers/acme.toml", text.replace("../inbox/acme", "../inbox/elsewhere"));
    provider.drop_file("elsewhere", "B.csv", csv(["7".to_owned()], |_| false));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(ids(&port, "c-acme"), [1, 2, 7]);
    let left = provider.names("acme", ".");
    assert!(left.iter().all(|name| !name.starts_with(".lighterman-")), "{left:?}");
    provider.check_ledger();
}

#[test]
fn the_results_of_a_file_stay_together_though_other_folders_are_configured() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    port.fault(Fault::status("/ingestion", 503)).unwrap();
    // What cannot be read stands first: behind a message that waits nothing is looked at.
    let file = csv(["3", "1", "2"].map(str::to_owned), |id| id == "3");
    provider.drop_file("acme", "A.csv", &file);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    assert_eq!(provider.receipt("acme", "A.csv")["settled"], Value::Null);
    port.clear_faults();

    // In the new folders the names are another's.
    let text = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    let folders = ["archive", "rejects", "receipts"]
        .map(|name| format!("{name} = \"../elsewhere/{name}\"\n"))
        .concat();
    let moved = text.replace("type = \"local\"\n", &format!("type = \"local\"\n{folders}"));
    provider.file("customers/acme.toml", moved);
    for name in ["rejects/A.csv", "rejects/A.csv.problems.csv", "receipts/A.csv.receipt.json"] {
        provider.file(&format!("elsewhere/{name}"), "another's");
    }
    let run = provider.run_once(&["--wait", "20s"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(is_settled(&provider, "acme", "A.csv"));
    assert_eq!(provider.archived("acme", "A.csv"), Some(file));
    for name in ["rejects/A.csv", "rejects/A.csv.problems.csv", "receipts/A.csv.receipt.json"] {
        let text = fs::read_to_string(provider.path("elsewhere").join(name)).unwrap();
        assert_eq!(text, "another's", "{name}");
    }
    // The next file's results go to the new folders.
    provider.drop_file("acme", "A.csv", rows(1));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(provider.path("elsewhere/receipts/A-2.csv.receipt.json").exists());
}

#[test]
fn thousands_of_files_at_once_do_not_cost_a_look_each() {
    const FILES: usize = 5000;
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    let customer = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    let marker = "ready = { when = \"marker\", name = \"{name}.ok\" }";
    let customer = customer.replace("ready = { when = \"renamed\" }", marker);
    provider.file("customers/acme.toml", customer);
    let steps = provider.path("steps");
    let daemon = provider.start_in(&["run"], &[("LIGHTERMAN_STEPS", steps.to_str().unwrap())]);
    until_true("it has started", || daemon.stderr().contains("Started"));
    for n in 0..FILES {
        provider.drop_file("acme", &format!("{n:04}.csv"), rows(1));
    }
    provider.drop_file("acme", "4999.csv.ok", "");
    until_true("the last of them", || is_settled(&provider, "acme", "4999.csv"));
    daemon.stop();
    let text = fs::read_to_string(&steps).unwrap();
    let looks = text.lines().filter(|step| step.starts_with("list ")).count();
    assert!(looks < FILES / 10, "{looks} looks");
}

#[test]
fn a_full_disk_pauses_and_goes_on_by_itself_when_there_is_room() {
    for folder in ["state", "inbox/acme/archive", "inbox/acme/rejects", "inbox/acme/receipts"] {
        let port = Port::open(Port::world(&["acme"]));
        let provider = provider_of(&port, &["acme"]);
        // The steps of `faults` fail with ENOSPC one by one; without it nothing is shown here.
        let Some(disk) = SmallDisk::mount(&provider.path(folder), "8m") else { return };
        provider.drop_file("acme", "A.csv", rows(9));
        let daemon = provider.start();
        until_true("the first file", || is_settled(&provider, "acme", "A.csv"));

        disk.fill();
        provider.drop_file("acme", "B.csv", rows(30));
        let seen = until("the alarm", || advice(&provider));
        assert!(seen.contains("free") || seen.contains("disk is full"), "{folder}: {seen}");
        assert!(!is_settled(&provider, "acme", "B.csv"));

        disk.free();
        until_true("the second file", || is_settled(&provider, "acme", "B.csv"));
        until_true("the alarm is over", || advice(&provider).is_none());
        let end = daemon.stop();
        assert_eq!(end.code, 0, "{folder}: {end}");
        provider.check_ledger();
        // Both files have the same ids.
        assert_eq!(provider.totals("acme")["delivered"], 6 + 20, "{folder}");
        assert_eq!(provider.archived("acme", "B.csv"), Some(rows(30)), "{folder}");
    }
}
