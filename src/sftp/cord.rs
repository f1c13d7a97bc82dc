//! Cord: what a session's connection hangs by. Whoever waits for the session can cut it, since
//! libssh2's own deadlines are for one answer each: a server that always says a little never ends.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

/// What a session's connection hangs by. Copies are of the same connection.
#[derive(Clone, Debug, Default)]
pub struct Cord(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    connection: Mutex<Connection>,
    told_password: AtomicBool,
}

#[derive(Debug, Default)]
enum Connection {
    #[default]
    Awaited,
    Open(TcpStream),
    Cut,
}

/// A time after which the connection is cut, unless this is dropped before.
#[derive(Debug)]
pub struct Deadline {
    passed: Arc<AtomicBool>,
    _reached: mpsc::Sender<()>,
}

impl Cord {
    /// Takes hold of a connection.
    pub fn tie(&self, tcp: &TcpStream) -> anyhow::Result<()> {
        let tcp = tcp.try_clone().context("the connection cannot be set up")?;
        let mut connection = self.connection();
        if matches!(*connection, Connection::Cut) {
            bail!("nobody waits for it any more");
        }
        *connection = Connection::Open(tcp);
        Ok(())
    }

    /// Ends the connection: whatever waits for the server fails at once.
    pub fn cut(&self) {
        let was = std::mem::replace(&mut *self.connection(), Connection::Cut);
        if let Connection::Open(tcp) = was {
            // It may be closed already.
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }

    /// The password is told from here on.
    pub fn tell_password(&self) {
        self.0.told_password.store(true, Ordering::SeqCst);
    }

    /// What was told was taken.
    pub fn let_in(&self) {
        self.0.told_password.store(false, Ordering::SeqCst);
    }

    /// Whether the password may have been told, and was not taken.
    pub fn told_password(&self) -> bool {
        self.0.told_password.load(Ordering::SeqCst)
    }

    /// Cuts after so long, unless the deadline is dropped before.
    pub fn deadline(&self, patience: Duration) -> anyhow::Result<Deadline> {
        let (reached, end) = mpsc::channel::<()>();
        let passed = Arc::new(AtomicBool::new(false));
        let (cord, told) = (self.clone(), Arc::clone(&passed));
        let wait = move || {
            if end.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                told.store(true, Ordering::SeqCst);
                cord.cut();
            }
        };
        thread::Builder::new()
            .name("sftp-deadline".to_owned())
            .spawn(wait)
            .context("no thread can be started")?;
        Ok(Deadline { passed, _reached: reached })
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deadline {
    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        self.passed.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    #[test]
    fn a_deadline_that_passes_ends_what_waits_for_the_server() {
        let (mut one, _other) = connected();
        let cord = Cord::default();
        cord.tie(&one).unwrap();
        let deadline = cord.deadline(Duration::from_millis(10)).unwrap();
        assert_eq!(one.read(&mut [0]).unwrap(), 0);
        assert!(deadline.passed());
    }

    #[test]
    fn a_deadline_that_was_met_cuts_nothing() {
        let (one, mut other) = connected();
        let cord = Cord::default();
        cord.tie(&one).unwrap();
        drop(cord.deadline(Duration::MAX).unwrap());
        std::io::Write::write_all(&mut &one, b"x").unwrap();
        assert_eq!(other.read(&mut [0]).unwrap(), 1);
    }

    #[test]
    fn what_comes_after_the_cut_is_not_begun() {
        let (one, _other) = connected();
        let cord = Cord::default();
        cord.cut();
        assert!(cord.tie(&one).is_err());
    }
}
