//! A look into a local folder: which files lie there that might be taken.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::config::{Order, Ready, Source};

/// A file that was seen in a source's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, without the folder.
    pub name: String,
    /// By what a change is noticed.
    pub look: Look,
}

/// Size, modification time and inode of a file as one look saw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Bytes.
    pub size: u64,
    /// Modification time, in nanoseconds since 1970.
    pub modified: i64,
    /// The inode.
    pub inode: u64,
}

/// The files of a source that its `ignore` lets through, in its order. Markers, folders and links
/// are left out; a name that is not UTF-8 too, since no route could match it.
pub fn list(source: &Source) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    let entries = fs::read_dir(&source.path)
        .with_context(|| format!("{} cannot be listed", source.path.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("{}", source.path.display()))?;
        let Ok(name) = entry.file_name().into_string() else {
            tracing::warn!(
                folder = %source.path.display(),
                "A file's name is not UTF-8 and is left alone: {:?}",
                entry.file_name()
            );
            continue;
        };
        if is_hidden_claim(&name) || source.ignore.is_match(&name) {
            continue;
        }
        // The file may be gone by now; it is then simply not there.
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        if metadata.is_file() {
            candidates.push(Candidate { name, look: look(&metadata) });
        }
    }
    if let Ready::Marker(marker) = &source.ready {
        let markers: BTreeSet<String> =
            candidates.iter().map(|one| marker_name(marker, &one.name)).collect();
        candidates.retain(|one| !markers.contains(&one.name));
    }
    match source.order {
        Order::Name => candidates.sort_by(|a, b| a.name.cmp(&b.name)),
        Order::Modified => {
            candidates.sort_by(|a, b| (a.look.modified, &a.name).cmp(&(b.look.modified, &b.name)))
        }
    }
    Ok(candidates)
}

/// What one look at a file sees.
pub fn look(metadata: &fs::Metadata) -> Look {
    Look {
        size: metadata.size(),
        modified: metadata.mtime().saturating_mul(1_000_000_000) + metadata.mtime_nsec(),
        inode: metadata.ino(),
    }
}

/// The marker's name for a file.
pub fn marker_name(marker: &str, name: &str) -> String {
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    marker.replace("{name}", name).replace("{stem}", stem)
}

/// Whether a name is that of a file some claim has hidden.
pub fn is_hidden_claim(name: &str) -> bool {
    name.starts_with(".lighterman-")
}
