//! What the crate logs, and what it must never log.
//!
//! Each test here sets a `tracing` subscriber of its own before it makes a stream. A test without one would let
//! `tracing` cache that nobody wants a log line.

mod events;
mod secrets;
mod writers;

#[path = "../support/mod.rs"]
mod support;
