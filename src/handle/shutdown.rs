//! [`Drain`], [`Draining`] and [`Drained`]: a shutdown that lets subscribers finish.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::state::CloseReason;

/// How long subscribers may take to empty their queues: see
/// [`Handle::shutdown_with`](crate::Handle::shutdown_with).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "written as a literal; another way to drain would be another type")]
pub struct Drain {
    /// Counted from the call. What is queued then is dropped, and subscriptions end.
    pub deadline: Duration,
}

/// A stream that is being drained. Keeps nothing alive.
///
/// # Drop behavior
///
/// The shutdown goes on, but the deadline is gone: subscribers empty their queues in their own time.
#[must_use = "dropped, it has no deadline any more"]
pub struct Draining {
    pub(crate) outcome: Pin<Box<dyn Future<Output = Drained> + Send + Sync>>,
}

/// What became of a stream that was drained.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Drained {
    /// How many events subscribers have taken since the call.
    pub delivered: u64,
    /// How many were still queued at the deadline, or when their subscription was dropped after the call.
    pub dropped: u64,
    /// The last event ID: empty if there is none.
    pub last_event_id: String,
    /// Why the stream closed: another reason if it had been closed already.
    pub reason: CloseReason,
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
