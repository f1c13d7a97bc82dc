//! Sights: what came of the looks into each source, for whoever asks while a run goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of the sources; clones share it.
#[derive(Clone, Default)]
pub struct Sights(Arc<Mutex<BTreeMap<(String, String), Sight>>>);

/// What came of the looks into a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// When it was last looked into with success.
    pub last_look: Option<Timestamp>,
    /// Why it cannot be looked into since.
    pub last_error: Option<String>,
    /// When the next look is due, where a time is known.
    pub next_look: Option<Timestamp>,
}

impl Sights {
    /// What is known of a customer's source.
    pub fn of(&self, customer: &str, source: &str) -> Sight {
        let sights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sights.get(&(customer.to_owned(), source.to_owned())).cloned().unwrap_or_default()
    }

    /// Notes what came of a look into a customer's source.
    pub fn note(&self, customer: &str, source: &str, change: impl FnOnce(&mut Sight)) {
        let mut sights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(sights.entry((customer.to_owned(), source.to_owned())).or_default());
    }
}
