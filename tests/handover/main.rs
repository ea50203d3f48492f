//! Handover: opening a second response before the first is closed.

#![cfg(feature = "client")]

mod another_origin;
mod make_before_break;
mod rotation;
mod second_response;

#[path = "../support/mod.rs"]
mod support;
