//! What the crate logs, and what it must never log.
//!
//! Each test here sets a `tracing` subscriber before it makes a stream. `tracing` caches for each
//! log line whether any subscriber wants it, so a test without one would silence the others.

#![cfg(feature = "client")]

mod events;
mod secrets;
mod writers;

#[path = "../support/mod.rs"]
mod support;
