//! [`Stats`] and [`Counters`]: a stream in numbers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(feature = "testing")]
use tokio::sync::{Notify, futures::Notified};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
#[cfg(feature = "serde")]
use crate::state::milliseconds;

/// The statistics of a stream since it was built: see [`Handle::stats`](crate::Handle::stats).
///
/// A copy, taken at the call. The connection task counts once a turn, so a copy can be behind by
/// the up to 64 events of one turn.
///
/// With feature `serde` it serializes as a map of its fields. Times are whole milliseconds, in
/// fields whose names end in `_ms`: `last_event_ms`, for example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Events that the server sent, with or without subscribers. Repeats are included, those over
    /// the size limit are not.
    pub events: u64,
    /// Comments, while there was a transcript. Otherwise they are skipped unread.
    pub comments: u64,
    /// Bytes of response bodies, decompressed.
    pub bytes: u64,
    /// Attempts to connect.
    pub attempts: u64,
    /// Responses that were accepted.
    pub opens: u64,
    /// Failed attempts, ended responses and failures of the resume store, by kind.
    pub failures: BTreeMap<ErrorKind, u64>,
    /// How often the queues got a [`Gap::Reconnected`](crate::Gap::Reconnected). Gaps of other
    /// kinds are not in here: `oversized` and `missed` count the events of two of them.
    pub gaps: u64,
    /// Events over the size limit: [`Gap::Oversized`](crate::Gap::Oversized).
    pub oversized: u64,
    /// Events that were dropped because they had been delivered before.
    pub repeats: u64,
    /// Events that slow subscriptions lost: [`Gap::Lagged`](crate::Gap::Lagged).
    ///
    /// Counted when a subscription reads the gap. So the losses of a subscription that is never
    /// read again are not in here, but a warning is logged. For one subscription:
    /// [`missed`](crate::Subscription::missed).
    pub missed: u64,
    /// How many events acknowledging subscriptions have not acknowledged: queued, or in their
    /// hands.
    ///
    /// Events that can never be acknowledged (dropped by a queue, or left by a subscription that is
    /// gone) count as one for each such subscription: then this stays above zero, and the resume
    /// store saves no later ID.
    pub unacknowledged: u64,
    /// The ID that the resume store loaded or saved last; `None` without a store, or before.
    ///
    /// The next run of the program goes on after it.
    pub saved_id: Option<String>,
    /// For how long the connection task has been waiting for full queues; `None` while it does not.
    ///
    /// It reads nothing meanwhile. A wait of more than a second is logged as `stalled`, with the
    /// names of the subscriptions.
    #[cfg_attr(feature = "serde", serde(rename = "stalled_for_ms", serialize_with = "milliseconds::maybe"))]
    pub stalled_for: Option<Duration>,
    /// How long ago the last event came.
    #[cfg_attr(feature = "serde", serde(rename = "last_event_ms", serialize_with = "milliseconds::maybe"))]
    pub last_event: Option<Duration>,
    /// How long ago the last byte came.
    #[cfg_attr(feature = "serde", serde(rename = "last_byte_ms", serialize_with = "milliseconds::maybe"))]
    pub last_byte: Option<Duration>,
    /// How many events the slowest subscriber has still to take: at most the capacity of its queue,
    /// and the 64 that it may have taken out in one batch. Transcripts count as well, with all of
    /// their items.
    ///
    /// None of these is lost, unlike those of a [`Gap::Lagged`](crate::Gap::Lagged), which `missed`
    /// counts. For one subscription: [`queued`](crate::SubscriptionStats::queued).
    pub lag: u64,
}

/// The counts of one turn of reading.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TurnCounts {
    pub(crate) bytes: u64,
    pub(crate) events: u64,
    pub(crate) comments: u64,
    pub(crate) oversized: u64,
    /// Events that had been delivered before.
    pub(crate) repeats: u64,
    pub(crate) gaps: u64,
}

impl TurnCounts {
    /// Returns the least number of events, oversized ones included, that were no repeats.
    pub(crate) fn new_events(&self) -> u64 {
        // `oversized` counts only events that were no repeats, `events` counts all.
        (self.events + self.oversized).saturating_sub(self.repeats)
    }
}

/// The counters behind [`Stats`]. The task locks them once a turn, a caller of `stats` at its call.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counted: Mutex<Counted>,
    /// Told at the end of each turn, once it is counted. Each time takes a lock, so programs do
    /// without.
    #[cfg(feature = "testing")]
    turns: Notify,
}

/// The values under the lock.
#[derive(Debug, Default)]
struct Counted {
    stats: Stats,
    last_event: Option<Instant>,
    last_byte: Option<Instant>,
}

impl Counters {
    /// Returns the statistics as of now, without those of the hub.
    pub(crate) fn stats(&self) -> Stats {
        let counted = self.counted();
        let age = |instant: Option<Instant>| instant.map(|instant| instant.elapsed());
        let (last_event, last_byte) = (age(counted.last_event), age(counted.last_byte));
        Stats { last_event, last_byte, ..counted.stats.clone() }
    }

    /// Counts something, under the lock.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Stats)) {
        count(&mut self.counted().stats);
    }

    /// Counts a failure by its kind.
    pub(super) fn count_failure(&self, error: &Error) {
        self.count(|stats| *stats.failures.entry(error.kind()).or_default() += 1);
    }

    /// Counts a turn of reading that ended at `now`.
    pub(super) fn count_turn(&self, turn: TurnCounts, now: Instant) {
        let Counted { stats, last_event, last_byte } = &mut *self.counted();
        stats.bytes += turn.bytes;
        stats.events += turn.events;
        stats.comments += turn.comments;
        stats.oversized += turn.oversized;
        stats.repeats += turn.repeats;
        stats.gaps += turn.gaps;
        if turn.bytes > 0 {
            *last_byte = Some(now);
        }
        if turn.events > 0 {
            *last_event = Some(now);
        }
        #[cfg(feature = "testing")]
        self.turns.notify_waiters();
    }

    /// Waits until a turn of reading has been counted after this call.
    #[cfg(feature = "testing")]
    pub(crate) fn turn(&self) -> Notified<'_> {
        self.turns.notified()
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Nothing but additions and assignments happens under this lock.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
