//! Receipt: what a customer is told of a file, and what stays of it.

use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Report;
use crate::disk;
use crate::ledger::Repeat;
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
    /// How many of those set aside the channel may have all the same: an attempt was not answered.
    #[serde(default)]
    pub unknown_outcome: u64,
    /// Whose repeat it is.
    pub repeat_of: Option<Repeat>,
    /// Whether the whole file was set aside.
    #[serde(default)]
    pub quarantined_whole: bool,
    /// What should be known of the file as a whole.
    #[serde(default)]
    pub warnings: Vec<String>,
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

/// Writes the receipt of a file whose results have this name.
pub fn write(report: &Report<'_>, name: &str) -> anyhow::Result<()> {
    let account = report.account;
    let pinned = account.pinned.as_ref();
    let of_file = report.problems.of_file()?;
    let mut unknown_outcome = 0;
    for problem in report.problems.iter() {
        unknown_outcome += u64::from(problem?.rule == "unknown outcome");
    }
    let problems = report.source.rejects.join(format!("{name}.problems.csv"));
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
        unknown_outcome,
        repeat_of: pinned.and_then(|pinned| pinned.repeat_of.clone()),
        quarantined_whole: of_file.iter().any(|problem| problem.level == Level::Reject),
        warnings: of_file
            .iter()
            .filter(|problem| problem.level == Level::Warn)
            .map(|problem| problem.advice.clone())
            .collect(),
    };
    let path = report.source.receipts.join(format!("{name}.receipt.json"));
    disk::write_whole(&path, &serde_json::to_vec_pretty(&receipt)?, super::MODE)
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// The path as anybody can follow it, wherever they stand.
fn whole_path(path: &Path) -> String {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name).display().to_string(),
        _ => path.display().to_string(),
    }
}
