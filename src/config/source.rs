//! Source: where a customer's files appear: a local folder, or one on an SFTP server.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use globset::{GlobSet, GlobSetBuilder};

use super::clash::{Stake, Thing};
use super::sftp::Sftp;
use super::{Section, glob, schedule};
use crate::schedule::Schedule;

/// Names of files that programs are still writing, and hidden ones.
const IGNORE: [&str; 6] = ["*.tmp", "*.part", "*.filepart", "*.incomplete", "*.writing", ".*"];

/// Where a customer's files appear.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in the customer's file.
    pub name: String,
    /// The folder.
    pub folder: Folder,
    /// When it is looked into; none where folder events tell. Of an SFTP source every minute by
    /// default.
    pub schedule: Option<Schedule>,
    /// When a file counts as finished.
    pub ready: Ready,
    /// Names that are never looked at, as globs; letters of either case match.
    pub ignore: GlobSet,
    /// In which order the files of one look are taken.
    pub order: Order,
    /// Where the originals go. Default `archive` in the folder; of an SFTP source,
    /// `results/customer/source/archive` in `state/<environment>`.
    pub archive: PathBuf,
    /// Where rejected records go. Default `rejects`, likewise.
    pub rejects: PathBuf,
    /// Where receipts go. Default `receipts`, likewise.
    pub receipts: PathBuf,
    /// How long archived files and receipts are kept. Default: for good.
    pub keep: Option<Duration>,
}

/// Where a source's folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// On this machine.
    Local(PathBuf),
    /// On an SFTP server.
    Sftp(Arc<Sftp>),
}

/// When a file counts as finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Size, modification time and, of a local file, inode unchanged for this long on our own
    /// clock. Default 2 s, of an SFTP source 10 s.
    Quiet(Duration),
    /// As soon as it is there: writers rename finished files into place.
    Renamed,
    /// When the marker beside it is there; `{name}` and `{stem}` stand for the file's.
    Marker(String),
}

/// In which order the files of one look are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By name.
    Name,
    /// By modification time, then by name.
    Modified,
}

/// The type of a source.
#[derive(Clone, Copy)]
enum Kind {
    Local,
    Sftp,
}

impl Source {
    /// Reads all sources of a customer; one that has errors is known by its name only. The results
    /// of those that have no local folder lie in `results`.
    pub(super) fn parse_all(
        customer: &mut Section,
        results: &Path,
        stakes: &mut Vec<Stake>,
    ) -> BTreeMap<String, Option<Source>> {
        let sections = customer.named_sections("sources").into_iter();
        sections
            .map(|(name, section)| {
                let faults = section.faults().clone();
                (name.clone(), faults.sound(|| Source::parse(section, name, results, stakes)))
            })
            .collect()
    }

    /// Its folder, if it is on this machine.
    pub fn local_folder(&self) -> Option<&Path> {
        match &self.folder {
            Folder::Local(path) => Some(path),
            Folder::Sftp(_) => None,
        }
    }

    fn parse(
        mut section: Section,
        name: String,
        results: &Path,
        stakes: &mut Vec<Stake>,
    ) -> Option<Source> {
        if !section.has("type") {
            section.missing("type");
        }
        let kind = section.choice("type", &[("local", Kind::Local), ("sftp", Kind::Sftp)])?;
        let (folder, results, quiet) = match kind {
            Kind::Local => {
                let path = local(&mut section, stakes);
                let results = path.clone();
                (path.map(Folder::Local), results, Duration::from_secs(2))
            }
            Kind::Sftp => {
                let sftp = Sftp::parse(&mut section, stakes);
                let results = results.join(&name);
                (sftp.map(Arc::new).map(Folder::Sftp), Some(results), Duration::from_secs(10))
            }
        };
        let schedule = match kind {
            Kind::Local => schedule::parse(&mut section),
            // No event tells of a file on a server.
            Kind::Sftp => schedule::parse(&mut section)
                .map(|given| given.or(Some(Schedule::Every(Duration::from_secs(60))))),
        };
        let ready = Ready::parse(&mut section, quiet);
        let ignore = ignore(&mut section);
        let orders = [("name", Order::Name), ("modified", Order::Modified)];
        let order = section.choice("order", &orders).unwrap_or(Order::Name);
        let taken = folder.as_ref().and_then(|folder| match folder {
            Folder::Local(path) => Some(path.as_path()),
            Folder::Sftp(_) => None,
        });
        let mut result =
            |key: &str| result_folder(&mut section, key, results.as_deref(), taken, stakes);
        let [archive, rejects, receipts] = ["archive", "rejects", "receipts"].map(&mut result);
        let keep = match section.has("keep") {
            true => section.duration("keep").map(Some),
            false => Some(None),
        };
        section.finish();
        Some(Source {
            name,
            folder: folder?,
            schedule: schedule?,
            ready: ready?,
            ignore: ignore?,
            order,
            archive: archive?,
            rejects: rejects?,
            receipts: receipts?,
            keep: keep?,
        })
    }
}

/// Reads the folder of a source on this machine.
fn local(section: &mut Section, stakes: &mut Vec<Stake>) -> Option<PathBuf> {
    if !section.has("path") {
        section.missing("path");
    }
    let path = section.file_path("path")?;
    look_at(&path, section);
    stakes.push(Stake::new(Thing::Folder, identity(&path), section, "path"));
    Some(path)
}

impl Ready {
    fn parse(source: &mut Section, quiet: Duration) -> Option<Ready> {
        let default = Ready::Quiet(quiet);
        let Some(mut section) = source.section("ready") else { return Some(default) };
        if !section.has("when") {
            section.missing("when");
        }
        let words = [("quiet", 0), ("renamed", 1), ("marker", 2)];
        let when = section.choice("when", &words)?;
        let quiet_for = section.duration("for");
        let marker = section.filled("name");
        if when != 0 && section.has("for") {
            section.error("for", "for is for when = \"quiet\" only");
        }
        if when != 2 && section.has("name") {
            section.error("name", "name is for when = \"marker\" only");
        }
        let ready = match when {
            0 => Some(quiet_for.map_or(default, Ready::Quiet)),
            1 => Some(Ready::Renamed),
            _ => {
                if !section.has("name") {
                    section.missing("name");
                }
                marker.and_then(|name| marker_name(&section, name)).map(Ready::Marker)
            }
        };
        section.finish();
        ready
    }
}

fn marker_name(section: &Section, name: String) -> Option<String> {
    let Some(fault) = marker_fault(&name) else { return Some(name) };
    section.error("name", format!("name {fault}"));
    None
}

/// Why this cannot be the name of a marker, if it cannot.
pub(super) fn marker_fault(name: &str) -> Option<&'static str> {
    let without = name.replace("{name}", "").replace("{stem}", "");
    if name == "{name}" {
        Some("would be the file itself")
    } else if without == name {
        Some("must hold {name} or {stem}: each file has a marker of its own")
    } else if without.contains(['{', '}']) {
        Some("knows {name} and {stem} only")
    } else if name.contains('/') {
        Some("holds a slash: the marker lies beside the file")
    } else {
        None
    }
}

fn ignore(section: &mut Section) -> Option<GlobSet> {
    // Nearly all sources have the default: they share one compiled set.
    static DEFAULT: LazyLock<Option<GlobSet>> =
        LazyLock::new(|| set_of(&IGNORE, |_, _| ()).build().ok());
    let patterns = match section.has("ignore") {
        true => section.texts("ignore")?,
        false => return DEFAULT.clone(),
    };
    if patterns == IGNORE {
        return DEFAULT.clone();
    }
    let set = set_of(&patterns, |pattern, fault| {
        section.error("ignore", format!("{pattern:?} in ignore {fault}"));
    });
    match set.build() {
        Ok(set) => Some(set),
        Err(error) => {
            section.error("ignore", format!("ignore cannot be used: {}", error.kind()));
            None
        }
    }
}

fn set_of(patterns: &[impl AsRef<str>], tell: impl Fn(&str, String)) -> GlobSetBuilder {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        match glob::compile(pattern.as_ref()) {
            Ok(glob) => {
                set.add(glob);
            }
            Err(fault) => tell(pattern.as_ref(), fault),
        }
    }
    set
}

/// A folder of results: the one that is named, or the default in `results`. It must not be the
/// folder that files are `taken` from.
fn result_folder(
    section: &mut Section,
    key: &str,
    results: Option<&Path>,
    taken: Option<&Path>,
    stakes: &mut Vec<Stake>,
) -> Option<PathBuf> {
    let results = results?;
    if !section.has(key) {
        let folder = results.join(key);
        stakes.push(Stake::new(Thing::Results, identity(&folder), section, key));
        return Some(folder);
    }
    let folder = section.file_path(key)?;
    if taken.is_some_and(|taken| identity(&folder) == identity(taken)) {
        let what = format!("{key} is the source's own folder: its files would be taken in again");
        section.error(key, what);
        return None;
    }
    stakes.push(Stake::new(Thing::Results, identity(&folder), section, key));
    Some(folder)
}

/// Looks whether a folder is there.
pub(super) fn look_at(path: &Path, section: &Section) {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => section.error("path", format!("{shown} is no folder")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            section.warning("path", format!("the folder {shown} does not exist"));
        }
        Err(error) => {
            section.warning("path", format!("the folder {shown} cannot be looked at: {error}"));
        }
    }
}

/// The folder without links and detours, as far as it can be known.
pub(super) fn identity(path: &Path) -> String {
    let absolute = || {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.components().fold(PathBuf::new(), |mut clean, component| {
            match component {
                Component::ParentDir => {
                    clean.pop();
                }
                _ => clean.push(component),
            }
            clean
        })
    };
    let path = path.canonicalize().unwrap_or_else(|_| absolute());
    path.to_string_lossy().into_owned()
}
