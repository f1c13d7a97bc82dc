//! Environments: the names that values may be keyed by, and the one in use.

use super::section::{Section, name_fault, nearest};

/// The names that no environment may have: a secret is told from a value keyed by environment
/// by them.
const RESERVED: [&str; 3] = ["env", "file", "credential"];

/// The environments that a configuration knows, and the one in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environments {
    /// All names.
    pub names: Vec<String>,
    /// The one in use.
    pub current: String,
}

impl Environments {
    /// Reads them from the provider's file; `chosen` overrides the one in use. Where that one
    /// cannot be known, it is empty and the fault is noted.
    pub(super) fn parse(section: &mut Section, chosen: Option<&str>) -> Environments {
        let written = section.filled("environment");
        let names = match (section.has("environments"), &written) {
            (true, _) => section.texts("environments").unwrap_or_default(),
            (false, Some(written)) => vec![written.clone()],
            (false, None) => vec!["production".to_owned()],
        };
        if !section.faults().any_error() {
            check_names(section, &names);
        }
        let current = current(section, &names, chosen, written).unwrap_or_default();
        Environments { names, current }
    }

    /// Whether a key is the name of an environment.
    pub(super) fn has(&self, key: &str) -> bool {
        self.names.iter().any(|name| name == key)
    }
}

/// The one in use: as chosen, as written, or the only one.
fn current(
    section: &Section,
    names: &[String],
    chosen: Option<&str>,
    written: Option<String>,
) -> Option<String> {
    if section.faults().any_error() {
        return None;
    }
    if let Some(written) = &written {
        check_known(section, names, "environment", written, "environment");
    }
    if let Some(chosen) = chosen {
        check_known(section, names, "--environment", chosen, "environments");
    }
    let current = match (chosen, written, names) {
        (Some(chosen), _, _) => chosen.to_owned(),
        (None, Some(written), _) => written,
        (None, None, [alone]) => alone.clone(),
        (None, None, names) => {
            let what = format!(
                "\"environment\" is missing: it, or --environment, names the one in use of {}",
                names.join(", ")
            );
            section.error("environments", what);
            return None;
        }
    };
    names.contains(&current).then_some(current)
}

fn check_known(section: &Section, names: &[String], by: &str, name: &str, key: &str) {
    if names.iter().any(|known| known == name) {
        return;
    }
    let advice = match nearest(name, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("known are {}", names.join(", ")),
    };
    section.error(key, format!("{by} is {name:?}, which is no environment: {advice}"));
}

fn check_names(section: &Section, names: &[String]) {
    if names.is_empty() {
        section.error("environments", "environments is empty: name at least one");
    }
    for (index, name) in names.iter().enumerate() {
        // The name becomes a folder below `state`.
        let fault = match name_fault(name) {
            Some(fault) => Some(fault),
            None if RESERVED.contains(&name.as_str()) => Some("names a place of secrets"),
            None if names[..index].contains(name) => Some("stands here twice"),
            None => None,
        };
        if let Some(fault) = fault {
            section.error("environments", format!("the environment {name:?} {fault}"));
        }
    }
}
