//! Partner: one poll of an SFTP source. What was broken off is gone on with, what was fetched is put
//! away at the partner's, and what is ready and new is fetched into the spool.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::Run;
use super::file::{self, OpenFile, Working};
use super::source::takes;
use crate::config::{After, Retry, Sftp, Source};
use crate::deliver::retry;
use crate::disk::Look;
use crate::inspect::identify;
use crate::ledger::{Account, Alarm, AlarmKind, Fetched, Known, Phase};
use crate::model::{Arrival, Identity};
use crate::pickup::sftp::{Download, Line, Refusal, Session, fetch, listing, path_of, put_away};
use crate::pickup::{Candidate, Looks, claim};
use crate::pipeline::Occasion;
use crate::spool::Slip;

/// A poll ends after so long; what it was fetching then goes on with the next.
const WITHIN: Duration = Duration::from_secs(3600);

/// Files that one session fetches before they are noted together, and their bytes.
const TOGETHER: usize = 32;
const BYTES_TOGETHER: u64 = 8 << 20;

/// Files that lie in the spool before work on them has begun, of one source.
const AHEAD: usize = 10_000;

/// Looks at the partner's folder and takes what is ready, or only what was seen there before; tells
/// when more may be.
pub async fn poll(
    run: &Arc<Run>,
    customer: &str,
    source: &Source,
    sftp: &Arc<Sftp>,
    seen: bool,
    looks: &mut Looks,
) -> anyhow::Result<Option<Duration>> {
    let stop = run.stop.child_token();
    let (timer, over) = (stop.clone(), tokio::time::sleep(WITHIN));
    let timer = tokio::spawn(async move {
        over.await;
        timer.cancel();
    });
    let poll = Poll::new(run, customer, source, sftp, stop).await?;
    let polled = poll.run(seen, looks).await;
    timer.abort();
    poll.tell(polled.as_ref().err()).await;
    polled
}

/// What alarm an error of the server raises; none if it is no fault of the server's or the login.
pub fn alarm_of(error: &anyhow::Error) -> Option<AlarmKind> {
    match error.downcast_ref::<Refusal>() {
        Some(Refusal::HostKey { .. }) => Some(AlarmKind::HostKey),
        Some(Refusal::Login { .. } | Refusal::Secret(_)) => Some(AlarmKind::LoginRefused),
        Some(Refusal::Unreachable(_)) => Some(AlarmKind::Unreachable),
        None => Session::is_broken(error).then_some(AlarmKind::Unreachable),
    }
}

/// How long a server is left alone that did not let us in so often in a row, or could not be
/// reached.
pub fn after_refusal(times: u32, source: &str) -> Duration {
    const PAUSES: Retry = Retry {
        first: Duration::from_secs(1),
        max: Duration::from_secs(300),
        give_up_after: Duration::MAX,
    };
    retry::wait(&PAUSES, times, retry::chance(format!("{source} {times}").as_bytes()))
}

/// What the steps of a poll share.
struct Poll {
    run: Arc<Run>,
    customer: String,
    source: Source,
    sftp: Arc<Sftp>,
    installation: String,
    /// Over with the run, or when the poll has lasted too long.
    stop: CancellationToken,
}

/// A file that is being fetched: its number, and what was seen of it.
#[derive(Clone)]
struct Claim {
    arrival: Arrival,
    slip: Slip,
}

impl Poll {
    async fn new(
        run: &Arc<Run>,
        customer: &str,
        source: &Source,
        sftp: &Arc<Sftp>,
        stop: CancellationToken,
    ) -> anyhow::Result<Poll> {
        let installation =
            run.parts.ledger.change(|store| Ok(store.installation().to_owned())).await?;
        Ok(Poll {
            run: Arc::clone(run),
            customer: customer.to_owned(),
            source: source.clone(),
            sftp: Arc::clone(sftp),
            installation,
            stop,
        })
    }

    async fn run(&self, seen: bool, looks: &mut Looks) -> anyhow::Result<Option<Duration>> {
        let line = self.connect().await?;
        let (begun, files) = mpsc::channel(AHEAD);
        self.run.tasks.spawn(start(Arc::clone(&self.run), files));
        // One fault does not keep the rest back; the first is told.
        let mut trouble = self.put_away_what_was_fetched(&line).await.err();
        let mut broken_off = self.broken_off().await?;
        let mut next = None;
        let mut new = VecDeque::new();
        if takes(&self.run, &self.customer, &self.source) {
            let names: BTreeSet<&str> =
                broken_off.iter().map(|claim| claim.slip.name.as_str()).collect();
            let (ready, wait) = self.look(&line, &names, seen, looks).await?;
            (new, next) = (VecDeque::from(ready), wait);
        }
        let lines = self.sftp.sessions.min(new.len() + broken_off.len()).max(1);
        let work = Work { broken_off: broken_off.drain(..).collect(), new };
        let work = Arc::new(Mutex::new(work));
        let mut carried = vec![self.carry(Some(line), &work, begun.clone())];
        carried.extend((1..lines).map(|_| self.carry(None, &work, begun.clone())));
        drop(begun);
        for done in futures::future::join_all(carried).await {
            trouble = trouble.or(done.err());
        }
        trouble.map_or(Ok(next), Err)
    }

    /// Logs in.
    async fn connect(&self) -> anyhow::Result<Line> {
        Ok(self.run.logins.open(&self.sftp, &self.run.parts.ledger).await??)
    }

    /// Raises the alarm that tells of an error, and takes those back that are over.
    async fn tell(&self, error: Option<&anyhow::Error>) {
        let kind = error.and_then(alarm_of);
        let alarm = error.zip(kind).map(|(error, kind)| Alarm {
            since: jiff::Timestamp::now(),
            customer: self.customer.clone(),
            channel: None,
            source: Some(self.source.name.clone()),
            kind,
            advice: format!("{}: {error:#}", self.sftp),
        });
        if let Some(alarm) = &alarm {
            tracing::error!(customer = %self.customer, "{}", alarm.advice);
        }
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let of_server = [AlarmKind::HostKey, AlarmKind::LoginRefused, AlarmKind::Unreachable];
        let told = self
            .run
            .parts
            .ledger
            .update(move |store| {
                store.clear(|held| {
                    of_server.contains(&held.kind)
                        && Some(held.kind) != kind
                        && held.customer == customer
                        && held.source.as_deref() == Some(&source)
                });
                alarm.map(|alarm| store.raise(alarm));
            })
            .await;
        if let Err(error) = told {
            tracing::error!("The alarm cannot be noted: {error:#}");
        }
    }

    /// The claims of the source that a crash or an error broke off. One of which nothing is in the
    /// spool yet is begun anew by the next look.
    async fn broken_off(&self) -> anyhow::Result<Vec<Claim>> {
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let claiming: Vec<Arrival> = self
            .run
            .parts
            .ledger
            .change(move |store| {
                let accounts = store.files.values().map(|(account, _)| account);
                let mine = accounts.filter(|account| {
                    account.phase == Phase::Claiming
                        && account.customer == customer
                        && account.source == source
                });
                Ok(mine.map(|account| account.arrival).collect())
            })
            .await?;
        let spool = self.run.parts.spool.clone();
        let (claims, begun_in_vain) = tokio::task::spawn_blocking(move || {
            let (mut claims, mut vain) = (Vec::new(), Vec::new());
            for arrival in claiming {
                match spool.slip(arrival) {
                    Some(slip) => claims.push(Claim { arrival, slip }),
                    None => vain.push(arrival),
                }
            }
            (claims, vain)
        })
        .await?;
        self.abandon(begun_in_vain).await?;
        Ok(claims)
    }

    /// Moves or removes at the partner's what was fetched, and could not be so far.
    async fn put_away_what_was_fetched(&self, line: &Line) -> anyhow::Result<()> {
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let keeps = self.sftp.after == After::Keep;
        let fetched = self
            .run
            .parts
            .ledger
            .change(move |store| {
                let fetched = store.fetched(&customer, &source)?;
                if !keeps {
                    return Ok(fetched);
                }
                // The config says by now that they stay: they are known from here on.
                for (arrival, Fetched { folder, name, look, .. }) in fetched {
                    let account = store.files.get(&arrival).map(|(account, _)| account);
                    let identity =
                        account.and_then(|account| Some(account.pinned.as_ref()?.identity));
                    let known = Known { path: path_of(&folder, &name), look, identity };
                    store.set_known(&customer, &source, &known);
                    store.forget_fetched(arrival);
                }
                Ok(Vec::new())
            })
            .await?;
        self.put_away(line, fetched).await
    }

    /// The same for these; what was put away is noted together.
    async fn put_away(&self, line: &Line, fetched: Vec<(Arrival, Fetched)>) -> anyhow::Result<()> {
        if fetched.is_empty() {
            return Ok(());
        }
        let (sftp, ready) = (Arc::clone(&self.sftp), self.source.ready.clone());
        let (installation, stop) = (self.installation.clone(), self.stop.clone());
        let put_all = move |session: &Session| {
            let (mut done, mut trouble) = (Vec::new(), None);
            for (arrival, fetched) in fetched {
                if stop.is_cancelled() {
                    break;
                }
                let after = &sftp.after;
                match put_away(session, after, &ready, &installation, arrival, &fetched) {
                    Ok(()) => done.push(arrival),
                    Err(error) => {
                        let is_broken = Session::is_broken(&error);
                        trouble.get_or_insert(error);
                        if is_broken {
                            break;
                        }
                    }
                }
            }
            (done, trouble)
        };
        let (done, trouble) = line.ask(put_all).await?;
        self.run
            .parts
            .ledger
            .update(move |store| done.into_iter().for_each(|arrival| store.forget_fetched(arrival)))
            .await?;
        trouble.map_or(Ok(()), Err)
    }

    /// Lists the partner's folder: what is ready and new, and when more may be.
    async fn look(
        &self,
        line: &Line,
        broken_off: &BTreeSet<&str>,
        seen: bool,
        looks: &mut Looks,
    ) -> anyhow::Result<(Vec<Candidate>, Option<Duration>)> {
        let folder = self.sftp.path.clone();
        let entries = line.ask(move |session| session.list(&folder)).await??;
        let mut listed = listing(&self.source, entries);
        self.tell_refused(std::mem::take(&mut listed.refused)).await?;
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let (folder, present) = (self.sftp.path.clone(), listed.present.clone());
        let (fetched, known) = self
            .run
            .parts
            .ledger
            .change(move |store| {
                let mut known = store.known(&customer, &source)?;
                let there: BTreeSet<String> =
                    present.iter().map(|name| path_of(&folder, name)).collect();
                for path in known.keys().filter(|path| !there.contains(*path)) {
                    store.forget_known(&customer, &source, path);
                }
                known.retain(|path, _| there.contains(path));
                Ok((store.fetched(&customer, &source)?, known))
            })
            .await?;
        let is_fetched = |one: &Candidate| {
            let path = path_of(&self.sftp.path, &one.name);
            known.get(&path).is_some_and(|known| known.look == one.look)
                || fetched.iter().any(|(_, fetched)| {
                    fetched.folder == self.sftp.path
                        && (&fetched.name, &fetched.look) == (&one.name, &one.look)
                })
        };
        listed.candidates.retain(|one| !broken_off.contains(one.name.as_str()) && !is_fetched(one));
        if seen {
            listed.candidates = looks.seen(listed.candidates);
        }
        let present = |name: &str| listed.present.contains(name);
        Ok(looks.judge(&self.source.ready, listed.candidates, Instant::now(), present))
    }

    /// Says which names are left alone, for as long as they are there.
    async fn tell_refused(&self, refused: Vec<String>) -> anyhow::Result<()> {
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let alarm = refused.split_first().map(|(first, others)| Alarm {
            since: jiff::Timestamp::now(),
            customer: customer.clone(),
            channel: None,
            source: Some(source.clone()),
            kind: AlarmKind::FileName,
            advice: match others.len() {
                0 => format!("left alone in {}: {first}; have it renamed", self.sftp),
                more => format!(
                    "left alone in {}: {first}, and {more} more; have them renamed",
                    self.sftp
                ),
            },
        });
        let told = alarm.clone();
        let is_new = self
            .run
            .parts
            .ledger
            .change(move |store| match alarm {
                Some(alarm) => Ok(store.raise(alarm)),
                None => {
                    store.clear(|alarm| {
                        alarm.kind == AlarmKind::FileName
                            && alarm.customer == customer
                            && alarm.source.as_deref() == Some(&source)
                    });
                    Ok(false)
                }
            })
            .await?;
        if let Some(alarm) = told.filter(|_| is_new) {
            tracing::error!(customer = %self.customer, "{}", alarm.advice);
            refused.iter().for_each(|name| tracing::warn!(customer = %self.customer, "{name}"));
        }
        Ok(())
    }

    /// Fetches files over one session until none is left.
    async fn carry(
        &self,
        line: Option<Line>,
        work: &Mutex<Work>,
        begun: mpsc::Sender<OpenFile>,
    ) -> anyhow::Result<()> {
        let line = match line {
            Some(line) => line,
            None => self.connect().await?,
        };
        let mut trouble = None;
        while !self.stop.is_cancelled() {
            let claims = self.next(&mut *work.lock().await).await?;
            if claims.is_empty() {
                break;
            }
            let fetched = self.fetch(&line, claims, &begun, &mut trouble).await?;
            self.put_away(&line, fetched).await?;
        }
        trouble.map_or(Ok(()), Err)
    }

    /// The next claims: some small files, or a big one.
    async fn next(&self, work: &mut Work) -> anyhow::Result<Vec<Claim>> {
        if !work.broken_off.is_empty() {
            let count = work.broken_off.len().min(TOGETHER);
            return Ok(work.broken_off.drain(..count).collect());
        }
        let (mut some, mut bytes) = (Vec::new(), 0_u64);
        while let Some(one) = work.new.front()
            && some.len() < TOGETHER
            && (some.is_empty() || bytes + one.look.size <= BYTES_TOGETHER)
        {
            bytes = bytes.saturating_add(one.look.size);
            some.extend(work.new.pop_front());
        }
        // Turns may have been long in coming.
        if some.is_empty() || !takes(&self.run, &self.customer, &self.source) {
            return Ok(Vec::new());
        }
        self.check_free_disk(bytes).await?;
        let slips: Vec<Slip> = some.into_iter().map(|one| self.slip(one.name, one.look)).collect();
        self.run
            .parts
            .ledger
            .change(move |store| {
                let claims = slips.into_iter().map(|slip| {
                    let arrival = store.next_arrival();
                    store.set_account(claim::account(arrival, slip.clone()));
                    Claim { arrival, slip }
                });
                Ok(claims.collect())
            })
            .await
    }

    fn slip(&self, name: String, look: Look) -> Slip {
        Slip {
            customer: self.customer.clone(),
            source: self.source.name.clone(),
            name,
            picked_up: jiff::Timestamp::now(),
            look: Some(look),
        }
    }

    async fn check_free_disk(&self, bytes: u64) -> anyhow::Result<()> {
        let setup = self.run.parts.setup();
        let config = &setup.of(&self.customer).config;
        let (state, least) = (config.state.clone(), config.limits.free_disk);
        claim::check_free_disk(&state, &self.source, least).await?;
        let room = least.saturating_add(bytes);
        tokio::task::spawn_blocking(move || claim::free_disk(&state, room)).await?
    }

    /// Fetches some files, notes those that lie in the spool as ours, and has work on them begun.
    async fn fetch(
        &self,
        line: &Line,
        claims: Vec<Claim>,
        begun: &mpsc::Sender<OpenFile>,
        trouble: &mut Option<anyhow::Error>,
    ) -> anyhow::Result<Vec<(Arrival, Fetched)>> {
        let (spool, stop) = (self.run.parts.spool.clone(), self.stop.clone());
        let (folder, keeps) = (self.sftp.path.clone(), self.sftp.after == After::Keep);
        let fetch_all = move |session: &Session| {
            let mut outcomes: Vec<(Claim, anyhow::Result<Outcome>)> = Vec::new();
            for claim in claims {
                let path = path_of(&folder, &claim.slip.name);
                let fetched = fetch(session, &path, &spool, claim.arrival, &claim.slip, &stop);
                let outcome = fetched.and_then(|download| {
                    Ok(match download {
                        Download::Whole if keeps => {
                            let data = spool.data(claim.arrival);
                            let identity = identify(&data)
                                .with_context(|| format!("{} cannot be read", data.display()))?;
                            Outcome::Whole(Some(identity))
                        }
                        Download::Whole => Outcome::Whole(None),
                        Download::Changed => Outcome::Changed,
                        Download::Stopped => Outcome::Stopped,
                    })
                });
                let is_broken = outcome.as_ref().is_err_and(Session::is_broken);
                outcomes.push((claim, outcome));
                if is_broken {
                    break;
                }
            }
            outcomes
        };
        let mut whole = Vec::new();
        let mut in_vain = Vec::new();
        for (claim, outcome) in line.ask(fetch_all).await? {
            match outcome {
                Ok(Outcome::Whole(identity)) => whole.push((claim, identity)),
                Ok(Outcome::Changed) => in_vain.push(claim.arrival),
                Ok(Outcome::Stopped) => {}
                // The download goes on with the next poll.
                Err(error) if Session::is_broken(&error) => return Err(error),
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        self.abandon(in_vain).await?;
        self.note(whole, begun).await
    }

    /// Notes files that lie in the spool as ours, with what is still to be done at the partner's.
    async fn note(
        &self,
        whole: Vec<(Claim, Option<Identity>)>,
        begun: &mpsc::Sender<OpenFile>,
    ) -> anyhow::Result<Vec<(Arrival, Fetched)>> {
        if whole.is_empty() {
            return Ok(Vec::new());
        }
        let (customer, source) = (self.customer.clone(), self.source.name.clone());
        let folder = self.sftp.path.clone();
        let (ours, same) = self
            .run
            .parts
            .ledger
            .change(move |store| {
                let known = match whole.iter().any(|(_, identity)| identity.is_some()) {
                    true => store.known(&customer, &source)?,
                    false => Default::default(),
                };
                let (mut ours, mut same) = (Vec::new(), Vec::new());
                for (Claim { arrival, slip }, identity) in whole {
                    let Some(look) = slip.look else { continue };
                    let path = path_of(&folder, &slip.name);
                    if let Some(identity) = identity {
                        let before = known.get(&path).and_then(|known| known.identity);
                        let identity = Some(identity);
                        store.set_known(&customer, &source, &Known { path, look, identity });
                        if before == identity {
                            same.push(arrival);
                            continue;
                        }
                    }
                    let fetched = Fetched {
                        customer: slip.customer.clone(),
                        source: slip.source.clone(),
                        folder: folder.clone(),
                        name: slip.name.clone(),
                        look,
                    };
                    let phase = Phase::Claimed;
                    store.set_account(Account { phase, ..claim::account(arrival, slip) });
                    if identity.is_none() {
                        store.set_fetched(arrival, &fetched);
                    }
                    ours.push((arrival, fetched, identity.is_none()));
                }
                Ok((ours, same))
            })
            .await?;
        // The very bytes that were fetched before, under a new time.
        self.abandon(same).await?;
        let mut to_put_away = Vec::new();
        for (arrival, fetched, is_put_away) in ours {
            tracing::info!(
                customer = %self.customer,
                file.name = %fetched.name,
                "Claimed {}",
                fetched.name
            );
            let _ = begun.send(self.open_file(arrival, &fetched.name)).await;
            if is_put_away {
                to_put_away.push((arrival, fetched));
            }
        }
        Ok(to_put_away)
    }

    fn open_file(&self, arrival: Arrival, name: &str) -> OpenFile {
        OpenFile {
            arrival,
            customer: self.customer.clone(),
            source: self.source.name.clone(),
            name: name.to_owned(),
        }
    }

    /// Takes back claims of files that have gone or changed.
    async fn abandon(&self, arrivals: Vec<Arrival>) -> anyhow::Result<()> {
        if arrivals.is_empty() {
            return Ok(());
        }
        let (spool, gone) = (self.run.parts.spool.clone(), arrivals.clone());
        let removed = move || gone.into_iter().try_for_each(|arrival| spool.remove(arrival));
        tokio::task::spawn_blocking(removed).await??;
        self.run
            .parts
            .ledger
            .update(move |store| arrivals.into_iter().for_each(|arrival| store.abandon(arrival)))
            .await
    }
}

/// What is to be fetched in a poll.
struct Work {
    broken_off: VecDeque<Claim>,
    new: VecDeque<Candidate>,
}

/// What became of one file's download.
enum Outcome {
    /// It lies in the spool; its identity if it stays where it was.
    Whole(Option<Identity>),
    Changed,
    Stopped,
}

/// Has work begun on files as they come into the spool, as their customer's turns allow.
async fn start(run: Arc<Run>, mut files: mpsc::Receiver<OpenFile>) {
    while let Some(file) = files.recv().await {
        let Some(working) = Working::begin(&run, file.arrival) else { continue };
        let Some(turns) = file::take_turns(&run, &file).await else { return };
        run.tasks.spawn(file::work(Arc::clone(&run), file, working, turns, Occasion::Due));
    }
}
