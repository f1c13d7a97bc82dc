//! Custody at every step: a small run is walked over step by step, once for every operation on a
//! file that it makes. At that step the process is killed, or the disk fails; what it leaves must
//! be what a run without a fault leaves.
//!
//! A process that is killed before a step is one that was killed right after the step before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lighterman::api::audit;
use lighterman::ledger::Ledger;
use lighterman::spool::Spool;
use serde_json::Value;

use crate::harness::*;

/// What is dropped: a file with a record that cannot be read, one that is refused whole, one of
/// several messages, a repeat of it under another name, and one of no records.
const FILES: [(&str, &str); 5] = [
    ("A.csv", "ID;WEIGHT\r\n1;1,5\r\n2;heavy\r\n3;2,5\r\n"),
    ("B.csv", "ID;WEIGHT\r\n4;\"1,5\r\n"),
    ("C.csv", "ID;WEIGHT\r\n5;1\r\n6;2\r\n7;3\r\n"),
    ("D.csv", "ID;WEIGHT\r\n5;1\r\n6;2\r\n7;3\r\n"),
    ("E.csv", "ID;WEIGHT\r\n"),
];

/// The faulty record of A.csv.
const REJECTS: &[u8] = b"ID;WEIGHT\r\n2;heavy\r\n";

struct Scene {
    port: Port,
    provider: Provider,
    /// The inbox where it is on another file system.
    _elsewhere: Option<tempfile::TempDir>,
}

impl Scene {
    fn open(on_another_disk: bool) -> Scene {
        let port = Port::open(Port::world(&["acme"]));
        let provider = Provider::new(&port);
        provider.mapping("orders", &orders("format = \"csv\"\ndelimiter = \";\"", "json"));
        let quick = "retry = { first = \"10ms\", max = \"40ms\", give_up_after = \"24h\" }\n";
        provider.forwarder("acme", "orders", &format!("{quick}batch = {{ records = 2 }}"));
        let elsewhere = on_another_disk.then(|| {
            let folder = another_disk(&provider);
            let inbox = folder.path().join("inbox");
            fs::create_dir(&inbox).unwrap();
            fs::remove_dir(provider.inbox("acme")).unwrap();
            std::os::unix::fs::symlink(&inbox, provider.inbox("acme")).unwrap();
            folder
        });
        let scene = Scene { port, provider, _elsewhere: elsewhere };
        for (name, text) in FILES {
            scene.provider.drop_file("acme", name, text);
        }
        scene
    }

    /// What must be so in the end, whatever happened in between.
    fn is_well(&self, case: &str) {
        let Scene { port, provider, .. } = self;
        self.ledger_is_well(case);
        let mut ids: Vec<String> = Vec::new();
        for records in sent(port, "c-acme").values() {
            ids.extend(records.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
        }
        ids.sort();
        assert_eq!(ids, ["1", "3", "5", "6", "7"], "{case}: each record under one key only");

        let receipts = provider.receipts("acme");
        // Where the first of two with the same bytes meets a fault, the other is sent.
        let first = receipts["C.csv"]["repeat_of"].is_null();
        let (sent, repeat) = ([3, 3, 0, 0], [3, 0, 0, 3]);
        let wanted: BTreeMap<String, [u64; 4]> = BTreeMap::from([
            ("A.csv".to_owned(), [3, 2, 1, 0]),
            ("B.csv".to_owned(), [0, 0, 0, 0]),
            ("C.csv".to_owned(), if first { sent } else { repeat }),
            ("D.csv".to_owned(), if first { repeat } else { sent }),
            ("E.csv".to_owned(), [0, 0, 0, 0]),
        ]);
        let told: BTreeMap<String, [u64; 4]> =
            receipts.iter().map(|(name, receipt)| (name.clone(), counts(receipt))).collect();
        assert_eq!(told, wanted, "{case}");
        for (name, receipt) in &receipts {
            assert!(receipt["settled"].is_string(), "{case}: {receipt}");
            assert_eq!(receipt["quarantined_whole"], name == "B.csv", "{case}: {receipt}");
        }
        for (name, text) in FILES {
            let archived = (name != "B.csv").then_some(text.as_bytes());
            assert_eq!(provider.archived("acme", name).as_deref(), archived, "{case}: {name}");
        }
        assert_eq!(provider.rejects("acme", "A.csv").as_deref(), Some(REJECTS), "{case}");
        let whole = provider.rejects("acme", "B.csv");
        assert_eq!(whole.as_deref(), Some(FILES[1].1.as_bytes()), "{case}");
        for (name, record) in [("A.csv", 2), ("B.csv", 0)] {
            let problems = provider.problems("acme", name);
            let told: Vec<u64> = problems.iter().map(|problem| problem.record).collect();
            assert_eq!(told, [record], "{case}: the problems of {name}");
        }
        self.nothing_is_left(case);
    }

    /// What `check-ledger` finds and which alarms stand, without a process for it.
    fn ledger_is_well(&self, case: &str) {
        let spool = Spool::open(&self.provider.path("state/test")).unwrap();
        let ledger = Ledger::open(&spool.ledger()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let audit = runtime.block_on(audit::check(&ledger, &spool)).unwrap();
        assert_eq!((audit.files, audit.faults), (0, vec![]), "{case}");
        let alarms = runtime.block_on(ledger.change(|store| Ok(store.alarms.clone()))).unwrap();
        assert_eq!(alarms, [], "{case}");
    }

    /// No file is left hidden or half, in the inbox or in the state.
    fn nothing_is_left(&self, case: &str) {
        let inbox = fs::canonicalize(self.provider.inbox("acme")).unwrap();
        let mut left = BTreeSet::new();
        for path in files_below(&inbox) {
            let path = path.strip_prefix(&inbox).unwrap();
            let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
            if !["archive", "rejects", "receipts"].contains(&first) || is_hidden(path) {
                left.insert(path.to_owned());
            }
        }
        let state = self.provider.path("state/test");
        for path in files_below(&state) {
            let path = path.strip_prefix(&state).unwrap();
            if is_hidden(path) || path.starts_with("spool") {
                left.insert(path.to_owned());
            }
        }
        assert!(left.is_empty(), "{case}: these are left: {left:?}");
    }

    /// Whether all files are settled and gone from the spool, seen from outside while it runs.
    fn is_over(&self) -> bool {
        let is_empty = |folder| {
            fs::read_dir(self.provider.path(folder)).is_ok_and(|mut all| all.next().is_none())
        };
        let receipts = self.provider.names("acme", "receipts");
        let settled = |name: &str| {
            let path = self.provider.inbox("acme").join(format!("receipts/{name}.receipt.json"));
            let text = fs::read(path).unwrap_or_default();
            serde_json::from_slice::<Value>(&text)
                .is_ok_and(|receipt| receipt["settled"].is_string())
        };
        is_empty("state/test/spool")
            && receipts.len() == FILES.len()
            && FILES.iter().all(|(name, _)| settled(name))
    }
}

/// A folder on another file system than the provider's.
fn another_disk(provider: &Provider) -> tempfile::TempDir {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::Builder::new().prefix("lighterman-it-").tempdir_in("/dev/shm").unwrap();
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    assert_ne!(
        device(folder.path()),
        device(&provider.path("")),
        "/dev/shm is on the file system of the temporary folder: set TMPDIR to another"
    );
    folder
}

fn counts(receipt: &Value) -> [u64; 4] {
    ["total", "delivered", "quarantined", "discarded"]
        .map(|state| receipt["records"][state].as_u64().unwrap())
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.starts_with('.') || name.ends_with(".part")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}

/// The steps of a run without a fault, each with how many times it had been taken by then.
fn steps(on_another_disk: bool) -> Vec<(String, u64)> {
    let scene = Scene::open(on_another_disk);
    let list = scene.provider.path("steps");
    let run = scene
        .provider
        .start_in(&["run", "--once"], &[("LIGHTERMAN_STEPS", list.to_str().unwrap())])
        .end();
    assert_eq!(run.code, 3, "{run}");
    scene.is_well("without a fault");
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    let text = fs::read_to_string(&list).expect("only a debug build tells its steps");
    let steps: Vec<(String, u64)> = text
        .lines()
        .map(|step| {
            let times = times.entry(step.to_owned()).or_default();
            *times += 1;
            (step.to_owned(), *times)
        })
        .collect();
    assert!(steps.len() > 100, "{steps:?}");
    steps
}

/// The steps of the first two files in which each kind of step is taken.
fn kinds(mut steps: Vec<(String, u64)>) -> Vec<(String, u64)> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    steps.retain(|(step, _)| {
        let times = seen.entry(kind(step)).or_default();
        *times += 1;
        *times <= 2
    });
    steps
}

/// A step, whatever file it is taken for.
fn kind(step: &str) -> String {
    step.chars().filter(|c| !c.is_ascii_hexdigit()).collect()
}

/// Does something for every step, so many at a time.
fn walk(steps: &[(String, u64)], at_once: usize, at: impl Fn(&str, u64) + Sync) {
    let next = Mutex::new(steps.iter());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some((step, nth)) = next.lock().unwrap().next() else { return };
                    at(step, *nth);
                }
            });
        }
    });
}

fn killed_at_every_step(steps: Vec<(String, u64)>, on_another_disk: bool) {
    let killed = Mutex::new(0);
    walk(&steps, 4, |step, nth| {
        let case = format!("killed before {step}, time {nth}");
        let scene = Scene::open(on_another_disk);
        let fault = format!("kill;at;{nth};{step}");
        let run =
            scene.provider.start_in(&["run", "--once"], &[("LIGHTERMAN_FAULT", &fault)]).end();
        match run.code {
            137 => *killed.lock().unwrap() += 1,
            3 if may_be_fewer(step, nth) => {}
            _ => panic!("{case}: {run}"),
        }
        let run = scene.provider.run_once(&[]);
        assert!([0, 3].contains(&run.code), "{case}: {run}");
        scene.is_well(&case);
    });
    let killed = killed.into_inner().unwrap();
    println!("killed {killed} times over {} steps", steps.len());
    assert!(killed * 10 >= steps.len() * 8, "killed only {killed} times of {}", steps.len());
}

/// Whether another run may take this step less often. The ledger gathers what comes together, and
/// of two files that want the same new folder at the same moment both make and sync it, or one.
fn may_be_fewer(step: &str, nth: u64) -> bool {
    let on_a_folder = step.starts_with("make ") || step.starts_with("sync folder ");
    step.ends_with("test/ledger") || (on_a_folder && nth > 1)
}

#[test]
fn a_process_killed_at_any_step_leaves_what_an_unbroken_run_leaves() {
    killed_at_every_step(steps(false), false);
}

#[test]
fn a_process_killed_while_it_copies_between_file_systems_leaves_the_same() {
    let known: BTreeSet<String> = steps(false).iter().map(|(step, _)| kind(step)).collect();
    let mut copies = steps(true);
    copies.retain(|(step, _)| !known.contains(&kind(step)));
    assert!(copies.len() >= 5 * FILES.len(), "{copies:?}");
    killed_at_every_step(copies, true);
}

#[test]
fn a_disk_that_fails_once_at_any_step_is_worked_with_again_by_itself() {
    let steps = kinds(steps(false));
    let ended = Mutex::new(0);
    let errors = ["ENOSPC", "EIO", "EACCES"];
    // Most of the time goes by in waiting for the second attempt.
    walk(&steps, 16, |step, nth| {
        let error = errors[(nth as usize + step.len()) % errors.len()];
        let case = format!("{error} at {step}, time {nth}");
        let scene = Scene::open(false);
        let fault = format!("{error};at;{nth};{step}");
        let mut run = scene.provider.start_in(&["run"], &[("LIGHTERMAN_FAULT", &fault)]);
        until_true(&case, || scene.is_over() || !run.runs());
        if run.runs() {
            until_true(&case, || scene.provider.alarms().is_empty());
            let end = run.stop();
            assert_eq!(end.code, 0, "{case}: {end}");
        } else {
            // What it cannot start without ends it with a word, and the next start goes on.
            let end = run.end();
            assert!(end.code == 1 && end.stderr.contains("os error"), "{case}: {end}");
            assert!(!end.stderr.contains("Claimed"), "{case}: it gave up at work: {end}");
            *ended.lock().unwrap() += 1;
            let run = scene.provider.run_once(&[]);
            assert_eq!(run.code, 3, "{case}: {run}");
        }
        scene.is_well(&case);
    });
    println!("ended {} times over {} steps", ended.into_inner().unwrap(), steps.len());
}
