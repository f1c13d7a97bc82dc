//! Deliver: gets each message to its channel, and says what became of it. It does not know how a
//! message was made.

pub mod assignment;
mod ingestion;
pub mod lane;
pub mod message;
mod open;
pub mod order;
mod resolve;
pub mod retry;
pub mod room;
pub mod rota;
mod scr;
pub mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

pub use lane::{Lane, Leave};
pub use message::{Message, Outcome};
pub use open::{Shared, open};
pub use order::Turn;
pub use room::{Room, Rooms};
pub use rota::InUse;
pub use scr::{Gate, Prepared};

use crate::config::{self, Retry};
use crate::ledger::{Alarm, AlarmKind, Change, Ledger, Wait};
use crate::model::{Reply, State};
use verdict::Verdict;

/// The channels of all customers, by customer and name.
pub type Channels = BTreeMap<(String, String), Arc<Channel>>;

/// One customer's channel, ready to send.
pub struct Channel {
    customer: String,
    name: String,
    /// What it was opened from.
    settings: config::Channel,
    retry: Retry,
    /// The traffic on it.
    pub lane: Lane,
    kind: Kind,
    /// The places of requests in flight, SCR's apart.
    rooms: Rooms,
}

enum Kind {
    Ingestion(Box<ingestion::Lines>),
    Scr(Box<scr::Releases>),
}

/// What a message needs before its body is built. Who waits for it holds neither a request's place
/// nor a body.
pub enum Clearance {
    /// Go.
    Go(Go),
    /// The channel is paused until then.
    Paused(Timestamp),
    /// Nothing more is to be sent.
    Halted,
}

/// The right to send one message.
#[derive(Default)]
pub struct Go {
    room: Option<Room>,
    leave: Option<Leave>,
    /// One of the channel's own places.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Channel {
    /// How many messages of one file are worked on at once.
    pub fn window(&self) -> usize {
        match &self.kind {
            Kind::Ingestion(_) => usize::MAX,
            // Records that wait for their release's turn hold no permit, but a record of another
            // release must get past them.
            Kind::Scr(_) => 512,
        }
    }

    /// Waits until one more message may be built and sent.
    pub async fn clear(&self, halt: &CancellationToken) -> Clearance {
        tokio::select! {
            biased;
            () = halt.cancelled() => Clearance::Halted,
            clearance = self.clear_unless_paused() => clearance,
        }
    }

    async fn clear_unless_paused(&self) -> Clearance {
        let Kind::Ingestion(lines) = &self.kind else {
            // A call to SCR waits for its release first, and for its place last.
            return match self.lane.paused_until() {
                Some(until) => Clearance::Paused(until),
                None => Clearance::Go(Go::default()),
            };
        };
        // The semaphore is never closed.
        let permit = Arc::clone(&lines.permits).acquire_owned().await.ok();
        let leave = match self.lane.enter().await {
            Ok(leave) => leave,
            Err(until) => return Clearance::Paused(until),
        };
        let room = self.rooms.take(&self.customer, lines.batch_bytes as u64).await;
        // Others that were under way may have paused it meanwhile.
        match self.lane.paused_until() {
            Some(until) => Clearance::Paused(until),
            None => Clearance::Go(Go { room: Some(room), leave: Some(leave), _permit: permit }),
        }
    }

    /// Takes a file's place in the order in which files send to this channel, where one matters.
    pub fn line_up_file(&self) -> Option<Turn> {
        match &self.kind {
            Kind::Ingestion(_) => None,
            Kind::Scr(releases) => Some(releases.files.line_up("")),
        }
    }

    /// Takes a message's place in the order of its release, where there is one. Must be called in
    /// the order of the records.
    pub fn line_up(&self, message: &Message) -> Option<Prepared> {
        match &self.kind {
            Kind::Ingestion(_) => None,
            Kind::Scr(releases) => Some(releases.line_up(message)),
        }
    }

    /// Sends a message once, and tells what becomes of it; none if `halt` came before it was sent.
    /// What the outcome says is to be noted in the ledger before `prepared` is dropped.
    pub async fn send(
        &self,
        ledger: &Ledger,
        message: &mut Message,
        go: Go,
        prepared: Option<&mut Prepared>,
        halt: &CancellationToken,
    ) -> anyhow::Result<Option<Outcome>> {
        match (&self.kind, prepared) {
            (Kind::Ingestion(lines), _) => lines.send(self, ledger, message, go, halt).await,
            (Kind::Scr(releases), Some(prepared)) => {
                releases.send(self, ledger, message, prepared, halt).await
            }
            (Kind::Scr(_), None) => anyhow::bail!("a call to SCR did not line up"),
        }
    }

    /// What a verdict that is the same for all channels makes of a message.
    fn outcome(&self, verdict: Verdict, message: &Message, leave: lane::Leave) -> Outcome {
        let now = Timestamp::now();
        match verdict {
            Verdict::Delivered | Verdict::Accepted => {
                Outcome { worked: leave.worked(), ..message.end(State::Delivered) }
            }
            Verdict::Refused(told) => {
                let paused = leave.refused();
                let mut outcome = self.refuse(message, &told, now);
                if paused.is_some() {
                    let advice = format!(
                        "one message after the other is refused, the last with {told}; compare the \
                         mapping with what the channel takes"
                    );
                    outcome.alarm = Some(self.alarm(AlarmKind::EverythingRefused, advice));
                }
                outcome
            }
            Verdict::TooLarge(told) => {
                leave.refused();
                self.refuse(message, &told, now)
            }
            Verdict::Later { reason, hold, answered, .. } => {
                // A server that answers with a fault may mean this message alone.
                let paused = match (hold, answered) {
                    (None, true) => leave.refused(),
                    _ => leave.failed(hold),
                };
                let attempts = message.earlier.as_ref().map_or(0, |earlier| earlier.attempts) + 1;
                let chance = retry::chance(message.key().as_bytes());
                let own = after(now, retry::wait(&self.retry, attempts, chance));
                let due = paused.map_or(own, |paused| paused.max(own));
                let mut outcome = message.wait(Wait::Time, due, now, answered, &reason);
                if let Some(Change::Wait(waiting)) = outcome.changes.first()
                    && waiting.spent >= self.retry.give_up_after.as_secs()
                {
                    let told = format!("given up after {} attempts: {reason}", waiting.attempts);
                    outcome = self.refuse(message, &told, now);
                }
                if paused.is_some() {
                    let advice = format!("{reason}; it is tried again by itself");
                    outcome.alarm = Some(self.alarm(AlarmKind::Unreachable, advice));
                }
                outcome
            }
            Verdict::Pause(kind, advice) => {
                let due = leave.pause(None);
                let mut outcome = message.wait(Wait::Time, due, now, false, &advice);
                outcome.alarm = Some(self.alarm(kind, advice));
                outcome
            }
        }
    }

    /// Sets a message's record aside; one of several is cut in half, until the guilty stand alone.
    fn refuse(&self, message: &Message, told: &str, now: Timestamp) -> Outcome {
        match message.count() {
            1 => message
                .quarantine(|record, line| message.problem(record, line, "refused", "", told)),
            _ => message.halve(now, told),
        }
    }

    fn alarm(&self, kind: AlarmKind, advice: String) -> Alarm {
        Alarm {
            since: Timestamp::now(),
            customer: self.customer.clone(),
            channel: Some(self.name.clone()),
            source: None,
            kind,
            advice,
        }
    }

    /// The places that its requests wait for.
    fn rooms(&self) -> &Rooms {
        match &self.kind {
            Kind::Ingestion(_) => &self.rooms,
            Kind::Scr(releases) => &releases.gate.rooms,
        }
    }

    /// Lets the next message try at once and reads secrets anew, as a person asked for it.
    pub fn retry_now(&self) {
        match &self.kind {
            Kind::Ingestion(lines) => lines.client.reload(),
            Kind::Scr(releases) => releases.reload(),
        }
        self.lane.retry_now();
    }

    /// The customer's id.
    pub fn customer(&self) -> &str {
        &self.customer
    }

    /// The channel's name in the customer's file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Logs in, as a check that nothing is sent with.
    pub async fn connect(&self) -> Result<(), String> {
        let reply = match &self.kind {
            Kind::Ingestion(lines) => lines.connect().await,
            Kind::Scr(releases) => releases.connect().await,
        };
        match reply {
            None => Ok(()),
            Some(Reply::Answered(answer)) => Err(verdict::told(&answer)),
            Some(Reply::TimedOut) => Err("no answer within the time-out".to_owned()),
            Some(Reply::Broken(why) | Reply::NoLogin(why) | Reply::LoginRefused(why)) => Err(why),
        }
    }
}

impl Go {
    /// The message has so many bytes.
    pub fn shrink(&self, bytes: usize) {
        if let Some(room) = &self.room {
            room.shrink(bytes as u64);
        }
    }
}

/// How many requests of each customer are open and how many wait for others, over all its channels.
pub fn in_use(channels: &Channels) -> BTreeMap<String, InUse> {
    let mut seen: Vec<(&str, &Rooms)> = Vec::new();
    let mut uses: BTreeMap<String, InUse> = BTreeMap::new();
    for channel in channels.values() {
        let (customer, rooms) = (channel.customer(), channel.rooms());
        let before = seen.iter().rev().take_while(|(other, _)| *other == customer);
        if before.into_iter().any(|(_, other)| other.is(rooms)) {
            continue;
        }
        seen.push((customer, rooms));
        let (used, of) = (uses.entry(customer.to_owned()).or_default(), rooms.of(customer));
        used.open += of.open;
        used.waiting += of.waiting;
    }
    uses
}

/// A time so far from now.
pub fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = jiff::SignedDuration::try_from(wait).unwrap_or(jiff::SignedDuration::from_hours(24));
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
