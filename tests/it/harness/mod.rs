//! Harness: a provider's folder on disk, the port's servers in this process, and the real binary
//! between them.
//!
//! ```ignore
//! let port = Port::open(Port::world());
//! let provider = Provider::new(&port);
//! provider.mapping("orders", ORDERS);
//! provider.customer("acme", &provider::forwarder("acme", "orders"));
//! provider.drop_file("acme", "RELEASE_1.csv", b"ID\n1\n");
//! let run = provider.run_once(&[]);
//! assert_eq!(run.code, 0, "{run}");
//! assert_eq!(port.stats().ingestion.records, 1);
//! ```

pub mod callback;
mod inputs;
pub mod moves;
mod outputs;
mod port;
mod process;
mod provider;
mod random;
mod small_disk;
mod sshd;

use std::time::{Duration, Instant};

pub use inputs::{ASSIGNMENTS, Assignment, Wanted, csv, ndjson, orders, xml};
pub use outputs::{Problem, sent, was_taken};
pub use port::{Port, SCR, SCR_KEY, VAT};
pub use process::{Running, binary};
pub use provider::Provider;
pub use random::Random;
pub use small_disk::SmallDisk;
pub use sshd::{Sshd, Wish};

/// Longer than anything here takes; what is not there by then does not come.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `look` finds something, and gives it back.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not seen within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `holds` does.
#[track_caller]
pub fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}
