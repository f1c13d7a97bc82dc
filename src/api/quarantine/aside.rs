//! What is set aside, by file: of open files and of settled ones.

use std::collections::BTreeMap;

use crate::api::selection::{Likeness, Selection};
use crate::ledger::{Account, Ledger, Ordinals, Phase, WHOLE};
use crate::model::{Arrival, Level, Problem};
use crate::pipeline::again;
use crate::settle::{self, Kept};
use crate::spool::Spool;

/// What is set aside of one file.
pub struct Aside {
    /// The customer's id.
    pub customer: String,
    /// The source's name.
    pub source: String,
    /// The file's name.
    pub file: String,
    /// The pick-up by which its records are numbered.
    pub arrival: Arrival,
    /// What is kept of it, once it is settled: the oldest round first.
    pub rounds: Vec<Kept>,
    /// Its account, while it is open.
    pub open: Option<Account>,
    /// The records that are set aside now; [`WHOLE`] for a whole file.
    pub left: Ordinals,
    /// What is wrong with them, by record.
    pub problems: BTreeMap<u64, Vec<Problem>>,
}

impl Aside {
    /// Which round keeps a record: the last that had it.
    pub fn round_of(&self, record: u64) -> Option<usize> {
        self.rounds.iter().rposition(|round| round.holds(record))
    }
}

/// What a selection picks, by file; no file of which it picks nothing.
pub async fn select(
    ledger: &Ledger,
    spool: &Spool,
    selection: &Selection,
) -> anyhow::Result<Vec<(Aside, Vec<u64>)>> {
    let mut all = Vec::new();
    for aside in gather(ledger, spool).await? {
        let likeness = selection.means(&aside.customer, &aside.file, aside.arrival);
        let Some(likeness) = likeness else { continue };
        let records = aside.left.ranges().into_iter().flat_map(|(first, last)| first..=last);
        let picked = |record: &u64| {
            let problems = aside.problems.get(record).into_iter().flatten();
            let rejects = problems.filter(|problem| problem.level == Level::Reject);
            selection.picks(*record, &rejects.collect::<Vec<_>>())
        };
        let records: Vec<u64> = records.filter(picked).collect();
        if !records.is_empty() {
            all.push((likeness, aside, records));
        }
    }
    // Who writes a name out means it.
    let best = all.iter().map(|(likeness, ..)| *likeness).min();
    all.retain(|(likeness, ..)| *likeness != Likeness::Loose || best != Some(Likeness::Exact));
    Ok(all.into_iter().map(|(_, aside, records)| (aside, records)).collect())
}

/// Everything that is set aside, in the order of arrival.
async fn gather(ledger: &Ledger, spool: &Spool) -> anyhow::Result<Vec<Aside>> {
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
    let rounds_open: Vec<Arrival> = open.iter().map(|(account, _)| account.arrival).collect();
    let mut all = Vec::new();
    for (arrival, left) in left {
        if left.is_empty() {
            continue;
        }
        // One that is damaged does not hide the others.
        let mut rounds = match settle::kept(spool, arrival, &rounds_open) {
            Ok(rounds) => rounds,
            Err(error) => {
                tracing::error!("What is set aside of arrival {arrival} is left out: {error:#}");
                continue;
            }
        };
        let Some(first) = rounds.first() else { continue };
        let account = first.account.clone();
        let mut problems = BTreeMap::new();
        for round in &mut rounds {
            // What a later round found counts.
            problems.append(&mut by_record(round.problems.clone(), &left));
        }
        all.push(Aside {
            customer: account.customer,
            source: account.source,
            file: account.name,
            arrival,
            rounds,
            open: None,
            left,
            problems,
        });
    }
    for (account, mut left) in open {
        if account.phase == Phase::Refused {
            left.insert(WHOLE, WHOLE);
        }
        if left.is_empty() {
            continue;
        }
        let mut found: Vec<Problem> =
            spool.problems(account.arrival)?.iter().collect::<Result<_, _>>()?;
        let origin = match again::origin(spool, &account) {
            Ok(origin) => origin,
            Err(error) => {
                tracing::error!("{} of {} is left out: {error:#}", account.name, account.customer);
                continue;
            }
        };
        if let Some(origin) = origin {
            again::by_origin(&origin, &mut found);
            let ranges = origin.ranges(&left.ranges());
            left = Ordinals::default();
            for (first, last) in ranges {
                left.insert(first, last);
            }
        }
        let problems = by_record(found, &left);
        all.push(Aside {
            customer: account.customer.clone(),
            source: account.source.clone(),
            file: account.name.clone(),
            arrival: account.arrival,
            rounds: Vec::new(),
            open: Some(account),
            left,
            problems,
        });
    }
    all.sort_by_key(|aside| aside.arrival);
    Ok(all)
}

fn by_record(problems: Vec<Problem>, left: &Ordinals) -> BTreeMap<u64, Vec<Problem>> {
    let mut map: BTreeMap<u64, Vec<Problem>> = BTreeMap::new();
    for problem in problems.into_iter().filter(|problem| left.contains(problem.record)) {
        map.entry(problem.record).or_default().push(problem);
    }
    map
}
