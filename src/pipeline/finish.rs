//! The end of a file: its results are written when it is answered, and its account is closed when
//! all its records are final.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use jiff::Timestamp;

use super::written::Results;
use super::{Left, Work, again, changed};
use crate::deliver::after;
use crate::inspect::{Inspection, identify};
use crate::ledger::{Account, FileCounts, Phase, Progress, Waiting};
use crate::model::{Counts, Level, Problem};
use crate::settle::{self, Folders, Places, Report};
use crate::spool::Problems;

impl Work<'_> {
    /// Writes what can be written now, and closes the file if nothing of it is open.
    pub async fn finish(&mut self) -> anyhow::Result<Left> {
        let arrival = self.account.arrival;
        let Some((account, progress)) =
            self.parts.ledger.change(move |store| Ok(store.files.get(&arrival).cloned())).await?
        else {
            return Ok(Left::Settled);
        };
        self.account = account;
        let total = self.account.pinned.as_ref().map_or(0, |pinned| pinned.total);
        let held = self.account.held_until;
        let counts = progress.counts(total, held.is_some());
        let settled = counts.open() == 0;
        let channel = self.account.pinned.as_ref().and_then(|pinned| self.channel(&pinned.channel));
        let keeps_order = channel.as_ref().is_some_and(|channel| channel.keeps_order());
        let paused = channel.and_then(|channel| channel.lane.paused_until());
        let now = Timestamp::now();
        let waits = || {
            // What is pending could have gone, but for something that happened meanwhile.
            let pending = (counts.pending > 0).then_some(now);
            let earliest = can_go(&progress, keeps_order).map(|waiting| waiting.due).min();
            let due = earliest.into_iter().chain(held).chain(pending).min();
            // While the channel is paused nothing is tried, whatever is due.
            Left::Waiting(due.map(|due| paused.map_or(due, |paused| paused.max(due))))
        };
        if paused.is_none() && can_go(&progress, keeps_order).any(Waiting::is_half) {
            return Ok(Left::Halves);
        }
        if counts.pending + counts.in_flight > 0 || (held.is_some() && !settled) {
            return Ok(waits());
        }
        if !settled {
            match self.parts.written.what(arrival, counts, Instant::now()) {
                Results::Due => {}
                Results::Done => return Ok(waits()),
                Results::Later(left) => {
                    let Left::Waiting(due) = waits() else { return Ok(waits()) };
                    return Ok(Left::Waiting(due.into_iter().chain([after(now, left)]).min()));
                }
            }
        }
        let begun = Instant::now();
        let places = self.answer().await?;
        let written = self.write(&places, &progress, counts, settled.then(Timestamp::now)).await;
        if !settled || written.is_err() {
            let (spool, places) = (self.parts.spool.clone(), places);
            tokio::task::spawn_blocking(move || places.keep(&spool, arrival)).await??;
        }
        written?;
        if !settled {
            self.parts.written.note(arrival, counts, begun, Instant::now());
            return Ok(waits());
        }
        self.close(counts).await?;
        Ok(Left::Settled)
    }

    /// Fixes, once, when the file was answered, and where its results are.
    async fn answer(&mut self) -> anyhow::Result<Places> {
        let before = (self.account.answered, self.account.results.clone());
        let answered = *self.account.answered.get_or_insert_with(Timestamp::now);
        let day = answered.to_zoned(jiff::tz::TimeZone::system()).date();
        let (spool, account) = (self.parts.spool.clone(), self.account.clone());
        let today = Folders::of(self.source)?;
        let find = move || Places::find(&spool, today, &account, day);
        let found = tokio::task::spawn_blocking(find).await?;
        if let Ok(places) = &found {
            self.account.results = Some(places.names.clone());
        }
        // Where results cannot be written the file is answered all the same.
        if before != (self.account.answered, self.account.results.clone()) {
            let account = self.account.clone();
            self.parts.ledger.update(move |store| store.set_account(account)).await?;
        }
        found
    }

    async fn write(
        &self,
        places: &Places,
        progress: &Progress,
        counts: Counts,
        settled: Option<Timestamp>,
    ) -> anyhow::Result<()> {
        let spool = self.parts.spool.clone();
        let account = self.account.clone();
        let places = places.clone();
        let progress = progress.clone();
        let origin = again::origin(&self.parts.spool, &account)?;
        let mapping = match (&account.pinned, account.phase) {
            (Some(pinned), Phase::Open) => Some(Arc::clone(&self.parts.mapping(&pinned.bundle)?)),
            _ => None,
        };
        tokio::task::spawn_blocking(move || {
            let data = spool.data(account.arrival);
            let inspection = spool.inspection(account.arrival);
            if account.phase == Phase::Open
                && !Inspection::read(&inspection)?.seen().is_still(&data)?
                && !is_told(&spool.problems(account.arrival)?)?
            {
                let told = Problem::of_file(changed::RULE, account.name.clone(), AFTERWARDS);
                let told = Problem { level: Level::Warn, ..told };
                spool.note_problems(account.arrival, &[told])?;
            }
            let mut problems = spool.problems(account.arrival)?;
            let changed = is_told(&problems)?;
            if let Some(origin) = &origin {
                problems = problems.by_origin(Arc::clone(origin));
            }
            let identity = match (&origin, &account.pinned) {
                (Some(origin), _) => origin.identity,
                (None, Some(pinned)) => pinned.identity,
                (None, None) => identify(&data)?,
            };
            let late = spool.late_answers(account.arrival)?;
            let report = Report {
                account: &account,
                identity,
                names: &places.names,
                folders: &places.folders,
                dialect: mapping.as_ref().map(|mapping| &mapping.dialect),
                counts,
                problems: &problems,
                late: &late,
                changed,
                settled,
                progress: &progress,
                origin: origin.as_deref(),
            };
            match account.phase {
                Phase::Refused => settle::refuse(&spool, &report),
                _ => settle::write(&spool, &report),
            }
        })
        .await?
    }

    async fn close(&self, counts: Counts) -> anyhow::Result<()> {
        let Account { arrival, phase, .. } = self.account;
        let mut files = FileCounts::default();
        match phase {
            Phase::Refused => files.quarantined = 1,
            _ => files.settled = 1,
        }
        let identity = match phase {
            // A file that was quarantined whole is not remembered.
            Phase::Refused => self.account.pinned.as_ref().map(|pinned| pinned.identity),
            _ => None,
        };
        let (customer, source) = (self.account.customer.clone(), self.account.source.clone());
        let excerpt_of = self.account.excerpt_of();
        let origin = again::origin(&self.parts.spool, &self.account)?;
        self.parts
            .ledger
            .change(move |store| {
                if let (Some(of), Some(origin)) = (excerpt_of, origin) {
                    return store.close_again(arrival, of, |here| origin.ranges(here));
                }
                if let Some(identity) = identity
                    && store
                        .settled(&customer, &source, &identity)?
                        .is_some_and(|remembered| remembered.arrival == arrival)
                {
                    store.forget(&customer, &source, &identity);
                }
                store.close(arrival, files)
            })
            .await?;
        let spool = self.parts.spool.clone();
        tokio::task::spawn_blocking(move || spool.remove(arrival))
            .await?
            .context("the spool cannot be cleared")?;
        if let Some(of) = self.account.again.map(|again| again.of) {
            again::tidy(&self.parts.ledger, &self.parts.spool, vec![of]).await?;
        }
        self.parts.written.forget(arrival);
        log_settled(&self.account, counts);
        Ok(())
    }
}

/// What of all that waits goes out once it is due: where the order is kept, the first alone, since
/// none overtakes it.
fn can_go(progress: &Progress, keeps_order: bool) -> impl Iterator<Item = &Waiting> {
    let many = if keeps_order { 1 } else { usize::MAX };
    progress.waiting.values().take(many)
}

const AFTERWARDS: &str = "the file was written to after its last record had been answered for; the \
                          archive holds it as it is now: see who still writes to it";

/// Whether the problems tell that the file was written to.
fn is_told(problems: &Problems) -> anyhow::Result<bool> {
    Ok(problems.of_file()?.iter().any(|problem| problem.rule == changed::RULE))
}

fn log_settled(account: &Account, counts: Counts) {
    let Account { customer, name, .. } = account;
    let Counts { delivered, quarantined, superseded, discarded, .. } = counts;
    match quarantined {
        1.. => tracing::warn!(
            customer = %customer,
            file.name = %name,
            records.delivered = delivered,
            records.quarantined = quarantined,
            "Settled {name}: {delivered} delivered, {quarantined} quarantined; see its problems file"
        ),
        0 => tracing::info!(
            customer = %customer,
            file.name = %name,
            records.delivered = delivered,
            records.superseded = superseded,
            records.discarded = discarded,
            "Settled {name}: {delivered} delivered"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Wait;

    fn waiting(first: u64, last: u64, attempts: u32) -> Waiting {
        Waiting {
            first,
            last,
            wait: Wait::Time,
            due: Timestamp::UNIX_EPOCH,
            attempts,
            since: Timestamp::UNIX_EPOCH,
            last_attempt: Timestamp::UNIX_EPOCH,
            answered: false,
            spent: 0,
            reason: String::new(),
            address: None,
            release: None,
            holds: None,
            unknown: false,
            named: false,
            found: None,
            taken: false,
        }
    }

    #[test]
    fn a_half_behind_one_that_waits_goes_at_once_only_where_the_order_does_not_matter() {
        let mut progress = Progress::default();
        for waiting in [waiting(1, 2, 1), waiting(3, 4, 0)] {
            progress.waiting.insert(waiting.first, waiting);
        }
        assert!(can_go(&progress, false).any(Waiting::is_half));
        assert!(!can_go(&progress, true).any(Waiting::is_half));
        progress.waiting.remove(&1);
        assert!(can_go(&progress, true).any(Waiting::is_half));
    }
}
