//! [`Config`]: the settings of one stream, and their defaults, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use crate::connection::RefusedId;
use crate::connection::request::Request;
use crate::event::Event;
use crate::hub::{Overflow, Retain};
use crate::transport::target::Target;
use crate::wire::{DEFAULT_MAX_EVENT_SIZE, EndMark};

/// The server's `retry` is clamped to at least this: less would be a tight loop.
pub(crate) const MIN_SERVER_RETRY: Duration = Duration::from_millis(100);

/// The server's `retry` is clamped to at most this: with more, a stream would seem dead.
pub(crate) const MAX_SERVER_RETRY: Duration = Duration::from_secs(5 * 60);

/// The capacity of a subscription's queue, in events: four turns of the connection task.
pub(crate) const CAPACITY: usize = 256;

/// The smallest capacity: one event at a time.
pub(crate) const MIN_CAPACITY: usize = 1;

/// The largest capacity: a million events that no one reads are a mistake.
pub(crate) const MAX_CAPACITY: usize = 1 << 20;

/// The capacity of a subscription's queue, in bytes: the largest event fits, and a queue of large
/// events is bounded as well.
pub(crate) const QUEUE_BYTES: u64 = DEFAULT_MAX_EVENT_SIZE as u64;

/// The most frames of one turn, which costs one unit of tokio's coop budget.
pub(crate) const EVENTS_PER_TURN: usize = 64;

/// Once it has read or published this many bytes the connection task lets other tasks run. The last
/// chunk or event may exceed it. Subscribers then take large events while these are in the cache,
/// and later events reuse their memory: events of 64 KiB cost a third of the time.
pub(crate) const BYTES_IN_A_ROW: usize = 256 * 1024;

/// The settings of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: String,
    /// Shared with the mailbox, which makes the next request from it.
    pub(crate) request: Arc<Request>,
    pub(crate) last_event_id: String,
    pub(crate) refused_id: RefusedId,
    pub(crate) idle_timeout: Option<Duration>,
    /// The event that ends the stream for good; none by default.
    pub(crate) end_mark: Option<EndMark>,
    pub(crate) max_event_size: usize,
    pub(crate) capacity: usize,
    /// What a full queue does, unless the options of its subscription say it.
    pub(crate) overflow: Overflow,
    /// What the hub keeps for late subscribers; nothing by default.
    pub(crate) retain: Vec<Retain>,
    /// The events that are retained before the first connection.
    pub(crate) seed: Vec<Event>,
    /// How many IDs deduplication remembers; none by default.
    pub(crate) drop_repeats: usize,
    /// For a lazy stream: how long it stays open without subscriptions. `None`: it is not lazy.
    pub(crate) linger: Option<Duration>,
    /// A failure of the first attempt is final.
    pub(crate) first_attempt_counts: bool,
}

impl Config {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            name: String::new(),
            request: Arc::new(Request::new(target)),
            last_event_id: String::new(),
            refused_id: RefusedId::default(),
            // Silence is ordinary, and TCP keep-alive finds dead links.
            idle_timeout: None,
            end_mark: None,
            max_event_size: DEFAULT_MAX_EVENT_SIZE,
            capacity: CAPACITY,
            overflow: Overflow::default(),
            retain: Vec::new(),
            seed: Vec::new(),
            drop_repeats: 0,
            linger: None,
            first_attempt_counts: false,
        }
    }
}
