//! From one connection to many subscribers.

#![cfg(feature = "client")]

mod blasts;
mod filters;
mod late_joiners;
mod lazy;
mod turns;
mod typed;

#[path = "../support/mod.rs"]
mod support;
