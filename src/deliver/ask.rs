//! Asking the port outside of any message, as a person does: it takes its place among the messages'
//! calls, so that the gates count it.

use serde_json::Value;

use super::order::Turn;
use super::scr::{hold, own_names};
use super::{Channel, Gate, Kind, Room};
use crate::ledger::{Age, Held, Ledger};
use crate::model::{Arrival, Reply};
use crate::remote::release::Release;
use crate::remote::scr::Scr;

/// The API, for one call.
pub struct Call<'a> {
    /// How it is spoken to.
    pub client: &'a Scr,
    room: Room,
    turns: Vec<Turn>,
}

/// The turn of a release, for a call that a person asks for.
pub struct ReleaseTurn(Turn);

/// Older than nothing: all that waits was there before.
const NEWEST: Age = (Arrival(u64::MAX), u64::MAX);

impl Call<'_> {
    /// What was called has answered so, or not at all: then the API may still be at work on it
    /// (design, section 3.5).
    pub fn end(self, reply: &Reply) {
        if matches!(reply, Reply::TimedOut) {
            hold(self.room, self.turns);
        }
    }
}

impl Gate {
    /// Waits for a place for a call that changes something or reads a pin: both are worked one after
    /// another by the API (SCR API 1.2.9, "Simultaneous transactions").
    pub async fn change(&self, whose: &str) -> Call<'_> {
        Call { room: self.rooms.take(whose, 0).await, turns: Vec::new(), client: &self.client }
    }

    /// The same for a release, once its turn has come.
    pub async fn change_of(&self, whose: &str, turn: ReleaseTurn) -> Call<'_> {
        Call { turns: vec![turn.0], ..self.change(whose).await }
    }

    /// Waits for a release's turn among the messages' calls.
    pub async fn turn_of(&self, address: &str) -> ReleaseTurn {
        let mut turn = self.book.line_up(&address.to_lowercase());
        turn.wait().await;
        ReleaseTurn(turn)
    }

    /// Why nothing is to be done with a release now, if anything of these customers that it waits for
    /// is not done yet. To be asked in its turn.
    pub async fn keeps_back(
        &self,
        ledger: &Ledger,
        senders: &[&str],
        release: &Release,
    ) -> anyhow::Result<Option<&'static str>> {
        let names: Vec<String> = senders
            .iter()
            .flat_map(|sender| own_names(sender, &release.address, Some(release)))
            .chain([release.address.to_lowercase()])
            .collect();
        let here = self.standing.held(&names, true, NEWEST);
        let (api, of) = (self.url().to_owned(), release.address.to_lowercase());
        let (known, there) = ledger
            .change(move |store| {
                Ok((store.release(&api, &of)?, store.held(&api, &names, true, NEWEST)))
            })
            .await?;
        Ok(match (here, there) {
            (Held::Yes, _) | (_, Held::Yes) => Some("a transfer or revoke of it is not done yet"),
            _ if known.busy.is_some() => Some("an earlier call for it is not confirmed yet"),
            _ => None,
        })
    }

    /// Waits for a place for a read.
    pub async fn read(&self, whose: &str) -> Call<'_> {
        Call { room: self.reads.take(whose, 0).await, turns: Vec::new(), client: &self.client }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::config::{ScrApi, ScrAuth};

    #[tokio::test(start_paused = true)]
    async fn what_a_person_asked_and_was_not_answered_keeps_its_place_and_its_release_for_a_minute()
    {
        let url = "http://127.0.0.1:1/tmining/api/v1".to_owned();
        let settings = ScrApi {
            normal: url.clone(),
            url,
            auth: ScrAuth::None,
            callback: None,
            concurrency: 1,
            timeout: Duration::from_secs(60),
            ca: None,
            identity: None,
            stand_ins: None,
        };
        let client = Scr::open(&settings, &Arc::default()).unwrap();
        let gate = Gate::new(client, &settings.normal, 1);
        let ask = async |reply| {
            let turn = gate.turn_of("0xA").await;
            gate.change_of("acme", turn).await.end(&reply);
        };
        let next = async || {
            let begun = Instant::now();
            let (_turn, _room) = tokio::join!(gate.turn_of("0xa"), gate.change("zeta"));
            begun.elapsed()
        };
        ask(Reply::Lost("reset".to_owned())).await;
        assert_eq!(next().await, Duration::ZERO);
        ask(Reply::TimedOut).await;
        assert_eq!(next().await, Duration::from_secs(60));
    }
}
