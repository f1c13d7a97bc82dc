//! `lighterman demo`: the main job on the samples, against the built-in stand-in of the port's
//! servers, in a temporary folder.

mod report;
mod samples;
mod way_back;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::report::Report;
use self::way_back::WayBack;
use super::{FATAL, WELL};
use crate::config;
use crate::sandbox::{Sandbox, World};
use crate::worker::{self, Span};

/// A file of rejected records that the demo leaves, and where it can be dropped again.
const REJECTS: &str = "inbox/kraanvogel-forwarding/rejects/RELEASE_20261120_0615.csv";
/// An address at which the system chooses the port.
const ANY_PORT: &str = "127.0.0.1:0";
const INBOX: &str = "inbox/kraanvogel-forwarding/";

/// Exit status: stopped by a signal, as shells tell of it.
const STOPPED: u8 = 130;

#[derive(Debug, Args)]
pub struct Options {
    /// Keep the folder that the demo worked in
    #[arg(long)]
    keep: bool,
}

pub async fn run(options: Options) -> anyhow::Result<u8> {
    let folder = tempfile::Builder::new()
        .prefix("lighterman-demo-")
        .tempdir()
        .context("there is no place for the demo's folder")?;
    samples::copy_to(folder.path())?;
    let world: World = serde_json::from_str(world()).context("the samples' world")?;
    let sandbox = Sandbox::start(world, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    // A demo that is stopped removes its folder all the same.
    let stop = stop_on_signal()?;
    let report = work(folder.path(), &sandbox, &stop).await;
    sandbox.stop().await;
    let code = match report {
        _ if stop.is_cancelled() => STOPPED,
        Ok((report, back)) => {
            print(&report.text(options.keep))?;
            print(&back.text())?;
            if report.faults.is_empty() { WELL } else { FATAL }
        }
        Err(error) => {
            eprintln!("lighterman: the demo failed: {error:#}");
            FATAL
        }
    };
    match options.keep {
        true => print(&keep(folder)?)?,
        false => folder.close().context("the demo's folder cannot be removed")?,
    }
    Ok(code)
}

/// What exists at the stand-in of the port's servers in the samples, as JSON.
pub fn world() -> &'static str {
    samples::WORLD
}

/// One pass over the samples, what came of it, and what came back.
async fn work(
    folder: &Path,
    sandbox: &Sandbox,
    stop: &CancellationToken,
) -> anyhow::Result<(Report, WayBack)> {
    let address = sandbox.addr().to_string();
    samples::point_at(folder, samples::ADDRESS, &address)?;
    samples::point_at(folder, samples::RECEIVER, ANY_PORT)?;
    let loaded = config::load(Some(&folder.join("lighterman.toml")), Some("sandbox"));
    let config = match loaded {
        Ok(loaded) => loaded.config,
        Err(faults) => {
            super::tell(&faults);
            anyhow::bail!("the samples' config cannot be used");
        }
    };
    let parts = Arc::new(worker::assemble(config)?);
    let span = Span::Once { wait: Duration::ZERO };
    worker::run(Arc::clone(&parts), span, stop.clone()).await?;
    let report = Report::gather(folder, &parts, &sandbox.stats()).await?;
    let back = way_back::take(folder, &parts, sandbox, stop).await.context("the way back")?;
    // From here on the folder is a setup like any other, for a stand-in at its usual place.
    samples::point_at(folder, &address, samples::ADDRESS)?;
    samples::point_at(folder, ANY_PORT, samples::RECEIVER)?;
    Ok((report, back))
}

/// A token that the first SIGINT or SIGTERM cancels.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stopped.cancel();
    });
    Ok(stop)
}

/// Prints; a reader who has gone is no fault.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Keeps the folder, and says what can be done there.
fn keep(folder: TempDir) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let folder = folder.keep();
    writeln!(text, "\nThe folder is kept: {}\n\nWhat to try next:\n", folder.display())?;
    if let Some(program) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        writeln!(text, "  PATH={}:$PATH", program.display())?;
    }
    writeln!(text, "  cd {}", folder.display())?;
    for (purpose, command) in [
        ("what is where, and what was set aside", "lighterman status"),
        ("", "lighterman quarantine list"),
        ("the stand-in again", "lighterman sandbox &"),
        ("what a file would become; nothing is sent", &format!("lighterman preview {REJECTS}")),
        ("correct a record in it, drop it again", &format!("mv {REJECTS} {INBOX}")),
        ("take it in, and look the parked records up again", "lighterman run --once"),
    ] {
        if !purpose.is_empty() {
            writeln!(text, "\n  # {purpose}")?;
        }
        writeln!(text, "  {command}")?;
    }
    Ok(String::from_utf8(text)?)
}
