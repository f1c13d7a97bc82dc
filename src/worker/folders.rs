//! Folders: which source looks where, and how it is woken when something happens there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::pickup::{Watch, mount};

/// A look is taken so often even if no event told of a file.
const REGULAR: Duration = Duration::from_secs(30);

/// The same, where events do not tell of all files.
const POLLED: Duration = Duration::from_secs(5);

/// A customer's id and a source's name.
pub type SourceKey = (String, String);

/// The sources that look into their folders in this run.
pub struct Folders {
    /// Without folder events the regular looks do.
    watch: Option<Watch>,
    served: Mutex<Served>,
}

#[derive(Default)]
struct Served {
    wakes: BTreeMap<SourceKey, Arc<Notify>>,
    by_folder: BTreeMap<PathBuf, SourceKey>,
}

impl Folders {
    /// No source looks anywhere yet. `events` tells whether folder events are wanted.
    pub fn new(events: bool) -> Folders {
        let watch = events.then(Watch::start).and_then(|watch| {
            let told = |error: &anyhow::Error| {
                tracing::warn!("No folder events, files are seen by regular looks: {error:#}");
            };
            watch.inspect_err(told).ok()
        });
        Folders { watch, served: Mutex::default() }
    }

    /// A source begins to look; none if it does already.
    pub fn begin(&self, key: &SourceKey) -> Option<Arc<Notify>> {
        let mut served = self.served();
        if served.wakes.contains_key(key) {
            return None;
        }
        let wake = Arc::<Notify>::default();
        served.wakes.insert(key.clone(), Arc::clone(&wake));
        Some(wake)
    }

    /// A source looks no more, unless `goes_on` says otherwise; tells whether it has ended. No
    /// other can begin in between.
    pub fn end_unless(&self, key: &SourceKey, goes_on: impl FnOnce() -> bool) -> bool {
        let mut served = self.served();
        if goes_on() {
            return false;
        }
        served.wakes.remove(key);
        served.by_folder.retain(|_, of| of != key);
        true
    }

    /// A source looks into this folder from now on, and so often at least; events there wake it.
    /// Blocks for as long as the folder's file system does not answer.
    pub fn look_into(&self, key: &SourceKey, folder: &Path) -> Duration {
        let (Some(watch), Ok(absolute)) = (&self.watch, std::path::absolute(folder)) else {
            return REGULAR;
        };
        {
            let mut served = self.served();
            served.by_folder.retain(|_, of| of != key);
            served.by_folder.insert(absolute, key.clone());
        }
        if let Some(kind) = mount::network(folder) {
            tracing::info!(
                customer = %key.0,
                "{} is on {kind}, whose events do not tell of other machines: it is looked into \
                 every {} s",
                folder.display(),
                POLLED.as_secs()
            );
            return POLLED;
        }
        if let Err(error) = watch.add(folder) {
            tracing::warn!("Files are seen by regular looks: {error:#}");
        }
        REGULAR
    }

    /// Events wake a source no more.
    pub fn look_nowhere(&self, key: &SourceKey) {
        self.served().by_folder.retain(|_, of| of != key);
    }

    /// Wakes every source.
    pub fn wake_all(&self) {
        self.served().wakes.values().for_each(|wake| wake.notify_one());
    }

    /// Waits for events, and wakes the sources whose folders they tell of. Cancelling loses none.
    pub async fn wake_by_events(&self) {
        let Some(watch) = &self.watch else { return std::future::pending().await };
        let wake = watch.woken().await;
        let served = self.served();
        for (folder, key) in &served.by_folder {
            if (wake.all || wake.folders.contains(folder))
                && let Some(wake) = served.wakes.get(key)
            {
                wake.notify_one();
            }
        }
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
