//! Sending to an ingestion channel: one post a message, and a login that is not tried to death.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::verdict::{Remote, Verdict, judge};
use super::{Channel, Go, Message, Outcome};
use crate::config::{AnswerRule, Login};
use crate::ledger::{AlarmKind, Ledger, LoginRefusals, Wait};
use crate::model::Reply;
use crate::remote::ingestion::Ingestion;
use crate::remote::oauth2::{Tokens, secret_mark};

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
            && refusals.rests(*mark, Timestamp::now())
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
                let mark = mark(&self.login, ledger).await?;
                ledger.login_refused(&self.login.id, mark).await?;
            }
            Reply::Answered(_) if refusals.is_some_and(|(refusals, _)| refusals.times > 0) => {
                ledger.login_taken(&self.login.id).await?;
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
        let mark = mark(&self.login, ledger).await?;
        Ok((ledger.refusals(&self.login.id).await?, mark))
    }
}

/// The mark of a login's secrets. They may lie in files on a slow disk.
async fn mark(login: &Login, ledger: &Ledger) -> anyhow::Result<Option<u16>> {
    let (login, key) = (login.clone(), *ledger.secret_key());
    Ok(tokio::task::spawn_blocking(move || secret_mark(&login, &key)).await?)
}
