//! What was set aside: the records of open files and of settled ones, with their reasons; and what
//! a person makes of them.

mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::selection::Selection;
use crate::config::Environments;
use crate::ledger::{Account, Ledger, Ordinals, Phase, WHOLE};
use crate::model::{Arrival, Level, Problem};
use crate::settle::Kept;
use crate::spool::Spool;

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
    /// Why nothing was done, if nothing was.
    pub refused: Option<String>,
}

/// What is set aside of one file.
pub struct Aside {
    /// The file's account.
    pub account: Account,
    /// What is kept of it, once it is settled.
    pub kept: Option<Kept>,
    /// The records that are set aside now; [`WHOLE`] for a whole file.
    pub left: Ordinals,
    /// What is wrong with them, by record.
    pub problems: BTreeMap<u64, Vec<Problem>>,
}

/// Lists the reasons of what a selection picks, in the order of arrival and record.
pub async fn list(
    ledger: &Ledger,
    spool: &Spool,
    selection: &Selection,
) -> anyhow::Result<Vec<SetAside>> {
    let mut all = Vec::new();
    for (Aside { account, mut problems, .. }, records) in select(ledger, spool, selection).await? {
        let problems = records.iter().filter_map(|record| problems.remove(record)).flatten();
        for problem in problems.filter(|problem| {
            let meant = selection.rule.as_ref().is_none_or(|rule| problem.rule == *rule);
            problem.level == Level::Reject && meant
        }) {
            all.push(SetAside {
                customer: account.customer.clone(),
                file: account.name.clone(),
                arrival: account.arrival,
                problem,
            });
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
        let mut texts = {
            let (spool, environments) = (spool.clone(), environments.clone());
            let records = records.clone();
            let (account, kept) = (aside.account.clone(), aside.kept.clone());
            tokio::task::spawn_blocking(move || {
                text::of(&spool, &environments, &account, kept.as_ref(), &records)
            })
            .await??
        };
        for record in records {
            let problems = aside.problems.get(&record).cloned().unwrap_or_default();
            all.push(Shown {
                customer: aside.account.customer.clone(),
                file: aside.account.name.clone(),
                arrival: aside.account.arrival,
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
    for (aside, records) in select(ledger, spool, selection).await? {
        let Account { customer, name, arrival, .. } = aside.account.clone();
        let refused = match aside.kept {
            None => Some(still_open(&name)),
            Some(_) => {
                let (of, ranges) = (customer.clone(), ranges(&records));
                let done = ledger.change(move |store| store.discard(&of, arrival, &ranges)).await;
                done.err().map(|error| format!("{error:#}"))
            }
        };
        if refused.is_none() {
            tracing::info!(customer = %customer, file.name = %name, "Discarded by a person");
        }
        let records = records.iter().filter(|record| **record != WHOLE).count() as u64;
        all.push(Done { customer, file: name, arrival, records, refused });
    }
    crate::tidy::quarantine(ledger, spool).await?;
    Ok(all)
}

/// Why nothing can be done yet with what is set aside of an open file.
fn still_open(name: &str) -> String {
    format!(
        "{name} is still open: some of its records wait (lighterman status); ask again when it is \
         settled"
    )
}

/// Everything that is set aside, in the order of arrival.
pub async fn gather(ledger: &Ledger, spool: &Spool) -> anyhow::Result<Vec<Aside>> {
    let settled = spool.quarantined_arrivals()?;
    let (open, left) = ledger
        .change(move |store| {
            let open: Vec<(Account, Ordinals)> = store
                .files
                .values()
                .map(|(account, progress)| (account.clone(), progress.quarantined.clone()))
                .collect();
            let mut left = Vec::new();
            for arrival in settled {
                if !store.files.contains_key(&arrival) {
                    left.push((arrival, store.left_quarantined(arrival)?));
                }
            }
            Ok((open, left))
        })
        .await?;
    let mut all = Vec::new();
    for (arrival, left) in left {
        if left.is_empty() {
            continue;
        }
        if let Some(kept) = Kept::read(spool, arrival)? {
            let problems = by_record(kept.problems.clone(), &left);
            all.push(Aside { account: kept.account.clone(), kept: Some(kept), left, problems });
        }
    }
    for (account, mut left) in open {
        if account.phase == Phase::Refused {
            left.insert(WHOLE, WHOLE);
        }
        if !left.is_empty() {
            let problems = by_record(spool.problems(account.arrival)?, &left);
            all.push(Aside { account, kept: None, left, problems });
        }
    }
    all.sort_by_key(|aside| aside.account.arrival);
    Ok(all)
}

/// What a selection picks, by file; no file of which it picks nothing.
pub async fn select(
    ledger: &Ledger,
    spool: &Spool,
    selection: &Selection,
) -> anyhow::Result<Vec<(Aside, Vec<u64>)>> {
    let mut all = Vec::new();
    for aside in gather(ledger, spool).await? {
        if !selection.means(&aside.account) {
            continue;
        }
        let records = aside.left.ranges().into_iter().flat_map(|(first, last)| first..=last);
        let picked = |record: &u64| {
            let problems = aside.problems.get(record).into_iter().flatten();
            let rejects = problems.filter(|problem| problem.level == Level::Reject);
            selection.picks(*record, &rejects.collect::<Vec<_>>())
        };
        let records: Vec<u64> = records.filter(picked).collect();
        if !records.is_empty() {
            all.push((aside, records));
        }
    }
    Ok(all)
}

fn by_record(problems: Vec<Problem>, left: &Ordinals) -> BTreeMap<u64, Vec<Problem>> {
    let mut map: BTreeMap<u64, Vec<Problem>> = BTreeMap::new();
    for problem in problems.into_iter().filter(|problem| left.contains(problem.record)) {
        map.entry(problem.record).or_default().push(problem);
    }
    map
}

/// Numbers in order as ranges, both ends inclusive.
fn ranges(records: &[u64]) -> Vec<(u64, u64)> {
    let mut set = Ordinals::default();
    for record in records {
        set.insert(*record, *record);
    }
    set.ranges()
}
