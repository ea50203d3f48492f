//! How a stream starts and ends.

mod blocking;
mod endings;
mod forks;
mod shutdown;

#[path = "../support/mod.rs"]
mod support;
