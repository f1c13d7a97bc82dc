//! Order: calls for one release never overlap and go out in the order in which they lined up;
//! different releases never wait for each other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::room::is_long;

/// The queues of all releases that somebody works on; clones share it.
#[derive(Clone, Default)]
pub struct OrderBook(Arc<Book>);

#[derive(Default)]
struct Book {
    queues: Mutex<HashMap<String, Queue>>,
    /// One of them is kept from now on.
    kept: Notify,
}

#[derive(Default)]
struct Queue {
    places: VecDeque<Place>,
    /// Until when its first keeps it, though no call is open.
    kept_until: Option<Timestamp>,
}

struct Place {
    number: u64,
    wake: Option<oneshot::Sender<()>>,
}

/// A place in the queue of one release. Dropping it lets the next one on.
pub struct Turn {
    book: OrderBook,
    release: String,
    number: u64,
    called: Option<oneshot::Receiver<()>>,
}

impl OrderBook {
    /// Lines up for a release; the place is taken at once, whenever it is waited for.
    pub fn line_up(&self, release: &str) -> Turn {
        self.place(&mut self.lock(), release)
    }

    /// Lines up for several at once: no other takes a place among theirs, so that no two wait for
    /// each other. None may be named twice.
    pub fn line_up_all<'a>(&self, releases: impl IntoIterator<Item = &'a str>) -> Vec<Turn> {
        let mut book = self.lock();
        releases.into_iter().map(|release| self.place(&mut book, release)).collect()
    }

    fn place(&self, book: &mut HashMap<String, Queue>, release: &str) -> Turn {
        let queue = &mut book.entry(release.to_owned()).or_default().places;
        let number = queue.back().map_or(0, |last| last.number + 1);
        let (wake, called) = match queue.is_empty() {
            true => (None, None),
            false => {
                let (wake, called) = oneshot::channel();
                (Some(wake), Some(called))
            }
        };
        queue.push_back(Place { number, wake });
        Turn { book: self.clone(), release: release.to_owned(), number, called }
    }

    /// How many releases somebody works on.
    pub fn busy(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether it is one of this release's queue.
    pub fn is_for(&self, release: &str) -> bool {
        self.release == release
    }

    /// Waits until everybody before has gone.
    pub async fn wait(&mut self) {
        if let Some(called) = self.called.as_mut() {
            // The sender is dropped only with the whole book.
            let _ = called.await;
        }
        self.called = None;
    }

    /// The same, unless the release is kept for long by who goes before: then until when.
    pub async fn wait_unless_kept(&mut self) -> Result<(), Timestamp> {
        let book = Arc::clone(&self.book.0);
        loop {
            // Made before the look: what is kept after it is heard.
            let kept = book.kept.notified();
            if self.wait().now_or_never().is_some() {
                return Ok(());
            }
            let until = self.book.lock().get(&self.release).and_then(|queue| queue.kept_until);
            if let Some(until) = until.filter(|until| is_long(*until)) {
                return Err(until);
            }
            tokio::select! {
                biased;
                () = self.wait() => return Ok(()),
                () = kept => {}
            }
        }
    }

    /// It is kept until then: others can do something else meanwhile. Its turn must have come.
    pub fn keep_until(&self, until: Timestamp) {
        if let Some(queue) = self.book.lock().get_mut(&self.release) {
            queue.kept_until = Some(until);
        }
        self.book.0.kept.notify_waiters();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut book = self.book.lock();
        let Some(queue) = book.get_mut(&self.release) else { return };
        let places = &mut queue.places;
        let was_first = places.front().is_some_and(|place| place.number == self.number);
        places.retain(|place| place.number != self.number);
        if was_first {
            queue.kept_until = None;
            if let Some(next) = queue.places.front_mut().and_then(|next| next.wake.take()) {
                let _ = next.send(());
            }
        }
        if queue.places.is_empty() {
            book.remove(&self.release);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[tokio::test]
    async fn who_lines_up_for_several_waits_for_none_who_waits_for_it() {
        let book = OrderBook::default();
        let mut first = book.line_up_all(["a", "b"]);
        let mut second = book.line_up_all(["b", "a"]);
        for turn in &mut first {
            turn.wait().await;
        }
        assert!(second[0].wait().now_or_never().is_none());
        drop(first);
        for turn in &mut second {
            turn.wait().await;
        }
        drop(second);
        assert_eq!(book.busy(), 0);
    }

    #[tokio::test]
    async fn calls_for_one_release_go_one_by_one_in_the_order_of_lining_up() {
        let book = OrderBook::default();
        let mut first = book.line_up("0xa");
        let mut second = book.line_up("0xa");
        let mut third = book.line_up("0xa");
        first.wait().await;
        assert!(third.wait().now_or_never().is_none());
        drop(first);
        second.wait().await;
        drop(second);
        drop(third);
        assert_eq!(book.busy(), 0);
    }

    #[tokio::test]
    async fn who_leaves_the_queue_early_is_passed_over() {
        let book = OrderBook::default();
        let mut first = book.line_up("0xa");
        let second = book.line_up("0xa");
        let mut third = book.line_up("0xa");
        drop(second);
        first.wait().await;
        assert!(third.wait().now_or_never().is_none());
        let mut fourth = book.line_up("0xa");
        drop(first);
        drop(third);
        fourth.wait().await;
    }

    #[tokio::test]
    async fn who_waits_for_a_release_that_is_kept_hears_until_when() {
        let book = OrderBook::default();
        let first = book.line_up("0xa");
        let mut second = book.line_up("0xa");
        let mut waiting = Box::pin(second.wait_unless_kept());
        assert!(waiting.as_mut().now_or_never().is_none());
        let until = Timestamp::now() + SignedDuration::from_mins(1);
        first.keep_until(until);
        assert_eq!(waiting.await, Err(until));
        assert_eq!(book.line_up("0xa").wait_unless_kept().now_or_never(), Some(Err(until)));
        assert!(book.line_up("0xa").wait().now_or_never().is_none());
        // The end of it is waited for.
        first.keep_until(Timestamp::now());
        let mut waiting = Box::pin(second.wait_unless_kept());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(waiting.await, Ok(()));
    }

    #[tokio::test]
    async fn different_releases_never_wait_for_each_other() {
        let book = OrderBook::default();
        let _first = book.line_up("0xa");
        assert!(book.line_up("0xb").wait().now_or_never().is_some());
    }
}
