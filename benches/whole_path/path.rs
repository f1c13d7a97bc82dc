//! Path: the whole program on the large file, as `run --once` works it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use lighterman::config::Config;
use lighterman::worker::{self, Outcome, Span};
use tokio_util::sync::CancellationToken;

use crate::files::{CUSTOMER, Files, drop_in, size_below};
use crate::measure::{Figures, Meter, threads};

/// From the file in its folder to its receipt.
pub fn run(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let config = files.provider("whole", server)?;
    drop_in(files, &config, "ORDERS.csv")?;
    let ledger = config.state.join("ledger");
    let watch = LedgerWatch::start(ledger);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let meter = Meter::start();
    let (outcome, delivered, by_thread) = runtime.block_on(once(config))?;
    let mut figures = meter.stop(delivered);
    (figures.ledger_peak, figures.ledger_end) = watch.stop();
    figures.threads = by_thread;
    if outcome != Outcome::default() {
        bail!("the run left something behind: {outcome:?}");
    }
    Ok(figures)
}

async fn once(config: Config) -> anyhow::Result<(Outcome, u64, Vec<(String, f64)>)> {
    let parts = Arc::new(worker::assemble(config)?);
    let span = Span::Once { wait: Duration::ZERO };
    let outcome = worker::run(Arc::clone(&parts), span, CancellationToken::new()).await?;
    let delivered =
        parts.ledger.summary().await?.get(CUSTOMER).map_or(0, |tally| tally.records.delivered);
    Ok((outcome, delivered, threads()))
}

/// Looks at the ledger's size while it grows.
struct LedgerWatch {
    folder: PathBuf,
    peak: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl LedgerWatch {
    fn start(folder: PathBuf) -> LedgerWatch {
        let watch = LedgerWatch { folder, peak: Arc::default(), ended: Arc::default() };
        let (folder, peak, ended) =
            (watch.folder.clone(), Arc::clone(&watch.peak), Arc::clone(&watch.ended));
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                peak.fetch_max(size_below(&folder), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        watch
    }

    fn stop(self) -> (u64, u64) {
        self.ended.store(true, Ordering::Relaxed);
        let end = size_below(&self.folder);
        (self.peak.load(Ordering::Relaxed).max(end), end)
    }
}
