//! Plain data that the stages hand to each other. Imports nothing of the crate.

pub mod identity;
pub mod late;
pub mod name;
pub mod origin;
pub mod problem;
pub mod record;
pub mod reply;
pub mod state;

pub use identity::{Arrival, Identity};
pub use late::LateAnswer;
pub use name::numbered;
pub use origin::Origin;
pub use problem::{Level, Problem};
pub use record::{Place, Record};
pub use reply::{Answer, Reply};
pub use state::{Counts, State};
