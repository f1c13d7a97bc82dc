//! Sending to an ingestion channel: one post a message.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::care::{Asked, Care};
use super::verdict::{Remote, Verdict, judge};
use super::{Channel, Go, Message, Outcome};
use crate::config::AnswerRule;
use crate::ledger::Ledger;
use crate::remote::ingestion::Ingestion;

/// One ingestion channel.
pub struct Lines {
    pub client: Ingestion,
    pub care: Care,
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
        let (leave, tried) = match self.care.ask(channel, ledger, message, leave).await? {
            Asked::Yes(leave, tried) => (leave, tried),
            Asked::Rests(outcome) => return Ok(Some(*outcome)),
        };
        let body = std::mem::take(&mut message.body);
        let reply = self.client.post(&message.key(), body).await;
        let verdict = judge(Remote::Ingestion, &reply, &self.rules);
        if matches!(verdict, Verdict::Pause(..)) {
            self.client.reload();
        }
        let outcome = channel.outcome(verdict, message, leave);
        self.care.note(ledger, &reply, tried).await?;
        Ok(Some(outcome))
    }
}
