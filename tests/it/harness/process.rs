//! The binary as a process: run to its end within a limit, or left running.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::LIMIT;

/// What a process left when it ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit status; 128 and the signal's number if a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A process that runs. Dropping it kills it.
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
}

/// The binary: the one built with the tests, or that of `LIGHTERMAN_BINARY`.
pub fn binary() -> PathBuf {
    let built = || env!("CARGO_BIN_EXE_lighterman").into();
    std::env::var_os("LIGHTERMAN_BINARY").unwrap_or_else(built).into()
}

impl Running {
    /// Starts the binary in `folder`.
    pub fn start(folder: &Path, arguments: &[&str]) -> Running {
        Running::start_in(folder, arguments, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_in(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Running {
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let child = Command::new(binary())
            .args(arguments)
            .current_dir(folder)
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap())
            .spawn()
            .unwrap();
        Running { child, stdout, stderr }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop: SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Has it read its secrets anew: SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Ends it on the spot: SIGKILL.
    pub fn kill(self) -> Finished {
        self.signal(Signal::KILL);
        self.end()
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(self) -> Finished {
        self.terminate();
        self.end()
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        // It may have ended already.
        let _ = kill_process(id, signal);
    }

    /// Waits for its end; one that takes longer than the limit is killed, and the test fails.
    #[track_caller]
    pub fn end(mut self) -> Finished {
        match self.wait(LIMIT) {
            Some(status) => self.finished(status),
            None => {
                let _ = self.child.kill();
                let status = self.child.wait().unwrap();
                panic!("it did not end within {LIMIT:?}: {}", self.finished(status));
            }
        }
    }

    /// Waits so long for its end.
    pub fn end_within(mut self, patience: Duration) -> Result<Finished, Running> {
        match self.wait(patience) {
            Some(status) => Ok(self.finished(status)),
            None => Err(self),
        }
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap();
        Finished { code, stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All of a file that a process writes to, by a handle of its own so as not to move the other.
fn read(file: &File) -> String {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let mut bytes = Vec::new();
    let mut file = File::open(path).unwrap();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Finished {
    /// Shows all that it said if it did not end with this exit status.
    #[track_caller]
    pub fn ended(&self, code: i32) {
        assert_eq!(self.code, code, "{self}");
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Finished { code, stdout, stderr } = self;
        write!(f, "exit status {code}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }
}
