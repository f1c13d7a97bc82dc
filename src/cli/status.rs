//! `lighterman status`: what is where, and the alarms.

use std::time::Duration;

use clap::Args;

use super::{FATAL, LATER, Setting, WELL};
use crate::api::control;
use crate::api::status::{self, Status};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::spool::Spool;
use crate::worker::StateLock;

#[derive(Debug, Args)]
pub struct Options {
    /// Only the files whose name holds this
    file: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(setting: &Setting, options: Options) -> anyhow::Result<u8> {
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let status: Option<Status> = match control::ask(&config.state, "status").await? {
        Some(status) => Some(status),
        None => match open_alone(&config).await? {
            Some((_lock, ledger, _)) => Some(status::gather(&ledger, &config).await?),
            None => None,
        },
    };
    let Some(mut status) = status else { return Ok(LATER) };
    if let Some(wanted) = &options.file {
        status.open.retain(|file| file.file.contains(wanted.as_str()));
    }
    match options.json {
        true => println!("{}", serde_json::to_string(&status)?),
        false => print(&status),
    }
    Ok(WELL)
}

/// The ledger of a state that no run holds; none, told on stderr, if one holds it and does not
/// answer.
pub async fn open_alone(config: &Config) -> anyhow::Result<Option<(StateLock, Ledger, Spool)>> {
    match StateLock::take(&config.state, Duration::from_secs(10)).await? {
        Ok(lock) => {
            let spool = Spool::open(&config.state)?;
            let ledger = Ledger::open(&spool.ledger())?;
            Ok(Some((lock, ledger, spool)))
        }
        Err(held) => {
            eprintln!("lighterman: {} is held by {}", config.state.display(), held.by);
            Ok(None)
        }
    }
}

fn print(status: &Status) {
    for (customer, of) in &status.customers {
        let (files, records) = (&of.files, &of.records);
        println!("{customer}");
        println!(
            "  files    {} waiting, {} open, {} answered, {} settled, {} quarantined",
            files.waiting, files.open, files.answered, files.settled, files.quarantined
        );
        println!(
            "  records  {} pending, {} in flight, {} deferred, {} parked",
            records.pending, records.in_flight, records.deferred, records.parked
        );
        println!(
            "           {} delivered, {} quarantined, {} superseded, {} discarded",
            records.delivered, records.quarantined, records.superseded, records.discarded
        );
    }
    for file in &status.open {
        let due = file.due.map(|due| format!(", next try {due}")).unwrap_or_default();
        println!(
            "{} / {}: {} of {} records open{due}",
            file.customer,
            file.file,
            file.records.open(),
            file.records.total()
        );
        for reason in &file.reasons {
            println!("  waits: {reason}");
        }
    }
    for alarm in &status.alarms {
        let channel = alarm.channel.as_deref().map(|name| format!(" / {name}")).unwrap_or_default();
        println!(
            "ALARM {} {}{channel} since {}: {}",
            alarm.kind.word(),
            alarm.customer,
            alarm.since,
            alarm.advice
        );
    }
}
