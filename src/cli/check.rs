//! `lighterman check`: everything that can be known to be wrong before a run.

use clap::Args;
use jiff::Timestamp;
use rustix::fs::{Access, access};

use super::{FATAL, Setting, WELL, connect};
use crate::api::control;
use crate::api::status::{self, Status};
use crate::config::{ChannelKind, Config, Folder, ScrAuth};
use crate::remote::jwt::Signer;
use crate::schedule::{Crontab, Schedule};
use crate::{sync, worker};

#[derive(Debug, Args)]
pub struct Options {
    /// Log in everywhere, too
    #[arg(long)]
    connect: bool,
    /// The provider's own file only: a broken customer does not stop the others
    #[arg(long, conflicts_with = "connect")]
    provider: bool,
}

pub async fn run(setting: &Setting, options: Options) -> anyhow::Result<u8> {
    let loaded = if options.provider { setting.load_provider() } else { setting.load() };
    let Some(mut config) = loaded else { return Ok(FATAL) };
    let mappings = worker::load_mappings(&mut config);
    let mut wrong = 0;
    for faults in config.broken.values() {
        wrong += faults.len();
        super::tell(faults);
    }
    for (name, api) in &config.scr {
        if matches!(api.auth, ScrAuth::SignedJwt { .. })
            && let Err(error) = Signer::open(&api.auth)
        {
            wrong += 1;
            eprintln!("{}: [scr.{name}]: {error:#}", config.file.display());
        }
    }
    for (name, error) in sync::unproven(&config.scr) {
        wrong += 1;
        eprintln!("{}: [scr.{name}] callback: {error:#}", config.file.display());
    }
    let (channels, failed) =
        crate::deliver::open(&config, &Default::default(), &Default::default());
    for (customer, error) in &failed {
        wrong += 1;
        eprintln!("{customer}: {error:#}");
    }
    for (id, customer) in &config.customers {
        for source in customer.sources.values() {
            if let Some(Schedule::Crontab(crontab)) = &source.schedule {
                println!("{id} / {}: looked into at {}", source.name, next_times(crontab));
            }
        }
    }
    wrong += unwritable(&config);
    if options.connect {
        wrong += connect::everywhere(&config, &channels).await?;
    }
    for (api, advice) in unheard(&config).await {
        eprintln!("hint: [scr.{api}]: {advice}");
    }
    if wrong > 0 {
        eprintln!("{wrong} problems");
        return Ok(FATAL);
    }
    if options.provider {
        println!(
            "{}: the provider's file is well, environment {}",
            config.file.display(),
            config.environments.current
        );
        return Ok(WELL);
    }
    let scr = config
        .customers
        .values()
        .flat_map(|customer| customer.channels.values())
        .filter(|channel| matches!(channel.kind, ChannelKind::Scr(_)))
        .count();
    println!(
        "{}: all is well: {} customers, {} channels ({scr} to SCR), {} mappings, environment {}",
        config.file.display(),
        config.customers.len(),
        channels.len(),
        mappings.len(),
        config.environments.current
    );
    Ok(WELL)
}

/// What is to be done so that SCR APIs call us: as a run knows it, or where nothing was done yet. The
/// ledger is not opened for it: a check may be made by any user.
async fn unheard(config: &Config) -> Vec<(String, String)> {
    let known = match control::ask(&config.state, "status").await {
        Ok(Some(Status { subscriptions, .. })) => subscriptions,
        _ if !config.state.exists() => {
            status::subscriptions(config, Default::default(), &Default::default())
        }
        _ => return Vec::new(),
    };
    known.into_iter().filter_map(|(api, of)| Some((api, of.advice?))).collect()
}

/// Tells the outboxes whose folder cannot be written; one that is not there has been told.
fn unwritable(config: &Config) -> usize {
    let mut wrong = 0;
    for customer in config.customers.values() {
        for outbox in customer.outboxes.values() {
            let Folder::Local(folder) = &outbox.folder else { continue };
            let may = access(folder, Access::WRITE_OK | Access::EXEC_OK);
            if folder.is_dir()
                && let Err(error) = may
            {
                wrong += 1;
                eprintln!(
                    "{}: the folder {} of the outbox {} cannot be written: {}",
                    customer.file.display(),
                    folder.display(),
                    outbox.name,
                    std::io::Error::from(error)
                );
            }
        }
    }
    wrong
}

/// When a source is looked into next, by the clock of its time zone.
fn next_times(crontab: &Crontab) -> String {
    let next = std::iter::successors(crontab.next(Timestamp::now()), |last| crontab.next(*last));
    let shown = |time: Timestamp| {
        time.to_zoned(crontab.zone().clone()).strftime("%a %F %T %:z").to_string()
    };
    next.take(3).map(shown).collect::<Vec<_>>().join(", ")
}
