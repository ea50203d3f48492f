//! End to end over loopback: one server process, and a fresh client process per measurement.

pub mod blast;
pub mod body;
pub mod by_size;
pub mod capacity;
pub mod clients;
pub mod fanout;
pub mod idle;
pub mod last;
pub mod latency;
pub mod processes;
pub mod rounds;
pub mod single;
pub mod sizes;
pub mod soak;
pub mod streams;
pub mod types;

use std::ops::ControlFlow;

/// A client's callback: it takes each event's data and says whether it has seen enough.
pub type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send);

/// The clients, by the names that the command line takes.
///
/// The others are compared with the first: it reads a hyper body to its end, with the connection in
/// a spawned task, as reqwest and hyper-util's client do. It knows nothing of events.
pub const CONTENDERS: [&str; 9] = [
    HYPER,
    HYPER_SAME_TASK,
    SAME_TASK_SSE_CORE,
    REQWEST_DRAINED,
    EVENTSOURCE_CLIENT,
    EVENTSRC,
    REQWEST_EVENTSOURCE,
    OURS,
    OURS_OVER_REQWEST,
];
pub const HYPER: &str = "hyper-spawned";
pub const HYPER_SAME_TASK: &str = "hyper-same-task";
/// Parses with sse-core in the same task: what a stream costs without a fan-out.
pub const SAME_TASK_SSE_CORE: &str = "same-task-sse-core";
/// Drains reqwest's `bytes_stream`, and knows nothing of events either.
pub const REQWEST_DRAINED: &str = "reqwest-drained";
pub const EVENTSOURCE_CLIENT: &str = "eventsource-client";
/// Over reqwest, with zero copies.
pub const EVENTSRC: &str = "eventsrc-over-reqwest";
pub const REQWEST_EVENTSOURCE: &str = "reqwest-eventsource";
pub const OURS: &str = "sseclient";
/// Our client with reqwest as its transport.
pub const OURS_OVER_REQWEST: &str = "sseclient-over-reqwest";

/// The contenders that read bodies without parsing them.
pub const DRAINS: [&str; 3] = [HYPER, HYPER_SAME_TASK, REQWEST_DRAINED];

/// `eventsource-client` in front of tokio's broadcast channel, as written by hand. The two differ
/// in how the reader of the stream waits for its subscribers.
pub const BY_HAND: [&str; 2] = [BY_HAND_YIELD, BY_HAND_NOTIFY];
pub const BY_HAND_YIELD: &str = "by-hand-yield";
pub const BY_HAND_NOTIFY: &str = "by-hand-notify";

/// tokio's current-thread runtime, and the multi-threaded one with two workers.
pub const RUNTIMES: [&str; 2] = ["ct", "mt"];

/// The default capacity of our subscriber's queue, in events.
pub const CAPACITY: usize = 256;
