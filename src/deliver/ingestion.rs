//! Sending to an ingestion channel: one post a message, and a login that is not tried to death.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::verdict::{Remote, Verdict, judge};
use super::{Channel, Go, Message, Outcome};
use crate::config::{AnswerRule, Login};
use crate::ledger::{AlarmKind, Ledger, LoginRefusals, Wait};
use crate::model::Reply;
use crate::remote::ingestion::Ingestion;
use crate::remote::oauth2::{Tokens, secret_mark};

/// A refused password is tried so often, then only when it changed or after a while: accounts lock
/// (design, section 4.1).
const LOGIN_TRIES: u32 = 3;
const LOGIN_REST: SignedDuration = SignedDuration::from_hours(6);

/// One ingestion channel.
pub struct Lines {
    pub client: Ingestion,
    pub tokens: Arc<Tokens>,
    pub login: Login,
    pub rules: BTreeMap<u16, AnswerRule>,
    pub permits: Arc<Semaphore>,
    /// Whether it sends one message at a time, in order.
    pub keeps_order: bool,
}

impl Lines {
    pub async fn send(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &mut Message,
        go: Go,
        halt: &CancellationToken,
    ) -> anyhow::Result<Option<Outcome>> {
        // The places stay taken until the answer is there.
        let Go { leave: Some(leave), room: _room, _permit } = go else {
            anyhow::bail!("a message to an ingestion channel has no leave to go");
        };
        if halt.is_cancelled() {
            return Ok(None);
        }
        let refusals = match leave.is_probe() {
            true => Some(self.refusals(ledger).await?),
            false => None,
        };
        if let Some((refusals, mark)) = &refusals
            && is_resting(refusals, *mark, Timestamp::now())
        {
            let due = leave.pause(Timestamp::now());
            let advice = "the login was refused three times and is left alone, since accounts \
                          lock; correct the password, then reload";
            let mut outcome = message.wait(Wait::Time, due, Timestamp::now(), false, advice);
            outcome.alarm = Some(channel.alarm(AlarmKind::LoginRefused, advice.to_owned()));
            return Ok(Some(outcome));
        }
        let body = std::mem::take(&mut message.body);
        let reply = self.client.post(&message.key(), body).await;
        let verdict = judge(Remote::Ingestion, &reply, &self.rules);
        if matches!(verdict, Verdict::Pause(..)) {
            self.client.reload();
        }
        // The lane is told first: while the ledger notes the refusal, none may ask for a token.
        let outcome = channel.outcome(verdict, message, leave);
        match &reply {
            // Several messages may share one refused request.
            Reply::LoginRefused(_) if self.tokens.is_news(&self.login) => {
                self.note_refusal(ledger).await?;
            }
            Reply::Answered(_) if refusals.is_some_and(|(refusals, _)| refusals.times > 0) => {
                let login = self.login.id.clone();
                let none = LoginRefusals::default();
                ledger.update(move |store| store.set_login(&login, &none)).await?;
            }
            _ => {}
        }
        Ok(Some(outcome))
    }

    /// Logs in and nothing else; what went wrong, if something did.
    pub async fn connect(&self) -> Option<Reply> {
        self.tokens.token(&self.login).await.err().map(|error| error.reply(&self.login))
    }

    async fn refusals(&self, ledger: &Ledger) -> anyhow::Result<(LoginRefusals, Option<u16>)> {
        let login = self.login.clone();
        let mark = mark(&login, ledger).await?;
        Ok((ledger.change(move |store| store.login(&login.id)).await?, mark))
    }

    async fn note_refusal(&self, ledger: &Ledger) -> anyhow::Result<()> {
        let login = self.login.clone();
        let mark = mark(&login, ledger).await?;
        ledger
            .change(move |store| {
                let before = store.login(&login.id)?;
                let times = if before.secret_mark == mark { before.times + 1 } else { 1 };
                let refusals =
                    LoginRefusals { times, last: Some(Timestamp::now()), secret_mark: mark };
                store.set_login(&login.id, &refusals);
                Ok(())
            })
            .await
    }
}

/// The mark of a login's secrets. They may lie in files on a slow disk.
async fn mark(login: &Login, ledger: &Ledger) -> anyhow::Result<Option<u16>> {
    let (login, key) = (login.clone(), *ledger.secret_key());
    Ok(tokio::task::spawn_blocking(move || secret_mark(&login, &key)).await?)
}

/// Whether a login is left alone.
fn is_resting(refusals: &LoginRefusals, mark: Option<u16>, now: Timestamp) -> bool {
    let Some(last) = refusals.last else { return false };
    // A clock that was set back must not make the rest longer.
    let passed = now.duration_since(last).abs();
    refusals.times >= LOGIN_TRIES && refusals.secret_mark == mark && passed < LOGIN_REST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_rests_after_three_refusals_until_its_secret_changes_or_six_hours_passed() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let refused = |times| LoginRefusals { times, last: Some(at(1000)), secret_mark: Some(7) };
        assert!(!is_resting(&refused(2), Some(7), at(1001)));
        assert!(is_resting(&refused(3), Some(7), at(1600)));
        assert!(!is_resting(&refused(3), Some(8), at(1600)));
        assert!(!is_resting(&refused(4), Some(7), at(1000 + 21_600)));
    }
}
