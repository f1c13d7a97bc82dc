//! Text: set aside records as they came, for a person's eyes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::Context;

use super::Aside;
use crate::config::Environments;
use crate::ledger::{Account, WHOLE};
use crate::map::Mapping;
use crate::model::{Place, Record};
use crate::pipeline::{again, pinned_mapping};
use crate::read::{Encoding, Reader};
use crate::spool::Spool;

/// How much of a record is shown, in bytes.
const LENGTH: u64 = 4096;

/// What a driver is known by (design, section 3.11): the fields of a mapped record.
const PERSONAL: [&str; 2] = ["driver.identification", "driver.phone"];

/// What stands for what is not shown.
pub const HIDDEN: &str = "***";

/// Records as they came, and what may not be shown of them.
#[derive(Default)]
pub struct Texts {
    /// By record; none of one in which personal data cannot be told from the rest.
    pub texts: BTreeMap<u64, String>,
    /// What problems call the fields with personal data.
    pub personal: BTreeSet<String>,
}

/// The texts of these records of a file, as far as they can be told: none of a file that nobody
/// could read.
pub fn of(
    spool: &Spool,
    environments: &Environments,
    aside: &Aside,
    records: &[u64],
) -> anyhow::Result<Texts> {
    let mapping = |account: &Account| match account.pinned.as_ref().filter(|_| records != [WHOLE]) {
        Some(pinned) => pinned_mapping(spool, environments, &pinned.bundle).map(Some),
        None => Ok(None),
    };
    if let Some(account) = &aside.open {
        let Some(mapping) = mapping(account)? else { return Ok(Texts::default()) };
        let origin = again::origin(spool, account)?;
        let ordinals =
            (1..).map(|here| origin.as_ref().map_or(here, |origin| origin.ordinal(here)));
        let texts = read(&spool.data(account.arrival), &mapping, ordinals, records)?;
        return Ok(Texts { texts, personal: Personal::of(&mapping).names });
    }
    let mut all = Texts::default();
    for (at, round) in aside.rounds.iter().enumerate() {
        let here: Vec<u64> =
            records.iter().copied().filter(|record| aside.round_of(*record) == Some(at)).collect();
        if let Some(mapping) = mapping(&round.account)?.filter(|_| !here.is_empty()) {
            let ordinals = round.stock.ordinals.iter().flat_map(|(first, last)| *first..=*last);
            all.texts.append(&mut read(&round.data(spool), &mapping, ordinals, &here)?);
            all.personal.append(&mut Personal::of(&mapping).names);
        }
    }
    Ok(all)
}

/// Where a mapping takes personal data from.
struct Personal {
    /// What the reader is to look for.
    selectors: Vec<String>,
    /// What problems call these fields.
    names: BTreeSet<String>,
}

impl Personal {
    fn of(mapping: &Mapping) -> Personal {
        let (mut slots, mut names) = (BTreeSet::new(), BTreeSet::new());
        for to in PERSONAL {
            let (labels, from) = mapping.sources_of(to);
            slots.extend(from);
            names.insert(to.to_owned());
            names.extend(labels.into_iter().map(str::to_owned));
        }
        let selectors = slots.into_iter().filter_map(|slot| mapping.selectors.get(slot).cloned());
        let selectors: Vec<String> = selectors.collect();
        names.extend(selectors.iter().cloned());
        Personal { selectors, names }
    }
}

/// The text without these values; none if one of them is not there as it reads, such as one that
/// is written with escapes or that the end cuts off.
fn without<'a>(mut text: String, values: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
    let is_escaped = text.contains("&#") || text.contains("\\u");
    if !values.is_empty() && (is_escaped || !values.iter().all(|value| text.contains(value))) {
        return None;
    }
    // A part of another value comes after it.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values {
        text = text.replace(value, HIDDEN);
    }
    Some(text)
}

/// Reads a file that holds the records `ordinals`, and gives those that are `wanted`.
fn read(
    path: &Path,
    mapping: &Mapping,
    ordinals: impl Iterator<Item = u64>,
    wanted: &[u64],
) -> anyhow::Result<BTreeMap<u64, String>> {
    let unreadable = || format!("{} cannot be read", path.display());
    let personal = Personal::of(mapping).selectors;
    let input = Box::new(BufReader::new(File::open(path).with_context(unreadable)?));
    let mut reader = Reader::open(&mapping.dialect, &personal, input)?;
    let encoding = Encoding::for_label(&reader.layout().encoding).unwrap_or(Encoding::UTF_8);
    let mut file = File::open(path).with_context(unreadable)?;
    let mut texts = BTreeMap::new();
    let mut record = Record::default();
    for ordinal in ordinals {
        if !reader.next(&mut record)? || wanted.last().is_none_or(|last| ordinal > *last) {
            break;
        }
        if wanted.binary_search(&ordinal).is_ok() {
            let bytes = bytes_at(&mut file, record.place).with_context(unreadable)?;
            let values = (0..personal.len()).flat_map(|slot| record.texts(slot));
            let Some(text) = without(encoding.shown(&bytes), values) else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_values_are_hidden_or_the_record_is() {
        let hidden = |text: &str, values: &[&str]| without(text.to_owned(), values.iter().copied());
        let shown = hidden("1;+32;470123;x", &["+32", "", "470123"]);
        assert_eq!(shown.as_deref(), Some("1;***;***;x"));
        // The shorter one is a part of the longer one.
        assert_eq!(hidden("12;1234", &["12", "1234"]).as_deref(), Some("***;***"));
        assert_eq!(hidden("<Id>&#65;LF</Id>", &["ALF"]), None);
        assert_eq!(hidden("\"A\"\"LF\"", &["A\"LF"]), None);
        assert_eq!(hidden("a record whose end is not sho", &["shown"]), None);
        assert_eq!(hidden("&#65;", &[""]).as_deref(), Some("&#65;"));
    }
}
