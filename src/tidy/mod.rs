//! Tidy: what is no longer needed goes: identities and counters after `limits.remember`, archives
//! and receipts after their source's `keep`, mappings that no file pins any more.
//!
//! In small steps, so that no delivery waits for it; each can be taken again after a crash. Only
//! Lighterman's own files are ever removed. A clock that jumped ahead does not wipe everything: see
//! [`trusted`].

mod results;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

use crate::config::Config;
use crate::disk;
use crate::ledger::{Account, Believed, Ledger};
use crate::pipeline::again;
use crate::settle::kept;
use crate::spool::Spool;

/// How far the clock may have gone on between two passes without being doubted: a week off.
const USUAL: SignedDuration = SignedDuration::from_hours(8 * 24);

/// How long a doubted clock must have been doubted before it is believed a further week.
const PATIENCE: SignedDuration = SignedDuration::from_hours(20);

/// How long a verdict is kept that no record is parked for: it can be ahead of its 202 by no more
/// than a call takes.
const VERDICTS: Duration = Duration::from_secs(24 * 3600);

/// Entries looked at in one step.
const STEP: usize = 256;

/// What a pass removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Identities that are forgotten.
    pub identities: u64,
    /// Days whose counters are forgotten.
    pub days: u64,
    /// Notifications whose repeats are told no more.
    pub notifications: u64,
    /// Archived files and receipts.
    pub results: u64,
    /// Pinned mappings.
    pub mappings: u64,
}

/// One pass. `mappings` are the hashes of today's, which a claim may be about to pin.
pub async fn tidy(
    ledger: &Ledger,
    spool: &Spool,
    config: &Config,
    mappings: &BTreeSet<String>,
    now: Timestamp,
) -> anyhow::Result<Tidied> {
    let mut tidied = Tidied::default();
    again::tidy(ledger, spool, spool.quarantined_arrivals()?).await?;
    let Some(now) = believe(ledger, now).await? else { return Ok(tidied) };
    let remembered = before(now, config.limits.remember);
    let mut after = Vec::new();
    loop {
        let from = after.clone();
        let (removed, next) =
            ledger.change(move |store| store.forget_before(remembered, &from, STEP)).await?;
        tidied.identities += removed;
        let Some(next) = next else { break };
        after = next;
    }
    let before_verdicts = before(now, VERDICTS);
    ledger.change(move |store| store.forget_verdicts(before_verdicts)).await?;
    tidied.notifications = ledger.change(move |store| store.forget_heard(remembered)).await?;
    ledger.change(move |store| store.forget_seen(remembered)).await?;
    ledger.change(move |store| store.forget_invitations(remembered)).await?;
    tidied.days = ledger.change(move |store| store.forget_days(remembered)).await?;
    let open: Vec<Account> = ledger
        .change(|store| Ok(store.files.values().map(|(account, _)| account.clone()).collect()))
        .await?;
    for customer in config.customers.values() {
        for source in customer.sources.values() {
            let Some(keep) = source.keep else { continue };
            let (source, id, before) = (source.clone(), customer.id.clone(), before(now, keep));
            let open = open.clone();
            let removed =
                tokio::task::spawn_blocking(move || results::expire(&source, &id, before, &open));
            match removed.await? {
                Ok(removed) => tidied.results += removed,
                // One folder that cannot be cleared is told, and holds nothing up.
                Err(error) => tracing::warn!(customer = %customer.id, "{error:#}"),
            }
        }
    }
    let (spool, mappings) = (spool.clone(), mappings.clone());
    let pinned = open.into_iter().filter_map(|account| account.pinned).map(|pinned| pinned.bundle);
    let needed: BTreeSet<String> = pinned.chain(mappings).collect();
    tidied.mappings = tokio::task::spawn_blocking(move || prune(&spool, needed)).await??;
    Ok(tidied)
}

/// The time that is believed in this pass; none in the first, which only notes it.
async fn believe(ledger: &Ledger, now: Timestamp) -> anyhow::Result<Option<Timestamp>> {
    let (known, believed) = ledger
        .change(move |store| {
            let known = store.tidied()?;
            let believed = trusted(known, now);
            store.set_tidied(believed);
            Ok((known, believed))
        })
        .await?;
    if believed.time < now {
        tracing::warn!(
            "The clock says {now}, far beyond {}, when old files were last cleared: they are \
             cleared a week at a time; set the clock right if it is wrong",
            believed.time
        );
    }
    Ok(known.map(|_| believed.time))
}

/// The time by which things may be cleared. A clock that is more than eight days ahead of the last
/// pass is believed only a week further a day, so that whoever set it wrongly has days to see it.
pub fn trusted(known: Option<Believed>, now: Timestamp) -> Believed {
    let fresh = Believed { time: now, at: now };
    let Some(known) = known else { return fresh };
    if now.duration_since(known.time) <= USUAL {
        return fresh;
    }
    let passed = now.duration_since(known.at).abs();
    match passed >= PATIENCE {
        true => Believed { time: known.time.saturating_add(USUAL).unwrap_or(now), at: now },
        false => known,
    }
}

fn before(now: Timestamp, keep: Duration) -> Timestamp {
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    now.saturating_sub(keep).unwrap_or(Timestamp::MIN)
}

/// Removes the pinned mappings that nothing needs. Those that were pinned lately stay, since their
/// claim may not be noted yet.
fn prune(spool: &Spool, mut needed: BTreeSet<String>) -> anyhow::Result<u64> {
    for arrival in spool.quarantined_arrivals()? {
        match kept(spool, arrival, &[]) {
            Ok(rounds) => needed.extend(
                rounds.into_iter().filter_map(|kept| kept.account.pinned).map(|of| of.bundle),
            ),
            // What it pins is not known, or it is being written: nothing is removed.
            Err(_) => return Ok(0),
        }
    }
    let mut removed = 0;
    for (hash, path) in spool.pinned()? {
        let lately = || -> Option<bool> {
            let age = SystemTime::now().duration_since(fs::metadata(&path).ok()?.modified().ok()?);
            Some(age.ok()? < Duration::from_secs(24 * 3600))
        };
        if !needed.contains(&hash) && lately() == Some(false) {
            disk::remove(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
