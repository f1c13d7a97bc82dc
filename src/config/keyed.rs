//! Keyed values: a table with one value for each environment, told from tables that are values
//! themselves.

use std::rc::Rc;

use super::Environments;
use super::value::{Keys, Kind, Value};

/// What a key is expected to hold, which tells a table keyed by environment from other tables.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    /// No table, or one with a short form.
    Plain,
    /// A table with keys of ours.
    Table,
    /// A table of tables whose keys are the user's names: an environment's name may be one.
    Names,
}

/// The value for the environment in use, if it is keyed by environment; else the value.
/// What is wrong with it is told with its line.
pub(super) fn resolve(
    environments: &Environments,
    path: &str,
    value: Value,
    wanted: Wanted,
    tell: &dyn Fn(usize, String),
) -> Option<Value> {
    let keys = match &value.kind {
        Kind::Table(keys) if is_keyed(environments, keys, wanted) => Rc::clone(keys),
        _ => return Some(value),
    };
    for (name, (line, _)) in keys.iter().filter(|(name, _)| !environments.has(name)) {
        let known = environments.names.join(", ");
        let what =
            format!("{path} is keyed by environment, but {name:?} is none: known are {known}");
        tell(*line, what);
    }
    let current = &environments.current;
    match keys.get(current) {
        Some((_, value)) => resolve(environments, path, value.clone(), wanted, tell),
        // Which one is in use is not known, and has been told.
        None if current.is_empty() => None,
        None => {
            tell(
                value.line,
                format!("{path} has no value for the environment \"{current}\" in use"),
            );
            None
        }
    }
}

fn is_keyed(environments: &Environments, keys: &Keys, wanted: Wanted) -> bool {
    let is_environment = |name: &String| environments.has(name);
    let holds_tables = |keys: &Keys| keys.values().all(|(_, value)| value.is_table());
    match wanted {
        Wanted::Plain => keys.keys().any(is_environment),
        // One of our keys may be an environment's name too: then what it holds decides.
        Wanted::Table => keys.keys().any(is_environment) && holds_tables(keys),
        Wanted::Names => {
            let names_within = |(_, value): &(usize, Value)| match &value.kind {
                Kind::Table(keys) => holds_tables(keys),
                _ => false,
            };
            !keys.is_empty() && keys.keys().all(is_environment) && keys.values().all(names_within)
        }
    }
}
