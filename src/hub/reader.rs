//! [`Reader`]: one cursor in one channel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, broadcast};

use super::relief::Relief;

/// Takes a channel's items in order, each once.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    ring: broadcast::Receiver<T>,
    waker: Arc<Notify>,
    /// Made before the ring was last looked at, so that no wake-up falls between. Boxed once.
    notified: Pin<Box<OwnedNotified>>,
    relief: Arc<Relief>,
    /// Half the capacity: who has caught up to this much holds nobody up.
    half: usize,
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
    pub(super) fn new(ring: broadcast::Receiver<T>, waker: Arc<Notify>, relief: Arc<Relief>, capacity: usize) -> Self {
        let notified = Box::pin(Arc::clone(&waker).notified_owned());
        Self { ring, waker, notified, relief, half: capacity / 2 }
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
            Ok(item) => Taken::Item(item),
            Err(TryRecvError::Lagged(missed)) => Taken::Lagged(missed),
            Err(TryRecvError::Closed) => Taken::Closed,
            Err(TryRecvError::Empty) => {
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
