//! Look: by what a change of a file is noticed without reading it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

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

impl Look {
    /// What one look at a file sees.
    pub fn at(path: &Path) -> io::Result<Look> {
        Ok(Look::of(&path.symlink_metadata()?))
    }

    /// What a look saw.
    pub fn of(metadata: &Metadata) -> Look {
        Look {
            size: metadata.size(),
            modified: metadata.mtime().saturating_mul(1_000_000_000) + metadata.mtime_nsec(),
            inode: metadata.ino(),
        }
    }

    /// Whether the file of a later look may hold the same bytes: the file itself, or a copy.
    pub fn may_be(&self, later: &Look) -> bool {
        self.size == later.size && (self.inode != later.inode || self.modified == later.modified)
    }
}
