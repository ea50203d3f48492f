//! [`Reader`]: one consumer of one channel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, Waker};

use crate::event::Gap;

use super::cursor::Cursor;
use super::finish::DrainSignal;
use super::gaps::GapReader;
use super::gate::Gate;
use super::limits::Weigh;
use super::ring::{Found, Reading, Ring};

/// How many items a reader takes out of the ring at once. They are in its hands then, and no longer overwritten;
/// what must be acknowledged is taken one by one.
pub(super) const READ_AT_ONCE: usize = 64;

/// Takes a channel's items in order, each once.
#[derive(Debug)]
pub(crate) struct Reader<T: Clone + Weigh> {
    /// Out of the ring, and not yet taken.
    buffer: VecDeque<T>,
    ring: Arc<Ring<T>>,
    seat: usize,
    /// How many items are moved into the buffer at once.
    batch: usize,
    /// None ever come in a transcript, which has them among its items.
    gaps: GapReader,
    cursor: Arc<Cursor>,
    gate: Arc<Gate>,
    finish: Arc<DrainSignal>,
    sleep: Sleep,
    /// The publisher waited for this reader, and for no other any more.
    is_last: bool,
}

/// A reader's waker, here or in the ring.
#[derive(Debug, Default)]
struct Sleep {
    /// To be left in the ring.
    waker: Option<Waker>,
    /// The ring's epoch when it was left there, and whose it is.
    left: Option<(u64, Whose)>,
    epoch: Option<u64>,
}

/// Tells wakers apart as [`Waker::will_wake`] does, without holding one: while it is in the ring nothing else can have
/// its address.
type Whose = (usize, usize);

fn whose(waker: &Waker) -> Whose {
    (waker.data() as usize, std::ptr::from_ref(waker.vtable()) as usize)
}

impl Sleep {
    fn prepare(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|ours| ours.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// After a read: what is in `waker` now is what was in the ring, if the other was left there.
    fn settle(&mut self, waker: &Waker) {
        if let Some(epoch) = self.epoch.take() {
            self.waker = None;
            self.left = Some((epoch, whose(waker)));
        }
    }
}

/// What comes next in a channel.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Item(T),
    /// So many were dropped here: the queue was full.
    Lagged(u64),
    /// From a queue that has its gaps in it.
    Gap(Gap),
    /// Nothing comes any more.
    Closed,
}

impl<T: Clone + Weigh> Reader<T> {
    pub(super) fn new(
        ring: Arc<Ring<T>>,
        batch: usize,
        gaps: GapReader,
        cursor: Arc<Cursor>,
        gate: Arc<Gate>,
        finish: Arc<DrainSignal>,
    ) -> Self {
        let seat = ring.join(Arc::clone(&cursor));
        let (buffer, sleep) = (VecDeque::new(), Sleep::default());
        Self { buffer, ring, seat, batch, gaps, cursor, gate, finish, sleep, is_last: false }
    }

    /// The next gap that stands before the item at `position`.
    #[inline]
    pub(crate) fn next_gap(&mut self, position: u64) -> Option<Gap> {
        self.gaps.next(position)
    }

    /// See [`Cursor::keep`].
    pub(super) fn keep(&self, events: u64) {
        self.cursor.keep(events);
    }

    /// See [`Cursor::took_beside`].
    pub(super) fn took_beside(&self) {
        self.cursor.took_beside();
        self.relieve();
    }

    /// Nothing more is to be taken.
    pub(super) fn is_cut(&self) -> bool {
        self.finish.is_cut()
    }

    /// How many items of the channel have gone by, taken or missed.
    pub(crate) fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// How many items can be taken without waiting.
    pub(crate) fn queued(&self) -> u64 {
        if self.finish.is_cut() { 0 } else { self.left() }
    }

    /// # Cancel safety
    ///
    /// Nothing is taken unless it is returned.
    #[inline]
    pub(crate) fn poll_take(&mut self, cx: &Context<'_>) -> Poll<Received<T>> {
        self.poll_take_with(cx, Self::take)
    }

    /// The same, by a `take` that has its own way of calling [`take`](Self::take): under a lock, say. Wakers are
    /// called, cloned and dropped outside of it: they are users' code, and may drop what takes that lock.
    #[inline]
    pub(crate) fn poll_take_with(
        &mut self,
        cx: &Context<'_>,
        take: impl FnOnce(&mut Self) -> Option<Received<T>>,
    ) -> Poll<Received<T>> {
        if !self.buffer.is_empty() {
            return self.taken(take).map_or(Poll::Pending, Poll::Ready);
        }
        // Nothing has come since it found nothing, or took the last, and its waker is in place.
        if self.sleep.left == Some((self.ring.epoch(), whose(cx.waker()))) {
            self.relieve_before_sleep();
            return Poll::Pending;
        }
        self.sleep.prepare(cx.waker());
        let taken = self.taken(take);
        self.sleep.settle(cx.waker());
        taken.map_or(Poll::Pending, Poll::Ready)
    }

    /// What is there without waiting, by a `take` as above. Leaves no waker: what comes later wakes only whoever has
    /// waited before.
    pub(crate) fn try_take_with(&mut self, take: impl FnOnce(&mut Self) -> Option<Received<T>>) -> Option<Received<T>> {
        // None to be left: one that was left before stays in place.
        self.sleep.waker = None;
        self.taken(take)
    }

    #[inline]
    fn taken(&mut self, take: impl FnOnce(&mut Self) -> Option<Received<T>>) -> Option<Received<T>> {
        let taken = take(self);
        if std::mem::take(&mut self.is_last) {
            self.gate.wake();
        }
        match taken {
            Some(_) => self.relieve(),
            None => self.relieve_before_sleep(),
        }
        taken
    }

    /// What is there. Calls no waker.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Received<T>> {
        if self.finish.is_cut() {
            return Some(Received::Closed);
        }
        match self.buffer.pop_front() {
            Some(item) => Some(self.advance(item)),
            None => self.refill(),
        }
    }

    #[inline]
    fn advance(&self, item: T) -> Received<T> {
        self.cursor.took();
        Received::Item(item)
    }

    #[inline(never)]
    fn refill(&mut self) -> Option<Received<T>> {
        let gaps = &mut self.gaps;
        let Sleep { waker, epoch, .. } = &mut self.sleep;
        let reading = Reading { seat: self.seat, most: self.batch, buffer: &mut self.buffer, waker, asleep: epoch };
        let (found, next, is_last) = self.ring.take(reading, |end| gaps.hold(end));
        self.is_last = is_last;
        self.cursor.fetched(next);
        match found {
            Found::Items => self.buffer.pop_front().map(|item| self.advance(item)),
            Found::Lagged(missed) => {
                self.cursor.lagged(missed);
                Some(Received::Lagged(missed))
            }
            Found::Closed => Some(Received::Closed),
            Found::Nothing => None,
        }
    }

    /// How many items there are to take.
    fn left(&self) -> u64 {
        self.buffer.len() as u64 + self.ring.unread(self.seat)
    }

    /// Tells who waits for it, once this reader has taken everything.
    #[inline]
    fn relieve(&self) {
        if self.finish.is_awaited() && self.left() == 0 {
            self.finish.finished();
        }
    }

    /// Whoever waits for a drain must not miss that this reader has caught up: it stores its position before it looks
    /// at the flag, and they raise the flag before they look at positions, so that one sees the other.
    fn relieve_before_sleep(&self) {
        fence(Ordering::SeqCst);
        self.relieve();
    }
}

impl<T: Clone + Weigh> Drop for Reader<T> {
    fn drop(&mut self) {
        self.cursor.end_at(self.cursor.position() + self.left());
        self.ring.leave(self.seat);
        self.cursor.went();
        self.finish.finished();
    }
}
