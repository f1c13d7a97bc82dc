//! `lighterman quarantine`: what was set aside, and what a person makes of it.

use clap::{Args, Subcommand};

use super::reach::{Reached, reach_to};
use super::{FATAL, LATER, Setting, USAGE, WELL, say};
use crate::api::quarantine::{self, Done, SetAside, Shown};
use crate::api::selection::{Selection, parse_records};
use crate::config::Config;
use crate::model::{Level, Problem};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the records that were set aside, with their reasons
    List(Look),
    /// Show the records themselves, with all that is wrong with each
    Show(Look),
    /// Work records once more, by today's mapping and tables
    Retry(Act),
    /// Discard records for good: nobody wants them any more
    Discard(Act),
}

/// What is looked at.
#[derive(Debug, Args)]
pub struct Look {
    #[command(flatten)]
    which: Which,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What something is done with.
#[derive(Debug, Args)]
pub struct Act {
    #[command(flatten)]
    which: Which,
    /// Everything that is set aside
    #[arg(long, conflicts_with_all = ["file", "customer", "rule", "records"])]
    all: bool,
    /// Say as JSON what was done
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Which {
    /// Only files of this name, glob or arrival; to look at them, a part of the name will do
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Only this customer's
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Only records that break this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Only these records of one file, such as 3,7-9
    #[arg(long, requires = "file", value_name = "RECORDS")]
    records: Option<String>,
}

pub async fn run(setting: &Setting, action: Action) -> anyhow::Result<u8> {
    let (Action::List(Look { which, .. })
    | Action::Show(Look { which, .. })
    | Action::Retry(Act { which, .. })
    | Action::Discard(Act { which, .. })) = &action;
    let mut selection = match which.selection() {
        Ok(selection) => selection,
        Err(what) => {
            eprintln!("lighterman: {what}");
            return Ok(USAGE);
        }
    };
    selection.part = matches!(action, Action::List(_) | Action::Show(_));
    let nothing = Selection { part: selection.part, ..Selection::default() };
    if let Action::Retry(Act { all: false, .. }) | Action::Discard(Act { all: false, .. }) = action
        && selection == nothing
    {
        eprintln!(
            "lighterman: say which records, by --file, --customer, --rule or --records; or --all"
        );
        return Ok(USAGE);
    }
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    match action {
        Action::List(look) => list(&config, &selection, look.json).await,
        Action::Show(look) => show(&config, &selection, look.json).await,
        Action::Retry(act) => {
            let done = reach_to(&config, "quarantine/retry", &selection).await?;
            let (done, now) = match done {
                Reached::Answer(done) => (done, true),
                Reached::State(state) => {
                    (quarantine::retry(&state.desk(config), &selection).await?, false)
                }
                Reached::Nobody => return Ok(LATER),
            };
            let when = if now { "tried again now" } else { "tried again by the next run" };
            told(&done, &act, |what| format!("{what} {when}"))
        }
        Action::Discard(act) => {
            let done: Vec<Done> = match reach_to(&config, "quarantine/discard", &selection).await? {
                Reached::Answer(done) => done,
                Reached::State(state) => {
                    quarantine::discard(&state.ledger, &state.spool, &selection).await?
                }
                Reached::Nobody => return Ok(LATER),
            };
            told(&done, &act, |what| format!("{what} discarded"))
        }
    }
}

impl Which {
    fn selection(&self) -> Result<Selection, String> {
        Ok(Selection {
            file: self.file.clone(),
            part: false,
            customer: self.customer.clone(),
            rule: self.rule.clone(),
            records: self.records.as_deref().map(parse_records).transpose()?,
        })
    }
}

async fn list(config: &Config, selection: &Selection, json: bool) -> anyhow::Result<u8> {
    let list: Vec<SetAside> = match reach_to(config, "quarantine/list", selection).await? {
        Reached::Answer(list) => list,
        Reached::State(state) => quarantine::list(&state.ledger, &state.spool, selection).await?,
        Reached::Nobody => return Ok(LATER),
    };
    if json {
        say(&format!("{}\n", serde_json::to_string(&list)?))?;
        return Ok(WELL);
    }
    let mut text = String::new();
    for SetAside { customer, file, problem, .. } in &list {
        let place = place(problem.record, problem.line);
        text += &format!("{customer} / {file}, {place}: {}\n", reason(problem));
    }
    say(&text)?;
    Ok(WELL)
}

async fn show(config: &Config, selection: &Selection, json: bool) -> anyhow::Result<u8> {
    let list: Vec<Shown> = match reach_to(config, "quarantine/show", selection).await? {
        Reached::Answer(list) => list,
        Reached::State(state) => {
            let environments = &config.environments;
            quarantine::show(&state.ledger, &state.spool, environments, selection).await?
        }
        Reached::Nobody => return Ok(LATER),
    };
    if json {
        say(&format!("{}\n", serde_json::to_string(&list)?))?;
        return Ok(WELL);
    }
    let mut out = String::new();
    for Shown { customer, file, arrival, record, line, text, problems } in &list {
        let place = place(*record, *line);
        out += &format!("{customer} / {file} (arrival {arrival}), {place}\n");
        for line in text.iter().flat_map(|text| text.lines()) {
            out += &format!("  | {line}\n");
        }
        for problem in problems {
            let weight = if problem.level == Level::Warn { "warning: " } else { "" };
            out += &format!("  {weight}{}\n", reason(problem));
        }
    }
    say(&out)?;
    Ok(WELL)
}

fn place(record: u64, line: u64) -> String {
    match record {
        0 => "whole file".to_owned(),
        record => format!("record {record}, line {line}"),
    }
}

fn reason(problem: &Problem) -> String {
    let field = match problem.field.as_str() {
        "" => String::new(),
        field => format!("{field}: "),
    };
    let value = match problem.value.as_str() {
        "" => String::new(),
        value => format!("\"{value}\" "),
    };
    format!("{field}{value}({}): {}", problem.rule, problem.advice)
}

/// Says what was done, and tells by the exit status what was not.
fn told(done: &[Done], act: &Act, say_of: impl Fn(String) -> String) -> anyhow::Result<u8> {
    if act.json {
        say(&format!("{}\n", serde_json::to_string(done)?))?;
    }
    for Done { customer, file, records, refused, .. } in done {
        let what = match records {
            0 => "the whole file is".to_owned(),
            1 => "1 record is".to_owned(),
            _ => format!("{records} records are"),
        };
        match refused {
            None if act.json => {}
            None => say(&format!("{customer} / {file}: {}\n", say_of(what)))?,
            Some(refused) => eprintln!("{customer} / {file}: nothing was done: {}", refused.why),
        }
    }
    if done.is_empty() && !act.all {
        eprintln!("lighterman: nothing that is set aside is meant by this");
        return Ok(USAGE);
    }
    // A person comes before what only takes its time.
    let refused = done.iter().filter_map(|one| one.refused.as_ref());
    Ok(refused.map(|refused| refused.code).min().unwrap_or(WELL))
}
