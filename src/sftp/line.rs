//! Line: a session on a thread of its own, so that a server that hangs holds up nobody else.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::cord::Cord;
use super::session::LOGIN;
use super::{Refusal, Session};
use crate::config::Sftp;

/// A session that is asked nothing for so long tells the server that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long what was begun has to end once it is to stop; then the connection is cut.
const GRACE: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce(&Session) + Send>;

/// A session, and the thread that alone uses it. Both end with the line; no one waits for them.
#[derive(Debug)]
pub struct Line {
    jobs: mpsc::Sender<Job>,
    cord: Cord,
    stop: CancellationToken,
}

impl Line {
    /// Logs in. What is asked of the line is cut off soon after the stop.
    pub async fn open(place: &Arc<Sftp>, stop: &CancellationToken) -> Result<Line, Refusal> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, answer) = oneshot::channel();
        let (place, cord) = (Arc::clone(place), Cord::default());
        let held = cord.clone();
        let serve = move || match Session::open_by(&place, &held, LOGIN) {
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
        let opened = tokio::select! {
            opened = answer => opened,
            () = stop.cancelled() => {
                cord.cut();
                // Where it looks for the address, it hears of that only afterwards.
                return Err(match cord.told_password() {
                    true => {
                        let advice = "stopped before the password was taken".to_owned();
                        Refusal::Login { password: true, advice }
                    }
                    false => Refusal::Unreachable(anyhow!("stopped before the login")),
                });
            }
        };
        match opened {
            Ok(Ok(())) => Ok(Line { jobs, cord, stop: stop.clone() }),
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
        let stop = async {
            self.stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::pin!(receiver);
        tokio::select! {
            done = &mut receiver => return done.map_err(|_| ended()),
            () = stop => self.cord.cut(),
        }
        // It ends now: nothing of it is at work any more when the next poll begins.
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
