//! Asking the port outside of any message, as a person does: it takes its place among the messages'
//! calls, so that the gates count it.

use serde_json::Value;

use super::{Channel, Gate, Kind, Room};
use crate::ledger::Ledger;
use crate::model::Reply;
use crate::remote::scr::Scr;

/// The API, for one call.
pub struct Call<'a> {
    /// How it is spoken to.
    pub client: &'a Scr,
    _room: Room,
}

impl Gate {
    /// Waits for a place for a call that changes something or reads a pin: both are worked one after
    /// another by the API (SCR API 1.2.9, "Simultaneous transactions").
    pub async fn change(&self, whose: &str) -> Call<'_> {
        Call { _room: self.rooms.take(whose, 0).await, client: &self.client }
    }

    /// Waits for a place for a read.
    pub async fn read(&self, whose: &str) -> Call<'_> {
        Call { _room: self.reads.take(whose, 0).await, client: &self.client }
    }
}

impl Channel {
    /// The companies in CPu's phone book that fit; none if this channel is no one of CPu's, or if its
    /// login rests since it was refused.
    pub async fn entities(
        &self,
        ledger: &Ledger,
        query: &[(String, String)],
    ) -> anyhow::Result<Option<Result<Vec<Value>, Reply>>> {
        let Kind::Cpu(rights) = &self.kind else { return Ok(None) };
        let Some(tried) = rights.care.may(ledger).await? else { return Ok(None) };
        let _room = self.rooms.take(&self.customer, 0).await;
        let found = rights.client.entities(query).await;
        let reply = found.as_ref().err().cloned().unwrap_or(Reply::Answered(Default::default()));
        rights.care.note(ledger, &reply, tried).await?;
        Ok(Some(found))
    }
}
