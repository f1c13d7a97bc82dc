//! Sending to an SCR API: at most so many calls open at once over all customers, one call a
//! release at a time, in the order in which records came in (design, sections 3.4 and 3.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::assignment::{self, Action, Asked, Assignment, ReleaseName};
use super::invite::{self, Inviting};
use super::order::{OrderBook, Turn};
use super::precedence::{Answered, May, after_call, may};
use super::resolve::{Found, Place, names_of, waited_for};
use super::room::{Room, Rooms};
use super::standing::{Stand, Standing};
use super::{Channel, Leave, Message, Outcome, after, retry};
use crate::ledger::{Change, Held, Holds, Ledger, ReleaseAge, Wait, Waiting, short_api};
use crate::model::{Level, Problem, Reply, State};
use crate::remote::release::Release;
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
    pub(super) book: OrderBook,
    /// The transfers and revokes that are under way.
    pub(super) standing: Standing,
    /// When the connections were last read.
    pub(super) connected: Arc<tokio::sync::Mutex<Option<Timestamp>>>,
    /// Whether several customers use it.
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
    asked: Option<Asked>,
    pub(super) problems: Vec<Problem>,
    pub(super) turns: Vec<Turn>,
    /// Of a transfer or revoke: what keeps newer calls back.
    stand: Option<Stand>,
    holds: Option<Holds>,
}

/// One record at work, whose turn it is.
#[derive(Clone)]
pub(super) struct Job<'a> {
    pub channel: &'a Channel,
    pub ledger: &'a Ledger,
    pub message: &'a Message,
    pub assignment: &'a Assignment,
    pub halt: &'a CancellationToken,
    /// The address that the release goes to, once it is known.
    pub to: Option<String>,
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
            standing: Standing::default(),
            connected: Arc::default(),
            shared: Arc::default(),
        }
    }

    /// The API's normal URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets whether several customers use it: then whose a release is must be asked first.
    pub fn set_shared(&self, shared: bool) {
        self.shared.store(shared, Ordering::SeqCst);
    }

    /// Whether several customers use it.
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
            standing: self.standing.clone(),
            connected: Arc::clone(&self.connected),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Prepared {
    /// What is to be noted before anything newer goes, the first time that the record is worked.
    pub fn waits_from_now(&self, message: &Message) -> Option<Waiting> {
        let holds = self.holds.clone().filter(|_| message.earlier.is_none())?;
        let now = Timestamp::now();
        let outcome = message.wait(Wait::Time, now, now, false, "on its way");
        outcome.changes.into_iter().find_map(|change| match change {
            Change::Wait(waiting) => {
                Some(Waiting { holds: Some(holds.clone()), attempts: 0, ..waiting })
            }
            _ => None,
        })
    }

    /// The release turned out to be this one.
    fn is_for(&mut self, address: &str) {
        if let Some(stand) = &mut self.stand {
            stand.is_for(address);
        }
        if let Some(holds) = &mut self.holds {
            address.clone_into(&mut holds.release);
        }
    }

    /// Tells whom it is transferred to.
    fn goes_to(&mut self, to: &str) {
        if let Some(holds) = &mut self.holds {
            holds.to = Some(to.to_owned());
        }
    }
}

impl Releases {
    pub fn line_up(&self, message: &Message) -> Prepared {
        let (asked, problems) = assignment::parse(&message.body, message.first(), message.line);
        let mut prepared =
            Prepared { asked, problems, turns: Vec::new(), stand: None, holds: None };
        let assignment = match &prepared.asked {
            None => return prepared,
            Some(Asked::Invitation(invitation)) => {
                let name = invite::kept_as(invitation, message).name();
                prepared.turns.push(self.gate.book.line_up(&name));
                return prepared;
            }
            Some(Asked::Release(assignment)) => assignment,
        };
        let name = match &assignment.release {
            ReleaseName::Address(address) => address.clone(),
            ReleaseName::Container(container, bl) => {
                named_by(&message.customer, &waited_for(container, bl.as_deref()))
            }
        };
        prepared.turns.push(self.gate.book.line_up(&name));
        if assignment.action.bearing().moves() {
            let earlier = message.earlier.as_ref().and_then(|earlier| earlier.holds.clone());
            let holds = earlier.unwrap_or_else(|| Holds {
                api: short_api(&self.gate.url),
                release: name,
                others: Vec::new(),
                age: message.age(),
                to: None,
            });
            prepared.stand = Some(self.gate.standing.stand(holds.release.clone(), holds.age));
            prepared.holds = Some(holds);
        }
        prepared
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
        let Some(asked) = prepared.asked.clone() else {
            return Ok(Some(message.end(State::Quarantined)));
        };
        match its_turns(&mut prepared.turns, halt).await {
            Its::Turn => {}
            Its::Halted => return Ok(None),
            Its::KeptUntil(until) => return Ok(Some(kept_back(message, until))),
        }
        let assignment = match &asked {
            Asked::Release(assignment) => assignment,
            Asked::Invitation(invitation) => {
                let inviting = Inviting { channel, ledger, message, invitation, halt };
                return self.invite(&inviting, prepared).await;
            }
        };
        let to = prepared.holds.as_ref().and_then(|holds| holds.to.clone());
        let mut job = Job { channel, ledger, message, assignment, halt, to };
        let Some(mut outcome) = self.work(&mut job, prepared).await? else { return Ok(None) };
        // Until it is final it keeps newer calls back.
        for change in &mut outcome.changes {
            if let Change::Wait(waiting) = change {
                waiting.holds.clone_from(&prepared.holds);
            }
        }
        if outcome.is_final() {
            let stand = prepared.stand.as_ref().map(|stand| stand.name().to_owned());
            let called = || {
                outcome.changes.iter().find_map(|change| match change {
                    Change::Release { address, .. } => Some(address.clone()),
                    _ => None,
                })
            };
            let release = stand.or_else(called);
            let freed = release.filter(|release| self.gate.standing.take_behind(release));
            outcome.frees.extend(freed);
        }
        Ok(Some(outcome))
    }

    async fn work(
        &self,
        job: &mut Job<'_>,
        prepared: &mut Prepared,
    ) -> anyhow::Result<Option<Outcome>> {
        let (message, assignment) = (job.message, job.assignment);
        let confirming =
            message.earlier.as_ref().filter(|earlier| earlier.wait == Wait::Confirmation);
        if let Some(address) = confirming.and_then(|earlier| earlier.address.clone()) {
            if let Err(until) = self.turn_of(&address, prepared, &mut None).await {
                return Ok(Some(kept_back(message, until)));
            }
            let known = self.known(job, &address).await?;
            return Ok(Some(self.confirm(job, &address, known).await));
        }
        if let Action::Transfer(target) = &assignment.action {
            match self.target(job, target).await? {
                Ok(to) => {
                    prepared.goes_to(&to);
                    job.to = Some(to);
                }
                Err(Some(outcome)) => {
                    return self.give_up_on(job, prepared, *outcome).await.map(Some);
                }
                Err(None) => return Ok(None),
            }
        }
        let found = match self.whereabouts(job).await? {
            Ok(found) => found,
            Err(outcome) => return Ok(Some(*outcome)),
        };
        let Place { address, mut release, mut leave } = match found {
            Found::Place(place) => place,
            Found::Elsewhere(releases) => {
                let mut outcome = self.needless(job, &releases);
                outcome.frees = releases.iter().map(|one| one.address.to_lowercase()).collect();
                outcome.frees.retain(|address| self.gate.standing.take_behind(address));
                return self.give_up_on(job, prepared, outcome).await.map(Some);
            }
            Found::Halted => return Ok(None),
            Found::Outcome(outcome) => {
                return self.give_up_on(job, prepared, *outcome).await.map(Some);
            }
        };
        // A probe that was a read is not over before its call; others enter the lane anew.
        leave = leave.filter(Leave::is_probe);
        prepared.is_for(&address);
        let before = message.earlier.as_ref().and_then(|earlier| earlier.address.as_ref());
        if before.is_some_and(|before| *before != address) {
            // This waits for others, who may wait for the probe.
            leave = None;
            self.forget_attempt(job, prepared, false).await?;
        }
        let waited = match self.turn_of(&address, prepared, &mut leave).await {
            Ok(waited) => waited,
            Err(until) => return Ok(Some(kept_back(message, until))),
        };
        let mine = message.age();
        let (mut known, mut held) = self.standing_of(job, &address, release.as_deref()).await?;
        // What was read before this one's turn may be out of date.
        let is_unsure =
            known.away && assignment.action != Action::Revoke && (waited || release.is_none());
        if held == Held::Perhaps || is_unsure {
            leave = None;
            match self.look(job, &address).await {
                Found::Place(place) => release = place.release,
                Found::Elsewhere(_) => {
                    return Ok(Some(self.put_off(job, &address, "its release has just moved")));
                }
                Found::Halted => return Ok(None),
                Found::Outcome(outcome) => {
                    return self.give_up_on(job, prepared, *outcome).await.map(Some);
                }
            }
            (_, held) = self.standing_of(job, &address, release.as_deref()).await?;
        }
        match may(assignment.action.bearing(), mine, &known, held == Held::Yes) {
            May::Go => {}
            May::Superseded => return Ok(Some(overtaken(message))),
            May::Wait(reason) => return Ok(Some(self.put_off(job, &address, reason))),
        }
        if release.is_some_and(|release| release.next_owner.is_none()) {
            known.away = false;
        }
        self.attempt(job, prepared, &address, known, leave).await
    }

    /// The release that is meant; what becomes of a transfer or revoke that has nothing to do before
    /// an older call is done. Where none is, its release was read after that was known: what was read
    /// before may be older than the end of the other's work.
    async fn whereabouts(&self, job: &Job<'_>) -> anyhow::Result<Result<Found, Box<Outcome>>> {
        let mut read: Vec<Release> = Vec::new();
        loop {
            let releases = match self.address(job).await {
                Found::Elsewhere(releases) => releases,
                found => return Ok(Ok(found)),
            };
            let was_read =
                |release: &Release| read.iter().any(|before| before.address == release.address);
            if releases.iter().all(was_read) {
                return Ok(Ok(Found::Elsewhere(releases)));
            }
            for release in &releases {
                let address = release.address.to_lowercase();
                let (known, held) = self.standing_of(job, &address, Some(release)).await?;
                let bearing = job.assignment.action.bearing();
                if let May::Wait(reason) =
                    may(bearing, job.message.age(), &known, held == Held::Yes)
                {
                    return Ok(Err(Box::new(self.put_off(job, &address, reason))));
                }
            }
            read = releases;
        }
    }

    /// Waits for the turn of a release whose address was not known when the record lined up; tells
    /// whether others were before. None if the release is kept: until when then.
    async fn turn_of(
        &self,
        address: &str,
        prepared: &mut Prepared,
        leave: &mut Option<Leave>,
    ) -> Result<bool, Timestamp> {
        if prepared.turns.iter().any(|turn| turn.is_for(address)) {
            return Ok(false);
        }
        let mut turn = self.gate.book.line_up(address);
        let waits = turn.wait().now_or_never().is_none();
        if waits {
            // Who is before may itself wait for the probe.
            *leave = None;
            turn.wait_unless_kept().await?;
        }
        prepared.turns.push(turn);
        Ok(waits)
    }

    /// What the ledger knows of a release.
    pub(super) async fn known(&self, job: &Job<'_>, address: &str) -> anyhow::Result<ReleaseAge> {
        let (api, of) = (self.gate.url.clone(), address.to_owned());
        job.ledger.change(move |store| store.release(&api, &of)).await
    }

    /// What the ledger knows of a release, and whether an older transfer or revoke of it is not done.
    async fn standing_of(
        &self,
        job: &Job<'_>,
        address: &str,
        release: Option<&Release>,
    ) -> anyhow::Result<(ReleaseAge, Held)> {
        let names = own_names(&job.message.customer, address, release);
        let all = release.is_some();
        let before = job.message.age();
        // In this order: what is under way is noted in the ledger before it is under way no more.
        let here = self.gate.standing.held(&names, all, before);
        let (api, of) = (self.gate.url.clone(), address.to_owned());
        let (known, there) = job
            .ledger
            .change(move |store| {
                let mut known = store.release(&api, &of)?;
                // A crash may have come between the note of a call and the call.
                known.tried = known.tried.filter(|tried| store.may_be_open(*tried));
                Ok((known, store.held(&api, &names, all, before)))
            })
            .await?;
        let held = match (here, there) {
            (Held::Yes, _) | (_, Held::Yes) => Held::Yes,
            (Held::No, Held::No) => Held::No,
            _ => Held::Perhaps,
        };
        Ok((known, held))
    }

    /// Another call for its release is to be done first.
    fn put_off(&self, job: &Job<'_>, address: &str, reason: &str) -> Outcome {
        let now = Timestamp::now();
        let attempts = job.message.earlier.as_ref().map_or(0, |earlier| earlier.attempts) + 1;
        let due = after(now, retry::wait(&job.channel.retry, attempts, 0.0));
        let mut outcome = job.message.wait(Wait::Time, due, now, false, reason);
        for change in &mut outcome.changes {
            if let Change::Wait(waiting) = change {
                waiting.release = Some(address.to_owned());
            }
        }
        self.gate.standing.put_off(address);
        outcome
    }

    /// The record is not sent now; if it never will be, what an earlier attempt noted is forgotten.
    async fn give_up_on(
        &self,
        job: &Job<'_>,
        prepared: &Prepared,
        outcome: Outcome,
    ) -> anyhow::Result<Outcome> {
        if outcome.is_final() {
            self.forget_attempt(job, prepared, true).await?;
        }
        Ok(outcome)
    }

    /// An earlier attempt may have been noted for a release that the record does not mean any more;
    /// then it must not keep older records of that release back. If it is set aside, what may have
    /// been taken makes them pointless.
    async fn forget_attempt(
        &self,
        job: &Job<'_>,
        prepared: &Prepared,
        is_final: bool,
    ) -> anyhow::Result<()> {
        let message = job.message;
        let Some(address) = message.earlier.as_ref().and_then(|earlier| earlier.address.clone())
        else {
            return Ok(());
        };
        // Its calls change the same entry.
        let _turn = further_turn(&self.gate.book, &prepared.turns, &address).await;
        let known = self.known(job, &address).await?;
        let answered = if is_final { job.refused_for_good() } else { Answered::Refused };
        let bearing = job.assignment.action.bearing();
        let after = after_call(bearing, known, message.age(), answered, true);
        if let Some(after) = after.filter(|after| *after != known) {
            let after = self.with_others(job, &address, after).await?;
            job.ledger.note(message.arrival, vec![self.note(&address, after)]).await?;
        }
        Ok(())
    }

    pub(super) fn note(&self, address: &str, age: ReleaseAge) -> Change {
        Change::Release { api: self.gate.url.clone(), address: address.to_owned(), age }
    }
}

/// What a customer's record names its release by, where no address does: whose it is must not keep
/// other customers' records back.
fn named_by(customer: &str, name: &str) -> String {
    format!("of {customer} {name}")
}

/// The names under which a customer's transfers and revokes may keep a release back. Another
/// customer's name for a container says nothing of it.
pub(super) fn own_names(customer: &str, address: &str, release: Option<&Release>) -> Vec<String> {
    let mut names = names_of(address, release);
    for name in &mut names[1..] {
        *name = named_by(customer, name);
    }
    names
}

/// A turn of this release; none if one is held already, as who holds it would wait for itself.
async fn further_turn(book: &OrderBook, held: &[Turn], address: &str) -> Option<Turn> {
    if held.iter().any(|turn| turn.is_for(address)) {
        return None;
    }
    let mut turn = book.line_up(address);
    turn.wait().await;
    Some(turn)
}

/// What waiting for turns ended with.
enum Its {
    Turn,
    /// One of them is kept until then by a call that was not answered.
    KeptUntil(Timestamp),
    Halted,
}

async fn its_turns(turns: &mut [Turn], halt: &CancellationToken) -> Its {
    let all = async {
        for turn in turns {
            turn.wait_unless_kept().await?;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        () = halt.cancelled() => Its::Halted,
        all = all => match all {
            Ok(()) => Its::Turn,
            Err(until) => Its::KeptUntil(until),
        },
    }
}

/// The record waits until then for a call that was not answered, which the API may be at work on
/// still. What it waited for before it waits for still.
pub(super) fn kept_back(message: &Message, until: Timestamp) -> Outcome {
    const WHY: &str = "a call that was not answered in time may still be at work at the API";
    let waiting = match &message.earlier {
        Some(earlier) if earlier.wait != Wait::Time => Waiting { due: until, ..earlier.clone() },
        Some(earlier) => Waiting { due: until, reason: WHY.to_owned(), ..earlier.clone() },
        None => return message.wait(Wait::Time, until, Timestamp::now(), false, WHY),
    };
    Outcome { changes: vec![Change::Wait(waiting)], ..Outcome::default() }
}

/// Keeps a call's place and its releases for as long as the API may still be at work.
pub(super) fn hold(room: Room, turns: Vec<Turn>) {
    let until = after(Timestamp::now(), AT_WORK);
    room.keep_until(until);
    turns.iter().for_each(|turn| turn.keep_until(until));
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

    #[tokio::test]
    async fn who_holds_the_turn_of_a_release_does_not_wait_for_it_again() {
        let book = OrderBook::default();
        let held = [book.line_up("of acme CSQU3054383"), book.line_up("0xa")];
        assert!(further_turn(&book, &held, "0xa").now_or_never().is_some_and(|it| it.is_none()));
        assert!(further_turn(&book, &held[..1], "0xa").now_or_never().is_none());
        assert!(further_turn(&book, &held, "0xb").now_or_never().is_some_and(|it| it.is_some()));
    }

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
