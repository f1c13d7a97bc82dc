//! Lanes: the open events of each sender are worked on in the order of their arrival. A sender whose
//! API is out of reach holds up no other.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::work::{Open, Worked, work};
use super::{Event, ScrKind, inbox, walk};
use crate::deliver::after;
use crate::disk;
use crate::ledger::{self, Alarm, AlarmKind};
use crate::pipeline::{Parts, Setup};
use crate::spool::write_whole;

/// How many events are worked on and ended together.
const TOGETHER: usize = 64;

/// How many times as long as it worked a lane rests while notifications come in a crowd: acknowledging
/// them goes first, and a share of the work goes on all the same.
const REST: u32 = 3;

/// How long it rests at most: where the API is slow, most of the work is waiting.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long apart an API that is out of reach is asked at most.
const UNREACHABLE: Duration = Duration::from_secs(60);

/// How long apart an event that the API refuses to tell of is tried at most.
const REFUSED: Duration = Duration::from_secs(3600);

/// How long an event that the API refuses is tried.
const TRIED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Works on what is open and on what comes, until it is told to stop.
pub async fn work_on(parts: Arc<Parts>, stop: CancellationToken) {
    let mut lanes: BTreeMap<String, Arc<Notify>> = BTreeMap::new();
    let mut running = JoinSet::new();
    loop {
        let senders = parts.ledger.change(|store| Ok(store.senders_of_events())).await;
        match senders {
            Ok(senders) => {
                for sender in senders {
                    let wake = lanes.entry(sender.clone()).or_insert_with(|| {
                        let wake = Arc::new(Notify::new());
                        let lane = Lane::new(Arc::clone(&parts), sender);
                        running.spawn(lane.run(Arc::clone(&wake), stop.clone()));
                        wake
                    });
                    wake.notify_one();
                }
            }
            Err(error) => tracing::error!("Notifications wait: {error:#}"),
        }
        tokio::select! {
            () = parts.notified.notified() => {}
            () = stop.cancelled() => break,
        }
    }
    while running.join_next().await.is_some() {}
}

/// Works on what is open as far as it can be done now; tells how much is left.
pub async fn work_once(parts: &Arc<Parts>, stop: &CancellationToken) -> anyhow::Result<u64> {
    let senders = parts.ledger.change(|store| Ok(store.senders_of_events())).await?;
    for sender in senders {
        let mut lane = Lane::new(Arc::clone(parts), sender);
        while !stop.is_cancelled() && lane.turn().await?.is_none() {}
    }
    parts.ledger.change(|store| Ok(store.open_events() as u64)).await
}

struct Lane {
    parts: Arc<Parts>,
    sender: String,
    /// Events that are tried again later, or not at all in this run.
    put_off: BTreeMap<u64, (Option<Timestamp>, u32)>,
    /// How often in a row the API could not be asked.
    outages: u32,
    /// By which setup events were put off.
    setup: Weak<Setup>,
}

impl Lane {
    fn new(parts: Arc<Parts>, sender: String) -> Lane {
        let setup = Arc::downgrade(&parts.setup());
        Lane { parts, sender, put_off: BTreeMap::new(), outages: 0, setup }
    }

    async fn run(mut self, wake: Arc<Notify>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let (began, crowds) = (Instant::now(), self.parts.crowds.load(Ordering::Relaxed));
            let pause = match self.turn().await {
                Ok(Some(pause)) => pause,
                Ok(None) => {
                    if self.parts.crowds.load(Ordering::Relaxed) != crowds {
                        let rest = (began.elapsed() * REST).min(LONGEST_REST);
                        stop.run_until_cancelled(tokio::time::sleep(rest)).await;
                    }
                    continue;
                }
                Err(error) => {
                    tracing::error!("The notifications of {} wait: {error:#}", self.sender);
                    UNREACHABLE
                }
            };
            // While the API is out of reach, what comes changes nothing.
            let wake = async || match self.outages {
                0 => wake.notified().await,
                _ => std::future::pending().await,
            };
            tokio::select! {
                () = wake() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Works on the next events; tells how long to wait if nothing more can be done now.
    async fn turn(&mut self) -> anyhow::Result<Option<Duration>> {
        let now = Timestamp::now();
        let setup = Arc::downgrade(&self.parts.setup());
        if !setup.ptr_eq(&std::mem::replace(&mut self.setup, setup.clone())) {
            self.put_off.clear();
        }
        let waits: BTreeSet<u64> = self
            .put_off
            .iter()
            .filter(|(_, (due, _))| due.is_none_or(|due| due > now))
            .map(|(number, _)| *number)
            .collect();
        // One alone shows whether the API is back.
        let most = if self.outages > 0 { 1 } else { TOGETHER };
        let sender = self.sender.clone();
        let events: Vec<ledger::Event> =
            self.parts.ledger.change(move |store| store.events_of(&sender, &waits, most)).await?;
        if events.is_empty() {
            let next = self.put_off.values().filter_map(|(due, _)| *due).min();
            let pause = next.map(|due| due.duration_since(now));
            let pause = pause.and_then(|pause| Duration::try_from(pause).ok());
            return Ok(Some(pause.unwrap_or(UNREACHABLE)));
        }
        let mut done = Vec::new();
        let mut groups: Vec<Vec<Open>> = Vec::new();
        let spool = self.parts.spool.clone();
        let read = move || events.into_iter().map(|event| inbox::read(&spool, event)).collect();
        let read: io::Result<Vec<_>> = tokio::task::spawn_blocking(read).await?;
        for (number, open) in read? {
            match open {
                None => {
                    let sender = &self.sender;
                    tracing::error!("What notification {number} of {sender} said is gone");
                    done.push(number);
                }
                Some(open) => match groups.iter_mut().find(|group| is_answered_by(group, &open)) {
                    Some(group) => group.push(open),
                    None => groups.push(vec![open]),
                },
            }
        }
        let parts = Arc::clone(&self.parts);
        let mut worked = stream::iter(groups)
            .map(|group| {
                let parts = &parts;
                async move {
                    let worked = work(parts, &group).await;
                    (group, worked)
                }
            })
            .buffer_unordered(TOGETHER);
        let mut outage = None;
        let mut failed = None;
        while let Some((group, worked)) = worked.next().await {
            let worked = match worked {
                Ok(worked) => worked,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            for open in group {
                let number = open.event.number;
                match worked.clone() {
                    Worked::Done => {
                        self.put_off.remove(&number);
                        done.push(number);
                    }
                    // Another shows next whether the API is back: this one may be at fault itself.
                    Worked::Unreachable(why) => {
                        self.wait_its_turn(number);
                        outage = Some(why);
                    }
                    Worked::Full(why) => {
                        tracing::warn!("Notification {number} of {} waits: {why}", self.sender);
                        self.wait_its_turn(number);
                    }
                    Worked::Refused(why) => self.put_off(&open, why).await?,
                    Worked::Nobody(why) => self.keep(&open, why).await?,
                }
            }
        }
        self.end(done).await?;
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(why) = outage else {
            if std::mem::take(&mut self.outages) > 0
                && let Some(api) = self.sender.strip_prefix("scr/")
            {
                walk::clear(&self.parts, &self.parts.setup(), api).await;
            }
            return Ok(None);
        };
        self.outages += 1;
        tracing::warn!("The notifications of {} wait: {why}", self.sender);
        Ok(Some(pause_after(self.outages, UNREACHABLE)))
    }

    /// Leaves an event alone for longer than the lane itself pauses.
    fn wait_its_turn(&mut self, number: u64) {
        let tries = self.put_off.get(&number).map_or(self.outages, |(_, tries)| *tries) + 1;
        let due = after(Timestamp::now(), pause_after(tries + 1, 2 * UNREACHABLE));
        self.put_off.insert(number, (Some(due), tries));
    }

    async fn put_off(&mut self, open: &Open, why: String) -> anyhow::Result<()> {
        let event = &open.event;
        if after(event.received, TRIED_FOR) <= Timestamp::now() {
            return self.keep(open, why).await;
        }
        let tries = self.put_off.get(&event.number).map_or(0, |(_, tries)| *tries) + 1;
        let due = after(Timestamp::now(), pause_after(tries, REFUSED));
        self.put_off.insert(event.number, (Some(due), tries));
        Ok(())
    }

    /// Keeps an event that fits nobody, with an alarm. What it says lies in a file from now on, for
    /// a person to look at and to remove.
    async fn keep(&mut self, open: &Open, why: String) -> anyhow::Result<()> {
        let (number, sender) = (open.event.number, &self.sender);
        self.put_off.insert(number, (None, 0));
        let is_known = open.event.kept.as_ref() == Some(&why);
        if open.event.kept.is_none() {
            let (path, bytes) = (self.parts.spool.event(number), serde_json::to_vec(&open.body)?);
            tokio::task::spawn_blocking(move || write_whole(&path, &bytes, 0o600)).await??;
        }
        let alarm = Alarm {
            since: Timestamp::now(),
            customer: sender.strip_prefix("cpu/").unwrap_or_default().to_owned(),
            channel: None,
            source: None,
            kind: AlarmKind::Notification,
            advice: format!(
                "notification {number} of {sender} is kept, and perhaps others: {why}; mend the \
                 config and send SIGHUP, or remove {}",
                self.parts.spool.event(number).display()
            ),
        };
        tracing::error!("{}", alarm.advice);
        let change = move |store: &mut ledger::Store| {
            if !is_known {
                store.keep_event(number, &why);
            }
            store.raise(alarm);
        };
        self.parts.ledger.update(change).await
    }

    async fn end(&self, numbers: Vec<u64>) -> anyhow::Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        let (ended, spool) = (numbers.clone(), self.parts.spool.clone());
        self.parts.ledger.update(move |store| store.end_events(&ended)).await?;
        let removed = tokio::task::spawn_blocking(move || {
            numbers.iter().try_for_each(|number| disk::remove(&spool.event(*number)))
        });
        Ok(removed.await??)
    }
}

/// Whether the work for one event is that for another, too: of a release the latest state is asked
/// for.
fn is_answered_by(group: &[Open], other: &Open) -> bool {
    let Some(one) = group.first() else { return false };
    match (&one.says, &other.says) {
        (
            Event::Scr { kind: ScrKind::Release { address, vat, .. }, .. },
            Event::Scr { kind: ScrKind::Release { address: other, vat: whose, .. }, .. },
        ) => address == other && vat == whose,
        _ => false,
    }
}

/// A second at first, then ever longer.
fn pause_after(tries: u32, most: Duration) -> Duration {
    Duration::from_secs(1).saturating_mul(1 << tries.saturating_sub(1).min(16)).min(most)
}
