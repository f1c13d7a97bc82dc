//! Logging in to a real SFTP server: every kind of login, and which host keys are trusted.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lighterman::config::{After, SecretSource, Sftp, SshLogin};
use lighterman::ledger::Ledger;
use lighterman::sftp::{Cord, Kind, Logins, Refusal, Session};
use tokio_util::sync::CancellationToken;

use crate::harness::{Provider, Sshd, Wish, until_true};

/// The server's folder, for its user with the key `client`, whose host key is known.
fn place(sshd: &Sshd) -> Sftp {
    Sftp {
        host: "127.0.0.1".to_owned(),
        port: sshd.port(),
        user: sshd.user().to_owned(),
        login: by_key(sshd.path("client"), None),
        known_hosts: sshd.known_hosts(&["ed25519"]),
        path: sshd.remote(""),
        after: After::Keep,
        sessions: 1,
    }
}

fn by_key(key: PathBuf, passphrase: Option<PathBuf>) -> SshLogin {
    let key = (SecretSource::File(key), passphrase.map(SecretSource::File));
    SshLogin { key: Some(key), ..SshLogin::default() }
}

fn lists(session: &Session, folder: &str) -> Vec<(String, Kind, u64)> {
    let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
    let entries = session.list(folder).unwrap();
    let mut names: Vec<_> =
        entries.iter().map(|entry| (text(&entry.name), entry.stat.kind, entry.stat.size)).collect();
    names.sort_by(|one, other| one.0.cmp(&other.0));
    names
}

#[test]
fn what_lies_there_is_listed_read_moved_and_removed() {
    let sshd = Sshd::start();
    let session = Session::open(&place(&sshd)).unwrap();
    fs::write(sshd.folder().join("a.csv"), "ID\n1\n").unwrap();
    fs::create_dir(sshd.folder().join("folder")).unwrap();
    std::os::unix::fs::symlink("a.csv", sshd.folder().join("link")).unwrap();

    let folder = sshd.remote("");
    let names = lists(&session, &folder);
    assert_eq!(names[0], ("a.csv".to_owned(), Kind::File, 5));
    assert_eq!((names[1].0.as_str(), names[1].1), ("folder", Kind::Folder));
    assert_eq!((names[2].0.as_str(), names[2].1), ("link", Kind::Link));
    assert_eq!(names.len(), 3);
    // Logins begin in the folder.
    assert_eq!(lists(&session, "."), names);

    let file = sshd.remote("a.csv");
    let stat = session.stat(&file).unwrap().unwrap();
    assert_eq!((stat.kind, stat.size), (Kind::File, 5));
    assert_eq!(session.stat(&sshd.remote("link")).unwrap().unwrap().kind, Kind::Link);
    assert_eq!(session.stat(&sshd.remote("none")).unwrap(), None);
    assert_eq!(session.stat(&sshd.remote("a.csv/none")).unwrap(), None);

    let mut text = String::new();
    session.read(&file, 3).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "1\n");
    let error = session.read(&sshd.remote("none"), 0).err().unwrap();
    assert!(error.to_string().contains("/none on 127.0.0.1:"), "{error}");
    assert!(!Session::is_broken(&error), "{error:#}");

    let deep = sshd.remote("done/2026/11");
    session.make_folder(&deep).unwrap();
    session.make_folder(&deep).unwrap();
    assert!(session.make_folder(&file).is_err());
    assert!(session.make_folder(&sshd.remote("a.csv/done")).is_err());
    let moved = sshd.remote("done/2026/11/a.csv");
    assert!(session.rename(&file, &moved).unwrap());
    assert_eq!(fs::read(&moved).unwrap(), b"ID\n1\n");
    fs::write(&file, "another").unwrap();
    assert!(!session.rename(&file, &moved).unwrap(), "a taken name was overwritten");
    assert_eq!(fs::read(&moved).unwrap(), b"ID\n1\n");
    assert!(session.rename(&sshd.remote("none"), &sshd.remote("new")).is_err());

    assert!(session.remove(&file).unwrap());
    assert!(!session.remove(&file).unwrap());
    session.keep_alive().unwrap();
}

#[test]
fn a_session_whose_server_is_gone_is_broken_and_a_new_one_works() {
    let mut sshd = Sshd::start();
    let place = place(&sshd);
    let session = Session::open(&place).unwrap();
    fs::write(sshd.folder().join("big"), vec![7; 8 << 20]).unwrap();
    {
        let mut reader = session.read(&sshd.remote("big"), 0).unwrap();
        let mut some = [0; 1000];
        reader.read_exact(&mut some).unwrap();
        sshd.cut();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        let error = anyhow::Error::new(error).context("while a file was read");
        assert!(Session::is_broken(&error), "{error:#}");
    }
    let error = session.list(&place.path).unwrap_err();
    assert!(Session::is_broken(&error), "{error:#}");
    drop(session);

    Session::open(&place).unwrap().list(&place.path).unwrap();
    sshd.stop();
    match Session::open(&place) {
        Err(Refusal::Unreachable(_)) => {}
        other => panic!("{other:?}"),
    }
    sshd.launch();
    Session::open(&place).unwrap().list(&place.path).unwrap();
}

#[test]
fn a_server_that_stands_still_for_a_while_is_waited_for() {
    let sshd = Sshd::start();
    let place = place(&sshd);
    let session = Session::open(&place).unwrap();
    sshd.freeze();
    let lister = std::thread::spawn(move || session.list(&place.path).unwrap().len());
    assert!(!lister.is_finished());
    sshd.thaw();
    assert_eq!(lister.join().unwrap(), 0);
}

#[test]
fn keys_of_all_kinds_and_forms_log_in() {
    let sshd = Sshd::start();
    let mut place = place(&sshd);
    fs::write(sshd.path("passphrase"), "open sesame\n").unwrap();
    for (name, options) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("ecdsa256", &["-t", "ecdsa", "-b", "256"]),
        ("ecdsa384", &["-t", "ecdsa", "-b", "384"]),
        ("ecdsa521-pem", &["-t", "ecdsa", "-b", "521", "-m", "PEM"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("rsa-pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
    ] {
        for passphrase in [None, Some("open sesame")] {
            let name = format!("{name}{}", if passphrase.is_some() { "-closed" } else { "" });
            let key = sshd.key(&name, &[options, &["-N", passphrase.unwrap_or_default()]].concat());
            sshd.allow(&name);
            place.login = by_key(key, passphrase.map(|_| sshd.path("passphrase")));
            let session =
                Session::open(&place).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            session.list(&place.path).unwrap();
        }
    }
}

#[test]
fn a_key_that_cannot_be_opened_is_told_from_one_that_is_refused() {
    let sshd = Sshd::start();
    let mut place = place(&sshd);
    let closed = sshd.key("closed", &["-t", "ed25519", "-N", "right"]);
    fs::write(sshd.path("wrong"), "wrong").unwrap();
    fs::write(sshd.path("damaged"), "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n").unwrap();
    for (key, passphrase, why) in [
        (closed.clone(), Some(sshd.path("wrong")), "the passphrase does not open it"),
        (closed.clone(), None, "it needs a passphrase"),
        (closed, Some(sshd.path("nowhere")), "nowhere cannot be read"),
        (sshd.path("client.pub"), None, "it is a public key"),
        (sshd.path("damaged"), None, "it is damaged"),
        (sshd.path("nowhere"), None, "nowhere cannot be read"),
    ] {
        place.login = by_key(key, passphrase);
        match Session::open(&place) {
            Err(Refusal::Secret(error)) => {
                let text = format!("{error:#}");
                assert!(text.contains(why), "{text}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
    place.login = by_key(sshd.key("stranger", &["-t", "ed25519", "-N", ""]), None);
    let (password, advice) = refused(&place);
    assert!(!password);
    assert!(advice.contains("it does not take the key in file"), "{advice}");
    assert!(advice.contains("it asks for publickey"), "{advice}");
}

#[test]
fn a_password_logs_in_and_a_wrong_one_is_told() {
    let sshd = Sshd::start_as(Wish { password: Some("pä+ss wörd"), ..Wish::default() });
    let mut place = place(&sshd);
    place.login = by_password(&sshd, "pä+ss wörd");
    Session::open(&place).unwrap().list(&place.path).unwrap();

    place.login = by_password(&sshd, "another");
    let (password, advice) = refused(&place);
    assert!(password);
    assert!(advice.contains("it does not take the password in file"), "{advice}");
    assert!(!advice.contains("another"), "{advice}");
}

#[test]
fn a_password_for_a_server_that_hangs_up_on_it_counts_as_refused() {
    let wish = Wish { password: Some("right"), config: "MaxAuthTries 1", ..Wish::default() };
    let sshd = Sshd::start_as(wish);
    let mut place = place(&sshd);
    place.login = by_password(&sshd, "wrong");
    let (password, advice) = refused(&place);
    assert!(password, "{advice}");
}

#[test]
fn a_server_that_asks_is_told_the_password() {
    let config = "UsePAM yes\nKbdInteractiveAuthentication yes\n\
                  AuthenticationMethods keyboard-interactive";
    let sshd = Sshd::start_as(Wish { password: Some("sesame"), config, ..Wish::default() });
    let mut place = place(&sshd);
    place.login = by_password(&sshd, "sesame");
    Session::open(&place).unwrap().list(&place.path).unwrap();

    place.login = by_password(&sshd, "wrong");
    let (password, advice) = refused(&place);
    assert!(password && advice.contains("(keyboard-interactive)"), "{advice}");
}

#[test]
fn a_server_that_wants_a_key_and_a_password_gets_both() {
    let config = "AuthenticationMethods publickey,password";
    let sshd = Sshd::start_as(Wish { password: Some("sesame"), config, ..Wish::default() });
    let mut place = place(&sshd);
    let (password, advice) = refused(&place);
    assert!(!password && advice.contains("it asks for password"), "{advice}");

    let key = place.login.key.clone();
    place.login = SshLogin { key: key.clone(), ..by_password(&sshd, "sesame") };
    Session::open(&place).unwrap().list(&place.path).unwrap();

    place.login = SshLogin { key, ..by_password(&sshd, "wrong") };
    let (password, advice) = refused(&place);
    assert!(password && !advice.contains("the key"), "{advice}");
}

#[test]
fn a_key_that_is_refused_leaves_the_password_to_try() {
    let sshd = Sshd::start_as(Wish { password: Some("sesame"), ..Wish::default() });
    let mut place = place(&sshd);
    let stranger = by_key(sshd.key("stranger", &["-t", "ed25519", "-N", ""]), None);
    place.login = SshLogin { key: stranger.key, ..by_password(&sshd, "sesame") };
    Session::open(&place).unwrap().list(&place.path).unwrap();
}

#[test]
fn an_unknown_key_is_refused_with_the_very_line_that_lets_it_in() {
    let sshd = Sshd::start();
    let place = place(&sshd);
    for text in ["", "other.example ssh-ed25519 AAAA\n"] {
        fs::write(&place.known_hosts, text).unwrap();
        let (advice, line) = distrusted(&place);
        assert!(advice.contains(&fingerprint(&sshd, "ed25519")), "{advice}");
        assert!(advice.contains(" does not hold: "), "{advice}");
        assert!(advice.contains(place.known_hosts.to_str().unwrap()), "{advice}");
        fs::write(&place.known_hosts, text.to_owned() + &line.unwrap()).unwrap();
        Session::open(&place).unwrap();
    }
    fs::remove_file(&place.known_hosts).unwrap();
    assert!(distrusted(&place).0.contains(" does not hold: "));
}

#[test]
fn a_changed_key_is_refused_with_the_line_of_the_former() {
    let sshd = Sshd::start();
    let place = place(&sshd);
    let former = sshd.key("host_former", &["-t", "ed25519", "-N", ""]);
    assert!(former.exists());
    fs::write(&place.known_hosts, format!("# ours\n{}", sshd.known_line("former"))).unwrap();
    let (advice, _) = distrusted(&place);
    assert!(advice.contains("another host key than line 2 of "), "{advice}");
    assert!(advice.contains(&fingerprint(&sshd, "ed25519")), "{advice}");
}

#[test]
fn hashed_names_are_known() {
    let sshd = Sshd::start();
    let place = place(&sshd);
    sshd.hash_known_hosts();
    assert!(fs::read_to_string(&place.known_hosts).unwrap().starts_with("|1|"));
    Session::open(&place).unwrap();
}

#[test]
fn the_key_that_is_known_is_asked_for_among_several() {
    let kinds = ["ed25519", "ecdsa", "rsa"];
    let sshd = Sshd::start_as(Wish { host_keys: &kinds, ..Wish::default() });
    let place = place(&sshd);
    for kind in kinds {
        sshd.known_hosts(&[kind]);
        Session::open(&place).unwrap_or_else(|refusal| panic!("{kind}: {refusal}"));
    }
    sshd.known_hosts(&kinds);
    Session::open(&place).unwrap();
}

#[test]
fn a_revoked_key_is_refused() {
    let sshd = Sshd::start();
    let place = place(&sshd);
    let line = sshd.known_line("ed25519");
    fs::write(&place.known_hosts, format!("{line}@revoked {line}")).unwrap();
    let (advice, line) = distrusted(&place);
    assert!(advice.contains("a host key that line 2 of "), "{advice}");
    assert_eq!(line, None);
}

#[test]
fn check_logs_in_to_every_source_and_lists_its_folder() {
    let sshd = Sshd::start();
    let provider = provider(&sshd, &format!("key = {{ file = {:?} }}", sshd.path("client")));
    fs::write(sshd.folder().join("one.csv"), "1").unwrap();
    fs::create_dir(sshd.folder().join("done")).unwrap();
    let check = provider.run(&["check", "--connect"]);
    assert_eq!(check.code, 0, "{check}");
    assert!(check.stderr.contains("acme / partner: logged in, 1 file in sftp://"), "{check}");

    fs::remove_dir_all(sshd.folder()).unwrap();
    let check = provider.run(&["check", "--connect"]);
    assert_eq!(check.code, 1, "{check}");
    assert!(check.stderr.contains("acme / partner: cannot list "), "{check}");
}

#[test]
fn check_prints_the_line_of_an_unknown_key_and_adds_nothing() {
    let sshd = Sshd::start();
    let provider = provider(&sshd, &format!("key = {{ file = {:?} }}", sshd.path("client")));
    let known = sshd.path("known_hosts");
    fs::write(&known, "# nobody\n").unwrap();
    let check = provider.run(&["check", "--connect"]);
    assert_eq!(check.code, 1, "{check}");
    assert!(check.stderr.contains(&fingerprint(&sshd, "ed25519")), "{check}");
    assert!(check.stderr.contains("compare this fingerprint with the operator's"), "{check}");
    let line = sshd.known_line("ed25519");
    assert!(check.stderr.lines().any(|printed| printed == line.trim_end()), "{check}");
    assert_eq!(fs::read_to_string(&known).unwrap(), "# nobody\n");
}

#[test]
fn check_tries_a_password_once_for_all_sources_of_a_login() {
    let sshd = Sshd::start_as(Wish { password: Some("right"), ..Wish::default() });
    by_password(&sshd, "wrong");
    let password = format!("password = {{ file = {:?} }}", sshd.path("password"));
    let provider = provider(&sshd, &password);
    let customer = fs::read_to_string(provider.path("customers/acme.toml")).unwrap();
    let second = source(&sshd, "second", &sshd.remote("second"), &password);
    provider.file("customers/acme.toml", customer + &second);
    let check = provider.run(&["check", "--connect"]);
    assert_eq!(check.code, 1, "{check}");
    for source in ["partner", "second"] {
        let told = format!("acme / {source}: 127.0.0.1:{} refuses the login", sshd.port());
        assert!(check.stderr.contains(&told), "{check}");
    }
    assert_eq!(tries(&sshd), 1);
}

#[test]
fn keys_of_an_agent_log_in() {
    let sshd = Sshd::start();
    let provider = provider(&sshd, "agent = true");
    let socket = sshd.path("agent");
    let socket = [("SSH_AUTH_SOCK", socket.to_str().unwrap())];
    let connect = || provider.start_in(&["check", "--connect"], &socket).end();

    let check = connect();
    assert_eq!(check.code, 1, "{check}");
    assert!(check.stderr.contains("SSH_AUTH_SOCK"), "{check}");

    let agent = Agent::start(&sshd.path("agent"));
    let check = connect();
    assert!(check.stderr.contains("the agent holds no key"), "{check}");

    // The right key need not be the first.
    for (name, kind) in [("stranger", "rsa"), ("mine", "rsa"), ("curve", "ecdsa")] {
        agent.add(&sshd.key(name, &["-t", kind, "-N", ""]));
    }
    let check = connect();
    assert!(check.stderr.contains("it does not take the agent's keys"), "{check}");
    for name in ["mine", "curve"] {
        fs::remove_file(sshd.path("authorized_keys")).unwrap();
        sshd.allow(name);
        let check = connect();
        assert_eq!(check.code, 0, "{name}: {check}");
    }
}

#[test]
fn a_run_needs_a_person_where_the_host_key_is_unknown() {
    let sshd = Sshd::start();
    let provider = provider(&sshd, &format!("key = {{ file = {:?} }}", sshd.path("client")));
    fs::write(sshd.path("known_hosts"), "# nobody\n").unwrap();
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 4, "{run}");
    assert_eq!(provider.alarms(), ["host-key"]);
    let advice = provider.status()["alarms"][0]["advice"].as_str().unwrap().to_owned();
    assert!(advice.contains(&fingerprint(&sshd, "ed25519")), "{advice}");
    assert!(advice.contains("lighterman check --connect"), "{advice}");

    sshd.known_hosts(&["ed25519"]);
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(provider.alarms(), Vec::<String>::new());
}

#[test]
fn runs_try_a_refused_password_three_times_in_all() {
    let sshd = Sshd::start_as(Wish { password: Some("right"), ..Wish::default() });
    by_password(&sshd, "wrong");
    let password = format!("password = {{ file = {:?} }}", sshd.path("password"));
    let provider = provider(&sshd, &password);
    for times in [1, 2, 3, 3, 3] {
        let run = provider.run_once(&[]);
        assert_eq!(run.code, 4, "{run}");
        assert_eq!(provider.alarms(), ["login-refused"]);
        assert_eq!(tries(&sshd), times);
    }
    by_password(&sshd, "right");
    let run = provider.run_once(&[]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(provider.alarms(), Vec::<String>::new());
    assert_eq!(tries(&sshd), 3);
}

/// A running ssh-agent.
struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(socket: &Path) -> Agent {
        let mut agent = Command::new("ssh-agent");
        let agent = agent.args(["-D", "-a"]).arg(socket).stdout(Stdio::null()).spawn();
        let process = agent.expect("ssh-agent: install the package openssh-client");
        until_true("the agent listens", || UnixStream::connect(socket).is_ok());
        Agent { process, socket: socket.to_owned() }
    }

    fn add(&self, key: &Path) {
        let mut add = Command::new("ssh-add");
        let added = add.arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).status();
        assert!(added.unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A provider whose customer has the source `partner` in the server's folder, with this login.
fn provider(sshd: &Sshd, login: &str) -> Provider {
    sshd.known_hosts(&["ed25519"]);
    let provider = Provider::empty();
    provider.file("lighterman.toml", "environments = [\"test\"]\nenvironment = \"test\"\n");
    let customer = format!("name = \"Acme\"\n{}", source(sshd, "partner", &sshd.remote(""), login));
    provider.file("customers/acme.toml", customer);
    provider
}

fn source(sshd: &Sshd, name: &str, path: &str, login: &str) -> String {
    let (port, user, known_hosts) = (sshd.port(), sshd.user(), sshd.path("known_hosts"));
    format!(
        "\n[sources.{name}]\ntype = \"sftp\"\nhost = \"127.0.0.1\"\nport = {port}\nuser = {user:?}\n\
         {login}\nknown_hosts = {known_hosts:?}\npath = {path:?}\n"
    )
}

fn by_password(sshd: &Sshd, password: &str) -> SshLogin {
    fs::write(sshd.path("password"), password).unwrap();
    let password = Some(SecretSource::File(sshd.path("password")));
    SshLogin { password, ..SshLogin::default() }
}

/// Whether a password was refused, and what is told.
#[track_caller]
fn refused(place: &Sftp) -> (bool, String) {
    match Session::open(place) {
        Err(Refusal::Login { password, advice }) => (password, advice),
        other => panic!("{other:?}"),
    }
}

/// What is told of a host key that is not trusted.
#[track_caller]
fn distrusted(place: &Sftp) -> (String, Option<String>) {
    match Session::open(place) {
        Err(Refusal::HostKey { advice, line }) => (advice, line),
        other => panic!("{other:?}"),
    }
}

/// The fingerprint of a host key, as OpenSSH prints it.
fn fingerprint(sshd: &Sshd, kind: &str) -> String {
    let key = sshd.path(&format!("host_{kind}.pub"));
    let output = Command::new("ssh-keygen").arg("-lf").arg(key).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_refused_password_is_tried_three_times_however_many_ask() {
    let sshd = Sshd::start_as(Wish { password: Some("right"), ..Wish::default() });
    let folder = sshd.path("ledger");
    let mut wrong = place(&sshd);
    wrong.login = by_password(&sshd, "wrong");
    let wrong = Arc::new(wrong);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::open(&folder).unwrap();
        let logins = Logins::default();
        let stop = CancellationToken::new();
        for opened in join_all((0..5).map(|_| logins.open(&wrong, &ledger, &stop))).await {
            let refusal = opened.unwrap().unwrap_err();
            assert!(matches!(refusal, Refusal::Login { password: true, .. }), "{refusal:?}");
        }
        assert_eq!(tries(&sshd), 3);

        // Over a restart, and from another folder there.
        drop(ledger);
        let ledger = Ledger::open(&folder).unwrap();
        let logins = Logins::default();
        let other = Arc::new(Sftp { path: "elsewhere".to_owned(), ..(*wrong).clone() });
        let refusal = logins.open(&other, &ledger, &stop).await.unwrap().unwrap_err();
        assert!(refusal.to_string().contains("left alone"), "{refusal}");
        assert_eq!(tries(&sshd), 3);

        // When it changed, it is tried again, and once it is right all is forgotten.
        by_password(&sshd, "wrong again");
        assert!(logins.open(&wrong, &ledger, &stop).await.unwrap().is_err());
        assert_eq!(tries(&sshd), 4);
        by_password(&sshd, "right");
        logins.open(&wrong, &ledger, &stop).await.unwrap().unwrap();
        by_password(&sshd, "wrong");
        for _ in 0..4 {
            assert!(logins.open(&wrong, &ledger, &stop).await.unwrap().is_err());
        }
        assert_eq!(tries(&sshd), 7);
    });
}

/// How many passwords the server has refused.
fn tries(sshd: &Sshd) -> usize {
    sshd.log().matches("Failed password for ").count()
}

#[test]
fn a_try_that_tells_no_password_is_not_counted() {
    let mut sshd = Sshd::start_as(Wish { password: Some("right"), ..Wish::default() });
    let folder = sshd.path("ledger");
    let mut place = place(&sshd);
    place.login = by_password(&sshd, "right");
    let place = Arc::new(place);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::open(&folder).unwrap();
        let (logins, stop) = (Logins::default(), CancellationToken::new());
        sshd.stop();
        for _ in 0..4 {
            let refusal = logins.open(&place, &ledger, &stop).await.unwrap().unwrap_err();
            assert!(matches!(refusal, Refusal::Unreachable(_)), "{refusal:?}");
        }
        sshd.launch();
        logins.open(&place, &ledger, &stop).await.unwrap().unwrap();
    });
}

#[test]
fn a_greeting_that_never_ends_is_cut_off() {
    let sshd = Sshd::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Sftp { port: listener.local_addr().unwrap().port(), ..place(&sshd) };
    let talks = std::thread::spawn(move || {
        let mut tcp = listener.accept().unwrap().0;
        // What comes before "SSH-" is for a person (RFC 4253, section 4.2).
        while tcp.write_all(b"welcome\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let opened = Session::open_by(&place, &Cord::default(), Duration::from_secs(1));
    let Err(Refusal::Unreachable(error)) = opened else { panic!("{opened:?}") };
    let what = format!("127.0.0.1:{} has let nobody in after 1s", place.port);
    assert!(format!("{error:#}").starts_with(&what), "{error:#}");
    talks.join().unwrap();
}

#[test]
fn a_listing_that_does_not_come_is_cut_off() {
    let sshd = Sshd::start();
    let session = Session::open(&place(&sshd)).unwrap();
    sshd.freeze();
    let error = session.list_within(&sshd.remote(""), Duration::from_secs(1)).unwrap_err();
    assert!(format!("{error:#}").contains("has not ended after 1s"), "{error:#}");
    assert!(Session::is_broken(&error));
}

/// An SFTP server (draft-ietf-secsh-filexfer-02) whose listings never end.
const ENDLESS: &str = r#"
binmode STDIN; binmode STDOUT; $| = 1;
sub take { read(STDIN, my $bytes, $_[0]) == $_[0] or exit; $bytes }
sub answer { print pack('NC', 1 + length $_[1], $_[0]) . $_[1] }
while (1) {
    my ($kind, $id, $rest) = unpack 'Ca4a*', take(unpack 'N', take(4));
    if ($kind == 1) { answer(2, pack 'N', 3) }
    elsif ($kind == 11) {
        ($name, $count) = $rest =~ /dots$/ ? ('.', 400) : ('x' x 300, 50);
        answer(102, $id . pack 'N/a*', 'handle');
    }
    elsif ($kind == 12) {
        my $entry = pack 'N/a* N/a* N Q> N N N', $name, '', 13, 5, 0100644, 1, 1;
        answer(104, $id . pack('N', $count) . $entry x $count);
    }
    else { answer(101, $id . pack 'N N N', 0, 0, 0) }
}
"#;

#[test]
fn a_listing_that_never_ends_is_given_up() {
    let scripts = tempfile::tempdir().unwrap();
    let script = scripts.path().join("server.pl");
    fs::write(&script, ENDLESS).unwrap();
    let config = format!("ForceCommand perl {}", script.display());
    let sshd = Sshd::start_as(Wish { config: &config, ..Wish::default() });
    let session = Session::open(&place(&sshd)).unwrap();
    let told = |folder: &str| format!("{:#}", session.list(folder).unwrap_err());
    let dots = told("/dots");
    assert!(dots.contains("holds more than 250000 entries"), "{dots}");
    let long = told("/long");
    assert!(long.contains("take more than 64 MiB"), "{long}");
}
