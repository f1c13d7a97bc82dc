//! Explain: why an SCR API refused a call, as far as the release itself tells. The API answers every
//! fault of business with 500 (reference/domain.md, section 4); one read tells a release that is
//! not ours now from one that never will be again.

use super::Outcome;
use super::assignment::Action;
use super::precedence::Answered;
use super::resolve::{Fit, is_not_there};
use super::scr::{Job, Releases};
use crate::model::State;

impl Releases {
    /// What becomes of a record whose call was refused, if its release tells.
    pub(super) async fn explain(
        &self,
        job: &Job<'_>,
        address: &str,
    ) -> Option<(Outcome, Answered)> {
        let read = {
            let _room = self.gate.reads.take(job.channel.customer(), 0).await;
            self.gate.client.release(address).await
        };
        let release = match read {
            Ok(Some(release)) => release,
            Ok(None) if job.is_taken() => return Some((job.taken(), Answered::Refused)),
            Err(reply) if job.is_taken() && is_not_there(&reply) => {
                return Some((job.taken(), Answered::Refused));
            }
            _ => return None,
        };
        let message = job.message;
        let tried = message.earlier.as_ref().is_some_and(|earlier| earlier.unknown);
        let is_done = match &job.assignment.action {
            Action::Transfer(_) => job.has_gone(&release),
            // Nothing but an earlier attempt of this record's tells that there was one to revoke.
            Action::Revoke => tried && release.next_owner.is_none(),
            Action::Assign(_) | Action::Unassign => false,
        };
        if is_done {
            return Some((message.end(State::Delivered), Answered::Taken));
        }
        let is_revoke = matches!(job.assignment.action, Action::Revoke);
        let outcome = match self.fit(job, &release) {
            // Nothing older of ours is under way: else this had not gone.
            Fit::Yes if is_revoke && release.next_owner.is_none() => self.needless(job, &[release]),
            Fit::Yes if release.blocked => self.unfit(job, &Fit::Blocked, &release),
            Fit::Yes => return None,
            other => self.unfit(job, &other, &release),
        };
        Some((outcome, Answered::Refused))
    }
}
