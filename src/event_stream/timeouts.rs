//! [`Timeouts`]: how long a stream waits for its response, by tokio's clock; and [`Deadline`], the
//! end of a wait that the caller did not ask for. Without feature `client` there is no clock.

#[cfg(feature = "client")]
use std::pin::Pin;
#[cfg(feature = "client")]
use std::task::ready;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(feature = "client")]
use tokio::time::{Instant, Sleep};

use crate::error::Error;
#[cfg(feature = "client")]
use crate::error::{ErrorKind, panics};
#[cfg(feature = "client")]
use crate::response::silence::Silence;

/// The time limits of one stream.
#[derive(Default)]
pub(super) struct Timeouts {
    #[cfg(feature = "client")]
    idle: Option<Timeout>,
    /// Until the first event.
    #[cfg(feature = "client")]
    first_event: Option<Timeout>,
}

/// A limit, and its timer from the first wait on: a stream may be made outside a runtime.
#[cfg(feature = "client")]
struct Timeout {
    limit: Duration,
    silence: Option<Silence>,
    /// Nothing has come since the stream began to wait.
    is_waiting: bool,
}

#[cfg(feature = "client")]
impl Timeout {
    fn new(limit: Duration) -> Self {
        Self { limit, silence: None, is_waiting: false }
    }

    /// Ready when the wait is over. To be polled after the body, which has nothing.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let silence = self.silence.get_or_insert_with(|| Silence::new(self.limit));
        // A caller who was busy elsewhere did not listen, so only a wait counts.
        if !std::mem::replace(&mut self.is_waiting, true) {
            silence.heard(Instant::now());
        }
        silence.poll(cx)
    }
}

#[cfg(feature = "client")]
impl Timeouts {
    pub(super) fn set_idle(&mut self, limit: Option<Duration>) {
        self.idle = limit.map(Timeout::new);
    }

    pub(super) fn set_first_event(&mut self, limit: Option<Duration>) {
        self.first_event = limit.map(Timeout::new);
    }

    /// Notes that bytes came.
    pub(super) fn bytes_came(&mut self) {
        if let Some(idle) = &mut self.idle {
            idle.is_waiting = false;
        }
    }

    /// Notes that an event came.
    pub(super) fn event_came(&mut self) {
        self.first_event = None;
    }

    /// Ready with the error when a wait has been too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        // Up to the first event its own limit counts alone: models think longer than they pause.
        if let Some(first) = &mut self.first_event {
            ready!(first.poll(cx));
            let message = format!("no event came within {:?}, the first-event timeout", first.limit);
            return Poll::Ready(Error::new(ErrorKind::FirstEventTimeout, message));
        }
        let Some(idle) = &mut self.idle else { return Poll::Pending };
        ready!(idle.poll(cx));
        let message = format!("the server was silent for {:?}, the idle timeout", idle.limit);
        Poll::Ready(Error::new(ErrorKind::IdleTimeout, message))
    }
}

#[cfg(not(feature = "client"))]
#[allow(clippy::needless_pass_by_ref_mut, reason = "with a clock they change it")]
impl Timeouts {
    pub(super) fn bytes_came(&mut self) {}

    pub(super) fn event_came(&mut self) {}

    pub(super) fn poll(&mut self, _: &mut Context<'_>) -> Poll<Error> {
        Poll::Pending
    }
}

/// The end of a wait, where there is a clock: not without feature `client`, outside a tokio
/// runtime, or in one without timers.
#[derive(Default)]
pub(super) struct Deadline {
    #[cfg(feature = "client")]
    sleep: Option<Pin<Box<Sleep>>>,
}

#[cfg(feature = "client")]
impl Deadline {
    pub(super) fn after(wait: Duration) -> Self {
        // A runtime without timers panics here.
        let sleep = || Box::pin(tokio::time::sleep(wait));
        let runtime = tokio::runtime::Handle::try_current();
        Self { sleep: runtime.ok().and_then(|_| panics::catch(sleep).ok()) }
    }

    /// Polls for the end of the wait; `None` if there is no clock.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        self.sleep.as_mut().map(|sleep| sleep.as_mut().poll(cx))
    }
}

#[cfg(not(feature = "client"))]
#[allow(clippy::needless_pass_by_ref_mut, reason = "with a clock they change it")]
impl Deadline {
    pub(super) fn after(_: Duration) -> Self {
        Self::default()
    }

    pub(super) fn poll(&mut self, _: &mut Context<'_>) -> Option<Poll<()>> {
        None
    }
}
