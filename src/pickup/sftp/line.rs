//! Line: a session on a thread of its own, so that a server that hangs holds up nobody else.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::oneshot;

use super::{Refusal, Session};
use crate::config::Sftp;

/// A session that is asked nothing for so long tells the server that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Job = Box<dyn FnOnce(&Session) + Send>;

/// A session, and the thread that alone uses it. Both end with the line; no one waits for them.
#[derive(Debug)]
pub struct Line {
    jobs: mpsc::Sender<Job>,
}

impl Line {
    /// Logs in.
    pub async fn open(place: &Arc<Sftp>) -> Result<Line, Refusal> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, answer) = oneshot::channel();
        let place = Arc::clone(place);
        let serve = move || match Session::open(&place) {
            Ok(session) => {
                if opened.send(Ok(())).is_ok() {
                    serve(&session, &queue);
                }
            }
            Err(refusal) => {
                let _ = opened.send(Err(refusal));
            }
        };
        // No thread of the runtime: its end would wait for this one.
        std::thread::Builder::new()
            .name("sftp".to_owned())
            .spawn(serve)
            .map_err(|error| Refusal::Unreachable(error.into()))?;
        match answer.await {
            Ok(Ok(())) => Ok(Line { jobs }),
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(Refusal::Unreachable(anyhow!("the session's thread ended"))),
        }
    }

    /// Has something done with the session. What was begun goes on if nobody waits for it any more.
    pub async fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Session) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let (sender, receiver) = oneshot::channel();
        let job = move |session: &Session| {
            let _ = sender.send(what(session));
        };
        let ended = || anyhow!("the session's thread ended");
        self.jobs.send(Box::new(job)).map_err(|_| ended())?;
        receiver.await.map_err(|_| ended())
    }
}

fn serve(session: &Session, queue: &mpsc::Receiver<Job>) {
    loop {
        match queue.recv_timeout(KEEP_ALIVE) {
            Ok(job) => job(session),
            // Whether it could be told shows when something is asked.
            Err(RecvTimeoutError::Timeout) => {
                let _ = session.keep_alive();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
