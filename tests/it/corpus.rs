//! The corpus: every file below `tests/corpus` comes out as it is written beside it. All of them go
//! through the real binary in one run, a customer a case.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde::Deserialize;
use serde_json::Value;

use crate::contract_fake::Fake;
use crate::contract_shop::shop;
use crate::harness::*;

/// One file and what must come of it.
struct Case {
    /// Its format and name, such as `csv--a-plain-semicolon-file`.
    name: String,
    /// The file's name as it is dropped.
    file: String,
    input: Vec<u8>,
    mapping: String,
    expected: Expected,
}

/// What a case says must come out. What it leaves out is not looked at, the counts excepted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The mapped records in order, where messages are JSON.
    records: Option<Vec<Value>>,
    /// The messages' bodies in order.
    bodies: Option<Vec<String>>,
    /// All rows of the problems file.
    #[serde(default)]
    problems: Vec<ExpectedProblem>,
    counts: BTreeMap<String, u64>,
    /// Whether the file is quarantined whole.
    #[serde(default)]
    whole: bool,
    /// The rejects file.
    rejects: Option<String>,
    /// The same, where it is not UTF-8.
    rejects_base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedProblem {
    record: Option<u64>,
    line: Option<u64>,
    level: Option<String>,
    field: Option<String>,
    value: Option<String>,
    rule: Option<String>,
    /// A part of it.
    advice: Option<String>,
}

#[test]
fn every_file_of_the_corpus_comes_out_as_is_written_beside_it() {
    let cases = cases();
    let fake = Fake::willing();
    let provider = shop(&fake);
    for table in entries(&corpus().join("aka")) {
        let name = table.file_name().unwrap().to_str().unwrap();
        provider.file(&format!("mappings/aka/{name}"), fs::read(&table).unwrap());
    }
    for case in &cases {
        case.set_up(&provider);
    }
    let run = provider.run_once(&[]);
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let faults = case.faults(&provider, &fake);
            (!faults.is_empty()).then(|| format!("{}:\n  {}", case.name, faults.join("\n  ")))
        })
        .collect();
    assert!(failed.is_empty(), "{} of {}\n{}\n{run}", failed.len(), cases.len(), failed.join("\n"));
    provider.check_ledger();
}

impl Case {
    fn set_up(&self, provider: &Provider) {
        let name = &self.name;
        let mapping: toml::Table = self.mapping.parse().unwrap_or_else(|e| panic!("{name}: {e}"));
        let output = mapping.get("output").and_then(|output| output.get("format"));
        let media_type = match output.and_then(|format| format.as_str()) {
            Some("ndjson") => "application/x-ndjson",
            Some("xml") => "application/xml",
            Some("csv") => "text/csv",
            _ => "application/json",
        };
        let customer = format!(
            r#"
[logins.own]
client   = "nxtport"
username = "{name}"
password = {{ file = "../secrets/acme" }}

[channels.out]
type            = "ingestion"
login           = "own"
channel_id      = "{name}"
media_type      = "{media_type}"
message_type    = "Order"
message_type_in = {{ header = "messageType" }}
concurrency     = 1

[[routes]]
source  = "in"
files   = "*"
mapping = "{name}"
channel = "out"
"#
        );
        provider.mapping(name, &self.mapping);
        provider.customer(name, VAT, &customer);
        provider.drop_file(name, &self.file, &self.input);
    }

    /// What did not come out as it should.
    fn faults(&self, provider: &Provider, fake: &Fake) -> Vec<String> {
        let mut faults = Vec::new();
        let path = provider.inbox(&self.name).join(format!("receipts/{}.receipt.json", self.file));
        let Ok(receipt) = fs::read(&path) else { return vec!["there is no receipt".to_owned()] };
        let receipt: Value = serde_json::from_slice(&receipt).unwrap();
        let count = |state: &str| receipt["records"][state].as_u64().unwrap();
        for (state, expected) in &self.expected.counts {
            if count(state) != *expected {
                faults.push(format!("{state} is {}, not {expected}", count(state)));
            }
        }
        let states = ["delivered", "quarantined", "superseded", "discarded"];
        if states.into_iter().map(count).sum::<u64>() != count("total") {
            faults.push(format!("the counts do not add up: {}", receipt["records"]));
        }
        if receipt["quarantined_whole"] != self.expected.whole {
            faults.push(format!("quarantined whole is {}", receipt["quarantined_whole"]));
        }
        self.messages(fake, &mut faults);
        self.problems(provider, &mut faults);
        self.rejects(provider, &mut faults);
        faults
    }

    fn messages(&self, fake: &Fake, faults: &mut Vec<String>) {
        let messages = fake.to(&format!("/ingestion/{}", self.name));
        let messages: Vec<_> =
            messages.iter().filter(|seen| seen.path.ends_with(&self.name)).collect();
        if let Some(expected) = &self.expected.records {
            let got: Vec<Value> = messages
                .iter()
                .flat_map(|message| match serde_json::from_slice(&message.body) {
                    Ok(Value::Array(records)) => records,
                    _ => message
                        .text()
                        .lines()
                        .map(|line| serde_json::from_str(line).unwrap())
                        .collect(),
                })
                .collect();
            if got != *expected {
                faults.push(format!("the records are {}", serde_json::to_string(&got).unwrap()));
            }
        }
        if let Some(expected) = &self.expected.bodies {
            let got: Vec<String> = messages.iter().map(|message| message.text()).collect();
            if got != *expected {
                faults.push(format!("the bodies are {got:?}"));
            }
        }
        if self.expected.whole && !messages.is_empty() {
            faults.push("something was sent".to_owned());
        }
    }

    fn problems(&self, provider: &Provider, faults: &mut Vec<String>) {
        let problems = provider.problems(&self.name, &self.file);
        if problems.len() != self.expected.problems.len() {
            faults.push(format!("{} problems: {problems:?}", problems.len()));
            return;
        }
        for (problem, expected) in problems.iter().zip(&self.expected.problems) {
            let as_said =
                |said: &Option<String>, text: &str| said.as_ref().is_none_or(|s| s == text);
            let fits = expected.record.is_none_or(|record| record == problem.record)
                && expected.line.is_none_or(|line| line == problem.line)
                && as_said(&expected.level, &problem.level)
                && as_said(&expected.field, &problem.field)
                && as_said(&expected.value, &problem.value)
                && as_said(&expected.rule, &problem.rule)
                && expected.advice.as_ref().is_none_or(|part| problem.advice.contains(part));
            if !fits {
                faults.push(format!("another problem: {problem:?}"));
            }
        }
    }

    fn rejects(&self, provider: &Provider, faults: &mut Vec<String>) {
        let got = provider.rejects(&self.name, &self.file);
        let expected = match (&self.expected.rejects, &self.expected.rejects_base64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (_, Some(text)) => Some(base64::prelude::BASE64_STANDARD.decode(text).unwrap()),
            _ if self.expected.whole => Some(self.input.clone()),
            _ => None,
        };
        if let Some(expected) = expected
            && got.as_ref() != Some(&expected)
        {
            let got = got.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            faults.push(format!("the rejects are {got:?}"));
        }
    }
}

/// All cases, each in a folder of its own below that of its format.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let formats = entries(&corpus()).into_iter().filter(|path| path.is_dir());
    for folder in formats.filter(|path| !path.ends_with("aka")).flat_map(|path| entries(&path)) {
        let part = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let name = format!("{}--{}", part(folder.parent().unwrap()), part(&folder));
        let read = |file: &str| {
            fs::read_to_string(folder.join(file)).unwrap_or_else(|e| panic!("{name}: {file}: {e}"))
        };
        let input = entries(&folder)
            .into_iter()
            .find(|path| path.file_stem().is_some_and(|stem| stem == "input"))
            .unwrap_or_else(|| panic!("{name} has no input"));
        let extension = input.extension().unwrap().to_str().unwrap();
        cases.push(Case {
            file: format!("FILE.{extension}"),
            input: fs::read(&input).unwrap(),
            mapping: read("mapping.toml"),
            expected: serde_json::from_str(&read("expected.json"))
                .unwrap_or_else(|e| panic!("{name}: expected.json: {e}")),
            name,
        });
    }
    cases
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
