//! Invite: a record that asks a company to connect. It is parked until the company answers: by the
//! API's event, or because it is among the connections (SCR API 1.2.9, "Invite an organization").

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::connection::is_connected;
use super::resolve::Unread;
use super::scr::{Prepared, Releases, hold, kept_back};
use super::verdict::{Heard, Remote, Verdict, judge};
use super::{Channel, Message, Outcome, after};
use crate::ledger::{self, Change, Ledger, Wait, kept, plain_vat};
use crate::model::{Problem, Reply, State};
use crate::remote::scr::Invitation;

/// An invitation at work.
pub(super) struct Inviting<'a> {
    pub channel: &'a Channel,
    pub ledger: &'a Ledger,
    pub message: &'a Message,
    pub invitation: &'a Invitation,
    pub halt: &'a CancellationToken,
}

/// What an invitation is kept as; none of its personal data.
pub(super) fn kept_as(invitation: &Invitation, message: &Message) -> ledger::Invitation {
    ledger::Invitation {
        customer: message.customer.clone(),
        reference: invitation.reference.as_deref().map(kept),
        vat: plain_vat(&invitation.vat),
        by: message.age(),
        asked: Timestamp::now(),
        taken: false,
        answer: None,
    }
}

impl Releases {
    pub(super) async fn invite(
        &self,
        inviting: &Inviting<'_>,
        prepared: &mut Prepared,
    ) -> anyhow::Result<Option<Outcome>> {
        let Inviting { message, invitation, ledger, .. } = *inviting;
        let own = kept_as(invitation, message);
        let (api, name) = (self.gate.url().to_owned(), own.name());
        let of = name.clone();
        let (known, connections) = ledger
            .change(move |store| {
                Ok((store.invitation(&api, &of)?, store.connections(&api).cloned()))
            })
            .await?;
        let is_parked =
            message.earlier.as_ref().is_some_and(|earlier| earlier.wait == Wait::Release);
        let is_own = known.as_ref().is_some_and(|known| is_parked || known.by == message.age());
        let answer = known.as_ref().filter(|_| is_own).and_then(|known| known.answer);
        match answer {
            Some(answer) if answer.accepted => return Ok(Some(message.end(State::Delivered))),
            Some(_) => {
                return Ok(Some(inviting.set_aside("the company has refused the invitation")));
            }
            None => {}
        }
        if is_connected(connections.as_deref(), &invitation.vat) {
            return Ok(Some(message.end(State::Delivered)));
        }
        if is_parked {
            let outcome = self.look_for_answer(inviting, &name).await?;
            if outcome.as_ref().is_some_and(|outcome| !outcome.problems.is_empty()) {
                let api = self.gate.url().to_owned();
                ledger.change(move |store| store.give_up_invitation(&api, &name)).await?;
            }
            return Ok(outcome);
        }
        // Another record has asked already: one request to connect is enough.
        if known.is_some_and(|known| known.taken && known.answer.is_none()) {
            return Ok(Some(self.wait_for_answer(inviting, &name, "invited; not answered yet")));
        }
        let api = self.gate.url().to_owned();
        // Noted before the call: an answer that comes at once has something to go to.
        ledger.update(move |store| store.set_invitation(&api, &own)).await?;
        Ok(self.ask_to_connect(inviting, prepared, &name).await)
    }

    /// The call itself: a place at the gate spans it and nothing else.
    async fn ask_to_connect(
        &self,
        inviting: &Inviting<'_>,
        prepared: &mut Prepared,
        name: &str,
    ) -> Option<Outcome> {
        let Inviting { channel, message, invitation, halt, .. } = *inviting;
        let leave = match channel.lane.enter().await {
            Ok(leave) => leave,
            Err(until) => return Some(message.paused(until)),
        };
        let place = async {
            channel.keep_pace().await;
            self.gate.rooms.take_unless_kept(channel.customer(), 0).await
        };
        let room = tokio::select! {
            biased;
            () = halt.cancelled() => return None,
            room = place => match room {
                Ok(room) => room,
                Err(until) => return Some(kept_back(message, until)),
            },
        };
        if let Some(until) = channel.lane.paused_until() {
            return Some(message.paused(until));
        }
        let mut reply = self.gate.client.invite(invitation).await;
        if let Reply::Answered(answer) = &mut reply {
            answer.text = answer.text.replace(&invitation.contact_email, "***");
        }
        let verdict = judge(Remote::Scr, &reply, &BTreeMap::new());
        if matches!(verdict, Verdict::Later { heard: Heard::TimedOut, .. }) {
            hold(room, std::mem::take(&mut prepared.turns));
        } else {
            drop(room);
        }
        if matches!(verdict, Verdict::Delivered | Verdict::Accepted) {
            let worked = leave.worked(Timestamp::now());
            let waits = self.wait_for_answer(inviting, name, "invited; not answered yet");
            return Some(Outcome { worked, ..waits });
        }
        if matches!(verdict, Verdict::Pause(..)) {
            self.gate.client.reload();
        }
        Some(channel.outcome(verdict, message, leave))
    }

    /// Looks whether the company is a connection by now: an answer may not have been told.
    async fn look_for_answer(
        &self,
        inviting: &Inviting<'_>,
        name: &str,
    ) -> anyhow::Result<Option<Outcome>> {
        let Inviting { channel, message, ledger, halt, .. } = *inviting;
        let read = self.know_connections(channel, ledger, message, halt).await?;
        let connections = match read {
            Ok(connections) => connections,
            // It stays parked, whatever the channel does.
            Err(Unread { outcome: Some(outcome), .. }) => {
                let waits = self.wait_for_answer(inviting, name, "the API does not answer");
                return Ok(Some(Outcome { alarm: outcome.alarm, ..waits }));
            }
            Err(Unread { outcome: None, .. }) => return Ok(None),
        };
        if is_connected(connections.as_deref(), &inviting.invitation.vat) {
            return Ok(Some(message.end(State::Delivered)));
        }
        Ok(Some(self.wait_for_answer(inviting, name, "invited; not answered yet")))
    }

    /// The API has it: the record is parked until the company answers.
    fn wait_for_answer(&self, inviting: &Inviting<'_>, name: &str, reason: &str) -> Outcome {
        let Inviting { channel, message, .. } = *inviting;
        let now = Timestamp::now();
        let since = match &message.earlier {
            Some(earlier) if earlier.wait == Wait::Release => earlier.since,
            _ => now,
        };
        if after(since, self.park_for) <= now {
            let advice =
                "the company has not answered the invitation, and `park_for` is over; ask it";
            return inviting.set_aside(advice);
        }
        let due = after(now, channel.retry.max);
        let mut outcome = message.wait(Wait::Release, due, now, false, reason);
        for change in &mut outcome.changes {
            if let Change::Wait(waiting) = change {
                waiting.release = Some(name.to_owned());
                let own = kept_as(inviting.invitation, message);
                waiting.address = own.reference.or(Some(own.vat));
            }
        }
        let (api, name) = (self.gate.url().to_owned(), name.to_owned());
        outcome.changes.push(Change::Invited { api, name });
        outcome
    }
}

impl Inviting<'_> {
    fn set_aside(&self, advice: &str) -> Outcome {
        let message = self.message;
        message.quarantine(|record, line| Problem {
            field: "invitation.vat".to_owned(),
            ..message.problem(record, line, "invitation", &self.invitation.vat, advice)
        })
    }
}
