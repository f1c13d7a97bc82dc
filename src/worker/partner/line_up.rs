//! Line-up: files on their way from the partner to their work.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use crate::model::Arrival;
use crate::pipeline::Occasion;
use crate::worker::Run;
use crate::worker::file::{self, OpenFile, Working};

/// Files that lie in the spool before work on them has begun, of one source.
const AHEAD: usize = 10_000;

/// Files on their way to their work. Those whose order counts are begun in the order of their
/// arrival, whichever comes first; one that does not come in its poll keeps the others back no more.
pub struct LineUp {
    begun: mpsc::Sender<OpenFile>,
    /// In the order of arrival; none for one that has not come yet.
    waiting: Mutex<BTreeMap<Arrival, Option<OpenFile>>>,
}

impl LineUp {
    /// Nothing is on its way.
    pub fn begin(run: &Arc<Run>) -> LineUp {
        let (begun, files) = mpsc::channel(AHEAD);
        run.tasks.spawn(start(Arc::clone(run), files));
        LineUp { begun, waiting: Mutex::default() }
    }

    /// These are on their way, and are to be begun in order.
    pub async fn expect(&self, arrivals: impl Iterator<Item = Arrival>) {
        self.waiting.lock().await.extend(arrivals.map(|arrival| (arrival, None)));
    }

    /// One has come.
    pub async fn come(&self, file: OpenFile) {
        let mut waiting = self.waiting.lock().await;
        match waiting.get_mut(&file.arrival) {
            Some(place) => *place = Some(file),
            None => drop(self.begun.send(file).await),
        }
        self.pass_on(&mut waiting).await;
    }

    /// One will not come.
    pub async fn strike_out(&self, arrival: Arrival) {
        let mut waiting = self.waiting.lock().await;
        waiting.remove(&arrival);
        self.pass_on(&mut waiting).await;
    }

    /// The poll is over.
    pub async fn end(&self) {
        let mut waiting = self.waiting.lock().await;
        waiting.retain(|_, file| file.is_some());
        self.pass_on(&mut waiting).await;
    }

    /// Passes on what has nothing before it that is still to come.
    async fn pass_on(&self, waiting: &mut BTreeMap<Arrival, Option<OpenFile>>) {
        while let Some(first) = waiting.first_entry()
            && first.get().is_some()
        {
            if let Some(file) = first.remove() {
                // A run that is over leaves it to the next.
                let _ = self.begun.send(file).await;
            }
        }
    }
}

/// Has work begun on files as they come, as their customer's turns allow.
async fn start(run: Arc<Run>, mut files: mpsc::Receiver<OpenFile>) {
    while let Some(file) = files.recv().await {
        let Some(working) = Working::begin(&run, file.arrival) else { continue };
        let Some(turns) = file::take_turns(&run, &file).await else { return };
        run.tasks.spawn(file::work(Arc::clone(&run), file, working, turns, Occasion::Due));
    }
}
