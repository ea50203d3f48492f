//! What programs met that were written with this crate: each trap as a test, by public API only.

mod comments;
mod first_attempt;
#[cfg(feature = "serde")]
mod serde_values;
mod types;
mod values;

#[path = "../support/mod.rs"]
mod support;
