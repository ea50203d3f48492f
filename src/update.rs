//! [`Update`]: the outcome of a change that was asked for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::change::Apply;
use crate::error::Error;
use crate::monitor::Monitor;

/// A change on its way: see [`Handle::update`](crate::Handle::update). Keeps nothing alive.
///
/// # Drop behavior
///
/// The change goes on; it was asked for at the call.
#[must_use = "whether the change could be made at all is said here only"]
pub struct Update {
    outcome: Pin<Box<dyn Future<Output = Result<Applied, Error>> + Send + Sync>>,
}

/// A change has taken effect: a response to a request with it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {}

impl Update {
    pub(crate) fn new(monitor: Monitor, change: u64, apply: Apply) -> Self {
        let beside = apply == Apply::MakeBeforeBreak;
        Self { outcome: Box::pin(async move { monitor.applied(change, beside).await.map(|()| Applied {}) }) }
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self { outcome: Box::pin(std::future::ready(Err(error))) }
    }
}

impl Future for Update {
    type Output = Result<Applied, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.as_mut().poll(cx)
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update").finish_non_exhaustive()
    }
}
