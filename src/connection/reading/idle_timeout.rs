//! [`Idle`]: how long the server may be silent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::error::{Error, ErrorKind};

use crate::connection::timer;

/// Coarse: what comes is noted with the clock that its turn has read anyway, and the timer is only touched when
/// it goes off, once in the time that the server may be silent.
pub(in crate::connection) struct Idle {
    timeout: Duration,
    last_heard: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Idle {
    pub(in crate::connection) fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        Self { timeout, last_heard: now, sleep: Box::pin(timer::sleep(now, timeout)) }
    }

    /// The server is not silent, or nobody could hear it.
    pub(in crate::connection) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Ready when nothing has been heard for too long.
    pub(in crate::connection) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            std::task::ready!(self.sleep.as_mut().poll(cx));
            let due = timer::after(self.last_heard, self.timeout);
            if due <= self.sleep.deadline() {
                let message = format!("the server was silent for {:?}", self.timeout);
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
    async fn the_timer_is_not_touched_by_what_comes_and_only_moved_when_it_goes_off() {
        let mut idle = Idle::new(10 * SECOND);
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
