//! Gate: how many calls are open at once, and how often two for the same thing were.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::hub::lock;

#[derive(Default)]
pub(super) struct Gate(Mutex<Count>);

#[derive(Default)]
struct Count {
    open: u64,
    highest: u64,
    /// Open calls by what they are about; only what has some is in it.
    about: HashMap<String, u64>,
    overlapping: u64,
}

impl Gate {
    /// Counts a call as open until what is returned is dropped.
    pub fn enter(self: &Arc<Gate>, about: Option<String>) -> Inside {
        let mut count = lock(&self.0);
        count.open += 1;
        count.highest = count.highest.max(count.open);
        if let Some(about) = &about {
            let same = count.about.entry(about.clone()).or_default();
            *same += 1;
            if *same > 1 {
                count.overlapping += 1;
            }
        }
        Inside { open: count.open, gate: self.clone(), about }
    }

    /// The highest number of calls that were open at once.
    pub fn highest(&self) -> u64 {
        lock(&self.0).highest
    }

    /// How often a call came in while another about the same was open.
    pub fn overlapping(&self) -> u64 {
        lock(&self.0).overlapping
    }
}

/// A call that is open.
pub(super) struct Inside {
    /// How many were open when it came in, itself included.
    pub open: u64,
    gate: Arc<Gate>,
    about: Option<String>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut count = lock(&self.gate.0);
        count.open -= 1;
        if let Some(about) = &self.about
            && let Some(same) = count.about.get_mut(about)
        {
            *same -= 1;
            if *same == 0 {
                count.about.remove(about);
            }
        }
    }
}
