//! [`Overflow`]: what happens when a subscription's queue is full.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;

/// How long a full queue of which nothing is taken holds up the stream: long enough for a subscriber that waits
/// for a disk or a lock, short enough that one which hangs costs the others little, once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// What happens when a subscription does not keep up and its queue is full: see
/// [`SubscribeOptions::overflow`](crate::SubscribeOptions::overflow).
///
/// All subscriptions of a stream share one connection. While the connection task waits for one of them it reads
/// nothing, so TCP pushes back on the server, and **nobody** gets anything new:
///
/// - Under [`Wait`](Self::Wait), one subscriber that takes an event every 0.99 s slows the stream for all to that
///   backpressure: it is slow, but alive.
/// - A task that awaits one subscription while another one, which only it reads, is full, stalls the stream for the
///   patience under `Wait`, and **for ever under [`Block`](Self::Block)**: the event that it awaits is never read.
///   Await them together (`select!`), or in tasks of their own.
///
/// Waiting never holds up commands, shutdown, or changes of state. A server that gives up on clients which read
/// nothing may close the connection meanwhile; the stream then reconnects as ever. The
/// [idle timeout](crate::StreamBuilder::idle_timeout) begins anew after it.
///
/// The queue of an ordinary subscription may be full of two things: [events](crate::SubscribeOptions::capacity) or
/// [bytes](crate::SubscribeOptions::queue_bytes). [Gaps](crate::Gap) take no room and are never dropped.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The task waits until this queue, and every other that it waits for, is at most half full; but no longer than
    /// `patience` (1 s by default) in which not one event is taken from it. The clock starts anew with each event
    /// taken (as seen sixteen times within the patience), and runs only while the task waits. Then the
    /// subscription is *stuck*: it loses its oldest events, which [`Gap::Lagged`](crate::Gap::Lagged) counts at the
    /// place of the hole, and holds up the stream no more until it has taken all that was queued once, or the program
    /// has gone [back](crate::Handle::reconnect_from) for what it lost.
    Wait {
        /// How long to wait while nothing is taken. Zero never waits; `Duration::MAX` waits for ever.
        patience: Duration,
    },
    /// Never holds up the stream: the oldest events are lost, and counted by
    /// [`Gap::Lagged`](crate::Gap::Lagged). The task gives way to other tasks when the queue is more than half full,
    /// and no more than that.
    DropOldest,
    /// The task waits for as long as it takes: nothing is lost, and one subscriber that hangs stops the stream for
    /// all.
    Block,
    /// Never holds up the stream, and keeps only the newest event of each type: see
    /// [`conflate_by`](Self::conflate_by).
    Conflate,
    /// [`Conflate`](Self::Conflate), by a key of the caller's own: made by [`conflate_by`](Self::conflate_by).
    ConflateBy(ConflateKey),
}

impl Overflow {
    /// Keeps only the newest event of each key: for values of which only the last one counts. Never holds up the
    /// stream.
    ///
    /// A newer event takes the place in the queue of the one that it replaces, so that however busy a key is, it
    /// neither pushes out nor holds back a rare one. Events of different keys may so come in another order than on
    /// the wire. Nothing moves across a [`Gap`](crate::Gap), though: what comes before one was sent before it, and
    /// what comes after one, after. An event that was replaced is not [missed](crate::Subscription::missed), and
    /// need not be acknowledged.
    ///
    /// The capacity is in keys that wait to be taken; when there are more, or more bytes than the queue may hold, what
    /// has waited longest is lost, counted as missed, and told by [`Gap::Lagged`](crate::Gap::Lagged).
    ///
    /// `key` is called by the connection task, once for each event and subscription, without any lock. It should be
    /// quick. Where it panics, the event's type is its key.
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
        Self::ConflateBy(ConflateKey(Arc::new(key)))
    }
}

impl Default for Overflow {
    /// [`Wait`](Self::Wait), for 1 s.
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

/// What tells events apart that are conflated: see [`Overflow::conflate_by`]. Equal only to its clones.
#[derive(Clone)]
pub struct ConflateKey(Arc<dyn Fn(&Event) -> String + Send + Sync>);

impl ConflateKey {
    pub(crate) fn of(&self, event: &Event) -> String {
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
