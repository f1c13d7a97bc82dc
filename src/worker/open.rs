//! Files that are open in the ledger and that no task works on yet: those that the last run left,
//! and those that a command opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::{self, OpenFile, Working};
use super::{Run, troubles};
use crate::ledger::{Account, Phase, Progress};
use crate::model::{Arrival, Problem};
use crate::pipeline::Occasion;

/// Goes on with all of them, those of one customer in the order of their arrival.
pub async fn resume(run: &Arc<Run>, occasion: Occasion) -> anyhow::Result<()> {
    let ledger = &run.parts.ledger;
    // A claim that is under way is its source's.
    let open: Vec<Arrival> = ledger
        .change(|store| {
            let open = store.files.values().map(|(account, _)| account);
            let open = open.filter(|account| account.phase != Phase::Claiming);
            Ok(open.map(|account| account.arrival).collect())
        })
        .await?;
    let mut by_customer: BTreeMap<String, Vec<(OpenFile, Working)>> = BTreeMap::new();
    for arrival in open {
        let Some(working) = Working::begin(run, arrival) else { continue };
        // Only what is read now is not changed by a task that has just ended.
        let read = ledger.change(move |store| Ok(store.files.get(&arrival).cloned())).await?;
        let Some((account, progress)) = read else { continue };
        forget_unanswered_problems(run, &account, &progress).await;
        let file = OpenFile {
            arrival: account.arrival,
            customer: account.customer,
            source: account.source,
            name: account.name,
        };
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

/// Takes out of a file's journal what will be told again, since its records are mapped again.
async fn forget_unanswered_problems(run: &Run, account: &Account, progress: &Progress) {
    let answered = |problem: &Problem| {
        problem.record == 0
            || problem.record < account.mark
            || progress.is_final(problem.record)
            || progress
                .waiting
                .range(..=problem.record)
                .next_back()
                .is_some_and(|(_, waiting)| waiting.last >= problem.record)
    };
    // If it fails, problems may be told twice.
    if let Err(error) = run.parts.spool.retain_problems(account.arrival, answered) {
        troubles::raise_fault(run, &account.customer, &account.source, &error).await;
    }
}
