//! [`Stats`]: what a stream has seen, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind};

/// What a stream has seen since it was built: see [`Handle::stats`](crate::Handle::stats).
///
/// A copy, taken at the call. Counted once a turn of the connection task, so it can be behind by the
/// up to 64 events of one turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events that the server sent, whether anybody listened or not, repeats included.
    pub events: u64,
    /// Comments, while somebody listened to them: otherwise they are skipped unread.
    pub comments: u64,
    /// Bytes of response bodies, decompressed.
    pub bytes: u64,
    /// Attempts to connect.
    pub attempts: u64,
    /// Responses that were accepted.
    pub opens: u64,
    /// Failures of attempts and ends of responses, by class.
    pub failures: BTreeMap<ErrorKind, u64>,
    /// How often queues were told of a [`Gap::Reconnected`](crate::Gap::Reconnected).
    pub gaps: u64,
    /// Events over the size limit: [`Gap::Oversized`](crate::Gap::Oversized).
    pub oversized: u64,
    /// Events that had been delivered before, and were not again.
    pub repeats: u64,
    /// Events that subscriptions lost because they were too slow: [`Gap::Lagged`](crate::Gap::Lagged), counted when they
    /// come to it, so what a subscription lost that is never read again is not in here (a warning is logged then). Of
    /// a single one: [`missed`](crate::Subscription::missed).
    pub missed: u64,
    /// How long ago the last event came.
    pub last_event: Option<Duration>,
    /// How long ago the last byte came.
    pub last_byte: Option<Duration>,
    /// How many events the slowest subscriber has still to take: at most what its queue holds, and the 64 that may be
    /// in its hands. Transcripts count as well, with all of their items.
    pub lag: u64,
}

/// The same, being counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) stats: Stats,
    pub(crate) last_event: Option<Instant>,
    pub(crate) last_byte: Option<Instant>,
}

impl Counters {
    pub(crate) fn failed(&mut self, error: &Error) {
        *self.stats.failures.entry(error.kind()).or_default() += 1;
    }

    /// As of now.
    pub(crate) fn stats(&self, lag: u64) -> Stats {
        let age = |instant: Option<Instant>| instant.map(|instant| instant.elapsed());
        Stats { last_event: age(self.last_event), last_byte: age(self.last_byte), lag, ..self.stats.clone() }
    }
}
