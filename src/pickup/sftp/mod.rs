//! Sftp: files on partners' SFTP servers: which may be taken, how they come, and what becomes of them
//! there.

mod after;
mod fetch;
mod listing;

pub use after::put_away;
pub use fetch::{Download, fetch};
pub use listing::listing;
