//! Tests for programs that use this crate: streams without a network, and a server that follows a
//! script.
//!
//! | to test | use |
//! |---|---|
//! | a function of a value (a state, an error, a gap, an event) | the value's own constructor: no feature needed |
//! | code that has a [`Handle`](crate::Handle) or a subscription | [`channel`] |
//! | code that takes a [`Client`](crate::Client) | [`Publisher::client`] |
//! | what bytes do: cut, stalled, compressed, refused | [`Server::in_memory`], or [`Server::start`] on loopback, with a [`Script`] for each connection |
//! | a program that must miss nothing | a [`Server`] that sends a [`Log`] with [`Faults`] |
//!
//! These are for tests alone: they panic where a test fails, and record what they see.
//! The guide has [a page with whole tests](crate::guide::testing).
#![allow(clippy::panic, reason = "a test fails by panicking")]

mod feed;
mod log;
mod publisher;
mod requests;
mod run;
mod script;
mod serve;
mod server;
mod socket;

pub use self::log::{Faults, Log};
pub use self::publisher::{Publisher, Refusal, channel};
pub use self::run::Plan;
pub use self::script::Script;
pub use self::server::Server;
