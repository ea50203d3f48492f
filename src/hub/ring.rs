//! [`Ring`]: the items of one channel, held once for all its readers.
//!
//! The publisher adds a batch of items under one lock, and a reader takes up to 64 under one. What
//! is before the slowest reader is moved out, so a channel whose readers have caught up holds
//! nothing.
//!
//! A read that reaches the end leaves its waker under the same lock. Until the ring's epoch changes
//! the next poll has nothing to look for, and does not lock.
//!
//! Dropping an item or a waker runs user code, so nothing in here does that: both are handed out to
//! callers, who drop them after they have released the lock.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};

use tokio::time::Instant;

use crate::event::{Delivery, Gap};

use super::backpressure::PublisherWait;
use super::items::{Items, TurnBatch};
use super::overflow::{QueueItem, QueueLimits, QueueSize};
use super::positions::ReaderPositions;
use super::readers::{Cursor, PatienceCheck, ReaderEntry, Readers};
use super::sync::atomic::{AtomicU64, Ordering};
use super::sync::{Mutex, MutexGuard, Wakers};

/// The items of one channel, and its readers.
#[derive(Debug)]
pub(super) struct Ring<T> {
    state: Mutex<RingState<T>>,
    pub(super) limits: QueueLimits,
    /// The number of items it holds beyond its capacity before it drops the oldest.
    reserve: usize,
    /// Changes whenever readers are woken.
    epoch: AtomicU64,
    wait: Arc<PublisherWait>,
}

/// The state that the ring's lock protects.
#[derive(Debug)]
struct RingState<T> {
    items: Items<T>,
    readers: Readers,
    /// Where the readers stand. One whose next items were dropped counts at the first item.
    positions: ReaderPositions,
    /// The publisher has waited for room here, and added nothing since.
    has_more: bool,
    closed: bool,
}

/// The result of [`Ring::take`].
pub(super) struct Taken<T> {
    /// The next item or gap, or the end. Pending if nothing is there.
    pub(super) next: Poll<Option<Delivery<T>>>,
    /// The publisher waited for this reader and for no other any more: the caller has to wake it,
    /// with [`Ring::wake_publisher`].
    pub(super) releases_publisher: bool,
}

/// The place of a reader's waker: here, or in the ring.
#[derive(Debug, Default)]
pub(super) struct SleepState {
    /// To be left in the ring.
    pub(super) waker: Option<Waker>,
    /// The ring's epoch when a waker was left there, and which waker that was.
    left: Option<(u64, WakerId)>,
    epoch: Option<u64>,
}

/// Tells wakers apart like [`Waker::will_wake`], without holding one. Nothing else can have its
/// address while it is in the ring.
type WakerId = (usize, usize);

fn waker_id(waker: &Waker) -> WakerId {
    (waker.data() as usize, std::ptr::from_ref(waker.vtable()) as usize)
}

impl SleepState {
    /// Clones a waker to be left in the ring, unless it is the one that is here.
    pub(super) fn prepare(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|own| own.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// Returns true if this waker was left in the ring in that epoch.
    #[inline]
    pub(super) fn is_left(&self, epoch: u64, waker: &Waker) -> bool {
        self.left == Some((epoch, waker_id(waker)))
    }

    /// Notes, after a read, whether the waker was left in the ring. If so, `self.waker` is now the
    /// one that was there before.
    pub(super) fn finish(&mut self, waker: &Waker) {
        if let Some(epoch) = self.epoch.take() {
            self.waker = None;
            self.left = Some((epoch, waker_id(waker)));
        }
    }
}

/// The publisher's view of the readers before it publishes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// The amount that may be published before the next survey; zero if a queue is full.
    pub(super) credit: QueueSize,
    /// The publisher should yield: an active reader that may lose items is more than half a queue
    /// behind.
    pub(super) should_yield: bool,
}

impl<T: QueueItem> Ring<T> {
    pub(super) fn new(limits: QueueLimits, reserve: usize, wait: Arc<PublisherWait>) -> Self {
        let (items, readers, positions) = (Items::new(), Readers::default(), ReaderPositions::default());
        let state = RingState { items, readers, positions, has_more: false, closed: false };
        Self { state: Mutex::new(state), limits, reserve, epoch: AtomicU64::new(0), wait }
    }

    /// Adds a reader of the items that come from now on. Returns its number and its cursor.
    pub(super) fn join(&self, name: Arc<str>, ack: Option<u64>) -> (usize, Arc<Cursor>) {
        let mut state = self.lock();
        let end = state.items.end();
        state.positions.join(end);
        let cursor = Arc::new(Cursor::at(end, name));
        (state.readers.join(Arc::clone(&cursor), ack), cursor)
    }

    /// Adds a batch, and moves the oldest items into `dropped` where there is no room for it. Moves
    /// the wakers of sleeping readers into `wakers`.
    pub(super) fn extend(&self, batch: &mut TurnBatch<T>, dropped: &mut Vec<T>, wakers: Option<&mut Wakers>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.readers.len() == 0 {
            // The channel is about to be pruned.
            batch.discard(dropped);
            return;
        }
        if !batch.is_empty() {
            state.readers.forgive_caught_up(state.items.end());
            state.has_more = false;
            state.items.extend(batch, dropped, &self.limits, self.reserve);
            state.positions.raise(state.items.first);
        }
        if let Some(wakers) = wakers {
            self.wake(state, wakers);
        }
    }

    /// Adds a gap after the last item, without waking readers.
    pub(super) fn push_gap(&self, gap: &Gap) {
        let mut state = self.lock();
        let (first, end) = (state.items.first, state.items.end());
        state.readers.push_gap(gap, first, end);
    }

    /// Moves the wakers of sleeping readers into `wakers`.
    fn wake(&self, state: &mut RingState<T>, wakers: &mut Wakers) {
        // The epoch changes under the lock, so a reader that leaves a waker knows the epoch in
        // which it did. It stays as it is while no reader sleeps. It has one writer, so a load and
        // a store do.
        if state.readers.have_sleeping() {
            self.epoch.store(self.epoch.load(Ordering::Relaxed) + 1, Ordering::Release);
            state.readers.wake(wakers);
        }
    }

    /// Takes what comes next for a reader: a gap, or the first of up to `limit` items, of which the
    /// others go into its buffer. Leaves its waker if it has to sleep.
    pub(super) fn take(
        &self,
        reader: usize,
        limit: usize,
        buffer: &mut VecDeque<T>,
        sleep: &mut SleepState,
    ) -> Taken<T> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let first = state.items.first;
        // Only `leave` removes an entry, so this reader is gone.
        let Some(entry) = state.readers.get(reader) else { return Taken::only(None) };
        if let Some(gap) = entry.take_gap(first) {
            return Taken::only(Some(Delivery::Gap(gap)));
        }
        // Up to the next gap: items after it stay in the ring until the gap has been taken.
        let gap = entry.gaps.first();
        let (next, last) = (entry.next, gap.unwrap_or_else(|| state.items.end()));
        let end = last.min(next + limit as u64);
        let mut taken = if state.closed { Poll::Ready(None) } else { Poll::Pending };
        if end > next {
            entry.next = end;
            entry.cursor.took();
            state.take(next, end, buffer);
            taken = Poll::Ready(buffer.pop_front().map(Delivery::Event));
        }
        // One of several readers that has come to the end sleeps soon: with its waker left now, its
        // next poll need not lock. A single reader mostly finds more when it looks again, and must
        // not be woken for each item. A closed ring wakes nothing.
        let at_end = end == state.items.end() && gap.is_none() && !state.closed;
        let sleeps = at_end && (end == next || state.readers.len() > 1);
        if sleeps && sleep.waker.is_some() {
            state.readers.sleep(reader, &mut sleep.waker);
            sleep.epoch = Some(self.epoch.load(Ordering::Relaxed));
        }
        // Half empty, and not one place free: otherwise the publisher would wake and wait again for
        // each item.
        let has_drained = state.readers.have_waited() && !self.limits.are_half_reached(state.items.size_from(end));
        let releases_publisher = has_drained && state.readers.end_wait(reader) && self.wait.remove(1);
        Taken { next: taken, releases_publisher }
    }

    /// Returns how many items a reader could take.
    pub(super) fn unread(&self, reader: usize) -> u64 {
        let mut state = self.lock();
        let (first, end) = (state.items.first, state.items.end());
        state.readers.get(reader).map_or(0, |entry| end - entry.next.max(first))
    }

    /// The current epoch, which changes whenever readers are woken.
    #[inline]
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Wakes the publisher, when a [`Taken`] says so. No lock may be held.
    pub(super) fn wake_publisher(&self) {
        self.wait.wake();
    }

    /// Removes a reader.
    pub(super) fn leave(&self, reader: usize) {
        let mut unread = VecDeque::new();
        let mut state = self.lock();
        let first = state.items.first;
        let Some(entry) = state.readers.get(reader) else { return };
        let position = entry.next.max(first);
        state.leave(position, &mut unread);
        // A reader that is gone must not hold up the publisher. It is counted under the lock and
        // woken without it, because its waker is user code.
        let is_last = state.readers.end_wait(reader) && self.wait.remove(1);
        let waker = state.readers.leave(reader);
        // Items and the waker are dropped without the lock.
        drop(state);
        drop(waker);
        if is_last {
            self.wait.wake();
        }
    }

    /// Ends the ring: readers get what is there and then the end, and the publisher waits for none
    /// of them.
    pub(super) fn close(&self, wakers: &mut Wakers) {
        let mut state = self.lock();
        state.closed = true;
        // Before any reader wakes: a drain reads there how much is left.
        state.readers.end(state.items.first, state.items.end());
        self.wake(&mut state, wakers);
        let is_last = self.wait.remove(state.readers.end_all_waits());
        drop(state);
        if is_last {
            wakers.extend(self.wait.take_waker());
        }
    }

    /// Looks at the readers, and returns how much may be published.
    pub(super) fn survey(&self) -> Survey {
        let mut guard = self.lock();
        let RingState { items, readers, .. } = &mut *guard;
        readers.forgive_caught_up(items.end());
        let (waits, has_stuck) = (self.limits.waits(), readers.have_stuck());
        // A queue that drops its oldest never stops the publisher. Its credit only says when to
        // look whether to yield.
        let mut credit = QueueSize { items: self.limits.quarter(), bytes: u64::MAX };
        if waits {
            // Without a stuck reader the slowest is the one that keeps the first item there.
            let slowest = if has_stuck { readers.slowest().unwrap_or_else(|| items.end()) } else { items.first };
            let size = items.size_from(slowest);
            let room = (self.limits.capacity as u64).saturating_sub(size.items);
            // A stuck reader is overrun like one that drops its oldest, so the publisher has to
            // look as often.
            credit.items = if has_stuck { room.min(credit.items) } else { room };
            credit.bytes = self.limits.bytes.saturating_sub(size.bytes);
        }
        let may_overrun = !waits || has_stuck;
        let is_far_behind = |next| self.limits.are_half_reached(items.size_from(next));
        let should_yield = may_overrun && is_far_behind(items.first) && readers.should_yield(!waits, is_far_behind);
        Survey { credit, should_yield }
    }

    /// Calls `look` with the readers.
    pub(super) fn with_readers<R>(&self, look: impl FnOnce(&mut Readers) -> R) -> R {
        look(&mut self.lock().readers)
    }

    /// Returns how many items the slowest reader has yet to take. `pending`: items that are not in
    /// the ring yet.
    pub(super) fn lag(&self, pending: usize) -> u64 {
        let state = self.lock();
        state.readers.lag(state.items.first, state.items.end() + pending as u64, self.limits.capacity as u64)
    }

    /// Makes the publisher wait for readers whose queue is full, if the limits say so.
    pub(super) fn begin_wait(&self, now: Instant) {
        if !self.limits.waits() {
            return;
        }
        let mut guard = self.lock();
        let RingState { items, readers, has_more, .. } = &mut *guard;
        let is_full = |next| self.limits.are_reached(items.size_from(next));
        // Still under the ring's lock: a reader that empties its queue right now finds itself
        // counted.
        let added = readers.begin_wait(now, is_full);
        *has_more |= added > 0;
        self.wait.add(added);
    }

    /// Gives up readers that have taken nothing for their patience, while another one `is_held_up`.
    pub(super) fn check_patience(&self, now: Instant, is_held_up: bool) -> PatienceCheck {
        let Some(patience) = self.limits.patience() else { return PatienceCheck::default() };
        let check = self.lock().readers.check_patience(now, patience, is_held_up);
        // It is the publisher that asks, so it need not be woken.
        let _ = self.wait.remove(check.stuck.len());
        check
    }

    /// Returns true if a reader has taken everything.
    pub(super) fn has_caught_up_reader(&self) -> bool {
        let state = self.lock();
        state.readers.have_caught_up(state.items.end())
    }

    /// Calls `look` with each reader, and how many of its items there are still to take, and how
    /// many it has lost without knowing.
    pub(super) fn look_at_readers(&self, mut look: impl FnMut(&ReaderEntry, u64, u64)) {
        let state = self.lock();
        for entry in state.readers.iter() {
            let first = state.items.first;
            let (hole, next) = (first.saturating_sub(entry.next), entry.next.max(first));
            let buffered = entry.next.saturating_sub(entry.cursor.position());
            look(entry, buffered + (state.items.end() - next), hole);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RingState<T>> {
        // As in `sync::lock`, for loom's mutex as well.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Taken<T> {
    fn only(next: Option<Delivery<T>>) -> Self {
        Self { next: Poll::Ready(next), releases_publisher: false }
    }
}

impl<T: QueueItem> RingState<T> {
    /// Takes the items from position `next` up to `end` for a reader. Clones those that others
    /// still need.
    fn take(&mut self, next: u64, end: u64, buffer: &mut VecDeque<T>) {
        self.positions.advance(next, end);
        let kept = self.drain(buffer).max(next);
        self.items.clone_range(kept, end, buffer);
    }

    /// Removes a reader from this position. Moves items into `unread` that no other needs.
    fn leave(&mut self, position: u64, unread: &mut VecDeque<T>) {
        self.positions.leave(position);
        self.drain(unread);
    }

    /// Moves out the items that no reader needs any more, and returns where they end.
    fn drain(&mut self, taken: &mut VecDeque<T>) -> u64 {
        let lowest = self.positions.lowest().unwrap_or_else(|| self.items.end());
        self.items.drain_to(lowest, taken);
        // A publisher that waits for room fills the whole queue again as soon as it has some.
        if !self.has_more {
            self.items.trim();
        }
        lowest
    }
}
