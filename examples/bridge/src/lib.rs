//! The parts of the bridge, for its program, its consumer, its measurement and its tests.
//!
//! [`bridge`] is the loop; [`sources`] is what it reads, and an [`engine`] is where it writes.
//! [`status`] is what it does at the moment, and [`http`] serves that.

pub mod bridge;
pub mod config;
pub mod engine;
pub mod entry;
pub mod health;
pub mod http;
pub mod jetstream;
pub mod metrics;
pub mod outage;
pub mod page;
pub mod redis_streams;
pub mod sources;
pub mod status;
