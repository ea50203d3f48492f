//! [`Relief`]: where a publisher waits, briefly, for readers to catch up, and who shuts down for them to finish.

use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

/// One publisher waits, any number of readers signal.
#[derive(Debug, Default)]
pub(crate) struct Relief {
    /// Read for each item taken, so that it costs no more than a load when nobody waits.
    wanted: AtomicU8,
    waker: Mutex<Option<Waker>>,
    /// A reader of a hub that is drained has taken everything, or is gone.
    finished: Notify,
}

/// By then what one thread has stored is seen by every other.
const MOMENT: Duration = Duration::from_millis(1);

/// The publisher waits for readers to catch up.
const ROOM: u8 = 1;
/// Somebody waits for readers to take everything.
const DRAINED: u8 = 2;
/// Readers are to take nothing more.
const CUT: u8 = 4;

impl Relief {
    /// Ready when `is_crowded` no longer holds. It is asked after the waker is in place, so that a
    /// reader which catches up in between is not missed.
    pub(crate) fn poll(&self, waker: &Waker, is_crowded: impl FnOnce() -> bool) -> Poll<()> {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.wanted.fetch_or(ROOM, Ordering::SeqCst);
        // The flag before the look at the queues, as in a reader its position before the look at the
        // flag: one sees the other.
        fence(Ordering::SeqCst);
        if is_crowded() {
            return Poll::Pending;
        }
        self.end();
        Poll::Ready(())
    }

    /// Nobody waits for room any more.
    pub(crate) fn end(&self) {
        self.wanted.fetch_and(!ROOM, Ordering::SeqCst);
    }

    /// Whether anything at all is wanted of readers: then one looks closer.
    #[inline]
    pub(super) fn is_awaited(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    /// Wakes the publisher, once: it raises the flag again if it has to wait on.
    pub(super) fn signal(&self) {
        if self.wanted.fetch_and(!ROOM, Ordering::SeqCst) & ROOM != 0 {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Called without the lock: whose task it is is not our business.
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Waits until `is_drained`; it is asked whenever a reader has finished.
    pub(super) async fn drained(&self, is_drained: impl Fn() -> bool) {
        self.wanted.fetch_or(DRAINED, Ordering::SeqCst);
        // As in `poll`: the flag before the look.
        fence(Ordering::SeqCst);
        // A reader has a fence only where it finds nothing: one for each item would be dear. So what it takes in
        // the very moment in which the flag is raised may miss the look, and the flag the reader. Once more.
        let mut again = Some(std::pin::pin!(tokio::time::sleep(MOMENT)));
        loop {
            let mut finished = std::pin::pin!(self.finished.notified());
            // In line before the look, so that nobody finishes in between.
            finished.as_mut().enable();
            if is_drained() {
                return;
            }
            match &mut again {
                None => finished.await,
                Some(sleep) => tokio::select! {
                    () = finished => {}
                    () = sleep.as_mut() => again = None,
                },
            }
        }
    }

    /// A reader has taken everything, or is gone.
    pub(super) fn finished(&self) {
        self.finished.notify_waiters();
    }

    /// From now on readers take nothing more.
    pub(super) fn cut_off(&self) {
        self.wanted.fetch_or(CUT, Ordering::SeqCst);
    }

    /// As if nobody had ever asked.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.wanted.store(0, Ordering::SeqCst);
    }

    #[inline]
    pub(super) fn is_cut(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) & CUT != 0
    }
}
