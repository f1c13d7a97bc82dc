//! Clashes: what may not be named twice — one SCR API, one ingestion URL of two customers, one
//! folder of two sources — seen over all files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Faults, Section};

/// Something that a file lays claim to.
#[derive(Clone, Debug)]
pub(super) struct Stake {
    thing: Thing,
    /// What is claimed, in a form that can be compared.
    key: String,
    line: usize,
    /// The path of the claiming section in its file.
    section: String,
}

/// What kind of thing a stake lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    /// An SCR API: one API, one gate.
    ScrApi,
    /// A folder with files: each file has one owner.
    Folder,
    /// An ingestion channel: a customer's own, which several of its channels may share.
    Ingestion,
}

/// A file with its stakes.
pub(super) struct Owner<'a> {
    pub file: PathBuf,
    pub faults: &'a Faults,
    pub stakes: &'a [Stake],
    /// The provider was there first: a clash with it is the other's fault alone.
    pub is_provider: bool,
}

impl Stake {
    /// A stake in what `key` of the section names.
    pub fn new(thing: Thing, what: String, section: &Section, key: &str) -> Stake {
        Stake { thing, key: what, line: section.line_of(key), section: section.path().to_owned() }
    }
}

/// Notes every clash in the files that are at fault, naming the other.
pub(super) fn check(owners: &[Owner<'_>]) {
    let mut claims: BTreeMap<(Thing, &str), Vec<(usize, &Stake)>> = BTreeMap::new();
    for (index, owner) in owners.iter().enumerate() {
        for stake in owner.stakes {
            claims.entry((stake.thing, &stake.key)).or_default().push((index, stake));
        }
    }
    for ((thing, _), mut claims) in claims {
        claims.sort_by_key(|(index, stake)| (*index, stake.line));
        for (position, (index, stake)) in claims.iter().enumerate() {
            let owner = &owners[*index];
            let own = || claims[..position].iter().find(|(other, _)| other == index);
            let foreign = || claims.iter().find(|(other, _)| other != index);
            let clash = match thing {
                Thing::Ingestion => foreign(),
                _ if owner.is_provider => own(),
                _ => own().or_else(foreign),
            };
            let Some((other, theirs)) = clash else { continue };
            let place = match other == index {
                true => format!("[{}] in line {}", theirs.section, theirs.line),
                false => {
                    let file = owners[*other].file.display();
                    format!("[{}] in {file}:{}", theirs.section, theirs.line)
                }
            };
            let what = match thing {
                Thing::ScrApi => {
                    format!("has the same url as {place}: one API has one gate, so name it once")
                }
                Thing::Folder => {
                    format!("has the same folder as {place}: a file can have one source only")
                }
                Thing::Ingestion => format!(
                    "sends to the same URL as {place}: two customers cannot share a channel"
                ),
            };
            owner.faults.error(&owner.file, stake.line, format!("[{}] {what}", stake.section));
        }
    }
}
