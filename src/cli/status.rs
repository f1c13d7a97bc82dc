//! `lighterman status`: what is where, and the alarms.

use clap::Args;

use super::{FATAL, LATER, Setting, WELL, state};
use crate::api::status::{self, Status};

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
    let status: Option<Status> =
        state::look(&config, "status", async |ledger, _| status::gather(&ledger, &config).await)
            .await?;
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
