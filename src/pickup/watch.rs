//! Watch: folder events, which only wake a look. One watcher serves all folders; an overflow wakes
//! a look into every one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A watcher over folders.
pub struct Watch {
    watcher: Mutex<notify::RecommendedWatcher>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken {
    folders: Mutex<Wake>,
    notify: Notify,
}

/// Which folders something happened in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// Events were lost, or the watcher failed: look everywhere.
    pub all: bool,
    /// The folders.
    pub folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Starts a watcher over no folder yet.
    pub fn start() -> anyhow::Result<Watch> {
        let woken = Arc::new(Woken::default());
        let watcher = notify::recommended_watcher({
            let woken = Arc::clone(&woken);
            move |event: notify::Result<notify::Event>| woken.take_in(event)
        })
        .context("the system offers no folder events")?;
        Ok(Watch { watcher: Mutex::new(watcher), woken })
    }

    /// Watches one more folder, not what lies below it.
    pub fn add(&self, folder: &Path) -> anyhow::Result<()> {
        let folder = std::path::absolute(folder)?;
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher
            .watch(&folder, RecursiveMode::NonRecursive)
            .with_context(|| format!("{} cannot be watched", folder.display()))
    }

    /// Waits until something happened, and tells where. Cancelling loses no event.
    pub async fn woken(&self) -> Wake {
        loop {
            let notified = self.woken.notify.notified();
            let wake = std::mem::take(&mut *self.woken.lock());
            if wake.all || !wake.folders.is_empty() {
                return wake;
            }
            notified.await;
        }
    }
}

impl Woken {
    fn take_in(&self, event: notify::Result<notify::Event>) {
        let mut wake = self.lock();
        match event {
            Ok(event) if event.need_rescan() => wake.all = true,
            Ok(event) => {
                if matches!(event.kind, EventKind::Access(access)
                    if access != notify::event::AccessKind::Close(notify::event::AccessMode::Write))
                {
                    return;
                }
                wake.folders.extend(
                    event.paths.iter().filter_map(|path| path.parent()).map(Path::to_owned),
                );
            }
            Err(_) => wake.all = true,
        }
        drop(wake);
        self.notify.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Wake> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
