//! Lighterman.
pub mod model;
pub mod config;
pub mod read;
pub mod map;
pub mod remote;
