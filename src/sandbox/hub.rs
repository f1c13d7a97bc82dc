//! Hub: what the parts of a running sandbox share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::faults::Faults;
use super::gate::Gate;
use super::log::Log;
use super::scene::Scene;
use super::scr::Decision;
use super::world::{Release, World};

pub(super) struct Hub {
    scene: RwLock<Arc<Scene>>,
    pub log: Log,
    pub faults: Faults,
    /// All calls from outside that are open now.
    pub open: Arc<Gate>,
    pub stopping: CancellationToken,
    /// The server, its connections and the calls in work: all that must end before it has stopped.
    pub tasks: TaskTracker,
    runtime: Handle,
}

impl Hub {
    /// To be called in the runtime that it lives in.
    pub fn new(world: World) -> anyhow::Result<Hub> {
        Ok(Hub {
            scene: RwLock::new(Arc::new(Scene::build(world)?)),
            log: Log::default(),
            faults: Faults::default(),
            open: Arc::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
        })
    }

    /// The scene of now. A call keeps the one that it started with.
    pub fn scene(&self) -> Arc<Scene> {
        self.scene.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes a release, and calls the subscribers in a task of its own.
    pub fn change(&self, path: &str, event: &str, release: &Release) -> anyhow::Result<()> {
        let calls = self.scene().scr_api(path)?.change(event, release)?;
        self.spawn(calls);
        Ok(())
    }

    /// An invited company answers, and the subscribers are called in a task of its own.
    pub fn decide(&self, path: &str, reference: &str, decision: Decision) -> anyhow::Result<()> {
        let calls = self.scene().scr_api(path)?.decide(reference, decision)?;
        self.spawn(calls);
        Ok(())
    }

    fn spawn(&self, calls: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tasks
            .spawn_on(async move { stopping.run_until_cancelled(calls).await }, &self.runtime);
    }

    pub fn replace(&self, world: World) -> anyhow::Result<()> {
        let scene = Arc::new(Scene::build(world)?);
        *self.scene.write().unwrap_or_else(PoisonError::into_inner) = scene;
        Ok(())
    }
}

/// Locks, also after a panic of another holder: what is counted here stays usable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
