//! Standing: the transfers and revokes that this process works on. No newer call for their release
//! goes before them. Those that wait stand in the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::{Age, Held};

/// All of one SCR API; clones share it.
#[derive(Clone, Default)]
pub struct Standing(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By the name of the release, as in the ledger.
    by_name: BTreeMap<String, BTreeSet<Age>>,
    /// The releases that a call was put off for.
    behind: BTreeSet<String>,
}

/// One of them. It stands until this is dropped.
pub struct Stand {
    all: Standing,
    name: String,
    age: Age,
}

impl Standing {
    /// A transfer or revoke stands from now on.
    pub fn stand(&self, name: String, age: Age) -> Stand {
        self.lock().by_name.entry(name.clone()).or_default().insert(age);
        Stand { all: self.clone(), name, age }
    }

    /// Whether one stands that is older and for a release of one of these names; `all` tells that
    /// the release has no other names.
    pub fn held(&self, names: &[String], all: bool, before: Age) -> Held {
        let state = self.lock();
        let is_older = |ages: &BTreeSet<Age>| ages.first().is_some_and(|age| *age < before);
        if names.iter().filter_map(|name| state.by_name.get(name)).any(is_older) {
            return Held::Yes;
        }
        let mut containers = state.by_name.iter().filter(|(name, _)| !name.starts_with("0x"));
        match !all && containers.any(|(_, ages)| is_older(ages)) {
            true => Held::Perhaps,
            false => Held::No,
        }
    }

    /// A call for this release was put off because of an older one.
    pub fn put_off(&self, address: &str) {
        self.lock().behind.insert(address.to_owned());
    }

    /// Whether calls for this release were put off; then they can be tried again.
    pub fn take_behind(&self, address: &str) -> bool {
        self.lock().behind.remove(address)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stand {
    /// Its release turned out to be this one.
    pub fn is_for(&mut self, name: &str) {
        if self.name == name {
            return;
        }
        let mut state = self.all.lock();
        state.by_name.entry(name.to_owned()).or_default().insert(self.age);
        state.leave(&self.name, self.age);
        drop(state);
        name.clone_into(&mut self.name);
    }

    /// The name of its release.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.all.lock().leave(&self.name, self.age);
    }
}

impl State {
    fn leave(&mut self, name: &str, age: Age) {
        if let Some(ages) = self.by_name.get_mut(name) {
            ages.remove(&age);
            if ages.is_empty() {
                self.by_name.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Arrival;

    #[test]
    fn what_is_newer_is_held_by_whatever_name_its_release_has() {
        let standing = Standing::default();
        let age = |ordinal| (Arrival(1), ordinal);
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut stand = standing.stand("CSQU3054383".to_owned(), age(5));
        assert_eq!(standing.held(&names(&["0xa"]), false, age(6)), Held::Perhaps);
        assert_eq!(standing.held(&names(&["0xa"]), true, age(6)), Held::No);
        assert_eq!(standing.held(&names(&["0xa", "CSQU3054383"]), true, age(6)), Held::Yes);
        assert_eq!(standing.held(&names(&["0xa", "CSQU3054383"]), true, age(5)), Held::No);
        stand.is_for("0xa");
        assert_eq!(standing.held(&names(&["0xa"]), false, age(6)), Held::Yes);
        assert_eq!(standing.held(&names(&["0xb"]), false, age(6)), Held::No);
        drop(stand);
        assert_eq!(standing.held(&names(&["0xa", "CSQU3054383"]), false, age(6)), Held::No);
    }
}
