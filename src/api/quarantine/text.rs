//! Text: set aside records as they came, for a person's eyes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::Context;
use encoding_rs::Encoding;

use super::Aside;
use crate::config::Environments;
use crate::ledger::{Account, WHOLE};
use crate::map::Mapping;
use crate::model::{Place, Record};
use crate::pipeline::{again, pinned_mapping};
use crate::read::Reader;
use crate::spool::Spool;

/// How much of a record is shown, in bytes.
const LENGTH: u64 = 4096;

/// What a driver is known by (design, section 3.11): the fields of a mapped record.
const PERSONAL: [&str; 2] = ["driver.identification", "driver.phone"];

/// The texts of these records of a file, as far as they can be told: none of a file that nobody
/// could read.
pub fn of(
    spool: &Spool,
    environments: &Environments,
    aside: &Aside,
    records: &[u64],
) -> anyhow::Result<BTreeMap<u64, String>> {
    let mapping = |account: &Account| match account.pinned.as_ref().filter(|_| records != [WHOLE]) {
        Some(pinned) => pinned_mapping(spool, environments, &pinned.bundle).map(Some),
        None => Ok(None),
    };
    if let Some(account) = &aside.open {
        let Some(mapping) = mapping(account)? else { return Ok(BTreeMap::new()) };
        let origin = again::origin(spool, account)?;
        let ordinals =
            (1..).map(|here| origin.as_ref().map_or(here, |origin| origin.ordinal(here)));
        return read(&spool.data(account.arrival), &mapping, ordinals, records);
    }
    let mut texts = BTreeMap::new();
    for (at, round) in aside.rounds.iter().enumerate() {
        let here: Vec<u64> =
            records.iter().copied().filter(|record| aside.round_of(*record) == Some(at)).collect();
        if let Some(mapping) = mapping(&round.account)?.filter(|_| !here.is_empty()) {
            let ordinals = round.stock.ordinals.iter().flat_map(|(first, last)| *first..=*last);
            texts.append(&mut read(&round.data(spool), &mapping, ordinals, &here)?);
        }
    }
    Ok(texts)
}

/// Reads a file that holds the records `ordinals`, and gives those that are `wanted`.
fn read(
    path: &Path,
    mapping: &Mapping,
    ordinals: impl Iterator<Item = u64>,
    wanted: &[u64],
) -> anyhow::Result<BTreeMap<u64, String>> {
    let unreadable = || format!("{} cannot be read", path.display());
    let personal: Vec<String> = PERSONAL
        .iter()
        .filter_map(|to| mapping.from_of(to))
        .filter(|from| mapping.selectors.iter().any(|selector| selector == from))
        .map(str::to_owned)
        .collect();
    let input = Box::new(BufReader::new(File::open(path).with_context(unreadable)?));
    let mut reader = Reader::open(&mapping.dialect, &personal, input)?;
    let encoding = Encoding::for_label(reader.layout().encoding.as_bytes());
    let mut file = File::open(path).with_context(unreadable)?;
    let mut texts = BTreeMap::new();
    let mut record = Record::default();
    for ordinal in ordinals {
        if !reader.next(&mut record)? || wanted.last().is_none_or(|last| ordinal > *last) {
            break;
        }
        if wanted.binary_search(&ordinal).is_ok() {
            let bytes = bytes_at(&mut file, record.place).with_context(unreadable)?;
            let mut text = match encoding {
                Some(encoding) => encoding.decode_without_bom_handling(&bytes).0.into_owned(),
                None => String::from_utf8_lossy(&bytes).into_owned(),
            };
            for slot in 0..personal.len() {
                for value in record.texts(slot).filter(|value| !value.is_empty()) {
                    text = text.replace(value, "***");
                }
            }
            let more = if record.place.length > LENGTH { "…" } else { "" };
            texts.insert(ordinal, format!("{}{more}", text.trim_end_matches(['\r', '\n'])));
        }
    }
    Ok(texts)
}

fn bytes_at(file: &mut File, place: Place) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(place.byte))?;
    file.take(place.length.min(LENGTH)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
