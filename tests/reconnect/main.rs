//! Lost, refused and changed connections.

#![cfg(feature = "client")]

mod before_attempt;
mod credentials;
mod faults;
mod live_changes;
mod signatures;
mod updates;

#[path = "../support/mod.rs"]
mod support;
