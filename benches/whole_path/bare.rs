//! The bare loop: what a short program without any account does with the same records. String
//! records of the csv crate, the check digit, three lookups, a date, `serde_json`.

use std::collections::HashMap;
use std::fs::File;

use anyhow::{Context, bail};
use csv::StringRecord;
use serde::Serialize;

use crate::files::{BATCH, Files};
use crate::measure::{Figures, Meter};
use crate::poster::Poster;
use crate::records::{self, column};

/// The output record, with the names that the mapping in `files` gives.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Order<'r> {
    reference: &'r str,
    container: Container<'r>,
    bill_of_lading: BillOfLading<'r>,
    consignee: Consignee<'r>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container<'r> {
    container_number: &'r str,
    iso_type_code: &'r str,
    pickup_location: &'r str,
    valid_until: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BillOfLading<'r> {
    bl_number: &'r str,
    carrier: &'r str,
    vessel: &'r str,
    voyage_number: &'r str,
}

#[derive(Serialize)]
struct Consignee<'r> {
    name: &'r str,
}

/// Reads, maps and serialises the whole file on one thread.
pub fn run(files: &Files) -> anyhow::Result<Figures> {
    let meter = Meter::start();
    let (mut records, mut bytes) = (0, 0);
    each_message(files, |count, body| {
        records += count;
        bytes += body.len() as u64;
        Ok(())
    })?;
    Ok(Figures { bytes, ..meter.stop(records) })
}

/// The same, and posts the messages, twenty at once: as fast as it can be done without a state.
pub fn run_and_post(files: &Files, server: &str) -> anyhow::Result<Figures> {
    let meter = Meter::start();
    let poster = Poster::start(server)?;
    let (mut records, mut bytes) = (0, 0);
    each_message(files, |count, body| {
        records += count;
        bytes += body.len() as u64;
        poster.post(body)
    })?;
    poster.finish()?;
    Ok(Figures { bytes, ..meter.stop(records) })
}

fn each_message(
    files: &Files,
    mut then: impl FnMut(u64, Vec<u8>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let table = |rows: Vec<(String, String)>| rows.into_iter().collect::<HashMap<_, _>>();
    let carriers = table(records::carriers());
    let sizes = table(records::sizes());
    let terminals = table(records::terminals());
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(File::open(&files.csv)?);
    let mut record = StringRecord::new();
    let (mut count, mut body) = (0, Vec::new());
    while reader.read_record(&mut record)? {
        let number = &record[column::CONT_NO];
        if !is_container(number) {
            bail!("{number} is no container");
        }
        let order = Order {
            reference: &record[column::ORDER_NO],
            container: Container {
                container_number: number,
                iso_type_code: sizes.get(&record[column::SIZE]).context("unknown size")?,
                pickup_location: terminals
                    .get(&record[column::TERMINAL])
                    .context("unknown terminal")?,
                valid_until: date(&record[column::VALID_TO]).context("no date")?,
            },
            bill_of_lading: BillOfLading {
                bl_number: &record[column::BL_NO],
                carrier: carriers.get(&record[column::CARRIER]).context("unknown carrier")?,
                vessel: &record[column::VESSEL],
                voyage_number: &record[column::VOYAGE],
            },
            consignee: Consignee { name: &record[column::CONSIGNEE] },
        };
        body.push(if count == 0 { b'[' } else { b',' });
        serde_json::to_writer(&mut body, &order)?;
        count += 1;
        if count == BATCH {
            body.push(b']');
            let room = body.len() + body.len() / 8;
            then(count, std::mem::replace(&mut body, Vec::with_capacity(room)))?;
            count = 0;
        }
    }
    if count > 0 {
        body.push(b']');
        then(count, body)?;
    }
    Ok(())
}

fn is_container(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 11
        && bytes[..4].iter().all(u8::is_ascii_uppercase)
        && bytes[4..].iter().all(u8::is_ascii_digit)
        && check_digit(&bytes[..10]) == bytes[10] - b'0'
}

/// The check digit of the first ten characters (ISO 6346, Annex A).
pub fn check_digit(ten: &[u8]) -> u8 {
    let sum: u32 = ten
        .iter()
        .enumerate()
        .map(|(place, byte)| {
            let worth = match byte {
                b'0'..=b'9' => u32::from(byte - b'0'),
                _ => {
                    let letter = u32::from(byte - b'A') + 10;
                    letter + (letter - 1) / 10
                }
            };
            worth << place
        })
        .sum();
    (sum % 11 % 10) as u8
}

/// `31/12/2026` as `2026-12-31`.
fn date(text: &str) -> Option<String> {
    let mut parts = text.splitn(3, '/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    jiff::civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some([year, "-", month, "-", day].concat())
}
