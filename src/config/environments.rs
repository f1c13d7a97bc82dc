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
    /// Reads them from the provider's file; `chosen` overrides the one in use.
    pub(super) fn parse(section: &mut Section, chosen: Option<&str>) -> Option<Environments> {
        let names = section.texts("environments");
        let written = section.filled("environment");
        if section.faults().any_error() {
            return None;
        }
        let names = match (names, &written) {
            (Some(names), _) => names,
            (None, Some(written)) => vec![written.clone()],
            (None, None) => vec!["production".to_owned()],
        };
        check_names(section, &names);

        let alone = || (names.len() == 1).then(|| names[0].clone());
        let (current, by) = match (chosen, written) {
            (Some(chosen), _) => (Some(chosen.to_owned()), "--environment"),
            (None, Some(written)) => (Some(written), "environment"),
            (None, None) => (alone(), "environment"),
        };
        match current {
            Some(current) if names.contains(&current) => Some(Environments { names, current }),
            Some(current) => {
                let key = if by == "environment" { by } else { "environments" };
                let advice = match nearest(&current, names.iter().map(String::as_str)) {
                    Some(name) => format!(": did you mean \"{name}\"?"),
                    None => format!(": known are {}", names.join(", ")),
                };
                section.error(key, format!("{by} is \"{current}\", which is no environment{advice}"));
                None
            }
            None => {
                section.error(
                    "environments",
                    format!(
                        "\"environment\" is missing: it, or --environment, names the one in use of {}",
                        names.join(", ")
                    ),
                );
                None
            }
        }
        .filter(|_| !section.faults().any_error())
    }

    /// Whether a key is the name of an environment.
    pub(super) fn has(&self, key: &str) -> bool {
        self.names.iter().any(|name| name == key)
    }
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
