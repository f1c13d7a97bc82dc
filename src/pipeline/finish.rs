//! The end of a file: its results are written when it is answered, and its account is closed when
//! all its records are final.

use std::sync::{Arc, PoisonError};

use anyhow::Context;
use jiff::Timestamp;

use super::{Left, Work, again};
use crate::inspect::identify;
use crate::ledger::{Account, FileCounts, Phase, Progress, Waiting};
use crate::model::Counts;
use crate::settle::{self, Report};

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
        let paused = channel.and_then(|channel| channel.lane.paused_until());
        let now = Timestamp::now();
        let waits = || {
            // What is pending could have gone, but for something that happened meanwhile.
            let pending = (counts.pending > 0).then_some(now);
            let earliest = progress.waiting.values().map(|waiting| waiting.due).min();
            let due = earliest.into_iter().chain(held).chain(pending).min();
            // While the channel is paused nothing is tried, whatever is due.
            Left::Waiting(due.map(|due| paused.map_or(due, |paused| paused.max(due))))
        };
        if paused.is_none() && progress.waiting.values().any(Waiting::is_half) {
            return Ok(Left::Halves);
        }
        if counts.pending + counts.in_flight > 0 || (held.is_some() && !settled) {
            return Ok(waits());
        }
        if !settled && self.says(counts) {
            return Ok(waits());
        }
        self.answer().await?;
        self.write(&progress, counts, settled.then(Timestamp::now)).await?;
        if !settled {
            let mut written = self.parts.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.insert(arrival, counts);
            return Ok(waits());
        }
        self.close(counts).await?;
        Ok(Left::Settled)
    }

    /// Whether the results that lie there say these counts already.
    fn says(&self, counts: Counts) -> bool {
        let written = self.parts.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(&self.account.arrival) == Some(&counts)
    }

    /// Fixes, once, when the file was answered and how its results are named.
    async fn answer(&mut self) -> anyhow::Result<()> {
        if self.account.results.is_some() {
            return Ok(());
        }
        let answered = Timestamp::now();
        let day = answered.to_zoned(jiff::tz::TimeZone::system()).date();
        self.account.answered = Some(answered);
        let names = settle::choose(self.source, &self.account.name, self.account.arrival, day)?;
        self.account.results = Some(names);
        let account = self.account.clone();
        self.parts.ledger.update(move |store| store.set_account(account)).await
    }

    async fn write(
        &self,
        progress: &Progress,
        counts: Counts,
        settled: Option<Timestamp>,
    ) -> anyhow::Result<()> {
        let spool = self.parts.spool.clone();
        let account = self.account.clone();
        let source = self.source.clone();
        let progress = progress.clone();
        let origin = again::origin(&self.parts.spool, &account)?;
        let mapping = match (&account.pinned, account.phase) {
            (Some(pinned), Phase::Open) => Some(Arc::clone(&self.parts.mapping(&pinned.bundle)?)),
            _ => None,
        };
        tokio::task::spawn_blocking(move || {
            let mut problems = spool.problems(account.arrival)?;
            if let Some(origin) = &origin {
                again::by_origin(origin, &mut problems);
            }
            let identity = match (&origin, &account.pinned) {
                (Some(origin), _) => origin.identity,
                (None, Some(pinned)) => pinned.identity,
                (None, None) => identify(&spool.data(account.arrival))?,
            };
            let names = account.results.as_ref().context("the results have no names")?;
            let report = Report {
                account: &account,
                identity,
                names,
                source: &source,
                dialect: mapping.as_ref().map(|mapping| &mapping.dialect),
                counts,
                problems: &problems,
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
        self.parts.spool.remove(arrival).context("the spool cannot be cleared")?;
        if let Some(of) = self.account.again.map(|again| again.of) {
            again::tidy(&self.parts.ledger, &self.parts.spool, vec![of]).await?;
        }
        self.parts.written.lock().unwrap_or_else(PoisonError::into_inner).remove(&arrival);
        log_settled(&self.account, counts);
        Ok(())
    }
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
