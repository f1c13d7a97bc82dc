//! The package: what it installs, what it asks for, what its scripts do, and that the config it
//! brings can be filled in.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::harness::*;

/// The package, built of the program under test and unpacked; its scripts lie in `DEBIAN`.
static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    let _ = fs::remove_dir_all(&folder);
    let (target, tree) = (folder.join("target"), folder.join("tree"));
    fs::create_dir_all(target.join("release")).unwrap();
    fs::copy(binary(), target.join("release/lighterman")).unwrap();
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("debian/build");
    let package = folder.join("lighterman.deb");
    run(Command::new(build)
        .args(["--no-build", "--offline", "--fast", "-o"])
        .arg(&package)
        .env("CARGO_TARGET_DIR", &target));
    run(Command::new("dpkg-deb").arg("--raw-extract").args([&package, &tree]));
    tree
});

/// Runs a command that is to succeed; its stdout.
#[track_caller]
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}: {stderr}");
    String::from_utf8(stdout).unwrap()
}

fn read(name: &str) -> String {
    let path = TREE.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The files below a folder of the package, by their paths in it.
fn files(below: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![TREE.join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path.strip_prefix(&*TREE).unwrap().to_str().unwrap().into()),
            }
        }
    }
    files.sort();
    files
}

#[test]
fn the_package_holds_the_program_its_units_its_user_and_its_config() {
    assert_eq!(
        [files("usr/bin"), files("usr/lib"), files("etc")].concat(),
        [
            "usr/bin/lighterman",
            "usr/lib/systemd/system/lighterman-once.service",
            "usr/lib/systemd/system/lighterman-once.timer",
            "usr/lib/systemd/system/lighterman.service",
            "usr/lib/systemd/system/lighterman@.service",
            "usr/lib/sysusers.d/lighterman.conf",
            "usr/lib/tmpfiles.d/lighterman.conf",
            "etc/lighterman/customers/acme.toml.example",
            "etc/lighterman/lighterman.toml",
            "etc/lighterman/mappings/acme-releases.toml.example",
            "etc/lighterman/mappings/aka/terminals.csv.example",
        ]
    );
    assert_eq!(files("").iter().filter(|file| mode(&TREE.join(file)) & 0o022 != 0).count(), 0);
    let version = run(Command::new(TREE.join("usr/bin/lighterman")).arg("--version"));
    assert_eq!(version, format!("lighterman {}\n", env!("CARGO_PKG_VERSION")));
    for service in ["lighterman.service", "lighterman-once.service", "lighterman@.service"] {
        let text = read(&format!("usr/lib/systemd/system/{service}"));
        assert!(text.contains("ExecStart=/usr/bin/lighterman "), "{service}");
    }
    for document in [
        "README.md",
        "CHANGELOG.md",
        "copyright",
        "examples/folders.conf",
        "examples/mappings/releases-out.toml",
        "examples/mappings/aka/creators.csv",
        "examples/mappings/aka/green-lights.csv",
        "examples/mappings/aka/green-light-meanings.csv",
    ] {
        assert!(!read(&format!("usr/share/doc/lighterman/{document}")).is_empty());
    }
}

#[test]
fn an_upgrade_leaves_every_file_in_etc_as_it_was_edited() {
    // deb-conffiles(5): what is named here is only replaced if nobody has changed it.
    let named = read("DEBIAN/conffiles");
    let mut named: Vec<&str> = named.lines().map(|line| line.trim_start_matches('/')).collect();
    named.sort_unstable();
    assert_eq!(named, files("etc"));
}

#[test]
fn the_package_asks_for_what_the_program_needs() {
    let control = read("DEBIAN/control");
    let depends = control.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap();
    let depends: Vec<&str> = depends.split(", ").collect();
    for wanted in ["ca-certificates", "tzdata", "systemd (>= 252)", "procps"] {
        assert!(depends.contains(&wanted), "{wanted}: {depends:?}");
    }
    assert!(depends.iter().any(|depend| depend.starts_with("libc6 (>=")), "{depends:?}");
}

#[test]
fn every_command_has_a_man_page_and_bash_completes_it() {
    let pages = files("usr/share/man/man1");
    for command in [
        "run",
        "check",
        "status",
        "quarantine-retry",
        "outbox",
        "outbox-discard",
        "scr-pincode",
        "cpu-entities",
        "ledger-export",
    ] {
        let page = format!("usr/share/man/man1/lighterman-{command}.1.gz");
        assert!(pages.contains(&page), "{page}: {pages:?}");
        let text = run(Command::new("gzip").arg("-dc").arg(TREE.join(page)));
        assert!(text.contains(&format!(".TH lighterman-{command} 1")), "{text}");
    }
    assert!(pages.contains(&"usr/share/man/man1/lighterman.1.gz".to_owned()));
    let script = "source \"$1\"; COMP_WORDS=(lighterman quarantine re); COMP_CWORD=2
                  _lighterman lighterman re quarantine; echo \"${COMPREPLY[@]}\"";
    let bash = TREE.join("usr/share/bash-completion/completions/lighterman");
    assert_eq!(run(Command::new("bash").args(["-c", script, "bash"]).arg(bash)), "retry\n");
    let zsh = read("usr/share/zsh/vendor-completions/_lighterman");
    assert!(zsh.starts_with("#compdef lighterman"), "{zsh}");
    let fish = read("usr/share/fish/vendor_completions.d/lighterman.fish");
    assert!(fish.contains("complete -c lighterman"), "{fish}");
}

/// What a script of the package calls, where the service manager runs or does not; and which of
/// these files are left. `/etc` and `/var/lib` are the script's own, with nothing else in them.
#[track_caller]
fn script(arguments: &[&str], runs: bool, there: &[&str]) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    for command in ["systemctl", "systemd-sysusers", "systemd-tmpfiles"] {
        let file = folder.path().join(command);
        fs::write(&file, format!("#!/bin/sh\necho \"{command} $*\" >> {path}/calls\n")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let around = format!(
        "for mount in /run /etc /var/lib; do mount -t tmpfs none $mount || exit 1; done
         {} || exit 1
         for file in {}; do mkdir -p \"${{file%/*}}\" && touch $file || exit 1; done
         PATH={path}:$PATH {}/DEBIAN/{} && find /etc /var/lib -type f | sort",
        if runs { "mkdir -p /run/systemd/system" } else { "true" },
        there.join(" "),
        TREE.display(),
        arguments.join(" "),
    );
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let left = run(unshare.args(["--mount", "sh", "-c", &around]));
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect();
    (lines(&calls), lines(&left))
}

#[test]
fn an_installation_makes_the_user_and_the_folders_and_starts_nothing() {
    const MADE: [&str; 2] =
        ["systemd-sysusers lighterman.conf", "systemd-tmpfiles --create lighterman.conf"];
    let calls = |arguments: &[&str], runs| script(arguments, runs, &[]).0;
    assert_eq!(calls(&["postinst", "configure"], false), MADE);
    let reload = "systemctl daemon-reload";
    assert_eq!(calls(&["postinst", "configure", "''"], true), [&MADE[..], &[reload]].concat());
    // On an upgrade what runs is started anew, and nothing else.
    let again =
        "systemctl try-restart lighterman.service lighterman@*.service lighterman-once.timer";
    let upgrade = calls(&["postinst", "configure", "0.0.9"], true);
    assert_eq!(upgrade, [&MADE[..], &[reload, again]].concat());
    assert_eq!(calls(&["prerm", "upgrade", "0.2.0"], true), [""; 0]);
    assert_eq!(calls(&["prerm", "remove"], false), [""; 0]);
    let stop = calls(&["prerm", "remove"], true);
    assert!(stop.len() == 1 && stop[0].starts_with("systemctl stop lighterman"), "{stop:?}");
}

#[test]
fn a_purge_takes_the_links_and_leaves_the_state() {
    let links = ["lighterman.service", "lighterman@acme.service", "other.service"]
        .map(|unit| format!("/etc/systemd/system/multi-user.target.wants/{unit}"));
    let there = [&links[0], &links[1], &links[2], "/var/lib/lighterman/uat/ledger"];
    assert_eq!(script(&["postrm", "remove"], true, &there).1, there);
    assert_eq!(script(&["postrm", "purge"], true, &there).1, there[2..]);
}

#[test]
fn the_user_and_the_folders_come_out_closed() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT SHOWN: only root can give folders to a user");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("etc")).unwrap();
    for name in ["usr/lib/sysusers.d", "usr/lib/tmpfiles.d"] {
        fs::create_dir_all(root.join(name)).unwrap();
        let file = format!("{name}/lighterman.conf");
        fs::copy(TREE.join(&file), root.join(file)).unwrap();
    }
    let root_option = format!("--root={}", root.display());
    run(Command::new("systemd-sysusers").args([&root_option, "lighterman.conf"]));
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    let user = users.lines().find(|line| line.starts_with("lighterman:")).unwrap();
    let user: Vec<&str> = user.split(':').collect();
    assert_eq!(user[5..], ["/var/lib/lighterman", "/usr/sbin/nologin"]);
    run(Command::new("systemd-tmpfiles").args(["--create", &root_option, "lighterman.conf"]));
    for (name, owner) in [
        ("var/lib/lighterman", user[2]),
        ("etc/lighterman/secrets", user[2]),
        ("etc/lighterman/credentials", "0"),
    ] {
        let path = root.join(name);
        let of = fs::metadata(&path).unwrap().uid().to_string();
        assert_eq!((mode(&path), of.as_str()), (0o700, owner), "{name}");
    }
}

#[test]
fn the_config_that_comes_with_it_can_be_checked_and_filled_in() {
    let provider = Provider::copy_of(&TREE.join("etc/lighterman"));
    // As it is: what the service checks at its start is well, and there is nothing to do.
    let unit = read("usr/lib/systemd/system/lighterman.service");
    let before = unit.lines().find_map(|line| line.strip_prefix("ExecStartPre=")).unwrap();
    let config = provider.path("lighterman.toml");
    let before = before.replace("/etc/lighterman/lighterman.toml", config.to_str().unwrap());
    let arguments: Vec<&str> = before.split(' ').skip(1).collect();
    let check = provider.run(&arguments);
    assert_eq!(check.code, 0, "{check}");
    let check = provider.run(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    assert!(check.stderr.contains("there is no customer"), "{check}");

    // Filled in, as its comments say.
    let text = fs::read_to_string(&config).unwrap();
    let filled_in = |line: &str| match line.strip_prefix('#') {
        Some(line) if line.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
            format!("{line}\n")
        }
        _ => format!("{line}\n"),
    };
    fs::write(&config, text.lines().map(filled_in).collect::<String>()).unwrap();
    for name in ["customers/acme.toml", "mappings/acme-releases.toml", "mappings/aka/terminals.csv"]
    {
        fs::copy(provider.path(&format!("{name}.example")), provider.path(name)).unwrap();
    }
    let check = provider.run(&["check"]);
    assert_eq!(check.code, 1, "{check}");
    for secret in ["nxtport", "scr", "acme"] {
        assert!(check.stderr.contains(&format!("secrets/{secret}")), "{check}");
        provider.secret(secret, "a-secret-of-thirty-two-bytes-or-more");
    }
    let check = provider.run(&["check"]);
    let warned = "customers/acme.toml:8: warning: the folder /srv/erp/out does not exist\n";
    assert_eq!((check.code, check.stderr.as_str()), (0, warned), "{check}");
    assert!(check.stdout.contains("1 customers, 1 channels"), "{check}");
}
