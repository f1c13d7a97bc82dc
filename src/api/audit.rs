//! Audit: the proof that every record is accounted for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::inspect::Inspection;
use crate::ledger::{Account, Ledger, Ordinals, Phase, Progress, Tally, WHOLE};
use crate::model::{Arrival, Counts};
use crate::settle::kept;
use crate::spool::Spool;

/// How many documents of an outbox are looked at in one step.
const OUTBOX_PAGE: usize = 1000;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Open files looked at.
    pub files: u64,
    /// Their records, by state, and those of the settled files.
    pub records: Counts,
    /// What does not add up; empty when all is well.
    pub faults: Vec<String>,
}

/// Compares the ledger's memory with its disk, and every open file's account with its bytes.
///
/// Files come and go while a run works: what is not found a second time was under way.
pub async fn check(ledger: &Ledger, spool: &Spool) -> anyhow::Result<Audit> {
    let audit = look(ledger, spool).await?;
    if audit.faults.is_empty() {
        return Ok(audit);
    }
    let mut again = look(ledger, spool).await?;
    again.faults.retain(|fault| audit.faults.contains(fault));
    Ok(again)
}

async fn look(ledger: &Ledger, spool: &Spool) -> anyhow::Result<Audit> {
    let spooled = spool.arrivals()?;
    let (mut faults, open, settled, left, tallies) = ledger
        .change(move |store| {
            let mut faults = store.audit()?;
            let open: Vec<(Account, Progress)> = store.files.values().cloned().collect();
            let mut settled = Counts::default();
            store.tallies.values().for_each(|tally| settled.add(&tally.records));
            // What is left in the spool of a closed file is removed by the next run.
            let never_known = spooled.into_iter().filter(|arrival| !store.gave_out(*arrival));
            faults.extend(never_known.map(|arrival| {
                format!("arrival {arrival} lies in the spool without an account; a run adopts it")
            }));
            Ok((faults, open, settled, store.all_left_quarantined()?, store.tallies.clone()))
        })
        .await?;
    let mut records = settled;
    if settled.open() > 0 {
        faults.push("a settled file has records that are not final".to_owned());
    }
    for (account, progress) in &open {
        let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
        records.add(&progress.counts(total, account.held_until.is_some()));
    }
    let files = open.len() as u64;
    let at = spool.clone();
    let found = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        for (account, progress) in &open {
            found.extend(of_file(account, progress, &at));
        }
        let open: Vec<Arrival> = open.iter().map(|(account, _)| account.arrival).collect();
        found.extend(of_quarantine(&left, &open, &tallies, &at));
        found
    });
    faults.extend(found.await?);
    faults.extend(of_outboxes(ledger, spool).await?);
    Ok(Audit { files, records, faults })
}

/// What every document says that waits in an outbox must be there.
async fn of_outboxes(ledger: &Ledger, spool: &Spool) -> anyhow::Result<Vec<String>> {
    let outboxes: Vec<(String, String)> =
        ledger.change(|store| Ok(store.outboxes.keys().cloned().collect())).await?;
    let mut faults = Vec::new();
    for (customer, outbox) in outboxes {
        let mut after = 0;
        loop {
            let (of, name) = (customer.clone(), outbox.clone());
            let page =
                ledger.change(move |store| store.queued(&of, &name, after, OUTBOX_PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            let spool = spool.clone();
            let gone = tokio::task::spawn_blocking(move || {
                let gone = page.iter().filter(|queued| !spool.payload(&queued.payload).is_file());
                gone.map(|queued| queued.sequence).collect::<Vec<u64>>()
            });
            let gone = gone.await?.into_iter().map(|sequence| {
                format!("{customer}: outbox {outbox}: what document {sequence} says is gone")
            });
            faults.extend(gone);
        }
    }
    Ok(faults)
}

/// What settled files left set aside must be what is counted, and must be kept.
fn of_quarantine(
    left: &BTreeMap<Arrival, Ordinals>,
    open: &[Arrival],
    tallies: &BTreeMap<String, Tally>,
    spool: &Spool,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut found: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (arrival, records) in left {
        let rounds = kept(spool, *arrival, open).and_then(|rounds| {
            rounds.iter().try_for_each(|round| round.verify(spool))?;
            Ok(rounds)
        });
        let rounds = match rounds {
            Ok(rounds) => rounds,
            Err(error) => {
                faults.push(format!("arrival {arrival}: {error:#}"));
                continue;
            }
        };
        let mut records = records.ranges().into_iter().flat_map(|(first, last)| first..=last);
        let count = |record: &u64| rounds.iter().any(|round| round.holds(*record));
        let Some(first) = rounds.first() else { continue };
        let of_customer = found.entry(first.account.customer.clone()).or_default();
        for record in &mut records {
            match record {
                _ if !count(&record) => {
                    faults.push(format!(
                        "arrival {arrival}: quarantined record {record} is not kept"
                    ));
                }
                WHOLE => of_customer.1 += 1,
                _ => of_customer.0 += 1,
            }
        }
    }
    for (customer, tally) in tallies {
        let counted = (tally.records.quarantined, tally.files.quarantined);
        let (records, files) = found.remove(customer).unwrap_or_default();
        if counted != (records, files) {
            faults.push(format!(
                "{customer}: {} records and {} files are counted as quarantined, but {records} and \
                 {files} are there",
                counted.0, counted.1
            ));
        }
    }
    faults
}

fn of_file(account: &Account, progress: &Progress, spool: &Spool) -> Vec<String> {
    let mut faults = Vec::new();
    let arrival: Arrival = account.arrival;
    let name = &account.name;
    let mut fault = |what: String| faults.push(format!("arrival {arrival} ({name}): {what}"));
    if account.phase == Phase::Claiming {
        return faults;
    }
    if !spool.data(arrival).exists() {
        fault("its bytes are not in the spool".to_owned());
    }
    let Some(pinned) = account.pinned.as_ref().filter(|_| account.phase == Phase::Open) else {
        return faults;
    };
    let inspected = std::fs::read(spool.inspection(arrival))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Inspection>(&bytes).ok());
    match inspected {
        Some(inspection) if inspection.records == pinned.total => {}
        Some(inspection) => fault(format!(
            "the ledger counts {} records, the inspection {}",
            pinned.total, inspection.records
        )),
        None => fault("its inspection cannot be read".to_owned()),
    }
    match crate::inspect::identify(&spool.data(arrival)) {
        Ok(identity) if identity == pinned.identity => {}
        Ok(_) => fault("its bytes are not those that were claimed".to_owned()),
        Err(error) => fault(format!("its bytes cannot be read: {error}")),
    }
    let counts = progress.counts(pinned.total, account.held_until.is_some());
    if counts.total() != pinned.total {
        fault(format!("the states add up to {}, not to {}", counts.total(), pinned.total));
    }
    let sets =
        [&progress.delivered, &progress.quarantined, &progress.superseded, &progress.discarded];
    for (at, set) in sets.iter().enumerate() {
        for (first, last) in set.ranges() {
            if last > pinned.total {
                fault(format!("record {last} is beyond the last, {}", pinned.total));
            }
            if sets[at + 1..].iter().any(|other| other.count(first, last) > 0) {
                fault(format!("of records {first} to {last} some are in two final states"));
            }
        }
    }
    for waiting in progress.waiting.values() {
        if progress.open_between(waiting.first, waiting.last) == 0 {
            fault(format!("records {} to {} wait but are final", waiting.first, waiting.last));
        }
    }
    // Below the mark every record is final or waits: else it would never be sent.
    let mut answered = Vec::new();
    for set in sets {
        answered.extend(set.ranges());
    }
    answered.extend(progress.waiting.values().map(|waiting| (waiting.first, waiting.last)));
    answered.sort_unstable();
    let mut next = 1;
    for (first, last) in answered {
        if first > next {
            break;
        }
        next = next.max(last + 1);
    }
    if next < account.mark.min(pinned.total + 1) {
        fault(format!("record {next} is passed over but neither final nor waiting"));
    }
    faults
}
