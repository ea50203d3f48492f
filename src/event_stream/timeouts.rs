//! [`Timeouts`]: how long a stream waits for its response, by tokio's clock. Without feature
//! `client` there is no clock, and nothing limits a wait.

#[cfg(feature = "client")]
use std::pin::Pin;
use std::task::{Context, Poll};
#[cfg(feature = "client")]
use std::time::Duration;

#[cfg(feature = "client")]
use tokio::time::{Instant, Sleep};

use crate::error::Error;
#[cfg(feature = "client")]
use crate::error::{ErrorKind, panics};
#[cfg(feature = "client")]
use crate::response::silence::Silence;

/// How long a stream waits for the end of the body after its end mark. The end comes right behind
/// the mark, or not at all, so a lost packet costs a pooled connection and no more.
#[cfg(feature = "client")]
const MAX_WAIT_FOR_END: Duration = Duration::from_millis(100);

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
        if let Some(first) = &mut self.first_event {
            if first.poll(cx).is_ready() {
                let message = format!("no event came within {:?}, the first-event timeout", first.limit);
                return Poll::Ready(Error::new(ErrorKind::FirstEventTimeout, message));
            }
        }
        if let Some(idle) = &mut self.idle {
            if idle.poll(cx).is_ready() {
                let message = format!("the server was silent for {:?}, the idle timeout", idle.limit);
                return Poll::Ready(Error::new(ErrorKind::IdleTimeout, message));
            }
        }
        Poll::Pending
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

/// The wait for the end of the body after the end mark. Outside a tokio runtime there is none.
#[derive(Default)]
pub(super) struct WaitForEnd {
    #[cfg(feature = "client")]
    sleep: Option<Pin<Box<Sleep>>>,
}

#[cfg(feature = "client")]
impl WaitForEnd {
    pub(super) fn new() -> Self {
        // A runtime without timers panics here. Then the body is not waited for, either.
        let sleep = || Box::pin(tokio::time::sleep(MAX_WAIT_FOR_END));
        let runtime = tokio::runtime::Handle::try_current();
        Self { sleep: runtime.ok().and_then(|_| panics::catch(sleep).ok()) }
    }

    /// Ready when the stream should wait no longer.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().map_or(Poll::Ready(()), |sleep| sleep.as_mut().poll(cx))
    }
}

#[cfg(not(feature = "client"))]
#[allow(clippy::needless_pass_by_ref_mut, reason = "with a clock they change it")]
impl WaitForEnd {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
