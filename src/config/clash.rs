//! Clashes: what may not be named twice — one SCR API, one ingestion URL of two customers, one
//! folder of two sources — seen over all files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    /// The names that files get in an outbox, with what stands for their parts in braces.
    names: Vec<String>,
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
    /// A folder that results are put into.
    Results,
    /// A folder that files for the ERP are written to; several may share it.
    Outbox,
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
        let (line, section) = (section.line_of(key), section.path().to_owned());
        Stake { thing, key: what, line, section, names: Vec::new() }
    }

    /// A stake in the folder of an outbox, whose files get such names.
    pub fn outbox(folder: String, names: Vec<String>, section: &Section) -> Stake {
        Stake { names, ..Stake::new(Thing::Outbox, folder, section, "path") }
    }
}

/// Notes every clash in the files that are at fault, naming the other.
pub(super) fn check(owners: &[Owner<'_>]) {
    let mut claims: BTreeMap<(Thing, &str), Vec<(usize, &Stake)>> = BTreeMap::new();
    for (index, owner) in owners.iter().enumerate() {
        let shared = |stake: &&Stake| matches!(stake.thing, Thing::Results | Thing::Outbox);
        for stake in owner.stakes.iter().filter(|stake| !shared(stake)) {
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
            let place = place(owners, *index, *other, theirs);
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
                Thing::Results | Thing::Outbox => continue,
            };
            owner.faults.error(&owner.file, stake.line, format!("[{}] {what}", stake.section));
        }
    }
    check_outboxes(owners);
}

/// Notes every outbox that would feed a source, and those that would take each other's names.
fn check_outboxes(owners: &[Owner<'_>]) {
    let all: Vec<(usize, &Stake)> = owners
        .iter()
        .enumerate()
        .flat_map(|(index, owner)| owner.stakes.iter().map(move |stake| (index, stake)))
        .collect();
    for (at, (index, stake)) in all.iter().enumerate() {
        if stake.thing != Thing::Outbox {
            continue;
        }
        let clash = all.iter().enumerate().find_map(|(other_at, (other, theirs))| {
            let place = || place(owners, *index, *other, theirs);
            match theirs.thing {
                Thing::Folder if theirs.key == stake.key => Some(format!(
                    "has the same folder as {}: what is written would be taken in",
                    place()
                )),
                Thing::Results if Path::new(&stake.key).starts_with(&theirs.key) => {
                    Some(format!("lies in a folder of results of {}: name another", place()))
                }
                // In one file the later is told, in two files both.
                Thing::Outbox
                    if theirs.key == stake.key
                        && (other != index || other_at < at)
                        && theirs
                            .names
                            .iter()
                            .any(|name| stake.names.iter().any(|own| may_be_equal(own, name))) =>
                {
                    Some(format!(
                        "has the same folder as {}, and their files may have the same names: let \
                         file begin differently",
                        place()
                    ))
                }
                _ => None,
            }
        });
        if let Some(what) = clash {
            let owner = &owners[*index];
            owner.faults.error(&owner.file, stake.line, format!("[{}] {what}", stake.section));
        }
    }
}

/// Where another's stake stands, as seen from the file at `index`.
fn place(owners: &[Owner<'_>], index: usize, other: usize, theirs: &Stake) -> String {
    match other == index {
        true => format!("[{}] in line {}", theirs.section, theirs.line),
        false => {
            let file = owners[other].file.display();
            format!("[{}] in {file}:{}", theirs.section, theirs.line)
        }
    }
}

/// Whether two names with parts in braces may become the same name.
fn may_be_equal(one: &str, other: &str) -> bool {
    let ends = |name: &str| {
        let first = name.find('{').unwrap_or(name.len());
        let last = name.rfind('}').map_or(0, |at| at + 1);
        (name[..first].to_owned(), name[last..].to_owned())
    };
    let ((head, tail), (other_head, other_tail)) = (ends(one), ends(other));
    (head.starts_with(&other_head) || other_head.starts_with(&head))
        && (tail.ends_with(&other_tail) || other_tail.ends_with(&tail))
}
