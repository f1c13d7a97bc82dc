//! Care: a login is not tried to death, since accounts lock (design, section 4.1).

use std::sync::Arc;

use jiff::Timestamp;

use super::{Channel, Leave, Message, Outcome};
use crate::config::Login;
use crate::ledger::{AlarmKind, Ledger, LoginRefusals, Wait};
use crate::model::Reply;
use crate::remote::oauth2::{Tokens, secret_mark};

/// A login that is tried with care.
pub struct Care {
    pub tokens: Arc<Tokens>,
    pub login: Login,
}

/// Whether the login may be tried now.
pub enum Asked {
    /// It may; after that `Care::note` is to be told how it went.
    Yes(Leave, Tried),
    /// It rests: this becomes of the message.
    Rests(Box<Outcome>),
}

/// Whether it was refused before.
pub struct Tried(bool);

impl Care {
    /// Asks whether the login may be tried with a message.
    pub async fn ask(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &Message,
        leave: Leave,
    ) -> anyhow::Result<Asked> {
        if !leave.is_probe() {
            return Ok(Asked::Yes(leave, Tried(false)));
        }
        let (refusals, mark) = self.refusals(ledger).await?;
        if !refusals.rests(mark, Timestamp::now()) {
            return Ok(Asked::Yes(leave, Tried(refusals.times > 0)));
        }
        let due = leave.pause(Timestamp::now());
        let advice = "the login was refused three times and is left alone, since accounts lock; \
                      correct the password, then reload";
        let mut outcome = message.wait(Wait::Time, due, Timestamp::now(), false, advice);
        outcome.alarm = Some(channel.alarm(AlarmKind::LoginRefused, advice.to_owned()));
        Ok(Asked::Rests(Box::new(outcome)))
    }

    /// As `ask`, for what is no message; none if the login rests.
    pub async fn may(&self, ledger: &Ledger) -> anyhow::Result<Option<Tried>> {
        let (refusals, mark) = self.refusals(ledger).await?;
        let rests = refusals.rests(mark, Timestamp::now());
        Ok((!rests).then_some(Tried(refusals.times > 0)))
    }

    /// Notes how it went. The lane is to be told before: while the ledger notes a refusal, none may
    /// ask for a token.
    pub async fn note(&self, ledger: &Ledger, reply: &Reply, tried: Tried) -> anyhow::Result<()> {
        match reply {
            // Several messages may share one refused request.
            Reply::LoginRefused(_) if self.tokens.is_news(&self.login) => {
                let mark = mark(&self.login, ledger).await?;
                ledger.login_refused(&self.login.id, mark).await
            }
            Reply::Answered(_) if tried.0 => ledger.login_taken(&self.login.id).await,
            _ => Ok(()),
        }
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
