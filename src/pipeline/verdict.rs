//! A verdict that comes from outside: it is noted, and the file whose record is parked for it goes
//! on.

use jiff::Timestamp;

use super::Parts;
use crate::ledger::Told;
use crate::remote::cpu::{Notification, REFERENCE};

impl Parts {
    /// Takes in what CPu notified a customer of: on disk when this answers, and worked from then
    /// on. Repeats change nothing; one that no record is parked for is kept for a while, since it
    /// may have overtaken its 202. Tells whether a record is parked for it.
    pub async fn take_notification(
        &self,
        customer: &str,
        notification: &Notification,
    ) -> anyhow::Result<bool> {
        if notification.reference.len() > REFERENCE {
            // No 202 of ours was noted under it.
            return Ok(false);
        }
        let told = Told {
            reference: notification.reference.clone(),
            container: notification.container.clone(),
            failure: notification.failure(),
            at: Timestamp::now(),
        };
        let parked = self.ledger.note_verdict(customer, told).await?;
        if let Some(arrival) = parked {
            self.wakes.ring_due(arrival);
        }
        Ok(parked.is_some())
    }
}
