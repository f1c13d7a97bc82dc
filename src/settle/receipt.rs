//! Receipt: what a customer is told of a file, and what stays of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Report;
use crate::disk;
use crate::ledger::{Account, How, Repeat};
use crate::model::{Arrival, Counts, Identity, Level};

/// The receipt of a file (design, section 4.5). Written when the file is answered, and replaced
/// until it is settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The file's name as it was found.
    pub file: String,
    /// BLAKE3 of its bytes.
    pub identity: Identity,
    /// The pick-up's number.
    pub arrival: Arrival,
    /// The customer's id.
    pub customer: String,
    /// The source's name.
    pub source: String,
    /// The mapping's name; none for a file without a route.
    pub mapping: Option<String>,
    /// The channel's name; none for a file without a route.
    pub channel: Option<String>,
    /// When it was claimed.
    pub picked_up: Timestamp,
    /// When nothing was pending or in flight any more.
    pub answered: Option<Timestamp>,
    /// When all its records were final.
    pub settled: Option<Timestamp>,
    /// How many records it has, and how many are in each state.
    pub records: Records,
    /// How many messages were answered finally.
    pub messages: u64,
    /// The problems file, if there is one.
    pub problems: Option<String>,
    /// The verdicts file, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<String>,
    /// How many of those set aside the channel may have all the same: an attempt was not answered.
    #[serde(default)]
    pub unknown_outcome: u64,
    /// Whose repeat it is.
    pub repeat_of: Option<Repeat>,
    /// Whose records these are, if they were set aside and are tried again.
    #[serde(default)]
    pub retry_of: Option<Round>,
    /// Whose records these are, if they were delivered and are sent again.
    #[serde(default)]
    pub resend_of: Option<Round>,
    /// Which records are in which final state, by their numbers in the file, such as `3,7-9`.
    #[serde(default)]
    pub ordinals: BTreeMap<String, String>,
    /// Where the file lies as it came; none of records that are worked again.
    #[serde(default)]
    pub archive: Option<String>,
    /// Whether the whole file was set aside.
    #[serde(default)]
    pub quarantined_whole: bool,
    /// What should be known of the file as a whole.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// An earlier pick-up whose records are worked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// The file's name then.
    pub name: String,
    /// Its number.
    pub arrival: Arrival,
    /// The pick-up that its records' age is counted from.
    pub age: Arrival,
    /// How many rounds there were with this one.
    pub generation: u32,
    /// Whether the whole file begins anew.
    pub whole: bool,
}

/// The number of records, in all and in each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// In all.
    pub total: u64,
    /// In each state.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Receipt {
    /// The pick-up by which its records are numbered.
    pub fn numbered_by(&self) -> Arrival {
        self.round().filter(|round| !round.whole).map_or(self.arrival, |round| round.arrival)
    }

    /// Whether it tells of an excerpt, and not of a file that came.
    pub fn is_excerpt(&self) -> bool {
        self.round().is_some_and(|round| !round.whole)
    }

    /// Whether it is a repeat of which nothing was tried.
    pub fn tried_nothing(&self) -> bool {
        self.repeat_of.is_some() && self.records.counts.discarded == self.records.total
    }

    /// The records in a final state, as ranges, both ends inclusive.
    pub fn ordinals_in(&self, state: &str) -> Vec<(u64, u64)> {
        let text = self.ordinals.get(state).map_or("", String::as_str);
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        text.split(',').filter_map(range).filter(|(first, last)| first <= last).collect()
    }

    fn round(&self) -> Option<&Round> {
        self.retry_of.as_ref().or(self.resend_of.as_ref())
    }
}

/// Writes the receipt of a file whose results have this name.
pub fn write(report: &Report<'_>, name: &str, verdicts: Option<&Path>) -> anyhow::Result<()> {
    let account = report.account;
    let pinned = account.pinned.as_ref();
    let of_file = report.problems.of_file()?;
    let mut unknown_outcome = 0;
    for problem in report.problems.iter() {
        unknown_outcome += u64::from(problem?.rule == "unknown outcome");
    }
    let problems = report.folders.rejects.join(format!("{name}.problems.csv"));
    let receipt = Receipt {
        file: account.name.clone(),
        identity: report.identity,
        arrival: account.arrival,
        customer: account.customer.clone(),
        source: account.source.clone(),
        mapping: pinned.map(|pinned| pinned.mapping.clone()),
        channel: pinned.map(|pinned| pinned.channel.clone()),
        picked_up: account.picked_up,
        answered: account.answered,
        settled: report.settled,
        records: Records { total: report.counts.total(), counts: report.counts },
        messages: account.messages,
        problems: (!report.problems.is_empty()).then(|| whole_path(&problems)),
        verdicts: verdicts.map(whole_path),
        unknown_outcome,
        repeat_of: pinned.and_then(|pinned| pinned.repeat_of.clone()),
        retry_of: round(account, |how| how != How::Resend),
        resend_of: round(account, |how| how == How::Resend),
        ordinals: ordinals(report),
        archive: report.archive(name).map(|path| whole_path(&path)),
        quarantined_whole: of_file.iter().any(|problem| problem.level == Level::Reject),
        warnings: of_file
            .iter()
            .filter(|problem| problem.level == Level::Warn)
            .map(|problem| problem.advice.clone())
            .collect(),
    };
    let path = report.folders.receipts.join(format!("{name}.receipt.json"));
    disk::write_whole(&path, &serde_json::to_vec_pretty(&receipt)?, super::MODE)
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn round(account: &Account, is_meant: impl Fn(How) -> bool) -> Option<Round> {
    let again = account.again.filter(|again| is_meant(again.how))?;
    Some(Round {
        name: account.name.clone(),
        arrival: again.of,
        age: again.age,
        generation: again.generation,
        whole: again.how == How::Whole,
    })
}

fn ordinals(report: &Report<'_>) -> BTreeMap<String, String> {
    let progress = report.progress;
    let sets = [
        ("delivered", &progress.delivered),
        ("quarantined", &progress.quarantined),
        ("superseded", &progress.superseded),
        ("discarded", &progress.discarded),
    ];
    sets.into_iter()
        .filter(|(_, set)| !set.is_empty())
        .map(|(state, set)| {
            let ranges = set.ranges();
            let ranges = report.origin.map_or(ranges.clone(), |origin| origin.ranges(&ranges));
            let written = ranges.iter().map(|(first, last)| match first == last {
                true => first.to_string(),
                false => format!("{first}-{last}"),
            });
            (state.to_owned(), written.collect::<Vec<_>>().join(","))
        })
        .collect()
}

/// The path as anybody can follow it, wherever they stand.
fn whole_path(path: &Path) -> String {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name).display().to_string(),
        _ => path.display().to_string(),
    }
}
