//! [`Silence`]: a timer for how long a server may be silent; and [`within`], a limit for a future.
//!
//! A process may be stopped, or a thread of its runtime be blocked, for longer than such a limit.
//! The runtime then finds the timer due while bytes wait in the socket, and it may poll the timer's
//! task before they are read: over HTTP/2 another task reads them. So a timer that is due proves no
//! silence. The runtime must have had the time to read what has come.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep};

/// How often a timer that is due looks again whether bytes have come, and the pause before each
/// look. A runtime asks its sockets before its timers, so after one pause it knows what has come,
/// and after another the task that reads it has run.
const LOOKS: u32 = 2;
const PAUSE: Duration = Duration::from_millis(20);

/// How long a server has been silent.
///
/// Costs nothing per chunk: a turn notes the time that it has read anyway, and the timer is moved
/// only when it goes off.
pub(crate) struct Silence {
    limit: Duration,
    last_heard: Instant,
    sleep: Pin<Box<Sleep>>,
    /// Looks since the timer was due.
    looks: u32,
}

impl Silence {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, last_heard: Instant::now(), sleep: Box::pin(tokio::time::sleep(limit)), looks: 0 }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Starts the silence anew: bytes have come, or the task was not listening until `now`.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Ready when the server has been silent for too long. To be polled after the source of its
    /// bytes, in the same poll of the task.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Without the coop budget, which a server can use up each time with bytes that mean
            // nothing.
            ready!(pin!(coop::unconstrained(self.sleep.as_mut())).poll(cx));
            let now = Instant::now();
            if let Some(due) = self.last_heard.checked_add(self.limit).filter(|&due| due > now) {
                self.looks = 0;
                self.sleep.as_mut().reset(due);
            } else if self.looks < LOOKS {
                self.looks += 1;
                self.sleep.as_mut().reset(now + PAUSE);
            } else {
                return Poll::Ready(());
            }
        }
    }
}

/// Waits for `future`, no longer than `limit` if there is one; `None` when the time is over.
///
/// # Cancel safety
///
/// As `future`.
pub(crate) async fn within<T>(limit: impl Into<Option<Duration>>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut silence = limit.into().map(Silence::new);
    poll_fn(|cx| match (future.as_mut().poll(cx), &mut silence) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, Some(silence)) => silence.poll(cx).map(|()| None),
        (Poll::Pending, None) => Poll::Pending,
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_timer_is_moved_only_when_it_goes_off() {
        let mut silence = Silence::new(10 * SECOND);
        let (begun, first) = (Instant::now(), silence.sleep.deadline());
        for _second in 1..=9 {
            tokio::time::advance(SECOND).await;
            silence.heard(Instant::now());
            assert!(tokio_test::task::spawn(poll_fn(|cx| silence.poll(cx))).poll().is_pending());
            assert_eq!(silence.sleep.deadline(), first);
        }
        tokio::time::advance(SECOND).await;
        assert!(tokio_test::task::spawn(poll_fn(|cx| silence.poll(cx))).poll().is_pending());
        assert_eq!(silence.sleep.deadline(), begun + 19 * SECOND);
        poll_fn(|cx| silence.poll(cx)).await;
        assert_eq!(begun.elapsed(), 19 * SECOND + LOOKS * PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_are_seen_after_the_timer_was_due_end_the_silence() {
        let mut silence = Silence::new(SECOND);
        // The process was stopped.
        tokio::time::advance(60 * SECOND).await;
        for _look in 1..=LOOKS {
            assert!(tokio_test::task::spawn(poll_fn(|cx| silence.poll(cx))).poll().is_pending());
            tokio::time::advance(PAUSE).await;
        }
        silence.heard(Instant::now());
        let heard = Instant::now();
        poll_fn(|cx| silence.poll(cx)).await;
        assert_eq!(heard.elapsed(), SECOND + LOOKS * PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_is_waited_for_up_to_its_limit_or_without_one() {
        let hour = || tokio::time::sleep(3600 * SECOND);
        assert_eq!(within(SECOND, hour()).await, None);
        assert_eq!(within(7200 * SECOND, hour()).await, Some(()));
        assert_eq!(within(None, hour()).await, Some(()));
    }
}
