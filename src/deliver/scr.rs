//! Sending to an SCR API: at most so many calls open at once over all customers, one call a
//! release at a time, in the order in which records came in (design, sections 3.4 and 3.5).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::assignment::{self, Action, Assignment, ReleaseName};
use super::consequence::UNKNOWN_OUTCOME;
use super::order::{OrderBook, Turn};
use super::resolve::{Found, Unread};
use super::room::{Room, Rooms};
use super::verdict::{Heard, Remote, Verdict, judge};
use super::{Channel, Leave, Message, Outcome, after};
use crate::ledger::{Change, Ledger, ReleaseAge, Wait};
use crate::model::{Level, Problem, Reply, State};
use crate::remote::scr::Scr;

/// How long the API may still be at work on a call after our own time-out (design, section 3.5).
const AT_WORK: Duration = Duration::from_secs(60);

/// The one way into an SCR API, for all customers that use it.
pub struct Gate {
    pub(super) client: Scr,
    url: String,
    /// Customers take turns for the calls.
    pub(super) rooms: Rooms,
    /// As many places for reads.
    pub(super) reads: Rooms,
    book: OrderBook,
    /// Whether several channels go through it.
    shared: Arc<AtomicBool>,
}

/// One customer's releases at an SCR API.
pub struct Releases {
    pub gate: Arc<Gate>,
    pub vat: Option<String>,
    pub park_for: Duration,
    pub verdict_within: Duration,
    /// The files that send to it, in the order of their arrival.
    pub files: OrderBook,
}

/// What a record asks, and its place in the order of its release. Dropping it lets the next call
/// for that release go.
pub struct Prepared {
    assignment: Option<Assignment>,
    pub(super) problems: Vec<Problem>,
    turns: Vec<Turn>,
}

/// What is known of a call by its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    /// The API has taken it.
    Taken,
    /// The API has not taken it.
    Refused,
    /// It is not known whether the API has taken it, or it was not sent.
    Nothing,
    /// The outcome says already what is known of the release.
    Noted,
}

impl Gate {
    /// A gate of so many calls.
    pub fn new(client: Scr, url: &str, concurrency: usize) -> Gate {
        Gate {
            client,
            url: url.to_owned(),
            // No reserve: a dead API is dead for all who share it.
            rooms: Rooms::new(concurrency, u64::MAX, false),
            reads: Rooms::new(concurrency, u64::MAX, false),
            book: OrderBook::default(),
            shared: Arc::default(),
        }
    }

    /// The API's normal URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets whether several channels go through it: then whose a release is must be asked first.
    pub fn set_shared(&self, shared: bool) {
        self.shared.store(shared, Ordering::SeqCst);
    }

    /// Whether several channels go through it.
    pub fn is_shared(&self) -> bool {
        self.shared.load(Ordering::SeqCst)
    }

    /// The same gate with another client, and perhaps of more or fewer calls. Calls that are open
    /// count on.
    pub fn renewed(&self, client: Scr, concurrency: usize) -> Gate {
        self.rooms.resize(concurrency, u64::MAX, false);
        self.reads.resize(concurrency, u64::MAX, false);
        Gate {
            client,
            url: self.url.clone(),
            rooms: self.rooms.clone(),
            reads: self.reads.clone(),
            book: self.book.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Releases {
    pub fn line_up(&self, message: &Message) -> Prepared {
        let (assignment, problems) =
            assignment::parse(&message.body, message.first(), message.line);
        let turns = assignment
            .iter()
            .map(|assignment| match &assignment.release {
                ReleaseName::Address(address) => self.gate.book.line_up(address),
                ReleaseName::Container(container, bl) => {
                    let name = format!("{container} {}", bl.as_deref().unwrap_or(""));
                    self.gate.book.line_up(&name)
                }
            })
            .collect();
        Prepared { assignment, problems, turns }
    }

    /// One read that changes nothing; what went wrong, if something did.
    pub async fn connect(&self) -> Option<Reply> {
        self.gate.client.find("CSQU3054383", None).await.err()
    }

    /// Reads the signing key anew when it is next needed.
    pub fn reload(&self) {
        self.gate.client.reload();
    }

    pub async fn send(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &Message,
        prepared: &mut Prepared,
        halt: &CancellationToken,
    ) -> anyhow::Result<Option<Outcome>> {
        let Some(assignment) = prepared.assignment.clone() else {
            return Ok(Some(message.end(State::Quarantined)));
        };
        for turn in &mut prepared.turns {
            turn.wait().await;
        }
        if halt.is_cancelled() {
            return Ok(None);
        }
        self.work(channel, ledger, message, prepared, &assignment, halt).await
    }

    async fn work(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &Message,
        prepared: &mut Prepared,
        assignment: &Assignment,
        halt: &CancellationToken,
    ) -> anyhow::Result<Option<Outcome>> {
        let confirming =
            message.earlier.as_ref().filter(|earlier| earlier.wait == Wait::Confirmation);
        let (address, leave) = match confirming.and_then(|earlier| earlier.address.clone()) {
            Some(address) => (address, None),
            None => match self.address(channel, message, assignment, halt).await {
                Found::Address(address, leave) => (address, leave),
                Found::Halted => return Ok(None),
                Found::Outcome(outcome) => {
                    if outcome.is_final() {
                        self.forget_attempt(ledger, message, assignment).await?;
                    }
                    return Ok(Some(*outcome));
                }
            },
        };
        // A probe that was a read is not over before its call; others enter the lane anew.
        let mut leave = leave.filter(Leave::is_probe);
        let before = message.earlier.as_ref().and_then(|earlier| earlier.address.as_ref());
        if before.is_some_and(|before| *before != address) {
            // This waits for others, who may wait for the probe.
            leave = None;
            self.forget_attempt(ledger, message, assignment).await?;
        }
        if !matches!(assignment.release, ReleaseName::Address(_)) {
            let mut turn = self.gate.book.line_up(&address);
            if turn.wait().now_or_never().is_none() {
                // Who is before may itself wait for the probe.
                leave = None;
                turn.wait().await;
            }
            prepared.turns.push(turn);
        }
        let mine = message.age();
        let (api, of) = (self.gate.url.clone(), address.clone());
        let mut age = ledger.change(move |store| store.release(&api, &of)).await?;
        let later = |reason| {
            let now = Timestamp::now();
            message.wait(Wait::Time, after(now, channel.retry.first), now, false, reason)
        };
        if age.last.is_some_and(|last| last > mine) {
            return Ok(Some(overtaken(message)));
        }
        if age.busy.is_some_and(|busy| busy != mine) {
            return Ok(Some(later("an earlier call for this release is not confirmed yet")));
        }
        if age.tried.is_some_and(|tried| tried > mine) {
            return Ok(Some(later("a newer call for this release is not answered yet")));
        }
        if confirming.is_some() {
            return Ok(Some(self.confirm(channel, message, &address, age, halt).await));
        }
        // Noted before the call: if the answer is lost, by a crash too, no older record of this
        // release may go out until this one has gone out again.
        let before = age.tried;
        age.tried = Some(mine);
        ledger.note(message.arrival, vec![self.note(&address, age)]).await?;
        let sent =
            self.call(channel, message, prepared, assignment, &address, age, leave, halt).await;
        Ok(sent.map(|(mut outcome, answer)| {
            for change in &mut outcome.changes {
                if let Change::Wait(waiting) = change {
                    waiting.address = Some(address.clone());
                }
            }
            let known = match answer {
                Answered::Taken => {
                    Some(ReleaseAge { last: age.last.max(age.tried), busy: None, tried: None })
                }
                // What is set aside keeps nothing back, but an older call may still be lost.
                Answered::Refused | Answered::Nothing if outcome.is_final() => {
                    Some(ReleaseAge { tried: before.filter(|before| *before != mine), ..age })
                }
                // What an earlier attempt, or an earlier record, has done is not known by this
                // answer.
                Answered::Refused => Some(ReleaseAge { tried: before, ..age }),
                Answered::Nothing | Answered::Noted => None,
            };
            outcome.changes.extend(known.map(|known| self.note(&address, known)));
            outcome
        }))
    }

    /// An earlier attempt may have been noted for a release that the record does not mean any more;
    /// then it must not keep older records of that release back.
    async fn forget_attempt(
        &self,
        ledger: &Ledger,
        message: &Message,
        assignment: &Assignment,
    ) -> anyhow::Result<()> {
        let Some(address) = message.earlier.as_ref().and_then(|earlier| earlier.address.clone())
        else {
            return Ok(());
        };
        // Its calls change the same entry. Who names a release by its address holds its turn.
        let mut turn = match assignment.release {
            ReleaseName::Address(_) => None,
            ReleaseName::Container(..) => Some(self.gate.book.line_up(&address)),
        };
        if let Some(turn) = &mut turn {
            turn.wait().await;
        }
        let (api, of) = (self.gate.url.clone(), address.clone());
        let age = ledger.change(move |store| store.release(&api, &of)).await?;
        if age.tried == Some(message.age()) {
            let age = ReleaseAge { tried: None, ..age };
            ledger.note(message.arrival, vec![self.note(&address, age)]).await?;
        }
        Ok(())
    }

    /// The call itself: a place at the gate spans it and nothing else.
    #[expect(clippy::too_many_arguments, reason = "it is one step of `work`")]
    async fn call(
        &self,
        channel: &Channel,
        message: &Message,
        prepared: &mut Prepared,
        assignment: &Assignment,
        address: &str,
        age: ReleaseAge,
        leave: Option<Leave>,
        halt: &CancellationToken,
    ) -> Option<(Outcome, Answered)> {
        // Who waits for the lane must not hold a place that another customer could use.
        let entered = match leave {
            Some(leave) => Ok(leave),
            None => channel.lane.enter().await,
        };
        let leave = match entered {
            Ok(leave) => leave,
            Err(until) => return Some((message.paused(until), Answered::Nothing)),
        };
        let place = async {
            channel.keep_pace().await;
            self.gate.rooms.take(channel.customer(), 0).await
        };
        let room = tokio::select! {
            biased;
            () = halt.cancelled() => return None,
            room = place => room,
        };
        if let Some(until) = channel.lane.paused_until() {
            return Some((message.paused(until), Answered::Nothing));
        }
        let mut reply = match &assignment.action {
            Action::Assign(assignee) => self.gate.client.assign(address, assignee).await,
            Action::Unassign => self.gate.client.unassign(address).await,
        };
        if let Reply::Answered(answer) = &mut reply {
            answer.text = assignment.mask(&answer.text);
        }
        let verdict = judge(Remote::Scr, &reply, &BTreeMap::new());
        if matches!(verdict, Verdict::Later { heard: Heard::TimedOut, .. }) {
            hold(room, std::mem::take(&mut prepared.turns));
        } else {
            drop(room);
        }
        if verdict == Verdict::Accepted && assignment.action == Action::Unassign {
            let worked = leave.worked(Timestamp::now());
            let outcome = self.confirm(channel, message, address, age, halt).await;
            return Some((Outcome { worked, ..outcome }, Answered::Noted));
        }
        if matches!(verdict, Verdict::Pause(..)) {
            self.gate.client.reload();
        }
        let answer = match (&verdict, &reply) {
            (Verdict::Delivered | Verdict::Accepted, _) => Answered::Taken,
            (_, Reply::Answered(_)) => Answered::Refused,
            _ => Answered::Nothing,
        };
        Some((channel.outcome(verdict, message, leave), answer))
    }

    /// Asks whether a 202 was carried out. For an unassign, that the release can be read is enough.
    async fn confirm(
        &self,
        channel: &Channel,
        message: &Message,
        address: &str,
        age: ReleaseAge,
        halt: &CancellationToken,
    ) -> Outcome {
        let mine = Some(message.age());
        let done = ReleaseAge { last: age.last.max(mine), busy: None, tried: None };
        let read = self.read(channel, message, halt, |scr| scr.release(address)).await;
        let (why, mut outcome) = match read {
            Ok((Some(_), _)) => {
                let mut outcome = message.end(State::Delivered);
                outcome.changes.push(self.note(address, done));
                return outcome;
            }
            Ok((None, _)) => (Some("the release is not there".to_owned()), Outcome::default()),
            // While nobody answers, nothing can be known: that time does not count.
            Err(Unread { answered, reason, outcome }) => {
                (answered.then_some(reason), outcome.unwrap_or_default())
            }
        };
        let now = Timestamp::now();
        let since = match &message.earlier {
            Some(earlier) if earlier.wait == Wait::Confirmation => earlier.since,
            _ => now,
        };
        if let Some(why) = &why
            && after(since, self.verdict_within) <= now
        {
            let told = format!(
                "unknown outcome: the call was accepted but not confirmed ({why}); look it up in \
                 the SCR application, then drop the record again if it is still wanted"
            );
            let mut given_up = message.quarantine(|record, line| {
                message.problem(record, line, UNKNOWN_OUTCOME, "", &told)
            });
            given_up.changes.push(self.note(address, done));
            // The lane may be paused by the read all the same.
            given_up.alarm = outcome.alarm;
            return given_up;
        }
        let why = why.as_deref().unwrap_or("the API does not answer");
        let due = after(now, channel.retry.first);
        let mut waits = message.wait(Wait::Confirmation, due, now, false, why);
        for change in &mut waits.changes {
            if let Change::Wait(waiting) = change {
                waiting.address = Some(address.to_owned());
            }
        }
        outcome.changes = waits.changes;
        outcome.problems = Vec::new();
        outcome.changes.push(self.note(address, ReleaseAge { busy: mine, ..done }));
        outcome
    }

    fn note(&self, address: &str, age: ReleaseAge) -> Change {
        Change::Release { api: self.gate.url.clone(), address: address.to_owned(), age }
    }
}

/// Keeps a call's place and its releases for as long as the API may still be at work.
fn hold(room: Room, turns: Vec<Turn>) {
    tokio::spawn(async move {
        tokio::time::sleep(AT_WORK).await;
        drop((room, turns));
    });
}

/// A newer call for its release was delivered. Who asked for this one to be worked again is told.
fn overtaken(message: &Message) -> Outcome {
    let mut outcome = message.end(State::Superseded);
    if message.origin.is_some() {
        let told = "overtaken: a newer call for its release was delivered; left out";
        outcome.problems.push(Problem {
            level: Level::Warn,
            ..message.problem(message.first(), message.line, "superseded", "", told)
        });
    }
    outcome
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_time_out_the_call_and_its_release_stay_taken_for_a_minute() {
        let (rooms, book) = (Rooms::new(1, u64::MAX, false), OrderBook::default());
        hold(rooms.take("acme", 0).await, vec![book.line_up("0xa")]);
        let begun = Instant::now();
        let mut next = book.line_up("0xa");
        let (_room, ()) = tokio::join!(rooms.take("zeta", 0), next.wait());
        assert_eq!(begun.elapsed(), Duration::from_secs(60));
    }
}
