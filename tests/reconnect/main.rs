//! Lost, refused and changed connections.

#![cfg(feature = "client")]

mod credentials;
mod faults;
mod live_changes;
mod updates;

#[path = "../support/mod.rs"]
mod support;
