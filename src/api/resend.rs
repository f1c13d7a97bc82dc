//! What the receiver lost is sent again: delivered records of a settled file, from its archive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::quarantine::{Refused, way_of};
use crate::config::Config;
use crate::inspect::identify;
use crate::ledger::{Ordinals, Settled};
use crate::model::Arrival;
use crate::pipeline::again::{self, Desk, Whose};
use crate::settle::Receipt;

/// What a person wants to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The file's name, or its arrival.
    pub file: String,
    /// The customer's id, where several have such a file.
    pub customer: Option<String>,
    /// The records, as ranges, both ends inclusive; all that were delivered where none are named.
    pub records: Option<Vec<(u64, u64)>>,
}

/// What is sent again of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resent {
    /// The customer's id.
    pub customer: String,
    /// The file's name.
    pub file: String,
    /// Its pick-up.
    pub arrival: Arrival,
    /// The pick-ups of older files of this name, which are not meant.
    pub older: Vec<Arrival>,
    /// How many records are sent again.
    pub records: u64,
    /// Which records are not, by the reason why.
    pub left_out: BTreeMap<String, Vec<(u64, u64)>>,
    /// The pick-up's number under which they are sent, if they are.
    pub round: Option<Arrival>,
    /// Why nothing was done, if nothing was.
    pub refused: Option<Refused>,
}

/// Sends delivered records again. None if there is no such file; several if several customers have
/// one, and then nothing is done.
pub async fn resend(desk: &Desk, wish: &Wish) -> anyhow::Result<Vec<Resent>> {
    let (config, asked) = (desk.config.clone(), wish.clone());
    let found = tokio::task::spawn_blocking(move || find(&config, &asked)).await??;
    let mut all = Vec::new();
    let several = found.len() > 1;
    for (customer, (mut files, excerpts)) in found {
        // The newest is meant.
        let Some((arrival, rounds)) = files.pop_last() else { continue };
        let mut resent = Resent {
            customer,
            file: rounds.first().map(|receipt| receipt.file.clone()).unwrap_or_default(),
            arrival,
            older: files.into_keys().collect(),
            records: 0,
            left_out: BTreeMap::new(),
            round: None,
            refused: None,
        };
        let done = match several {
            true => Err(Refused::usage("several customers have such a file; say --customer")),
            false => {
                // Of a round that is meant by itself, only what it delivered.
                let records = wish.records.clone().or_else(|| excerpts.get(&arrival).cloned());
                work(desk, records, rounds, &mut resent).await.map_err(Refused::from)
            }
        };
        resent.refused = done.err();
        all.push(resent);
    }
    Ok(all)
}

async fn work(
    desk: &Desk,
    records: Option<Vec<(u64, u64)>>,
    mut rounds: Vec<Receipt>,
    resent: &mut Resent,
) -> anyhow::Result<()> {
    let arrival = resent.arrival;
    let Some(first) = rounds.iter().find(|receipt| receipt.arrival == arrival).cloned() else {
        bail!("its receipt is gone; drop the file once more instead");
    };
    let state = state(desk, &first).await?;
    let total = first.records.total;
    // A receipt lies where others write.
    if total > MOST {
        bail!("its receipt is damaged; drop the file once more instead");
    }
    rounds.sort_by_key(|receipt| receipt.arrival);
    let delivered = delivered(&rounds, total);
    let wanted = records.unwrap_or_else(|| vec![(1, total)]);
    let mut chosen = Ordinals::default();
    let mut left_out: BTreeMap<&str, Ordinals> = BTreeMap::new();
    for ordinal in wanted.iter().flat_map(|(from, to)| *from..=(*to).min(total)) {
        let why = match ordinal {
            _ if state.left.contains(ordinal) => "quarantined",
            _ if state.open.contains(ordinal) => "being worked again",
            _ if delivered.contains(ordinal) => {
                chosen.insert(ordinal, ordinal);
                continue;
            }
            _ => "not delivered",
        };
        left_out.entry(why).or_default().insert(ordinal, ordinal);
    }
    resent.left_out =
        left_out.into_iter().map(|(why, set)| (why.to_owned(), set.ranges())).collect();
    resent.records = chosen.len();
    if chosen.is_empty() {
        bail!("none of these records is delivered, and only those are sent again");
    }
    let way = way_of(desk, &first.customer, &first.source, &first.file).await?;
    let archived = PathBuf::from(first.archive.clone().context("it was not archived")?);
    let path = archived.clone();
    let identity = tokio::task::spawn_blocking(move || identify(&path)).await?;
    let advice = "put it back, or drop the records once more";
    let identity = identity
        .with_context(|| format!("the archived {} cannot be read; {advice}", archived.display()))?;
    if identity != first.identity {
        bail!("the archived {} is not the file that came; {advice}", archived.display());
    }
    let whose = Whose {
        customer: first.customer.clone(),
        source: first.source.clone(),
        name: first.file.clone(),
        identity,
        of: arrival,
        age: first.retry_of.as_ref().map_or(arrival, |round| round.age),
    };
    let chosen_of = chosen.ranges();
    let account =
        again::resend(desk, way, whose, archived, total, state.generation, &chosen_of).await?;
    tracing::info!(
        customer = %account.customer,
        file.name = %account.name,
        "{} records are sent again, as a person wishes",
        chosen.len()
    );
    resent.round = Some(account.arrival);
    Ok(())
}

/// The records that are delivered after these rounds, the oldest first: what became of a record in
/// the last round that had it counts.
fn delivered(rounds: &[Receipt], total: u64) -> Ordinals {
    let mut delivered = Ordinals::default();
    for round in rounds {
        for state in ["quarantined", "superseded", "discarded", "delivered"] {
            for (first, last) in round.ordinals_in(state).into_iter().filter(|(_, to)| *to <= total)
            {
                match state {
                    "delivered" => delivered.insert(first, last),
                    _ => delivered.remove(first, last),
                };
            }
        }
    }
    delivered
}

/// What the ledger knows of a settled file.
struct Known {
    left: Ordinals,
    open: Ordinals,
    generation: u32,
}

async fn state(desk: &Desk, receipt: &Receipt) -> anyhow::Result<Known> {
    let (arrival, identity) = (receipt.arrival, receipt.identity);
    let (customer, source) = (receipt.customer.clone(), receipt.source.clone());
    let (remembered, is_open, left, rounds, generation) = desk
        .ledger
        .change(move |store| {
            let rounds: Vec<_> = store
                .files
                .values()
                .filter(|(account, _)| account.excerpt_of() == Some(arrival))
                .map(|(account, _)| account.clone())
                .collect();
            Ok((
                store.settled(&customer, &source, &identity)?,
                store.files.contains_key(&arrival),
                store.left_quarantined(arrival)?,
                rounds,
                store.generation(arrival)?,
            ))
        })
        .await?;
    if is_open {
        return Err(Refused::open(&receipt.file).into());
    }
    // A repeat that tried nothing is known by the file that it repeats.
    let known = |last: Settled| last.arrival >= arrival || receipt.tried_nothing();
    if !remembered.is_some_and(known) {
        bail!("the ledger does not know it (any more); drop the file once more instead");
    }
    let mut open = Ordinals::default();
    for account in rounds {
        if let Some(origin) = again::origin(&desk.spool, &account)? {
            for (first, last) in origin.all() {
                open.insert(first, last);
            }
        }
    }
    Ok(Known { left, open, generation })
}

/// More records than any file has.
const MOST: u64 = 1 << 32;

type Files = BTreeMap<Arrival, Vec<Receipt>>;

/// What a round delivered that is meant by itself, by the pick-up that numbers its records.
type Excerpts = BTreeMap<Arrival, Vec<(u64, u64)>>;

/// The receipts of the files that are meant, by customer and by the pick-up that numbers their
/// records; only of files of which something was delivered, unless there is no other.
fn find(config: &Config, wish: &Wish) -> anyhow::Result<BTreeMap<String, (Files, Excerpts)>> {
    let mut found: BTreeMap<String, (Files, Excerpts)> = BTreeMap::new();
    let customers = config.customers.iter();
    for (id, customer) in
        customers.filter(|(id, _)| wish.customer.as_ref().is_none_or(|of| of == *id))
    {
        let mut files = Files::new();
        let (mut meant, mut excerpts) = (BTreeSet::new(), Excerpts::new());
        for source in customer.sources.values() {
            for (result, receipt) in receipts(&source.receipts)? {
                if receipt.customer != *id || receipt.source != source.name {
                    continue;
                }
                let of = receipt.numbered_by();
                let by_name = receipt.file == wish.file;
                if by_name || result == wish.file || wish.file.parse() == Ok(receipt.arrival.0) {
                    meant.insert(of);
                    if !by_name && receipt.is_excerpt() {
                        excerpts.insert(of, receipt.ordinals_in("delivered"));
                    }
                }
                files.entry(of).or_default().push(receipt);
            }
        }
        files.retain(|of, _| meant.contains(of));
        let is_delivered =
            |rounds: &Vec<Receipt>| rounds.iter().any(|one| one.records.counts.delivered > 0);
        if files.values().any(is_delivered) {
            files.retain(|_, rounds| is_delivered(rounds));
        }
        if !files.is_empty() {
            found.insert(id.clone(), (files, excerpts));
        }
    }
    Ok(found)
}

/// The receipts in a folder, by the names of their results; what cannot be read is no receipt.
fn receipts(folder: &Path) -> anyhow::Result<Vec<(String, Receipt)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", folder.display()));
        }
    };
    let mut receipts = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(result) = name.to_str().and_then(|name| name.strip_suffix(".receipt.json")) else {
            continue;
        };
        if let Some(receipt) = read(&entry.path()) {
            receipts.push((result.to_owned(), receipt));
        }
    }
    Ok(receipts)
}

/// Reads a receipt.
pub fn read(path: &Path) -> Option<Receipt> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
