//! Certificates: a file with a further root that TLS shall trust.

use std::path::PathBuf;

use super::Section;

/// Reads the key `ca`; the file must be there.
pub(super) fn parse(section: &mut Section) -> Option<PathBuf> {
    let path = section.file_path("ca")?;
    if let Err(error) = std::fs::File::open(&path) {
        section.error("ca", format!("ca: {} cannot be read: {error}", path.display()));
    }
    Some(path)
}
