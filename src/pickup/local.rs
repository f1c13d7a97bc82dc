//! A look into a local folder: which files lie there that might be taken.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::config::{Order, Ready, Source};
use crate::disk::{self, Look};

/// A file that was seen in a source's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, without the folder.
    pub name: String,
    /// By what a change is noticed.
    pub look: Look,
}

/// The files in a source's folder that its `ignore` lets through, in its order. Markers, folders and links
/// are left out; a name that is not UTF-8 too, since no route could match it.
pub fn list(source: &Source, folder: &Path) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    let entries = disk::step("list", folder)
        .and_then(|()| fs::read_dir(folder))
        .with_context(|| format!("{} cannot be listed", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("{}", folder.display()))?;
        let Ok(name) = entry.file_name().into_string() else {
            tracing::warn!(
                folder = %folder.display(),
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
            candidates.push(Candidate { name, look: Look::of(&metadata) });
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

/// The marker's name for a file.
pub fn marker_name(marker: &str, name: &str) -> String {
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    marker.replace("{name}", name).replace("{stem}", stem)
}

/// Whether a name is that of a file some claim has hidden.
pub fn is_hidden_claim(name: &str) -> bool {
    name.starts_with(".lighterman-")
}
