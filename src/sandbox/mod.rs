//! Sandbox: a local stand-in for the port's servers.
//!
//! Token server, ingestion channels, SCR APIs and CPu behind one port, with faults on request and a log
//! of all that came in. It imports nothing of the crate, so that a misreading of the remote API
//! cannot agree with itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

mod world;
mod scene;
mod connection;
mod door;
mod hub;
mod faults;
mod what;
mod log;
mod stats;
mod gate;
mod answer;
mod token;
mod ingestion;
mod records;
mod scr;
mod cpu;
mod control;

pub use faults::Fault;
pub use log::{Call, Jwt, token_hash};
pub use scr::{Assignee, Change, Decision, Kind, ReleaseState};
pub use stats::{ChannelStats, CpuStats, IngestionStats, ScrStats, Stats, TokenStats};
pub use what::What;
pub use world::{
    Auth, Bulk, Callback, Channel, Client, Company, Connection, Cpu, Grant, Party, Release, ScrApi,
    SecretEncoding, Signs, User, Verdict, World,
};

use hub::Hub;

/// A running sandbox. It stops when it is dropped; [`Sandbox::stop`] also waits for its end.
pub struct Sandbox {
    addr: SocketAddr,
    hub: Arc<Hub>,
}

impl Sandbox {
    /// Binds `listen` (port 0: a free one) and serves `world` from then on. Refuses an address
    /// that other machines could reach.
    pub async fn start(world: World, listen: SocketAddr) -> anyhow::Result<Sandbox> {
        if !listen.ip().is_loopback() {
            bail!(
                "the sandbox listens on this machine only: {listen} is not a loopback address; \
                 take 127.0.0.1 or [::1]"
            );
        }
        Self::start_anywhere(world, listen).await
    }

    /// As [`Sandbox::start`], on any address. Whoever reaches it can read and change everything.
    pub async fn start_anywhere(world: World, listen: SocketAddr) -> anyhow::Result<Sandbox> {
        let hub = Arc::new(Hub::new(world)?);
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .with_context(|| format!("the sandbox cannot listen on {listen}"))?;
        let addr = listener.local_addr().context("the sandbox does not know its own address")?;
        hub.tasks.spawn(door::serve(hub.clone(), listener));
        Ok(Sandbox { addr, hub })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What was counted since the start, or since the world was last replaced.
    pub fn stats(&self) -> Stats {
        self.hub.scene().stats()
    }

    /// The calls that came in, oldest first; those the log still holds.
    pub fn calls(&self) -> Vec<Call> {
        self.hub.log.calls(0, "")
    }

    /// From now on strikes the calls that `fault` speaks of. Earlier faults are asked first.
    pub fn fault(&self, fault: Fault) -> anyhow::Result<()> {
        self.hub.faults.add(fault)
    }

    /// From now on everything works; calls that a fault delays go on at once.
    pub fn clear_faults(&self) {
        self.hub.faults.clear();
    }

    /// How long a worker of the SCR API under `scr_path` takes for a call. Holds at once, for those
    /// in work too: an hour holds all calls, and zero lets them go.
    pub fn set_latency(&self, scr_path: &str, latency: Duration) -> anyhow::Result<()> {
        self.hub.scene().scr_api(scr_path)?.set_latency(latency);
        Ok(())
    }

    /// How long after its 202 a transfer, revoke or unassign is carried out. Holds at once, for those
    /// that were accepted too: an hour holds them, and zero carries them out.
    pub fn set_delay(&self, scr_path: &str, delay: Duration) -> anyhow::Result<()> {
        self.hub.scene().scr_api(scr_path)?.set_delay(delay);
        Ok(())
    }

    /// How long CPu takes for a verdict. Holds at once, for those that are awaited too: an hour
    /// holds all back, and zero tells them.
    pub fn set_verdict_delay(&self, delay: Duration) {
        self.hub.scene().cpu.set_delay(delay);
    }

    /// What the SCR API under `scr_path` knows of one release; `address` in letters of any case.
    pub fn release(&self, scr_path: &str, address: &str) -> Option<ReleaseState> {
        self.hub.scene().scr_api(scr_path).ok()?.release(address)
    }

    /// Adds a release or replaces it, and tells those who have subscribed of this event: `transfer`,
    /// `update`, `block`, …
    pub fn change(&self, scr_path: &str, event: &str, release: &Release) -> anyhow::Result<()> {
        self.hub.change(scr_path, event, release)
    }

    /// The company that was invited under `reference` answers: if it accepts, it is a connection from
    /// then on. Those who have subscribed are told.
    pub fn decide(
        &self,
        scr_path: &str,
        reference: &str,
        decision: Decision,
    ) -> anyhow::Result<()> {
        self.hub.decide(scr_path, reference, decision)
    }

    /// All tokens handed out so far become invalid.
    pub fn expire_tokens(&self) {
        self.hub.scene().tokens.expire_all();
    }

    /// Replaces everything that exists: tokens, stored state and counts start anew. The log and
    /// the faults stay.
    pub fn replace(&self, world: World) -> anyhow::Result<()> {
        self.hub.replace(world)
    }

    /// Ends open connections and work in progress, and gives the port back.
    pub async fn stop(self) {
        self.hub.stopping.cancel();
        self.hub.tasks.close();
        self.hub.tasks.wait().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.hub.stopping.cancel();
    }
}

#[cfg(test)]
mod tests;
