//! [`Reader`]: one consumer of one channel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::event::Delivery;

use super::drain::DrainSignal;
use super::overflow::QueueItem;
use super::readers::Cursor;
use super::ring::{Ring, SleepState, Taken};

/// The number of items that a reader takes out of the ring at once. They are its own then, and
/// not overwritten.
pub(super) const MAX_BUFFERED: usize = 64;

/// Takes the items of a channel in order, each once, with the gaps in their places.
///
/// # Drop behavior
///
/// Leaves the channel. The publisher stops waiting for this reader.
#[derive(Debug)]
pub(crate) struct Reader<T: QueueItem> {
    /// Taken out of the ring, and not yet returned.
    buffer: VecDeque<T>,
    ring: Arc<Ring<T>>,
    /// Its number in the ring.
    number: usize,
    max_buffered: usize,
    pub(super) cursor: Arc<Cursor>,
    pub(super) drain: Arc<DrainSignal>,
    sleep: SleepState,
    /// This reader was the last that the publisher waited for.
    releases_publisher: bool,
}

impl<T: QueueItem> Reader<T> {
    /// `ack`: its number in the tracker, if it acknowledges. Then it takes items one by one: one
    /// that has left the queue counts as taken.
    pub(super) fn new(ring: Arc<Ring<T>>, name: Arc<str>, drain: Arc<DrainSignal>, ack: Option<u64>) -> Self {
        let (number, cursor) = ring.join(name, ack);
        Self {
            buffer: VecDeque::new(),
            ring,
            number,
            max_buffered: if ack.is_some() { 1 } else { MAX_BUFFERED },
            cursor,
            drain,
            sleep: SleepState::default(),
            releases_publisher: false,
        }
    }

    /// Takes the next item that has already left the ring, if there is one.
    #[inline]
    pub(super) fn take_buffered(&mut self) -> Option<T> {
        if self.drain.is_cut_off() {
            return None;
        }
        let item = self.buffer.pop_front()?;
        self.cursor.took();
        self.drain.report(&self.cursor, || self.left());
        Some(item)
    }

    /// Waits for the next item or gap.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken unless it is returned.
    #[inline]
    pub(crate) fn poll_take(&mut self, cx: &Context<'_>) -> Poll<Option<Delivery<T>>> {
        self.poll_take_with(cx, Self::take)
    }

    /// Takes the next item or gap if there is one, without waiting: see
    /// [`try_take_with`](Self::try_take_with).
    pub(crate) fn try_take(&mut self) -> Poll<Option<Delivery<T>>> {
        self.try_take_with(Self::take)
    }

    /// Like [`poll_take`](Self::poll_take), with a `take` that calls [`take`](Self::take) in its
    /// own way: under a lock, say. Wakers are called, cloned and dropped outside of it: they
    /// are user code, and may drop something that takes that lock.
    #[inline]
    pub(super) fn poll_take_with(
        &mut self,
        cx: &Context<'_>,
        take: impl FnOnce(&mut Self) -> Poll<Option<Delivery<T>>>,
    ) -> Poll<Option<Delivery<T>>> {
        if !self.buffer.is_empty() {
            return self.take_and_report(take);
        }
        // Its waker is in place, and nothing has come since.
        if self.sleep.is_left(self.ring.epoch(), cx.waker()) {
            self.drain.report_before_sleep(&self.cursor, || self.left());
            return Poll::Pending;
        }
        self.sleep.prepare(cx.waker());
        let taken = self.take_and_report(take);
        self.sleep.finish(cx.waker());
        taken
    }

    /// Takes what is there without waiting, with a `take` as above. Leaves no waker: only a task
    /// that has polled before is woken by what comes later.
    pub(super) fn try_take_with(
        &mut self,
        take: impl FnOnce(&mut Self) -> Poll<Option<Delivery<T>>>,
    ) -> Poll<Option<Delivery<T>>> {
        // A waker that was left in the ring before stays there.
        self.sleep.waker = None;
        self.take_and_report(take)
    }

    /// Takes, then wakes the publisher or a drain if they wait for this reader.
    #[inline]
    fn take_and_report(
        &mut self,
        take: impl FnOnce(&mut Self) -> Poll<Option<Delivery<T>>>,
    ) -> Poll<Option<Delivery<T>>> {
        let taken = take(self);
        // Here and not in `take`, which may run under the tracker's lock: the publisher's waker is
        // user code.
        if std::mem::take(&mut self.releases_publisher) {
            self.ring.wake_publisher();
        }
        if taken.is_ready() {
            self.drain.report(&self.cursor, || self.left());
        } else {
            self.drain.report_before_sleep(&self.cursor, || self.left());
        }
        taken
    }

    /// Takes what is there. Calls no waker.
    #[inline]
    pub(super) fn take(&mut self) -> Poll<Option<Delivery<T>>> {
        if self.drain.is_cut_off() {
            return self.take_cut_off();
        }
        let Some(item) = self.buffer.pop_front() else { return self.refill(self.max_buffered) };
        self.cursor.took();
        Poll::Ready(Some(Delivery::Event(item)))
    }

    /// Takes what comes next when a drain has run out of time: no item, but a loss is still
    /// reported.
    #[cold]
    fn take_cut_off(&mut self) -> Poll<Option<Delivery<T>>> {
        // A gap in the ring stands after the items in the buffer, which are not taken any more.
        let next = self.refill(0);
        if next.is_ready() { next } else { Poll::Ready(None) }
    }

    /// Takes what comes next when the buffer is empty, with up to `limit` items out of the ring if
    /// there are any.
    #[inline(never)]
    fn refill(&mut self, limit: usize) -> Poll<Option<Delivery<T>>> {
        let Taken { next, releases_publisher } = self.ring.take(self.number, limit, &mut self.buffer, &mut self.sleep);
        self.releases_publisher = releases_publisher;
        next
    }

    /// Returns the name of the subscription or transcript.
    pub(crate) fn name(&self) -> &str {
        &self.cursor.name
    }

    /// Returns how many items there are to take.
    pub(super) fn left(&self) -> u64 {
        self.buffer.len() as u64 + self.ring.unread(self.number)
    }
}

impl<T: QueueItem> Drop for Reader<T> {
    fn drop(&mut self) {
        self.cursor.end_at(self.cursor.position() + self.left(), 0);
        // After the position is final, so that a drain sees how much was left.
        self.ring.leave(self.number);
        self.cursor.leave();
        self.drain.reader_done();
    }
}
