//! SCR: an installation of the SCR API, by its document of version 1.2.9.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::bail;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

mod action;
mod auth;
mod caller;
mod fields;
mod invitation;
mod lights;
mod release;
mod wallet;
mod refusal;

pub(super) use action::Action;
use action::Verb;
pub use invitation::Decision;
pub use release::{Assignee, Change, Kind, ReleaseState};

use super::answer::Answer;
use super::gate::{Gate, Inside};
use super::hub::lock;
use super::stats::ScrStats;
use super::world::{self, ScrApi};
use auth::{Auth, Distrust};
use caller::Caller;
use refusal::Refusal;
use wallet::Wallet;

pub(super) struct Api {
    path: String,
    auth: Option<Auth>,
    caller: Arc<Caller>,
    latency: watch::Sender<Duration>,
    workers: Semaphore,
    /// How long after a 202 the call is carried out.
    delay: watch::Sender<Duration>,
    wallet: Mutex<Wallet>,
    counts: Mutex<ScrStats>,
    /// Writes and pin reads that somebody waits for.
    open: Arc<Gate>,
    /// Writes and pin reads that are queued or in work.
    in_work: Arc<Gate>,
}

impl Api {
    pub fn build(world: &ScrApi) -> anyhow::Result<Api> {
        let path = world.path.trim_end_matches('/');
        if !path.starts_with('/') {
            bail!("the path must start with a slash and be more than that");
        }
        if world.workers == 0 || world.workers > Semaphore::MAX_PERMITS {
            bail!("{} workers: take 1 or more", world.workers);
        }
        Ok(Api {
            path: path.to_string(),
            auth: world.auth.as_ref().map(Auth::build).transpose()?,
            caller: Arc::new(Caller::build(world.callback.as_ref())?),
            latency: watch::Sender::new(Duration::from_millis(world.latency_ms)),
            delay: watch::Sender::new(Duration::from_millis(world.delay_ms)),
            workers: Semaphore::new(world.workers),
            wallet: Mutex::new(Wallet::build(world)?),
            counts: Mutex::default(),
            open: Arc::default(),
            in_work: Arc::default(),
        })
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn set_latency(&self, latency: Duration) {
        self.latency.send_replace(latency);
    }

    pub fn set_delay(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    pub fn release(&self, address: &str) -> Option<ReleaseState> {
        lock(&self.wallet).state(address)
    }

    pub fn releases(&self) -> Vec<ReleaseState> {
        lock(&self.wallet).states()
    }

    /// Adds a release or replaces it, as the carrier or another owner does, and gives the callbacks
    /// of this event to be made.
    pub fn change(
        &self,
        event: &str,
        release: &world::Release,
    ) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
        let mut wallet = lock(&self.wallet);
        wallet.put(release)?;
        Ok(self.tell(wallet.callbacks(event, &release.address)))
    }

    /// An invited company answers; gives the callbacks to be made.
    pub fn decide(
        &self,
        reference: &str,
        decision: Decision,
    ) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
        let callbacks = lock(&self.wallet).decide(reference, decision)?;
        Ok(self.tell(callbacks))
    }

    /// The callbacks to these URLs.
    fn tell(&self, (urls, body): (Vec<String>, Value)) -> impl Future<Output = ()> + Send + use<> {
        let caller = Arc::clone(&self.caller);
        async move { caller.tell(urls, body).await }
    }

    /// The invitations and subscriptions that were stored.
    pub fn stored(&self) -> Value {
        lock(&self.wallet).stored()
    }

    pub fn stats(&self) -> ScrStats {
        ScrStats {
            highest_open: self.open.highest(),
            overlapping: self.open.overlapping(),
            highest_in_work: self.in_work.highest(),
            overlapping_in_work: self.in_work.overlapping(),
            ..lock(&self.counts).clone()
        }
    }

    /// Counts a call that arrived.
    pub fn note_call(&self, action: &Action) {
        let mut counts = lock(&self.counts);
        *counts.by_action.entry(action.name().to_string()).or_default() += 1;
        if action.is_write() {
            counts.writes += 1;
        } else if action.is_queued() {
            counts.pin_reads += 1;
        } else {
            counts.reads += 1;
        }
    }

    pub fn enter(&self, action: &Action) -> Option<Inside> {
        action.is_queued().then(|| self.open.enter(action.written_release()))
    }

    /// Verifies the call's token and notes that it was used.
    pub fn check_token(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let Some(auth) = &self.auth else { return Ok(()) };
        let Err(distrust) = auth.check(headers) else { return Ok(()) };
        let mut counts = lock(&self.counts);
        counts.refused_tokens += 1;
        counts.replayed_tokens += u64::from(matches!(distrust, Distrust::Replayed));
        // The document's words for 401; the reason is for the log alone.
        let answer = Answer::text(StatusCode::UNAUTHORIZED, "Invalid Authorization bearer token");
        Err(answer.noted(distrust))
    }

    /// Works a call whose token is good.
    pub async fn work(
        self: &Arc<Api>,
        action: &Action,
        parts: &Parts,
        body: &[u8],
        seq: u64,
    ) -> Answer {
        let _in_work = action.is_queued().then(|| self.in_work.enter(action.written_release()));
        if action.is_queued() {
            // The semaphore is never closed, so that there always is a worker in the end.
            let _worker = self.workers.acquire().await;
            self.take_time().await;
            return self.act(action, parts, body, seq);
        }
        self.act(action, parts, body, seq)
    }

    /// Passes when the latency has passed, as it was last set.
    async fn take_time(&self) {
        pass(&self.latency).await;
    }

    /// Carries out, when its time has come, what was accepted, and tells those who have subscribed.
    fn carry_out_later(self: &Arc<Api>, verb: Verb, address: &str, body: &[u8], seq: u64) {
        let (api, address, body) = (Arc::clone(self), address.to_owned(), body.to_owned());
        tokio::spawn(async move {
            pass(&api.delay).await;
            let told = {
                let mut wallet = lock(&api.wallet);
                // What has changed meanwhile may forbid it; nobody is told then.
                let done = wallet.write(verb, &address, &body, seq).is_ok();
                (done && verb != Verb::Unassign).then(|| wallet.callbacks(verb.name(), &address))
            };
            if let Some(told) = told {
                api.tell(told).await;
            }
        });
    }

    fn act(self: &Arc<Api>, action: &Action, parts: &Parts, body: &[u8], seq: u64) -> Answer {
        let mut wallet = lock(&self.wallet);
        let is_later = !self.delay.borrow().is_zero();
        let done = match action {
            Action::Releases => query(parts).and_then(|query| wallet.releases(&query)).map(ok),
            Action::Release(address) => wallet.release(address).map(ok),
            Action::Pincode(address) => {
                wallet.pincode(address, seq).map(|pin| ok(json!({ "pincode": pin })))
            }
            Action::Write(verb, address) if is_later && verb.is_accepted_first() => {
                wallet.check(*verb, address, body).map(|()| {
                    self.carry_out_later(*verb, address, body, seq);
                    Answer::empty(StatusCode::ACCEPTED)
                })
            }
            Action::Write(verb, address) => {
                wallet.write(*verb, address, body, seq).map(Answer::empty)
            }
            Action::Connections => Ok(ok(wallet.connections())),
            Action::Invite => wallet.invite(body).map(Answer::empty),
            Action::Subscribe => wallet.subscribe(body).map(Answer::empty),
            Action::Unknown => Ok(Answer::text(StatusCode::NOT_FOUND, "there is no such endpoint")),
            Action::WrongMethod => Ok(Answer::empty(StatusCode::METHOD_NOT_ALLOWED)),
        };
        // "For transfers and revokes of releases that are executed by your own organization a
        // notification is also sent."
        if let (Action::Write(verb @ (Verb::Transfer | Verb::Revoke), address), Ok(_)) =
            (action, &done)
            && !is_later
        {
            tokio::spawn(self.tell(wallet.callbacks(verb.name(), address)));
        }
        drop(wallet);
        if action.is_write() && done.is_ok() {
            lock(&self.counts).accepted += 1;
        }
        done.unwrap_or_else(Refusal::answer)
    }
}

/// Passes when so much time has passed, as it was last set.
async fn pass(time: &watch::Sender<Duration>) {
    let start = Instant::now();
    let mut time = time.subscribe();
    loop {
        let rest = time.borrow_and_update().saturating_sub(start.elapsed());
        // The sender lives as long as its API: a change is all that can come from it.
        if timeout(rest, time.changed()).await.is_err() {
            return;
        }
    }
}

fn ok(value: Value) -> Answer {
    Answer::json(StatusCode::OK, &value)
}

fn query(parts: &Parts) -> Result<BTreeMap<String, String>, Refusal> {
    let fields = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri);
    fields.map(|Query(fields)| fields).map_err(|error| Refusal::BadParameter(error.to_string()))
}
