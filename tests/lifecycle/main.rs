//! How a stream starts and ends.

#![cfg(feature = "client")]

mod blocking;
mod endings;
mod forks;
mod shutdown;

#[path = "../support/mod.rs"]
mod support;
