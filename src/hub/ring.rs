//! [`Ring`]: what a channel holds, once, for all its readers.
//!
//! tokio's broadcast channel takes two locks to send and one to receive, for each item, and allocates its whole
//! ring at once. Here a turn's items come in under one lock, and a reader takes up to 64 under one; what the last
//! reader takes is moved out, so that a channel whose readers have caught up holds nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct Ring<T> {
    slots: Mutex<Slots<T>>,
    /// How many items have come, to be seen without the lock.
    end: AtomicU64,
}

#[derive(Debug)]
struct Slots<T> {
    queue: VecDeque<Slot<T>>,
    /// The position of the first in the queue.
    first: u64,
    /// The most that the queue holds; then the oldest go.
    capacity: usize,
    readers: usize,
    closed: bool,
}

#[derive(Debug)]
struct Slot<T> {
    item: T,
    /// How many readers have yet to take it. Readers go in order, so it is never more than that of the next.
    left: usize,
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

impl<T: Clone> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let slots = Slots { queue: VecDeque::new(), first: 0, capacity, readers: 0, closed: false };
        Self { slots: Mutex::new(slots), end: AtomicU64::new(0) }
    }

    /// One more reader, of what is published from now on; where that begins.
    pub(super) fn join(&self) -> u64 {
        let mut slots = self.lock();
        slots.readers += 1;
        slots.end()
    }

    /// Takes in what has been published. The oldest, which it has no room for, are moved to `dropped`: there may be
    /// locks, under which what they hold must not be dropped.
    pub(super) fn extend(&self, items: &mut Vec<T>, dropped: &mut Vec<T>) {
        let mut slots = self.lock();
        let left = slots.readers;
        self.end.store(slots.end() + items.len() as u64, Ordering::Release);
        if left == 0 {
            slots.first += items.len() as u64;
            dropped.append(items);
            return;
        }
        for item in items.drain(..) {
            if slots.queue.len() == slots.capacity {
                dropped.extend(slots.queue.pop_front().map(|slot| slot.item));
                slots.first += 1;
            }
            slots.queue.push_back(Slot { item, left });
        }
    }

    /// Moves up to `most` items into the buffer of the reader that has come to `next`. `taking` is told up to where,
    /// while nothing can be added or dropped.
    pub(super) fn take(
        &self,
        next: &mut u64,
        most: usize,
        buffer: &mut VecDeque<T>,
        taking: impl FnOnce(u64),
    ) -> Found {
        let mut slots = self.lock();
        if let Some(dropped) = slots.first.checked_sub(*next).filter(|&dropped| dropped > 0) {
            *next = slots.first;
            return Found::Lagged(dropped);
        }
        let mut index = (*next - slots.first) as usize;
        let count = (slots.queue.len() - index).min(most);
        if count == 0 {
            return if slots.closed { Found::Closed } else { Found::Nothing };
        }
        *next += count as u64;
        taking(*next);
        for _ in 0..count {
            index = slots.take(index, buffer);
        }
        slots.trim();
        Found::Items
    }

    /// How many items a reader that has come to `next` could take.
    pub(super) fn unread(&self, next: u64) -> u64 {
        let slots = self.lock();
        slots.end() - next.max(slots.first)
    }

    /// How many items have come.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// A reader that has come to `next` is gone.
    pub(super) fn leave(&self, next: u64) {
        let mut gone = VecDeque::new();
        let mut slots = self.lock();
        slots.readers -= 1;
        let mut index = next.saturating_sub(slots.first) as usize;
        let unread = slots.queue.len() - index;
        for _ in 0..unread {
            index = slots.release(index, &mut gone);
        }
        slots.trim();
        // What they hold is dropped after the lock is let go.
        drop(slots);
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, Slots<T>> {
        // Nothing in here can leave it half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Slots<T> {
    fn end(&self) -> u64 {
        self.first + self.queue.len() as u64
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
        // The first: whoever has yet to take one before it, has yet to take this one, too.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of numbers, for what it takes.
    struct Reader<'a> {
        ring: &'a Ring<u32>,
        next: u64,
    }

    impl<'a> Reader<'a> {
        fn of(ring: &'a Ring<u32>) -> Self {
            Self { ring, next: ring.join() }
        }

        fn take(&mut self, most: usize) -> (Found, Vec<u32>) {
            let mut buffer = VecDeque::new();
            let found = self.ring.take(&mut self.next, most, &mut buffer, |_| {});
            (found, buffer.into())
        }
    }

    #[test]
    fn every_reader_gets_every_item_in_order_and_the_last_one_empties_the_ring() {
        let ring = Ring::new(8);
        let (mut early, mut other) = (Reader::of(&ring), Reader::of(&ring));
        ring.extend(&mut vec![1, 2, 3], &mut Vec::new());
        let mut late = Reader::of(&ring);
        ring.extend(&mut vec![4], &mut Vec::new());
        assert_eq!(early.take(2), (Found::Items, vec![1, 2]));
        assert_eq!(late.take(9), (Found::Items, vec![4]));
        assert_eq!(other.take(9), (Found::Items, vec![1, 2, 3, 4]));
        assert_eq!(early.take(9), (Found::Items, vec![3, 4]));
        assert_eq!(early.take(9), (Found::Nothing, vec![]));
        assert_eq!(ring.lock().queue.len(), 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_oldest_first_and_counted() {
        let ring = Ring::new(3);
        let mut reader = Reader::of(&ring);
        ring.extend(&mut vec![1, 2, 3, 4, 5], &mut Vec::new());
        assert_eq!(ring.unread(reader.next), 3);
        assert_eq!(reader.take(9), (Found::Lagged(2), vec![]));
        assert_eq!(reader.take(9), (Found::Items, vec![3, 4, 5]));
    }

    #[test]
    fn a_batch_larger_than_the_ring_leaves_its_newest() {
        let ring = Ring::new(2);
        let (mut one, mut two) = (Reader::of(&ring), Reader::of(&ring));
        ring.extend(&mut (0..100).collect(), &mut Vec::new());
        for reader in [&mut one, &mut two] {
            assert_eq!(reader.take(9), (Found::Lagged(98), vec![]));
            assert_eq!(reader.take(9), (Found::Items, vec![98, 99]));
        }
    }

    #[test]
    fn readers_that_go_leave_nothing_behind_and_take_nothing_from_others() {
        let ring = Ring::new(8);
        let (gone, mut stays) = (Reader::of(&ring), Reader::of(&ring));
        ring.extend(&mut vec![1, 2, 3], &mut Vec::new());
        assert_eq!(stays.take(1), (Found::Items, vec![1]));
        ring.leave(gone.next);
        assert_eq!(stays.take(9), (Found::Items, vec![2, 3]));
        ring.leave(stays.next);
        ring.extend(&mut vec![4], &mut Vec::new());
        assert_eq!(ring.lock().queue.len(), 0);
        assert_eq!(Reader::of(&ring).take(9), (Found::Nothing, vec![]));
    }

    #[test]
    fn a_closed_ring_ends_after_what_is_in_it() {
        let ring = Ring::new(8);
        let mut reader = Reader::of(&ring);
        ring.extend(&mut vec![1], &mut Vec::new());
        ring.close();
        assert_eq!(reader.take(9), (Found::Items, vec![1]));
        assert_eq!(reader.take(9), (Found::Closed, vec![]));
    }
}
