//! [`Overflow`]: what happens when a subscription's queue is full; [`QueueLimits`]: when it is.
//!
//! This file only names the choices. `backpressure.rs` waits, `ring.rs` drops the oldest items, and
//! `conflate.rs` keeps the newest of each key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::panics::catch;
use crate::event::Event;

use super::transcript_item::TranscriptItem;

/// The time for which a full queue from which nothing is taken holds up other subscriptions.
///
/// Long enough for a subscriber that waits for a disk or a lock. Short enough that a subscriber
/// which hangs costs the others little, once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The policy for a full queue, when a subscription does not keep up: see
/// [`SubscribeOptions::overflow`](crate::SubscribeOptions::overflow).
///
/// All subscriptions of a stream share one connection. While the connection task waits for one of
/// them it reads nothing, so TCP pushes back on the server, and **no** subscription gets anything
/// new:
///
/// - Under [`Wait`](Self::Wait), one subscriber that takes an event every 0.99 s slows the stream
///   down to that pace for all: it is slow, but alive.
/// - A task that awaits one subscription while another one, which only it reads, is full, stalls
///   the stream: for the patience under `Wait`, and **forever under [`Block`](Self::Block)**,
///   because the event that it awaits is never read. Await them together (`select!`), or in tasks
///   of their own.
///
/// A wait of more than a second is logged as `stalled`, with the names of the subscriptions, and
/// again each minute; [`Stats::stalled_for`](crate::Stats::stalled_for) shows it.
///
/// Waiting never holds up requests from handles, shutdown, or changes of state. A server that gives
/// up on clients which read nothing may close the connection meanwhile; the stream then reconnects
/// as usual. The [idle timeout](crate::StreamBuilder::idle_timeout) starts anew after the wait.
///
/// A queue is full when it holds as many [events](crate::SubscribeOptions::capacity) or
/// [bytes](crate::SubscribeOptions::queue_bytes) as it may. [Gaps](crate::Gap) take no room and are
/// never dropped.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The task waits until this queue, and every other that it waits for, is at most half full.
    /// While that holds up other subscriptions, it waits no longer than `patience` (1 s by default)
    /// in which no event is taken from the queue.
    ///
    /// Another subscription or [transcript](crate::Handle::transcript) is held up if it has nothing
    /// left to take. A subscription that is alone, or slow among others that are slower, holds up
    /// none of them: the task waits for it **without limit**, and it loses nothing.
    ///
    /// The clock runs only while the task waits and another subscription is held up. It starts anew
    /// with each event taken. The task checks both sixteen times within the patience, though at
    /// most every 10 ms. A check that comes late, because the program was stopped or blocked,
    /// counts no more than two that come in time.
    ///
    /// When the clock runs out the subscription is *stuck*: it loses its oldest events, which
    /// [`Gap::Lagged`](crate::Gap::Lagged) counts at the place of the hole. A stuck subscription
    /// does not hold up the stream again until it has taken everything that was queued once, or
    /// until the program has gone [back](crate::Handle::reconnect_from) for what it lost.
    Wait {
        /// The time to wait for a subscription that takes nothing and holds up others. Zero never
        /// waits, not even for one that is alone; `Duration::MAX` waits forever.
        patience: Duration,
    },
    /// Never holds up the stream. The oldest events are lost, and counted by
    /// [`Gap::Lagged`](crate::Gap::Lagged). The task yields to other tasks when the queue is more
    /// than half full, and does no more than that.
    DropOldest,
    /// The task waits for as long as it takes. Nothing is lost, and one subscriber that hangs stops
    /// the stream for all. The default of an
    /// [acknowledging](crate::SubscribeOptions::acknowledging) subscription.
    Block,
    /// Never holds up the stream, and keeps only the newest event of each type: see
    /// [`conflate_by`](Self::conflate_by).
    Conflate,
    /// Like [`Conflate`](Self::Conflate), by a key of the caller's own: made by
    /// [`conflate_by`](Self::conflate_by).
    ConflateBy(ConflateKey),
}

impl Overflow {
    /// Keeps only the newest event of each key, for values of which only the last one counts. Never
    /// holds up the stream.
    ///
    /// A newer event takes the place in the queue of the one that it replaces. So a busy key
    /// neither pushes out nor delays a rare one. Events of different keys may therefore come in
    /// another order than on the wire, but nothing moves across a [`Gap`](crate::Gap): what
    /// comes before a gap was sent before it, and what comes after one, after it. An event that
    /// was replaced does not count as [missed](crate::Subscription::missed), and need not be
    /// acknowledged.
    ///
    /// The capacity counts keys that wait to be taken. When there are more, or more bytes than the
    /// queue may hold, the event that has waited longest is lost: it counts as missed, and
    /// [`Gap::Lagged`](crate::Gap::Lagged) says so.
    ///
    /// The connection task calls `key` once for each event and subscription, without holding any
    /// lock. It should be quick.
    ///
    /// Each conflating subscription has a queue of its own, and the task compares each event with
    /// the filters of all of them. So thousands of them slow the stream down, whichever events they
    /// want.
    ///
    /// # Panics
    ///
    /// Does not panic. If `key` panics, the event's type is its key.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::{Client, Overflow, SubscribeOptions};
    ///
    /// let handle = Client::new().stream("http://127.0.0.1/").build()?;
    /// // "EURUSD 1.0842": the newest price of each pair.
    /// let by_pair = Overflow::conflate_by(|event| event.data().split(' ').next().unwrap_or_default().to_owned());
    /// let prices = handle.subscribe_with("price", SubscribeOptions::default().overflow(by_pair));
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn conflate_by(key: impl Fn(&Event) -> String + Send + Sync + 'static) -> Self {
        Self::ConflateBy(ConflateKey::new(key))
    }
}

impl Default for Overflow {
    /// Returns [`Wait`](Self::Wait) with a patience of 1 s.
    fn default() -> Self {
        Self::Wait { patience: PATIENCE }
    }
}

impl fmt::Debug for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait { patience } => f.debug_struct("Wait").field("patience", patience).finish(),
            Self::DropOldest => f.write_str("DropOldest"),
            Self::Block => f.write_str("Block"),
            Self::Conflate => f.write_str("Conflate"),
            Self::ConflateBy(_) => f.write_str("ConflateBy(..)"),
        }
    }
}

/// The key that tells apart events which are conflated: see [`Overflow::conflate_by`]. Equal only
/// to its clones.
#[derive(Clone)]
pub struct ConflateKey(Arc<dyn Fn(&Event) -> String + Send + Sync>);

impl ConflateKey {
    /// Makes a key of the caller's function.
    pub(crate) fn new(key: impl Fn(&Event) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(key))
    }

    /// Returns the key of an event: its type, if the caller's function panics. No lock may be held.
    pub(super) fn of_or_type(&self, event: &Event) -> Arc<str> {
        catch(|| (self.0)(event)).map_or_else(|_| event.event_type().into(), Arc::from)
    }

    /// Calls the caller's function, which may panic.
    #[cfg(test)]
    pub(super) fn of(&self, event: &Event) -> String {
        (self.0)(event)
    }
}

impl PartialEq for ConflateKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ConflateKey {}

impl fmt::Debug for ConflateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConflateKey(..)")
    }
}

/// The capacity of one channel's queues, and the policy when one is full.
///
/// One item always fits: one that takes a queue over its bytes is let in, and the queue is full
/// then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub(crate) capacity: usize,
    pub(crate) bytes: u64,
    pub(crate) overflow: Overflow,
}

impl QueueLimits {
    /// Limits the number of items only.
    #[cfg(test)]
    pub(crate) fn of(capacity: usize, overflow: Overflow) -> Self {
        Self { capacity, bytes: u64::MAX, overflow }
    }

    /// Returns true if the connection task waits for a full queue.
    pub(super) fn waits(&self) -> bool {
        matches!(self.overflow, Overflow::Wait { .. } | Overflow::Block)
    }

    /// Returns true if the queue keeps only the newest event of each key.
    pub(super) fn conflates(&self) -> bool {
        matches!(self.overflow, Overflow::Conflate | Overflow::ConflateBy(_))
    }

    /// Returns the time for which the task waits for a queue from which nothing is taken; `None` if
    /// it waits forever.
    pub(super) fn patience(&self) -> Option<Duration> {
        match self.overflow {
            Overflow::Wait { patience } => Some(patience),
            _ => None,
        }
    }

    /// After how many items the publisher checks whether it is about to overrun a reader.
    pub(super) fn quarter(&self) -> u64 {
        // The publisher yields from half a queue on, so a look at each quarter comes before an
        // overrun. Without the `max` a capacity below four would give no credit at all.
        (self.capacity / 4).max(1) as u64
    }

    /// Returns true if a queue of this size is full.
    pub(super) fn are_reached(&self, size: QueueSize) -> bool {
        size.items >= self.capacity as u64 || size.bytes >= self.bytes
    }

    /// Returns true if a queue of this size is more than half full.
    pub(super) fn are_half_reached(&self, size: QueueSize) -> bool {
        size.items > self.capacity as u64 / 2 || size.bytes > self.bytes / 2
    }
}

/// The amount that a queue holds, or may still take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueSize {
    pub(super) items: u64,
    pub(super) bytes: u64,
}

impl QueueSize {
    /// Returns true if there is none left, of items or of bytes.
    #[inline]
    pub(super) fn is_used_up(self) -> bool {
        self.items == 0 || self.bytes == 0
    }
}

/// An item that a channel can hold.
///
/// There are two, because a [`TranscriptItem`] is many times the size of an [`Event`], which is one
/// pointer: with one type for both, each slot of a subscription's ring would grow by that.
pub(crate) trait QueueItem: Clone {
    /// Returns how many bytes of a queue it takes.
    fn bytes(&self) -> u64;

    /// Returns true if it uses the reserve: a queue that is full still has room for it.
    fn uses_reserve(&self) -> bool {
        false
    }
}

impl QueueItem for Event {
    fn bytes(&self) -> u64 {
        self.size() as u64
    }
}

impl QueueItem for TranscriptItem {
    fn bytes(&self) -> u64 {
        match self {
            Self::Event(event) => event.bytes(),
            Self::Comment(comment) => comment.len() as u64,
            Self::Gap(_) => 0,
            // The head of a response may be large, and a new one comes with each reconnection.
            Self::State(state) => state.size() as u64,
        }
    }

    fn uses_reserve(&self) -> bool {
        matches!(self, Self::Gap(_) | Self::State(_))
    }
}
