//! Kept back: until when a file's next messages wait, where the channel keeps the order.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

/// Until when a message waits that none may overtake, if one does; clones share it.
#[derive(Clone, Default)]
pub struct KeptBack(Arc<Mutex<Option<Timestamp>>>);

impl KeptBack {
    /// Until when, if something waits.
    pub fn until(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something waits until then.
    pub fn until_then(&self, then: Option<Timestamp>) {
        if then.is_some() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = then;
        }
    }
}
