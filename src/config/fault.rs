//! Fault: one thing wrong with the configuration, with its file and line, and the list into which
//! a load gathers all of them.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// One thing wrong with the configuration, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file it stands in.
    pub file: PathBuf,
    /// The line, from 1; 0 where no single line is at fault.
    pub line: usize,
    /// Whether the program can go on.
    pub weight: Weight,
    /// What is wrong, and what to do.
    pub what: String,
}

/// How much a fault weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Told, and the program goes on.
    Warning,
    /// The file cannot be used.
    Error,
}

/// The faults found so far; clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Rc<RefCell<Vec<Fault>>>,
    without_secrets: bool,
}

impl Faults {
    /// For commands that only look: secrets are not read, so that their absence is no fault.
    pub fn without_secrets() -> Faults {
        Faults { without_secrets: true, ..Faults::default() }
    }

    /// An empty list that treats secrets as this one does.
    pub(super) fn beside(&self) -> Faults {
        Faults { without_secrets: self.without_secrets, ..Faults::default() }
    }

    /// Whether secrets are to be read.
    pub(super) fn reads_secrets(&self) -> bool {
        !self.without_secrets
    }

    /// Notes an error.
    pub fn error(&self, file: &Path, line: usize, what: impl Into<String>) {
        self.note(file, line, Weight::Error, what.into());
    }

    /// Notes a warning.
    pub fn warning(&self, file: &Path, line: usize, what: impl Into<String>) {
        self.note(file, line, Weight::Warning, what.into());
    }

    /// All faults so far, in the order of files and lines.
    pub fn take(&self) -> Vec<Fault> {
        let mut faults = std::mem::take(&mut *self.list.borrow_mut());
        faults.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        faults
    }

    /// Whether an error was noted.
    pub fn any_error(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors were noted.
    pub fn errors(&self) -> usize {
        self.list.borrow().iter().filter(|fault| fault.weight == Weight::Error).count()
    }

    /// What `parse` gives, unless it notes an error.
    pub(super) fn sound<T>(&self, parse: impl FnOnce() -> Option<T>) -> Option<T> {
        let before = self.errors();
        parse().filter(|_| self.errors() == before)
    }

    fn note(&self, file: &Path, line: usize, weight: Weight, what: String) {
        self.list.borrow_mut().push(Fault { file: file.to_owned(), line, weight, what });
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if self.weight == Weight::Warning {
            f.write_str(" warning:")?;
        }
        write!(f, " {}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_its_place_and_weight() {
        let faults = Faults::default();
        faults.warning(Path::new("customers/acme.toml"), 14, "b");
        faults.error(Path::new("customers/acme.toml"), 3, "a");
        faults.error(Path::new("a.toml"), 0, "c");
        let told: Vec<String> = faults.take().iter().map(Fault::to_string).collect();
        assert_eq!(
            told,
            ["a.toml: c", "customers/acme.toml:3: a", "customers/acme.toml:14: warning: b"]
        );
    }
}
