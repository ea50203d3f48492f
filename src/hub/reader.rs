//! [`Reader`]: one consumer of one channel, with a [`Cursor`] that the publisher can see.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::delivery::Gap;

use super::gaps::GapReader;
use super::relief::Relief;
use super::ring::{Found, Ring};

/// Takes a channel's items in order, each once.
#[derive(Debug)]
pub(crate) struct Reader<T: Clone> {
    /// Out of the ring, and not yet taken.
    buffer: VecDeque<T>,
    ring: Arc<Ring<T>>,
    /// How far the ring has been read.
    next: u64,
    /// How many items are moved into the buffer at once.
    batch: usize,
    /// None ever come in a transcript, which has them among its items.
    gaps: GapReader,
    cursor: Arc<Cursor>,
    waker: Arc<Notify>,
    /// Made before the ring was last looked at, so that no wake-up falls between. Boxed once.
    notified: Pin<Box<OwnedNotified>>,
    relief: Arc<Relief>,
    /// Half the capacity: who has caught up to this much holds nobody up.
    half: u64,
}

/// How far a reader has come. It alone moves it; the publisher looks, and once a turn is enough.
#[derive(Debug)]
pub(super) struct Cursor {
    taken: AtomicU64,
    /// How many of the items up to here it missed.
    missed: AtomicU64,
    /// How far it has read the ring.
    fetched: AtomicU64,
    /// Where its channel ended, or what it could have taken when it was dropped; [`OPEN`] before.
    end: AtomicU64,
    gone: AtomicBool,
}

/// No channel gets that far.
const OPEN: u64 = u64::MAX;

impl Cursor {
    pub(super) fn at(position: u64) -> Self {
        let [taken, fetched] = [position, position].map(AtomicU64::new);
        Self { taken, missed: AtomicU64::new(0), fetched, end: AtomicU64::new(OPEN), gone: AtomicBool::new(false) }
    }

    pub(super) fn position(&self) -> u64 {
        self.taken() + self.missed.load(Ordering::Acquire)
    }

    /// How many items it could take of a ring that holds so many at most, up to `end`.
    pub(super) fn lag(&self, end: u64, capacity: u64) -> u64 {
        // In this order: it may move meanwhile.
        let position = self.position();
        let fetched = self.fetched.load(Ordering::Acquire);
        fetched.saturating_sub(position) + end.saturating_sub(fetched).min(capacity)
    }

    /// How many items it has taken, counted from where it began.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// Nothing comes after `end`. The first to say so is right.
    pub(super) fn end_at(&self, end: u64) {
        let _ = self.end.compare_exchange(OPEN, end, Ordering::AcqRel, Ordering::Acquire);
    }

    /// How many items there are still to take; `None` while more can come.
    pub(super) fn left(&self) -> Option<u64> {
        let end = self.end.load(Ordering::Acquire);
        (end != OPEN).then(|| end.saturating_sub(self.position()))
    }

    /// The reader was dropped.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// A load and a store: there is one writer.
    fn took(&self) {
        self.taken.store(self.taken.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    fn lagged(&self, items: u64) {
        self.missed.store(self.missed.load(Ordering::Relaxed) + items, Ordering::Release);
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
        ring: Arc<Ring<T>>,
        batch: usize,
        gaps: GapReader,
        cursor: Arc<Cursor>,
        waker: Arc<Notify>,
        relief: Arc<Relief>,
        capacity: usize,
    ) -> Self {
        let notified = Box::pin(Arc::clone(&waker).notified_owned());
        let next = ring.join();
        let (buffer, half) = (VecDeque::new(), capacity as u64 / 2);
        Self { buffer, ring, next, batch, gaps, cursor, waker, notified, relief, half }
    }

    /// The next gap that stands before the item at `position`.
    #[inline]
    pub(crate) fn next_gap(&mut self, position: u64) -> Option<Gap> {
        self.gaps.next(position)
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
        self.poll_take_with(cx, Self::try_take)
    }

    /// The same, by a `take` that has its own way of calling [`try_take`](Self::try_take): under a lock, say.
    /// Wakers are called outside of it: they are users' code, and may drop what takes that lock.
    #[inline]
    pub(crate) fn poll_take_with(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut Self) -> Option<Taken<T>>,
    ) -> Poll<Taken<T>> {
        loop {
            let taken = take(self);
            if taken.is_none() {
                // The last word of a reader that has caught up must not be missed: its position is
                // stored before the look, as the publisher's flag is before its own.
                fence(Ordering::SeqCst);
            }
            self.relieve();
            if let Some(taken) = taken {
                return Poll::Ready(taken);
            }
            std::task::ready!(self.notified.as_mut().poll(cx));
            self.notified.set(Arc::clone(&self.waker).notified_owned());
        }
    }

    /// What is there without waiting. Calls no waker.
    #[inline]
    pub(crate) fn try_take(&mut self) -> Option<Taken<T>> {
        if self.relief.is_cut() {
            return Some(Taken::Closed);
        }
        match self.buffer.pop_front() {
            Some(item) => Some(self.advance(item)),
            None => self.refill(),
        }
    }

    #[inline]
    fn advance(&self, item: T) -> Taken<T> {
        self.cursor.took();
        Taken::Item(item)
    }

    #[inline(never)]
    fn refill(&mut self) -> Option<Taken<T>> {
        let gaps = &mut self.gaps;
        let taking = |end| gaps.hold(end);
        let found = self.ring.take(&mut self.next, self.batch, &mut self.buffer, taking);
        self.cursor.fetched.store(self.next, Ordering::Release);
        match found {
            Found::Items => self.buffer.pop_front().map(|item| self.advance(item)),
            Found::Lagged(missed) => {
                self.cursor.lagged(missed);
                Some(Taken::Lagged(missed))
            }
            Found::Closed => Some(Taken::Closed),
            Found::Nothing => None,
        }
    }

    /// How many items there are to take.
    fn left(&self) -> u64 {
        self.buffer.len() as u64 + self.ring.unread(self.next)
    }

    /// Tells who waits for it, once this reader has caught up.
    #[inline]
    fn relieve(&self) {
        if self.relief.is_awaited() {
            self.report();
        }
    }

    #[cold]
    fn report(&self) {
        // What was dropped counts until it is noticed: such a reader has not caught up.
        let left = self.ring.end().saturating_sub(self.cursor.position());
        if left <= self.half {
            self.relief.signal();
        }
        if left == 0 {
            self.relief.finished();
        }
    }
}

impl<T: Clone> Drop for Reader<T> {
    fn drop(&mut self) {
        self.cursor.end_at(self.cursor.position() + self.left());
        self.ring.leave(self.next);
        self.cursor.gone.store(true, Ordering::Release);
        self.relief.finished();
    }
}
