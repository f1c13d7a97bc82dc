//! Reaching the state: by the run that holds it, or alone where none does. The user notices no
//! difference.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::control;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::pipeline::again::Desk;
use crate::spool::Spool;
use crate::worker::StateLock;

/// How long a run that starts or stops is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the state was reached.
pub enum Reached<T> {
    /// The run that holds it has answered.
    Answer(T),
    /// No run holds it: it is open here.
    State(State),
    /// A run holds it and does not answer; told on stderr.
    Nobody,
}

/// A state that is open here.
pub struct State {
    pub ledger: Ledger,
    pub spool: Spool,
    _lock: StateLock,
}

impl State {
    /// Where files are opened again.
    pub fn desk(&self, config: Config) -> Desk {
        let State { ledger, spool, .. } = self;
        Desk {
            ledger: ledger.clone(),
            spool: spool.clone(),
            config: Arc::new(config),
            opened: Arc::default(),
        }
    }
}

/// Asks the run that holds the state, or opens it. A run that is about to start has the lock
/// before it answers, and one that stops keeps it for a while after.
pub async fn reach<T: DeserializeOwned>(
    config: &Config,
    question: &str,
) -> anyhow::Result<Reached<T>> {
    reach_by(config, async || control::ask(&config.state, question).await).await
}

/// As `reach`, to have something done.
pub async fn reach_to<T: DeserializeOwned>(
    config: &Config,
    question: &str,
    what: &impl Serialize,
) -> anyhow::Result<Reached<T>> {
    reach_by(config, async || control::tell(&config.state, question, what).await).await
}

async fn reach_by<T>(
    config: &Config,
    ask: impl AsyncFn() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Reached<T>> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(Reached::Answer(answer));
        }
        match StateLock::take(&config.state, Duration::ZERO).await? {
            Ok(lock) => {
                let spool = Spool::open(&config.state)?;
                let ledger = Ledger::open(&spool.ledger())?;
                return Ok(Reached::State(State { ledger, spool, _lock: lock }));
            }
            Err(held) if tokio::time::Instant::now() >= deadline => {
                eprintln!("lighterman: {} is held by {}", config.state.display(), held.by);
                return Ok(Reached::Nobody);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
