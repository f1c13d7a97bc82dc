//! `lighterman forget`: takes a customer out, with its account as files.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::{FATAL, LATER, Setting, WELL};
use crate::config::Config;
use crate::disk;
use crate::ledger::renewal::{beside, sync_all};
use crate::ledger::{self, Account, Entry, Phase, Queued, transfer};
use crate::model::Arrival;
use crate::pipeline::document;
use crate::settle::{Kept, Receipt, kept, write_problems};
use crate::spool::Spool;
use crate::worker::StateLock;

#[derive(Debug, Args)]
pub struct Options {
    /// The customer's id
    customer: String,
    /// A folder that is not there yet: its account, receipts, quarantined records and open files
    #[arg(long, value_name = "DIR")]
    export: PathBuf,
    /// Also if files are open or records are quarantined: they are exported, and not sent
    #[arg(long)]
    with_open: bool,
}

/// What the state holds of a customer.
struct Belongings {
    entries: Vec<Entry>,
    /// Releases that its open records keep back, as they are without them.
    freed: Vec<Entry>,
    open: Vec<Account>,
    /// What quarantine keeps.
    rounds: Vec<Kept>,
    /// What waits in its outboxes.
    queued: Vec<Queued>,
}

pub async fn run(setting: &Setting, options: Options) -> anyhow::Result<u8> {
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let _lock = match StateLock::take(&config.state, Duration::ZERO).await? {
        Ok(lock) => lock,
        Err(held) => {
            let state = config.state.display();
            eprintln!("lighterman: {state} is held by {}; stop it first", held.by);
            return Ok(LATER);
        }
    };
    tokio::task::spawn_blocking(move || forget(&config, &options)).await??;
    Ok(WELL)
}

fn forget(config: &Config, options: &Options) -> anyhow::Result<()> {
    let customer = options.customer.as_str();
    may_go(config, customer)?;
    let spool = Spool::open(&config.state)?;
    let belongings = Belongings::gather(&spool, customer)?;
    if belongings.entries.is_empty() && belongings.rounds.is_empty() {
        bail!("the state in {} knows no customer {customer}", config.state.display());
    }
    let (open, kept) = (belongings.open.len(), belongings.rounds.len());
    let waiting = belongings.queued.len();
    if open + kept + waiting > 0 && !options.with_open {
        bail!(
            "{open} files of {customer} are open, {kept} have left something in quarantine, and \
             {waiting} documents wait in its outboxes; let them end first, or export them unsent \
             with --with-open"
        );
    }
    let to = &options.export;
    if fs::symlink_metadata(to).is_ok() {
        bail!("{} is there already; name a folder that is not", to.display());
    }
    // Whole or not at all: what a crash leaves under this name is made anew.
    let part = beside(to, "part");
    disk::remove_folder(&part)?;
    belongings
        .export(&spool, config, customer, &part)
        .with_context(|| format!("{} is not written; nothing was forgotten", to.display()))?;
    disk::rename(&part, to)?;
    disk::sync_folder(to.parent().filter(|at| *at != Path::new("")).unwrap_or(Path::new(".")))?;
    belongings.remove(&spool, customer)?;
    eprintln!("{customer} is forgotten; its account is in {}", to.display());
    Ok(())
}

/// A customer that takes in files is not forgotten.
fn may_go(config: &Config, customer: &str) -> anyhow::Result<()> {
    if let Some(file) = config.customers.get(customer).filter(|customer| customer.active) {
        bail!("{customer} is active; write `active = false` in {} first", file.file.display());
    }
    if config.broken.contains_key(customer) {
        bail!("the config of {customer} has faults; mend it, or take its file out first");
    }
    Ok(())
}

impl Belongings {
    fn gather(spool: &Spool, customer: &str) -> anyhow::Result<Belongings> {
        let mut open = Vec::new();
        transfer::each_entry(&spool.ledger(), &mut |entry| {
            if let Entry::File(account) = entry {
                open.push((**account).clone());
            }
            Ok(())
        })?;
        let under_way: Vec<Arrival> = open.iter().map(|account| account.arrival).collect();
        open.retain(|account| account.customer == customer);
        let mut arrivals: BTreeSet<Arrival> = open.iter().map(|account| account.arrival).collect();
        let mut rounds = Vec::new();
        for arrival in spool.quarantined_arrivals()? {
            let mut of = kept(spool, arrival, &under_way)?;
            of.retain(|round| round.account.customer == customer);
            if !of.is_empty() {
                arrivals.insert(arrival);
            }
            rounds.extend(of);
        }
        // What its open records keep back of releases that others may hold is free.
        let ages: BTreeSet<Arrival> = open
            .iter()
            .map(|account| account.again.map_or(account.arrival, |again| again.age))
            .collect();
        let mut freed = Vec::new();
        let (mut entries, mut queued) = (Vec::new(), Vec::new());
        let login = format!("{customer}/");
        transfer::each_entry(&spool.ledger(), &mut |entry| {
            if let Entry::Release { api, address, age } = entry
                && let Some(age) = age.without(|(arrival, _)| ages.contains(&arrival))
            {
                let (api, address) = (api.clone(), address.clone());
                freed.push(Entry::Release { api, address, age });
            }
            let mine = match entry {
                Entry::Tally { customer: of, .. }
                | Entry::Day { customer: of, .. }
                | Entry::Known { customer: of, .. }
                | Entry::Identity { customer: of, .. } => of == customer,
                Entry::Event(ledger::Event { sender, .. }) | Entry::Sender { sender, .. } => {
                    *sender == format!("cpu/{customer}")
                        || sender.starts_with(&format!("scr/{customer}/"))
                }
                Entry::Subscription { api, .. } => api.starts_with(&format!("{customer}/")),
                Entry::Seen { seen, .. } => seen.customer.as_deref() == Some(customer),
                Entry::Fetched { fetched, .. } => fetched.customer == customer,
                Entry::Invitation { invitation, .. } => invitation.customer == customer,
                Entry::Outbox(outbox) => outbox.customer == customer,
                Entry::Queued(of) if of.customer == customer => {
                    queued.push(of.clone());
                    true
                }
                Entry::Alarm(alarm) => alarm.customer == customer,
                Entry::Login { login: of, .. } => of.starts_with(&login),
                Entry::File(account) => account.customer == customer,
                Entry::Records { arrival, .. }
                | Entry::Waiting { arrival, .. }
                | Entry::Generation { arrival, .. } => arrivals.contains(arrival),
                _ => false,
            };
            if mine {
                entries.push(entry.clone());
            }
            Ok(())
        })?;
        Ok(Belongings { entries, freed, open, rounds, queued })
    }

    fn export(
        &self,
        spool: &Spool,
        config: &Config,
        customer: &str,
        to: &Path,
    ) -> anyhow::Result<()> {
        disk::make_folder(to, 0o700)?;
        let mut account = BufWriter::new(fs::File::create(to.join("account.ndjson"))?);
        for entry in &self.entries {
            serde_json::to_writer(&mut account, entry)?;
            account.write_all(b"\n")?;
        }
        account.flush()?;
        for account in &self.open {
            let folder = to.join("open").join(account.arrival.to_string());
            let data = spool.data(account.arrival);
            if !data.exists() && account.phase == Phase::Claiming {
                bail!(
                    "the claim of {} was broken off; go on with it first: lighterman run --once",
                    account.name
                );
            }
            put(&data, &folder, &account.name)?;
            write_problems(&spool.problems(account.arrival)?, &folder.join("problems.csv"))?;
        }
        for kept in &self.rounds {
            let folder = to.join("quarantine").join(kept.account.arrival.to_string());
            put(&kept.data(spool), &folder, &kept.account.name)?;
            let problems = kept.data(spool).with_file_name("problems.json");
            put(&problems, &folder, "problems.json")?;
        }
        for queued in &self.queued {
            let folder = to.join("outbox").join(queued.outbox.replace('/', "_"));
            // What is gone cannot be written any more, either.
            if let Some(document) = document(spool, &queued.payload)? {
                disk::make_folder(&folder, 0o700)?;
                fs::write(folder.join(format!("{:08}.json", queued.sequence)), document)?;
            }
        }
        let sources = config.customers.get(customer).map(|customer| &customer.sources);
        for source in sources.into_iter().flat_map(|sources| sources.values()) {
            let Ok(receipts) = fs::read_dir(&source.receipts) else { continue };
            for receipt in receipts {
                let receipt = receipt?;
                let name = receipt.file_name().to_string_lossy().into_owned();
                if !name.ends_with(".receipt.json") || !receipt.file_type()?.is_file() {
                    continue;
                }
                // Customers may share a folder.
                let told = serde_json::from_slice::<Receipt>(&fs::read(receipt.path())?);
                let is_mine =
                    |told: Receipt| told.customer == customer && told.source == source.name;
                if told.is_ok_and(is_mine) {
                    let folder = to.join("receipts").join(&source.name);
                    put(&receipt.path(), &folder, &name)?;
                    let verdicts = name.replace(".receipt.json", ".verdicts.csv");
                    let from = receipt.path().with_file_name(&verdicts);
                    if from.is_file() {
                        put(&from, &folder, &verdicts)?;
                    }
                }
            }
        }
        sync_all(to)
    }

    /// First from the ledger, at once; then what lies in the state's folders, which a run removes
    /// too once no account tells of it.
    fn remove(&self, spool: &Spool, customer: &str) -> anyhow::Result<()> {
        transfer::replace(&spool.ledger(), &self.entries, &self.freed)?;
        for account in &self.open {
            spool.remove(account.arrival)?;
        }
        for kept in &self.rounds {
            disk::remove_folder(&spool.quarantined(kept.of))?;
        }
        for queued in &self.queued {
            disk::remove(&spool.payload(&queued.payload))?;
        }
        Ok(disk::remove_folder(&spool.looks(customer, "").with_file_name(""))?)
    }
}

/// Copies a file into a folder, under a name that stays in it.
fn put(from: &Path, folder: &Path, name: &str) -> anyhow::Result<()> {
    disk::make_folder(folder, 0o700)?;
    let name = name.replace('/', "_");
    let to = folder.join(if name == ".." { "file" } else { &name });
    fs::copy(from, &to).with_context(|| format!("{} cannot be copied", from.display()))?;
    Ok(())
}
