//! Seen: how a release was when it was last looked at, and how far the list of releases was walked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a release was when it was last looked at, as far as changes of it are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Whose it is; none where several customers have an API that names no owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The container's number.
    pub container: String,
    /// The bill of lading's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bl: Option<String>,
    /// Whether it was ours to act on, and not handed over to another company.
    pub here: bool,
    /// Whether the carrier had blocked it.
    #[serde(default)]
    pub blocked: bool,
    /// Whether the carrier had deleted it.
    #[serde(default)]
    pub deleted: bool,
    /// The events that were told with it then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Those events that a look has found, and of which no notification has come yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// A hash of when it was changed, as the API tells.
    #[serde(default)]
    pub updated: u64,
    /// A hash of its owners.
    pub owners: u64,
    /// A hash of its green lights.
    pub lights: u64,
    /// A hash of all else that was told of it.
    pub rest: u64,
}

/// How far the list of an API's releases was walked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walked {
    /// From when on changes are asked for next time; none: all there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The last walk, if its list changed while its pages were read, which may have hidden others from
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubtful: Option<Doubtful>,
}

/// A walk over several pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubtful {
    /// From when on it asked for changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub until: Timestamp,
}
