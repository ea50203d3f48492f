//! The parts of the bridge, for its program, its consumer, its measurement and its tests.
//!
//! [`bridge`] is the loop; [`sources`] is what it reads, and an [`engine`] is where it writes.

pub mod bridge;
pub mod config;
pub mod engine;
pub mod entry;
pub mod jetstream;
pub mod outage;
pub mod redis_streams;
pub mod sources;
