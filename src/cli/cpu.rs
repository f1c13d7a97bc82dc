//! `lighterman cpu`: what a person asks of Certified Pick up.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::reach::{Reached, reach_to};
use super::table::table;
use super::{FATAL, LATER, Setting, WELL, say};
use crate::api::cpu::{self, Search};
use crate::deliver;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Search the phone book of companies
    Entities(Entities),
}

/// Which companies are looked for.
#[derive(Debug, Args)]
pub struct Entities {
    /// By EORI number
    #[arg(long, value_name = "NUMBER")]
    eori: Option<String>,
    /// By DUNS number
    #[arg(long, value_name = "NUMBER")]
    duns: Option<String>,
    /// By VAT number
    #[arg(long, value_name = "NUMBER")]
    vat: Option<String>,
    /// By name
    #[arg(long)]
    name: Option<String>,
    /// By code in APCS
    #[arg(long, value_name = "CODE")]
    apcs: Option<String>,
    /// By whose login; needed where several customers have CPu
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(setting: &Setting, action: Action) -> anyhow::Result<u8> {
    let Action::Entities(Entities { eori, duns, vat, name, apcs, customer, json }) = action;
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    // The parameters' names: reference/domain.md, section 3.
    let asked =
        [("Eori", eori), ("Duns", duns), ("Vat", vat), ("EntityName", name), ("ApcsCode", apcs)];
    let query = asked.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let search = Search { customer, query: query.collect() };
    let answer: cpu::Answer = match reach_to(&config, "cpu/entities", &search).await? {
        Reached::Answer(answer) => answer,
        Reached::State(state) => {
            let (channels, _) = deliver::open(&config, &Default::default(), &Default::default());
            cpu::entities(&channels, &state.ledger, &search).await?
        }
        Reached::Nobody => return Ok(LATER),
    };
    match answer {
        Ok(found) if json => say(&format!("{}\n", Value::Array(found)))?,
        Ok(found) => say(&shown(&found))?,
        Err(refused) => {
            eprintln!("lighterman: {}", refused.why);
            return Ok(refused.code);
        }
    }
    Ok(WELL)
}

/// A column for each field that any company has: which there are is not public.
fn shown(found: &[Value]) -> String {
    let mut heads: Vec<&str> = Vec::new();
    for name in found.iter().filter_map(Value::as_object).flat_map(|company| company.keys()) {
        if !heads.contains(&name.as_str()) {
            heads.push(name);
        }
    }
    let row = |company: &Value| heads.iter().map(|name| word(&company[*name])).collect();
    table(&heads, &found.iter().map(row).collect::<Vec<_>>())
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
