//! State: how a command that only looks sees it, the same while a run holds it and without one.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::api::control;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::spool::Spool;
use crate::worker::StateLock;

/// How long a state is waited for that is held by a run which does not answer: it has just
/// started, or is about to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the run that holds the state answers to `question`; or what `alone` finds in a state that
/// nobody holds. None, told on stderr, if it is held by one that does not answer.
pub async fn look<T: DeserializeOwned>(
    config: &Config,
    question: &str,
    alone: impl AsyncFnOnce(Ledger, Spool) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = control::ask(&config.state, question).await? {
            return Ok(Some(answer));
        }
        match StateLock::take(&config.state, Duration::ZERO).await? {
            Ok(_lock) => {
                let spool = Spool::open(&config.state)?;
                let ledger = Ledger::open(&spool.ledger())?;
                return alone(ledger, spool).await.map(Some);
            }
            Err(held) if Instant::now() >= deadline => {
                eprintln!("lighterman: {} is held by {}", config.state.display(), held.by);
                return Ok(None);
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
