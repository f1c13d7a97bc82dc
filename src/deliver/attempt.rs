//! Attempt: one call to an SCR API, what it tells of its release, and the confirmation of what was
//! only accepted (design, section 3.4).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::assignment::Action;
use super::consequence::UNKNOWN_OUTCOME;
use super::precedence::{Answered, after_call, before_call};
use super::resolve::Unread;
use super::scr::{Job, Prepared, Releases, hold, kept_back};
use super::verdict::{Heard, Remote, Verdict, judge};
use super::{Leave, Outcome, after};
use crate::ledger::{Change, ReleaseAge, Wait, Waiting};
use crate::model::{Reply, State};
use crate::remote::release::Release;

impl Releases {
    /// Makes the call that a record asks for; none if it was not made, as no more is to be sent.
    pub(super) async fn attempt(
        &self,
        job: &Job<'_>,
        prepared: &mut Prepared,
        address: &str,
        known: ReleaseAge,
        leave: Option<Leave>,
    ) -> anyhow::Result<Option<Outcome>> {
        let (message, mine) = (job.message, job.message.age());
        // Noted before the call: if the answer is lost, by a crash too, no older record of this
        // release may go out until this one has gone out again.
        let bearing = job.assignment.action.bearing();
        let mut noted = vec![self.note(address, before_call(bearing, known, mine))];
        if let (true, Some(earlier)) = (bearing.moves(), &message.earlier) {
            // What a release is like does not tell whether this record has made it so.
            let address = Some(address.to_owned());
            noted.push(Change::Wait(Waiting { unknown: true, address, ..earlier.clone() }));
        }
        job.ledger.note(message.arrival, noted).await?;
        let Some((mut outcome, answered)) = self.call(job, prepared, address, leave).await else {
            // Nothing was sent: what was noted of the call must not keep others back.
            let earlier = message.earlier.clone().filter(|_| bearing.moves()).map(Change::Wait);
            let noted = earlier.into_iter().chain([self.note(address, known)]);
            job.ledger.note(message.arrival, noted.collect()).await?;
            return Ok(None);
        };
        for change in &mut outcome.changes {
            if let Change::Wait(waiting) = change
                && answered != Answered::Unsent
            {
                waiting.address = Some(address.to_owned());
            }
        }
        let answered = match answered {
            Answered::Refused if outcome.is_final() => job.refused_for_good(),
            answered => answered,
        };
        let after = after_call(bearing, known, mine, answered, outcome.is_final());
        if let Some(after) = after {
            let away = job.leaves_away(after, answered);
            let after = match outcome.is_final() && known.tried == Some(mine) {
                true => self.with_others(job, address, after).await?,
                false => after,
            };
            outcome.changes.push(self.note(address, ReleaseAge { away, ..after }));
        }
        Ok(Some(outcome))
    }

    /// The same once this record keeps nothing back any more: the ledger notes one alone of those that
    /// were sent, and others may have been before it.
    pub(super) async fn with_others(
        &self,
        job: &Job<'_>,
        address: &str,
        after: ReleaseAge,
    ) -> anyhow::Result<ReleaseAge> {
        let (customer, channel) =
            (job.channel.customer().to_owned(), job.channel.name().to_owned());
        let (address, mine) = (address.to_owned(), job.message.age());
        let newest = job
            .ledger
            .change(move |store| Ok(store.newest_sent(&customer, &channel, &address, mine)));
        Ok(ReleaseAge { tried: after.tried.max(newest.await?), ..after })
    }

    /// The call itself: a place at the gate spans it and nothing else.
    async fn call(
        &self,
        job: &Job<'_>,
        prepared: &mut Prepared,
        address: &str,
        leave: Option<Leave>,
    ) -> Option<(Outcome, Answered)> {
        let Job { channel, message, assignment, halt, .. } = *job;
        // Who waits for the lane must not hold a place that another customer could use.
        let entered = match leave {
            Some(leave) => Ok(leave),
            None => channel.lane.enter().await,
        };
        let leave = match entered {
            Ok(leave) => leave,
            Err(until) => return Some((message.paused(until), Answered::Unsent)),
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
                Err(until) => return Some((kept_back(message, until), Answered::Unsent)),
            },
        };
        if let Some(until) = channel.lane.paused_until() {
            return Some((message.paused(until), Answered::Unsent));
        }
        let client = &self.gate.client;
        let mut reply = match (&assignment.action, &job.to) {
            (Action::Assign(assignee), _) => client.assign(address, assignee).await,
            (Action::Unassign, _) => client.unassign(address).await,
            (Action::Transfer(_), to) => {
                client.transfer(address, to.as_deref().unwrap_or_default()).await
            }
            (Action::Revoke, _) => client.revoke(address).await,
        };
        if let Reply::Answered(answer) = &mut reply {
            answer.text = assignment.mask(&answer.text);
        }
        let verdict = judge(Remote::Scr, &reply, &BTreeMap::new());
        if matches!(verdict, Verdict::Later { heard: Heard::TimedOut, .. }) {
            hold(room, std::mem::take(&mut prepared.turns));
        } else {
            drop(room);
        }
        let waits_for_word = !matches!(assignment.action, Action::Assign(_));
        if verdict == Verdict::Accepted && waits_for_word {
            let worked = leave.worked(Timestamp::now());
            let outcome = self.look_whether_done(job, address).await;
            let answered = match outcome.is_final() {
                true => Answered::Taken,
                false => Answered::Accepted,
            };
            return Some((Outcome { worked, accepted: true, ..outcome }, answered));
        }
        if matches!(verdict, Verdict::Later { heard: Heard::Word, .. })
            && let Some((outcome, answered)) = self.explain(job, address).await
        {
            // The release is to blame, not the message before it or after it.
            leave.answered();
            return Some((outcome, answered));
        }
        if matches!(verdict, Verdict::Pause(..)) {
            client.reload();
        }
        let answered = match (&verdict, &reply) {
            (Verdict::Delivered | Verdict::Accepted, _) => Answered::Taken,
            (_, Reply::Answered(_)) => Answered::Refused,
            _ => Answered::Nothing,
        };
        Some((channel.outcome(verdict, message, leave), answered))
    }

    /// Looks whether what was accepted earlier is done by now.
    pub(super) async fn confirm(&self, job: &Job<'_>, address: &str, known: ReleaseAge) -> Outcome {
        let mut outcome = self.look_whether_done(job, address).await;
        let answered = match outcome.is_final() {
            true => Answered::Taken,
            false => Answered::Accepted,
        };
        let after = after_call(
            job.assignment.action.bearing(),
            known,
            job.message.age(),
            answered,
            outcome.is_final(),
        );
        let after =
            after.map(|after| ReleaseAge { away: job.leaves_away(after, answered), ..after });
        outcome.changes.extend(after.map(|after| self.note(address, after)));
        outcome
    }

    /// Asks the API whether a 202 was carried out. If it does not show in time, the outcome is
    /// unknown.
    async fn look_whether_done(&self, job: &Job<'_>, address: &str) -> Outcome {
        let Job { channel, message, .. } = *job;
        let read = self.read(job, |scr| scr.release(address)).await;
        let (why, mut outcome) = match read {
            Ok((Some(release), _)) => match job.is_not_done(&release) {
                None => return message.end(State::Delivered),
                Some(why) => (Some(why), Outcome::default()),
            },
            Ok((None, _)) => (Some("the release is not there".to_owned()), Outcome::default()),
            // While nobody answers, nothing can be known: that time does not count.
            Err(Unread { answered, reason, outcome, .. }) => {
                (answered.then_some(reason), outcome.unwrap_or_default())
            }
        };
        let now = Timestamp::now();
        let since = match &message.earlier {
            Some(earlier) if earlier.wait == Wait::Confirmation => earlier.since,
            _ => now,
        };
        let end = after(since, self.verdict_within);
        if let Some(why) = &why
            && end <= now
        {
            let told = format!(
                "unknown outcome: the call was accepted but not confirmed ({why}); look it up in \
                 the SCR application, then drop the record again if it is still wanted"
            );
            let mut given_up = message.quarantine(|record, line| {
                message.problem(record, line, UNKNOWN_OUTCOME, "", &told)
            });
            // The lane may be paused by the read all the same.
            given_up.alarm = outcome.alarm;
            return given_up;
        }
        let why = why.as_deref().unwrap_or("the API does not answer");
        // The API asks not to be polled: an event wakes the record before.
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let next = after(now, passed.clamp(channel.retry.first, channel.retry.max));
        let due = if end > now { next.min(end) } else { next };
        let mut waits = message.wait(Wait::Confirmation, due, now, false, why);
        for change in &mut waits.changes {
            if let Change::Wait(waiting) = change {
                waiting.address = Some(address.to_owned());
            }
        }
        outcome.changes = waits.changes;
        outcome.problems = Vec::new();
        outcome
    }
}

impl Job<'_> {
    /// What is known of a record that is set aside: an earlier attempt may have done what the last one
    /// was refused.
    pub(super) fn refused_for_good(&self) -> Answered {
        match self.message.earlier.as_ref().is_some_and(|earlier| earlier.unknown) {
            true => Answered::Nothing,
            false => Answered::Refused,
        }
    }

    /// Why the release does not show that the call was carried out. Of an unassign it never shows:
    /// the lights are another system's word, and may lag behind or be missing (SCR API 1.2.9,
    /// "Green lights"); that the release can be read is enough.
    fn is_not_done(&self, release: &Release) -> Option<String> {
        match &self.assignment.action {
            Action::Assign(_) | Action::Unassign => None,
            Action::Transfer(_) => (!self.has_gone(release)).then(|| match &release.next_owner {
                None => "it has no next owner yet".to_owned(),
                Some(owner) => format!("its next owner is {owner}"),
            }),
            Action::Revoke => {
                release.next_owner.as_ref().map(|owner| format!("its next owner is {owner} still"))
            }
        }
    }

    /// Whether the release has the next owner that it is to have.
    pub(super) fn has_gone(&self, release: &Release) -> bool {
        let next = release.next_owner.as_deref().zip(self.to.as_deref());
        next.is_some_and(|(next, to)| next.eq_ignore_ascii_case(to))
    }

    /// Whether the release is not ours any more after this.
    fn leaves_away(&self, known: ReleaseAge, answered: Answered) -> bool {
        let done = matches!(answered, Answered::Taken);
        match &self.assignment.action {
            // What is not confirmed may have been done.
            Action::Transfer(_) => {
                known.away || matches!(answered, Answered::Taken | Answered::Accepted)
            }
            Action::Revoke if done => false,
            _ => known.away,
        }
    }
}
