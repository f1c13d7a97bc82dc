//! Files that are open in the ledger and that no task works on yet: those that the last run left,
//! and those that a command opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::{self, OpenFile, Working};
use super::{Run, troubles};
use crate::ledger::{Account, Phase, Progress};
use crate::model::{Arrival, Problem};
use crate::pipeline::{Missing, Occasion};

/// Goes on with all of them, those of one customer in the order of their arrival.
pub async fn resume(run: &Arc<Run>, occasion: Occasion) -> anyhow::Result<()> {
    let ledger = &run.parts.ledger;
    // A claim that is under way is its source's.
    let (claiming, open): (Vec<Account>, Vec<Arrival>) = ledger
        .change(|store| {
            let accounts = || store.files.values().map(|(account, _)| account);
            let is_claiming = |account: &&Account| account.phase == Phase::Claiming;
            let claiming = accounts().filter(is_claiming).cloned().collect();
            let open = accounts().filter(|account| !is_claiming(account));
            Ok((claiming, open.map(|account| account.arrival).collect()))
        })
        .await?;
    let mut by_customer: BTreeMap<String, Vec<(OpenFile, Working)>> = BTreeMap::new();
    for account in claiming {
        tell_if_nobodys(run, &account).await;
    }
    for arrival in open {
        let Some(working) = Working::begin(run, arrival) else { continue };
        // Only what is read now is not changed by a task that has just ended.
        let read = ledger.change(move |store| Ok(store.files.get(&arrival).cloned())).await?;
        let Some((account, progress)) = read else { continue };
        forget_unanswered_problems(run, &account, progress).await;
        let file = open_file(&account);
        by_customer.entry(file.customer.clone()).or_default().push((file, working));
    }
    for files in by_customer.into_values() {
        let run = Arc::clone(run);
        run.tasks.clone().spawn(async move {
            for (file, working) in files {
                let Some(turns) = file::take_turns(&run, &file).await else { break };
                run.tasks.spawn(file::work(Arc::clone(&run), file, working, turns, occasion));
            }
        });
    }
    Ok(())
}

fn open_file(account: &Account) -> OpenFile {
    OpenFile {
        arrival: account.arrival,
        customer: account.customer.clone(),
        source: account.source.clone(),
        name: account.name.clone(),
    }
}

/// Raises an alarm for a claim that was broken off if the config lacks its source.
async fn tell_if_nobodys(run: &Run, account: &Account) {
    let setup = run.parts.setup();
    let customers = &setup.of(&account.customer).config.customers;
    let missing = match customers.get(&account.customer) {
        None => Missing::Customer,
        Some(customer) if !customer.sources.contains_key(&account.source) => Missing::Source,
        Some(_) => return,
    };
    troubles::tell_missing(run, &open_file(account), missing).await;
}

/// Takes out of a file's journal what will be told again, since its records are mapped again.
async fn forget_unanswered_problems(run: &Run, account: &Account, progress: Progress) {
    let (spool, arrival, mark) = (run.parts.spool.clone(), account.arrival, account.mark);
    let answered = move |problem: &Problem| {
        problem.record == 0
            || problem.record < mark
            || progress.is_final(problem.record)
            || progress
                .waiting
                .range(..=problem.record)
                .next_back()
                .is_some_and(|(_, waiting)| waiting.last >= problem.record)
    };
    let forgotten =
        tokio::task::spawn_blocking(move || spool.retain_problems(arrival, answered)).await;
    // If it fails, problems may be told twice.
    if let Err(error) = forgotten.map_err(anyhow::Error::from).flatten() {
        troubles::raise_fault(run, &account.customer, &account.source, None, &error).await;
    }
}
