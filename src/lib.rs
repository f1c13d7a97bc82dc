//! Lighterman.
pub mod model;
pub mod config;
pub mod spool;
pub mod pickup;
pub mod inspect;
pub mod read;
pub mod map;
pub mod remote;
pub mod deliver;
pub mod settle;
pub mod ledger;
pub mod pipeline;
pub mod worker;
pub mod api;
pub mod sandbox;
pub mod cli;
