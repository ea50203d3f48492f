//! What programs met that were written with this crate: each trap as a test, by public API only.

#![cfg(feature = "client")]

mod acknowledgements;
mod batches;
mod comments;
mod first_attempt;
mod greetings;
mod late_heads;
mod questions;
mod relays;
#[cfg(feature = "serde")]
mod serde_values;
mod slow_readers;
mod stores;
mod types;
mod values;
mod waits;

#[path = "../support/mod.rs"]
mod support;
