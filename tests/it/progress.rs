//! A run at a terminal shows how far it is; elsewhere there are plain lines and nothing else.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::harness::*;

fn acme() -> (Port, Provider) {
    let port = Port::open(Port::world(&["acme"]));
    let provider = Provider::new(&port);
    provider.mapping("orders", &orders("format = \"csv\"\ndelimiter = \";\"", "json"));
    provider.forwarder("acme", "orders", "");
    let ids = (1..=1000).map(|n| n.to_string());
    provider.drop_file("acme", "A.csv", csv(ids, |_| false));
    (port, provider)
}

/// `run --once` and what it writes to a terminal.
fn at_a_terminal(provider: &Provider, arguments: &[&str]) -> String {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let name = ptsname(&near, Vec::new()).unwrap();
    let far = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lighterman"))
        .args([&["run", "--once"], arguments].concat())
        .current_dir(provider.path(""))
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(far)
        .spawn()
        .unwrap();
    let mut text = Vec::new();
    let mut near = File::from(near);
    let mut piece = [0; 4096];
    // When the last who could write is gone, reading fails.
    while let Ok(read @ 1..) = near.read(&mut piece) {
        text.extend_from_slice(&piece[..read]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    String::from_utf8(text).unwrap()
}

#[test]
fn a_line_on_the_terminal_tells_files_records_and_pace() {
    let (_port, provider) = acme();
    let seen = at_a_terminal(&provider, &[]);
    assert!(seen.contains("files settled") && seen.contains("records/s"), "{seen}");
    assert!(seen.contains("Settled A.csv: 1000 delivered"), "the log is there too: {seen}");
}

#[test]
fn a_quiet_run_shows_nothing_at_a_terminal() {
    let (_port, provider) = acme();
    assert_eq!(at_a_terminal(&provider, &["--quiet"]), "");
}

#[test]
fn elsewhere_there_are_plain_lines_only() {
    let (_port, provider) = acme();
    let run = provider.run_once(&[]);
    assert!(run.stderr.contains("Settled A.csv: 1000 delivered"), "{run}");
    assert!(!run.stderr.contains('\r') && !run.stderr.contains('\u{1b}'), "{run}");
}
