//! Outbox: a folder into which events are written as files for the ERP, in its own dialect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::clash::Stake;
use super::names::name_fault;
use super::provider::Provider;
use super::source::{identity, look_at, marker_fault};
use super::{Folder, Section, Sftp};

/// The events that an outbox may name.
///
/// The first seven are those of a release (SCR API 1.2.9, "The onRelease event type"), which an
/// outbox takes by default; then come the answers to an invitation ("The onAcceptInvitation event
/// type") and what CPu tells.
pub const EVENTS: [&str; 12] = [
    "transfer",
    "update",
    "block",
    "unblock",
    "delete",
    "revoke",
    "greenlights",
    "accepted",
    "refused",
    "release-right",
    "release-light",
    "terminal-event",
];

/// How many of them are a release's.
const OF_RELEASES: usize = 7;

/// Bytes of an outbox's name at most: it stands in the ledger, whose values are small.
const LONGEST_NAME: usize = 64;

/// Bytes of a file's name at most: with a number, a marker and a hidden name it stays one.
const LONGEST_FILE: usize = 150;

/// A folder into which events are written as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// Its name, unique among the customer's. Default `outbox`.
    pub name: String,
    /// The events that it takes. Default: those of releases.
    pub events: BTreeSet<&'static str>,
    /// The mapping's name; its direction is out.
    pub mapping: String,
    /// The folder.
    pub folder: Folder,
    /// The files' names, with `{sequence}` and perhaps `{event}`. Default `{sequence}` and the
    /// format.
    pub file: Option<String>,
    /// When gathered events are written together; none: a file for each.
    pub gather: Option<Gather>,
    /// The name of an empty file that is written after each, with `{name}` or `{stem}`.
    pub marker: Option<String>,
}

/// When gathered events are written together: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// So long after the oldest was queued.
    pub every: Duration,
    /// When so many wait.
    pub rows: Option<u64>,
}

#[derive(Clone, Copy)]
enum Kind {
    Local,
    Sftp,
}

impl Outbox {
    /// The word for an event of releases, if it is one that the API's document has.
    pub fn word_of_release(event: &str) -> Option<&'static str> {
        EVENTS[..OF_RELEASES].iter().find(|known| **known == event).copied()
    }

    /// Whether it takes any event of releases.
    pub fn is_of_releases(&self) -> bool {
        EVENTS[..OF_RELEASES].iter().any(|event| self.events.contains(event))
    }

    /// Reads all outboxes of a customer.
    pub(super) fn parse_all(
        customer: &mut Section,
        provider: &Provider,
        stakes: &mut Vec<Stake>,
    ) -> BTreeMap<String, Outbox> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut outboxes = BTreeMap::new();
        for mut section in customer.sections("outbox") {
            let name = name(&mut section);
            if let Some(name) = &name {
                if let Some(line) = seen.get(name) {
                    let what =
                        format!("the outbox in line {line} has the name \"{name}\": give another");
                    section.error("name", what);
                }
                seen.entry(name.clone()).or_insert(section.line());
            }
            let outbox = Outbox::parse(section, name, provider, stakes);
            outboxes.extend(outbox.map(|outbox| (outbox.name.clone(), outbox)));
        }
        outboxes
    }

    /// The name of the file that begins with this sequence number, written in this format.
    pub fn file_name(&self, sequence: u64, event: &str, format: &str) -> String {
        let sequence = format!("{sequence:08}");
        match &self.file {
            Some(file) => file.replace("{sequence}", &sequence).replace("{event}", event),
            None => format!("{sequence}.{format}"),
        }
    }

    /// The name of the marker for a file, if one is wanted.
    pub fn marker_name(&self, file: &str) -> Option<String> {
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        self.marker.as_ref().map(|marker| marker.replace("{name}", file).replace("{stem}", stem))
    }

    fn parse(
        mut section: Section,
        name: Option<String>,
        provider: &Provider,
        stakes: &mut Vec<Stake>,
    ) -> Option<Outbox> {
        let events = events(&mut section);
        let mapping = section.required("mapping");
        if let (Some(name), Some(known)) = (&mapping, &provider.mapping_names)
            && !known.contains(name)
        {
            section.unknown_name("mapping", "mapping", name, known.iter().map(String::as_str));
        }
        let kind = match section.has("type") {
            true => section.choice("type", &[("local", Kind::Local), ("sftp", Kind::Sftp)]),
            false => Some(Kind::Local),
        };
        let gather = Gather::parse(&mut section);
        let gathers = gather.is_none_or(|gather| gather.is_some());
        let file = file(&mut section, gathers);
        let marker = marker(&mut section);
        let folder = kind.and_then(|kind| match kind {
            Kind::Local => local(&mut section),
            Kind::Sftp => {
                let (sftp, _) = Sftp::folder(&mut section, "an outbox");
                sftp.map(|sftp| (sftp.to_string(), Folder::Sftp(Arc::new(sftp))))
            }
        });
        if let (Some((identity, _)), Some(file), Some(marker)) = (&folder, &file, &marker) {
            let file = file.clone().unwrap_or_else(|| "{sequence}.{format}".to_owned());
            let marker = marker.as_ref().map(|marker| marker.replace("{name}", &file));
            let names = std::iter::once(file).chain(marker).collect();
            stakes.push(Stake::outbox(identity.clone(), names, &section));
        }
        section.finish();
        Some(Outbox {
            name: name?,
            events: events?,
            mapping: mapping?,
            folder: folder?.1,
            file: file?,
            gather: gather?,
            marker: marker?,
        })
    }
}

impl Gather {
    /// Reads `gather`; the inner is none if it is not there.
    fn parse(outbox: &mut Section) -> Option<Option<Gather>> {
        if !outbox.has("gather") {
            return Some(None);
        }
        let mut section = outbox.section("gather")?;
        if !section.has("every") {
            section.missing("every");
        }
        let every = section.duration("every");
        if every.is_some_and(|every| every < Duration::from_secs(1)) {
            section.error("every", "every must be at least \"1s\"");
        }
        let rows = match section.has("rows") {
            true => section.integer("rows", 1, 10_000).and_then(|rows| u64::try_from(rows).ok()),
            false => None,
        };
        let is_sound = rows.is_some() || !section.has("rows");
        section.finish();
        is_sound.then_some(Some(Gather { every: every?, rows }))
    }
}

fn name(section: &mut Section) -> Option<String> {
    if !section.has("name") {
        return Some("outbox".to_owned());
    }
    let name = section.text("name")?;
    let fault = match name_fault(&name) {
        None if name.len() > LONGEST_NAME => format!("is longer than {LONGEST_NAME} bytes"),
        None => return Some(name),
        Some(fault) => fault.to_owned(),
    };
    section.error("name", format!("the name {name:?} {fault}"));
    None
}

fn events(section: &mut Section) -> Option<BTreeSet<&'static str>> {
    if !section.has("events") {
        return Some(EVENTS[..OF_RELEASES].iter().copied().collect());
    }
    let mut events = BTreeSet::new();
    let mut is_sound = true;
    for word in section.texts("events")? {
        match EVENTS.iter().find(|event| **event == word) {
            Some(event) => {
                events.insert(*event);
            }
            None => {
                is_sound = false;
                section.unknown_name("events", "event", &word, EVENTS.into_iter());
            }
        }
    }
    if is_sound && events.is_empty() {
        section.error("events", "events is empty: leave it out to take all of a release");
        return None;
    }
    is_sound.then_some(events)
}

/// The names of files; the inner is none where the default is wanted.
fn file(section: &mut Section, gathers: bool) -> Option<Option<String>> {
    if !section.has("file") {
        return Some(None);
    }
    let name = section.filled("file")?;
    let without = name.replace("{sequence}", "").replace("{event}", "");
    let fault = if !name.contains("{sequence}") {
        "must hold {sequence}: each file has a name of its own".to_owned()
    } else if without.contains(['{', '}']) {
        "knows {sequence} and {event} only".to_owned()
    } else if name.contains("{event}") && gathers {
        "cannot hold {event} where events are gathered: a file holds several".to_owned()
    } else if name.len() > LONGEST_FILE {
        format!("is longer than {LONGEST_FILE} bytes")
    } else if let Some(fault) = name_fault(&name) {
        fault.to_owned()
    } else {
        return Some(Some(name));
    };
    section.error("file", format!("file {fault}"));
    None
}

/// The name of markers; the inner is none where none are wanted.
fn marker(section: &mut Section) -> Option<Option<String>> {
    if !section.has("marker") {
        return Some(None);
    }
    let name = section.filled("marker")?;
    let fault = match marker_fault(&name).or_else(|| name_fault(&name)) {
        None if name.len() > LONGEST_NAME => format!("is longer than {LONGEST_NAME} bytes"),
        None => return Some(Some(name)),
        Some(fault) => fault.to_owned(),
    };
    section.error("marker", format!("marker {fault}"));
    None
}

/// A folder on this machine, and what tells it from others.
fn local(section: &mut Section) -> Option<(String, Folder)> {
    if !section.has("path") {
        section.missing("path");
    }
    let path = section.file_path("path")?;
    look_at(&path, section);
    Some((identity(&path), Folder::Local(path)))
}
