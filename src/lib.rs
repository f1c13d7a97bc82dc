//! Lighterman.
pub mod model;
pub mod read;
