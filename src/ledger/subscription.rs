//! Subscription: that a callback URL was registered at an SCR API. The API tells nobody what is
//! registered (SCR API 1.2.9, "Register a callback url for notifications"), so it is remembered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A callback URL that an SCR API was given for one type of event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The URL that is called.
    pub url: String,
    /// When it was registered last.
    pub registered: Timestamp,
    /// The API's own URL then: another installation knows nothing of it.
    pub at: String,
}
