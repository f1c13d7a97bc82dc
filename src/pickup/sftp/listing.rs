//! Listing: which files of a remote folder might be taken. What a server says of names is data:
//! one that could lead anywhere else, or that nothing here could bear, is refused with a reason.

use std::collections::BTreeSet;

use crate::config::{Order, Ready, Source};
use crate::disk::Look;
use crate::pickup::Candidate;
use crate::pickup::local::{is_hidden_claim, marker_name};
use crate::sftp::{Entry, Kind, Stat};

/// Bytes of a name at most, so that what is added to it for results still fits into the 255 of
/// Linux's file systems (path_resolution(7), NAME_MAX).
const LONGEST: usize = 220;

/// What a look into a remote folder came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files that `ignore` lets through, in the source's order.
    pub candidates: Vec<Candidate>,
    /// All names that are there, for markers.
    pub present: BTreeSet<String>,
    /// What is left alone, and why: one line each, fit to be shown.
    pub refused: Vec<String>,
}

/// Judges what a server listed.
pub fn listing(source: &Source, entries: Vec<Entry>) -> Listing {
    let mut listing = Listing::default();
    for Entry { name, stat } in entries {
        let name = match sound_name(name) {
            Ok(name) => name,
            Err(refused) => {
                listing.refused.push(refused);
                continue;
            }
        };
        let is_wanted = !is_hidden_claim(&name) && !source.ignore.is_match(&name);
        match stat.kind {
            Kind::File if is_wanted => {
                listing.candidates.push(Candidate { name: name.clone(), look: look(&stat) });
            }
            Kind::Link if is_wanted => {
                listing.refused.push(format!("{name:?} is a link, and links are not followed"));
            }
            Kind::Other if is_wanted => {
                listing.refused.push(format!("{name:?} is neither a file nor a folder"));
            }
            _ => {}
        }
        listing.present.insert(name);
    }
    listing.refused.sort();
    if let Ready::Marker(marker) = &source.ready {
        let markers: BTreeSet<String> =
            listing.candidates.iter().map(|one| marker_name(marker, &one.name)).collect();
        listing.candidates.retain(|one| !markers.contains(&one.name));
    }
    match source.order {
        Order::Name => listing.candidates.sort_by(|a, b| a.name.cmp(&b.name)),
        Order::Modified => listing
            .candidates
            .sort_by(|a, b| (a.look.modified, &a.name).cmp(&(b.look.modified, &b.name))),
    }
    listing
}

/// By what a change of a remote file is noticed; servers tell whole seconds and no inode.
pub fn look(stat: &Stat) -> Look {
    let modified = i64::try_from(stat.modified).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    Look { size: stat.size, modified, inode: 0 }
}

fn sound_name(name: Vec<u8>) -> Result<String, String> {
    let name = String::from_utf8(name).map_err(|error| {
        let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
        format!("{shown:?} is not UTF-8: no route could match it")
    })?;
    let fault = if name.is_empty() || name == "." || name == ".." {
        "is no file's name"
    } else if name.contains(['/', '\\']) {
        "holds a path separator"
    } else if name.chars().any(char::is_control) {
        "holds control characters"
    } else if name.len() > LONGEST {
        let shown: String = name.chars().take(40).collect();
        return Err(format!("{shown:?}… is longer than {LONGEST} bytes"));
    } else {
        return Ok(name);
    };
    Err(format!("{name:?} {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Folder;

    fn source(ready: Ready, order: Order) -> Source {
        let folder = std::path::PathBuf::from("/nowhere");
        Source {
            name: "partner".to_owned(),
            folder: Folder::Local(folder.clone()),
            ready,
            ignore: globset::GlobSet::builder()
                .add(globset::Glob::new("*.part").unwrap())
                .build()
                .unwrap(),
            order,
            archive: folder.clone(),
            rejects: folder.clone(),
            receipts: folder,
            keep: None,
            schedule: None,
        }
    }

    fn entry(name: &[u8], kind: Kind, modified: u64) -> Entry {
        Entry { name: name.to_vec(), stat: Stat { size: 7, modified, kind } }
    }

    fn names(listing: &Listing) -> Vec<&str> {
        listing.candidates.iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn files_are_taken_in_the_order_that_is_asked_for() {
        let entries = || {
            vec![
                entry(b"b.csv", Kind::File, 1),
                entry(b"a.csv", Kind::File, 3),
                entry(b"c.csv.part", Kind::File, 2),
                entry(b"done", Kind::Folder, 2),
                entry(b".lighterman-0123456789ab-7", Kind::File, 2),
            ]
        };
        let by = |order| listing(&source(Ready::Renamed, order), entries());
        assert_eq!(names(&by(Order::Name)), ["a.csv", "b.csv"]);
        assert_eq!(names(&by(Order::Modified)), ["b.csv", "a.csv"]);
        assert_eq!(by(Order::Name).refused, [""; 0]);
        assert_eq!(by(Order::Name).candidates[0].look.modified, 3_000_000_000);
    }

    #[test]
    fn names_that_are_no_names_are_refused_with_a_reason() {
        let long = "x".repeat(221);
        let entries = vec![
            entry(b"../../etc/cron.d/x", Kind::File, 1),
            entry(b"..", Kind::File, 1),
            entry(b"", Kind::File, 1),
            entry(b"a\\b.csv", Kind::File, 1),
            entry(b"a\nb.csv", Kind::File, 1),
            entry(b"M\xfcller.csv", Kind::File, 1),
            entry(long.as_bytes(), Kind::File, 1),
            entry(b"link.csv", Kind::Link, 1),
            entry(b"link.part", Kind::Link, 1),
            entry(b"pipe", Kind::Other, 1),
            entry(b"good.csv", Kind::File, 1),
        ];
        let listing = listing(&source(Ready::Renamed, Order::Name), entries);
        assert_eq!(names(&listing), ["good.csv"]);
        assert_eq!(
            listing.refused,
            [
                r#""" is no file's name"#.to_owned(),
                r#"".." is no file's name"#.to_owned(),
                r#""../../etc/cron.d/x" holds a path separator"#.to_owned(),
                r#""M�ller.csv" is not UTF-8: no route could match it"#.to_owned(),
                r#""a\\b.csv" holds a path separator"#.to_owned(),
                r#""a\nb.csv" holds control characters"#.to_owned(),
                r#""link.csv" is a link, and links are not followed"#.to_owned(),
                r#""pipe" is neither a file nor a folder"#.to_owned(),
                format!("{:?}… is longer than 220 bytes", "x".repeat(40)),
            ]
        );
    }

    #[test]
    fn markers_are_no_files_to_be_taken() {
        let ready = Ready::Marker("{stem}.ok".to_owned());
        let entries = ["a.csv", "a.ok", "b.csv"];
        let entries = entries.map(|name| entry(name.as_bytes(), Kind::File, 1)).to_vec();
        let listing = listing(&source(ready, Order::Name), entries);
        assert_eq!(names(&listing), ["a.csv", "b.csv"]);
        assert!(listing.present.contains("a.ok"));
    }
}
