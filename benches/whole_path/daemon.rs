//! Daemon: what `run` without `--once` costs: how soon a small file is on its way, what it takes
//! to start with many customers, and to do nothing for them.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use lighterman::config::Config;
use lighterman::worker::{self, Outcome, Span};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::files::{CUSTOMER, Files, customer, load};
use crate::measure::{Figures, Meter, now};
use crate::records;
use crate::server::counted;

/// Customers of the provider that has many.
const CUSTOMERS: usize = 1000;
/// Small files that are sent one by one.
const FILES: usize = 100;
/// How long nothing is done.
const IDLE: Duration = Duration::from_secs(20);

/// From the rename of a file of one record to its message at the server.
pub fn latency(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let config = files.provider("latency", server)?;
    let inbox = config.customers.get(CUSTOMER).and_then(|customer| customer.sources.get("erp"));
    let inbox = inbox
        .context("the customer has no source")?
        .local_folder()
        .context("it is not local")?
        .to_owned();
    let mut record = Vec::new();
    records::write(1, &mut record)?;
    let daemon = Daemon::start(config)?;
    let meter = Meter::start();
    let mut waits = Vec::new();
    for number in 0..FILES {
        // Each file has an identity of its own.
        let mut text = record.clone();
        text.extend(format!("{number:010};").bytes());
        text.extend(&record[records::HEADER.len() + 12..]);
        let (part, whole) = (inbox.join(".part"), inbox.join(format!("ORDER_{number}.csv")));
        fs::write(&part, text)?;
        let renamed = now();
        fs::rename(part, whole)?;
        let seen = loop {
            let seen = counted(server)?;
            if seen.messages > number as u64 {
                break seen;
            }
            if now() - renamed > 30.0 {
                bail!("file {number} did not arrive");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        waits.push(1000.0 * (seen.last - renamed));
        // Its results are written before the next comes.
        std::thread::sleep(Duration::from_millis(30));
    }
    let figures = meter.stop(FILES as u64);
    daemon.stop()?;
    waits.sort_by(f64::total_cmp);
    let note = format!(
        "from rename to message: {:.1} ms at best, {:.1} ms at the median, {:.1} ms at the worst",
        waits[0],
        waits[FILES / 2],
        waits[FILES - 1]
    );
    Ok(Figures { note, ..figures })
}

/// Loads the config of many customers and looks into all their folders once.
pub fn start(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let home = many(files)?;
    let runtime = runtime()?;
    let meter = Meter::start();
    let config = load(&home, server)?;
    let loaded = meter.stop(0).seconds;
    let parts = Arc::new(worker::assemble(config)?);
    let assembled = meter.stop(0).seconds;
    let span = Span::Once { wait: Duration::ZERO };
    runtime.block_on(worker::run(parts, span, CancellationToken::new()))?;
    let note = format!(
        "{CUSTOMERS} customers: config after {loaded:.2} s, mappings and channels after \
         {assembled:.2} s"
    );
    Ok(Figures { note, ..meter.stop(CUSTOMERS as u64) })
}

/// Watches the folders of many customers, in which nothing happens.
pub fn idle(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let home = many(files)?;
    let daemon = Daemon::start(load(&home, server)?)?;
    std::thread::sleep(Duration::from_secs(2));
    let meter = Meter::start();
    std::thread::sleep(IDLE);
    let figures = meter.stop(CUSTOMERS as u64);
    daemon.stop()?;
    let note = format!(
        "{CUSTOMERS} folders: {:.2} % of a core over {} s",
        100.0 * figures.cpu / figures.seconds,
        IDLE.as_secs()
    );
    Ok(Figures { note, ..figures })
}

fn many(files: &Files) -> anyhow::Result<std::path::PathBuf> {
    let home = files.home("many")?;
    for number in 0..CUSTOMERS {
        customer(&home, &format!("customer-{number:04}"))?;
    }
    Ok(home)
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The program at work until it is told to stop.
struct Daemon {
    runtime: Runtime,
    stop: CancellationToken,
    run: JoinHandle<anyhow::Result<Outcome>>,
}

impl Daemon {
    fn start(config: Config) -> anyhow::Result<Daemon> {
        let runtime = runtime()?;
        let stop = CancellationToken::new();
        let parts = Arc::new(worker::assemble(config)?);
        let run = runtime.spawn(worker::run(parts, Span::Forever, stop.clone()));
        // The folders are watched from soon after the start.
        std::thread::sleep(Duration::from_millis(500));
        Ok(Daemon { runtime, stop, run })
    }

    fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.runtime.block_on(self.run)?.map(drop)
    }
}
