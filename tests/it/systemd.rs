//! Under systemd: the units are sound and closed, the service manager hears what it needs and is fed
//! only while the work moves, the journal gets fields, and a state has one holder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lighterman::sandbox::{Fault, What};
use tempfile::TempDir;

use crate::harness::*;

/// What `WATCHDOG_USEC` says here: every fifth of a second.
const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "200000");

/// Nothing for so long, where something is to come every fifth of a second, is the end of it.
const SILENCE: Duration = Duration::from_secs(3);

fn provider_of(port: &Port, customers: &[&str]) -> Provider {
    let provider = Provider::new(port);
    provider.mapping("orders", &orders("format = \"csv\"\ndelimiter = \";\"", "json"));
    for customer in customers {
        provider.forwarder(customer, "orders", "");
    }
    provider
}

fn drop_orders(provider: &Provider, customer: &str, name: &str, count: u64) {
    provider.drop_file(customer, name, csv((1..=count).map(|n| format!("{name}-{n}")), |_| false));
}

fn is_settled(provider: &Provider, customer: &str, file: &str) -> bool {
    provider.receipts(customer).get(file).is_some_and(|receipt| receipt["settled"].is_string())
}

/// The service manager's end of a notify socket.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Manager {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Manager { folder, socket }
    }

    /// The daemon of a provider, told of the socket. Its config has its whole path, so that faults
    /// can be planned by path.
    fn start(&self, provider: &Provider, more: &[(&str, &str)]) -> Running {
        let (config, socket) =
            (provider.path("lighterman.toml"), self.folder.path().join("notify"));
        let variables = [&[("NOTIFY_SOCKET", socket.to_str().unwrap())], more].concat();
        provider.start_in(&["--config", config.to_str().unwrap(), "run"], &variables)
    }

    /// The next message within this time.
    fn hears_within(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8(message[..length].to_vec()).unwrap())
    }

    /// The next message that has this in it.
    #[track_caller]
    fn hears(&self, what: &str) -> String {
        loop {
            let message = self.hears_within(LIMIT);
            let message = message.unwrap_or_else(|| panic!("{what}: not heard"));
            if message.contains(what) {
                return message;
            }
        }
    }
}

#[test]
fn the_manager_hears_of_the_start_the_state_of_things_a_reload_and_the_end() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    let manager = Manager::new();
    let daemon = manager.start(&provider, &[]);
    assert_eq!(manager.hears_within(LIMIT).unwrap(), "READY=1\n", "the first of all");
    assert!(provider.path("state/test/control.sock").exists(), "commands are answered by then");
    let status = manager.hears("STATUS=");
    assert_eq!(
        status,
        "STATUS=0 files open with 0 records; since the start 0 records delivered; no alarms\n"
    );
    drop_orders(&provider, "acme", "A.csv", 10);
    manager.hears("since the start 10 records delivered");

    daemon.hang_up();
    let reloading = manager.hears("RELOADING=1\n");
    let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(time.parse::<u64>().unwrap() > 0, "{reloading}");
    manager.hears("READY=1\n");
    // A customer whose new config is broken shows in the line.
    let broken = fs::read_to_string(provider.path("customers/acme.toml")).unwrap() + "\nnonsense";
    provider.file("customers/acme.toml", broken);
    daemon.hang_up();
    manager.hears("RELOADING=1\n");
    manager.hears("alarm: config of acme");

    let end = daemon.stop();
    assert_eq!(end.code, 0, "{end}");
    let stopping = manager.hears("STOPPING=1\n");
    assert!(stopping.contains("STATUS=Stopping"), "{stopping}");
    assert_eq!(manager.hears_within(Duration::from_millis(1)), None, "the last of all");
}

#[test]
fn the_watchdog_is_fed_no_more_when_the_ledger_hangs() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    let manager = Manager::new();
    let hangs = provider.path("hangs");
    let ledger = provider.path("state/test/ledger");
    let fault = format!("hang;while;{};{}", hangs.display(), ledger.display());
    let mut daemon = manager.start(&provider, &[WATCHDOG, ("LIGHTERMAN_FAULT", &fault)]);
    for _ in 0..10 {
        manager.hears("WATCHDOG=1\n");
    }
    fs::write(&hangs, "").unwrap();
    // Noting its claim is what hangs.
    drop_orders(&provider, "acme", "A.csv", 10);
    let mut heard = 0;
    while manager.hears_within(SILENCE).is_some() {
        heard += 1;
        assert!(heard < 600, "it is fed for good");
    }
    assert!(daemon.runs(), "it was not its end");
    assert_eq!(port.stats().ingestion.calls, 0);
}

#[test]
fn the_watchdog_is_not_fed_before_the_worker_gets_to_its_files() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    // A file that stays open, with a problem that a restart takes out of its journal first.
    port.fault(Fault::new("/ingestion", What::Drop)).unwrap();
    provider.drop_file("acme", "A.csv", csv((1..=3).map(|n| n.to_string()), |id| id == "2"));
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 3, "{run}");
    let manager = Manager::new();
    let hangs = provider.path("hangs");
    fs::write(&hangs, "").unwrap();
    let spool = provider.path("state/test/spool");
    let fault = format!("hang;while;{};{}", hangs.display(), spool.display());
    let _daemon = manager.start(&provider, &[WATCHDOG, ("LIGHTERMAN_FAULT", &fault)]);
    manager.hears("READY=1\n");
    manager.hears("STATUS=1 files open with 2 records");
    assert_eq!(manager.hears_within(SILENCE), None);
}

#[test]
fn the_watchdog_is_fed_while_a_source_hangs() {
    let port = Port::open(Port::world(&["acme", "zeta"]));
    let provider = provider_of(&port, &["acme", "zeta"]);
    let manager = Manager::new();
    let hangs = provider.path("hangs");
    fs::write(&hangs, "").unwrap();
    let folder = provider.path("customers/../inbox/acme");
    let fault = format!("hang;while;{};{}", hangs.display(), folder.display());
    drop_orders(&provider, "acme", "A.csv", 3);
    let _daemon = manager.start(&provider, &[WATCHDOG, ("LIGHTERMAN_FAULT", &fault)]);
    drop_orders(&provider, "zeta", "A.csv", 3);
    until_true("the other customer's file", || is_settled(&provider, "zeta", "A.csv"));
    while manager.hears_within(Duration::from_millis(1)).is_some() {}
    for _ in 0..30 {
        manager.hears("WATCHDOG=1\n");
    }
    assert_eq!(port.stats().ingestion.by_channel.get("c-acme").map_or(0, |acme| acme.records), 0);
}

#[test]
fn a_second_run_names_the_holder_and_one_that_was_killed_holds_nothing() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    let manager = Manager::new();
    let before = jiff::Timestamp::now() - Duration::from_secs(1);
    let daemon = manager.start(&provider, &[]);
    manager.hears("READY=1\n");
    // The daemon and the timer's run in either order are the same thing.
    let run = provider.run(&["run"]);
    assert_eq!(run.code, 75, "{run}");
    let holder = format!("held by process {} since ", daemon.id());
    let (_, since) = run.stderr.split_once(&holder).unwrap_or_else(|| panic!("{run}"));
    let since: jiff::Timestamp = since.split(';').next().unwrap().parse().unwrap();
    assert!(before <= since && since <= jiff::Timestamp::now(), "{since}");

    let id = daemon.id();
    assert_eq!(daemon.kill().code, 137);
    let lock = || fs::read_to_string(provider.path("state/test/lock")).unwrap();
    assert!(lock().contains(&id.to_string()), "what it wrote is still there");
    drop_orders(&provider, "acme", "A.csv", 10);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert!(!lock().contains(&id.to_string()), "{}", lock());
    assert!(is_settled(&provider, "acme", "A.csv"));
}

#[test]
fn a_broken_customer_does_not_keep_the_service_from_its_start() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    provider.file("customers/zeta.toml", "this is no TOML");
    let run = provider.run(&["check"]);
    assert_eq!(run.code, 1, "{run}");
    let run = provider.run(&["check", "--provider"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("lighterman.toml: the provider's file is well"), "{run}");
    assert_eq!(run.stderr, "");
    // What concerns everybody does.
    let config = fs::read_to_string(provider.path("lighterman.toml")).unwrap();
    for (fault, named) in [
        (config.replace("[limits]", "[limitz]"), "limitz"),
        (config.replace("secrets/client", "secrets/nobody"), "secrets/nobody"),
        (format!("customers = \"nowhere\"\n{config}"), "nowhere"),
    ] {
        provider.file("lighterman.toml", fault);
        let run = provider.run(&["check", "--provider"]);
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains(named) && !run.stderr.contains("zeta"), "{run}");
    }
}

/// The units in a folder of their own, with the program where it is and instances of the template.
fn units() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(source("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".service") && !name.ends_with(".timer") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("/usr/bin/lighterman", binary().to_str().unwrap());
        let name = name.replace('@', "@acme");
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn systemd_analyze(folder: &Path, arguments: &[&str]) -> Output {
    let run = Command::new("systemd-analyze").args(arguments).current_dir(folder).output();
    run.unwrap_or_else(|error| panic!("systemd-analyze, of the package systemd: {error}"))
}

#[test]
fn the_units_are_sound_and_closed() {
    let units = units();
    let all = names(units.path());
    assert_eq!(
        all,
        [
            "lighterman-once.service",
            "lighterman-once.timer",
            "lighterman.service",
            "lighterman@acme.service"
        ]
    );
    let drop_in = units.path().join("lighterman.service.d");
    fs::create_dir(&drop_in).unwrap();
    fs::copy(source("lighterman-folders.conf"), drop_in.join("folders.conf")).unwrap();
    for unit in &all {
        let unit = format!("./{unit}");
        let run = systemd_analyze(units.path(), &["verify", "--man=no", &unit]);
        assert!(run.status.success() && run.stderr.is_empty(), "{unit}: {run:?}");
        if unit.ends_with(".timer") {
            continue;
        }
        let closed = ["security", "--no-pager", "--offline=true", "--threshold=20", &unit];
        let run = systemd_analyze(units.path(), &closed);
        assert!(run.status.success(), "{unit}: {}", String::from_utf8_lossy(&run.stdout));
    }
    // That a fault would be seen.
    fs::write(drop_in.join("fault.conf"), "[Service]\nReadWritePath=/srv\n").unwrap();
    let run = systemd_analyze(units.path(), &["verify", "--man=no", "./lighterman.service"]);
    assert!(!run.status.success() || !run.stderr.is_empty(), "{run:?}");
}

#[test]
fn the_services_are_closed_alike() {
    let closed = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(source(name)).unwrap();
        let lines = text.lines().skip_while(|line| !line.starts_with("User=")).map(str::to_owned);
        lines.take_while(|line| !line.is_empty()).collect()
    };
    let first = closed("lighterman.service");
    assert!(first.len() > 25, "{first:?}");
    assert_eq!(first, closed("lighterman-once.service"));
    assert_eq!(first, closed("lighterman@.service"));
}

/// What a run over one file wrote to a journal that a test listens on, and to stderr. The journal's
/// place is fixed: it is made in a mount namespace of the run's own.
fn run_with_journal(provider: &Provider, more: &[&str], stream: &str) -> (Vec<Entry>, String) {
    let folder = tempfile::tempdir().unwrap();
    let journal = UnixDatagram::bind(folder.path().join("socket")).unwrap();
    journal.set_nonblocking(true).unwrap();
    let stderr = provider.path("stderr");
    let file = File::create(&stderr).unwrap();
    let meta = file.metadata().unwrap();
    let stream =
        stream.replace("DEVICE", &meta.dev().to_string()).replace("INODE", &meta.ino().to_string());
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal \
                  && mount --bind \"$1\" /run/systemd/journal && shift && exec \"$@\"";
    let status = unshare
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([folder.path(), &binary()])
        .args(["run", "--once"])
        .args(more)
        .current_dir(provider.path(""))
        .env_remove("RUST_LOG")
        .env("JOURNAL_STREAM", stream)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .status()
        .unwrap();
    let stderr = fs::read_to_string(stderr).unwrap();
    assert_eq!(status.code(), Some(0), "{stderr}");
    let mut entries = Vec::new();
    let mut datagram = vec![0; 1 << 20];
    while let Ok(length) = journal.recv(&mut datagram) {
        // The first says nothing: it asks whether anybody listens.
        if length > 0 {
            entries.push(entry(&datagram[..length]));
        }
    }
    (entries, stderr)
}

type Entry = BTreeMap<String, String>;

/// An entry in the journal's own form: `NAME=value`, or `NAME`, a line end, the value's length in
/// eight bytes, the value (systemd.io, "Native Journal Protocol").
fn entry(mut bytes: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let (line, rest) = (std::str::from_utf8(&bytes[..end]).unwrap(), &bytes[end + 1..]);
        let (name, value);
        (name, value, bytes) = match line.split_once('=') {
            Some((name, value)) => (name, value, rest),
            None => {
                let (length, rest) = rest.split_first_chunk().unwrap();
                let (value, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
                (line, std::str::from_utf8(value).unwrap(), &rest[1..])
            }
        };
        entry.insert(name.to_owned(), value.to_owned());
    }
    entry
}

#[test]
fn the_journal_gets_fields_where_stderr_is_the_journals() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    drop_orders(&provider, "acme", "A.csv", 3);
    let (entries, stderr) = run_with_journal(&provider, &["-vv"], "DEVICE:INODE");
    assert_eq!(stderr, "");
    let with = |message: &str| entries.iter().find(|entry| entry["MESSAGE"] == message).unwrap();
    let claimed = with("Claimed A.csv");
    for (name, value) in [
        ("LIGHTERMAN_CUSTOMER", "acme"),
        ("LIGHTERMAN_FILE_NAME", "A.csv"),
        ("SYSLOG_IDENTIFIER", "lighterman"),
        ("PRIORITY", "6"),
    ] {
        assert_eq!(claimed.get(name).map(String::as_str), Some(value), "{claimed:?}");
    }
    assert_eq!(with("Started")["LIGHTERMAN_ENVIRONMENT"], "test");
    let told = format!("{entries:?}");
    for secret in ["acme-password", "builder-secret"] {
        assert!(!told.contains(secret), "{secret}");
    }
}

#[test]
fn lines_go_to_stderr_where_it_is_not_the_journals_or_a_format_was_asked_for() {
    let port = Port::open(Port::world(&["acme"]));
    let provider = provider_of(&port, &["acme"]);
    for (more, stream, beginning) in [
        (&[][..], "DEVICE:1", "20"),
        (&["--log-format", "text"], "DEVICE:INODE", "20"),
        (&["--log-format", "json"], "DEVICE:INODE", "{\"timestamp\":"),
    ] {
        let (entries, stderr) = run_with_journal(&provider, more, stream);
        assert_eq!(entries, []);
        assert!(stderr.starts_with(beginning) && stderr.contains("Started"), "{stderr}");
    }
}
