//! Sftp: sessions at partners' SFTP servers, for files that come and files that go. ssh2 is named in
//! this folder only.
//!
//! One session is one lock (ssh2), and every call blocks: each has a thread of its own while it is
//! used, and is never used by two.

mod cord;
mod guard;
mod host_key;
mod line;
mod login;
mod private_key;
mod refusal;
mod session;

pub use cord::Cord;
pub use guard::Logins;
pub use line::Line;
pub use refusal::{Refusal, alarm_of};
pub use session::{Entry, Kind, Session, Stat};

/// The path of a name in a remote folder.
pub fn path_of(folder: &str, name: &str) -> String {
    match folder.ends_with('/') {
        true => format!("{folder}{name}"),
        false => format!("{folder}/{name}"),
    }
}
