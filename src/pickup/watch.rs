//! Watch: folder events, which only wake a look. One watcher serves all folders; an overflow wakes
//! a look into every one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::local::is_hidden_claim;

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

/// Whether what happened may have made a file ready. What is written to one shows when it is closed;
/// what goes away, and our own hidden files, are of no interest.
fn may_be_ready(kind: EventKind, path: &Path) -> bool {
    let is_ours = path.file_name().and_then(|name| name.to_str()).is_some_and(is_hidden_claim);
    !is_ours
        && match kind {
            EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
            EventKind::Modify(
                ModifyKind::Data(_) | ModifyKind::Metadata(_) | ModifyKind::Name(RenameMode::From),
            )
            | EventKind::Remove(_) => false,
            _ => true,
        }
}

impl Woken {
    fn take_in(&self, event: notify::Result<notify::Event>) {
        let mut wake = self.lock();
        match event {
            Ok(event) if event.need_rescan() => wake.all = true,
            Ok(event) => {
                // Of a rename the last path is the new one.
                let Some(path) = event.paths.last().filter(|path| may_be_ready(event.kind, path))
                else {
                    return;
                };
                wake.folders.extend(path.parent().map(Path::to_owned));
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
