//! Progress of a run: a line on the terminal that goes with the work, and the log's lines above it.
//! Where stderr is no terminal, a line in the log now and then.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use super::sum::Sum;
use crate::ledger::Ledger;

/// How often the terminal's line is drawn anew.
const PACE: Duration = Duration::from_millis(250);

/// How often the log tells how far the work is, while there is any.
const LOG_PACE: Duration = Duration::from_secs(60);

/// The line, once there is one: what is logged must go above it.
static LINE: OnceLock<ProgressBar> = OnceLock::new();

/// Where the log's lines go.
pub struct LogLines;

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match LINE.get() {
            Some(bar) => bar.suspend(|| io::stderr().write_all(line)),
            None => io::stderr().write_all(line),
        }?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What is shown while a run works; it goes when this is dropped.
pub struct Progress(JoinHandle<()>);

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.abort();
        if let Some(bar) = LINE.get() {
            bar.finish_and_clear();
        }
    }
}

/// Begins to show how far a run is, unless the log is to be quiet. What was settled before does not
/// count.
pub async fn show(ledger: &Ledger) -> anyhow::Result<Option<Progress>> {
    if !tracing::enabled!(tracing::Level::INFO) {
        return Ok(None);
    }
    let before = Sum::of(&ledger.summary().await?);
    let ledger = ledger.clone();
    Ok(Some(Progress(match io::stderr().is_terminal() {
        true => tokio::spawn(draw(ledger, before)),
        false => tokio::spawn(log(ledger, before)),
    })))
}

async fn draw(ledger: Ledger, before: Sum) {
    let bar = LINE.get_or_init(|| ProgressBar::with_draw_target(Some(0), target()));
    let style = "{spinner} {msg} {wide_bar} {percent:>3} % {per_sec} {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style.with_key(
            "per_sec",
            |state: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
                // What cannot be drawn is left out.
                let _ = write!(text, "{:.0} records/s", state.per_sec());
            },
        ));
    }
    loop {
        let Ok(summary) = ledger.summary().await else { return };
        let sum = Sum::of(&summary);
        let (done, total) = sum.since(&before);
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(sum.told(&before));
        bar.tick();
        tokio::time::sleep(PACE).await;
    }
}

fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr_with_hz(8)
}

async fn log(ledger: Ledger, before: Sum) {
    loop {
        tokio::time::sleep(LOG_PACE).await;
        let Ok(summary) = ledger.summary().await else { return };
        let sum = Sum::of(&summary);
        if sum.records.pending + sum.records.in_flight > 0 {
            let (done, total) = sum.since(&before);
            tracing::info!("Working: {}; {done} of {total} records done", sum.told(&before));
        }
    }
}
