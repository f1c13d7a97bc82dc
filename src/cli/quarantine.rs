//! `lighterman quarantine`: what was set aside.

use clap::{Args, Subcommand};

use super::reach::{Reached, reach};
use super::{FATAL, LATER, Setting, WELL, say};
use crate::api::quarantine::{self, SetAside};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the records that were set aside, with their reasons
    List(Options),
}

#[derive(Debug, Args)]
pub struct Options {
    /// Only the files whose name holds this
    #[arg(long)]
    file: Option<String>,
    /// Only this customer
    #[arg(long)]
    customer: Option<String>,
    /// Only this rule
    #[arg(long)]
    rule: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(setting: &Setting, action: Action) -> anyhow::Result<u8> {
    let Action::List(options) = action;
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let mut list: Vec<SetAside> = match reach(&config, "quarantine").await? {
        Reached::Answer(list) => list,
        Reached::State(state) => quarantine::list(&state.ledger, &state.spool).await?,
        Reached::Nobody => return Ok(LATER),
    };
    list.retain(|one| {
        options.file.as_ref().is_none_or(|file| one.file.contains(file.as_str()))
            && options.customer.as_ref().is_none_or(|customer| one.customer == *customer)
            && options.rule.as_ref().is_none_or(|rule| one.problem.rule == *rule)
    });
    if options.json {
        say(&format!("{}\n", serde_json::to_string(&list)?))?;
        return Ok(WELL);
    }
    let mut text = String::new();
    for one in &list {
        let problem = &one.problem;
        let place = match problem.record {
            0 => "whole file".to_owned(),
            record => format!("record {record}, line {}", problem.line),
        };
        let field = match problem.field.as_str() {
            "" => String::new(),
            field => format!("{field}: "),
        };
        let value = match problem.value.as_str() {
            "" => String::new(),
            value => format!("\"{value}\" "),
        };
        text += &format!(
            "{} / {}, {place}: {field}{value}({}): {}\n",
            one.customer, one.file, problem.rule, problem.advice
        );
    }
    say(&text)?;
    Ok(WELL)
}
