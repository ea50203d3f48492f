//! One response: `EventStream` for answers of language models and the like, and streams that are
//! one answer. By the public API alone.

mod bad_bodies;
mod blocks;
#[cfg(all(feature = "client", feature = "json"))]
mod chat_completion;
#[cfg(all(not(feature = "client"), any(feature = "gzip", feature = "brotli", feature = "zstd")))]
#[path = "../support/codings.rs"]
#[allow(dead_code, reason = "a part of it is for other tests")]
mod codings;
mod end_marks;
#[cfg(all(feature = "client", feature = "json"))]
mod example;
mod kinds;
#[cfg(all(feature = "client", feature = "json"))]
mod mcp;
#[cfg(feature = "client")]
mod once;
#[cfg(feature = "client")]
mod pools;
mod script;
#[cfg(feature = "client")]
mod streams;
#[cfg(feature = "client")]
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "client")]
mod timeouts;
mod turns;
#[cfg(feature = "json")]
mod typed;

#[cfg(all(feature = "client", any(feature = "gzip", feature = "brotli", feature = "zstd")))]
use support::codings;
