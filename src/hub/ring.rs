//! [`Ring`]: what a channel holds, once, for all its readers.
//!
//! A turn's items come in under one lock, and a reader takes up to 64 under one; what the last reader takes is moved
//! out, so that a channel whose readers have caught up holds nothing. A read that reaches the end leaves its waker
//! under the same lock; until the ring's epoch changes, the next poll has nothing to look for. Items and wakers are
//! users' code when they are dropped: that is never done in here, but by whoever has let go of the lock.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use tokio::time::Instant;

use super::cursor::Cursor;
use super::gate::Gate;
use super::limits::{Held, QueueLimits, Weigh};
use super::readers::{Readers, Verdict};
use super::sync::atomic::{AtomicU64, Ordering};
use super::sync::{Mutex, MutexGuard};
use super::wakers::Wakers;

#[derive(Debug)]
pub(super) struct Ring<T> {
    slots: Mutex<Slots<T>>,
    limits: QueueLimits,
    /// How many items more than its capacity it holds before the oldest go: what comes between two turns, and weighs
    /// nothing.
    reserve: usize,
    /// Changes whenever readers are woken.
    epoch: AtomicU64,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Slots<T> {
    queue: VecDeque<Slot<T>>,
    /// The position of the first in the queue.
    first: u64,
    /// What all items so far weigh.
    weight: u64,
    seats: Readers,
    closed: bool,
}

#[derive(Debug)]
struct Slot<T> {
    item: T,
    /// How many readers have yet to take it. Readers go in order, so it is never more than that of the next.
    left: usize,
    /// What all items before it weigh.
    before: u64,
}

/// How many slots an empty queue keeps.
const RETAINED: usize = 64;

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// So many items are in the reader's buffer now, at least one.
    Items,
    /// So many have been dropped.
    Lagged(u64),
    Nothing,
    /// Nothing, and nothing will come.
    Closed,
}

/// What a publisher is told of its readers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// There is room for so much; none for nothing more.
    pub(super) room: Held,
    /// Somebody who can be overrun, and moves, is more than half a queue behind.
    pub(super) crowded: bool,
}

/// How a reader reads.
pub(super) struct Reading<'a, T> {
    pub(super) seat: usize,
    pub(super) most: usize,
    pub(super) buffer: &'a mut VecDeque<T>,
    /// To be called when there is more. One that was left before comes back in its place.
    pub(super) waker: &'a mut Option<Waker>,
    /// The epoch in which it was left.
    pub(super) asleep: &'a mut Option<u64>,
}

impl<T: Clone + Weigh> Ring<T> {
    pub(super) fn new(limits: QueueLimits, reserve: usize, gate: Arc<Gate>) -> Self {
        let seats = Readers::default();
        let slots = Slots { queue: VecDeque::new(), first: 0, weight: 0, seats, closed: false };
        Self { slots: Mutex::new(slots), limits, reserve, epoch: AtomicU64::new(0), gate }
    }

    /// One more reader, of what is published from now on: its seat.
    pub(super) fn join(&self, cursor: Arc<Cursor>) -> usize {
        let mut slots = self.lock();
        let end = slots.end();
        slots.seats.join(end, cursor)
    }

    /// Takes in what has been published. The oldest, which it has no room for, are moved to `dropped`. `wakers`: where
    /// to collect those of whoever sleeps.
    pub(super) fn extend(&self, items: &mut Vec<T>, dropped: &mut Vec<T>, wakers: Option<&mut Wakers>) {
        let mut guard = self.lock();
        let slots = &mut *guard;
        if slots.seats.len() == 0 {
            slots.first += items.len() as u64;
            dropped.append(items);
            return;
        }
        if !items.is_empty() {
            let end = slots.end();
            slots.seats.forgive(end);
            slots.extend(items, dropped, &self.limits, self.reserve);
        }
        if let Some(wakers) = wakers {
            self.wake(slots, wakers);
        }
    }

    fn wake(&self, slots: &mut Slots<T>, wakers: &mut Wakers) {
        // Under the lock: who leaves a waker knows the epoch in which it did. While nobody sleeps it stays, and where
        // it is seen; nobody else changes it, so a load and a store do.
        if slots.seats.have_sleepers() {
            self.epoch.store(self.epoch.load(Ordering::Relaxed) + 1, Ordering::Release);
            slots.seats.wake(wakers);
        }
    }

    /// Moves items into the buffer of a reader. `taking` is told up to where, while nothing can be added or dropped.
    /// True if the publisher has to be woken: by [`Gate::wake`].
    pub(super) fn take(&self, reading: Reading<'_, T>, taking: impl FnOnce(u64)) -> (Found, u64, bool) {
        let mut guard = self.lock();
        let slots = &mut *guard;
        let Some(next) = slots.seats.get(reading.seat).map(|seat| seat.next) else {
            return (Found::Closed, slots.end(), false);
        };
        if let Some(dropped) = slots.first.checked_sub(next).filter(|&dropped| dropped > 0) {
            slots.seats.get(reading.seat).into_iter().for_each(|seat| seat.next += dropped);
            return (Found::Lagged(dropped), slots.first, false);
        }
        let mut index = (next - slots.first) as usize;
        let count = (slots.queue.len() - index).min(reading.most);
        let end = next + count as u64;
        if count > 0 {
            taking(end);
            if slots.seats.len() == 1 && index == 0 {
                // Nobody else has yet to take any of these, and nobody else has kept one before them.
                slots.first = end;
                reading.buffer.extend(slots.queue.drain(..count).map(|slot| slot.item));
            } else {
                for _ in 0..count {
                    index = slots.take(index, reading.buffer);
                }
            }
            slots.seats.get(reading.seat).into_iter().for_each(|seat| seat.next = end);
            slots.trim();
        } else if slots.closed {
            return (Found::Closed, end, false);
        }
        // Of several readers, one that has come to the end sleeps soon: with its waker left now, its next poll need not
        // take the lock. A single one mostly finds more when it looks again, and is not to be woken for each item. A
        // closed ring wakes nobody.
        let sleeps = end == slots.end() && !slots.closed && (count == 0 || slots.seats.len() > 1);
        if sleeps && reading.waker.is_some() {
            slots.seats.sleep(reading.seat, reading.waker);
            *reading.asleep = Some(self.epoch.load(Ordering::Relaxed));
        }
        let drained = slots.seats.has_waited() && !self.limits.are_half_reached(slots.held(end));
        let is_last = drained && slots.seats.drained(reading.seat) && self.gate.let_go(1);
        (if count > 0 { Found::Items } else { Found::Nothing }, end, is_last)
    }

    /// Where what it holds begins.
    pub(super) fn first(&self) -> u64 {
        self.lock().first
    }

    /// How many items a reader could take.
    pub(super) fn unread(&self, seat: usize) -> u64 {
        let mut slots = self.lock();
        let (first, end) = (slots.first, slots.end());
        slots.seats.get(seat).map_or(0, |seat| end - seat.next.max(first))
    }

    /// Changes with each wake-up.
    #[inline]
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A reader is gone.
    pub(super) fn leave(&self, seat: usize) {
        let mut gone = VecDeque::new();
        let mut slots = self.lock();
        let Some(left) = slots.seats.leave(seat) else { return };
        let mut index = left.next.saturating_sub(slots.first) as usize;
        let unread = slots.queue.len() - index;
        for _ in 0..unread {
            index = slots.release(index, &mut gone);
        }
        slots.trim();
        let is_last = left.was_waited && self.gate.let_go(1);
        // What they hold is dropped after the lock is let go.
        drop(slots);
        drop(left.waker);
        if is_last {
            self.gate.wake();
        }
    }

    /// Nothing comes any more, so nobody is waited for.
    pub(super) fn close(&self, wakers: &mut Wakers) {
        let mut slots = self.lock();
        slots.closed = true;
        let first = slots.first;
        slots.seats.end(first);
        self.wake(&mut slots, wakers);
        let is_last = self.gate.let_go(slots.seats.let_go());
        drop(slots);
        if is_last {
            wakers.extend(self.gate.take());
        }
    }

    /// How much may be published.
    pub(super) fn survey(&self) -> Survey {
        let mut guard = self.lock();
        let slots = &mut *guard;
        let end = slots.end();
        slots.seats.forgive(end);
        let waits = self.limits.waits();
        let mut room = Held { items: self.limits.quarter() as u64, bytes: u64::MAX };
        if waits {
            // Without anybody stuck the slowest is the one who keeps the first item there.
            let last = if slots.seats.has_stuck() { slots.seats.last().unwrap_or(end) } else { slots.first };
            let held = slots.held(last.max(slots.first));
            let items = (self.limits.capacity as u64).saturating_sub(held.items);
            let most = if slots.seats.has_stuck() { room.items } else { u64::MAX };
            room = Held { items: items.min(most), bytes: self.limits.bytes.saturating_sub(held.bytes) };
        }
        let mut crowded = false;
        if (!waits || slots.seats.has_stuck()) && self.limits.are_half_reached(slots.held(slots.first)) {
            let Slots { queue, first, weight, seats, .. } = slots;
            crowded = seats.is_crowded(!waits, |next| self.limits.are_half_reached(held(queue, *first, *weight, next)));
        }
        Survey { room, crowded }
    }

    /// See [`Readers::forgive_all_that_move`].
    pub(super) fn forgive(&self) {
        self.lock().seats.forgive_all_that_move();
    }

    /// From now on the publisher waits for those who are full.
    pub(super) fn hold(&self, now: Instant) {
        let mut guard = self.lock();
        let Slots { queue, first, weight, seats, .. } = &mut *guard;
        let full = seats.hold(now, |next| self.limits.are_reached(held(queue, *first, *weight, next)));
        self.gate.hold(full);
    }

    /// Gives up on those who had the time to move.
    pub(super) fn judge(&self, now: Instant) -> Verdict {
        let Some(patience) = self.limits.patience() else { return Verdict::default() };
        let verdict = self.lock().seats.judge(now, patience);
        // It is the publisher who asks: nobody has to be woken.
        let _ = self.gate.let_go(verdict.given_up);
        verdict
    }

    fn lock(&self) -> MutexGuard<'_, Slots<T>> {
        // Nothing in here can leave it half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of the queue is after `next`.
fn held<T>(queue: &VecDeque<Slot<T>>, first: u64, weight: u64, next: u64) -> Held {
    let index = next.saturating_sub(first) as usize;
    let bytes = queue.get(index).map_or(0, |slot| weight - slot.before);
    Held { items: (queue.len() - index) as u64, bytes }
}

impl<T: Clone + Weigh> Slots<T> {
    fn end(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    fn held(&self, next: u64) -> Held {
        held(&self.queue, self.first, self.weight, next)
    }

    fn extend(&mut self, items: &mut Vec<T>, dropped: &mut Vec<T>, limits: &QueueLimits, reserve: usize) {
        let left = self.seats.len();
        let capacity = (limits.capacity + reserve) as u64;
        for item in items.drain(..) {
            let (before, weight) = (self.weight, item.weight());
            // Of what comes also when the bytes are used up there is a reserve: it pushes nothing out before that is.
            let bytes = if reserve > 0 && weight == 0 { u64::MAX } else { limits.bytes };
            while self.exceeds(capacity, bytes) {
                dropped.extend(self.queue.pop_front().map(|slot| slot.item));
                self.first += 1;
            }
            self.weight += weight;
            self.queue.push_back(Slot { item, left, before });
        }
    }

    /// One item always fits.
    fn exceeds(&self, capacity: u64, bytes: u64) -> bool {
        let full = |first: &Slot<T>| self.queue.len() as u64 >= capacity || self.weight - first.before >= bytes;
        self.queue.front().is_some_and(full)
    }

    /// A reader takes the item at `index`; where its next one is then.
    fn take(&mut self, index: usize, buffer: &mut VecDeque<T>) -> usize {
        let slot = &mut self.queue[index];
        if slot.left > 1 {
            slot.left -= 1;
            buffer.push_back(slot.item.clone());
            return index + 1;
        }
        self.release(index, buffer)
    }

    /// A reader needs the item at `index` no more. The last one moves it out.
    fn release(&mut self, index: usize, out: &mut VecDeque<T>) -> usize {
        self.queue[index].left -= 1;
        if self.queue[index].left > 0 {
            return index + 1;
        }
        // It is the first in the queue: a reader that has yet to take an earlier item has yet to take this one as well.
        out.extend(self.queue.pop_front().map(|slot| slot.item));
        self.first += 1;
        index
    }

    /// What a burst needed can be given back.
    fn trim(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > RETAINED {
            self.queue = VecDeque::new();
        }
    }
}
