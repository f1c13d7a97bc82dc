//! A real OpenSSH server on loopback, with a folder, host keys and users of its own.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use super::{until, until_true};

/// OpenSSH's server starts again by its own path, which must be whole.
const SSHD: &str = "/usr/sbin/sshd";

/// A server that runs until this is dropped. Its files lie in `folder()`.
pub struct Sshd {
    place: TempDir,
    port: u16,
    server: Option<Child>,
    user: User,
}

/// What a server is to be like.
#[derive(Clone, Copy)]
pub struct Wish<'w> {
    /// The kinds of its host keys, as `ssh-keygen -t` names them.
    pub host_keys: &'w [&'w str],
    /// The password of its user, who is made for it; only root can make one. Without a password the
    /// user is the one who runs the tests, who logs in by the key `client`.
    pub password: Option<&'w str>,
    /// Further lines of sshd_config(5).
    pub config: &'w str,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Wish { host_keys: &["ed25519"], password: None, config: "" }
    }
}

/// Who logs in.
struct User {
    name: String,
    /// Whether the user was made for this server.
    made: bool,
}

impl Sshd {
    /// Starts a server with a key for the user: `client`.
    pub fn start() -> Sshd {
        Sshd::start_as(Wish::default())
    }

    /// Starts a server as is wished.
    pub fn start_as(wish: Wish) -> Sshd {
        assert!(Path::new(SSHD).exists(), "there is no {SSHD}: install the package openssh-server");
        let place = tempfile::Builder::new().prefix("lighterman-sshd-").tempdir().unwrap();
        let user = match wish.password {
            Some(password) => User::make(password),
            None => User::current(),
        };
        let mut sshd = Sshd { place, port: 0, server: None, user };
        // Its users look into it.
        fs::set_permissions(sshd.path(""), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(sshd.folder()).unwrap();
        fs::set_permissions(sshd.folder(), Permissions::from_mode(0o777)).unwrap();
        for kind in wish.host_keys {
            sshd.key(&format!("host_{kind}"), &["-t", kind, "-N", ""]);
        }
        sshd.key("client", &["-t", "ed25519", "-N", ""]);
        sshd.allow("client");
        if getuid().is_root() {
            // Where it locks itself in before the login.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        sshd.configure(wish);
        sshd.launch();
        sshd
    }

    /// A path in the server's own place, beside `folder()`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// The folder of its files: on this machine, and as the server names it. Logins begin there.
    pub fn folder(&self) -> PathBuf {
        self.path("files")
    }

    /// The same, as a text for configs.
    pub fn remote(&self, name: &str) -> String {
        self.folder().join(name).to_str().unwrap().trim_end_matches('/').to_owned()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who logs in.
    pub fn user(&self) -> &str {
        &self.user.name
    }

    /// What the server has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Makes a key `name` with `name.pub` by ssh-keygen and these options, and gives its path.
    pub fn key(&self, name: &str, options: &[&str]) -> PathBuf {
        let key = self.path(name);
        let options = options.iter().map(OsStr::new);
        let path = [OsStr::new("-q"), OsStr::new("-f"), key.as_os_str()];
        run("ssh-keygen", path.into_iter().chain(options));
        key
    }

    /// Lets a key log in.
    pub fn allow(&self, name: &str) {
        let keys = self.path("authorized_keys");
        let mut text = fs::read_to_string(&keys).unwrap_or_default();
        text += &fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        fs::write(keys, text).unwrap();
    }

    /// Writes a file `known_hosts` that knows the server's host keys of these kinds.
    pub fn known_hosts(&self, kinds: &[&str]) -> PathBuf {
        let file = self.path("known_hosts");
        let lines = kinds.iter().map(|kind| self.known_line(kind));
        fs::write(&file, lines.collect::<String>()).unwrap();
        file
    }

    /// Hashes the names in the file `known_hosts`.
    pub fn hash_known_hosts(&self) {
        let file = self.path("known_hosts");
        run("ssh-keygen", [OsStr::new("-q"), OsStr::new("-Hf"), file.as_os_str()].into_iter());
    }

    /// The line of `known_hosts` for the host key of this kind.
    pub fn known_line(&self, kind: &str) -> String {
        let key = fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
        let mut words = key.split_whitespace();
        let (kind, key) = (words.next().unwrap(), words.next().unwrap());
        format!("[127.0.0.1]:{} {kind} {key}\n", self.port)
    }

    /// The sessions that are open, as processes.
    pub fn sessions(&self) -> Vec<Pid> {
        self.server.as_ref().map(|server| descendants(server.id())).unwrap_or_default()
    }

    /// Ends all sessions on the spot; new ones are taken.
    pub fn cut(&self) {
        self.signal_sessions(Signal::KILL);
    }

    /// Stops all sessions: they are there, and answer nothing, until `thaw`.
    pub fn freeze(&self) {
        self.signal_sessions(Signal::STOP);
    }

    /// Lets frozen sessions go on.
    pub fn thaw(&self) {
        self.signal_sessions(Signal::CONT);
    }

    /// Ends the server with all sessions. `launch` starts it again on the same port.
    pub fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // What it would start meanwhile is not missed.
        let id = Pid::from_child(&server);
        let _ = kill_process(id, Signal::STOP);
        for session in descendants(server.id()) {
            let _ = kill_process(session, Signal::KILL);
        }
        let _ = server.kill();
        let _ = server.wait();
    }

    /// Starts the server, and waits until it answers.
    pub fn launch(&mut self) {
        let fixed = self.port != 0;
        let answers = (0..if fixed { 1 } else { 10 }).any(|_| {
            if !fixed {
                // Somebody else may take the port first.
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                self.port = free.local_addr().unwrap().port();
            }
            self.try_launch()
        });
        assert!(answers, "sshd does not start: {}", self.log());
    }

    fn try_launch(&mut self) -> bool {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let port = self.port;
        let server = Command::new(SSHD)
            .args(["-D", "-e", "-p", &port.to_string(), "-f"])
            .arg(self.path("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = self.server.insert(server);
        until("sshd answers or ends", || match server.try_wait().unwrap() {
            Some(_) => Some(false),
            None => has_banner(port).then_some(true),
        })
    }

    fn configure(&self, wish: Wish) {
        let path = |name: &str| self.path(name).display().to_string();
        let keys = wish
            .host_keys
            .iter()
            .map(|kind| format!("HostKey {}\n", path(&format!("host_{kind}"))));
        let password = if wish.password.is_some() { "yes" } else { "no" };
        // The first value that is given counts.
        let config = format!(
            "{}\n{}\nListenAddress 127.0.0.1\nPidFile none\nAuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication {password}\n\
             KbdInteractiveAuthentication no\nMaxStartups 200\nUseDNS no\n\
             Subsystem sftp internal-sftp -d {}\n",
            wish.config,
            keys.collect::<String>(),
            path("authorized_keys"),
            path("files"),
        );
        // Newer servers leave a client alone for a while that fails to log in.
        let patient = format!("{config}PerSourcePenalties no\n");
        let file = self.path("sshd_config");
        fs::write(&file, patient).unwrap();
        let test = Command::new(SSHD).arg("-t").arg("-f").arg(&file).output().unwrap();
        if !test.status.success() {
            fs::write(&file, config).unwrap();
        }
    }

    fn signal_sessions(&self, signal: Signal) {
        for session in self.sessions() {
            // It may have ended meanwhile.
            let _ = kill_process(session, signal);
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

impl User {
    fn current() -> User {
        let output = Command::new("id").arg("-un").output().unwrap();
        let name = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        User { name, made: false }
    }

    /// A user with a password and no shell.
    fn make(password: &str) -> User {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(getuid().is_root(), "only root can make the user that this test logs in as");
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("lighterman{}x{number}", std::process::id());
        // Only one may write the list of users at a time.
        until_true("useradd", || {
            let user = ["--no-create-home", "--home-dir", "/", "--shell", "/usr/sbin/nologin"];
            Command::new("useradd").args(user).arg(&name).status().unwrap().success()
        });
        let user = User { name, made: true };
        let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
        let line = format!("{}:{password}\n", user.name);
        std::io::Write::write_all(&mut chpasswd.stdin.take().unwrap(), line.as_bytes()).unwrap();
        assert!(chpasswd.wait().unwrap().success());
        user
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if self.made {
            // A session that was ended may not be off the list of processes yet.
            let removed = Command::new("userdel").arg("--force").arg(&self.name).output();
            let gone = removed.is_ok_and(|output| output.status.success());
            assert!(gone || std::thread::panicking(), "the user {} stays behind", self.name);
        }
    }
}

/// All processes that come from this one.
fn descendants(of: u32) -> Vec<Pid> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // proc_pid_stat(5): the parent is the second word after the name in brackets.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        parents.push((id, rest.split(' ').nth(1).unwrap().parse::<u32>().unwrap()));
    }
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    let id = |id: &u32| Pid::from_raw(i32::try_from(*id).unwrap()).unwrap();
    found[1..].iter().map(id).collect()
}

fn has_banner(port: u16) -> bool {
    let Ok(mut tcp) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut banner = [0; 4];
    tcp.read_exact(&mut banner).is_ok() && &banner == b"SSH-"
}

fn run<'a>(program: &str, arguments: impl Iterator<Item = &'a OsStr>) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} does not run ({error}): install the package openssh-client")
    });
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
