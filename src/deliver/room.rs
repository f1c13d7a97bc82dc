//! Room: the places that a rota gives out, for those who wait for one. Who stops waiting leaves the
//! queue, and a place goes back when it is dropped.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, oneshot};

use super::rota::{InUse, Rota, Size, Ticket};

/// Places for requests that customers share; clones share them too.
#[derive(Clone)]
pub struct Rooms(Arc<Places>);

struct Places {
    state: Mutex<State>,
    /// One of them is kept from now on.
    kept: Notify,
}

struct State {
    rota: Rota,
    /// How many requests there are places for.
    requests: usize,
    /// Those that are kept though no request is open, and until when.
    kept: HashMap<Ticket, Timestamp>,
    /// Those who wait, by their tickets.
    calls: HashMap<Ticket, oneshot::Sender<()>>,
}

/// A place for one request. Dropping it gives it back.
pub struct Room {
    rooms: Rooms,
    ticket: Ticket,
}

impl Rooms {
    /// So many places; with a reserve where other customers may come.
    pub fn new(requests: usize, bytes: u64, reserve: bool) -> Rooms {
        let rota = Rota::new(Size { requests: requests as u64, bytes }, reserve);
        let state = State { rota, requests, kept: HashMap::new(), calls: HashMap::new() };
        Rooms(Arc::new(Places { state: Mutex::new(state), kept: Notify::new() }))
    }

    /// Changes how many places there are. What is open stays open.
    pub fn resize(&self, requests: usize, bytes: u64, reserve: bool) {
        let mut state = self.lock();
        state.requests = requests;
        state.rota.resize(Size { requests: requests as u64, bytes }, reserve);
        state.call();
    }

    /// Waits for a place for a request of so many bytes at most.
    pub async fn take(&self, customer: &str, bytes: u64) -> Room {
        let (call, called) = oneshot::channel();
        // Made before the wait: who is dropped while waiting leaves by it.
        let room = {
            let mut state = self.lock();
            let ticket = state.rota.line_up(customer, bytes);
            state.calls.insert(ticket, call);
            state.call();
            Room { rooms: self.clone(), ticket }
        };
        // The sender is dropped only by its call, or with its room.
        let _ = called.await;
        room
    }

    /// The same, unless all places are kept for long: then until when the first of them is.
    pub async fn take_unless_kept(&self, customer: &str, bytes: u64) -> Result<Room, Timestamp> {
        let mut taken = pin!(self.take(customer, bytes));
        loop {
            // Made before the look: what is kept after it is heard.
            let kept = self.0.kept.notified();
            if let Some(room) = taken.as_mut().now_or_never() {
                return Ok(room);
            }
            if let Some(until) = self.lock().all_kept_until().filter(|until| is_long(*until)) {
                return Err(until);
            }
            tokio::select! {
                biased;
                room = &mut taken => return Ok(room),
                () = kept => {}
            }
        }
    }

    /// What a customer uses.
    pub fn of(&self, customer: &str) -> InUse {
        self.lock().rota.of(customer)
    }

    /// Whether both are the same places.
    pub fn is(&self, other: &Rooms) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn all_kept_until(&self) -> Option<Timestamp> {
        let first = self.kept.values().min().copied();
        first.filter(|_| self.kept.len() >= self.requests)
    }

    fn call(&mut self) {
        while let Some(ticket) = self.rota.call() {
            if let Some(call) = self.calls.remove(&ticket) {
                // Whoever does not hear it any more gives the place back by dropping its room.
                let _ = call.send(());
            }
        }
    }
}

impl Room {
    /// The request has so many bytes only.
    pub fn shrink(&self, bytes: u64) {
        let mut state = self.rooms.lock();
        state.rota.shrink(self.ticket, bytes);
        state.call();
    }

    /// It is kept until then, though its request is not open: others can do something else meanwhile.
    pub fn keep_until(&self, until: Timestamp) {
        self.rooms.lock().kept.insert(self.ticket, until);
        self.rooms.0.kept.notify_waiters();
    }
}

/// Whether it is worth doing something else until then.
pub(super) fn is_long(until: Timestamp) -> bool {
    until.duration_since(Timestamp::now()) > SignedDuration::from_secs(1)
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.rooms.lock();
        state.kept.remove(&self.ticket);
        state.calls.remove(&self.ticket);
        state.rota.leave(self.ticket);
        state.call();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_place_goes_to_the_next_when_it_is_dropped() {
        let rooms = Rooms::new(1, 1000, false);
        let first = rooms.take("acme", 10).await;
        let mut second = Box::pin(rooms.take("acme", 10));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_queue() {
        let rooms = Rooms::new(1, 1000, false);
        let first = rooms.take("acme", 10).await;
        let mut second = Box::pin(rooms.take("acme", 10));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(rooms.of("acme"), InUse { open: 1, waiting: 1 });
        drop(second);
        assert_eq!(rooms.of("acme"), InUse { open: 1, waiting: 0 });
        drop(first);
        assert_eq!(rooms.of("acme"), InUse::default());
    }

    #[tokio::test]
    async fn a_place_that_is_given_to_somebody_gone_comes_back() {
        let rooms = Rooms::new(1, 1000, false);
        let first = rooms.take("acme", 10).await;
        let mut second = Box::pin(rooms.take("acme", 10));
        assert!(second.as_mut().now_or_never().is_none());
        // It is called, but never looks again.
        drop(first);
        drop(second);
        assert!(rooms.take("zeta", 10).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_waits_while_all_places_are_kept_hears_until_when() {
        let rooms = Rooms::new(2, 1000, false);
        let (first, second) = (rooms.take("acme", 10).await, rooms.take("acme", 10).await);
        let mut waiting = Box::pin(rooms.take_unless_kept("acme", 10));
        assert!(waiting.as_mut().now_or_never().is_none());
        let until = Timestamp::now() + SignedDuration::from_mins(1);
        first.keep_until(until + SignedDuration::from_mins(1));
        assert!(waiting.as_mut().now_or_never().is_none(), "the other is open");
        second.keep_until(until);
        assert_eq!(waiting.await.err(), Some(until));
        assert_eq!(rooms.of("acme"), InUse { open: 2, waiting: 0 });
        drop(second);
        let third = rooms.take_unless_kept("acme", 10).now_or_never();
        assert!(third.is_some_and(|room| room.is_ok()));
    }

    #[tokio::test]
    async fn more_room_is_given_out_at_once() {
        let rooms = Rooms::new(1, 1000, false);
        let _first = rooms.take("acme", 10).await;
        let mut second = Box::pin(rooms.take("acme", 10));
        assert!(second.as_mut().now_or_never().is_none());
        rooms.resize(2, 1000, false);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn thousands_who_come_and_go_lose_no_place() {
        let rooms = Rooms::new(3, 1000, true);
        let mut tasks = JoinSet::new();
        for n in 0..4000u64 {
            let rooms = rooms.clone();
            tasks.spawn(async move {
                let customer = format!("c{}", n % 7);
                let waiting = rooms.take(&customer, n % 600);
                if n % 3 == 0 {
                    // Some are gone before their call, or just then.
                    tokio::select! {
                        biased;
                        () = tokio::task::yield_now() => {}
                        _ = waiting => {}
                    }
                } else {
                    let room = waiting.await;
                    room.shrink(n % 100);
                    tokio::task::yield_now().await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        for n in 0..7 {
            assert_eq!(rooms.of(&format!("c{n}")), InUse::default());
        }
    }
}
