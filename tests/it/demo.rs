//! The demo, run as a newcomer runs it: its numbers are those of samples/expected.json, and it
//! leaves nothing behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the binary in `folder`, which is also where temporary folders are made.
fn lighterman(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lighterman"))
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn expected() -> Value {
    let path = repository().join("samples/expected.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn names(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The paragraph of the demo's text that tells of a customer, its blanks made single.
#[track_caller]
fn paragraph(told: &str, customer: &str) -> String {
    let head = format!("({customer})");
    let paragraphs = told.split("\n\n");
    let lines: Vec<String> = paragraphs
        .filter(|paragraph| paragraph.lines().next().is_some_and(|line| line.contains(&head)))
        .flat_map(str::lines)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(!lines.is_empty(), "{told}");
    lines.join("\n")
}

#[test]
fn the_demo_tells_the_expected_numbers_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = lighterman(folder.path(), &["demo"]);
    let told = text(&run.stdout);
    assert_eq!((run.status.code(), text(&run.stderr)), (Some(0), ""), "{told}");
    assert_eq!(names(folder.path()), Vec::<PathBuf>::new());

    let mut sums = [0; 4];
    for (customer, files) in expected().as_object().unwrap() {
        let paragraph = paragraph(told, customer);
        let mut rules = BTreeMap::<String, u64>::new();
        for (name, file) in files.as_object().unwrap() {
            let counts = ["records", "delivered", "quarantined", "parked"]
                .map(|state| file[state].as_u64().unwrap());
            sums = std::array::from_fn(|at| sums[at] + counts[at]);
            let [records, delivered, quarantined, parked] = counts;
            let mut wanted =
                format!("{records} records: {delivered} delivered, {quarantined} rejected");
            if parked > 0 {
                wanted += &format!(", {parked} parked");
            }
            let line = paragraph.lines().find(|line| line.starts_with(name.as_str())).unwrap();
            assert!(line.ends_with(&wanted), "{line} / {wanted}");
            for problem in file["problems"].as_array().unwrap() {
                *rules.entry(problem["rule"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        let (rejected, _) = paragraph.split_once("with a warning").unwrap();
        for (rule, count) in rules {
            assert!(rejected.contains(&format!("\n{count} × {rule} ")), "{rule}: {rejected}");
        }
    }
    let [records, delivered, quarantined, parked] = sums;
    let sum = format!(
        "In all {records} records: {delivered} delivered, {quarantined} rejected, {parked} parked.\n\
         The ledger accounts for every one of them.\n"
    );
    assert!(told.contains(&sum), "{told}");
}

#[test]
fn in_the_demo_a_parked_assignment_wakes_and_green_lights_land_in_the_outbox() {
    let folder = tempfile::tempdir().unwrap();
    let run = lighterman(folder.path(), &["demo"]);
    let told = text(&run.stdout);
    let (_, back) = told.split_once("The way back: the carrier transferred").unwrap();
    assert!(back.contains("the release of TEMU5164893, and the assignment that was"), "{back}");
    assert!(back.contains("outbox/wilgenhof-transport/ZRELEVT_"), "{back}");
    let event = "<EVENT>AMP</EVENT><EXIDV>TEMU5164893</EXIDV><BOLNR>MAEUKR454870</BOLNR>\
                 <KAAI>NOORDZEE</KAAI><LICHT>G</LICHT><DOUANE>released</DOUANE></Z1EVENT>";
    assert!(back.trim_end().ends_with(event), "{back}");
}

#[test]
fn the_demo_tells_how_many_calls_were_open_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = lighterman(folder.path(), &["demo"]);
    let told = paragraph(text(&run.stdout), "wilgenhof-transport");
    // 114 + 72 records are delivered, each by a call of its own.
    let line = told.lines().find(|line| line.starts_with("186 calls to the SCR API")).unwrap();
    let (_, most) = line.split_once("at most ").unwrap();
    let most: u64 = most.split(' ').next().unwrap().parse().unwrap();
    assert!((2..=20).contains(&most), "{line}");
}

#[test]
fn demos_run_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert!(lighterman(folder.path(), &["demo"]).status.success()));
        }
    });
    assert_eq!(names(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_kept_demo_can_be_looked_into_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let run = lighterman(folder.path(), &["demo", "--keep"]);
    assert!(run.status.success(), "{}", text(&run.stdout));
    let kept = names(folder.path());
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    assert!(text(&run.stdout).contains(&format!("The folder is kept: {}\n", kept.display())));

    // The config is that of the samples again, so that what the README says of them holds here.
    let config = |folder: &Path| fs::read_to_string(folder.join("lighterman.toml")).unwrap();
    assert_eq!(config(kept), config(&repository().join("samples")));

    let status = lighterman(kept, &["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    for (customer, files) in expected().as_object().unwrap() {
        // On the way back one that was parked was sent.
        let woken = u64::from(customer == "wilgenhof-transport");
        let sum = |state: &str| {
            files
                .as_object()
                .unwrap()
                .values()
                .map(|file| file[state].as_u64().unwrap())
                .sum::<u64>()
        };
        let records = &status["customers"][customer]["records"];
        assert_eq!(records["delivered"], sum("delivered") + woken, "{customer}");
        assert_eq!(records["quarantined"], sum("quarantined"), "{customer}");
        assert_eq!(records["parked"], sum("parked") - woken, "{customer}");
    }
    assert_eq!(status["alarms"], Value::Array(Vec::new()));
    assert_eq!(lighterman(kept, &["check-ledger"]).status.code(), Some(0));

    for (customer, files) in expected().as_object().unwrap() {
        for name in files.as_object().unwrap().keys() {
            let inbox = kept.join("inbox").join(customer);
            assert!(!inbox.join(name).exists());
            for result in [
                format!("rejects/{name}"),
                format!("rejects/{name}.problems.csv"),
                format!("receipts/{name}.receipt.json"),
            ] {
                assert!(inbox.join(&result).is_file(), "{customer}: {result}");
            }
        }
    }
}
