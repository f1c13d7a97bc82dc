//! Report: what came of the demo, gathered from the files that a customer sees, and checked against
//! the ledger and against what the stand-in counted.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::api::{audit, status};
use crate::config::{Channel, ChannelKind, Config, Source};
use crate::ledger::Wait;
use crate::model::{Arrival, Counts, Level, Problem};
use crate::pipeline::Parts;
use crate::read::Format;
use crate::sandbox::Stats;
use crate::settle::Receipt;

/// The most calls that may be open at one SCR API (design, section 3.5).
const OPEN_AT_MOST: u64 = 20;

/// What came of the demo.
pub struct Report {
    customers: Vec<OfCustomer>,
    records: Counts,
    /// What should not be; empty when all is well.
    pub faults: Vec<String>,
}

struct OfCustomer {
    name: String,
    files: Vec<OfFile>,
    channels: Vec<String>,
    /// Where its files were dropped, and its results are.
    folders: Vec<String>,
}

struct OfFile {
    receipt: Receipt,
    format: &'static str,
    problems: Vec<Problem>,
    /// What it is parked for, with the records.
    parked: BTreeMap<String, Vec<u64>>,
}

impl Report {
    /// Reads receipts and problems, and adds up.
    pub async fn gather(folder: &Path, parts: &Parts, stats: &Stats) -> anyhow::Result<Report> {
        let mut parked = parked(parts).await?;
        let setup = parts.setup();
        let config = &setup.config;
        let mut customers = Vec::new();
        let mut records = Counts::default();
        let mut faults = Vec::new();
        for customer in config.customers.values() {
            let mut files = Vec::new();
            let mut folders = Vec::new();
            for source in customer.sources.values() {
                let taken = source.local_folder().map(|taken| taken.display().to_string());
                folders.extend(taken.map(|taken| seen_from(folder, &taken)));
                for receipt in receipts(source)? {
                    records.add(&receipt.records.counts);
                    files.push(OfFile {
                        format: format_of(parts, &receipt),
                        problems: problems(folder, &receipt)?,
                        parked: parked.remove(&receipt.arrival).unwrap_or_default(),
                        receipt,
                    });
                }
            }
            let mut channels = Vec::new();
            for channel in customer.channels.values() {
                let delivered = files
                    .iter()
                    .filter(|file| file.receipt.channel.as_ref() == Some(&channel.name))
                    .map(|file| file.receipt.records.counts.delivered)
                    .sum();
                channels.push(calls(config, channel, stats, delivered, &mut faults));
            }
            let name = format!("{} ({})", customer.name, customer.id);
            customers.push(OfCustomer { name, files, channels, folders });
        }
        let audit = audit::check(&parts.ledger, &parts.spool).await?;
        if audit.records != records {
            faults.push("the receipts and the ledger tell different numbers".to_owned());
        }
        faults.extend(audit.faults);
        let Parts { ledger, waiting, sights, .. } = parts;
        let status = status::gather(ledger, config, &setup.channels, waiting, sights).await?;
        faults.extend(status.alarms.into_iter().map(|alarm| {
            format!("alarm {} of {}: {}", alarm.kind.word(), alarm.customer, alarm.advice)
        }));
        Ok(Report { customers, records, faults })
    }

    /// The report for a person; `kept` tells that the folder can be looked into afterwards.
    pub fn text(&self, kept: bool) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut text, kept);
        text
    }

    fn write(&self, text: &mut String, kept: bool) -> std::fmt::Result {
        writeln!(
            text,
            "The systems of {} customers dropped {} files. Each record was read, mapped and sent to a\n\
             stand-in of the port's servers on this machine.",
            self.customers.len(),
            self.customers.iter().map(|customer| customer.files.len()).sum::<usize>()
        )?;
        for customer in &self.customers {
            customer.write(text)?;
        }
        writeln!(text, "\nWhere the results are, below each customer's folder:")?;
        for (folder, what) in [
            ("archive/<day>/<file>", "the file as it came"),
            ("rejects/<file>", "only the rejected records, as they came: correct and drop again"),
            ("rejects/<file>.problems.csv", "what is wrong with each, and what to do"),
            ("receipts/<file>.receipt.json", "the account of the file"),
            ("receipts/<file>.verdicts.csv", "what came of each call that is answered later"),
        ] {
            writeln!(text, "  {folder:<30} {what}")?;
        }
        if !kept {
            writeln!(
                text,
                "The demo's folder is removed again; `lighterman demo --keep` keeps it."
            )?;
        }
        let records = &self.records;
        write!(text, "\nIn all {} records: {} delivered, ", records.total(), records.delivered)?;
        write!(text, "{} rejected, {} parked", records.quarantined, records.parked)?;
        for (count, state) in [
            (records.superseded, "superseded"),
            (records.discarded, "discarded"),
            (records.deferred, "to be tried again"),
            (records.pending + records.in_flight, "not sent"),
        ] {
            if count > 0 {
                write!(text, ", {count} {state}")?;
            }
        }
        match self.faults.is_empty() {
            true => writeln!(text, ".\nThe ledger accounts for every one of them.")?,
            false => writeln!(text, ".\nThis is not as it should be:")?,
        }
        for fault in &self.faults {
            writeln!(text, "  {fault}")?;
        }
        Ok(())
    }
}

impl OfCustomer {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n{}, in {}", self.name, self.folders.join(" and "))?;
        for file in &self.files {
            let counts = &file.receipt.records.counts;
            write!(
                text,
                "  {:<28} {:<4} {:>4} records: {:>4} delivered, {:>2} rejected",
                file.receipt.file,
                file.format,
                counts.total(),
                counts.delivered,
                counts.quarantined
            )?;
            if counts.parked > 0 {
                write!(text, ", {} parked", counts.parked)?;
            }
            writeln!(text)?;
        }
        for channel in &self.channels {
            writeln!(text, "  {channel}")?;
        }
        self.write_problems(text, Level::Reject, "Rejected, with an example of each rule:")?;
        self.write_problems(text, Level::Warn, "Delivered all the same, with a warning:")?;
        for file in &self.files {
            for (reason, records) in &file.parked {
                let list: Vec<String> = records.iter().map(u64::to_string).collect();
                writeln!(
                    text,
                    "  Parked in {}: records {}: {reason}; looked up again by itself",
                    file.receipt.file,
                    list.join(", ")
                )?;
            }
        }
        Ok(())
    }

    /// The problems of one level by rule, the first of each told in full.
    fn write_problems(&self, text: &mut String, level: Level, title: &str) -> std::fmt::Result {
        let mut rules: BTreeMap<&str, Vec<(&str, &Problem)>> = BTreeMap::new();
        for file in &self.files {
            for problem in file.problems.iter().filter(|problem| problem.level == level) {
                rules.entry(&problem.rule).or_default().push((&file.receipt.file, problem));
            }
        }
        if rules.is_empty() {
            return Ok(());
        }
        writeln!(text, "  {title}")?;
        for (rule, found) in &rules {
            let Some((file, problem)) = found.first() else { continue };
            let Problem { line, field, value, advice, .. } = problem;
            let value = match value.as_str() {
                "" => String::new(),
                value => format!(" \"{value}\""),
            };
            let what = format!("{field}{value}");
            writeln!(
                text,
                "    {:>2} × {rule:<9} {file}, line {line}: {}",
                found.len(),
                what.trim()
            )?;
            writeln!(text, "{:19}{advice}", "")?;
        }
        Ok(())
    }
}

/// What was called for a channel, as the stand-in counted it, and whether that fits what was
/// delivered.
fn calls(
    config: &Config,
    channel: &Channel,
    stats: &Stats,
    delivered: u64,
    faults: &mut Vec<String>,
) -> String {
    let name = &channel.name;
    match &channel.kind {
        ChannelKind::Ingestion(ingestion) => {
            let id = ingestion.url.rsplit('/').next().unwrap_or_default();
            let counted = stats.ingestion.by_channel.get(id).cloned().unwrap_or_default();
            if counted.records != delivered || counted.repeated_keys > 0 {
                faults.push(format!(
                    "channel {name}: {delivered} records were delivered, but {} arrived, {} \
                     requests twice",
                    counted.records, counted.repeated_keys
                ));
            }
            format!(
                "{} requests to the ingestion channel \"{name}\" carried {} records, at most {} a request",
                counted.calls, counted.records, ingestion.batch_records
            )
        }
        ChannelKind::Cpu(_) => format!("{delivered} calls to CPu were done"),
        ChannelKind::Scr(scr) => {
            let url = config.scr.get(&scr.api).map_or("", |api| api.url.as_str());
            let counted = stats.scr.iter().find(|(path, _)| url.ends_with(path.as_str()));
            let counted = counted.map(|(_, counted)| counted.clone()).unwrap_or_default();
            if counted.accepted != delivered || counted.highest_open > OPEN_AT_MOST {
                faults.push(format!(
                    "channel {name}: {delivered} records were delivered, but {} calls were carried \
                     out, up to {} at once",
                    counted.accepted, counted.highest_open
                ));
            }
            let count = |action: &str| counted.by_action.get(action).copied().unwrap_or_default();
            format!(
                "{} calls to the SCR API \"{}\" ({} assign, {} unassign) and {} look-ups; at most {} \
                 calls were open at once",
                counted.writes,
                scr.api,
                count("assign"),
                count("unassign"),
                counted.reads,
                counted.highest_open
            )
        }
    }
}

/// What waits for a release, by arrival, reason and record.
async fn parked(parts: &Parts) -> anyhow::Result<BTreeMap<Arrival, BTreeMap<String, Vec<u64>>>> {
    parts
        .ledger
        .change(|store| {
            let mut parked = BTreeMap::<Arrival, BTreeMap<String, Vec<u64>>>::new();
            for (arrival, (_, progress)) in &store.files {
                let of_file = parked.entry(*arrival).or_default();
                for waiting in progress.waiting.values().filter(|one| one.wait != Wait::Time) {
                    of_file.entry(waiting.reason.clone()).or_default().push(waiting.first);
                }
            }
            Ok(parked)
        })
        .await
}

/// The receipts of a source, by the files' names.
fn receipts(source: &Source) -> anyhow::Result<Vec<Receipt>> {
    let folder = &source.receipts;
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    let mut receipts = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let receipt = serde_json::from_slice::<Receipt>(&fs::read(&path)?)
            .with_context(|| format!("{} is no receipt", path.display()))?;
        receipts.push(receipt);
    }
    receipts.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(receipts)
}

fn problems(folder: &Path, receipt: &Receipt) -> anyhow::Result<Vec<Problem>> {
    let Some(path) = &receipt.problems else { return Ok(Vec::new()) };
    let mut table =
        csv::Reader::from_path(path).with_context(|| format!("{path} cannot be read"))?;
    let mut problems = Vec::new();
    for problem in table.deserialize() {
        let mut problem: Problem =
            problem.with_context(|| format!("{path} is no problems file"))?;
        problem.advice = seen_from(folder, &problem.advice);
        problems.push(problem);
    }
    Ok(problems)
}

fn format_of(parts: &Parts, receipt: &Receipt) -> &'static str {
    let setup = parts.setup();
    let mapping = receipt.mapping.as_ref().and_then(|name| setup.mappings.get(name));
    match mapping.map(|pinnable| &pinnable.mapping.dialect.format) {
        Some(Format::Csv(_)) => "CSV",
        Some(Format::Fixed(_)) => "fixed width",
        Some(Format::Xml(_)) => "XML",
        Some(Format::Json(_)) | Some(Format::Ndjson) => "JSON",
        None => "",
    }
}

/// A text with the paths in it as they are seen from the demo's folder.
fn seen_from(folder: &Path, text: &str) -> String {
    text.replace(&format!("{}/customers/../", folder.display()), "")
        .replace(&format!("{}/", folder.display()), "")
}
