//! A Server-Sent Events client for programs that must keep listening.
//!
//! One background task owns the HTTP response and the parser. It fans events out over broadcast
//! channels, by event type, to any number of subscribers. A cheap [`Handle`] subscribes, changes
//! headers, reconnects, watches, and shuts down.
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
//!     let mut updates = handle.subscribe("update"); // before dialling: the first event cannot be missed
//!     handle.connect(); // spawns the connection task; idempotent
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
//! For scripts, [`open`] subscribes to everything, dials, and returns once the stream is open. For a
//! program without a runtime there is module `blocking`, whose streams are iterators; for a
//! response that you have already (an LLM's answer, a request made with reqwest) there is
//! [`EventStream`]; for bytes without HTTP, [`wire`].
//!
//! # Loss
//!
//! What can be lost, is said: a queue yields [`Delivery::Gap`] at the place of the hole, never an
//! error, since people break out of loops on errors.
//!
//! - [`Gap::Lagged`]: this subscription did not keep up. Queues are bounded; when one is full the connection task
//!   stops reading, so that TCP pushes back on the server and a subscriber that keeps moving loses nothing. One that
//!   takes nothing for 1 s loses its oldest events, alone. That is the default; each subscription can choose otherwise
//!   ([`Overflow`]): to lose at once, never, or all but the newest of each key.
//! - [`Gap::Oversized`]: an event over the size limit was skipped. Its ID counts, so that it does not
//!   come back with each reconnection.
//! - [`Gap::NotRetained`]: what a late subscriber is given first is not all that came since the snapshot.
//! - [`Gap::Reconnected`]: a new response took over. If the request carried a last event ID, the server
//!   was asked to go on from there; if not, what it sent in between is lost.
//!
//! # Reconnection
//!
//! A lost connection comes back by itself, with the last event ID: after the reconnection time (3 s, or
//! what the server's `retry` says, from 100 ms to 5 min), then twice that, up to a minute, with up to
//! half as much again by chance. The wait starts anew once a response has delivered an event or stayed
//! open for 10 s. There is no limit on attempts. A `Retry-After` is heeded, up to an hour. All of this is
//! a [`ReconnectPolicy`], which can be another. A stream that breaks off at the same event five times in a row is
//! poisoned: it is tried again at the ceiling only (or as ever, by a policy whose waits do not grow), and
//! [`ErrorKind::Poisoned`] is the cause of those waits.
//!
//! A silent stream is an ordinary one: only TCP's keep-alive watches it, unless
//! [`idle_timeout`](StreamBuilder::idle_timeout) says how long silence may last.
//!
//! These are tried again by default: faults of transport, of names, proxies and TLS, too; a loop of redirects; the end
//! of a stream; a source of [credentials](StreamBuilder::credentials) that fails; and the statuses 408, 425, 429, 500,
//! 502, 503 and 504. After a 401 or 403 a source of credentials is asked once for fresh ones. A 204 is the standard's
//! way to say stop, and no error. Whatever else a server answers, another content type included, is final:
//! [`Handle::closed`] gives the error, with status, headers and the first 8 KiB of the body. [`Redirects`] are followed
//! within an attempt.
//!
//! A [lazy](StreamBuilder::lazy) stream is open only while there are subscriptions, and for a time after the last.
//!
//! # Resuming across restarts
//!
//! A [`ResumeStore`] keeps the last event ID for the next run of the program; [`FileStore`] in a file. With
//! [`Commit::Acknowledgement`] it goes only as far as subscribers have said that they have processed everything:
//! then each event is processed at least once, also if the program is killed.
//!
//! # Stopping
//!
//! [`Handle::shutdown`] is signalled at the call; [`Handle::shutdown_with`] lets subscribers empty their
//! queues until a deadline; [`StreamBuilder::stop_when`] ties the stream to Ctrl-C, say, and waits for
//! nobody. Dropping all handles and subscriptions ends the task
//! as well, in whatever phase. A [`Monitor`] keeps nothing alive.
//!
//! # Logs
//!
//! With [`tracing`](https://docs.rs/tracing), target `sseclient`. Nothing is logged per event. These names and
//! fields are part of the API:
//!
//! | level | name | fields | when |
//! |---|---|---|---|
//! | INFO | `sseclient`, a span | `stream` (its name), `url` (without userinfo and query) | around all that the connection task does |
//! | DEBUG | `connecting` | `attempt` | an attempt begins, unless it is made [beside an open response](Apply::MakeBeforeBreak) |
//! | INFO | `open` | `attempt`, `status`, `version` | a response was accepted |
//! | INFO | `waiting` | `attempt`, `delay_ms`, `kind`, `error` | a failure, or the end of a response |
//! | INFO | `idle` | | a [lazy](StreamBuilder::lazy) stream is left by its last subscription |
//! | INFO, WARN after a failure | `closed` | `reason`; `kind`, `error` | the end |
//! | WARN | `poisoned` | `error` | a stream breaks off at one place ([`ErrorKind::Poisoned`]) |
//! | WARN | `not_replaced` | `kind`, `error` | the second response of a [make-before-break](Apply::MakeBeforeBreak) failed: the first one stays, and the change waits for the next attempt |
//! | WARN | `store_failed` | `error` | a resume store could not load or save |
//! | WARN | `file_damaged` | `path`, `error` | a [`FileStore`] falls back on the ID before the last |
//! | WARN | `left_out` | `what`, `error` | a request goes without the last event ID, which HTTP cannot carry |
//! | WARN | `stuck` | `subscriptions` (how many) | nothing was taken from full queues for their [patience](Overflow::Wait): the stream goes on, and they lose their oldest events |
//! | WARN | `lagged` | `stream`, `subscription` (its name), `missed` | a subscription lost its oldest events |
//! | WARN | `missing` | `stream`, `subscription`, `gap` | another loss, for those who see [bare events](Subscription::into_events) |
//! | WARN | `unacknowledged` | `stream`, `subscription`, `unacknowledged` | too many events are not acknowledged |
//!
//! # Secrets
//!
//! Header values and cookies that you set, what a cookie jar holds, userinfo and query values never appear in `Debug`,
//! logs or errors.
//!
//! # Features
//!
//! Only `tls` is on by default.
//!
//! - `gzip`, `brotli`, `zstd`: streams that servers compress, each asked for and decoded in its coding
//!   ([`StreamBuilder`]`::compression`), event by event if the server flushes each.
//! - `cookies`: a jar for each client that wants one ([`ClientBuilder`]`::cookies`). Fixed cookies
//!   ([`StreamBuilder::cookie`]) need no feature.
//! - `tls`: https with rustls, ring, and the platform's certificate verifier. Without it an
//!   https URL is a typed error when the stream is built.
//! - `aws-lc-rs`: TLS with aws-lc-rs instead of ring; it wins where both are on.
//! - `webpki-roots`: `ClientBuilder::webpki_roots`, Mozilla's root certificates, for containers without any.
//! - `rustls-0_23`: `ClientBuilder::rustls_0_23_config`, a configuration of rustls 0.23 of your own.
//! - `http2`: HTTP/2, where the server chooses it, or is known to speak it.
//! - `json`: data as values ([`Handle`]`::subscribe_as`, [`Event`]`::json`), and bodies of JSON.
//! - `blocking`: a module of that name, for programs without a runtime.
//! - `tower-service-0-3`: connectors of hyper's world, `tower_service::Service<Uri>`.
//!
//! # Standards
//!
//! HTML, [section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html) (Server-sent
//! events); where this crate departs from it is said on [`wire::Decoder`] and above.

// docs.rs says of each item which feature it needs; only there, since that takes an unstable Rust.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs, missing_debug_implementations, unreachable_pub, unnameable_types)]
// Public types may grow; those that may not say why.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
// A library returns errors and leaves the terminal alone.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking"))]

#[cfg(feature = "__bench")]
#[doc(hidden)]
pub mod bench;
#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
mod connection;
mod error;
mod event;
mod event_stream;
mod handle;
mod hub;
mod reconnect;
mod resume;
mod state;
mod subscription;
mod transport;
pub mod wire;

pub use crate::client::{Client, ClientBuilder, StreamBuilder, open};
pub use crate::connection::credentials::CredentialsReason;
pub use crate::connection::stats::Stats;
pub use crate::connection::{Apply, Change, Resume};
pub use crate::error::{Error, ErrorKind};
pub use crate::event::{Delivery, Event, EventBuilder, Gap};
pub use crate::event_stream::{EventStream, StreamBody};
pub use crate::handle::{Drain, Drained, Draining, Handle, Monitor, Shutdown, StateChanges, Transcript, Update};
pub use crate::hub::{ConflateKey, Filter, Overflow, TranscriptItem};
pub use crate::reconnect::{Decision, Failure, ReconnectPolicy};
pub use crate::resume::{Commit, FileStore, ResumeStore};
pub use crate::state::{CloseReason, ResponseHead, State};
#[cfg(feature = "json")]
pub use crate::subscription::Decoded;
pub use crate::subscription::{Events, SubscribeOptions, Subscription, TryRecvError};
#[cfg(feature = "tls")]
pub use crate::transport::TlsVersion;
pub use crate::transport::{Connector, Redirects, TcpKeepalive};
#[cfg(feature = "tower-service-0-3")]
pub use crate::transport::{ServiceConnector, ServiceIo};
