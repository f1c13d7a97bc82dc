//! Carrying: files are fetched over the sessions of a source, and noted as ours once they lie in the
//! spool.

use std::collections::VecDeque;

use anyhow::{Context, anyhow};
use futures::future::join_all;
use tokio::sync::Mutex;

use super::Poll;
use crate::config::After;
use crate::disk::Look;
use crate::inspect::identify;
use crate::ledger::{Account, Fetched, Known, Phase};
use crate::model::{Arrival, Identity};
use crate::pickup::sftp::{Download, fetch};
use crate::pickup::{Candidate, claim};
use crate::sftp::{Line, Session, path_of};
use crate::spool::Slip;
use crate::worker::file::OpenFile;
use crate::worker::source::takes;

/// Files that one session fetches before they are noted together, and their bytes.
const TOGETHER: usize = 32;
const BYTES_TOGETHER: u64 = 8 << 20;

/// What is to be fetched in a poll.
#[derive(Default)]
pub(super) struct Work {
    broken_off: VecDeque<Claim>,
    pub new: VecDeque<Candidate>,
    /// The first fault, which keeps the rest back no more than it must.
    trouble: Option<anyhow::Error>,
    /// Some changed while they were fetched, or were not fetched in time.
    again: bool,
}

/// A file that is being fetched: its number, and what was seen of it.
#[derive(Clone)]
struct Claim {
    arrival: Arrival,
    slip: Slip,
}

/// What became of one file's download.
enum Outcome {
    /// It lies in the spool; its identity if it stays where it was.
    Whole(Option<Identity>),
    Changed,
    Stopped,
}

impl Work {
    pub fn tell(&mut self, trouble: Option<anyhow::Error>) {
        self.trouble = self.trouble.take().or(trouble);
    }

    /// The same of what came out of a step, unless the session is broken.
    pub fn tell_unless_broken(&mut self, step: anyhow::Result<()>) -> anyhow::Result<()> {
        match step {
            Err(error) if Session::is_broken(&error) => Err(error),
            step => {
                self.tell(step.err());
                Ok(())
            }
        }
    }

    /// The names of the files that are gone on with.
    pub fn names_broken_off(&self) -> impl Iterator<Item = &str> {
        self.broken_off.iter().map(|claim| claim.slip.name.as_str())
    }
}

impl Poll {
    /// Finds the claims of the source that a crash or an error broke off. One of which nothing is in
    /// the spool yet is begun anew by the next look, and so is one of another server or folder: what
    /// it was to fetch lies there still.
    pub(super) async fn go_on_with_what_was_broken_off(
        &self,
        work: &mut Work,
    ) -> anyhow::Result<()> {
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
        let (spool, place) = (self.run.parts.spool.clone(), self.sftp.to_string());
        let (claims, in_vain, local) = tokio::task::spawn_blocking(move || {
            let (mut claims, mut in_vain, mut local) = (Vec::new(), Vec::new(), None);
            for arrival in claiming {
                match spool.slip(arrival) {
                    Some(slip) if slip.partner.is_none() => {
                        local = Some(anyhow!(
                            "the claim of {} was broken off while this source was a local folder; \
                             make it one again until the file is settled",
                            slip.name
                        ));
                    }
                    Some(slip) if slip.partner.as_ref() == Some(&place) => {
                        claims.push(Claim { arrival, slip });
                    }
                    _ => in_vain.push(arrival),
                }
            }
            (claims, in_vain, local)
        })
        .await?;
        work.tell(local);
        self.abandon(in_vain).await?;
        self.expect(&claims).await;
        work.broken_off = claims.into();
        Ok(())
    }

    /// Fetches everything, over as many sessions as there is work for; tells whether some is to be
    /// looked at again soon, and the first fault of a single file.
    pub(super) async fn carry_all(
        &self,
        line: Line,
        work: Work,
    ) -> anyhow::Result<(bool, Option<anyhow::Error>)> {
        let files = work.new.len() + work.broken_off.len();
        let work = Mutex::new(work);
        let others = (1..self.sftp.sessions.min(files)).map(|_| self.carry(None, &work));
        let carried = join_all([self.carry(Some(line), &work)].into_iter().chain(others)).await;
        carried.into_iter().collect::<anyhow::Result<()>>()?;
        let work = work.into_inner();
        Ok((work.again, work.trouble))
    }

    /// Fetches files over one session until none is left.
    async fn carry(&self, line: Option<Line>, work: &Mutex<Work>) -> anyhow::Result<()> {
        let line = match line {
            Some(line) => line,
            None => match self.connect().await {
                Ok(line) => line,
                // Some servers allow one session: the first fetches all.
                Err(error) => {
                    let place = &self.sftp;
                    tracing::warn!(
                        customer = %self.customer,
                        "{place} allows no further session, and one fetches all: {error:#}"
                    );
                    return Ok(());
                }
            },
        };
        while !self.stop.is_cancelled() {
            let claims = self.next(&mut *work.lock().await).await?;
            if claims.is_empty() {
                break;
            }
            let (fetched, again, trouble) = self.fetch(&line, claims).await?;
            work.lock().await.again |= again;
            work.lock().await.tell(trouble);
            let put_away = self.put_away(&line, fetched, false).await;
            work.lock().await.tell_unless_broken(put_away)?;
        }
        Ok(())
    }

    /// The next claims: some small files, or a big one. One that is too big for the disk, or says so,
    /// does not keep the others back.
    async fn next(&self, work: &mut Work) -> anyhow::Result<Vec<Claim>> {
        while let Some(claim) = work.broken_off.pop_front() {
            let part = self.run.parts.spool.part(claim.arrival);
            let came = tokio::fs::metadata(part).await.map_or(0, |part| part.len());
            let size = claim.slip.look.map_or(0, |look| look.size);
            match self.check_free_disk(&claim.slip.name, size.saturating_sub(came)).await {
                Ok(()) => return Ok(vec![claim]),
                Err(error) => work.tell(Some(error)),
            }
        }
        let (mut some, mut bytes) = (Vec::new(), 0_u64);
        while some.len() < TOGETHER
            && let Some(one) = work.new.front()
            && (some.is_empty() || bytes.saturating_add(one.look.size) <= BYTES_TOGETHER)
        {
            let Some(one) = work.new.pop_front() else { break };
            match self.check_free_disk(&one.name, bytes.saturating_add(one.look.size)).await {
                Ok(()) => {
                    bytes = bytes.saturating_add(one.look.size);
                    some.push(one);
                }
                Err(error) => work.tell(Some(error)),
            }
        }
        // The config may have changed meanwhile.
        if some.is_empty() || !takes(&self.run, &self.customer, &self.source) {
            return Ok(Vec::new());
        }
        let slips: Vec<Slip> = some.into_iter().map(|one| self.slip(one.name, one.look)).collect();
        let claims: Vec<Claim> = self
            .run
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
            .await?;
        self.expect(&claims).await;
        Ok(claims)
    }

    async fn expect(&self, claims: &[Claim]) {
        let ordered = claims.iter().filter(|claim| self.keeps_order(&claim.slip.name));
        self.line_up.expect(ordered.map(|claim| claim.arrival)).await;
    }

    fn slip(&self, name: String, look: Look) -> Slip {
        Slip {
            customer: self.customer.clone(),
            source: self.source.name.clone(),
            name,
            picked_up: jiff::Timestamp::now(),
            folder: None,
            partner: Some(self.sftp.to_string()),
            look: Some(look),
        }
    }

    /// Whether so many bytes more leave the disk as free as it is to be.
    async fn check_free_disk(&self, name: &str, bytes: u64) -> anyhow::Result<()> {
        let setup = self.run.parts.setup();
        let config = &setup.of(&self.customer).config;
        let (state, least) = (config.state.clone(), config.limits.free_disk);
        claim::check_free_disk(&state, &self.source, least).await?;
        let room = least.saturating_add(bytes);
        let enough = move || claim::free_disk(&state, room);
        tokio::task::spawn_blocking(enough).await?.with_context(|| {
            format!("{name} is left in {}: it needs {} MiB", self.sftp, bytes.div_ceil(1 << 20))
        })
    }

    /// Fetches some files, and notes those that lie in the spool as ours. Tells which are to be put
    /// away, whether others are to be looked at again, and what is wrong with one.
    async fn fetch(
        &self,
        line: &Line,
        claims: Vec<Claim>,
    ) -> anyhow::Result<(Vec<(Arrival, Fetched)>, bool, Option<anyhow::Error>)> {
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
        let (mut whole, mut in_vain) = (Vec::new(), Vec::new());
        let (mut broken, mut again, mut trouble) = (None, false, None);
        for (claim, outcome) in line.ask(fetch_all).await? {
            match outcome {
                Ok(Outcome::Whole(identity)) => whole.push((claim, identity)),
                Ok(Outcome::Changed) => {
                    again = true;
                    trouble.get_or_insert_with(|| self.another(&claim.slip.name));
                    in_vain.push(claim.arrival);
                }
                Ok(Outcome::Stopped) => again = true,
                // The download goes on with the next poll.
                Err(error) if Session::is_broken(&error) => broken = Some(error),
                Err(error) => {
                    self.line_up.strike_out(claim.arrival).await;
                    trouble.get_or_insert(error);
                }
            }
        }
        self.abandon(in_vain).await?;
        let to_put_away = self.note(whole).await?;
        broken.map_or(Ok((to_put_away, again, trouble)), Err)
    }

    fn another(&self, name: &str) -> anyhow::Error {
        anyhow!(
            "{name} in {} is another, or gone, a moment after it was listed; it is looked at again",
            self.sftp
        )
    }

    /// Notes files that lie in the spool as ours, with what is still to be done at the partner's, and
    /// has work on them begun.
    async fn note(
        &self,
        whole: Vec<(Claim, Option<Identity>)>,
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
                    let (name, path) = (slip.name.clone(), path_of(&folder, &slip.name));
                    if identity.is_some() {
                        let before = known.get(&path).and_then(|known| known.identity);
                        let known = Known { path, look, identity, missing: None };
                        store.set_known(&customer, &source, &known);
                        if before == identity {
                            same.push(arrival);
                            continue;
                        }
                    }
                    let phase = Phase::Claimed;
                    store.set_account(Account { phase, ..claim::account(arrival, slip) });
                    let fetched = Fetched {
                        customer: customer.clone(),
                        source: source.clone(),
                        folder: folder.clone(),
                        name,
                        look,
                    };
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
            let name = &fetched.name;
            tracing::info!(customer = %self.customer, file.name = %name, "Claimed {name}");
            self.line_up.come(self.open_file(arrival, name)).await;
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
        for arrival in &arrivals {
            self.line_up.strike_out(*arrival).await;
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
