//! [`Shutdown`], and [`Draining`] with its parts: the two ways to close a stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::stats::Stats;
use crate::connection::{Connection, timer};
use crate::hub::DrainCounts;
use crate::state::CloseReason;

use super::Monitor;

/// The end of a stream that is shutting down: see [`Handle::shutdown`](crate::Handle::shutdown).
///
/// Completes when the socket is closed and the connection task has ended, with the reason the
/// stream closed for. That is another reason than the shutdown if the stream was closed already.
///
/// # Drop behavior
///
/// The shutdown goes on: it was signalled at the call.
pub struct Shutdown {
    ended: Pin<Box<dyn Future<Output = CloseReason> + Send + Sync>>,
}

impl Shutdown {
    pub(super) fn new(connection: &Connection, monitor: Monitor) -> Self {
        connection.shutdown();
        Self { ended: Box::pin(monitor.ended()) }
    }
}

impl Future for Shutdown {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.ended.as_mut().poll(cx)
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").finish_non_exhaustive()
    }
}

/// The time that subscribers have to empty their queues.
///
/// See [`Handle::shutdown_with`](crate::Handle::shutdown_with).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "written as a literal; another way to drain would be another type")]
pub struct Drain {
    /// The time until the deadline, counted from the call. Events that are queued after it are
    /// dropped, and subscriptions end.
    pub deadline: Duration,
}

impl Drain {
    /// Gives subscribers this much time, counted from the call that begins to drain.
    pub const fn new(deadline: Duration) -> Self {
        Self { deadline }
    }
}

/// A stream that is draining: see [`Handle::shutdown_with`](crate::Handle::shutdown_with).
///
/// Keeps nothing alive.
///
/// # Drop behavior
///
/// The shutdown goes on without its deadline: nothing cuts subscribers off any more, and they empty
/// their queues in their own time.
#[must_use = "the deadline holds only while this future is awaited"]
pub struct Draining {
    outcome: Pin<Box<dyn Future<Output = Drained> + Send + Sync>>,
}

impl Draining {
    pub(super) fn new(connection: Arc<Connection>, monitor: Monitor, drain: Drain) -> Self {
        let deadline = timer::after(Instant::now(), drain.deadline);
        // Before the signal: events that are taken from now on count as delivered.
        let drain_tracker = connection.hub.drain_tracker();
        connection.drain(deadline);
        let outcome = async move {
            drain_tracker.wait(deadline).await;
            let reason = monitor.ended().await;
            // Only after the end: a deadline can pass before the hub is closed, and until then more
            // events may come.
            let DrainCounts { delivered, dropped } = drain_tracker.counts();
            let Stats { saved_id, unacknowledged, .. } = connection.stats();
            let last_event_id = connection.last_event_id();
            Drained { delivered, dropped, last_event_id, saved_id, unacknowledged, reason }
        };
        Self { outcome: Box::pin(outcome) }
    }
}

impl Future for Draining {
    type Output = Drained;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Drained> {
        self.outcome.as_mut().poll(cx)
    }
}

impl fmt::Debug for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draining").finish_non_exhaustive()
    }
}

/// The result of a drain: see [`Handle::shutdown_with`](crate::Handle::shutdown_with).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Drained {
    /// Events that subscribers took after the call.
    pub delivered: u64,
    /// Events that were lost: still queued at the deadline, or when their subscription was dropped
    /// after the call.
    pub dropped: u64,
    /// The last event ID; empty if there is none.
    pub last_event_id: String,
    /// The ID that the resume store holds, as far as is known: see
    /// [`Stats::saved_id`](crate::Stats::saved_id). The next run goes on after it.
    pub saved_id: Option<String>,
    /// Events that acknowledging subscriptions have not acknowledged: see
    /// [`Stats::unacknowledged`](crate::Stats::unacknowledged). The next run gets them again.
    pub unacknowledged: u64,
    /// The reason the stream closed for: not the shutdown if it was closed already.
    pub reason: CloseReason,
}

impl Drained {
    /// Returns the result of a drain that had nothing to do, for tests of programs that look at
    /// one. Its fields can be set.
    pub fn new(reason: CloseReason) -> Self {
        let (last_event_id, saved_id) = (String::new(), None);
        Self { delivered: 0, dropped: 0, last_event_id, saved_id, unacknowledged: 0, reason }
    }
}
