//! SCR: one call a record, at 50 ms a call, never more than twenty open: the program beside a
//! plain client. The sandbox stands in for the SCR API, in a process of its own.

use std::fs;
use std::io::Read;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use lighterman::sandbox::{Party, Release, Sandbox, ScrApi, ScrStats, Stats, World};
use lighterman::worker::{self, Outcome, Span};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::files::{Files, write_and_load};
use crate::measure::{Figures, Meter, threads};
use crate::poster::OPEN;
use crate::server;

pub const PATH: &str = "/wallet/tmining/api/v1";
/// Of the company whose wallet it is.
pub const VAT: &str = "BE0999261831";
/// How long the API takes for a call.
const LATENCY_MS: u64 = 50;

/// The sandbox's process. It ends when this is dropped.
pub struct Sandboxed {
    child: Child,
    pub url: String,
}

impl Sandboxed {
    pub fn start(releases: u64) -> anyhow::Result<Sandboxed> {
        let (child, url) = server::child(&["sandbox", &releases.to_string()])?;
        Ok(Sandboxed { child, url })
    }
}

impl Drop for Sandboxed {
    fn drop(&mut self) {
        server::end(&mut self.child);
    }
}

/// Serves so many releases until the process that started it is gone.
pub fn sandbox(releases: u64) -> anyhow::Result<()> {
    let release = |number| Release {
        address: address(number),
        container: format!("CSQU{number:07}"),
        bl: format!("BL{number}"),
        owner_vat: None,
        transferred_to: None,
        blocked: false,
        deleted: false,
        gate_out: None,
        green_lights: Default::default(),
    };
    let world = World {
        scr: vec![ScrApi {
            path: PATH.to_owned(),
            auth: None,
            callback: None,
            latency_ms: LATENCY_MS,
            delay_ms: 0,
            workers: OPEN,
            owner: Party {
                address: "0x5e1f".to_owned(),
                name: "Acme".to_owned(),
                vat: VAT.to_owned(),
            },
            connections: Vec::new(),
            releases: (1..=releases).map(release).collect(),
        }],
        ..World::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let sandbox = runtime.block_on(Sandbox::start(world, "127.0.0.1:0".parse()?))?;
    println!("{}", sandbox.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A plain client with twenty open.
pub fn plain(calls: u64, server: &str) -> anyhow::Result<Figures> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let meter = Meter::start();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let places = Arc::new(Semaphore::new(OPEN));
        let mut running = JoinSet::new();
        for number in 1..=calls {
            let place = Arc::clone(&places).acquire_owned().await?;
            while let Some(done) = running.try_join_next() {
                done??;
            }
            let url = format!("{server}{PATH}/releases/{}/assign", address(number));
            let body = json!({
                "type": "driver",
                "firstName": "An",
                "lastName": "Peeters",
                "identification": "0000000001",
            });
            let request = client.put(url).json(&body);
            running.spawn(async move {
                let status = request.send().await?.status();
                drop(place);
                if !status.is_success() {
                    bail!("the sandbox answered {status}");
                }
                Ok(())
            });
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        anyhow::Ok(())
    })?;
    let figures = meter.stop(calls);
    Ok(Figures { note: seen(&runtime, server)?, ..figures })
}

/// The program: a file of assignments to its receipt.
pub fn run(files: &Files, calls: u64, server: &str) -> anyhow::Result<Figures> {
    let config = config(files, calls, server)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let meter = Meter::start();
    let (outcome, by_thread) = runtime.block_on(async {
        let parts = Arc::new(worker::assemble(config)?);
        let span = Span::Once { wait: Duration::ZERO };
        let outcome = worker::run(Arc::clone(&parts), span, CancellationToken::new()).await?;
        anyhow::Ok((outcome, threads()))
    })?;
    let figures = meter.stop(calls);
    if outcome != Outcome::default() {
        bail!("the run left something behind: {outcome:?}");
    }
    Ok(Figures { threads: by_thread, note: seen(&runtime, server)?, ..figures })
}

fn config(files: &Files, calls: u64, server: &str) -> anyhow::Result<lighterman::config::Config> {
    let home = files.home("scr")?;
    fs::create_dir_all(home.join("inbox"))?;
    fs::create_dir_all(home.join("mappings"))?;
    let mut rows = "ADDRESS;FIRST;LAST;ID\n".to_owned();
    for number in 1..=calls {
        rows += &format!("{};An;Peeters;0000000001\n", address(number));
    }
    fs::write(home.join("inbox/DRIVERS.csv"), rows)?;
    let mut mapping = "[input]\nformat = \"csv\"\ndelimiter = \";\"\n".to_owned();
    for (to, from) in [
        ("release.address", "ADDRESS"),
        ("driver.firstName", "FIRST"),
        ("driver.lastName", "LAST"),
        ("driver.identification", "ID"),
    ] {
        mapping += &format!("\n[[fields]]\nto = \"{to}\"\nfrom = \"{from}\"\nrequired = true\n");
    }
    fs::write(home.join("mappings/drivers.toml"), mapping)?;
    let customer = r#"
name = "Acme"
vat  = "BE0999261831"

[sources.erp]
type  = "local"
path  = "../inbox"
ready = { when = "renamed" }

[channels.assignments]
type = "scr"
api  = "wallet"

[[routes]]
source  = "erp"
files   = "*.csv"
mapping = "drivers"
channel = "assignments"
"#;
    fs::write(home.join("customers/acme.toml"), customer)?;
    let provider = format!(
        "environments = [\"local\"]\nenvironment = \"local\"\n\n[scr.wallet]\nurl = \
         \"{server}{PATH}\"\nauth = {{ type = \"none\" }}\n\n[limits]\nfree_disk = \"1 MiB\"\n"
    );
    write_and_load(&home, &provider)
}

/// What the sandbox counted, in words.
fn seen(runtime: &tokio::runtime::Runtime, server: &str) -> anyhow::Result<String> {
    let stats: Stats = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        anyhow::Ok(client.get(format!("{server}/_stats")).send().await?.json().await?)
    })?;
    let ScrStats { accepted, highest_open, overlapping, .. } =
        stats.scr.get(PATH).context("the sandbox knows no SCR API")?;
    Ok(format!("{accepted} carried out, at most {highest_open} open, {overlapping} overlapping"))
}

/// The address of a release, counted from 1.
pub fn address(number: u64) -> String {
    format!("0x{number:040x}")
}
