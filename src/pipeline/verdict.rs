//! A verdict that comes from outside: it is noted, and the file whose record is parked for it goes
//! on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::Parts;
use crate::ledger::Told;
use crate::model::Arrival;
use crate::remote::cpu::Notification;

/// Wakes the files that wait, each by itself.
#[derive(Default)]
pub struct Wakes(Mutex<BTreeMap<Arrival, Arc<Notify>>>);

impl Wakes {
    /// What tells a file that it is to look again, also if it does not listen at that moment.
    pub fn of(&self, arrival: Arrival) -> Arc<Notify> {
        Arc::clone(self.lock().entry(arrival).or_default())
    }

    /// The file is to look again; nothing happens if nobody works on it.
    pub fn wake(&self, arrival: Arrival) {
        if let Some(wakes) = self.lock().get(&arrival) {
            wakes.notify_one();
        }
    }

    /// Nobody works on the file any more.
    pub fn forget(&self, arrival: Arrival) {
        self.lock().remove(&arrival);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arrival, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    /// Takes in what CPu notified a customer of: on disk when this answers, and worked from then
    /// on. Repeats change nothing; one that no record is parked for is kept for a while, since it
    /// may have overtaken its 202. Tells whether a record is parked for it.
    pub async fn take_notification(
        &self,
        customer: &str,
        notification: &Notification,
    ) -> anyhow::Result<bool> {
        let told = Told {
            reference: notification.reference.clone(),
            failure: notification.failure(),
            at: Timestamp::now(),
        };
        let parked = self.ledger.note_verdict(customer, told).await?;
        if let Some(arrival) = parked {
            self.wakes.wake(arrival);
        }
        Ok(parked.is_some())
    }
}
