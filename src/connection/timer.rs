//! Waits of any length, and [`IdleTimeout`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::error::{Error, ErrorKind};

/// A delay that stands for all that no clock can hold.
const FAR_AWAY: Duration = Duration::from_secs(u32::MAX as u64);

/// Returns a timer that goes off `delay` after `now`.
pub(super) fn sleep(now: Instant, delay: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep_until(after(now, delay)))
}

/// Returns the instant `delay` after `now`, or one that is far away if no clock can hold it.
pub(crate) fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or_else(|| far_away(now))
}

/// Returns an instant that is not reached while the program runs.
pub(super) fn far_away(now: Instant) -> Instant {
    now + FAR_AWAY
}

/// How long the server may be silent before its response counts as dead.
///
/// Costs nothing per chunk: a turn notes the time that it has read anyway, and the timer is moved
/// only when it goes off.
pub(super) struct IdleTimeout {
    timeout: Duration,
    last_heard: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl IdleTimeout {
    pub(super) fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        Self { timeout, last_heard: now, sleep: sleep(now, timeout) }
    }

    /// Starts the silence anew: bytes have come, or the task was not listening until `now`.
    pub(super) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Ready with the failure when the server has been silent for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let due = after(self.last_heard, self.timeout);
            if due <= self.sleep.deadline() {
                let message = format!("the server was silent for {:?}, the idle timeout", self.timeout);
                return Poll::Ready(Error::new(ErrorKind::IdleTimeout, message));
            }
            self.sleep.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_timer_is_moved_only_when_it_goes_off() {
        let mut idle = IdleTimeout::new(10 * SECOND);
        let (begun, first) = (Instant::now(), idle.sleep.deadline());
        for _second in 1..=9 {
            tokio::time::advance(SECOND).await;
            idle.heard(Instant::now());
            assert!(tokio_test::task::spawn(poll_fn(|cx| idle.poll(cx))).poll().is_pending());
            assert_eq!(idle.sleep.deadline(), first);
        }
        tokio::time::advance(SECOND).await;
        assert!(tokio_test::task::spawn(poll_fn(|cx| idle.poll(cx))).poll().is_pending());
        assert_eq!(idle.sleep.deadline(), begun + 19 * SECOND);
        let error = poll_fn(|cx| idle.poll(cx)).await;
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::IdleTimeout, 19));
    }
}
