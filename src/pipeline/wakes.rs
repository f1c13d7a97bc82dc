//! Wakes: tells the task that works on a file of releases that have changed. They are heeded between
//! passes, when all that the file waits for is noted: so none is lost to a look under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::Arrival;

/// The files that a task works on, and what each is to be told.
#[derive(Default)]
pub struct Wakes(Mutex<BTreeMap<Arrival, Arc<Bell>>>);

/// What one file is to be told.
#[derive(Default)]
pub struct Bell {
    releases: Mutex<Vec<String>>,
    /// Whether something of it has become due in the ledger.
    due: AtomicBool,
    rung: Notify,
}

impl Wakes {
    /// A task takes a file in hand; none if another has it.
    pub fn begin(&self, arrival: Arrival) -> Option<Arc<Bell>> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bells.contains_key(&arrival) {
            return None;
        }
        let bell = Arc::new(Bell::default());
        bells.insert(arrival, Arc::clone(&bell));
        Some(bell)
    }

    /// The task is done with it.
    pub fn end(&self, arrival: Arrival) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&arrival);
    }

    /// The files that tasks have in hand.
    pub fn arrivals(&self) -> BTreeSet<Arrival> {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.keys().copied().collect()
    }

    /// Tells a file of releases, by the names that its records may wait for them under. A file that
    /// no task has in hand needs none: its records are looked up when it is taken up.
    pub fn ring(&self, arrival: Arrival, releases: &[String]) {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(&arrival) {
            let mut told = bell.releases.lock().unwrap_or_else(PoisonError::into_inner);
            told.extend_from_slice(releases);
            bell.rung.notify_one();
        }
    }

    /// Tells all files of releases.
    pub fn ring_all(&self, releases: &[String]) {
        for arrival in self.arrivals() {
            self.ring(arrival, releases);
        }
    }

    /// Tells a file that something of it has become due in the ledger.
    pub fn ring_due(&self, arrival: Arrival) {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(&arrival) {
            bell.due.store(true, Ordering::SeqCst);
            bell.rung.notify_one();
        }
    }
}

impl Bell {
    /// What the file was told since the last time.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.releases.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether something has become due since the last time.
    pub fn take_due(&self) -> bool {
        self.due.swap(false, Ordering::SeqCst)
    }

    /// Waits until the file is told something.
    pub async fn rung(&self) {
        self.rung.notified().await;
    }
}
