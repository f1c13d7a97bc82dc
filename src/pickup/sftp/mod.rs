//! Sftp: files on partners' SFTP servers. ssh2 is named in this folder only.
//!
//! One session is one lock (ssh2), and every call blocks: each has a thread of its own while it is
//! used, and is never used by two.

mod after;
mod cord;
mod fetch;
mod guard;
mod host_key;
mod line;
mod listing;
mod login;
mod private_key;
mod refusal;
mod session;

pub use after::put_away;
pub use cord::Cord;
pub use fetch::{Download, fetch};
pub use guard::Logins;
pub use line::Line;
pub use listing::{listing, path_of};
pub use refusal::{Refusal, alarm_of};
pub use session::{Entry, Kind, Session, Stat};
