//! End to end over loopback: a server process, and a fresh client process per measurement.

pub mod blast;
pub mod body;
pub mod clients;
pub mod fanout;
pub mod idle;
pub mod last;
pub mod latency;
pub mod processes;
pub mod rounds;
pub mod soak;

use std::ops::ControlFlow;

/// What a client does with each event's data; it may have seen enough.
pub type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send);

/// The clients, by the names that the command line takes.
///
/// The first is the measure of the others: a hyper body read to its end, its connection spawned, as
/// reqwest and hyper-util's client do it. It knows nothing of events.
pub const CONTENDERS: [&str; 5] = [HYPER, HYPER_SAME_TASK, EVENTSOURCE_CLIENT, REQWEST_EVENTSOURCE, OURS];
pub const HYPER: &str = "hyper-spawned";
pub const HYPER_SAME_TASK: &str = "hyper-same-task";
pub const EVENTSOURCE_CLIENT: &str = "eventsource-client";
pub const REQWEST_EVENTSOURCE: &str = "reqwest-eventsource";
pub const OURS: &str = "sseclient";

/// `eventsource-client` and a broadcast channel of tokio's behind it, as one writes that by hand; in two ways, by what
/// keeps the reader of the stream from overrunning its subscribers.
pub const BY_HAND: [&str; 2] = [BY_HAND_YIELD, BY_HAND_NOTIFY];
pub const BY_HAND_YIELD: &str = "by-hand-yield";
pub const BY_HAND_NOTIFY: &str = "by-hand-notify";

/// The runtimes: tokio's current-thread one, and the multi-threaded one with two workers.
pub const RUNTIMES: [&str; 2] = ["ct", "mt"];
