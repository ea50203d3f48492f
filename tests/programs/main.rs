//! What programs met that were written with this crate: each trap as a test, by public API only.

mod values;

#[path = "../support/mod.rs"]
mod support;
