//! [`Reader`]: one consumer of one channel, with a [`Cursor`] that the publisher can see.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::task::{Context, Poll};

use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, broadcast};

use super::relief::Relief;

/// Takes a channel's items in order, each once.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    ring: broadcast::Receiver<T>,
    cursor: Arc<Cursor>,
    waker: Arc<Notify>,
    /// Made before the ring was last looked at, so that no wake-up falls between. Boxed once.
    notified: Pin<Box<OwnedNotified>>,
    relief: Arc<Relief>,
    /// Half the capacity: who has caught up to this much holds nobody up.
    half: usize,
}

/// How far a reader has come. It alone moves it; the publisher looks, and once a turn is enough.
#[derive(Debug)]
pub(super) struct Cursor {
    position: AtomicU64,
}

impl Cursor {
    pub(super) fn at(position: u64) -> Self {
        Self { position: AtomicU64::new(position) }
    }

    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// A load and a store: there is one writer.
    fn advance(&self, items: u64) {
        self.position.store(self.position.load(Ordering::Relaxed) + items, Ordering::Release);
    }
}

/// What comes next in a channel.
#[derive(Debug)]
pub(crate) enum Taken<T> {
    Item(T),
    /// So many were dropped here: the ring has gone round.
    Lagged(u64),
    /// Nothing comes any more.
    Closed,
}

impl<T: Clone> Reader<T> {
    pub(super) fn new(
        ring: broadcast::Receiver<T>,
        cursor: Arc<Cursor>,
        waker: Arc<Notify>,
        relief: Arc<Relief>,
        capacity: usize,
    ) -> Self {
        let notified = Box::pin(Arc::clone(&waker).notified_owned());
        Self { ring, cursor, waker, notified, relief, half: capacity / 2 }
    }

    /// How many items of the channel have gone by, taken or missed.
    pub(crate) fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// # Cancel safety
    ///
    /// Nothing is taken unless it is returned.
    #[inline]
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Taken<T>> {
        loop {
            if let Some(taken) = self.try_take() {
                return Poll::Ready(taken);
            }
            std::task::ready!(self.notified.as_mut().poll(cx));
            self.notified.set(Arc::clone(&self.waker).notified_owned());
        }
    }

    /// What is there without waiting.
    #[inline]
    fn try_take(&mut self) -> Option<Taken<T>> {
        let taken = match self.ring.try_recv() {
            Ok(item) => {
                self.cursor.advance(1);
                Taken::Item(item)
            }
            Err(TryRecvError::Lagged(missed)) => {
                self.cursor.advance(missed);
                Taken::Lagged(missed)
            }
            Err(TryRecvError::Closed) => Taken::Closed,
            Err(TryRecvError::Empty) => {
                // The last word of a reader that has caught up must not be missed: its position is
                // stored before the look, as the publisher's flag is before its own.
                fence(Ordering::SeqCst);
                self.relieve();
                return None;
            }
        };
        self.relieve();
        Some(taken)
    }

    /// Tells a waiting publisher, once this reader has caught up.
    #[inline]
    fn relieve(&self) {
        if self.relief.is_awaited() && self.ring.len() <= self.half {
            self.relief.signal();
        }
    }
}
