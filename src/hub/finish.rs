//! [`DrainSignal`]: where who shuts down waits for readers to take everything.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};
use std::time::Duration;

use tokio::sync::Notify;

/// Readers tell when they have taken everything, if somebody wants to know.
#[derive(Debug, Default)]
pub(crate) struct DrainSignal {
    /// Read for each item taken, so that it costs no more than a load when nobody waits.
    wanted: AtomicU8,
    /// How often somebody has said that there is no time left.
    hurries: AtomicUsize,
    /// A reader of a hub that is drained has taken everything, or is gone.
    finished: Notify,
}

/// By then what one thread has stored is seen by every other.
const MOMENT: Duration = Duration::from_millis(1);

/// Somebody waits for readers to take everything.
const DRAINED: u8 = 1;
/// Readers are to take nothing more.
const CUT: u8 = 2;

impl DrainSignal {
    /// Whether anything at all is wanted of readers: then one looks closer.
    #[inline]
    pub(super) fn is_awaited(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    /// Waits until `is_drained`, which is asked whenever a reader has finished, or until readers are cut off. False if
    /// there is no time left: more hurries than there were.
    pub(super) async fn drained(&self, hurries: usize, is_drained: impl Fn() -> bool) -> bool {
        self.wanted.fetch_or(DRAINED, Ordering::SeqCst);
        // The flag before the look at the queues, as in a reader its position before the look at the
        // flag: one sees the other.
        fence(Ordering::SeqCst);
        // A reader has a fence only where it finds nothing: one for each item would be dear. So what it takes in
        // the very moment in which the flag is raised may miss the look, and the flag the reader. Once more.
        let mut again = Some(std::pin::pin!(tokio::time::sleep(MOMENT)));
        loop {
            let mut finished = std::pin::pin!(self.finished.notified());
            // In line before the look, so that nobody finishes in between.
            finished.as_mut().enable();
            if is_drained() || self.is_cut() {
                return true;
            }
            if self.hurries() != hurries {
                return false;
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

    /// Whoever waits for readers has no time left.
    pub(super) fn hurry(&self) {
        self.hurries.fetch_add(1, Ordering::AcqRel);
        self.finished();
    }

    pub(super) fn hurries(&self) -> usize {
        self.hurries.load(Ordering::Acquire)
    }

    /// From now on readers take nothing more, and nobody waits for them.
    pub(super) fn cut_off(&self) {
        self.wanted.fetch_or(CUT, Ordering::SeqCst);
        self.finished();
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
