//! [`Relief`]: where a publisher waits, briefly, for readers to catch up.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

/// One publisher waits, any number of readers signal.
#[derive(Debug, Default)]
pub(crate) struct Relief {
    /// Read for each item taken, so that it costs no more than a load when nobody waits.
    awaited: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Relief {
    /// Ready when `is_crowded` no longer holds. It is asked after the waker is in place, so that a
    /// reader which catches up in between is not missed.
    pub(crate) fn poll(&self, waker: &Waker, is_crowded: impl FnOnce() -> bool) -> Poll<()> {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.awaited.store(true, Ordering::SeqCst);
        // The flag before the look at the queues, as in a reader its position before the look at the
        // flag: one sees the other.
        fence(Ordering::SeqCst);
        if is_crowded() {
            return Poll::Pending;
        }
        self.end();
        Poll::Ready(())
    }

    /// Nobody waits any more.
    pub(crate) fn end(&self) {
        self.awaited.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    /// Wakes the publisher, once: it raises the flag again if it has to wait on.
    pub(super) fn signal(&self) {
        if self.awaited.swap(false, Ordering::SeqCst) {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Called without the lock: whose task it is is not our business.
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
