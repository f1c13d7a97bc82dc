//! Waiting: how many files lie in the sources' folders, asked so that a folder that does not answer
//! holds up nobody: one thread waits for it, and everybody else goes by what it said last.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::list;
use crate::config::Source;

/// A folder that is there answers in a few milliseconds.
const WITHIN: Duration = Duration::from_secs(1);

/// By customer and source.
type Key = (String, String);

/// What is known of the folders; clones share it.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<BTreeMap<Key, Known>>>);

#[derive(Default)]
struct Known {
    files: u64,
    /// Since when an answer is due.
    asked: Option<Instant>,
}

impl Waiting {
    /// How many files wait in a source's folder now; or did when it answered last, if it does not.
    pub async fn count(&self, customer: &str, source: &Source) -> u64 {
        let (source, name) = (source.clone(), source.name.clone());
        let Some(folder) = source.local_folder().map(Path::to_owned) else { return 0 };
        // A folder that cannot be listed has an alarm of its own.
        let list = move || list(&source, &folder).map_or(0, |files| files.len() as u64);
        self.ask((customer.to_owned(), name), list).await
    }

    async fn ask(&self, key: Key, list: impl FnOnce() -> u64 + Send + 'static) -> u64 {
        if self.begin(&key) {
            let (answer, answered) = oneshot::channel();
            let (waiting, of) = (self.clone(), key.clone());
            // No thread of the runtime: its end would wait for this one.
            let asking = std::thread::Builder::new().name("waiting".to_owned()).spawn(move || {
                let files = list();
                waiting.known().insert(of, Known { files, asked: None });
                let _ = answer.send(());
            });
            match asking {
                Ok(_) => {
                    let _ = tokio::time::timeout(WITHIN, answered).await;
                }
                Err(_) => self.known().entry(key.clone()).or_default().asked = None,
            }
        }
        self.known().get(&key).map_or(0, |known| known.files)
    }

    /// Whether to ask: not while an answer is long due.
    fn begin(&self, key: &Key) -> bool {
        let mut all = self.known();
        let known = all.entry(key.clone()).or_default();
        let is_due = known.asked.is_some_and(|since| since.elapsed() >= WITHIN);
        if known.asked.is_none() {
            known.asked = Some(Instant::now());
        }
        !is_due
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Key, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_folder_that_does_not_answer_is_asked_once_and_its_last_answer_stands() {
        let waiting = Waiting::default();
        let key = || ("acme".to_owned(), "erp".to_owned());
        assert_eq!(waiting.ask(key(), || 3).await, 3);
        assert_eq!(waiting.ask(key(), || 4).await, 4);
        let (free, hangs) = mpsc::channel::<u64>();
        assert_eq!(waiting.ask(key(), move || hangs.recv().unwrap()).await, 4);
        assert_eq!(waiting.ask(key(), || unreachable!("it is not asked again")).await, 4);
        free.send(5).unwrap();
        while waiting.known()[&key()].asked.is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(waiting.ask(key(), || 6).await, 6);
    }
}
