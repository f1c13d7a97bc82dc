//! A file that was written to after records of it were sent: nothing more of it is sent, and what is
//! open of it is set aside.

use super::{Work, again};
use crate::inspect::CHANGED;
use crate::ledger::{Account, Change, Ordinals, Progress};
use crate::model::{Level, Problem, State};

/// How many problems are noted at once.
const AT_ONCE: usize = 10_000;

/// The rule by which such a file and its records are told.
pub const RULE: &str = "changed";

impl Work<'_> {
    /// Sets aside what is open of the file.
    pub async fn set_aside_the_rest(&self) -> anyhow::Result<()> {
        let arrival = self.account.arrival;
        let found =
            self.parts.ledger.change(move |store| Ok(store.files.get(&arrival).cloned())).await?;
        let Some((account, progress)) = found else { return Ok(()) };
        let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
        let open = open_of(&progress, total);
        tracing::error!(
            customer = %account.customer,
            file.name = %account.name,
            "The file was written to while it was worked; the rest is set aside: {CHANGED}"
        );
        let origin = again::origin(&self.parts.spool, &account)?;
        let age = account.again.map_or(arrival, |again| again.age);
        let numbers = origin.map_or_else(|| open.clone(), |origin| origin.ranges(&open));
        let (spool, ranges, told) = (self.parts.spool.clone(), open.clone(), account.clone());
        tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            spool.note_problems(arrival, &[of_file(&told, &progress)])?;
            let mut records = ranges.into_iter().flat_map(|(first, last)| first..=last).peekable();
            while records.peek().is_some() {
                let some: Vec<Problem> = records.by_ref().take(AT_ONCE).map(of_record).collect();
                spool.note_problems(arrival, &some)?;
            }
            Ok(())
        })
        .await??;
        self.parts
            .ledger
            .change(move |store| {
                store.free_releases(|(of, ordinal)| {
                    let holds = |(first, last): &(u64, u64)| (*first..=*last).contains(&ordinal);
                    of == age && numbers.iter().any(holds)
                })?;
                let waiting = store.files.get(&arrival).map(|(_, progress)| &progress.waiting);
                let waiting: Vec<u64> =
                    waiting.into_iter().flat_map(|all| all.keys().copied()).collect();
                let mut changes: Vec<Change> = waiting.into_iter().map(Change::Unwait).collect();
                changes.push(Change::Final(State::Quarantined, open));
                changes.extend([Change::Hold(None), Change::Mark(total + 1)]);
                store.change(arrival, changes)
            })
            .await
    }
}

fn of_file(account: &Account, progress: &Progress) -> Problem {
    let sent = progress.delivered.len();
    Problem {
        level: Level::Warn,
        ..Problem::of_file(
            RULE,
            account.name.clone(),
            format!(
                "the file was written to after {sent} of its records had been delivered; compare \
                 the rejects with what was delivered before they are dropped again; {CHANGED}"
            ),
        )
    }
}

/// Where the record stands by now nobody knows.
fn of_record(record: u64) -> Problem {
    Problem { record, ..Problem::of_file(RULE, "", CHANGED) }
}

/// The records that are not final, as ranges.
fn open_of(progress: &Progress, total: u64) -> Vec<(u64, u64)> {
    let mut done = Ordinals::default();
    for set in
        [&progress.delivered, &progress.quarantined, &progress.superseded, &progress.discarded]
    {
        for (first, last) in set.ranges() {
            done.insert(first, last);
        }
    }
    done.others(total)
}
