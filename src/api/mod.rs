//! What a run tells to other processes on the same machine: the answers to `status` and its like,
//! and the socket on which a daemon gives them.

pub mod audit;
pub mod control;
pub mod cpu;
pub mod outbox;
pub mod quarantine;
pub mod resend;
pub mod scr;
pub mod selection;
pub mod status;
