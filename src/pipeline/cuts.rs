//! Cuts: which pieces of a file are under way, and so how far its mark may move.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The pieces that are not answered for yet, by where they start; clones share them.
#[derive(Clone, Default)]
pub struct Cuts(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    open: BTreeSet<u64>,
    next: u64,
}

impl Cuts {
    /// The first piece is to be cut here.
    pub fn start_at(&self, next: u64) {
        self.known().next = next;
    }

    /// A piece is under way, and the one after it will start at `next`.
    pub fn begin(&self, start: u64, next: u64) {
        let mut known = self.known();
        known.next = next;
        known.open.insert(start);
    }

    /// Up to where all is answered for, once this piece is.
    pub fn mark_without(&self, start: u64) -> u64 {
        let known = self.known();
        let others = known.open.iter().find(|open| **open != start);
        others.copied().unwrap_or(known.next)
    }

    /// A piece is answered for.
    pub fn end(&self, start: u64) {
        self.known().open.remove(&start);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_moves_to_the_first_piece_that_is_still_open() {
        let cuts = Cuts::default();
        cuts.start_at(1);
        cuts.begin(1, 11);
        cuts.begin(11, 21);
        cuts.begin(21, 31);
        assert_eq!(cuts.mark_without(11), 1);
        cuts.end(11);
        assert_eq!(cuts.mark_without(1), 21);
        cuts.end(1);
        assert_eq!(cuts.mark_without(21), 31);
    }
}
