//! What is left behind: receipts, rejects and problems in a customer's folders, and what the
//! channel took.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use lighterman::sandbox::Call;
use serde::Deserialize;
use serde_json::Value;

use super::{Port, Provider, until};

/// One row of a problems file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Problem {
    pub record: u64,
    pub line: u64,
    pub level: String,
    pub field: String,
    pub value: String,
    pub rule: String,
    pub advice: String,
}

/// One row of a verdicts file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    pub line: u64,
    pub reference: String,
    pub outcome: String,
    pub message: String,
    pub time: jiff::Timestamp,
}

impl Verdict {
    /// The row but for its time.
    pub fn told(&self) -> (u64, &str, &str, &str) {
        (self.line, &self.reference, &self.outcome, &self.message)
    }
}

impl Provider {
    /// The receipt of a file.
    #[track_caller]
    pub fn receipt(&self, customer: &str, file: &str) -> Value {
        let path = self.inbox(customer).join(format!("receipts/{file}.receipt.json"));
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// All receipts of a customer, by the names of the results.
    pub fn receipts(&self, customer: &str) -> BTreeMap<String, Value> {
        let names = self.names(customer, "receipts").into_iter();
        names
            .filter_map(|name| name.strip_suffix(".receipt.json").map(str::to_owned))
            .map(|name| (name.clone(), self.receipt(customer, &name)))
            .collect()
    }

    /// The rejects of a file; none if there are none.
    pub fn rejects(&self, customer: &str, file: &str) -> Option<Vec<u8>> {
        fs::read(self.inbox(customer).join("rejects").join(file)).ok()
    }

    /// The problems of a file.
    pub fn problems(&self, customer: &str, file: &str) -> Vec<Problem> {
        let path = self.inbox(customer).join(format!("rejects/{file}.problems.csv"));
        match csv::Reader::from_path(path) {
            Ok(mut rows) => rows.deserialize().map(Result::unwrap).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// The rows of a file's verdicts file; none without one.
    pub fn verdicts(&self, customer: &str, file: &str) -> Vec<Verdict> {
        let path = self.inbox(customer).join(format!("receipts/{file}.verdicts.csv"));
        match csv::Reader::from_path(path) {
            Ok(mut rows) => rows.deserialize().map(Result::unwrap).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// The archived file, of whatever day.
    pub fn archived(&self, customer: &str, file: &str) -> Option<Vec<u8>> {
        let days = self.names(customer, "archive");
        let archive = self.inbox(customer).join("archive");
        days.iter().find_map(|day| fs::read(archive.join(day).join(file)).ok())
    }

    /// The names in one of a customer's folders, sorted; none if the folder is not there.
    pub fn names(&self, customer: &str, folder: &str) -> Vec<String> {
        let path: PathBuf = self.inbox(customer).join(folder);
        let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".." && name != ".")
            .collect();
        names.sort();
        names
    }

    /// How many records of a customer's receipts are in each state.
    #[track_caller]
    pub fn totals(&self, customer: &str) -> BTreeMap<String, u64> {
        let mut totals = BTreeMap::new();
        for receipt in self.receipts(customer).values() {
            for (state, count) in receipt["records"].as_object().unwrap() {
                *totals.entry(state.clone()).or_default() += count.as_u64().unwrap();
            }
        }
        totals
    }
}

/// The records of the messages that an ingestion channel took, by `Idempotency-Key`. Fails if a
/// message came without a key, if a key came with two bodies, or if the log lost a body.
#[track_caller]
pub fn sent(port: &Port, channel: &str) -> BTreeMap<String, Vec<Value>> {
    // One that comes in this moment is in the log, and may not be counted yet.
    until("the log and the counts agree", || {
        let stats = port.stats().ingestion.by_channel[channel].clone();
        assert_eq!((stats.conflicting_keys, stats.without_key), (0, 0), "{stats:?}");
        let messages = logged(port, channel);
        (messages.len() as u64 == stats.distinct_keys).then_some(messages)
    })
}

fn logged(port: &Port, channel: &str) -> BTreeMap<String, Vec<Value>> {
    let mut messages = BTreeMap::new();
    for call in port.calls_to(&format!("/ingestion/{channel}")) {
        let (true, Some(body)) = (was_taken(&call), &call.body) else { continue };
        let key = call.headers["idempotency-key"].clone();
        let values: Vec<Value> = match serde_json::from_str(body) {
            Ok(Value::Array(values)) => values,
            Ok(value) => vec![value],
            Err(_) => body.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        };
        messages.insert(key, values);
    }
    messages
}

/// Whether a message was taken: also one whose sender never heard so, since its connection was
/// dropped or it died. What is dropped before it is worked has the fault's name in the log, and
/// what did not arrive whole has no body.
pub fn was_taken(call: &Call) -> bool {
    match call.status {
        Some(status) => (200..300).contains(&status),
        None => call.fault.as_deref() != Some("drop") && call.body.is_some(),
    }
}
