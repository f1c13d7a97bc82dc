//! `lighterman outbox`: what waits to be written as files for the ERP, and what a person lets go.

use clap::{Args, Subcommand};

use super::ask::declined;
use super::reach::{Reached, reach_to};
use super::table::table;
use super::{FATAL, LATER, Setting, USAGE, WELL, say};
use crate::api::outbox::{self, Discard, Done, List, Waits, Which, gone_from};
use crate::api::selection::parse_records;
use crate::config::Config;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    look: Look,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Discard documents for good that the mapping refuses, or whose outbox is gone from the config
    Discard(Act),
}

/// What is looked at.
#[derive(Debug, Args)]
struct Look {
    #[command(flatten)]
    of: Of,
    /// Only what the mapping refuses
    #[arg(long)]
    refused: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What is discarded.
#[derive(Debug, Args)]
struct Act {
    #[command(flatten)]
    of: Of,
    /// Only the documents of these numbers of one outbox, such as 3,7-9
    #[arg(long, requires = "outbox", value_name = "NUMBERS", value_parser = numbers)]
    numbers: Option<Numbers>,
    /// Everything that is refused, or whose outbox is gone
    #[arg(long, conflicts_with_all = ["customer", "outbox", "numbers"])]
    all: bool,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
    /// Say as JSON what was done
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Of {
    /// Only this customer's
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Only of the outbox of this name
    #[arg(long, value_name = "NAME")]
    outbox: Option<String>,
}

/// Ranges of numbers, both ends inclusive.
#[derive(Clone, Debug)]
struct Numbers(Vec<(u64, u64)>);

pub async fn run(setting: &Setting, options: Options) -> anyhow::Result<u8> {
    match options.action {
        None => list(setting, options.look).await,
        Some(Action::Discard(act)) => discard(setting, act).await,
    }
}

async fn list(setting: &Setting, look: Look) -> anyhow::Result<u8> {
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let Look { of: Of { customer, outbox }, refused, json } = look;
    let which = Which { customer, outbox, numbers: None, refused };
    let List { documents, more } = match reach_to(&config, "outbox/list", &which).await? {
        Reached::Answer(list) => list,
        Reached::State(state) => {
            outbox::list(&state.ledger, &state.spool, gone_from(config), &which).await?
        }
        Reached::Nobody => return Ok(LATER),
    };
    if more > 0 {
        eprintln!("lighterman: {more} more wait and are not listed; say --customer and --outbox");
    }
    match json {
        true => say(&format!("{}\n", serde_json::to_string(&documents)?))?,
        false => say(&shown(&documents))?,
    }
    Ok(WELL)
}

fn shown(documents: &[Waits]) -> String {
    let heads = ["CUSTOMER", "OUTBOX", "NO", "EVENT", "RELEASE", "BL", "SINCE", "WHY"];
    let row = |waits: &Waits| {
        let waits = waits.clone();
        let Waits { customer, outbox, sequence, event, release, container, bl, since, why, .. } =
            waits;
        let since = format!("{since:.0}");
        // Of one that is gone only the address may be known.
        let release = container.or(release).unwrap_or_default();
        let (bl, why) = (bl.unwrap_or_default(), why.unwrap_or_default());
        vec![customer, outbox, sequence.to_string(), event, release, bl, since, why]
    };
    table(&heads, &documents.iter().map(row).collect::<Vec<_>>())
}

async fn discard(setting: &Setting, act: Act) -> anyhow::Result<u8> {
    let Act { of: Of { customer, outbox }, numbers, all, yes, json } = act;
    let numbers = numbers.map(|Numbers(ranges)| ranges);
    let which = Which { customer, outbox, numbers, refused: false };
    if !all && which == Which::default() {
        eprintln!(
            "lighterman: say which documents, by --customer, --outbox or --numbers; or --all"
        );
        return Ok(USAGE);
    }
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let mut wish = Discard { which, act: false };
    if !yes {
        let Some(would) = reach_out(&config, &wish).await? else { return Ok(LATER) };
        let some: Vec<String> =
            would.iter().filter(|one| one.refused.is_none()).map(counted).collect();
        if some.is_empty() {
            return told(&would, all, json);
        }
        let what = format!("discarding {} is for good", some.join(", and "));
        if let Some(code) = declined(&what, "Discard them?", "nothing was discarded")? {
            return Ok(code);
        }
    }
    wish.act = true;
    let Some(done) = reach_out(&config, &wish).await? else { return Ok(LATER) };
    told(&done, all, json)
}

async fn reach_out(config: &Config, wish: &Discard) -> anyhow::Result<Option<Vec<Done>>> {
    Ok(match reach_to(config, "outbox/discard", wish).await? {
        Reached::Answer(done) => Some(done),
        Reached::State(state) => Some(
            outbox::discard(&state.ledger, &state.spool, gone_from(config.clone()), wish).await?,
        ),
        Reached::Nobody => None,
    })
}

/// How much of which outbox.
fn counted(Done { customer, outbox, documents, .. }: &Done) -> String {
    let what = if *documents == 1 { "1 document" } else { &format!("{documents} documents") };
    format!("{what} of {customer} / {outbox}")
}

/// Says what was done, and tells by the exit status what was not.
fn told(done: &[Done], all: bool, json: bool) -> anyhow::Result<u8> {
    if json {
        say(&format!("{}\n", serde_json::to_string(done)?))?;
    }
    for one in done {
        let Done { customer, outbox, refused, .. } = one;
        match refused {
            None if json => {}
            None => say(&format!("{} discarded\n", counted(one)))?,
            Some(refused) => {
                eprintln!("{customer} / {outbox}: nothing was discarded: {}", refused.why);
            }
        }
    }
    if done.is_empty() && !all {
        eprintln!("lighterman: nothing that could be discarded is meant by this");
        return Ok(USAGE);
    }
    let refused = done.iter().filter_map(|one| one.refused.as_ref());
    Ok(refused.map(|refused| refused.code).min().unwrap_or(WELL))
}

fn numbers(text: &str) -> Result<Numbers, String> {
    let wrong = |_| "write \"3\", \"3,7\" or \"1-500\"".to_owned();
    parse_records(text).map(Numbers).map_err(wrong)
}
