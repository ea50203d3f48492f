//! [`Update`]: the outcome of a change that was asked for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::connection::Apply;
use crate::error::Error;
use crate::handle::Monitor;

/// A change on its way: see [`Handle::update`](crate::Handle::update). Keeps nothing alive.
///
/// # Drop behavior
///
/// The change goes on; it was asked for at the call.
#[must_use = "whether the change could be made at all is said here only"]
pub struct Update {
    outcome: Pin<Box<dyn Future<Output = Result<(), Error>> + Send + Sync>>,
}

impl Update {
    pub(crate) fn new(monitor: Monitor, change: u64, apply: Apply) -> Self {
        let beside = apply == Apply::MakeBeforeBreak;
        Self { outcome: Box::pin(async move { monitor.applied(change, beside).await }) }
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self { outcome: Box::pin(std::future::ready(Err(error))) }
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
