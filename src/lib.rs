//! Lighterman.
pub mod model;
pub mod config;
pub mod pickup;
pub mod read;
pub mod map;
pub mod ledger;
pub mod spool;
