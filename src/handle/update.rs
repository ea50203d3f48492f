//! [`Update`]: the outcome of [`Handle::update`](crate::Handle::update).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::connection::Apply;
use crate::error::Error;

use super::Monitor;

/// A change of the request on its way: see [`Handle::update`](crate::Handle::update).
///
/// Completes when the server has accepted a request that carries the change. Keeps nothing alive.
///
/// # Drop behavior
///
/// The change goes on: [`Handle::update`](crate::Handle::update) requested it at the call.
#[must_use = "only this future reports that the change was refused"]
pub struct Update {
    outcome: Pin<Box<dyn Future<Output = Result<(), Error>> + Send + Sync>>,
}

impl Update {
    /// Follows the change with this number, or reports why it was refused.
    pub(super) fn new(monitor: Monitor, change: Result<u64, Error>, apply: Apply) -> Self {
        let make_before_break = apply == Apply::MakeBeforeBreak;
        Self { outcome: Box::pin(async move { monitor.applied(change?, make_before_break).await }) }
    }
}

impl Future for Update {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.as_mut().poll(cx)
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update").finish_non_exhaustive()
    }
}
