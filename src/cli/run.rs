//! `lighterman run`: the daemon, or one pass.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{FATAL, LATER, PERSON, QUARANTINED, Setting, WELL};
use super::{notify, progress};
use crate::api::control;
use crate::sync::outbox::Writers;
use crate::sync::{self, Receiver};
use crate::worker::{self, Outcome, Span, StateLock, Worker};

/// How long a second process waits for the state.
const LOCK_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct Options {
    /// Take what is ready, settle it, stop
    #[arg(long)]
    once: bool,
    /// How long --once waits for records that are tried again by themselves
    #[arg(long, requires = "once", default_value = "0", value_parser = super::duration, value_name = "TIME")]
    wait: Duration,
    /// Refuse to run while any customer's config is broken
    #[arg(long)]
    strict: bool,
}

pub async fn run(setting: &Setting, options: Options) -> anyhow::Result<u8> {
    let Some(mut config) = setting.load() else { return Ok(FATAL) };
    if options.strict {
        worker::load_mappings(&mut config);
        if !config.broken.is_empty() {
            config.broken.values().for_each(|faults| super::tell(faults));
            return Ok(FATAL);
        }
    }
    // From here on a signal finds its handler.
    let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let hangups = signal(SignalKind::hangup())?;
    let state = config.state.clone();
    let lock = match StateLock::take(&state, LOCK_WITHIN).await? {
        Ok(lock) => lock,
        Err(held) => {
            eprintln!(
                "lighterman: {} is held by {}; nothing was done",
                state.display(),
                if held.by.is_empty() { "another process" } else { &held.by }
            );
            return Ok(LATER);
        }
    };
    let parts = Arc::new(worker::assemble(config)?);
    let stop = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signals(signals, stop.clone()));
    let span = match options.once {
        true => Span::Once { wait: options.wait },
        false => Span::Forever,
    };
    let worker = Worker::start(Arc::clone(&parts), span, stop.clone()).await?;
    let writers = Writers::start(&parts, stop.clone()).await?;
    let control = control::serve(&parts).context("the control socket cannot be opened")?;
    let receiver = match span {
        Span::Forever => Receiver::open(&parts).await?,
        // What parked is looked up once.
        Span::Once { .. } => None,
    };
    let receives = (span == Span::Forever).then(|| {
        let works = tokio::spawn(sync::work_on(Arc::clone(&parts), stop.clone()));
        (receiver.map(|receiver| tokio::spawn(receiver.serve(stop.clone()))), works)
    });
    let hangups = tokio::spawn(reload_on_hangup(hangups, worker.clone(), setting.clone()));
    tracing::info!(environment = %parts.setup().config.environments.current, "Started");
    let shown = progress::show(&parts.ledger).await?;
    let told = notify::ready(&parts.ledger, &worker, &stop).await?;
    let outcome = tokio::select! {
        outcome = worker.run() => outcome?,
        why = parts.ledger.died() => bail!(
            "the ledger failed, and nothing can be noted any more: {why}; start again, and if it \
             fails again: lighterman ledger repair"
        ),
    };
    drop((shown, told));
    if let Some((serves, works)) = receives {
        works.abort();
        let _ = works.await;
        if let Some(serves) = serves {
            let _ = serves.await;
        }
    }
    let unwritten = writers.finish().await;
    let outcome = worker.outcome_with(outcome, unwritten).await?;
    signals.abort();
    hangups.abort();
    let _ = hangups.await;
    control.close().await;
    drop((worker, parts));
    drop(lock);
    // A daemon that was told to stop has done what it was told.
    Ok(match span {
        Span::Forever => WELL,
        Span::Once { .. } => status_of(outcome),
    })
}

fn status_of(outcome: Outcome) -> u8 {
    match outcome {
        Outcome { person_needed: true, .. } => PERSON,
        Outcome { newly_quarantined: 1.., .. } => QUARANTINED,
        Outcome { left: 1.., .. } => LATER,
        _ => WELL,
    }
}

/// SIGHUP: config and secrets are read anew, and what was refused or paused is tried at once.
async fn reload_on_hangup(mut hangup: Signal, worker: Worker, setting: Setting) {
    while hangup.recv().await.is_some() {
        notify::reloading();
        let setting = setting.clone();
        let loaded = tokio::task::spawn_blocking(move || setting.reload());
        if let Ok(loaded) = loaded.await {
            worker.reload(loaded).await;
        }
        notify::reloaded();
    }
}

/// The first SIGTERM or SIGINT stops the work in good order, the second at once.
async fn stop_on_signals(
    (mut terminate, mut interrupt): (Signal, Signal),
    stop: CancellationToken,
) {
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    tracing::info!("Stopping: what is in flight is finished; a second signal stops at once");
    stop.cancel();
    notify::stopping();
    next().await;
    std::process::exit(130);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_status_that_applies_is_told() {
        let outcome = |person_needed, newly_quarantined, left| {
            status_of(Outcome { person_needed, newly_quarantined, left })
        };
        assert_eq!(outcome(true, 1, 1), 4);
        assert_eq!(outcome(false, 1, 1), 3);
        assert_eq!(outcome(false, 0, 1), 75);
        assert_eq!(outcome(false, 0, 0), 0);
    }
}
