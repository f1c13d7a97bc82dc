//! Deliver: gets each message to its channel, and says what became of it. It does not know how a
//! message was made.

mod ask;
pub mod assignment;
mod behind;
pub mod call;
mod care;
pub mod consequence;
mod connection;
mod cpu;
mod explain;
mod ingestion;
mod invite;
pub mod lane;
pub mod message;
mod open;
pub mod order;
mod pace;
pub mod precedence;
mod resolve;
pub mod retry;
pub mod room;
pub mod rota;
mod scr;
mod standing;
mod attempt;
pub mod verdict;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

pub use lane::{Lane, Leave};
pub use message::{Message, Outcome};
pub use open::{Shared, open};
pub use order::Turn;
pub use resolve::{names_of, same_vat};
pub use room::{Room, Rooms};
pub use rota::InUse;
pub use scr::Gate;
pub use verdict::is_not_found;

use crate::config::{self, Retry};
use crate::ledger::{Alarm, AlarmKind, Ledger, Waiting};
use crate::model::{Problem, Reply};
use crate::remote::scr::Walk;
use call::Alike;
use consequence::consequence;
use pace::Pace;
use verdict::{Heard, Remote, Verdict, judge};

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
    /// Where `rate` sets one.
    pace: Option<Pace>,
    /// The places of requests in flight, SCR's apart.
    rooms: Rooms,
    /// Cancelled when another channel took its place.
    retired: CancellationToken,
}

enum Kind {
    Ingestion(Box<ingestion::Lines>),
    Scr(Box<scr::Releases>),
    Cpu(Box<cpu::Rights>),
}

/// What a record asks of its channel, read before it is sent. Of a call to SCR also its place in the
/// order of its release: dropping it lets the next call for that release go.
pub enum Prepared {
    /// Of an SCR API.
    Assignment(Box<scr::Prepared>),
    /// Of CPu.
    Call(cpu::Prepared),
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
            Kind::Ingestion(_) if self.keeps_order() => 1,
            Kind::Ingestion(_) | Kind::Cpu(_) => usize::MAX,
            // Records that wait for their release's turn hold no permit, but a record of another
            // release must get past them.
            Kind::Scr(_) => 512,
        }
    }

    /// Whether a file's messages go one by one, and none overtakes one that waits (design, section
    /// 3.4).
    pub fn keeps_order(&self) -> bool {
        matches!(&self.kind, Kind::Ingestion(lines) if lines.keeps_order)
    }

    /// Waits until one more message, of so many bytes at most, may be built and sent.
    pub async fn clear(&self, bytes: u64, halt: &CancellationToken) -> Clearance {
        tokio::select! {
            biased;
            () = halt.cancelled() => Clearance::Halted,
            clearance = self.clear_unless_paused(bytes) => clearance,
        }
    }

    async fn clear_unless_paused(&self, bytes: u64) -> Clearance {
        let permits = match &self.kind {
            Kind::Ingestion(lines) => &lines.permits,
            Kind::Cpu(rights) => &rights.permits,
            // A call to SCR waits for its release first, and for its place last.
            Kind::Scr(_) => {
                return match self.lane.paused_until() {
                    Some(until) => Clearance::Paused(until),
                    None => Clearance::Go(Go::default()),
                };
            }
        };
        // The semaphore is never closed.
        let permit = Arc::clone(permits).acquire_owned().await.ok();
        let leave = match self.lane.enter().await {
            Ok(leave) => leave,
            Err(until) => return Clearance::Paused(until),
        };
        self.keep_pace().await;
        let room = self.rooms.take(&self.customer, bytes).await;
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
            Kind::Cpu(rights) => Some(rights.files.line_up("")),
        }
    }

    /// Takes a message's place in the order of its release, where there is one. Must be called in
    /// the order of the records.
    pub fn line_up(&self, message: &Message) -> Option<Prepared> {
        match &self.kind {
            Kind::Ingestion(_) => None,
            Kind::Scr(releases) => Some(Prepared::Assignment(Box::new(releases.line_up(message)))),
            Kind::Cpu(rights) => Some(Prepared::Call(rights.line_up(message))),
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
            (Kind::Scr(releases), Some(Prepared::Assignment(prepared))) => {
                releases.send(self, ledger, message, prepared, halt).await
            }
            (Kind::Cpu(rights), Some(Prepared::Call(prepared))) => {
                rights.send(self, ledger, message, go, prepared, halt).await
            }
            (Kind::Scr(_) | Kind::Cpu(_), _) => anyhow::bail!("a call did not line up"),
        }
    }

    /// What a verdict makes of a message, the same for all channels.
    fn outcome(&self, verdict: Verdict, message: &Message, leave: Leave) -> Outcome {
        let now = Timestamp::now();
        let (outcome, trouble) = consequence(&self.retry, verdict, message, leave, now);
        let alarm = trouble.map(|(kind, advice)| self.alarm(kind, advice));
        Outcome { alarm, ..outcome }
    }

    /// The alarm that an answer to a read asks for, if it does.
    pub fn trouble(&self, reply: &Reply) -> Option<Alarm> {
        match judge(Remote::Scr, reply, &BTreeMap::new()) {
            Verdict::Pause(kind, advice) => Some(self.alarm(kind, advice)),
            Verdict::Later { heard: Heard::Fault | Heard::Word | Heard::Busy, .. } => None,
            Verdict::Later { reason, .. } => {
                let advice = format!("the SCR API cannot be reached: {reason}; it is tried again");
                Some(self.alarm(AlarmKind::Unreachable, advice))
            }
            _ => None,
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

    /// Waits until the channel's rate allows one more request.
    async fn keep_pace(&self) {
        if let Some(pace) = &self.pace {
            pace.wait().await;
        }
    }

    /// The places that its requests wait for.
    fn rooms(&self) -> &Rooms {
        match &self.kind {
            Kind::Ingestion(_) | Kind::Cpu(_) => &self.rooms,
            Kind::Scr(releases) => &releases.gate.rooms,
        }
    }

    /// Another channel took its place: nothing more is to be sent on this one.
    pub fn retire(&self) {
        self.retired.cancel();
    }

    /// Whether another channel took its place.
    pub fn is_retired(&self) -> bool {
        self.retired.is_cancelled()
    }

    /// Ends when another channel took its place.
    pub async fn retired(&self) {
        self.retired.cancelled().await;
    }

    /// Lets the next message try at once and reads secrets anew, as a person asked for it.
    pub fn retry_now(&self) {
        match &self.kind {
            Kind::Ingestion(lines) => lines.client.reload(),
            Kind::Cpu(rights) => rights.client.reload(),
            Kind::Scr(releases) => releases.reload(),
        }
        self.lane.retry_now();
    }

    /// What mapped records must have in common to go in one request, where that matters.
    pub fn alike(&self) -> Option<Alike> {
        match &self.kind {
            Kind::Cpu(_) => Some(call::alike),
            Kind::Ingestion(_) | Kind::Scr(_) => None,
        }
    }

    /// Whether it sends to Certified Pick up.
    pub fn is_cpu(&self) -> bool {
        matches!(self.kind, Kind::Cpu(_))
    }

    /// The SCR API that it sends to, if it does.
    pub fn scr_api(&self) -> Option<&str> {
        match &self.settings.kind {
            config::ChannelKind::Scr(scr) => Some(&scr.api),
            _ => None,
        }
    }

    /// The normal URL of that API.
    pub fn scr_url(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scr(releases) => Some(releases.gate.url()),
            _ => None,
        }
    }

    /// All that its SCR API tells of a release; it takes one of the places for reads.
    pub async fn release_document(&self, address: &str) -> Result<Option<Value>, Reply> {
        let Kind::Scr(releases) = &self.kind else { return Ok(None) };
        let _room = releases.gate.reads.take(self.customer(), 0).await;
        releases.gate.client.document(address).await
    }

    /// The next releases of a walk over its SCR API's list; it takes one of the places for reads.
    pub async fn next_page(&self, walk: &mut Walk) -> Result<Option<Vec<Value>>, Reply> {
        let Kind::Scr(releases) = &self.kind else { return Ok(None) };
        let _room = releases.gate.reads.take(self.customer(), 0).await;
        releases.gate.client.next_page(walk).await
    }

    /// Asks its SCR API for the connections and notes them; what went wrong, if something did.
    pub async fn refresh_connections(&self, ledger: &Ledger) -> anyhow::Result<Result<(), Reply>> {
        match &self.kind {
            Kind::Scr(releases) => releases.refresh_connections(ledger, SignedDuration::ZERO).await,
            Kind::Ingestion(_) | Kind::Cpu(_) => Ok(Ok(())),
        }
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
            Kind::Ingestion(lines) => lines.care.connect().await,
            Kind::Cpu(rights) => rights.care.connect().await,
            Kind::Scr(releases) => releases.connect().await,
        };
        match reply {
            None => Ok(()),
            Some(reply) => Err(fault_of(reply)),
        }
    }
}

impl Prepared {
    /// What is to be noted of a record before anything newer goes.
    pub fn waits_from_now(&self, message: &Message) -> Option<Waiting> {
        match self {
            Prepared::Assignment(prepared) => prepared.waits_from_now(message),
            Prepared::Call(_) => None,
        }
    }

    /// What is to be told of the record before it is sent.
    pub fn take_problems(&mut self, message: &Message) -> Vec<Problem> {
        let problems = match self {
            Prepared::Assignment(prepared) => &mut prepared.problems,
            Prepared::Call(prepared) => &mut prepared.problems,
        };
        let problems = std::mem::take(problems);
        match message.earlier {
            None => problems,
            // They were told when the record was first tried.
            Some(_) => Vec::new(),
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

/// What went wrong, in words.
pub fn fault_of(reply: Reply) -> String {
    match reply {
        Reply::Answered(answer) => verdict::told(&answer),
        Reply::TimedOut => "no answer within the time-out".to_owned(),
        Reply::Broken(why) | Reply::Lost(why) | Reply::NoLogin(why) | Reply::LoginRefused(why) => {
            why
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
