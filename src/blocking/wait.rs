//! Waits for a future by putting the thread to sleep. Not by tokio's `block_on`, which panics on the threads of a runtime.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::task::coop;

/// Unparks a thread: that is remembered if it is not parked yet, so no wake-up is lost.
struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// For as long as it takes.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    // The budget of a task that this is called in would never come back while it waits.
    let mut future = pin!(coop::unconstrained(future));
    let waker = Waker::from(Arc::new(Sleeper(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        // Wakes by chance, too.
        thread::park();
    }
}

/// For so long; it is polled once in any case. `None` if it is not ready by then.
pub(super) fn wait_for<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    // What no clock can hold is for ever.
    let Some(deadline) = Instant::now().checked_add(limit) else { return Some(wait(future)) };
    let mut future = pin!(coop::unconstrained(future));
    let waker = Waker::from(Arc::new(Sleeper(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return None,
            left => thread::park_timeout(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_that_comes_before_the_thread_sleeps_is_not_lost() {
        let mut polls = 0;
        let ready = wait(std::future::poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls < 1_000 { Poll::Pending } else { Poll::Ready(polls) }
        }));
        assert_eq!(ready, 1_000);
    }

    #[test]
    fn what_is_never_ready_is_given_up_and_what_is_ready_is_taken_without_any_time() {
        assert_eq!(wait_for(Duration::from_millis(1), std::future::pending::<()>()), None);
        assert_eq!(wait_for(Duration::ZERO, std::future::ready(1)), Some(1));
        assert_eq!(wait_for(Duration::MAX, std::future::ready(1)), Some(1));
    }
}
