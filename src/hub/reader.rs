//! [`Reader`]: one consumer of one channel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::event::Gap;

use super::drain::DrainSignal;
use super::gaps::GapReader;
use super::overflow::QueueItem;
use super::readers::Cursor;
use super::ring::{Found, Ring, SleepState};

/// The number of items that a reader takes out of the ring at once. They are its own then, and
/// not overwritten.
pub(super) const MAX_BUFFERED: usize = 64;

/// The next thing in a queue.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Item(T),
    /// The queue was full, and this many items were dropped here.
    Lagged(u64),
    Gap(Gap),
    /// Nothing comes any more.
    Closed,
}

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
    /// A transcript has its gaps among its items, so its log stays empty.
    gaps: GapReader,
    /// Dropped items that were found in the ring, to be returned after the gap before them.
    missed: u64,
    pub(super) cursor: Arc<Cursor>,
    pub(super) drain: Arc<DrainSignal>,
    sleep: SleepState,
    /// The publisher waited for this reader and for no other any more.
    releases_publisher: bool,
}

impl<T: QueueItem> Reader<T> {
    /// `ack`: its number in the tracker, if it acknowledges. Then it takes items one by one: one
    /// that has left the queue counts as taken.
    pub(super) fn new(
        ring: Arc<Ring<T>>,
        gaps: GapReader,
        cursor: Arc<Cursor>,
        drain: Arc<DrainSignal>,
        ack: Option<u64>,
    ) -> Self {
        Self {
            buffer: VecDeque::new(),
            number: ring.join(Arc::clone(&cursor), ack),
            ring,
            max_buffered: if ack.is_some() { 1 } else { MAX_BUFFERED },
            gaps,
            missed: 0,
            cursor,
            drain,
            sleep: SleepState::default(),
            releases_publisher: false,
        }
    }

    /// Waits for the next item or gap.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken unless it is returned.
    #[inline]
    pub(crate) fn poll_take(&mut self, cx: &Context<'_>) -> Poll<Received<T>> {
        self.poll_take_with(cx, Self::take)
    }

    /// Like [`poll_take`](Self::poll_take), with a `take` that calls [`take`](Self::take) in its
    /// own way: under a lock, say. Wakers are called, cloned and dropped outside of it: they
    /// are user code, and may drop something that takes that lock.
    #[inline]
    pub(super) fn poll_take_with(
        &mut self,
        cx: &Context<'_>,
        take: impl FnOnce(&mut Self) -> Option<Received<T>>,
    ) -> Poll<Received<T>> {
        if !self.buffer.is_empty() || self.missed > 0 {
            return self.take_and_report(take).map_or(Poll::Pending, Poll::Ready);
        }
        // Its waker is in place, and nothing has come since.
        if self.sleep.is_left(self.ring.epoch(), cx.waker()) && self.gaps.is_empty() {
            self.drain.report_before_sleep(|| self.left());
            return Poll::Pending;
        }
        self.sleep.prepare(cx.waker());
        let taken = self.take_and_report(take);
        self.sleep.finish(cx.waker());
        taken.map_or(Poll::Pending, Poll::Ready)
    }

    /// Takes what is there without waiting, with a `take` as above. Leaves no waker: only a task
    /// that has polled before is woken by what comes later.
    pub(super) fn try_take_with(&mut self, take: impl FnOnce(&mut Self) -> Option<Received<T>>) -> Option<Received<T>> {
        // A waker that was left in the ring before stays there.
        self.sleep.waker = None;
        self.take_and_report(take)
    }

    /// Takes, then wakes the publisher or a drain if they wait for this reader.
    #[inline]
    fn take_and_report(&mut self, take: impl FnOnce(&mut Self) -> Option<Received<T>>) -> Option<Received<T>> {
        let taken = take(self);
        // Here and not in `take`, which may run under the tracker's lock: the publisher's waker is
        // user code.
        if std::mem::take(&mut self.releases_publisher) {
            self.ring.wake_publisher();
        }
        match taken {
            Some(_) => self.drain.report(|| self.left()),
            None => self.drain.report_before_sleep(|| self.left()),
        }
        taken
    }

    /// Takes what is there. Calls no waker.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Received<T>> {
        if self.drain.is_cut_off() {
            return Some(self.take_cut_off());
        }
        if self.buffer.is_empty() {
            return self.refill();
        }
        match self.gaps.next_held(self.cursor.position()) {
            Some(gap) => Some(Received::Gap(gap)),
            None => self.take_buffered(),
        }
    }

    /// Takes what comes next when a drain has run out of time: no item, but a loss is still
    /// reported.
    #[cold]
    fn take_cut_off(&mut self) -> Received<T> {
        if self.missed > 0 {
            return self.take_missed();
        }
        self.gaps.next(self.cursor.position()).map_or(Received::Closed, Received::Gap)
    }

    /// Takes the first item of the buffer.
    #[inline]
    fn take_buffered(&mut self) -> Option<Received<T>> {
        let item = self.buffer.pop_front()?;
        self.cursor.took();
        Some(Received::Item(item))
    }

    /// Takes what comes next when the buffer is empty, with more items out of the ring if there are
    /// any.
    #[inline(never)]
    fn refill(&mut self) -> Option<Received<T>> {
        if self.missed > 0 {
            return Some(self.take_missed());
        }
        let position = self.cursor.position();
        if let Some(gap) = self.gaps.next(position) {
            return Some(Received::Gap(gap));
        }
        let Self { ring, buffer, gaps, sleep, .. } = self;
        let taken = ring.take(self.number, self.max_buffered, buffer, sleep, |end| gaps.hold(position, end));
        self.releases_publisher = taken.releases_publisher;
        match taken.found {
            Found::Items => return self.take_buffered(),
            Found::Lagged(missed) => {
                // At once, not when it is returned: a drain must not count it as left.
                self.cursor.lagged(missed);
                self.missed = missed;
                return Some(self.take_missed());
            }
            Found::Gap | Found::Closed | Found::Nothing => {}
        }
        // A gap may have been logged after the look above.
        if let Some(gap) = self.gaps.next(position) {
            return Some(Received::Gap(gap));
        }
        (taken.found == Found::Closed).then_some(Received::Closed)
    }

    /// Takes the items that were missed, after the gaps before them.
    fn take_missed(&mut self) -> Received<T> {
        // They count as gone by already.
        let position = self.cursor.position() - self.missed;
        match self.gaps.next(position) {
            Some(gap) => Received::Gap(gap),
            None => Received::Lagged(std::mem::take(&mut self.missed)),
        }
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
