//! What was set aside: the records of open files and of settled ones, with their reasons.

use serde::{Deserialize, Serialize};

use crate::ledger::{Account, Ledger};
use crate::model::{Arrival, Level, Problem};
use crate::spool::Spool;

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

/// Lists everything that is set aside, in the order of arrival and record.
pub async fn list(ledger: &Ledger, spool: &Spool) -> anyhow::Result<Vec<SetAside>> {
    let open: Vec<Account> = ledger
        .change(|store| Ok(store.files.values().map(|(account, _)| account.clone()).collect()))
        .await?;
    let mut all = Vec::new();
    for arrival in spool.quarantined_arrivals()? {
        if open.iter().any(|account| account.arrival == arrival) {
            continue;
        }
        let folder = spool.quarantined(arrival);
        let account: Account =
            serde_json::from_slice(&std::fs::read(folder.join("account.json"))?)?;
        let problems: Vec<Problem> =
            serde_json::from_slice(&std::fs::read(folder.join("problems.json"))?)?;
        add(&mut all, &account, problems);
    }
    for account in &open {
        add(&mut all, account, spool.problems(account.arrival)?);
    }
    all.sort_by_key(|one| (one.arrival, one.problem.record));
    Ok(all)
}

fn add(all: &mut Vec<SetAside>, account: &Account, problems: Vec<Problem>) {
    all.extend(problems.into_iter().filter(|problem| problem.level == Level::Reject).map(
        |problem| SetAside {
            customer: account.customer.clone(),
            file: account.name.clone(),
            arrival: account.arrival,
            problem,
        },
    ));
}
