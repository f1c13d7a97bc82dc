//! The verdicts file: one row for each record that is parked or was, or whose channel only accepted it
//! at first; beside the receipt, for systems that read CSV.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;

use super::Report;
use crate::disk::{self, Unfinished};
use crate::ledger::{Progress, Wait, Waiting};
use crate::model::{LateAnswer, Record};
use crate::read::{Dialect, Reader};

/// One row.
struct Row<'a> {
    record: u64,
    line: u64,
    reference: &'a str,
    outcome: &'a str,
    message: &'a str,
    time: Timestamp,
}

/// Writes `line,reference,outcome,message,time` of the file whose bytes lie at `data`, if any of its
/// records is or was parked; tells whether.
pub fn write(data: &Path, report: &Report<'_>, path: &Path) -> anyhow::Result<bool> {
    let parked: BTreeMap<u64, &Waiting> = report
        .progress
        .waiting
        .values()
        .filter(|waiting| waiting.wait != Wait::Time)
        .flat_map(|waiting| (waiting.first..=waiting.last).map(move |record| (record, waiting)))
        .filter(|(record, _)| !report.progress.is_final(*record))
        .collect();
    let cannot = || format!("{} cannot be written", path.display());
    let mut rows = Rows {
        report,
        lines: Lines { data, dialect: report.dialect, reader: None, record: Record::default() },
        parked,
        table: None,
        path,
    };
    rows.all().with_context(cannot)?;
    let Some(table) = rows.table else {
        // What was there before is no more, as where a file begins anew.
        disk::remove(path).with_context(cannot)?;
        return Ok(false);
    };
    let file = table.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
    let file = file.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
    file.replace().with_context(cannot)?;
    Ok(true)
}

struct Rows<'a> {
    report: &'a Report<'a>,
    lines: Lines<'a>,
    /// What is parked now, by record.
    parked: BTreeMap<u64, &'a Waiting>,
    table: Option<csv::Writer<BufWriter<Unfinished>>>,
    path: &'a Path,
}

impl Rows<'_> {
    /// Writes what is parked and what was, by record.
    fn all(&mut self) -> anyhow::Result<()> {
        let mut last: Option<LateAnswer> = None;
        for answer in self.report.late.iter() {
            let mut answer = answer?;
            if let Some(before) = last.take() {
                match before.record == answer.record {
                    // Of a record what came last stands.
                    true => answer.is_late |= before.is_late,
                    false => self.settled(&before)?,
                }
            }
            last = Some(answer);
        }
        if let Some(last) = last {
            self.settled(&last)?;
        }
        self.parked_before(u64::MAX)
    }

    /// Writes what is parked below a record.
    fn parked_before(&mut self, record: u64) -> anyhow::Result<()> {
        while let Some((parked, waiting)) = self.parked.first_key_value().map(|(a, b)| (*a, *b))
            && parked < record
        {
            self.parked.pop_first();
            let reference = waiting.address.as_deref().or(waiting.release.as_deref());
            let line = self.lines.of(parked);
            self.push(Row {
                record: parked,
                line,
                reference: reference.unwrap_or_default(),
                outcome: "parked",
                message: &waiting.reason,
                time: waiting.since,
            })?;
        }
        Ok(())
    }

    /// Writes a record that was parked, unless it is still, or again.
    fn settled(&mut self, answer: &LateAnswer) -> anyhow::Result<()> {
        self.parked_before(answer.record)?;
        if !answer.is_late || self.parked.contains_key(&answer.record) {
            return Ok(());
        }
        self.push(Row {
            record: answer.record,
            line: answer.line,
            reference: &answer.reference,
            outcome: outcome(self.report.progress, answer.record),
            message: &answer.message,
            time: answer.time,
        })
    }

    fn push(&mut self, row: Row<'_>) -> anyhow::Result<()> {
        let table = match &mut self.table {
            Some(table) => table,
            None => {
                let file = Unfinished::begin(self.path, super::MODE)?;
                let mut table = csv::Writer::from_writer(BufWriter::new(file));
                table.write_record(["line", "reference", "outcome", "message", "time"])?;
                self.table.insert(table)
            }
        };
        let line = match self.report.origin {
            Some(origin) => origin.line(row.record, row.line),
            None => row.line,
        };
        let time = row.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let line = line.to_string();
        table.write_record([&line, row.reference, row.outcome, row.message, &time])?;
        Ok(())
    }
}

/// The state that a record is in which is not parked.
fn outcome(progress: &Progress, record: u64) -> &'static str {
    let states = [
        ("delivered", &progress.delivered),
        ("quarantined", &progress.quarantined),
        ("superseded", &progress.superseded),
        ("discarded", &progress.discarded),
    ];
    let state = states.iter().find(|(_, records)| records.contains(record));
    state.map_or("deferred", |(state, _)| state)
}

/// The lines on which records start, asked for in their order.
struct Lines<'a> {
    data: &'a Path,
    dialect: Option<&'a Dialect>,
    reader: Option<Reader>,
    record: Record,
}

impl Lines<'_> {
    /// The line of a record; 0 if the file cannot be read any more, as when somebody changed it.
    fn of(&mut self, record: u64) -> u64 {
        if self.reader.is_none() {
            let open = self.dialect.and_then(|dialect| {
                let file = BufReader::new(File::open(self.data).ok()?);
                Reader::open(dialect, &[], Box::new(file)).ok()
            });
            self.reader = open;
        }
        let Some(reader) = &mut self.reader else { return 0 };
        while self.record.ordinal < record {
            if !reader.next(&mut self.record).unwrap_or(false) {
                return 0;
            }
        }
        self.record.place.line
    }
}
