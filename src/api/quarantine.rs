//! What was set aside: the records of open files and of settled ones, with their reasons; and what
//! a person makes of them.

mod aside;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use self::aside::{Aside, select};
use self::text::Texts;
use super::selection::Selection;
use crate::config::{Config, Environments, Fault};
use crate::ledger::{Account, Ledger, Ordinals, WHOLE};
use crate::model::{Arrival, Level, Problem};
use crate::pipeline::again::{self, Desk, Way};
use crate::pipeline::pinned_mapping;
use crate::settle::Kept;
use crate::spool::Spool;
use crate::worker::load_mappings;

/// Exit statuses (design, section 4.3), the same with and without a daemon.
const USAGE: u8 = 2;
const PERSON: u8 = 4;
const LATER: u8 = 75;

/// How many records are shown at most.
const SHOWN: usize = 10_000;

/// One reason why one record, or a whole file (record 0), was set aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetAside {
    /// The customer's id.
    pub customer: String,
    /// The file's name.
    pub file: String,
    /// The pick-up's number.
    pub arrival: Arrival,
    /// What is wrong.
    #[serde(flatten)]
    pub problem: Problem,
}

/// One record, or a whole file (record 0), with all that is wrong with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The customer's id.
    pub customer: String,
    /// The file's name.
    pub file: String,
    /// The pick-up's number.
    pub arrival: Arrival,
    /// The record's ordinal.
    pub record: u64,
    /// The line on which it starts.
    pub line: u64,
    /// The record as it came, shortened, without personal data; none of a whole file.
    pub text: Option<String>,
    /// All that is wrong with it, warnings too.
    pub problems: Vec<Problem>,
}

/// What a command did with the set aside records of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The customer's id.
    pub customer: String,
    /// The file's name.
    pub file: String,
    /// The pick-up's number.
    pub arrival: Arrival,
    /// How many records it was about; 0: the file as a whole.
    pub records: u64,
    /// The pick-up's number under which they are worked again, if they are.
    pub round: Option<Arrival>,
    /// Why nothing was done, if nothing was.
    pub refused: Option<Refused>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// For people.
    pub why: String,
    /// The exit status that it comes to.
    pub code: u8,
}

/// Lists the reasons of what a selection picks, in the order of arrival and record.
pub async fn list(
    ledger: &Ledger,
    spool: &Spool,
    selection: &Selection,
) -> anyhow::Result<Vec<SetAside>> {
    let mut all = Vec::new();
    for (Aside { customer, file, arrival, mut problems, .. }, records) in
        select(ledger, spool, selection).await?
    {
        let problems = records.iter().filter_map(|record| problems.remove(record)).flatten();
        for problem in problems.filter(|problem| {
            let meant = selection.rule.as_ref().is_none_or(|rule| problem.rule == *rule);
            problem.level == Level::Reject && meant
        }) {
            all.push(SetAside { customer: customer.clone(), file: file.clone(), arrival, problem });
        }
    }
    Ok(all)
}

/// Shows the records that a selection picks, with what they look like.
pub async fn show(
    ledger: &Ledger,
    spool: &Spool,
    environments: &Environments,
    selection: &Selection,
) -> anyhow::Result<Vec<Shown>> {
    let mut all = Vec::new();
    for (aside, records) in select(ledger, spool, selection).await? {
        let (spool, environments) = (spool.clone(), environments.clone());
        let (aside, records, Texts { mut texts, personal }) =
            tokio::task::spawn_blocking(move || {
                let texts = text::of(&spool, &environments, &aside, &records);
                texts.map(|texts| (aside, records, texts))
            })
            .await??;
        for record in records {
            let mut problems = aside.problems.get(&record).cloned().unwrap_or_default();
            for problem in problems.iter_mut().filter(|one| personal.contains(&one.field)) {
                let value = std::mem::take(&mut problem.value);
                if !value.is_empty() {
                    problem.advice = problem.advice.replace(&value, text::HIDDEN);
                }
            }
            all.push(Shown {
                customer: aside.customer.clone(),
                file: aside.file.clone(),
                arrival: aside.arrival,
                record,
                line: problems.first().map_or(0, |problem| problem.line),
                text: texts.remove(&record),
                problems,
            });
            if all.len() == SHOWN {
                return Ok(all);
            }
        }
    }
    Ok(all)
}

/// Discards the records that a selection picks: a person does not want them any more.
pub async fn discard(
    ledger: &Ledger,
    spool: &Spool,
    selection: &Selection,
) -> anyhow::Result<Vec<Done>> {
    let mut all = Vec::new();
    let selected = match select_to_act(ledger, spool, selection).await? {
        Ok(selected) => selected,
        Err(refused) => return Ok(refused),
    };
    for (aside, records) in selected {
        let Aside { customer, file, arrival, open, .. } = aside;
        let refused = match open {
            Some(_) => Some(Refused::open(&file)),
            None => {
                let (of, ranges) = (customer.clone(), ranges(&records));
                let done = ledger.change(move |store| store.discard(&of, arrival, &ranges)).await;
                done.err().map(Refused::from)
            }
        };
        if refused.is_none() {
            tracing::info!(customer = %customer, file.name = %file, "Discarded by a person");
        }
        let records = records.iter().filter(|record| **record != WHOLE).count() as u64;
        all.push(Done { customer, file, arrival, records, round: None, refused });
    }
    again::tidy(ledger, spool, spool.quarantined_arrivals()?).await?;
    Ok(all)
}

/// Works the records that a selection picks once more, by today's mapping and tables.
pub async fn retry(desk: &Desk, selection: &Selection) -> anyhow::Result<Vec<Done>> {
    let mut all = Vec::new();
    let selected = match select_to_act(&desk.ledger, &desk.spool, selection).await? {
        Ok(selected) => selected,
        Err(refused) => return Ok(refused),
    };
    for (aside, records) in selected {
        let Aside { customer, file, arrival, rounds, open, .. } = &aside;
        let mut by_round: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for record in records {
            // An open file has no rounds yet.
            by_round.entry(aside.round_of(record).unwrap_or(0)).or_default().push(record);
        }
        for (round, records) in by_round {
            let tried = match (open, rounds.get(round)) {
                (None, Some(kept)) => retry_round(desk, &aside, kept, &records).await,
                _ => Err(Refused::open(file).into()),
            };
            let records = records.iter().filter(|record| **record != WHOLE).count() as u64;
            let (round, refused) = match tried {
                Ok(account) => {
                    tracing::info!(customer = %customer, file.name = %file, "Tried again by a person");
                    (Some(account.arrival), None)
                }
                Err(error) => (None, Some(Refused::from(error))),
            };
            let (customer, file) = (customer.clone(), file.clone());
            all.push(Done { customer, file, arrival: *arrival, records, round, refused });
        }
    }
    let kept = desk.spool.quarantined_arrivals()?;
    again::tidy(&desk.ledger, &desk.spool, kept).await?;
    Ok(all)
}

async fn retry_round(
    desk: &Desk,
    aside: &Aside,
    kept: &Kept,
    records: &[u64],
) -> anyhow::Result<Account> {
    let way = way_of(desk, &aside.customer, &aside.source, &aside.file).await?;
    if kept.is_whole() {
        return again::restart(desk, kept).await;
    }
    let (of, source) = (aside.customer.clone(), aside.source.clone());
    let (original, round) = (kept.stock.original, kept.account.arrival);
    let later = desk
        .ledger
        .change(move |store| store.settled(&of, &source, &original))
        .await?
        .filter(|later| later.arrival > round);
    if let Some(later) = later {
        anyhow::bail!(
            "the same bytes came once more as {} (arrival {}), and these records were tried with \
             it; discard them here",
            later.name,
            later.arrival
        );
    }
    let pinned = kept.account.pinned.as_ref().context("nothing is known of how it was read")?;
    let environments = &desk.config.environments;
    let (spool, environments) = (desk.spool.clone(), environments.clone());
    let bundle = pinned.bundle.clone();
    let dialect = tokio::task::spawn_blocking(move || {
        pinned_mapping(&spool, &environments, &bundle).map(|mapping| mapping.dialect)
    })
    .await??;
    again::retry(desk, way, kept, dialect, &ranges(records)).await
}

/// The way that a file of this name takes today, with its mapping as it lies on disk.
pub async fn way_of(desk: &Desk, customer: &str, source: &str, file: &str) -> anyhow::Result<Way> {
    let config = Arc::clone(&desk.config);
    let of = [customer, source, file].map(str::to_owned);
    // Mappings and their tables may be large.
    tokio::task::spawn_blocking(move || {
        let [customer, source, file] = &of;
        load_way(&config, customer, source, file)
    })
    .await?
}

fn load_way(config: &Config, customer: &str, source: &str, file: &str) -> anyhow::Result<Way> {
    let told = |faults: &[Fault]| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the config of {customer} cannot be used: {}", faults.join("; "))
    };
    let mut config = config.clone();
    if let Some(faults) = config.broken.get(customer) {
        return Err(told(faults));
    }
    config.customers.retain(|id, _| id == customer);
    let Some(of) = config.customers.get(customer).cloned() else {
        anyhow::bail!("there is no customer {customer} in the config");
    };
    let route = of.route(source, file).cloned();
    let route = route.with_context(|| {
        format!("no route of source {source} matches this name; add one to {}", of.file.display())
    })?;
    let mappings = load_mappings(&mut config);
    if let Some(faults) = config.broken.get(customer) {
        return Err(told(faults));
    }
    let pinnable = mappings.get(&route.mapping).cloned();
    let pinnable =
        pinnable.with_context(|| format!("the mapping \"{}\" is not loaded", route.mapping))?;
    Ok(Way { customer: of, route, pinnable })
}

impl Refused {
    /// Nothing can be done yet with records of an open file.
    pub fn open(name: &str) -> Refused {
        let why = format!(
            "{name} is still open: some of its records wait (lighterman status); ask again when it \
             is settled"
        );
        Refused { why, code: LATER }
    }

    /// Something else is to be asked.
    pub fn usage(why: &str) -> Refused {
        Refused { why: why.to_owned(), code: USAGE }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refused {}

impl From<anyhow::Error> for Refused {
    /// Whatever else stands in the way, a person is to remove it.
    fn from(error: anyhow::Error) -> Refused {
        let why = format!("{error:#}");
        error.downcast().unwrap_or(Refused { why, code: PERSON })
    }
}

/// What a selection picks to do something with it: numbers of records are those of one file.
async fn select_to_act(
    ledger: &Ledger,
    spool: &Spool,
    selection: &Selection,
) -> anyhow::Result<Result<Vec<(Aside, Vec<u64>)>, Vec<Done>>> {
    let all = select(ledger, spool, selection).await?;
    if selection.records.is_none() || all.len() < 2 {
        return Ok(Ok(all));
    }
    let arrivals: Vec<String> = all.iter().map(|(aside, _)| aside.arrival.to_string()).collect();
    let why = format!(
        "records are numbered by file, and several are meant: arrivals {}; say --file with one of \
         them",
        arrivals.join(", ")
    );
    let refused = |(Aside { customer, file, arrival, .. }, _)| {
        let refused = Some(Refused::usage(&why));
        Done { customer, file, arrival, records: 0, round: None, refused }
    };
    Ok(Err(all.into_iter().map(refused).collect()))
}

/// Numbers in order as ranges, both ends inclusive.
fn ranges(records: &[u64]) -> Vec<(u64, u64)> {
    let mut set = Ordinals::default();
    for record in records {
        set.insert(*record, *record);
    }
    set.ranges()
}
