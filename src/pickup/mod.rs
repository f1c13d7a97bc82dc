//! Pickup: sees that a file is finished, claims it and hands it over. It knows nothing of content.
//!
//! Events only wake a look; the look and the ledger decide.

pub mod claim;
pub mod local;
pub mod mount;
pub mod readiness;
pub mod sftp;
mod sights;
mod waiting;
pub mod watch;

pub use claim::{adopt, claim, resume};
pub use local::{Candidate, list};
pub use readiness::{Looks, Remembered};
pub use sights::{Sight, Sights};
pub use waiting::Waiting;
pub use watch::Watch;
