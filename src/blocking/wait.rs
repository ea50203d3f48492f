//! Waits for a future by parking the thread.
//!
//! tokio's `block_on` does not do, because it panics on the threads of a runtime.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::task::coop;

/// Unparks a thread. A call before the thread parks is not lost: the next `park` returns at once.
struct Unparker(Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits as long as it takes.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    poll_and_park(future, thread::park)
}

/// Waits up to `limit`, and polls the future at least once. `None` if it is not ready by then.
pub(super) fn wait_for<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    // A deadline that the clock cannot represent never comes.
    let Some(deadline) = Instant::now().checked_add(limit) else { return Some(wait(future)) };
    let left = || deadline.saturating_duration_since(Instant::now());
    let mut future = pin!(future);
    let in_time = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Pending if left().is_zero() => Poll::Ready(None),
        polled => polled.map(Some),
    });
    poll_and_park(in_time, || thread::park_timeout(left()))
}

/// Polls the future until it is ready. In between it calls `park`, which may wake up by chance.
fn poll_and_park<F: Future>(future: F, park: impl Fn()) -> F::Output {
    // The caller may be a task, whose coop budget would not come back while its thread is parked.
    let mut future = pin!(coop::unconstrained(future));
    let waker = Waker::from(Arc::new(Unparker(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_thread_parks_is_not_lost() {
        let mut polls = 0;
        let ready = wait(poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls < 1_000 { Poll::Pending } else { Poll::Ready(polls) }
        }));
        assert_eq!(ready, 1_000);
    }

    #[test]
    fn a_wait_gives_up_at_its_limit_and_takes_a_ready_output_without_time() {
        assert_eq!(wait_for(Duration::from_millis(1), std::future::pending::<()>()), None);
        assert_eq!(wait_for(Duration::ZERO, std::future::ready(1)), Some(1));
        assert_eq!(wait_for(Duration::MAX, std::future::ready(1)), Some(1));
    }
}
