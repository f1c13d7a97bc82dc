//! The beginning of a file: which route it takes, whether it is sound, whether it came before; and
//! what its claim pins.

use std::io;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;

use super::{Pinnable, Setup, Work};
use crate::config::{ChannelKind, Customer, Route};
use crate::disk::Look;
use crate::inspect::{Inspection, changed, identify, inspect};
use crate::ledger::{Account, Change, Ordinals, Phase, Pinned, Progress, Repeat, Settled, Store};
use crate::model::{Arrival, Identity, Level, Problem, State};
use crate::read::{Layout, Unsound};
use crate::spool::write_whole;

/// Room for the body of a call to CPu, which is far smaller.
const CPU_BYTES: u64 = 64 * 1024;

impl<'a> Work<'a> {
    /// Inspects a claimed file and pins how it is worked, or sets it aside whole.
    pub async fn begin(&mut self) -> anyhow::Result<()> {
        // A claim that was broken off here is begun anew: nothing of it was sent.
        self.parts.spool.retain_problems(self.account.arrival, |_| false)?;
        self.parts.spool.forget_late(self.account.arrival)?;
        let customer: &'a Customer = self.customer;
        let Some(route) = customer.route(&self.account.source, &self.account.name) else {
            let problem = self.no_route();
            return self.refuse(None, problem).await;
        };
        let setup: &'a Setup = self.setup;
        let pinnable = setup
            .mappings
            .get(&route.mapping)
            .with_context(|| format!("the mapping \"{}\" is not loaded", route.mapping))?;
        let path = self.data();
        let mapping = Arc::clone(&pinnable.mapping);
        let (spool, arrival) = (self.parts.spool.clone(), self.account.arrival);
        let inspected = tokio::task::spawn_blocking(move || {
            let claimed = spool.slip(arrival).and_then(|slip| slip.look);
            let look = Look::at(&path)?;
            if claimed.is_some_and(|claimed| !claimed.may_be(&look)) {
                return Ok((identify(&path)?, Err(changed())));
            }
            if std::fs::metadata(&path)?.len() == 0 {
                let identity = identify(&path)?;
                return Ok((identity, Ok(nothing(identity, Some(look)))));
            }
            inspect(&path, &mapping.dialect, &mapping.selectors)
        })
        .await?
        .map_err(|error: io::Error| anyhow::anyhow!(error))
        .with_context(|| format!("{} cannot be inspected", self.data().display()))?;
        match inspected {
            (identity, Err(unsound)) => {
                let problem = of_unsound(&unsound);
                self.refuse(Some((identity, route, pinnable)), problem).await
            }
            (_, Ok(inspection)) => self.pin(route, pinnable, &inspection).await,
        }
    }

    fn no_route(&self) -> Problem {
        let mut patterns: Vec<(f64, &str)> = self
            .customer
            .routes
            .iter()
            .filter(|route| route.source == self.account.source)
            .map(|route| {
                let likeness = strsim::jaro_winkler(
                    &self.account.name.to_lowercase(),
                    &route.files.to_lowercase(),
                );
                (likeness, route.files.as_str())
            })
            .collect();
        patterns.sort_by(|a, b| b.0.total_cmp(&a.0));
        let nearest: Vec<String> =
            patterns.iter().take(3).map(|(_, pattern)| format!("\"{pattern}\"")).collect();
        let advice = match nearest.is_empty() {
            true => format!(
                "source {} has no routes; add one to {}",
                self.account.source,
                self.customer.file.display()
            ),
            false => format!(
                "no route of source {} matches this name; the nearest take {}; rename the file or \
                 add a route to {}",
                self.account.source,
                nearest.join(", "),
                self.customer.file.display()
            ),
        };
        Problem::of_file("route", self.account.name.clone(), advice)
    }

    async fn pin(
        &mut self,
        route: &Route,
        pinnable: &Arc<Pinnable>,
        inspection: &Inspection,
    ) -> anyhow::Result<()> {
        let arrival = self.account.arrival;
        let spool = &self.parts.spool;
        let (path, kept) = (spool.inspection(arrival), serde_json::to_vec(inspection)?);
        let (bundle, pinned) = (spool.bundle(&pinnable.hash), Arc::clone(pinnable));
        tokio::task::spawn_blocking(move || {
            write_whole(&path, &kept, 0o600)?;
            keep(&bundle, &pinned)
        })
        .await??;
        if inspection.records == 0 {
            let warning = Problem {
                level: Level::Warn,
                ..Problem::of_file("empty", "", "the file holds no records; nothing was sent")
            };
            spool.note_problems(arrival, &[warning])?;
        }
        self.account.phase = Phase::Open;
        self.account.pinned = Some(self.pinned(route, pinnable, inspection));
        let mut account = self.account.clone();
        let send_repeats = route.send_repeats;
        let records = inspection.records;
        self.account = self
            .parts
            .ledger
            .change(move |store| {
                let (customer, source) = (account.customer.clone(), account.source.clone());
                let Some(pinned) = account.pinned.as_mut() else { return Ok(account) };
                let identity = pinned.identity;
                let earlier = store
                    .settled(&customer, &source, &identity)?
                    .filter(|earlier| earlier.arrival != arrival);
                let mut repeats = Vec::new();
                let mut settled =
                    Settled { arrival, name: account.name.clone(), at: Timestamp::now() };
                if let Some(earlier) = &earlier {
                    pinned.repeat_of =
                        Some(Repeat { name: earlier.name.clone(), arrival: earlier.arrival });
                    if !send_repeats {
                        let failed = failed(store, earlier.arrival)?;
                        repeats = failed.others(records);
                        // One that tries nothing does not stand for the earlier one.
                        if failed.is_empty() {
                            settled.arrival = earlier.arrival;
                            settled.name = earlier.name.clone();
                        }
                    }
                }
                store.set_account(account.clone());
                if !repeats.is_empty() {
                    store.change(arrival, vec![Change::Final(State::Discarded, repeats)])?;
                }
                store.remember(&customer, &source, &identity, &settled);
                Ok(account)
            })
            .await?;
        Ok(())
    }

    fn pinned(&self, route: &Route, pinnable: &Pinnable, inspection: &Inspection) -> Pinned {
        Pinned {
            date: self.account.picked_up.to_zoned(jiff::tz::TimeZone::system()).date(),
            generation: self.account.again.map_or(0, |again| again.generation),
            ..pinned(self.customer, route, pinnable, inspection)
        }
    }

    /// Sets the whole file aside; its results are written by `finish`.
    async fn refuse(
        &mut self,
        known: Option<(Identity, &Route, &Pinnable)>,
        problem: Problem,
    ) -> anyhow::Result<()> {
        let arrival = self.account.arrival;
        tracing::warn!(
            customer = %self.account.customer,
            file.name = %self.account.name,
            "Set aside whole: {} ({})",
            problem.advice,
            problem.rule
        );
        self.parts.spool.note_problems(arrival, &[problem])?;
        self.account.phase = Phase::Refused;
        self.account.pinned = known.map(|(identity, route, pinnable)| {
            self.pinned(route, pinnable, &nothing(identity, None))
        });
        let account = self.account.clone();
        self.parts.ledger.update(move |store| store.set_account(account)).await
    }
}

/// What a repeat of this pick-up is to try: all that it has left set aside. While some of it is
/// being worked, more may be, and nobody else tries any of it.
fn failed(store: &Store, earlier: Arrival) -> anyhow::Result<Ordinals> {
    let is_worked = |(account, _): &(Account, Progress)| {
        account.arrival == earlier || account.excerpt_of() == Some(earlier)
    };
    match store.files.values().any(is_worked) {
        true => Ok(Ordinals::default()),
        false => store.left_quarantined(earlier),
    }
}

/// The inspection of a file without records.
fn nothing(identity: Identity, look: Option<Look>) -> Inspection {
    let (marks, layout) = (Vec::new(), Layout::default());
    Inspection { identity, size: 0, records: 0, marks, layout, look }
}

/// Keeps what a mapping was compiled from, once.
pub fn keep(path: &std::path::Path, pinnable: &Pinnable) -> anyhow::Result<()> {
    if path.exists() {
        // Those that were pinned lately are not cleared, even before their claim is noted.
        let pinned_now = std::fs::File::open(path)
            .and_then(|file| file.set_modified(std::time::SystemTime::now()));
        return pinned_now.with_context(|| format!("{} cannot be kept", path.display()));
    }
    write_whole(path, &serde_json::to_vec(&pinnable.bundle)?, 0o600)
}

/// What a file pins that is begun today.
pub fn pinned(
    customer: &Customer,
    route: &Route,
    pinnable: &Pinnable,
    inspection: &Inspection,
) -> Pinned {
    let (batch_records, batch_bytes) =
        match customer.channels.get(&route.channel).map(|channel| &channel.kind) {
            Some(ChannelKind::Ingestion(channel)) => {
                (channel.batch_records as u64, channel.batch_bytes as u64)
            }
            // A call to SCR takes no room of bytes.
            Some(ChannelKind::Scr(_)) | None => (1, u64::MAX),
            Some(ChannelKind::Cpu(channel)) => (channel.batch_records as u64, CPU_BYTES),
        };
    Pinned {
        identity: inspection.identity,
        total: inspection.records,
        mapping: route.mapping.clone(),
        bundle: pinnable.hash.clone(),
        channel: route.channel.clone(),
        batch_records,
        batch_bytes,
        date: jiff::Zoned::now().date(),
        generation: 0,
        repeat_of: None,
    }
}

fn of_unsound(unsound: &Unsound) -> Problem {
    let advice = format!("line {}, byte {}: {}", unsound.line, unsound.byte, unsound.advice);
    Problem::of_file(unsound.rule, unsound.what.clone(), advice)
}
