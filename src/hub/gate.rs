//! [`Gate`]: where the publisher waits for readers whose queues are full.

use std::sync::PoisonError;
use std::task::{Poll, Waker};

use super::sync::Mutex;
use super::sync::atomic::{AtomicUsize, Ordering};

/// One publisher waits, and is woken once: by the last of the readers that it waits for.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Changed under the lock of the ring whose reader it counts, so that none is counted twice or let go twice.
    waited: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    /// The publisher waits for so many readers more.
    pub(super) fn hold(&self, readers: usize) {
        self.waited.fetch_add(readers, Ordering::AcqRel);
    }

    /// So many are waited for no more. True if those were the last: then [`wake`](Self::wake), without any lock.
    #[must_use]
    pub(super) fn let_go(&self, readers: usize) -> bool {
        readers > 0 && self.waited.fetch_sub(readers, Ordering::AcqRel) == readers
    }

    /// Whether anybody is waited for.
    pub(super) fn is_closed(&self) -> bool {
        self.waited.load(Ordering::Acquire) > 0
    }

    /// Ready when nobody is waited for. The waker is in place before the look: whoever is the last after it finds it.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<()> {
        let replaced = self.swap(Some(waker.clone()));
        drop(replaced);
        if self.is_closed() { Poll::Pending } else { Poll::Ready(()) }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.take() {
            waker.wake();
        }
    }

    /// The publisher's waker, to be called without any lock.
    pub(super) fn take(&self) -> Option<Waker> {
        self.swap(None)
    }

    /// Wakers are neither cloned, called nor dropped under the lock: whose they are is not our business.
    fn swap(&self, waker: Option<Waker>) -> Option<Waker> {
        let mut slot = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *slot, waker)
    }
}
