//! Hostile servers and heavy loads: memory and time stay bounded. The allocator counts for the
//! whole process, so one test runs at a time.

#![cfg(feature = "client")]

mod bombs;
mod endless_answers;
mod endless_proxies;
mod flood;
mod http2_floods;
mod invented_types;
mod long_ids;
mod storms;
mod waiting;

#[path = "../support/counting.rs"]
mod counting;
#[path = "../support/mod.rs"]
mod support;
