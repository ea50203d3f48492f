//! Leftovers: memory, descriptors, tasks and threads. Each is counted for the whole process, so one
//! test runs at a time.

#![cfg(feature = "client")]

mod blocking_thread;
mod leaks;

#[path = "../support/counting.rs"]
mod counting;
#[path = "../support/mod.rs"]
mod support;
