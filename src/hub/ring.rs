//! [`Ring`]: the items of one channel, held once for all its readers.
//!
//! The publisher adds a batch of items under one lock, and a reader takes up to 64 under one.
//! The last reader that needs an item moves it out, so a channel whose readers have caught up holds
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
use super::overflow::{QueueItem, QueueLimits, QueueSize};
use super::readers::{Cursor, PatienceCheck, ReaderEntry, Readers};
use super::sync::atomic::{AtomicU64, Ordering};
use super::sync::{Mutex, MutexGuard, Wakers};

/// The number of slots that an empty queue keeps allocated.
const MAX_IDLE_SLOTS: usize = 64;

/// The items of one channel, and its readers.
#[derive(Debug)]
pub(super) struct Ring<T> {
    slots: Mutex<Slots<T>>,
    pub(super) limits: QueueLimits,
    /// The number of items it holds beyond its capacity before it drops the oldest.
    reserve: usize,
    /// Changes whenever readers are woken.
    epoch: AtomicU64,
    wait: Arc<PublisherWait>,
}

/// The state that the ring's lock protects.
#[derive(Debug)]
struct Slots<T> {
    queue: VecDeque<Slot<T>>,
    /// The position of the first item in the queue.
    first: u64,
    /// The bytes of all items so far.
    bytes: u64,
    readers: Readers,
    /// The publisher has waited for room here, and added nothing since.
    has_more: bool,
    closed: bool,
}

/// One item, until the last reader has taken it.
#[derive(Debug)]
struct Slot<T> {
    item: T,
    /// The number of readers that have yet to take it. Readers go in order, so this never exceeds
    /// that of the next slot.
    readers_left: usize,
    /// The bytes of all items before it.
    bytes_before: u64,
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
        let readers = Readers::default();
        let slots = Slots { queue: VecDeque::new(), first: 0, bytes: 0, readers, has_more: false, closed: false };
        Self { slots: Mutex::new(slots), limits, reserve, epoch: AtomicU64::new(0), wait }
    }

    /// Adds a reader of the items that come from now on. Returns its number and its cursor.
    pub(super) fn join(&self, name: Arc<str>, ack: Option<u64>) -> (usize, Arc<Cursor>) {
        let mut slots = self.lock();
        let cursor = Arc::new(Cursor::at(slots.end(), name));
        (slots.readers.join(Arc::clone(&cursor), ack), cursor)
    }

    /// Adds `items`, and moves the oldest into `dropped` where there is no room for them. Moves the
    /// wakers of sleeping readers into `wakers`.
    pub(super) fn extend(&self, items: &mut Vec<T>, dropped: &mut Vec<T>, wakers: Option<&mut Wakers>) {
        let mut guard = self.lock();
        let slots = &mut *guard;
        if slots.readers.len() == 0 {
            // The channel is about to be pruned.
            dropped.append(items);
            return;
        }
        if !items.is_empty() {
            let end = slots.end();
            slots.readers.forgive_caught_up(end);
            slots.has_more = false;
            slots.extend(items, dropped, &self.limits, self.reserve);
        }
        if let Some(wakers) = wakers {
            self.wake(slots, wakers);
        }
    }

    /// Adds a gap after the last item, without waking readers.
    pub(super) fn push_gap(&self, gap: &Gap) {
        let mut slots = self.lock();
        let (first, end) = (slots.first, slots.end());
        slots.readers.push_gap(gap, first, end);
    }

    /// Moves the wakers of sleeping readers into `wakers`.
    fn wake(&self, slots: &mut Slots<T>, wakers: &mut Wakers) {
        // The epoch changes under the lock, so a reader that leaves a waker knows the epoch in
        // which it did. It stays as it is while no reader sleeps. It has one writer, so a load and
        // a store do.
        if slots.readers.have_sleeping() {
            self.epoch.store(self.epoch.load(Ordering::Relaxed) + 1, Ordering::Release);
            slots.readers.wake(wakers);
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
        let slots = &mut *guard;
        let first = slots.first;
        // Only `leave` removes an entry, so this reader is gone.
        let Some(entry) = slots.readers.get(reader) else { return Taken::only(None) };
        if let Some(gap) = entry.take_gap(first) {
            return Taken::only(Some(Delivery::Gap(gap)));
        }
        let index = (entry.next - first) as usize;
        // Up to the next gap: items after it stay in the ring until the gap has been taken.
        let gap = entry.gaps.first();
        let available = gap.map_or(slots.queue.len() - index, |place| (place - entry.next) as usize);
        let count = available.min(limit);
        let end = entry.next + count as u64;
        let mut next = if slots.closed { Poll::Ready(None) } else { Poll::Pending };
        if count > 0 {
            entry.next = end;
            entry.cursor.took();
            slots.take(index, count, buffer);
            next = Poll::Ready(buffer.pop_front().map(Delivery::Event));
        }
        // One of several readers that has come to the end sleeps soon: with its waker left now, its
        // next poll need not lock. A single reader mostly finds more when it looks again, and must
        // not be woken for each item. A closed ring wakes nothing.
        let sleeps = end == slots.end() && gap.is_none() && !slots.closed && (count == 0 || slots.readers.len() > 1);
        if sleeps && sleep.waker.is_some() {
            slots.readers.sleep(reader, &mut sleep.waker);
            sleep.epoch = Some(self.epoch.load(Ordering::Relaxed));
        }
        // Half empty, and not one place free: otherwise the publisher would wake and wait again for
        // each item.
        let has_drained = slots.readers.have_waited() && !self.limits.are_half_reached(slots.size_from(end));
        let releases_publisher = has_drained && slots.readers.end_wait(reader) && self.wait.remove(1);
        Taken { next, releases_publisher }
    }

    /// Returns how many items a reader could take.
    pub(super) fn unread(&self, reader: usize) -> u64 {
        let mut slots = self.lock();
        let (first, end) = (slots.first, slots.end());
        slots.readers.get(reader).map_or(0, |entry| end - entry.next.max(first))
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
        let mut slots = self.lock();
        let first = slots.first;
        let Some(entry) = slots.readers.get(reader) else { return };
        let index = entry.next.saturating_sub(first) as usize;
        let count = slots.queue.len() - index;
        slots.take(index, count, &mut unread);
        // A reader that is gone must not hold up the publisher. It is counted under the lock and
        // woken without it, because its waker is user code.
        let is_last = slots.readers.end_wait(reader) && self.wait.remove(1);
        let waker = slots.readers.leave(reader);
        // Items and the waker are dropped without the lock.
        drop(slots);
        drop(waker);
        if is_last {
            self.wait.wake();
        }
    }

    /// Ends the ring: readers get what is there and then the end, and the publisher waits for none
    /// of them.
    pub(super) fn close(&self, wakers: &mut Wakers) {
        let mut slots = self.lock();
        slots.closed = true;
        // Before any reader wakes: a drain reads there how much is left.
        slots.readers.end(slots.first, slots.end());
        self.wake(&mut slots, wakers);
        let is_last = self.wait.remove(slots.readers.end_all_waits());
        drop(slots);
        if is_last {
            wakers.extend(self.wait.take_waker());
        }
    }

    /// Looks at the readers, and returns how much may be published.
    pub(super) fn survey(&self) -> Survey {
        let mut guard = self.lock();
        let slots = &mut *guard;
        let end = slots.end();
        slots.readers.forgive_caught_up(end);
        let (waits, has_stuck) = (self.limits.waits(), slots.readers.have_stuck());
        // A queue that drops its oldest never stops the publisher. Its credit only says when to
        // look whether to yield.
        let mut credit = QueueSize { items: self.limits.quarter(), bytes: u64::MAX };
        if waits {
            // Without a stuck reader the slowest is the one that keeps the first item there.
            let slowest = if has_stuck { slots.readers.slowest().unwrap_or(end) } else { slots.first };
            let size = slots.size_from(slowest);
            let items = (self.limits.capacity as u64).saturating_sub(size.items);
            // A stuck reader is overrun like one that drops its oldest, so the publisher has to
            // look as often.
            credit.items = if has_stuck { items.min(credit.items) } else { items };
            credit.bytes = self.limits.bytes.saturating_sub(size.bytes);
        }
        let may_overrun = !waits || has_stuck;
        let should_yield = may_overrun && self.limits.are_half_reached(slots.size_from(slots.first)) && {
            let Slots { queue, first, bytes, readers, .. } = slots;
            let is_far_behind = |next| self.limits.are_half_reached(size_from(queue, *first, *bytes, next));
            readers.should_yield(!waits, is_far_behind)
        };
        Survey { credit, should_yield }
    }

    /// Calls `look` with the readers.
    pub(super) fn with_readers<R>(&self, look: impl FnOnce(&mut Readers) -> R) -> R {
        look(&mut self.lock().readers)
    }

    /// Returns how many items the slowest reader has yet to take. `pending`: items that are not in
    /// the ring yet.
    pub(super) fn lag(&self, pending: usize) -> u64 {
        let slots = self.lock();
        slots.readers.lag(slots.first, slots.end() + pending as u64, self.limits.capacity as u64)
    }

    /// Makes the publisher wait for readers whose queue is full, if the limits say so.
    pub(super) fn begin_wait(&self, now: Instant) {
        if !self.limits.waits() {
            return;
        }
        let mut guard = self.lock();
        let Slots { queue, first, bytes, readers, has_more, .. } = &mut *guard;
        let is_full = |next| self.limits.are_reached(size_from(queue, *first, *bytes, next));
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
        let slots = self.lock();
        slots.readers.have_caught_up(slots.end())
    }

    /// Calls `look` with each reader, and how many of its items there are still to take, and how
    /// many it has lost without knowing.
    pub(super) fn look_at_readers(&self, mut look: impl FnMut(&ReaderEntry, u64, u64)) {
        let slots = self.lock();
        for entry in slots.readers.iter() {
            let (hole, next) = (slots.first.saturating_sub(entry.next), entry.next.max(slots.first));
            let buffered = entry.next.saturating_sub(entry.cursor.position());
            look(entry, buffered + (slots.end() - next), hole);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots<T>> {
        // As in `sync::lock`, for loom's mutex as well.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Taken<T> {
    fn only(next: Option<Delivery<T>>) -> Self {
        Self { next: Poll::Ready(next), releases_publisher: false }
    }
}

/// The size of the part of the queue from position `next` on.
fn size_from<T>(queue: &VecDeque<Slot<T>>, first: u64, bytes: u64, next: u64) -> QueueSize {
    let index = next.saturating_sub(first) as usize;
    let bytes = queue.get(index).map_or(0, |slot| bytes - slot.bytes_before);
    QueueSize { items: (queue.len() - index) as u64, bytes }
}

impl<T: QueueItem> Slots<T> {
    /// The position after the last item.
    fn end(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    fn size_from(&self, next: u64) -> QueueSize {
        size_from(&self.queue, self.first, self.bytes, next)
    }

    /// Appends items. Drops the oldest where there is no room for them.
    fn extend(&mut self, items: &mut Vec<T>, dropped: &mut Vec<T>, limits: &QueueLimits, reserve: usize) {
        let readers_left = self.readers.len();
        let capacity = (limits.capacity + reserve) as u64;
        for item in items.drain(..) {
            let (bytes_before, bytes) = (self.bytes, item.bytes());
            // Items that use the reserve push nothing out before that is used up: so many items, or
            // as many bytes again.
            let max_bytes = match (item.uses_reserve(), bytes) {
                (false, _) => limits.bytes,
                (true, 0) => u64::MAX,
                (true, _) => limits.bytes.saturating_mul(2),
            };
            while self.exceeds(capacity, max_bytes) {
                dropped.extend(self.pop_first());
            }
            self.bytes += bytes;
            self.queue.push_back(Slot { item, readers_left, bytes_before });
        }
    }

    /// Returns true if the first item has to go before another is added. One item always fits.
    fn exceeds(&self, capacity: u64, max_bytes: u64) -> bool {
        let len = self.queue.len() as u64;
        self.queue.front().is_some_and(|first| len >= capacity || self.bytes - first.bytes_before >= max_bytes)
    }

    /// Moves the first item out.
    fn pop_first(&mut self) -> Option<T> {
        self.first += 1;
        self.queue.pop_front().map(|slot| slot.item)
    }

    /// Moves `count` items from `index` on into a reader's buffer. Clones those that others still
    /// need.
    fn take(&mut self, mut index: usize, count: usize, buffer: &mut VecDeque<T>) {
        if self.readers.len() == 1 && index == 0 {
            // No other reader needs any of these, and none has kept an item before them.
            self.first += count as u64;
            buffer.extend(self.queue.drain(..count).map(|slot| slot.item));
            self.trim();
            return;
        }
        for _ in 0..count {
            let slot = &mut self.queue[index];
            if slot.readers_left > 1 {
                slot.readers_left -= 1;
                // An event is one counted reference, so a clone for each reader copies no text.
                buffer.push_back(slot.item.clone());
                index += 1;
            } else {
                // It is the first: a reader that needs an earlier item needs this one as well.
                buffer.extend(self.pop_first());
            }
        }
        self.trim();
    }

    /// Gives back the memory that a burst needed.
    fn trim(&mut self) {
        // A turn brings up to 64 items, and the next one would allocate that much again. A
        // publisher that waits for room fills the whole queue again as soon as it has some.
        if self.queue.is_empty() && !self.has_more && self.queue.capacity() > MAX_IDLE_SLOTS {
            self.queue = VecDeque::new();
        }
    }
}
