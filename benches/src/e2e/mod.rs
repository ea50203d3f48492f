//! End to end over loopback: one server process, and a fresh client process per measurement.

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

/// A client's callback: it takes each event's data and says whether it has seen enough.
pub type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send);

/// The clients, by the names that the command line takes.
///
/// The others are compared with the first: it reads a hyper body to its end, with the connection in
/// a spawned task, as reqwest and hyper-util's client do. It knows nothing of events.
pub const CONTENDERS: [&str; 5] = [HYPER, HYPER_SAME_TASK, EVENTSOURCE_CLIENT, REQWEST_EVENTSOURCE, OURS];
pub const HYPER: &str = "hyper-spawned";
pub const HYPER_SAME_TASK: &str = "hyper-same-task";
pub const EVENTSOURCE_CLIENT: &str = "eventsource-client";
pub const REQWEST_EVENTSOURCE: &str = "reqwest-eventsource";
pub const OURS: &str = "sseclient";

/// `eventsource-client` in front of tokio's broadcast channel, as written by hand. The two differ
/// in how the reader of the stream waits for its subscribers.
pub const BY_HAND: [&str; 2] = [BY_HAND_YIELD, BY_HAND_NOTIFY];
pub const BY_HAND_YIELD: &str = "by-hand-yield";
pub const BY_HAND_NOTIFY: &str = "by-hand-notify";

/// tokio's current-thread runtime, and the multi-threaded one with two workers.
pub const RUNTIMES: [&str; 2] = ["ct", "mt"];
