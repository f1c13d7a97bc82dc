//! `lighterman resend`: what the receiver lost is sent again.

use std::path::Path;

use clap::Args;

use super::reach::{Reached, reach_to};
use super::{FATAL, LATER, Setting, USAGE, WELL, say};
use crate::api::resend::{self, Resent, Wish};
use crate::api::selection::{parse_records, written};

#[derive(Debug, Args)]
pub struct Options {
    /// The file: its name, its arrival, or the path of its receipt
    file: String,
    /// Only these of its delivered records, such as 1-500
    #[arg(long, value_name = "RECORDS")]
    records: Option<String>,
    /// The customer whose file it is
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Say as JSON what was done
    #[arg(long)]
    json: bool,
}

pub async fn run(setting: &Setting, options: Options) -> anyhow::Result<u8> {
    let Options { file, records, customer, json } = options;
    let records = match records.as_deref().map(parse_records).transpose() {
        Ok(records) => records,
        Err(what) => {
            eprintln!("lighterman: {what}");
            return Ok(USAGE);
        }
    };
    let wish = match file.ends_with(".receipt.json") && Path::new(&file).exists() {
        false => Wish { file, customer, records },
        true => {
            let Some(receipt) = resend::read(Path::new(&file)) else {
                eprintln!("lighterman: {file} is no receipt");
                return Ok(USAGE);
            };
            let customer = Some(receipt.customer.clone());
            Wish { file: receipt.arrival.to_string(), customer, records }
        }
    };
    let Some(config) = setting.load_to_look() else { return Ok(FATAL) };
    let (all, when): (Vec<Resent>, _) = match reach_to(&config, "resend", &wish).await? {
        Reached::Answer(all) => (all, "now"),
        Reached::State(state) => {
            (resend::resend(&state.desk(config), &wish).await?, "by the next run")
        }
        Reached::Nobody => return Ok(LATER),
    };
    if json {
        say(&format!("{}\n", serde_json::to_string(&all)?))?;
    } else {
        say(&all.iter().map(|one| shown(one, when)).collect::<String>())?;
    }
    if all.is_empty() {
        eprintln!("lighterman: there is no receipt of {}", wish.file);
        return Ok(USAGE);
    }
    let mut code = WELL;
    for one in &all {
        if let Some(refused) = &one.refused {
            eprintln!(
                "{} / {} (arrival {}): nothing is sent: {}",
                one.customer, one.file, one.arrival, refused.why
            );
            code = refused.code;
        }
    }
    Ok(code)
}

fn shown(one: &Resent, when: &str) -> String {
    let Resent { customer, file, arrival, older, records, left_out, refused, .. } = one;
    let mut text = String::new();
    if refused.is_none() {
        let what = match records {
            1 => "1 record is".to_owned(),
            _ => format!("{records} records are"),
        };
        text = format!("{customer} / {file} (arrival {arrival}): {what} sent again {when}\n");
    }
    for (why, ranges) in left_out {
        text += &format!("  left out, {why}: {}\n", written(ranges));
    }
    if !older.is_empty() {
        let older: Vec<String> = older.iter().map(ToString::to_string).collect();
        text += &format!("  not meant, older files of this name: arrival {}\n", older.join(", "));
    }
    text
}
