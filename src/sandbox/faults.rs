//! Faults: what goes wrong on request, at which calls.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::Method;
use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::hub::lock;
use super::what::{What, refusal};

/// What goes wrong, and at which calls. Of several faults the first that is due strikes a call,
/// and those after it do not see the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The start of a path; or a glob, if it holds one of `*?[{`, for the whole of it. `*` stands
    /// for any characters, `/` too.
    pub path: String,
    /// The method; without it any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// How often it strikes; without it always.
    #[serde(default)]
    pub times: Option<u64>,
    /// It strikes only each n-th of the matching calls, counted after those skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// So many matching calls are let through first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<u64>,
    /// What happens to the calls it strikes.
    pub what: What,
}

impl Fault {
    /// A fault at all calls whose path matches `path`.
    pub fn new(path: &str, what: What) -> Fault {
        Fault { path: path.to_string(), method: None, times: None, every: None, skip: None, what }
    }

    /// An answer with `status` and nothing else.
    pub fn status(path: &str, status: u16) -> Fault {
        let headers = BTreeMap::new();
        Fault::new(path, What::Status { status, retry_after: None, body: None, headers })
    }

    /// Only so many times.
    pub fn times(self, times: u64) -> Fault {
        Fault { times: Some(times), ..self }
    }

    /// Only at calls with this method.
    pub fn method(self, method: &str) -> Fault {
        Fault { method: Some(method.to_string()), ..self }
    }

    /// Only at each n-th call.
    pub fn every(self, every: u64) -> Fault {
        Fault { every: Some(every), ..self }
    }

    /// Only after so many calls.
    pub fn skip(self, skip: u64) -> Fault {
        Fault { skip: Some(skip), ..self }
    }
}

#[derive(Default)]
pub(super) struct Faults(Mutex<Set>);

#[derive(Default)]
struct Set {
    armed: Vec<Armed>,
    /// Wakes the calls that are delayed when the faults are cleared.
    cleared: CancellationToken,
}

/// A fault with what it needs to know when it is due.
struct Armed {
    fault: Fault,
    pattern: Pattern,
    /// Matching calls so far.
    seen: u64,
    /// Strikes so far.
    struck: u64,
}

enum Pattern {
    Prefix(String),
    Glob(GlobMatcher),
}

/// A fault as `GET /_faults` shows it.
#[derive(Serialize)]
pub(super) struct Shown {
    fault: Fault,
    seen: u64,
    struck: u64,
}

impl Faults {
    pub fn add(&self, fault: Fault) -> anyhow::Result<()> {
        self.add_all(vec![fault])
    }

    /// Adds all of them, or none if one is faulty.
    pub fn add_all(&self, faults: Vec<Fault>) -> anyhow::Result<()> {
        let armed = faults.into_iter().map(Armed::new).collect::<anyhow::Result<Vec<_>>>()?;
        lock(&self.0).armed.extend(armed);
        Ok(())
    }

    /// Forgets all faults, and lets the calls go on that one of them delays.
    pub fn clear(&self) {
        std::mem::take(&mut *lock(&self.0)).cleared.cancel();
    }

    /// Waits so long, or until the faults are cleared.
    pub async fn delay(&self, millis: u64) {
        let cleared = lock(&self.0).cleared.clone();
        let _ =
            cleared.run_until_cancelled(tokio::time::sleep(Duration::from_millis(millis))).await;
    }

    pub fn shown(&self) -> Vec<Shown> {
        let shown = |armed: &Armed| Shown {
            fault: armed.fault.clone(),
            seen: armed.seen,
            struck: armed.struck,
        };
        lock(&self.0).armed.iter().map(shown).collect()
    }

    /// What strikes this call.
    pub fn strike(&self, method: &Method, path: &str) -> Option<What> {
        lock(&self.0)
            .armed
            .iter_mut()
            .find_map(|armed| armed.is_due(method, path).then(|| armed.fault.what.clone()))
    }
}

impl Armed {
    fn new(fault: Fault) -> anyhow::Result<Armed> {
        if let What::Status { status, retry_after, body, headers } = &fault.what {
            refusal(*status, retry_after.as_deref(), body.as_deref(), headers)?;
        }
        if fault.every == Some(0) {
            bail!("a fault at each 0th call: take 1 or more, or leave it out");
        }
        let pattern = match fault.path.contains(['*', '?', '[', '{']) {
            true => Pattern::Glob(
                Glob::new(&fault.path)
                    .with_context(|| format!("the fault's path {:?} is no glob", fault.path))?
                    .compile_matcher(),
            ),
            false => Pattern::Prefix(fault.path.clone()),
        };
        Ok(Armed { fault, pattern, seen: 0, struck: 0 })
    }

    /// Counts the call if it matches, and tells whether to strike it.
    fn is_due(&mut self, method: &Method, path: &str) -> bool {
        let method_matches = match &self.fault.method {
            Some(wanted) => wanted.eq_ignore_ascii_case(method.as_str()),
            None => true,
        };
        let path_matches = match &self.pattern {
            Pattern::Prefix(prefix) => path.starts_with(prefix),
            Pattern::Glob(glob) => glob.is_match(path),
        };
        if !method_matches || !path_matches {
            return false;
        }
        self.seen += 1;
        let turn = self.seen.saturating_sub(self.fault.skip.unwrap_or(0));
        let due = turn > 0
            && turn.is_multiple_of(self.fault.every.unwrap_or(1))
            && self.fault.times.is_none_or(|times| self.struck < times);
        self.struck += u64::from(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(faults: &Faults, calls: usize) -> Vec<usize> {
        let due = |n: &usize| faults.strike(&Method::PUT, &format!("/a/{n}")).is_some();
        (1..=calls).filter(due).collect()
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_says_after_those_it_skips() {
        let faults = Faults::default();
        faults.add(Fault::status("/a/", 503).skip(2).every(3).times(2)).unwrap();
        assert_eq!(struck(&faults, 20), [5, 8]);
    }

    #[test]
    fn a_fault_without_times_strikes_for_ever() {
        let faults = Faults::default();
        faults.add(Fault::new("/a", What::Drop)).unwrap();
        assert_eq!(struck(&faults, 4), [1, 2, 3, 4]);
    }

    #[test]
    fn the_first_fault_that_is_due_strikes_and_the_next_does_not_see_the_call() {
        let faults = Faults::default();
        faults.add(Fault::status("/a", 503).times(1)).unwrap();
        faults.add(Fault::new("/a", What::Drop).times(1)).unwrap();
        let strike = || faults.strike(&Method::PUT, "/a/1").map(|what| what.name());
        assert_eq!([strike(), strike(), strike()], [Some("status"), Some("drop"), None]);
    }

    #[test]
    fn path_and_method_choose_the_calls() {
        let faults = Faults::default();
        faults.add(Fault::status("/w/*/assign", 503).method("put")).unwrap();
        let is_struck = |method, path| faults.strike(&method, path).is_some();
        assert!(is_struck(Method::PUT, "/w/releases/0x1/assign"));
        assert!(!is_struck(Method::GET, "/w/releases/0x1/assign"));
        assert!(!is_struck(Method::PUT, "/w/releases/0x1/assign_barge"));
    }

    #[test]
    fn a_fault_is_read_from_json_and_written_back() {
        let text = r#"{"path":"/x","times":3,"what":{"status":503,"retry_after":"2"}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(fault.times, Some(3));
        assert_eq!(serde_json::to_string(&fault).unwrap(), text);
    }

    #[test]
    fn a_faulty_fault_is_refused_with_the_reason() {
        let parse = |what: &str| {
            serde_json::from_str::<Fault>(&format!(r#"{{"path":"/x","what":{what}}}"#))
                .map_err(|error| error.to_string())
        };
        assert!(parse("{}").unwrap_err().contains("exactly one of"));
        assert!(parse(r#"{"drop":true,"status":500}"#).unwrap_err().contains("exactly one of"));
        assert!(parse(r#"{"drop":true,"retry_after":"1"}"#).unwrap_err().contains("a status"));
        assert!(parse(r#"{"dorp":true}"#).unwrap_err().contains("dorp"));
        let add = |fault| Faults::default().add(fault).map_err(|error| format!("{error:#}"));
        assert!(add(Fault::status("/x", 99)).unwrap_err().contains("from 200 to 599"));
        assert!(add(Fault::status("/x[", 500)).unwrap_err().contains("no glob"));
        assert!(add(Fault::status("/x", 500).every(0)).unwrap_err().contains("0th"));
    }
}
