//! Remote: what the ledger knows of files on partners' servers: those that are fetched but not yet
//! moved or removed there, and those that stay there and are known.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::Look;
use crate::model::Identity;

/// A remote file that lies in the spool, and that is still to be moved or removed where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The customer's id.
    pub customer: String,
    /// The source's name.
    pub source: String,
    /// The remote folder.
    pub folder: String,
    /// Its name there.
    pub name: String,
    /// What was seen of it; another file of that name is not touched.
    pub look: Look,
}

/// A remote file that was fetched and stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its path there.
    pub path: String,
    /// What was seen of it.
    pub look: Look,
    /// BLAKE3 of its bytes, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Since when it is not listed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Timestamp>,
}
