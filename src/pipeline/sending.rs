//! Sending: one message of a pass, from what is noted before its call to what is noted of its answer.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::cuts::Cuts;
use super::kept_back::KeptBack;
use super::{Parts, late};
use crate::deliver::{Channel, Go, Message, Outcome, Prepared};
use crate::ledger::{Alarm, AlarmKind, Change};
use crate::map::Mapping;
use crate::model::{Arrival, LateAnswer, Problem};

/// One message on its way.
pub struct Sending {
    pub parts: Arc<Parts>,
    pub channel: Arc<Channel>,
    pub mapping: Arc<Mapping>,
    pub arrival: Arrival,
    pub cuts: Cuts,
    /// Where its piece of the file starts; none of what was cut in an earlier pass.
    pub start: Option<u64>,
    pub kept_back: KeptBack,
    /// Ends the pass.
    pub halt: CancellationToken,
}

/// What was found when the message was cut, of its own records and of those between them.
#[derive(Default)]
pub struct Found {
    pub problems: Vec<Problem>,
    pub changes: Vec<Change>,
}

impl Sending {
    /// Sends the message, if it has records, and notes what became of it. `waits` is what is noted
    /// of it already.
    pub async fn run(
        self,
        message: Message,
        prepared: Option<Prepared>,
        go: Option<Go>,
        waits: Option<impl Future<Output = anyhow::Result<()>>>,
        found: Found,
    ) -> anyhow::Result<()> {
        let done = async {
            // What is known before the call is noted before it: a journal that cannot be written
            // must not leave an answer that is not noted.
            if let Some(noted) = waits {
                noted.await?;
            }
            self.note_problems(found.problems).await?;
            self.send(message, prepared, go, found.changes).await
        };
        // What cannot be noted must not be followed by further calls.
        done.await.inspect_err(|_| self.halt.cancel())
    }

    /// A problem that names a mapping's `to` names its `from` instead.
    pub fn named(&self, mut problem: Problem) -> Problem {
        if let Some(from) = self.mapping.from_of(&problem.field) {
            problem.field = from.to_owned();
        }
        problem
    }

    async fn send(
        &self,
        mut message: Message,
        mut prepared: Option<Prepared>,
        go: Option<Go>,
        mut changes: Vec<Change>,
    ) -> anyhow::Result<()> {
        let count = message.count() as i64;
        let mut outcome = Outcome::default();
        if let Some(go) = go {
            let ledger = &self.parts.ledger;
            ledger.in_flight(self.arrival, count);
            let sent =
                self.channel.send(ledger, &mut message, go, prepared.as_mut(), &self.halt).await;
            let Some(came) = sent? else { return Ok(()) };
            outcome = came;
            if self.channel.keeps_order() {
                let waiting = outcome.changes.iter().find_map(|change| match change {
                    Change::Wait(waiting) => Some(waiting.due),
                    _ => None,
                });
                self.kept_back.until_then(waiting);
            }
            // Only where calls line up is something told later.
            if prepared.is_some() {
                let answers = late::answers(&message, &outcome, Timestamp::now());
                self.note_late(answers).await?;
            }
            changes.append(&mut outcome.changes);
            let told = std::mem::take(&mut outcome.problems);
            self.note_problems(told.into_iter().map(|problem| self.named(problem)).collect())
                .await?;
        }
        changes.extend(self.start.map(|start| Change::Mark(self.cuts.mark_without(start))));
        if let Some(alarm) = self.note(changes, count, outcome.worked, outcome.alarm).await? {
            tell(&alarm);
        }
        if let Some(start) = self.start {
            self.cuts.end(start);
        }
        drop(prepared);
        if !outcome.frees.is_empty() {
            self.parts.wakes.ring_all(&outcome.frees);
        }
        Ok(())
    }

    /// Notes what became of the records, and of the channel. Gives the alarm back if it is new.
    async fn note(
        &self,
        changes: Vec<Change>,
        count: i64,
        worked: bool,
        raised: Option<Alarm>,
    ) -> anyhow::Result<Option<Alarm>> {
        let (arrival, channel) = (self.arrival, Arc::clone(&self.channel));
        self.parts
            .ledger
            .change(move |store| {
                store.change(arrival, changes)?;
                store.in_flight(arrival, -count);
                // It may have been paused again since.
                if channel.lane.is_open() {
                    store.clear(|alarm| {
                        alarm.customer == channel.customer()
                            && alarm.channel.as_deref() == Some(channel.name())
                            && alarm.kind != AlarmKind::NoVerdict
                            && (worked || alarm.kind == AlarmKind::Unreachable)
                    });
                }
                // What was wrong with a channel that is gone is nothing to act on.
                let raised = raised.filter(|_| !channel.is_retired());
                Ok(raised.filter(|alarm| store.raise(alarm.clone())))
            })
            .await
    }

    /// Appends problems to the file's journal, if there are any.
    async fn note_problems(&self, problems: Vec<Problem>) -> anyhow::Result<()> {
        if problems.is_empty() {
            return Ok(());
        }
        let (spool, arrival) = (self.parts.spool.clone(), self.arrival);
        tokio::task::spawn_blocking(move || spool.note_problems(arrival, &problems)).await?
    }

    /// Appends late answers to the file's journal, if there are any.
    async fn note_late(&self, answers: Vec<LateAnswer>) -> anyhow::Result<()> {
        if answers.is_empty() {
            return Ok(());
        }
        let (spool, arrival) = (self.parts.spool.clone(), self.arrival);
        tokio::task::spawn_blocking(move || spool.note_late(arrival, &answers)).await?
    }
}

fn tell(alarm: &Alarm) {
    let what = match alarm.kind {
        AlarmKind::NoVerdict => "No verdict",
        _ => "Channel paused",
    };
    tracing::error!(
        customer = %alarm.customer,
        channel = alarm.channel.as_deref().unwrap_or_default(),
        alarm = alarm.kind.word(),
        "{what}: {}",
        alarm.advice
    );
}
