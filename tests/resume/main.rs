//! Resumption: resume stores, last event IDs, acknowledgements.

#![cfg(feature = "client")]

mod going_back;
mod killed;
mod memory;
mod odd_stores;
mod refused_id;
mod repeats;
mod store;

#[path = "../support/mod.rs"]
mod support;
