//! Open files: whether their bytes are there, how far their accounts can be believed, and what the
//! ledger has lost of them.

use std::fs;

use anyhow::Context;
use jiff::Timestamp;

use super::{Mending, told};
use crate::inspect::{Inspection, identify};
use crate::ledger::{Account, Ordinals, Phase, Progress, Repeat, ResultNames, Settled, Waiting};
use crate::model::{Arrival, Identity, numbered};
use crate::pickup::claim;
use crate::repair::Found;
use crate::settle::Receipt;

impl Mending<'_> {
    /// An open file: whether its bytes are there, and whether its account can be believed.
    pub(super) fn file(&mut self, arrival: Arrival) -> anyhow::Result<()> {
        let Some(mut account) = self.files.get(&arrival).cloned() else { return Ok(()) };
        self.name_results(&mut account);
        self.files.insert(arrival, account.clone());
        if account.phase == Phase::Claiming {
            self.progress.remove(&arrival);
            if self.damaged {
                self.find(format!("{}: its claim is gone on with at the next run", told(&account)));
            }
            return Ok(());
        }
        if !self.spool.data(arrival).exists() {
            self.file_without_bytes(&account);
            return Ok(());
        }
        let Some(pinned) = account.pinned.as_ref().filter(|_| account.phase == Phase::Open) else {
            self.progress.remove(&arrival);
            if self.damaged {
                self.find(format!("{}: it is worked from its start", told(&account)));
            }
            return Ok(());
        };
        let inspection: Option<Inspection> = fs::read(self.spool.inspection(arrival))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let inspected = inspection.is_some_and(|inspection| {
            inspection.records == pinned.total && inspection.identity == pinned.identity
        });
        let pinned_there = self.spool.bundle(&pinned.bundle).exists();
        let total = pinned.total;
        let mut progress = self.progress.remove(&arrival).unwrap_or_default();
        let agrees = below_the_mark(&account, &progress, total);
        if inspected && pinned_there && agrees {
            if self.damaged {
                from_the_mark_on(&account, &mut progress, total);
                self.find(format!(
                    "{}: it goes on from record {}; what was sent after that is sent again, with \
                     the same keys",
                    told(&account),
                    account.mark.max(1)
                ));
            }
            self.progress.insert(arrival, progress);
            return Ok(());
        }
        // As an earlier claim it would be its own repeat; begun anew, it is judged as it was.
        if !inspected || !pinned_there || pinned.repeat_of.is_some() {
            // What a round has delivered does not return to quarantine.
            self.progress.insert(arrival, progress);
            self.begin_anew(account)?;
            return Ok(());
        }
        self.find(format!(
            "{}: some of its account is lost; it is worked again from its start, and its messages \
             carry the same keys",
            told(&account)
        ));
        let account = Account { mark: 1, messages: 0, held_until: None, ..account };
        self.files.insert(arrival, account);
        Ok(())
    }

    fn file_without_bytes(&mut self, account: &Account) {
        let arrival = account.arrival;
        self.files.remove(&arrival);
        let progress = self.progress.remove(&arrival).unwrap_or_default();
        if let Some(receipt) = self.receipt(account) {
            let (counts, whole) = (receipt.records.counts, receipt.quarantined_whole);
            let tally = self.tallies.entry(account.customer.clone()).or_default();
            tally.records.add(&counts);
            tally.files.settled += u64::from(!whole && account.excerpt_of().is_none());
            self.find(format!("{}: it was settled, says its receipt", told(account)));
            return;
        }
        let total = account.pinned.as_ref().map_or(0, |pinned| pinned.total);
        self.find(format!(
            "{}: neither its bytes nor a receipt of its end are there; {} of its {total} records \
             were delivered, what became of the others is not known: see its archive and rejects, \
             and drop it again if need be",
            told(account),
            progress.delivered.len()
        ));
        let tally = self.tallies.entry(account.customer.clone()).or_default();
        tally.records.delivered += progress.delivered.len();
    }

    /// The receipt that says that this file was settled.
    fn receipt(&self, account: &Account) -> Option<&Receipt> {
        self.of_file(account).map(|found| &found.receipt).find(|receipt| receipt.settled.is_some())
    }

    fn of_file(&self, account: &Account) -> impl Iterator<Item = &Found> {
        self.receipts.iter().filter(|Found { receipt, .. }| {
            receipt.arrival == account.arrival
                && receipt.customer == account.customer
                && receipt.file == account.name
        })
    }

    /// Results that were written before are written again under the same names.
    fn name_results(&self, account: &mut Account) {
        if account.results.is_none()
            && let Some((answered, names)) = self.names(account)
        {
            account.answered = Some(answered);
            account.results = Some(names);
        }
    }

    /// Under which names its results were written before, if they were.
    fn names(&self, account: &Account) -> Option<(Timestamp, ResultNames)> {
        self.of_file(account).find_map(|Found { receipt, file }| {
            let answered = receipt.answered?;
            let name = file.strip_suffix(".receipt.json")?;
            let suffix = (1..1000).find(|suffix| numbered(&account.name, *suffix) == name)?;
            let day = answered.to_zoned(jiff::tz::TimeZone::system()).date();
            Some((answered, ResultNames { day, suffix }))
        })
    }

    /// The file is inspected again; what came before it with the same bytes is looked up, so that
    /// a repeat stays one.
    fn begin_anew(&mut self, account: Account) -> anyhow::Result<()> {
        let arrival = account.arrival;
        if let Some(of) = account.excerpt_of() {
            return self.end_round(&account, of);
        }
        let known = account.pinned.as_ref().and_then(|pinned| pinned.repeat_of.clone());
        let data = self.spool.data(arrival);
        let identity =
            identify(&data).with_context(|| format!("{} cannot be read", data.display()))?;
        let key = (account.customer.clone(), account.source.clone(), identity);
        let earlier = known.or_else(|| self.earlier(&account, identity));
        if let Some(Repeat { name, arrival: earlier }) = earlier {
            let at = Timestamp::now();
            self.identities.insert(key, Settled { arrival: earlier, name, at });
        }
        self.progress.remove(&arrival);
        self.find(format!(
            "{}: it is worked again from its start, and its messages carry the same keys unless its \
             mapping has changed",
            told(&account)
        ));
        let mut account = Account {
            phase: Phase::Claimed,
            pinned: None,
            mark: 1,
            messages: 0,
            held_until: None,
            ..account
        };
        self.name_results(&mut account);
        self.files.insert(arrival, account);
        Ok(())
    }

    /// The newest settled file with the same bytes, of which the receipts tell.
    fn earlier(&self, account: &Account, identity: Identity) -> Option<Repeat> {
        self.receipts
            .iter()
            .map(|found| &found.receipt)
            .filter(|receipt| receipt.customer == account.customer)
            .filter(|receipt| receipt.source == account.source && receipt.identity == identity)
            .filter(|receipt| receipt.arrival < account.arrival)
            .filter(|receipt| receipt.settled.is_some() && !receipt.quarantined_whole)
            .filter(|receipt| !receipt.is_excerpt() && !receipt.tried_nothing())
            .max_by_key(|receipt| receipt.arrival)
            .map(|receipt| Repeat { name: receipt.file.clone(), arrival: receipt.arrival })
    }

    /// Files that the ledger has lost. What a ledger that is whole does not know of the arrivals
    /// that it has given out, is left over, and the next run removes it.
    pub(super) fn files_without_account(&mut self, given_out: u64) -> anyhow::Result<()> {
        for arrival in self.spool.arrivals()? {
            let left_over = !self.damaged && arrival.0 < given_out;
            if left_over || self.files.contains_key(&arrival) || self.ended.contains(&arrival) {
                continue;
            }
            let folder = self.spool.folder(arrival);
            let there = self.spool.data(arrival).exists();
            let slip = self.spool.slip(arrival);
            let again = folder.join("origin.json").exists();
            match slip {
                Some(slip) if !again => {
                    let mut account = claim::account(arrival, slip);
                    if self.receipt(&account).is_some() {
                        // A run removes what is left of it.
                        continue;
                    }
                    match there {
                        true => self.begin_anew(account)?,
                        false => {
                            account.phase = Phase::Claiming;
                            self.find(format!(
                                "{}: its claim is gone on with at the next run",
                                told(&account)
                            ));
                            self.files.insert(arrival, account);
                        }
                    }
                }
                _ if there => {
                    let aside = self.spool.set_aside(arrival)?;
                    self.find(format!(
                        "arrival {arrival}: its account is lost, and it is not known how it is to \
                         be worked; it lies in {} now: drop it again if need be",
                        aside.display()
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether every record below the mark is final, in one state only, or waits.
fn below_the_mark(account: &Account, progress: &Progress, total: u64) -> bool {
    let end = account.mark.max(1) - 1;
    let sets =
        [&progress.delivered, &progress.quarantined, &progress.superseded, &progress.discarded];
    let in_two = sets.iter().enumerate().any(|(at, set)| {
        set.ranges().into_iter().any(|(first, last)| {
            let others = &sets[at + 1..];
            last > total || first == 0 || others.iter().any(|other| other.count(first, last) > 0)
        })
    });
    if in_two || end > total {
        return false;
    }
    let mut behind = 0;
    let mut waiting = 0;
    for waits in progress.waiting.values() {
        let Waiting { first, last, .. } = *waits;
        // What waits was cut below the mark, each record at most once, and is not final.
        if first <= behind || first > last || last > total {
            return false;
        }
        behind = last;
        let open = progress.open_between(first, last);
        if open == 0 {
            return false;
        }
        waiting += match last <= end {
            true => open,
            false => 0,
        };
    }
    end == 0 || progress.open_between(1, end) == waiting
}

/// Drops what is known from the mark on: of a message that was noted in part, none may be taken
/// to be sent.
pub(super) fn from_the_mark_on(account: &Account, progress: &mut Progress, total: u64) {
    let mark = account.mark.max(1);
    // What was discarded before the first cut tells where the cuts are.
    let repeats = account.pinned.as_ref().is_some_and(|pinned| pinned.repeat_of.is_some());
    let drop_in = |set: &mut Ordinals| {
        if mark <= total {
            set.remove(mark, total);
        }
    };
    drop_in(&mut progress.delivered);
    drop_in(&mut progress.quarantined);
    drop_in(&mut progress.superseded);
    if !repeats {
        drop_in(&mut progress.discarded);
    }
    progress.waiting.retain(|first, _| *first < mark);
}
