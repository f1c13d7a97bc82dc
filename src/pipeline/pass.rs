//! A pass over one file: everything of it that can be sent now is sent, first what waited, then
//! the rest. The mark moves only over what the ledger answers for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::cursor::{Cursor, Piece};
use super::cuts::Cuts;
use super::kept_back::KeptBack;
use super::sending::{Found, Sending};
use super::{Missing, Occasion, Parts, Work};
use crate::deliver::{Channel, Clearance, Go, Message, Prepared, Turn, after};
use crate::inspect::{Inspection, Seen};
use crate::ledger::{Account, Change, Pinned, Progress, Wait, Waiting};
use crate::map::Mapping;
use crate::model::{Arrival, Origin, State};
use crate::read::Unsound;

/// How long a file at least leaves others the time to line up before it.
const TURN: Duration = Duration::from_millis(50);

/// Makes one pass, unless the channel is not there to send to. Tells until when it could not, if an
/// older file is to go on first.
pub async fn run(
    parts: &Arc<Parts>,
    work: &Work<'_>,
    occasion: Occasion,
    turn: Option<Turn>,
    stop: &CancellationToken,
) -> anyhow::Result<Result<Option<Timestamp>, Missing>> {
    let pinned = work.account.pinned.clone().context("an open file pins nothing")?;
    let Some(channel) = work.channel(&pinned.channel) else {
        return Ok(Err(Missing::Channel(pinned.channel)));
    };
    let arrival = work.account.arrival;
    let progress = parts
        .ledger
        .change(move |store| {
            // Nothing of the file is under way between passes.
            store.in_flight(arrival, i64::MIN);
            if occasion == Occasion::AfterFault {
                // What cannot be written down must not be sent.
                store.touch();
            }
            Ok(store.files.get(&arrival).map(|(_, progress)| progress.clone()))
        })
        .await?
        .unwrap_or_default();
    let mut pass = Pass::open(parts, work, pinned, channel, progress, stop).await?;
    let mut turn = turn;
    if let Some(turn) = &mut turn {
        turn.wait().await;
        if let Some(until) = pass.wait_for_older().await? {
            return Ok(Ok(Some(until)));
        }
    }
    let sent = match pass.send_what_waited(occasion).await {
        Ok(()) => pass.send_the_rest().await,
        Err(error) => Err(error),
    };
    if sent.is_err() {
        pass.halt.cancel();
    }
    // All of it is lined up: the next file may line up behind.
    drop(turn);
    // What is under way is answered for in any case.
    let drained = pass.drain().await;
    sent.and(drained).map(|()| Ok(None))
}

struct Pass {
    parts: Arc<Parts>,
    arrival: Arrival,
    customer: String,
    source: String,
    mark: u64,
    held: bool,
    pinned: Pinned,
    channel: Arc<Channel>,
    mapping: Arc<Mapping>,
    inspection: Arc<Inspection>,
    seen: Seen,
    path: std::path::PathBuf,
    repeats: Arc<crate::ledger::Ordinals>,
    progress: Arc<Progress>,
    origin: Option<Arc<Origin>>,
    cuts: Cuts,
    running: JoinSet<anyhow::Result<()>>,
    kept_back: KeptBack,
    /// Nothing more is sent once the run is to stop, or an outcome could not be noted.
    halt: CancellationToken,
    _until_retired: AbortOnDropHandle<()>,
}

impl Pass {
    async fn open(
        parts: &Arc<Parts>,
        work: &Work<'_>,
        pinned: Pinned,
        channel: Arc<Channel>,
        progress: Progress,
        stop: &CancellationToken,
    ) -> anyhow::Result<Pass> {
        let path = parts.spool.inspection(work.account.arrival);
        let data = work.data();
        let (inspection, seen, is_still) = tokio::task::spawn_blocking(move || {
            let inspection = Inspection::read(&path)?;
            let mut seen = inspection.seen();
            let is_still = seen.is_still(&data)?;
            anyhow::Ok((inspection, seen, is_still))
        })
        .await??;
        if !is_still {
            return Err(Changed.into());
        }
        // Only records that were discarded before the first cut are left out of every cut alike.
        let repeats = match pinned.repeat_of {
            Some(_) => progress.discarded.clone(),
            None => crate::ledger::Ordinals::default(),
        };
        let halt = stop.child_token();
        Ok(Pass {
            parts: Arc::clone(parts),
            arrival: work.account.arrival,
            customer: work.account.customer.clone(),
            source: work.account.source.clone(),
            mark: work.account.mark.max(1),
            held: work.account.held_until.is_some(),
            mapping: parts.mapping(&pinned.bundle)?,
            pinned,
            inspection: Arc::new(inspection),
            seen,
            path: work.data(),
            repeats: Arc::new(repeats),
            progress: Arc::new(progress),
            origin: super::again::origin(&parts.spool, &work.account)?,
            cuts: Cuts::default(),
            running: JoinSet::new(),
            kept_back: KeptBack::default(),
            _until_retired: halt_when_retired(&channel, &halt),
            channel,
            halt,
        })
    }

    /// Until when this file is to wait, since the channel was paused when an older one was only
    /// half sent: what that one still has must not be overtaken.
    async fn wait_for_older(&self) -> anyhow::Result<Option<Timestamp>> {
        let (arrival, customer) = (self.arrival, self.customer.clone());
        let (channel, setup) = (self.pinned.channel.clone(), self.parts.setup());
        let has_rest = self.mark <= self.pinned.total;
        self.parts
            .ledger
            .change(move |store| {
                let customers = &setup.of(&customer).config.customers;
                let is_there = |account: &Account| {
                    let customer = customers.get(&customer);
                    // What nobody can go on with is not waited for.
                    customer.is_some_and(|customer| customer.sources.contains_key(&account.source))
                };
                let older = store.files.range(..arrival).filter_map(|(_, (account, _))| {
                    let pinned = account.pinned.as_ref()?;
                    let same = account.customer == customer && pinned.channel == channel;
                    account.held_until.filter(|_| same && is_there(account))
                });
                let Some(until) = older.max() else { return Ok(None) };
                let until = until.max(after(Timestamp::now(), TURN));
                if has_rest {
                    store.change(arrival, vec![Change::Hold(Some(until))])?;
                }
                Ok(Some(until))
            })
            .await
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(
            self.path.clone(),
            Arc::clone(&self.inspection),
            Arc::clone(&self.mapping),
            &self.customer,
            &self.pinned,
            Arc::clone(&self.repeats),
        )
        .keeping_apart(self.channel.alike().filter(|_| self.pinned.batch_records > 1))
    }

    /// Sends again what is due of the records that wait.
    async fn send_what_waited(&mut self, occasion: Occasion) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let all = self.progress.waiting.values();
        let (due, rest): (Vec<&Waiting>, Vec<&Waiting>) =
            all.partition(|waiting| is_due(waiting, occasion, now));
        // Few of many that wait may be due.
        let mut due: Vec<Waiting> = due.into_iter().cloned().collect();
        let mut then_kept_back = None;
        if self.channel.keeps_order() {
            if let Some(first) = rest.first() {
                due.retain(|waiting| waiting.first < first.first);
                then_kept_back = Some(first.due);
            }
        } else if !self.channel.lane.is_open() {
            // The one that goes alone must not be the same again and again.
            due.sort_by_key(|waiting| waiting.attempts);
        }
        if due.is_empty() {
            self.kept_back.until_then(then_kept_back);
            return Ok(());
        }
        let progress = Arc::clone(&self.progress);
        let mut cursor = self.cursor();
        for waiting in due {
            self.make_way().await?;
            if self.kept_back.until().is_some() {
                return Ok(());
            }
            let go = match self.channel.clear(self.pinned.batch_bytes, &self.halt).await {
                Clearance::Go(go) => go,
                Clearance::Paused(until) if self.channel.keeps_order() => {
                    // Should the pause end now, the rest must not overtake this one.
                    self.kept_back.until_then(Some(until));
                    return Ok(());
                }
                Clearance::Paused(_) | Clearance::Halted => break,
            };
            let (first, last) = (waiting.first, waiting.last);
            let wanted = Arc::clone(&progress);
            let (mut seen, path) = (self.seen, self.path.clone());
            let (moved, piece, seen) = tokio::task::spawn_blocking(move || {
                let piece = cursor.again(first, last, |ordinal| !wanted.is_final(ordinal));
                let piece = checked(&mut seen, &path, piece);
                (cursor, piece, seen)
            })
            .await?;
            (cursor, self.seen) = (moved, seen);
            let mut piece = piece?;
            let message = self.message(&mut piece, Some(waiting));
            let prepared = self.channel.line_up(&message);
            // The problems of these records were noted when they were first mapped.
            self.spawn(message, prepared, go, Found::default(), None);
        }
        self.kept_back.until_then(then_kept_back);
        Ok(())
    }

    /// Cuts and sends what was never sent, or not answered before a restart.
    async fn send_the_rest(&mut self) -> anyhow::Result<()> {
        let end = self.pinned.total + 1;
        let mut next = self.mark;
        self.cuts.start_at(next);
        let mut cursor = self.cursor();
        while next < end {
            self.make_way().await?;
            if let Some(until) = self.kept_back.until() {
                let hold = vec![Change::Hold(Some(until))];
                self.parts.ledger.note(self.arrival, hold).await?;
                return Ok(());
            }
            let go = match self.channel.clear(self.pinned.batch_bytes, &self.halt).await {
                Clearance::Go(go) => go,
                Clearance::Paused(until) => {
                    let hold = vec![Change::Hold(Some(until))];
                    self.parts.ledger.note(self.arrival, hold).await?;
                    return Ok(());
                }
                Clearance::Halted => {
                    if self.channel.is_retired() {
                        // The next pass may not be the first to line up.
                        let hold = vec![Change::Hold(Some(Timestamp::now()))];
                        self.parts.ledger.note(self.arrival, hold).await?;
                    }
                    return Ok(());
                }
            };
            if std::mem::take(&mut self.held) {
                let hold = vec![Change::Hold(None)];
                self.parts.ledger.note(self.arrival, hold).await?;
            }
            let start = next;
            let (mut seen, path) = (self.seen, self.path.clone());
            let (moved, piece, position, seen) = tokio::task::spawn_blocking(move || {
                let piece = cursor.cut(start);
                let position = cursor.position();
                let piece = checked(&mut seen, &path, piece);
                (cursor, piece, position, seen)
            })
            .await?;
            (cursor, self.seen) = (moved, seen);
            let mut piece = piece?;
            next = if piece.ended { end } else { position };
            self.cuts.begin(start, next);
            if self.was_answered(&piece) {
                self.cuts.end(start);
                continue;
            }
            let mut changes = Vec::new();
            if !piece.rejected.is_empty() {
                changes.push(Change::Final(State::Quarantined, piece.rejected.clone()));
            }
            if !piece.unwanted.is_empty() {
                changes.push(Change::Final(State::Discarded, piece.unwanted.clone()));
            }
            let message = self.message(&mut piece, None);
            let prepared = match message.records.is_empty() {
                true => None,
                false => self.channel.line_up(&message),
            };
            let found = Found { problems: piece.problems, changes };
            self.spawn(message, prepared, go, found, Some(start));
        }
        if self.running.is_empty() && self.mark < end {
            // Everything before the end was answered earlier.
            let changes = vec![Change::Mark(end), Change::Hold(None)];
            self.parts.ledger.note(self.arrival, changes).await?;
        }
        Ok(())
    }

    /// Waits until all that was sent is answered for. The first error is told after the last.
    async fn drain(&mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(done) = self.running.join_next().await {
            let done = done.map_err(anyhow::Error::from).and_then(|done| done);
            result = result.and(done);
        }
        result
    }

    /// Waits until there is room for one more message of this file: one alone while the channel has
    /// not proved to work, so that what waits for the proof takes no room from others.
    async fn make_way(&mut self) -> anyhow::Result<()> {
        while let Some(done) = self.running.try_join_next() {
            done??;
        }
        while !self.running.is_empty()
            && (!self.channel.lane.is_open() || self.running.len() >= self.channel.window())
        {
            if let Some(done) = self.running.join_next().await {
                done??;
            }
        }
        Ok(())
    }

    fn message(&self, piece: &mut Piece, earlier: Option<Waiting>) -> Message {
        Message {
            customer: self.customer.clone(),
            source: self.source.clone(),
            identity: self.pinned.identity,
            arrival: self.arrival,
            generation: self.pinned.generation,
            records: std::mem::take(&mut piece.records),
            line: piece.line,
            lines: std::mem::take(&mut piece.lines),
            body: std::mem::take(&mut piece.body),
            earlier,
            origin: self.origin.clone(),
        }
    }

    /// Whether a piece was answered for before a restart: its records are final or wait.
    fn was_answered(&self, piece: &Piece) -> bool {
        let firsts = [&piece.records, &piece.rejected, &piece.unwanted];
        let first = firsts.iter().find_map(|ranges| ranges.first().map(|range| range.0));
        first.is_none_or(|first| {
            self.progress.is_final(first)
                || self
                    .progress
                    .waiting
                    .range(..=first)
                    .next_back()
                    .is_some_and(|(_, waiting)| waiting.last >= first)
        })
    }

    /// Sends one message and notes what became of it, with what its cut found besides.
    fn spawn(
        &mut self,
        mut message: Message,
        mut prepared: Option<Prepared>,
        go: Go,
        mut found: Found,
        start: Option<u64>,
    ) {
        go.shrink(message.body.len());
        let go = (message.count() > 0).then_some(go);
        let sending = Sending {
            parts: Arc::clone(&self.parts),
            channel: Arc::clone(&self.channel),
            mapping: Arc::clone(&self.mapping),
            arrival: self.arrival,
            cuts: self.cuts.clone(),
            start,
            kept_back: self.kept_back.clone(),
            halt: self.halt.clone(),
        };
        let waits = prepared.as_mut().and_then(|prepared| {
            let told = prepared.take_problems(&message);
            found.problems.extend(told.into_iter().map(|problem| sending.named(problem)));
            // In line before anything newer can be noted, so that it stands after a crash, too.
            prepared.waits_from_now(&message).map(|waiting| {
                message.earlier = Some(waiting.clone());
                self.parts.ledger.note_in_line(self.arrival, vec![Change::Wait(waiting)])
            })
        });
        self.running.spawn(sending.run(message, prepared, go, waits, found));
    }
}

/// Ends the pass when a reload puts another channel in the place of this one: the next pass goes on
/// with that.
fn halt_when_retired(channel: &Arc<Channel>, halt: &CancellationToken) -> AbortOnDropHandle<()> {
    let (channel, halt) = (Arc::clone(channel), halt.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        channel.retired().await;
        halt.cancel();
    }))
}

/// Whether a record that waits is tried in this pass. What waits only because a channel was paused
/// or out of reach is due when a run starts: the channel's probe decides.
fn is_due(waiting: &Waiting, occasion: Occasion, now: Timestamp) -> bool {
    if waiting.due <= now {
        return true;
    }
    occasion == Occasion::Start
        && match waiting.wait {
            Wait::Time => !waiting.answered,
            Wait::Release | Wait::Confirmation | Wait::Verdict => true,
        }
}

/// The file in the spool is not what was inspected.
#[derive(Debug)]
pub struct Changed;

impl std::error::Error for Changed {}

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the file was written to after it was taken")
    }
}

/// A piece of a file, provided that the file was what was inspected still when it was read.
fn checked(seen: &mut Seen, path: &Path, piece: Result<Piece, Unsound>) -> anyhow::Result<Piece> {
    if !seen.is_still(path)? {
        return Err(Changed.into());
    }
    piece.map_err(|fault| anyhow::anyhow!(fault).context("the file in the spool cannot be read"))
}
