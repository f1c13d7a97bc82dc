//! Session: a login at an SFTP server, and the few things that are done there.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use ssh2::{
    ErrorCode, FileStat, FileType, MethodType, OpenFlags, OpenType, RenameFlags, Sftp as Channel,
};

use super::cord::Cord;
use super::host_key::KnownHosts;
use super::login;
use super::refusal::Refusal;
use crate::config::Sftp;
use crate::disk;

/// How long a connection may take, over all addresses of the host.
const CONNECT: Duration = Duration::from_secs(10);
/// How long connection and login may take together.
pub const LOGIN: Duration = Duration::from_secs(60);
/// How long one listing may take.
const LISTING: Duration = Duration::from_secs(600);
/// How long a file may take that is written.
const WRITING: Duration = Duration::from_secs(600);
/// How long one operation may take, in milliseconds.
const OPERATION: u32 = 30_000;
/// The same for the last words of a session that is given up.
const FAREWELL: u32 = 1_000;
/// `keep_alive` says nothing if something was said less than so many seconds ago: the least that
/// libssh2 knows.
const SILENCE: u32 = 2;
/// How many entries a folder may have, and how many bytes their names: they are held at once.
const ENTRIES: usize = 250_000;
const NAMES: usize = 64 << 20;

/// What OpenSSH offers (ssh_config(5), "Ciphers"), what costs libssh2 least first: it gives the
/// others to OpenSSL block by block, and took 3.0 s of CPU for a GiB by ChaCha20, 3.8 s by AES-CTR
/// and 5.2 s by AES-GCM.
const CIPHERS: &str = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,\
                       aes128-gcm@openssh.com,aes256-gcm@openssh.com";

// Codes of libssh2.h (`LIBSSH2_ERROR_*`), which ssh2 does not name.
const NO_MORE_ENTRIES: ErrorCode = ErrorCode::Session(-16);
const STATUS: ErrorCode = ErrorCode::Session(-31);
/// What is wrong with the arguments: the session is sound.
const INVALID: ErrorCode = ErrorCode::Session(-34);
// Status codes of draft-ietf-secsh-filexfer-02, section 7, and of its later versions.
const NO_SUCH_FILE: ErrorCode = ErrorCode::SFTP(2);
const NO_CONNECTION: ErrorCode = ErrorCode::SFTP(6);
const CONNECTION_LOST: ErrorCode = ErrorCode::SFTP(7);
const NO_SUCH_PATH: ErrorCode = ErrorCode::SFTP(10);

/// A logged-in session with a server. It is one lock: used by one thread at a time.
pub struct Session {
    // Dropped in this order.
    sftp: Channel,
    ssh: ssh2::Session,
    tcp: TcpStream,
    cord: Cord,
    server: String,
    broken: Cell<bool>,
}

/// What the server says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified, by the server's clock, in seconds since 1970.
    pub modified: u64,
    /// What it is.
    pub kind: Kind,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; also what a server does not tell the kind of.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// An entry of a remote folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name as the server says it, unchecked.
    pub name: Vec<u8>,
    /// What is said of it.
    pub stat: Stat,
}

impl Session {
    /// Connects, compares the host key and logs in. It blocks.
    pub fn open(place: &Sftp) -> Result<Session, Refusal> {
        Session::open_by(place, &Cord::default(), LOGIN)
    }

    /// The same within so long, or until the cord is cut.
    pub fn open_by(place: &Sftp, cord: &Cord, patience: Duration) -> Result<Session, Refusal> {
        let server = match place.port {
            22 => place.host.clone(),
            port => format!("{}:{port}", place.host),
        };
        let deadline = cord.deadline(patience).map_err(Refusal::Unreachable)?;
        let tcp = connect(place).map_err(Refusal::Unreachable)?;
        cord.tie(&tcp).map_err(Refusal::Unreachable)?;
        let opened = shake_hands(place, &tcp, &server).and_then(|ssh| {
            login::log_in(&ssh, place, &server, cord)?;
            cord.let_in();
            let channel = ssh.sftp();
            let channel = channel.with_context(|| format!("{server} opens no SFTP channel"));
            Ok((channel.map_err(Refusal::Unreachable)?, ssh))
        });
        match opened {
            Ok((sftp, ssh)) => {
                let (cord, broken) = (cord.clone(), Cell::new(false));
                Ok(Session { sftp, ssh, tcp, cord, server, broken })
            }
            Err(refusal) => {
                // What is left of it would wait for the server's farewell.
                let _ = tcp.shutdown(Shutdown::Both);
                Err(match refusal {
                    Refusal::Unreachable(error) if deadline.passed() => {
                        let what = format!("{server} has let nobody in after {patience:?}");
                        Refusal::Unreachable(error.context(what))
                    }
                    refusal => refusal,
                })
            }
        }
    }

    /// The entries of a folder, `.` and `..` left out. Links are told as links.
    pub fn list(&self, folder: &str) -> anyhow::Result<Vec<Entry>> {
        self.list_within(folder, LISTING)
    }

    /// The same within so long.
    pub fn list_within(&self, folder: &str, patience: Duration) -> anyhow::Result<Vec<Entry>> {
        let deadline = self.cord.deadline(patience)?;
        let listed = self.list_at_leisure(folder);
        match deadline.passed() {
            true => listed.with_context(|| {
                let what = format!("the listing of {folder} has not ended after {patience:?}");
                format!("{what}; have the folder cleared out, or the server mended")
            }),
            false => listed,
        }
    }

    fn list_at_leisure(&self, folder: &str) -> anyhow::Result<Vec<Entry>> {
        let doing = || format!("cannot list {folder} on {}", self.server);
        let mut opened = self.told(self.sftp.opendir(folder)).with_context(doing)?;
        let mut entries = Vec::new();
        // A server may say the same over and over: all that it says is counted.
        let (mut said, mut bytes) = (0, 0);
        loop {
            let (name, stat) = match opened.readdir() {
                Ok(entry) => entry,
                Err(error) if error.code() == NO_MORE_ENTRIES => return Ok(entries),
                Err(error) => return self.told(Err(error)).with_context(doing),
            };
            let name = name.as_os_str().as_bytes();
            (said, bytes) = (said + 1, bytes + name.len());
            if said > ENTRIES {
                bail!("{folder} on {} holds more than {ENTRIES} entries", self.server);
            }
            if bytes > NAMES {
                let most = NAMES >> 20;
                bail!("the names in {folder} on {} take more than {most} MiB", self.server);
            }
            if name == b"." || name == b".." {
                continue;
            }
            let whole = stat.size.is_some() && stat.mtime.is_some();
            let stat = match std::str::from_utf8(name) {
                // A server need not say everything in a listing.
                Ok(name) if !whole => self.stat(&super::path_of(folder, name))?,
                _ => Some(Stat::of(&stat)),
            };
            entries.extend(stat.map(|stat| Entry { name: name.to_owned(), stat }));
        }
    }

    /// What is said of a path, of the link itself if it is one. None if it is not there.
    pub fn stat(&self, path: &str) -> anyhow::Result<Option<Stat>> {
        match self.told(self.sftp.lstat(Path::new(path))) {
            Ok(stat) => Ok(Some(Stat::of(&stat))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot look at {}", self.at(path))),
        }
    }

    /// The bytes of a file from this offset on. With each read, four times as much as fits into the
    /// buffer is asked for ahead (libssh2, `sftp_read`), in requests of their own.
    pub fn read<'s>(&'s self, path: &str, from: u64) -> anyhow::Result<impl Read + use<'s>> {
        let doing = || format!("cannot read {}", self.at(path));
        let mut file = self.told(self.sftp.open(path)).with_context(doing)?;
        file.seek(SeekFrom::Start(from)).with_context(doing)?;
        Ok(Remote { session: self, file })
    }

    /// Whether a file holds just these bytes.
    pub fn holds(&self, path: &str, bytes: &[u8]) -> anyhow::Result<bool> {
        let mut held = Vec::new();
        let most = bytes.len() as u64 + 1;
        let read = self.read(path, 0)?.take(most).read_to_end(&mut held);
        read.with_context(|| format!("cannot read {}", self.at(path)))?;
        Ok(held == bytes)
    }

    /// Writes a file anew, whatever it held before, as durably as the server lets us.
    pub fn write(&self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let doing = || format!("cannot write {}", self.at(path));
        let _deadline = self.cord.deadline(WRITING)?;
        disk::step("remote write", Path::new(path)).with_context(doing)?;
        let anew = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let file = self.sftp.open_mode(path, anew, 0o640, OpenType::File);
        let mut remote = Remote { file: self.told(file).with_context(doing)?, session: self };
        remote.write_all(bytes).with_context(doing)?;
        match self.told(remote.file.fsync()) {
            Err(error) if is_broken(&error) => Err(error).with_context(doing),
            // Only some servers know how to (fsync@openssh.com).
            _ => Ok(()),
        }
    }

    /// The folder that a path leads to, links followed, as the server names it; none where it does
    /// not say so.
    pub fn real_path(&self, path: &str) -> anyhow::Result<Option<String>> {
        match self.told(self.sftp.realpath(Path::new(path))) {
            Ok(path) => Ok(path.to_str().map(str::to_owned)),
            Err(error) if is_broken(&error) => {
                Err(error).with_context(|| format!("cannot look at {}", self.at(path)))
            }
            Err(_) => Ok(None),
        }
    }

    /// Renames a file, never over another one: false if the new name is taken.
    pub fn rename(&self, from: &str, to: &str) -> anyhow::Result<bool> {
        if self.stat(to)?.is_some() {
            return Ok(false);
        }
        disk::step("remote rename", Path::new(to))?;
        let renamed = self.sftp.rename(Path::new(from), Path::new(to), Some(RenameFlags::empty()));
        match self.told(renamed) {
            Ok(()) => Ok(true),
            // A taken name is refused with a mere "failure": somebody was faster.
            Err(error) if !is_broken(&error) && self.stat(to)?.is_some() => Ok(false),
            Err(error) => Err(error)
                .with_context(|| format!("cannot rename {from} to {to} on {}", self.server)),
        }
    }

    /// Makes a folder with its parents, if it is not there.
    pub fn make_folder(&self, path: &str) -> anyhow::Result<()> {
        let path = path.trim_end_matches('/');
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        let steps: Vec<&str> = ends.map(|end| &path[..end]).filter(|s| !s.is_empty()).collect();
        // A parent that must not be looked at may be there all the same.
        let there = steps.iter().rposition(|step| self.is_folder(step).unwrap_or(true));
        for step in &steps[there.map_or(0, |there| there + 1)..] {
            disk::step("remote make", Path::new(step))?;
            if let Err(error) = self.told(self.sftp.mkdir(Path::new(step), 0o755))
                && (is_broken(&error) || !self.is_folder(step).unwrap_or(false))
            {
                return Err(error)
                    .with_context(|| format!("cannot make the folder {}", self.at(step)));
            }
        }
        Ok(())
    }

    /// Removes a file: false if it was not there.
    pub fn remove(&self, path: &str) -> anyhow::Result<bool> {
        disk::step("remote remove", Path::new(path))?;
        match self.told(self.sftp.unlink(Path::new(path))) {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot remove {}", self.at(path))),
        }
    }

    /// Says something, so that neither the server nor what lies between takes a silent connection
    /// for dead.
    pub fn keep_alive(&self) -> anyhow::Result<()> {
        // While it is set, no operation may take longer than this (libssh2, `ssh2_wait_socket`).
        self.ssh.set_keepalive(false, SILENCE);
        let sent = self.told(self.ssh.keepalive_send());
        self.ssh.set_keepalive(false, 0);
        sent.map(drop).with_context(|| format!("the connection to {} does not hold", self.server))
    }

    /// Whether an error was a time-out or a lost connection: the session is not to be used again.
    pub fn is_broken(error: &anyhow::Error) -> bool {
        error.chain().any(|cause| {
            let of_read = || cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<Broken>();
            cause.downcast_ref::<ssh2::Error>().is_some_and(is_broken) || of_read().is_some()
        })
    }

    /// Whether there is a folder, or a link to one.
    fn is_folder(&self, path: &str) -> anyhow::Result<bool> {
        match self.told(self.sftp.stat(Path::new(path))) {
            Ok(stat) => Ok(Stat::of(&stat).kind == Kind::Folder),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes note of a broken connection: it is cut, so that nothing waits for it any more, least
    /// of all the farewells of handle, channel and session, of up to `OPERATION` each.
    fn told<T>(&self, outcome: Result<T, ssh2::Error>) -> Result<T, ssh2::Error> {
        if outcome.as_ref().err().is_some_and(is_broken) {
            self.cut();
        }
        outcome
    }

    fn cut(&self) {
        self.broken.set(true);
        // It may be closed already.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }

    fn at(&self, path: &str) -> String {
        format!("{path} on {}", self.server)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.broken.get() {
            self.ssh.set_timeout(FAREWELL);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Stat {
    fn of(stat: &FileStat) -> Stat {
        let kind = match stat.file_type() {
            FileType::RegularFile | FileType::Other(0) => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        Stat { size: stat.size.unwrap_or(0), modified: stat.mtime.unwrap_or(0), kind }
    }
}

/// A remote file that is being read or written.
struct Remote<'s> {
    file: ssh2::File,
    session: &'s Session,
}

impl Read for Remote<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|error| self.told(error))
    }
}

impl Write for Remote<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| self.told(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Remote<'_> {
    /// Takes note of a broken connection.
    fn told(&self, error: io::Error) -> io::Error {
        // ssh2 drops the code on its way to io::Error; the session still has it.
        let last = ssh2::Error::last_session_error(&self.session.ssh);
        match last.is_some_and(|last| last.code() == STATUS) {
            true => error,
            false => {
                self.session.cut();
                io::Error::new(error.kind(), Broken(error.to_string()))
            }
        }
    }
}

/// The connection broke while a file was read or written.
#[derive(Debug)]
struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

fn is_broken(error: &ssh2::Error) -> bool {
    match error.code() {
        NO_CONNECTION | CONNECTION_LOST => true,
        NO_MORE_ENTRIES | INVALID | ErrorCode::SFTP(_) => false,
        ErrorCode::Session(_) => true,
    }
}

fn is_missing(error: &ssh2::Error) -> bool {
    matches!(error.code(), NO_SUCH_FILE | NO_SUCH_PATH)
}

/// Connects to the first address that answers; those that are left share what is left of the time.
fn connect(place: &Sftp) -> anyhow::Result<TcpStream> {
    let host = place.host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, place.port).to_socket_addrs();
    let addresses: Vec<_> =
        found.with_context(|| format!("the address of {host} cannot be found"))?.collect();
    let deadline = Instant::now() + CONNECT;
    let mut last = anyhow!("{host} has no address");
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let patience = deadline.saturating_duration_since(Instant::now()) / left;
        match TcpStream::connect_timeout(address, patience.max(Duration::from_millis(1))) {
            Ok(tcp) => {
                // Requests are small and wait for their answers.
                tcp.set_nodelay(true).context("the connection cannot be set up")?;
                return Ok(tcp);
            }
            Err(error) => {
                last = anyhow!(error).context(format!("{host} cannot be reached at {address}"));
            }
        }
    }
    Err(last)
}

/// A session over the connection, with good ciphers and a host key that is known.
fn shake_hands(place: &Sftp, tcp: &TcpStream, server: &str) -> Result<ssh2::Session, Refusal> {
    let set_up = || -> anyhow::Result<ssh2::Session> {
        let mut ssh = ssh2::Session::new()?;
        ssh.set_tcp_stream(tcp.try_clone()?);
        ssh.set_timeout(OPERATION);
        for ciphers in [MethodType::CryptCs, MethodType::CryptSc] {
            ssh.method_pref(ciphers, CIPHERS)?;
        }
        Ok(ssh)
    };
    let unreachable = |error: anyhow::Error, what: &str| {
        Refusal::Unreachable(error.context(format!("{server} {what}")))
    };
    let mut ssh = set_up().map_err(|error| unreachable(error, "cannot be spoken to"))?;
    let known = KnownHosts::read(&ssh, place)?;
    ssh.method_pref(MethodType::HostKey, &known.preferred())
        .and_then(|()| ssh.handshake())
        .map_err(|error| unreachable(error.into(), "does not shake hands as an SSH server"))?;
    known.check(&ssh)?;
    Ok(ssh)
}
