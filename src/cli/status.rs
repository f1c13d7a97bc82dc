//! `lighterman status`: what is where, and the alarms.

use std::fmt::Write;

use clap::Args;

use super::reach::{Reached, reach};
use super::{FATAL, LATER, Setting, WELL, say};
use crate::api::status::{self, Registered, Status};
use crate::deliver::{Channels, InUse};
use crate::pickup::{Sights, Waiting};

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
    let mut status: Status = match reach(&config, "status").await? {
        Reached::Answer(status) => status,
        // Nothing is under way.
        Reached::State(state) => {
            let (channels, waiting, sights) =
                (Channels::default(), Waiting::default(), Sights::default());
            status::gather(&state.ledger, &config, &channels, &waiting, &sights).await?
        }
        Reached::Nobody => return Ok(LATER),
    };
    if let Some(wanted) = &options.file {
        status.open.retain(|file| file.file.contains(wanted.as_str()));
    }
    match options.json {
        true => say(&format!("{}\n", serde_json::to_string(&status)?))?,
        false => say(&shown(&status)?)?,
    }
    Ok(WELL)
}

fn shown(status: &Status) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (customer, of) in &status.customers {
        let (files, records) = (&of.files, &of.records);
        writeln!(text, "{customer}")?;
        writeln!(
            text,
            "  files    {} waiting, {} open, {} answered, {} settled, {} quarantined",
            files.waiting, files.open, files.answered, files.settled, files.quarantined
        )?;
        writeln!(
            text,
            "  records  {} pending, {} in flight, {} deferred, {} parked",
            records.pending, records.in_flight, records.deferred, records.parked
        )?;
        writeln!(
            text,
            "           {} delivered, {} quarantined, {} superseded, {} discarded",
            records.delivered, records.quarantined, records.superseded, records.discarded
        )?;
        if of.requests != InUse::default() {
            let InUse { open, waiting } = of.requests;
            writeln!(text, "  requests {open} open, {waiting} waiting for their turn")?;
        }
        for (source, sight) in &of.sources {
            if let Some(next) = sight.next_look {
                let last = sight.last_look.map(|last| format!(", last {last:.0}"));
                writeln!(text, "  {source}: next look {next:.0}{}", last.unwrap_or_default())?;
            }
            if let Some(error) = &sight.last_error {
                writeln!(text, "  {source}: {error}")?;
            }
        }
        for (outbox, of) in &of.outboxes {
            let since = of.oldest.map(|oldest| format!(" since {oldest:.0}")).unwrap_or_default();
            let discarded = match of.discarded {
                0 => String::new(),
                count => format!(", {count} discarded"),
            };
            writeln!(
                text,
                "  outbox {outbox}: {} waiting{since}, {} of them refused, last written {}{discarded}",
                of.waiting, of.refused, of.last_written
            )?;
        }
    }
    for (sender, of) in &status.notifications {
        let last = of.last;
        writeln!(
            text,
            "notifications {sender}: last {last:.0}, {} open, {} kept",
            of.open, of.kept
        )?;
    }
    for (api, of) in &status.subscriptions {
        for (event_type, Registered { url, at }) in &of.registered {
            writeln!(text, "subscription {api}: {event_type} to {url}, registered {at:.0}")?;
        }
        if let Some(advice) = &of.advice {
            writeln!(text, "subscription {api}: {advice}")?;
        }
    }
    for file in &status.open {
        let due = file.due.map(|due| format!(", next try {due}")).unwrap_or_default();
        writeln!(
            text,
            "{} / {}: {} of {} records open{due}",
            file.customer,
            file.file,
            file.records.open(),
            file.records.total()
        )?;
        for reason in &file.reasons {
            writeln!(text, "  waits: {reason}")?;
        }
    }
    for alarm in &status.alarms {
        let channel = alarm.channel.as_deref().map(|name| format!(" / {name}")).unwrap_or_default();
        writeln!(
            text,
            "ALARM {} {}{channel} since {}: {}",
            alarm.kind.word(),
            alarm.customer,
            alarm.since,
            alarm.advice
        )?;
    }
    Ok(text)
}
