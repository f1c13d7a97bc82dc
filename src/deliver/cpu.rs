//! Sending to Certified Pick up: one call a record, or one for several release rights that are alike. A 202 means accepted, not done: the record is
//! parked until the verdict on it is there, by a notification or because it was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::behind::Behind;
use super::call::{self, Call};
use super::care::{Asked, Care, Tried};
use super::consequence::UNKNOWN_OUTCOME;
use super::order::{OrderBook, Turn};
use super::verdict::{Remote, Verdict, judge, told};
use super::words::{self, Known, Word};
use super::{Channel, Go, Leave, Message, Outcome, after};
use crate::config::Confirm;
use crate::ledger::{AlarmKind, Change, Ledger, Told, Wait};
use crate::model::{Problem, Reply, State};
use crate::remote::cpu::{Cpu, Notification, container, public_reference};

/// Why what was accepted waits.
const NO_VERDICT: &str = "accepted; no verdict yet";

/// One customer's rights at CPu.
pub struct Rights {
    pub client: Cpu,
    pub care: Care,
    pub confirm: Confirm,
    pub verdict_within: Duration,
    pub permits: Arc<Semaphore>,
    /// The files that send to it, in the order of their arrival.
    pub files: OrderBook,
    /// Calls for one container go one by one, in the order of their records.
    pub book: OrderBook,
    /// Over retries, too.
    pub behind: Behind,
}

/// What a record asks.
pub struct Prepared {
    call: Option<Call>,
    pub(super) problems: Vec<Problem>,
    turns: Vec<Turn>,
    /// Whether a container comes twice, or has no name to be told by: it is to have a call of its own.
    repeats: bool,
}

impl Rights {
    pub fn line_up(&self, message: &Message) -> Prepared {
        let (call, problems) = match message.count() {
            0 | 1 => call::parse(&message.body, message.first(), message.line),
            _ => (call::bulk(&message.body), Vec::new()),
        };
        let equipment = || call.iter().flat_map(|call| &call.equipment);
        let containers: BTreeSet<&str> = equipment().map(String::as_str).collect();
        let names: BTreeSet<String> = equipment().filter_map(|name| container(name)).collect();
        let repeats = message.count() > 1 && equipment().count() > names.len();
        let is_parked =
            message.earlier.as_ref().is_some_and(|earlier| earlier.wait == Wait::Verdict);
        let turns = match is_parked {
            true => Vec::new(),
            false => self.book.line_up_all(containers),
        };
        Prepared { call, problems, turns, repeats }
    }

    pub async fn send(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &Message,
        go: Go,
        prepared: &mut Prepared,
        halt: &CancellationToken,
    ) -> anyhow::Result<Option<Outcome>> {
        let mut outcome = self.work(channel, ledger, message, go, prepared, halt).await?;
        if let Some(outcome) = &mut outcome {
            self.behind.note(message, prepared.call.as_ref(), outcome);
        }
        Ok(outcome)
    }

    async fn work(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &Message,
        go: Go,
        prepared: &mut Prepared,
        halt: &CancellationToken,
    ) -> anyhow::Result<Option<Outcome>> {
        // The places stay taken until the answer is there.
        let Go { leave: Some(leave), room: _room, _permit } = go else {
            anyhow::bail!("a call to CPu has no leave to go");
        };
        let several = message.count() > 1;
        let parked = message.earlier.as_ref().filter(|earlier| earlier.wait == Wait::Verdict);
        let reference = parked.and_then(|earlier| earlier.address.clone());
        let call = match &prepared.call {
            Some(call) if !prepared.repeats || reference.is_some() => call,
            // They were cut so as to be alike; what is not is cut further.
            _ if several => return Ok(Some(message.halve(Timestamp::now(), "cut smaller"))),
            _ => return Ok(Some(message.end(State::Quarantined))),
        };
        let mut asks = None;
        if let Some(reference) = &reference {
            let heard = heard(channel, ledger, reference).await?;
            let parked = Parked { message, call, reference, heard };
            let known = parked.known(&[]);
            // What is not told in the end is given up after one more look only.
            let is_enough = match self.is_over(message) {
                false => known.iter().any(Option::is_some),
                true => known.iter().all(Option::is_some),
            };
            if is_enough {
                let waits = |rest: &Message| self.waits(channel, rest, reference, NO_VERDICT);
                return Ok(Some(parked.settle(&known, waits)));
            }
            asks = Some(parked);
        }
        // Who is before has its leave and its place already, so it does not wait for this one.
        for turn in &mut prepared.turns {
            turn.wait().await;
        }
        if halt.is_cancelled() {
            return Ok(None);
        }
        if asks.is_none()
            && let Some(older) = self.behind.what(ledger, message, call).await?
        {
            return Ok(Some(self.behind.put_off(&channel.retry, message, older)));
        }
        let (leave, tried) = match self.care.ask(channel, ledger, message, leave).await? {
            Asked::Yes(leave, tried) => (leave, tried),
            // What is parked stays so.
            Asked::Rests(outcome) => return Ok(Some(self.parked_still(message, *outcome))),
        };
        match asks {
            None => self.call(channel, ledger, message, call, leave, tried).await.map(Some),
            Some(parked) => self.look(channel, ledger, parked, leave, tried).await.map(Some),
        }
    }

    async fn call(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &Message,
        call: &Call,
        leave: Leave,
        tried: Tried,
    ) -> anyhow::Result<Outcome> {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let reply = self.client.put(&path, &call.body).await;
        let verdict = judge(Remote::Cpu, &reply, &BTreeMap::new());
        if matches!(verdict, Verdict::Pause(..)) {
            self.client.reload();
        }
        let outcome = match (&verdict, &reply) {
            (Verdict::Accepted, Reply::Answered(answer)) if self.confirm != Confirm::None => {
                let worked = leave.worked(Timestamp::now());
                let outcome = match public_reference(answer) {
                    Some(reference) => self.park(channel, message, &reference),
                    None => unknown(message, "CPu accepted it without a public reference"),
                };
                Outcome { worked, ..outcome }
            }
            _ => channel.outcome(verdict, message, leave),
        };
        self.care.note(ledger, &reply, tried).await?;
        Ok(outcome)
    }

    /// Asks for the verdict on what was accepted earlier.
    async fn look(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        parked: Parked<'_>,
        mut leave: Leave,
        tried: Tried,
    ) -> anyhow::Result<Outcome> {
        leave.read_first();
        let Parked { message, reference, .. } = parked;
        let found = self.client.notifications(reference).await;
        let reply = match found {
            Ok(found) => {
                leave.read();
                drop(leave);
                let answered = Reply::Answered(Default::default());
                self.care.note(ledger, &answered, tried).await?;
                let known = parked.known(&found);
                if known.iter().any(Option::is_some) {
                    clear_alarm(channel, ledger).await?;
                }
                let none_yet =
                    |rest: &Message| self.none_yet(channel, rest, reference, "no notification");
                return Ok(parked.settle(&known, none_yet));
            }
            // A read changes nothing, so there is nothing that may have been taken.
            Err(Reply::TimedOut) => Reply::Broken("no answer within the time-out".to_owned()),
            Err(Reply::Lost(why)) => Reply::Broken(why),
            Err(reply) => reply,
        };
        let verdict = judge(Remote::Cpu, &reply, &BTreeMap::new());
        if matches!(verdict, Verdict::Pause(..)) {
            self.client.reload();
        }
        let mut outcome = channel.outcome(verdict, message, leave);
        let waits = parked.settle(&parked.known(&[]), |rest| match &reply {
            Reply::Answered(answer) => self.none_yet(channel, rest, reference, &told(answer)),
            // While nobody answers, nothing can be known: that time does not count.
            _ => self.waits(channel, rest, reference, "CPu does not answer"),
        });
        outcome.alarm = outcome.alarm.or(waits.alarm);
        (outcome.changes, outcome.problems) = (waits.changes, waits.problems);
        self.care.note(ledger, &reply, tried).await?;
        Ok(outcome)
    }

    /// It was accepted: from now on it is parked.
    fn park(&self, channel: &Channel, message: &Message, reference: &str) -> Outcome {
        let mut outcome = self.waits(channel, message, reference, NO_VERDICT);
        outcome.changes.push(Change::Message);
        outcome
    }

    /// There is no verdict yet, by an answer of CPu's.
    fn none_yet(
        &self,
        channel: &Channel,
        message: &Message,
        reference: &str,
        why: &str,
    ) -> Outcome {
        if !self.is_over(message) {
            return self.waits(channel, message, reference, why);
        }
        let advice = format!(
            "CPu accepted {reference} and told no verdict within `verdict_within`; look it up in \
             CPu, and see whether notifications come in"
        );
        let mut outcome = unknown(message, &advice);
        outcome.alarm = Some(channel.alarm(AlarmKind::NoVerdict, advice));
        outcome
    }

    /// Whether the time is over within which the verdict was to come.
    fn is_over(&self, message: &Message) -> bool {
        let now = Timestamp::now();
        let since = message.earlier.as_ref().map_or(now, |earlier| earlier.since);
        after(since, self.verdict_within) <= now
    }

    /// It stays parked. Who polls asks again when as much time has passed as up to now; who hears
    /// by notification looks once before the record is given up.
    fn waits(&self, channel: &Channel, message: &Message, reference: &str, why: &str) -> Outcome {
        let now = Timestamp::now();
        let earlier = message.earlier.as_ref().filter(|earlier| earlier.wait == Wait::Verdict);
        let since = earlier.map_or(now, |earlier| earlier.since);
        let end = after(since, self.verdict_within);
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let (first, max) = (channel.retry.first, channel.retry.max);
        let next = after(now, passed.clamp(first, max));
        let due = match self.confirm {
            Confirm::Poll if end > now => next.min(end),
            Confirm::Notification if end > now => end,
            _ => next,
        };
        let mut outcome = message.wait(Wait::Verdict, due, now, false, why);
        for change in &mut outcome.changes {
            if let Change::Wait(waiting) = change {
                waiting.address = Some(reference.to_owned());
            }
        }
        outcome
    }

    /// What is parked does not become deferred because its channel pauses.
    fn parked_still(&self, message: &Message, mut outcome: Outcome) -> Outcome {
        let parked = message.earlier.as_ref().filter(|earlier| earlier.wait == Wait::Verdict);
        for change in &mut outcome.changes {
            if let (Change::Wait(waiting), Some(parked)) = (change, parked) {
                (waiting.wait, waiting.since) = (Wait::Verdict, parked.since);
            }
        }
        outcome
    }
}

/// A call that was accepted, and what notifications brought on it.
struct Parked<'a> {
    message: &'a Message,
    call: &'a Call,
    reference: &'a str,
    heard: Vec<Told>,
}

impl Parked<'_> {
    /// What is known of each record by those and by what was found besides.
    fn known(&self, found: &[Notification]) -> Vec<Option<Known>> {
        let named = self.message.earlier.as_ref().is_some_and(|earlier| earlier.named);
        let words: Vec<Word> =
            self.heard.iter().map(Word::from).chain(found.iter().map(Word::from)).collect();
        words::known(&self.call.equipment, named, &words)
    }

    /// Settles what is known; of the rest `rest` tells what becomes.
    fn settle(&self, known: &[Option<Known>], rest: impl FnOnce(&Message) -> Outcome) -> Outcome {
        let mut outcome = words::settle(self.message, known, rest);
        outcome.changes.push(Change::Heard(self.heard.clone()));
        outcome
    }
}

/// The verdicts that notifications brought.
async fn heard(channel: &Channel, ledger: &Ledger, reference: &str) -> anyhow::Result<Vec<Told>> {
    let (customer, of) = (channel.customer().to_owned(), reference.to_owned());
    let told = ledger.change(move |store| store.verdicts(&customer, &of)).await?;
    if !told.is_empty() {
        clear_alarm(channel, ledger).await?;
    }
    Ok(told)
}

/// Verdicts come in again.
async fn clear_alarm(channel: &Channel, ledger: &Ledger) -> anyhow::Result<()> {
    let (customer, name) = (channel.customer().to_owned(), channel.name().to_owned());
    ledger
        .update(move |store| {
            store.clear(|alarm| {
                alarm.kind == AlarmKind::NoVerdict
                    && alarm.customer == customer
                    && alarm.channel.as_ref() == Some(&name)
            });
        })
        .await
}

fn unknown(message: &Message, why: &str) -> Outcome {
    let told = format!("unknown outcome: {why}");
    let mut outcome = message
        .quarantine(|record, line| message.problem(record, line, UNKNOWN_OUTCOME, "", &told));
    if message.earlier.as_ref().is_some_and(|earlier| earlier.wait == Wait::Verdict) {
        outcome.changes.retain(|change| *change != Change::Message);
    }
    outcome
}
