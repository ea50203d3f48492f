//! A Server-Sent Events client for programs that must keep listening.
//!
//! One background task owns the HTTP response and the parser. It reconnects, resumes after the last
//! event, and fans events out by type to any number of subscribers. A cheap [`Handle`] subscribes,
//! changes headers, reconnects, watches, and shuts down.
//!
//! ```text
//!                           ┌────────── Handle: subscribe, set_header, reconnect, shutdown
//!                           ▼
//!  server ──HTTP──▶ connection task ──▶ hub ──┬──▶ Subscription "update"
//!                    reads, decodes,          ├──▶ Subscription ["a", "b"]
//!                    reconnects               └──▶ Subscription all
//! ```
//!
//! # Quick start
//!
//! ```no_run
//! use sseclient::{Client, Delivery, Error};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let client = Client::new(); // TLS and connections: share it between streams
//!     let handle = client.stream("https://example.com/stream").bearer_auth("…").build()?;
//!     let mut updates = handle.subscribe("update"); // before `connect`: no event is missed
//!     handle.connect(); // spawns the connection task
//!
//!     while let Some(delivery) = updates.recv().await {
//!         match delivery {
//!             Delivery::Event(event) => println!("{}", event.data()),
//!             Delivery::Gap(gap) => eprintln!("{gap}"), // reconnected, or lost some
//!         }
//!     }
//!     handle.closed().await.into_result() // why it ended
//! }
//! ```
//!
//! Three things differ from what one may expect:
//!
//! - The loop above does not end when the connection breaks. While the server is down it waits,
//!   from the first attempt on. It ends when the stream is closed for good, and [`Handle::closed`]
//!   says why. Silence is not health: watch [`Handle::state_changes`], or begin with
//!   [`StreamBuilder::open`] or [`open_with`](StreamBuilder::open_with), which fail if the first
//!   attempt fails, or ask [`Handle::first_attempt`], which leaves the stream trying.
//! - Losses are values ([`Delivery::Gap`]) at the place of the hole, never errors.
//! - A slow subscriber delays the others by default. One that takes nothing for 1 s while it holds
//!   up another loses its oldest events; alone it is waited for without limit. [`Overflow`] is the
//!   choice: never lose, or never delay.
//!
//! # Ways in
//!
//! | you have | use |
//! |---|---|
//! | a URL | [`Client`], as above; for scripts [`open`], which returns once the stream is open |
//! | a URL, and an HTTP client of your own | [`Client`] with a [`Transport`]: a closure around it |
//! | one response of an HTTP client of your own: a chat completion, an MCP call | [`EventStream`], over any `http_body::Body` |
//! | one question, such as a chat completion, and no HTTP client | [`Client`] with [`once`](StreamBuilder::once) |
//! | bytes | [`wire::Decoder`], which does no IO |
//! | no async runtime | module `blocking` (feature `blocking`), whose streams are iterators |
//!
//! # Subscribers
//!
//! | a subscriber that wants | uses |
//! |---|---|
//! | one type of event, several, all | `"update"`, `["put", "delete"]`, [`Filter::all`] |
//! | types with one prefix; events that a predicate accepts | [`Filter::prefix`]; [`Filter::and`], [`Filter::matching`] |
//! | values instead of text (feature `json`) | `Handle::subscribe_as`, `Subscription::decode_as` |
//! | another queue, another overflow policy | [`Handle::subscribe_with`] and [`SubscribeOptions`] |
//! | events from before the subscription | of the stream: [`retain`](StreamBuilder::retain), [`retain_since`](StreamBuilder::retain_since) or [`retain_latest`](StreamBuilder::retain_latest), and [`seed`](StreamBuilder::seed); of the subscription: [`replay`](SubscribeOptions::replay) or [`replay_after`](SubscribeOptions::replay_after) |
//! | many events at once | [`Subscription::recv_many`], or [`Subscription::recv_batch`] to wait a little for more |
//! | an event only if one is queued | [`Subscription::try_recv`] |
//! | to acknowledge events, also from other tasks | [`SubscribeOptions::acknowledging`], [`Subscription::acknowledger`] |
//! | comments, or states, in their place between the events | [`Handle::transcript`], [`Handle::transcript_with`] |
//!
//! # Guide
//!
//! | page | answers |
//! |---|---|
//! | [reconnection](guide::reconnection) | what is retried, how long the client waits, when it gives up |
//! | [faults](guide::faults) | every failure, stage by stage, and what the program sees |
//! | [loss](guide::loss) | every way in which an event can be lost, and who learns of it |
//! | [overflow](guide::overflow) | what a full queue does, how a subscriber chooses, and what late subscribers get |
//! | [resumption](guide::resumption) | how the next run of a program goes on after the last event |
//! | [shutdown](guide::shutdown) | how a stream ends, and how subscribers get time to finish |
//! | [logs](guide::logs) | names, levels and fields; counters; what is never logged |
//! | [migration](guide::migration) | the names of other clients (Python's, JavaScript's, three of Rust), and what behaves differently |
//! | [testing](guide::testing) | how to test a health check, a consumer that loses its connection, and whole streams, without a network |
//! | [transports](guide::transports) | which settings of your HTTP client to switch off, and what happens otherwise |
//!
//! # Features
//!
//! `client` and `tls` are on by default.
//!
//! - `client`: everything that needs a runtime or the network. Without it there are [`wire`],
//!   [`Event`], [`Error`] and [`EventStream`], in twelve crates and without tokio, also for wasm32.
//!   To `EventStream` it adds `idle_timeout` and `first_event_timeout`, and the clock that limits
//!   the waits for the body of a refusal and for the end after an end mark.
//! - `tls`: https with rustls, ring, and the platform's certificate verifier. Without it an https
//!   URL is an error when the stream is built.
//! - `aws-lc-rs`: TLS with aws-lc-rs instead of ring. If both are on, aws-lc-rs is used.
//! - `webpki-roots`: `ClientBuilder::webpki_roots`, Mozilla's root certificates, for containers
//!   without any.
//! - `rustls-0_23`: `ClientBuilder::rustls_0_23_config`, a rustls configuration of your own.
//! - `http2`: HTTP/2, where the server chooses it in the TLS handshake, or
//!   `ClientBuilder::http2_prior_knowledge`.
//! - `gzip`, `brotli`, `zstd`: compressed streams. Each feature asks for its coding and decodes it
//!   (`StreamBuilder::compression`).
//! - `cookies`: a cookie jar for each client that wants one (`ClientBuilder::cookies`). Fixed
//!   cookies ([`StreamBuilder::cookie`]) need no feature.
//! - `idn`: hosts in any script (`https://bücher.example/`). `cookies` brings it along.
//! - `json`: event data as values (`Handle::subscribe_as`, `EventStream::decode_as`,
//!   `Event::json`), the bodies of refusals (`Error::json`), and request bodies of JSON
//!   (`StreamBuilder::json`).
//! - `serde`: [`Stats`], [`SubscriptionStats`], [`State`], [`CloseReason`], [`Error`],
//!   [`ErrorKind`] and [`ResponseHead`] implement `serde::Serialize`.
//! - `blocking`: a module of that name, for programs without a runtime.
//! - `testing`: a module of that name, for tests of your program: streams without a network, and a
//!   scripted server. For `dev-dependencies`.
//! - `tower-service-0-3`: connectors that are a `tower_service::Service<Uri>` (`ServiceConnector`).
//!
//! # Standards
//!
//! HTML, [section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html) (Server-sent
//! events). [`wire::Decoder`] lists where the format departs from it; [`ReconnectPolicy::standard`]
//! reconnects by its letter.

// docs.rs shows which feature each item needs; only there, because that takes an unstable Rust.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs, missing_debug_implementations, unreachable_pub, unnameable_types)]
// Public types may grow. Those that may not give a reason.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(feature = "client"), allow(dead_code, reason = "the client alone uses a part of what it shares"))]
// A library returns errors and leaves the terminal alone.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking"))]

#[cfg(feature = "__bench")]
#[doc(hidden)]
pub mod bench;
#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod connection;
mod error;
mod event;
mod event_stream;
#[cfg(all(fuzzing, feature = "client"))]
#[doc(hidden)]
pub use self::transport::compare;
#[cfg(feature = "client")]
mod handle;
#[cfg(feature = "client")]
mod hub;
#[cfg(feature = "client")]
mod reconnect;
mod response;
#[cfg(feature = "client")]
mod resume;
#[cfg(feature = "client")]
mod state;
#[cfg(feature = "client")]
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "client")]
mod transport;
pub mod wire;

#[cfg(feature = "client")]
/// The guide: one page for each subject.
pub mod guide {
    #[allow(unused_imports, reason = "the pages link to the names that they use")]
    use crate::*;

    #[doc = include_str!("../docs/FAULTS.md")]
    pub mod faults {}

    #[doc = include_str!("../docs/guide/logs.md")]
    pub mod logs {}

    #[doc = include_str!("../docs/LOSS.md")]
    pub mod loss {}

    #[doc = include_str!("../docs/guide/migration.md")]
    pub mod migration {}

    #[doc = include_str!("../docs/guide/overflow.md")]
    pub mod overflow {}

    #[doc = include_str!("../docs/guide/reconnection.md")]
    pub mod reconnection {}

    #[doc = include_str!("../docs/guide/resumption.md")]
    pub mod resumption {}

    #[doc = include_str!("../docs/guide/shutdown.md")]
    pub mod shutdown {}

    #[doc = include_str!("../docs/guide/testing.md")]
    pub mod testing {}

    #[doc = include_str!("../docs/guide/transports.md")]
    pub mod transports {}
}

/// Buffers of bytes: the crate whose `Bytes` are the bodies of requests and refusals, and what a
/// decoder takes.
pub use bytes;
/// Requests, statuses and headers: the crate whose types are part of this API.
pub use http;

#[cfg(feature = "client")]
pub use crate::client::{Client, ClientBuilder, StreamBuilder, open};
#[cfg(feature = "client")]
pub use crate::connection::credentials::CredentialsReason;
#[cfg(feature = "client")]
pub use crate::connection::stats::Stats;
#[cfg(feature = "client")]
pub use crate::connection::{Apply, Change, NextAttempt, RefusedId, Resume};
pub use crate::error::{Error, ErrorKind};
#[cfg(feature = "json")]
pub use crate::event::Decoded;
pub use crate::event::{Delivery, Event, EventBuilder, Gap};
pub use crate::event_stream::{Block, EventStream, StreamBody};
#[cfg(feature = "client")]
pub use crate::handle::{Drain, Drained, Draining, Handle, Monitor, Shutdown, StateChanges, Transcript, Update};
#[cfg(feature = "client")]
pub use crate::hub::{Acknowledger, ConflateKey, Filter, Overflow, SubscriptionStats, TranscriptItem};
#[cfg(feature = "client")]
pub use crate::reconnect::{Decision, Failure, ReconnectPolicy};
pub use crate::response::ResponseHead;
#[cfg(feature = "client")]
pub use crate::resume::{Commit, FileStore, ResumeStore};
#[cfg(feature = "client")]
pub use crate::state::{CloseReason, State};
#[cfg(feature = "client")]
pub use crate::subscription::{Events, SubscribeOptions, Subscription, TryRecvError};
#[cfg(feature = "tls")]
pub use crate::transport::TlsVersion;
#[cfg(feature = "client")]
pub use crate::transport::{Connector, IntoUrl, Redirects, TcpKeepalive, Transport};
#[cfg(feature = "tower-service-0-3")]
pub use crate::transport::{ServiceConnector, ServiceIo};

/// The README's program compiles.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
