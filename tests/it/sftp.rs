//! Files from partners' SFTP servers: each is fetched once, and put away there as is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use crate::harness::*;

const ORDERS: &str = r#"
[input]
format = "csv"

[output]
format = "json"

[[fields]]
to = "id"
from = "ID"
required = true
"#;

const RENAMED: &str = "ready = { when = \"renamed\" }\n";

/// A partner's server, the customer whose files lie there, and the port.
struct Scene {
    port: Port,
    provider: Provider,
    sshd: Sshd,
}

impl Scene {
    /// Files are taken from the folder `out`, as soon as they are there; `after` says what becomes of
    /// them.
    fn new(after: &str) -> Scene {
        Scene::with(Sshd::start(), &format!("{RENAMED}after = {after}"))
    }

    /// The same with other lines of the source.
    fn with(sshd: Sshd, lines: &str) -> Scene {
        let port = Port::open(Port::world(&["acme", "zeta", "wilgen"]));
        let provider = Provider::new(&port);
        provider.mapping("orders", ORDERS);
        let scene = Scene { port, provider, sshd };
        scene.sshd.known_hosts(&["ed25519"]);
        scene.customer("acme", "out", lines);
        scene
    }

    /// A customer whose files are taken from this folder of the server's.
    fn customer(&self, id: &str, folder: &str, lines: &str) {
        fs::create_dir(self.sshd.folder().join(folder)).unwrap();
        let sshd = &self.sshd;
        self.provider.forwarder(id, "orders", "");
        let file = format!("customers/{id}.toml");
        let text = fs::read_to_string(self.provider.path(&file)).unwrap();
        let local = text.split("[sources.in]").nth(1).unwrap().split("\n\n").next().unwrap();
        let remote = format!(
            "\ntype = \"sftp\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\n\
             key = {{ file = \"{}\" }}\nknown_hosts = \"{}\"\npath = \"{}\"\n{lines}",
            sshd.port(),
            sshd.user(),
            sshd.path("client").display(),
            sshd.path("known_hosts").display(),
            sshd.remote(folder),
        );
        self.provider.file(&file, text.replace(local, &remote));
    }

    /// The partner's folder, as it lies on this machine.
    fn out(&self) -> PathBuf {
        self.sshd.folder().join("out")
    }

    fn drop_file(&self, name: &str, text: &str) {
        self.drop_in("out", name, text);
    }

    fn drop_in(&self, folder: &str, name: &str, text: &str) {
        let folder = self.sshd.folder().join(folder);
        fs::write(folder.join(".writing"), text).unwrap();
        fs::rename(folder.join(".writing"), folder.join(name)).unwrap();
    }

    /// The names of what lies in the partner's folder, or below it.
    fn left(&self, below: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.out().join(below))
            .map(|all| {
                all.map(|one| one.unwrap().file_name().to_string_lossy().into_owned()).collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }

    fn delivered(&self) -> u64 {
        self.port.stats().ingestion.records
    }

    /// The ids that the channel took, each as often as it did.
    fn ids(&self) -> Vec<String> {
        self.ids_of("acme")
    }

    fn ids_of(&self, customer: &str) -> Vec<String> {
        let records = sent(&self.port, &format!("c-{customer}")).into_values().flatten();
        let mut ids: Vec<String> =
            records.map(|record| record["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }

    #[track_caller]
    fn run_once(&self, code: i32) {
        let run = self.provider.run_once(&[]);
        assert_eq!(run.code, code, "{run}");
    }

    /// A path among the results, which lie in the state.
    fn result(&self, name: &str) -> PathBuf {
        self.provider.path("state/test/results/acme/in").join(name)
    }

    /// The folders of files in the spool.
    fn spooled(&self) -> usize {
        fs::read_dir(self.provider.path("state/test/spool")).map_or(0, Iterator::count)
    }
}

fn move_to(scene: &Sshd) -> String {
    format!("{{ move = \"{}\" }}", scene.remote("out/done"))
}

#[test]
fn a_fetched_file_is_moved_and_its_results_lie_in_the_state() {
    let sshd = Sshd::start();
    let after = move_to(&sshd);
    let scene = Scene::with(sshd, &format!("{RENAMED}after = {after}"));
    scene.drop_file("A.csv", "ID\n1\n2\n");
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1", "2"]);
    assert_eq!(scene.left(""), ["done"]);
    assert_eq!(scene.left("done"), ["A.csv"]);
    assert!(scene.result("receipts/A.csv.receipt.json").exists());
    assert!(!scene.result("rejects").join("A.csv").exists());
    scene.provider.check_ledger();
}

#[test]
fn a_move_never_overwrites_a_name_that_is_taken() {
    let sshd = Sshd::start();
    let after = move_to(&sshd);
    let scene = Scene::with(sshd, &format!("{RENAMED}after = {after}"));
    for (number, names) in [
        (1, vec!["A.csv"]),
        (2, vec!["A-2.csv", "A.csv"]),
        (3, vec!["A-2.csv", "A-3.csv", "A.csv"]),
    ] {
        scene.drop_file("A.csv", &format!("ID\n{number}\n"));
        scene.run_once(0);
        assert_eq!(scene.left("done"), names);
    }
    assert_eq!(fs::read(scene.out().join("done/A.csv")).unwrap(), b"ID\n1\n");
    assert_eq!(fs::read(scene.out().join("done/A-3.csv")).unwrap(), b"ID\n3\n");
    assert_eq!(scene.ids(), ["1", "2", "3"]);
}

#[test]
fn a_fetched_file_is_deleted() {
    let scene = Scene::new("\"delete\"");
    scene.drop_file("A.csv", "ID\n1\n");
    scene.drop_file("B.csv", "ID\n2\n");
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1", "2"]);
    assert_eq!(scene.left(""), [""; 0]);
    assert_eq!(scene.spooled(), 0);
}

#[test]
fn a_file_that_stays_is_taken_once_and_again_when_it_is_rewritten() {
    let scene = Scene::new("\"keep\"");
    scene.drop_file("A.csv", "ID\n1\n");
    scene.run_once(0);
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1"]);
    // The same bytes under a new time are not the news that a rewritten file is.
    let touched = fs::File::options().append(true).open(scene.out().join("A.csv")).unwrap();
    touched.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1"]);
    assert_eq!(scene.provider.status()["customers"]["acme"]["files"]["settled"], 1);
    scene.drop_file("A.csv", "ID\n7\n8\n");
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1", "7", "8"]);
    assert_eq!(scene.left(""), ["A.csv"]);
    scene.provider.check_ledger();
}

#[test]
fn a_file_waits_for_its_marker_and_takes_it_along() {
    let after = "after = \"delete\"\nready = { when = \"marker\", name = \"{stem}.ok\" }";
    let scene = Scene::with(Sshd::start(), after);
    scene.drop_file("A.csv", "ID\n1\n");
    scene.drop_file("B.csv", "ID\n2\n");
    scene.drop_file("B.ok", "");
    scene.run_once(0);
    assert_eq!(scene.ids(), ["2"]);
    assert_eq!(scene.left(""), ["A.csv"]);
}

#[test]
fn a_file_that_grows_is_looked_at_again_by_the_next_run() {
    let ready = "after = \"delete\"\nready = { when = \"quiet\", for = \"2s\" }";
    let scene = Scene::with(Sshd::start(), ready);
    let path = scene.out().join("A.csv");
    fs::write(&path, "ID\n1\n").unwrap();
    let growing = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (still, grows) = (growing.clone(), path.clone());
    let writer = std::thread::spawn(move || {
        let mut number = 1;
        while still.load(std::sync::atomic::Ordering::Relaxed) {
            number += 1;
            let mut file = fs::File::options().append(true).open(&grows).unwrap();
            std::io::Write::write_all(&mut file, format!("{number}\n").as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        number
    });
    let run = scene.provider.start();
    until_true("it is looked at", || scene.sshd.log().matches("Accepted").count() > 2);
    assert_eq!(scene.delivered(), 0);
    growing.store(false, std::sync::atomic::Ordering::Relaxed);
    let last = writer.join().unwrap();
    until_true("all of it is delivered", || scene.delivered() == last);
    assert_eq!(run.stop().code, 0);
    assert_eq!(scene.ids().len() as u64, last);
}

#[test]
fn names_that_lead_elsewhere_are_left_alone_and_told() {
    let scene = Scene::new("\"delete\"");
    scene.drop_file("good.csv", "ID\n1\n");
    let bad = std::ffi::OsStr::from_bytes(b"M\xfcller.csv");
    fs::write(scene.out().join(bad), "ID\n2\n").unwrap();
    fs::write(scene.out().join("a\nb.csv"), "ID\n3\n").unwrap();
    fs::write(scene.out().join(format!("{}.csv", "x".repeat(230))), "ID\n4\n").unwrap();
    fs::write(scene.out().join("..\\evil.csv"), "ID\n5\n").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", scene.out().join("link.csv")).unwrap();
    scene.run_once(4);
    assert_eq!(scene.ids(), ["1"]);
    assert_eq!(scene.left("").len(), 5);
    assert_eq!(scene.provider.alarms(), ["file-name"]);
    for name in scene.left("") {
        fs::remove_file(scene.out().join(&name))
            .or_else(|_| fs::remove_file(scene.out().join(bad)))
            .unwrap();
    }
    scene.run_once(0);
    assert_eq!(scene.provider.alarms(), [""; 0]);
}

#[test]
fn five_thousand_files_are_listed_and_fetched() {
    let scene = Scene::new("\"delete\"");
    for number in 0..5_000 {
        scene.drop_file(&format!("{number:05}.csv"), &format!("ID\n{number:05}\n"));
    }
    let run = scene.provider.start();
    until_true("all are fetched", || scene.left("").is_empty());
    until_true("all are delivered", || scene.delivered() == 5_000);
    assert_eq!(run.stop().code, 0);
    let expected: Vec<String> = (0..5_000).map(|number| format!("{number:05}")).collect();
    assert_eq!(scene.ids(), expected);
    scene.provider.check_ledger();
}

/// A file of two hundred million bytes in one line, which no record may have: it is set aside
/// unchanged, to be compared.
fn big_file() -> Vec<u8> {
    let mut bytes = b"ID\n".to_vec();
    let mut number = 0_u64;
    while bytes.len() < 200_000_000 {
        number += 1;
        bytes.extend_from_slice(format!("{number:09} ").as_bytes());
    }
    bytes
}

#[test]
fn a_download_goes_on_where_a_killed_server_broke_it_off() {
    let mut scene = Scene::new("\"delete\"");
    let bytes = big_file();
    fs::write(scene.out().join(".big"), &bytes).unwrap();
    fs::rename(scene.out().join(".big"), scene.out().join("big.csv")).unwrap();
    let run = scene.provider.start();
    let part = scene.provider.path("state/test/spool/00000000000000000001/data.part");
    until_true("a part of it is there", || {
        fs::metadata(&part).is_ok_and(|part| part.len() > 80_000_000)
    });
    scene.sshd.stop();
    until_true("the alarm stands", || scene.provider.alarms() == ["unreachable"]);
    let before = fs::metadata(&part).unwrap().len();
    assert!(before > 80_000_000);
    scene.sshd.launch();
    let whole = scene.result("rejects/big.csv");
    let mut least = before;
    until_true("it is set aside", || {
        least = least.min(fs::metadata(&part).map_or(before, |part| part.len()));
        scene.result("receipts/big.csv.receipt.json").exists() && whole.exists()
    });
    assert!(least > 60_000_000, "it went on from byte {least} of {before}");
    until_true("it is removed at the partner's", || scene.left("").is_empty());
    assert!(fs::read(whole).unwrap() == bytes, "other bytes came");
    assert_eq!(run.stop().code, 0);
    assert_eq!(scene.provider.alarms(), [""; 0]);
}

#[test]
fn a_frozen_server_holds_up_no_other_source_and_is_told() {
    let scene = Scene::new("\"delete\"");
    scene.provider.forwarder("zeta", "orders", "");
    fs::write(scene.out().join("big.csv"), big_file()).unwrap();
    let run = scene.provider.start();
    let part = scene.provider.path("state/test/spool/00000000000000000001/data.part");
    until_true("the download is under way", || {
        fs::metadata(&part).is_ok_and(|part| part.len() > 1_000_000)
    });
    scene.sshd.freeze();
    scene.provider.drop_file("zeta", "Z.csv", "ID\n1\n");
    until_true("the other's file is delivered", || scene.ids_of("zeta") == ["1"]);
    until_true("the alarm stands", || scene.provider.alarms() == ["unreachable"]);
    scene.sshd.cut();
    until_true("it is fetched after all", || scene.left("").is_empty());
    until_true("the alarm is over", || scene.provider.alarms().is_empty());
    assert_eq!(run.stop().code, 0);
}

#[test]
fn fifty_kills_lose_no_remote_file_and_take_none_twice() {
    let (seed, mut random) = Random::seeded();
    println!("LIGHTERMAN_SEED={seed}");
    let sshd = Sshd::start();
    let after = move_to(&sshd);
    let scene = Scene::with(sshd, &format!("{RENAMED}after = {after}"));
    scene.customer("zeta", "deleted", &format!("{RENAMED}after = \"delete\""));
    scene.customer("wilgen", "kept", &format!("{RENAMED}after = \"keep\""));
    let customers = [("acme", "out"), ("zeta", "deleted"), ("wilgen", "kept")];
    let mut expected: BTreeSet<String> = BTreeSet::new();
    let mut next = 0;
    for kill in 0..50 {
        for _ in 0..random.below(8) {
            next += 1;
            // Some are downloaded for a while.
            let filler = "x".repeat(if random.below(10) == 0 { 3_000_000 } else { 10 });
            let text = format!("ID;FILLER\n{next:06};{filler}\n");
            for (_, folder) in customers {
                scene.drop_in(folder, &format!("{next:06}.csv"), &text);
            }
            expected.insert(format!("{next:06}"));
        }
        let daemon = scene.provider.start();
        std::thread::sleep(Duration::from_millis(random.below(700)));
        let end = daemon.kill();
        assert_eq!(end.code, 128 + 9, "seed {seed}: it ended by itself: {end}");
        if kill % 10 == 9 {
            scene.provider.check_ledger();
        }
    }
    let mut last = scene.provider.run_once(&["--wait", "20s"]);
    for _ in 0..5 {
        if last.code != 75 {
            break;
        }
        last = scene.provider.run_once(&["--wait", "20s"]);
    }
    assert_eq!(last.code, 0, "seed {seed}: {last}");
    scene.provider.check_ledger();
    let expected: Vec<String> = expected.into_iter().collect();
    for (customer, _) in customers {
        assert_eq!(scene.ids_of(customer), expected, "seed {seed}: {customer}");
    }
    let names: Vec<String> = expected.iter().map(|id| format!("{id}.csv")).collect();
    assert_eq!(scene.left(""), ["done"], "seed {seed}");
    assert_eq!(scene.left("done"), names, "seed {seed}");
    assert_eq!(scene.left("../deleted"), [""; 0], "seed {seed}");
    assert_eq!(scene.left("../kept"), names, "seed {seed}");
    assert_eq!(scene.spooled(), 0, "seed {seed}");
}

/// The steps of fetching two files with this `after`, each with how many times it had been taken.
fn steps(after: &dyn Fn(&Sshd) -> String) -> Vec<(String, u64)> {
    let scene = two_files(after);
    let list = scene.provider.path("steps");
    let variables = [("LIGHTERMAN_STEPS", list.to_str().unwrap())];
    let run = scene.provider.start_in(&["run", "--once"], &variables).end();
    assert_eq!(run.code, 0, "{run}");
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    let text = fs::read_to_string(&list).expect("only a debug build tells its steps");
    let mut steps: Vec<(String, u64)> = Vec::new();
    for step in text.lines() {
        let times = times.entry(step.to_owned()).or_default();
        *times += 1;
        steps.push((step.to_owned(), *times));
    }
    let is_of_the_fetch = |step: &str| {
        ["remote ", "spool", "ledger", "data", "slip"].iter().any(|part| step.contains(part))
    };
    steps.retain(|(step, _)| is_of_the_fetch(step));
    assert!(steps.len() > 30, "{steps:?}");
    steps
}

fn two_files(after: &dyn Fn(&Sshd) -> String) -> Scene {
    let sshd = Sshd::start();
    let after = after(&sshd);
    let scene = Scene::with(sshd, &format!("{RENAMED}sessions = 1\nafter = {after}"));
    scene.drop_file("A.csv", "ID\n1\n");
    scene.drop_file("B.csv", "ID\n2\n");
    scene
}

#[test]
fn a_process_killed_at_any_step_of_a_fetch_fetches_each_file_once() {
    let moved: &(dyn Fn(&Sshd) -> String + Sync) = &move_to;
    let deleted: &(dyn Fn(&Sshd) -> String + Sync) = &|_| "\"delete\"".to_owned();
    let kept: &(dyn Fn(&Sshd) -> String + Sync) = &|_| "\"keep\"".to_owned();
    let cases = [(moved, vec!["done"], 2), (deleted, vec![], 0), (kept, vec!["A.csv", "B.csv"], 0)];
    for (after, left, done) in cases {
        let steps = steps(after);
        let next = Mutex::new(steps.iter());
        let killed = Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let Some((step, nth)) = next.lock().unwrap().next() else { return };
                        let case = format!("killed before {step}, time {nth}");
                        let scene = two_files(after);
                        let fault = format!("kill;at;{nth};{step}");
                        let variables = [("LIGHTERMAN_FAULT", fault.as_str())];
                        let run = scene.provider.start_in(&["run", "--once"], &variables).end();
                        match run.code {
                            137 => *killed.lock().unwrap() += 1,
                            // The ledger gathers what comes together.
                            0 if step.ends_with("test/ledger") => {}
                            _ => panic!("{case}: {run}"),
                        }
                        let run = scene.provider.run_once(&[]);
                        assert_eq!(run.code, 0, "{case}: {run}");
                        assert_eq!(scene.ids(), ["1", "2"], "{case}");
                        assert_eq!(scene.left(""), left, "{case}");
                        assert_eq!(scene.left("done").len(), done, "{case}");
                        assert_eq!(scene.spooled(), 0, "{case}");
                        scene.provider.check_ledger();
                    }
                });
            }
        });
        println!("killed {} times over {} steps", killed.into_inner().unwrap(), steps.len());
    }
}

#[test]
fn a_server_that_is_gone_is_asked_ever_less_often() {
    let mut scene = Scene::new("\"delete\"");
    scene.sshd.stop();
    let run = scene.provider.start();
    let tries = || run.stderr().matches("ERROR").count();
    let began = Instant::now();
    until_true("it is tried four times", || tries() == 4);
    // 1, 2 and 4 s, each shortened by a fifth at most.
    assert!(began.elapsed() > Duration::from_millis(5_500), "{:?}", began.elapsed());
    assert_eq!(scene.provider.alarms(), ["unreachable"]);
    scene.sshd.launch();
    scene.drop_file("A.csv", "ID\n1\n");
    run.hang_up();
    until_true("a reload has it tried at once", || scene.delivered() == 1);
    assert_eq!(run.stop().code, 0);
}

#[test]
fn the_marker_of_a_newer_file_is_left_to_it() {
    let marker = "ready = { when = \"marker\", name = \"{name}.ok\" }\n";
    let sshd = Sshd::start();
    let after = move_to(&sshd);
    let scene = Scene::with(sshd, &format!("{marker}after = {after}"));
    // The move cannot succeed while a file lies where its folder should be.
    fs::write(scene.out().join("done"), "").unwrap();
    scene.drop_file("A.csv", "ID\n1\n");
    scene.drop_file("A.csv.ok", "");
    scene.run_once(4);
    assert_eq!(scene.ids(), ["1"]);
    scene.drop_file("A.csv", "ID\n2\n3\n");
    scene.drop_file("A.csv.ok", "");
    fs::remove_file(scene.out().join("done")).unwrap();
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1", "2", "3"]);
    assert_eq!(scene.left(""), ["done"]);
    assert_eq!(scene.left("done"), ["A-2.csv", "A.csv"]);
}

#[test]
fn a_file_that_may_stay_after_all_is_not_taken_again() {
    let sshd = Sshd::start();
    let after = format!("{{ move = \"{}\" }}", sshd.remote("obstacle/done"));
    let scene = Scene::with(sshd, &format!("{RENAMED}after = {after}"));
    fs::write(scene.sshd.folder().join("obstacle"), "").unwrap();
    scene.drop_file("A.csv", "ID\n1\n");
    scene.run_once(4);
    let file = "customers/acme.toml";
    let text = fs::read_to_string(scene.provider.path(file)).unwrap();
    let text = text.replace(&format!("after = {after}"), "after = \"keep\"");
    scene.provider.file(file, text.replace("[[routes]]", "[[routes]]\nrepeats = \"send\""));
    scene.run_once(0);
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1"]);
    assert_eq!(scene.left(""), ["A.csv"]);
}

#[test]
fn a_file_that_is_too_big_for_the_disk_does_not_keep_others_back() {
    let scene = Scene::with(Sshd::start(), &format!("{RENAMED}sessions = 1\nafter = \"delete\""));
    let huge = fs::File::create(scene.out().join("A.csv")).unwrap();
    huge.set_len(8 << 40).unwrap();
    scene.drop_file("B.csv", "ID\n1\n");
    scene.run_once(4);
    assert_eq!(scene.ids(), ["1"]);
    assert_eq!(scene.left(""), ["A.csv"]);
    let status = scene.provider.status();
    let advice = status["alarms"][0]["advice"].as_str().unwrap();
    assert!(advice.starts_with("A.csv is left in sftp://"), "{advice}");
    assert!(advice.contains("it needs 8388608 MiB"), "{advice}");
}

impl Scene {
    /// Changes acme's config.
    fn change(&self, from: &str, to: &str) {
        let file = "customers/acme.toml";
        let text = fs::read_to_string(self.provider.path(file)).unwrap();
        assert!(text.contains(from), "{text}");
        self.provider.file(file, text.replace(from, to));
    }

    /// A run that is killed before a step.
    fn run_until(&self, step: &str) {
        let fault = format!("kill;at;1;{step}");
        let variables = [("LIGHTERMAN_FAULT", fault.as_str())];
        let run = self.provider.start_in(&["run", "--once"], &variables).end();
        assert_eq!(run.code, 137, "{run}");
    }
}

#[test]
fn a_file_that_is_half_deleted_gets_its_name_back_when_it_may_stay() {
    let scene = Scene::new("\"delete\"");
    scene.drop_file("A.csv", "ID\n1\n");
    let list = scene.provider.path("steps");
    let variables = [("LIGHTERMAN_STEPS", list.to_str().unwrap())];
    scene.provider.start_in(&["run", "--once"], &variables).end();
    let steps = fs::read_to_string(list).unwrap();
    let removal = steps.lines().find(|step| step.starts_with("remote remove")).unwrap();
    let (first, id) = removal.rsplit_once('-').unwrap();
    assert_eq!(id, "1");

    scene.drop_file("B.csv", "ID\n2\n");
    scene.run_until(&format!("{first}-2"));
    assert_eq!(scene.left("").len(), 1);
    assert!(scene.left("")[0].starts_with(".lighterman-"));
    scene.change("after = \"delete\"", "after = \"keep\"");
    scene.change("[[routes]]", "[[routes]]\nrepeats = \"send\"");
    scene.run_once(0);
    scene.run_once(0);
    assert_eq!(scene.left(""), ["B.csv"]);
    assert_eq!(scene.ids(), ["1", "2"]);
}

#[test]
fn files_that_stay_are_known_again_after_their_folder_was_away() {
    let scene = Scene::new("\"keep\"");
    scene.change("[[routes]]", "[[routes]]\nrepeats = \"send\"");
    scene.drop_file("A.csv", "ID\n1\n");
    scene.run_once(0);
    let away = scene.sshd.folder().join("away");
    fs::rename(scene.out(), &away).unwrap();
    fs::create_dir(scene.out()).unwrap();
    scene.run_once(0);
    fs::remove_dir(scene.out()).unwrap();
    fs::rename(&away, scene.out()).unwrap();
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1"]);
}

#[test]
fn where_order_counts_a_small_file_does_not_overtake_a_big_one() {
    let scene = Scene::with(Sshd::start(), &format!("{RENAMED}sessions = 2\nafter = \"delete\""));
    scene.change("[channels.out]", "[channels.out]\nconcurrency = 1");
    let mut big = "ID;FILLER\n".to_owned();
    for number in 100..160 {
        big += &format!("{number};{}\n", "x".repeat(500_000));
    }
    scene.drop_file("A.csv", &big);
    for (name, id) in [("B.csv", 200), ("C.csv", 300), ("D.csv", 400)] {
        scene.drop_file(name, &format!("ID;FILLER\n{id};\n"));
    }
    scene.run_once(0);
    let calls = scene.port.calls_to("/ingestion/c-acme").into_iter();
    let ids: Vec<u64> = calls
        .flat_map(|call| {
            let body: serde_json::Value = serde_json::from_str(&call.body.unwrap()).unwrap();
            let ids = body.as_array().unwrap().iter();
            ids.map(|one| one["id"].as_str().unwrap().parse().unwrap()).collect::<Vec<u64>>()
        })
        .collect();
    let expected: Vec<u64> = (100..160).chain([200, 300, 400]).collect();
    assert_eq!(ids, expected);
}

#[test]
fn a_claim_in_a_local_folder_is_not_looked_for_at_a_partners() {
    let scene = Scene::new("\"delete\"");
    let file = "customers/acme.toml";
    let remote = fs::read_to_string(scene.provider.path(file)).unwrap();
    scene.provider.forwarder("acme", "orders", "");
    scene.provider.drop_file("acme", "A.csv", "ID\n1\n");
    scene.run_until("rename 00000000000000000001/data");
    let local = fs::read_to_string(scene.provider.path(file)).unwrap();
    scene.provider.file(file, remote);
    scene.run_once(4);
    let status = scene.provider.status();
    let advice = status["alarms"][0]["advice"].as_str().unwrap();
    assert!(advice.contains("while this source was a local folder"), "{advice}");
    scene.provider.file(file, local);
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1"]);
}

#[test]
fn a_claim_at_a_partners_is_not_waited_for_in_a_local_folder() {
    let scene = Scene::new("\"delete\"");
    let file = "customers/acme.toml";
    let remote = fs::read_to_string(scene.provider.path(file)).unwrap();
    scene.drop_file("A.csv", "ID\n1\n");
    scene.run_until("rename 00000000000000000001/data");
    scene.provider.forwarder("acme", "orders", "");
    scene.run_once(0);
    assert_eq!(scene.spooled(), 0);
    scene.provider.file(file, remote);
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1"]);
}

#[test]
fn a_run_that_reached_no_server_does_not_end_well() {
    let mut scene = Scene::new("\"delete\"");
    scene.sshd.stop();
    scene.run_once(75);
    scene.sshd.launch();
    scene.run_once(0);
}

const UNDER_WAY: &str = "Stopped while something was still under way";

#[test]
fn a_server_that_says_nothing_does_not_hold_up_the_end() {
    let scene = Scene::new("\"delete\"");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().port();
    scene.change(&format!("port = {}\n", scene.sshd.port()), &format!("port = {silent}\n"));
    let run = scene.provider.start();
    let connection = listener.accept().unwrap();
    let end = run.stop();
    assert_eq!(end.code, 0, "{end}");
    assert!(!end.stderr.contains(UNDER_WAY) && !end.stderr.contains("ERROR"), "{end}");
    drop(connection);
}

#[test]
fn a_download_that_is_stuck_does_not_hold_up_the_end() {
    let scene = Scene::new("\"delete\"");
    fs::write(scene.out().join("big.csv"), big_file()).unwrap();
    let run = scene.provider.start();
    let part = scene.provider.path("state/test/spool/00000000000000000001/data.part");
    until_true("the download is under way", || {
        fs::metadata(&part).is_ok_and(|part| part.len() > 1_000_000)
    });
    scene.sshd.freeze();
    let end = run.stop();
    assert_eq!(end.code, 0, "{end}");
    assert!(!end.stderr.contains(UNDER_WAY) && !end.stderr.contains("ERROR"), "{end}");
    assert_eq!(scene.provider.alarms(), [""; 0]);
}

#[test]
fn nothing_is_taken_from_a_folder_that_it_would_be_moved_into() {
    let sshd = Sshd::start();
    let after = format!("{{ move = \"{}\" }}", sshd.remote("alias"));
    let scene = Scene::with(sshd, &format!("{RENAMED}after = {after}"));
    std::os::unix::fs::symlink(scene.out(), scene.sshd.folder().join("alias")).unwrap();
    scene.drop_file("A.csv", "ID\n1\n");
    scene.run_once(4);
    assert_eq!(scene.left(""), ["A.csv"]);
    assert_eq!(scene.ids(), [""; 0]);
    let status = scene.provider.status();
    let advice = status["alarms"][0]["advice"].as_str().unwrap();
    assert!(advice.contains("are the same folder at the partner's"), "{advice}");
    fs::remove_file(scene.sshd.folder().join("alias")).unwrap();
    scene.run_once(0);
    assert_eq!(scene.ids(), ["1"]);
}

/// The port of a server like another one, which takes one connection at a time.
fn one_at_a_time(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let pass_on = |mut from: TcpStream, mut to: TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    };
    let busy = std::sync::Arc::new(Mutex::new(()));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, busy) = (client.unwrap(), busy.clone());
            std::thread::spawn(move || {
                let Ok(_one) = busy.try_lock() else { return };
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let back = std::thread::spawn(move || pass_on(back.0, back.1));
                pass_on(client, server);
                back.join().unwrap();
            });
        }
    });
    port
}

#[test]
fn a_server_that_allows_one_session_is_no_fault() {
    let scene = Scene::new("\"delete\"");
    let port = one_at_a_time(scene.sshd.port());
    scene.change(&format!("port = {}\n", scene.sshd.port()), &format!("port = {port}\n"));
    let known = scene.sshd.known_line("ed25519");
    let known = known.replace(&format!(":{} ", scene.sshd.port()), &format!(":{port} "));
    fs::write(scene.sshd.path("known_hosts"), known).unwrap();
    for id in 1..=40 {
        scene.drop_file(&format!("{id:02}.csv"), &format!("ID\n{id:02}\n"));
    }
    let run = scene.provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("allows no further session"), "{run}");
    assert_eq!(scene.ids().len(), 40);
    assert_eq!(scene.left(""), [""; 0]);
    assert_eq!(scene.provider.alarms(), [""; 0]);
}

#[test]
fn a_file_that_never_ends_growing_is_looked_at_ever_less_often() {
    let lines = "after = \"keep\"\nevery = \"1h\"\nready = { when = \"quiet\", for = \"1s\" }";
    let scene = Scene::with(Sshd::start(), lines);
    let path = scene.out().join("A.csv");
    fs::write(&path, "ID\n1\n").unwrap();
    let run = scene.provider.start();
    let began = Instant::now();
    until_true("it is looked at four times", || {
        let mut file = fs::File::options().append(true).open(&path).unwrap();
        io::Write::write_all(&mut file, b"2\n").unwrap();
        scene.sshd.log().matches("Accepted").count() == 4
    });
    // After 1, 2 and 4 s.
    assert!(began.elapsed() > Duration::from_millis(6_500), "{:?}", began.elapsed());
    assert_eq!(run.stop().code, 0);
}

#[test]
fn a_file_that_cannot_be_put_away_waits_for_the_schedule() {
    let sshd = Sshd::start();
    let after = format!("{{ move = \"{}\" }}", sshd.remote("obstacle/done"));
    let scene = Scene::with(sshd, &format!("{RENAMED}every = \"1h\"\nafter = {after}"));
    fs::write(scene.sshd.folder().join("obstacle"), "").unwrap();
    scene.drop_file("A.csv", "ID\n1\n");
    scene.drop_file("B.csv", "ID\n2\n");
    let run = scene.provider.start();
    until_true("the alarm stands", || !scene.provider.alarms().is_empty());
    until_true("both are delivered", || scene.delivered() == 2);
    // The look is over, and the next one is that of the schedule.
    let sight = until("it has been looked", || {
        let status = scene.provider.status();
        let sight = status["customers"]["acme"]["sources"]["in"].clone();
        sight["next_look"].is_string().then_some(sight)
    });
    assert!(sight["last_look"].is_string(), "{sight}");
    assert!(sight["last_error"].as_str().unwrap().contains("obstacle"), "{sight}");
    assert_eq!(run.stop().code, 0);
}
