//! Logins: opens lines so that no password is tried to death.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::line::Line;
use super::refusal::Refusal;
use crate::config::{Secret, SecretSource, Sftp};
use crate::ledger::Ledger;

/// The logins by password, each tried by one at a time: several who try a wrong one at once would
/// lock the account before the first knew that it is wrong.
#[derive(Debug, Default)]
pub struct Logins(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Logins {
    /// Opens a line, unless its password was refused too often; refusals are counted in the
    /// ledger. A try is counted before it is made: a process that ends meanwhile does not forget it.
    pub async fn open(
        &self,
        place: &Arc<Sftp>,
        ledger: &Ledger,
        stop: &CancellationToken,
    ) -> anyhow::Result<Result<Line, Refusal>> {
        let Some(password) = place.login.password.clone() else {
            return Ok(Line::open(place, stop).await);
        };
        let Sftp { user, host, port, .. } = &**place;
        // Accounts lock whatever folder is wanted.
        let login = format!("sftp://{user}@{host}:{port}");
        let turn = self.turn(&login);
        let _turn = turn.lock().await;
        let mark = mark(password, ledger).await?;
        let refusals = ledger.refusals(&login).await?;
        if refusals.rests(mark, Timestamp::now()) {
            let advice = format!(
                "{host} refused the password of {user} three times, and it is left alone since \
                 accounts lock; correct the password, then reload"
            );
            return Ok(Err(Refusal::Login { password: true, advice }));
        }
        ledger.login_refused(&login, mark).await?;
        let opened = Line::open(place, stop).await;
        match &opened {
            Ok(_) => ledger.login_taken(&login).await?,
            Err(Refusal::Login { password: true, .. }) => {}
            // It was not told.
            Err(_) => ledger.login_not_tried(&login, refusals).await?,
        }
        Ok(opened)
    }

    fn turn(&self, login: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(login.to_owned()).or_default())
    }
}

/// The password's mark. It may lie in a file on a slow disk.
async fn mark(password: SecretSource, ledger: &Ledger) -> anyhow::Result<Option<u16>> {
    let key = *ledger.secret_key();
    let read = move || Some(Secret::mark(&[password.read().ok()?], &key));
    Ok(tokio::task::spawn_blocking(read).await?)
}
