//! Sync: the way back. Notifications of CPu and the SCR APIs come in, are proven, are durable before
//! they are answered, and are worked on afterwards, in the order of their arrival.

mod catch_up;
mod change;
mod concerned;
mod door;
mod event;
mod inbox;
mod invitation;
mod lanes;
pub mod outbox;
mod proof;
mod receiver;
mod release;
mod taken;
mod tls;
mod walk;
mod work;

pub use catch_up::{catch_up, catch_up_once};
pub use event::{Event, ScrKind};
pub use inbox::Inbox;
pub use lanes::work_on;
pub use proof::unproven;
pub use receiver::Receiver;
pub use work::Worked;
