//! The text of a config file.

use std::path::Path;

use super::Faults;

/// Reads a file; `None`, with the fault noted, if that cannot be done.
pub(super) fn read(file: &Path, faults: &Faults) -> Option<String> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            faults.error(file, 0, format!("cannot be read: {error}"));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + sound.iter().filter(|byte| **byte == b'\n').count();
            faults.error(file, line, "is not UTF-8: save the file as UTF-8");
            None
        }
    }
}
