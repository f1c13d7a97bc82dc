//! Sending to an SCR API: at most so many calls open at once over all customers, one call a
//! release at a time, in the order in which records came in (design, sections 3.4 and 3.5).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::assignment::{self, Action, Assignment, ReleaseName};
use super::order::{OrderBook, Turn};
use super::resolve::Found;
use super::verdict::{Remote, Verdict, judge};
use super::{Channel, Message, Outcome, after};
use crate::ledger::{Age, Change, Ledger, ReleaseAge, Wait};
use crate::model::{Problem, Reply, State};
use crate::remote::scr::Scr;

/// How long the API may still be at work on a call after our own time-out (design, section 3.5).
const AT_WORK: Duration = Duration::from_secs(60);

/// The one way into an SCR API, for all customers that use it.
pub struct Gate {
    pub(super) client: Scr,
    url: String,
    permits: Arc<Semaphore>,
    book: OrderBook,
}

/// One customer's releases at an SCR API.
pub struct Releases {
    pub gate: Arc<Gate>,
    pub vat: Option<String>,
    /// Whether other channels use the API too: then whose a release is must be asked first.
    pub shared: bool,
    pub park_for: Duration,
    pub verdict_within: Duration,
    /// The files that send to it, in the order of their arrival.
    pub files: OrderBook,
}

/// What a record asks, and its place in the order of its release. Dropping it lets the next call
/// for that release go.
pub struct Prepared {
    assignment: Option<Assignment>,
    problems: Vec<Problem>,
    turns: Vec<Turn>,
}

impl Gate {
    /// A gate of so many calls.
    pub fn new(client: Scr, url: &str, concurrency: usize) -> Gate {
        Gate {
            client,
            url: url.to_owned(),
            permits: Arc::new(Semaphore::new(concurrency)),
            book: OrderBook::default(),
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

    pub async fn send(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &Message,
        prepared: &mut Prepared,
        stop: &CancellationToken,
    ) -> anyhow::Result<Outcome> {
        let Some(assignment) = prepared.assignment.clone() else {
            let mut outcome = message.end(State::Quarantined);
            outcome.problems = std::mem::take(&mut prepared.problems);
            return Ok(outcome);
        };
        let mut outcome =
            self.send_sound(channel, ledger, message, prepared, &assignment, stop).await?;
        // Of a record that waited they were told when it was first tried.
        if message.earlier.is_none() && !outcome.left {
            outcome.problems.append(&mut prepared.problems);
        }
        Ok(outcome)
    }

    async fn send_sound(
        &self,
        channel: &Channel,
        ledger: &Ledger,
        message: &Message,
        prepared: &mut Prepared,
        assignment: &Assignment,
        stop: &CancellationToken,
    ) -> anyhow::Result<Outcome> {
        for turn in &mut prepared.turns {
            turn.wait().await;
        }
        if stop.is_cancelled() {
            return Ok(Outcome { left: true, ..Outcome::default() });
        }
        let address = match self.address(channel, message, assignment).await {
            Found::Address(address) => address,
            Found::Outcome(outcome) => return Ok(*outcome),
        };
        if !matches!(assignment.release, ReleaseName::Address(_)) {
            let mut turn = self.gate.book.line_up(&address);
            turn.wait().await;
            prepared.turns.push(turn);
        }

        let mine = (message.arrival, message.first());
        let (api, of) = (self.gate.url.clone(), address.clone());
        let confirming =
            message.earlier.as_ref().is_some_and(|earlier| earlier.wait == Wait::Confirmation);
        // Noted before the permit is taken, so that the gate does not wait for the disk.
        let age = ledger
            .change(move |store| {
                let mut age = store.release(&api, &of)?;
                if !confirming && stands_in_the_way(&age, mine).is_none() && age.last <= Some(mine)
                {
                    age.sent = Some(mine);
                    store.set_release(&api, &of, &age);
                }
                Ok(age)
            })
            .await?;
        if age.last > Some(mine) {
            return Ok(message.end(State::Superseded));
        }
        if let Some(reason) = stands_in_the_way(&age, mine).filter(|_| !confirming) {
            let now = Timestamp::now();
            let due = after(now, channel.retry.first);
            return Ok(message.wait(Wait::Time, due, now, false, reason));
        }
        Ok(match confirming {
            true => self.confirm(channel, message, &address, age).await,
            false => self.call(channel, message, prepared, assignment, &address, age, stop).await,
        })
    }

    /// The call itself: a permit spans it and nothing else.
    #[expect(clippy::too_many_arguments, reason = "each is another thing of one call")]
    async fn call(
        &self,
        channel: &Channel,
        message: &Message,
        prepared: &mut Prepared,
        assignment: &Assignment,
        address: &str,
        age: ReleaseAge,
        stop: &CancellationToken,
    ) -> Outcome {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.gate.permits).acquire_owned().await.ok();
        let leave = match channel.lane.enter().await {
            Ok(leave) => leave,
            Err(until) => return message.wait_for_channel(until),
        };
        if stop.is_cancelled() {
            return Outcome { left: true, ..Outcome::default() };
        }
        let mut reply = match &assignment.action {
            Action::Assign(assignee) => self.gate.client.assign(address, assignee).await,
            Action::Unassign => self.gate.client.unassign(address).await,
        };
        if let Reply::Answered(answer) = &mut reply {
            answer.text = assignment.mask(&answer.text);
        }
        let verdict = judge(Remote::Scr, &reply, &BTreeMap::new());
        if matches!(verdict, Verdict::Later { working: true, .. }) {
            hold(permit, std::mem::take(&mut prepared.turns));
        } else {
            drop(permit);
        }
        match (&verdict, &assignment.action) {
            (Verdict::Accepted, Action::Unassign) => {
                leave.worked();
                let mut outcome = self.confirm(channel, message, address, age).await;
                outcome.worked = true;
                outcome
            }
            _ => {
                if matches!(verdict, Verdict::Pause(..)) {
                    self.gate.client.reload();
                }
                let mut outcome = channel.outcome(verdict, message, leave);
                if outcome.worked {
                    outcome.changes.push(self.answered(message, address, None, age));
                } else if outcome.is_final() {
                    // What is set aside keeps nothing older back.
                    let age = ReleaseAge { sent: None, ..age };
                    outcome.changes.push(self.noted(address, age));
                }
                outcome
            }
        }
    }

    /// Asks whether a 202 was carried out. For an unassign, that the release can be read is enough.
    async fn confirm(
        &self,
        channel: &Channel,
        message: &Message,
        address: &str,
        age: ReleaseAge,
    ) -> Outcome {
        let why = match self.gate.client.release(address).await {
            Ok(Some(_)) => {
                let mut outcome = message.end(State::Delivered);
                outcome.changes.push(self.answered(message, address, None, age));
                return outcome;
            }
            Ok(None) => "the release is not there".to_owned(),
            Err(reply) => describe(&reply),
        };
        let now = Timestamp::now();
        let since = match &message.earlier {
            Some(earlier) if earlier.wait == Wait::Confirmation => earlier.since,
            _ => now,
        };
        if after(since, self.verdict_within) <= now {
            let told = format!(
                "unknown outcome: the call was accepted but not confirmed ({why}); look it up in \
                 the SCR application, then drop the record again if it is still wanted"
            );
            let mut outcome = message.quarantine(|record, line| {
                message.problem(record, line, "unknown outcome", "", &told)
            });
            outcome.changes.push(self.answered(message, address, None, age));
            return outcome;
        }
        let due = after(now, channel.retry.first);
        let mut outcome = message.wait(Wait::Confirmation, due, now, false, &why);
        let mine = Some((message.arrival, message.first()));
        outcome.changes.push(self.answered(message, address, mine, age));
        outcome
    }

    /// The call was answered for good, or is at least accepted.
    fn answered(
        &self,
        message: &Message,
        address: &str,
        busy: Option<Age>,
        age: ReleaseAge,
    ) -> Change {
        let mine = (message.arrival, message.first());
        self.noted(address, ReleaseAge { last: age.last.max(Some(mine)), busy, sent: None })
    }

    fn noted(&self, address: &str, age: ReleaseAge) -> Change {
        Change::Release { api: self.gate.url.clone(), address: address.to_owned(), age }
    }
}

/// Why the call of this age must not go out yet.
fn stands_in_the_way(release: &ReleaseAge, mine: Age) -> Option<&'static str> {
    if release.busy.is_some_and(|busy| busy != mine) {
        return Some("an earlier call for this release is not confirmed yet");
    }
    if release.sent > Some(mine) {
        return Some("a newer call for this release has no answer yet");
    }
    None
}

/// Keeps permit and turns for as long as the API may still be at work.
fn hold(permit: Option<OwnedSemaphorePermit>, turns: Vec<Turn>) {
    tokio::spawn(async move {
        tokio::time::sleep(AT_WORK).await;
        drop((permit, turns));
    });
}

pub fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Answered(answer) => super::verdict::told(answer),
        Reply::TimedOut => "no answer within the time-out".to_owned(),
        Reply::Broken(why) | Reply::NoLogin(why) | Reply::LoginRefused(why) => why.clone(),
    }
}
