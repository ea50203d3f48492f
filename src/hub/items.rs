//! [`Items`] and [`TurnBatch`]: the items of a ring, and those of a turn, which enter it together.
//!
//! Both keep plain items in a queue, and sizes beside it. So a batch becomes the queue of an empty
//! ring by a swap, and a reader that takes all that is left gets that queue by another. What is
//! done for each event is done when it enters the batch.

use std::collections::VecDeque;

use super::overflow::{QueueItem, QueueLimits, QueueSize};

/// The number of items for which an empty queue keeps memory: those of one turn.
const MAX_IDLE_ITEMS: usize = 64;

/// The minimum distance between two [`Mark`]s.
const MARK_EVERY: u64 = 64;

/// The items of one turn.
#[derive(Debug)]
pub(super) struct TurnBatch<T> {
    items: VecDeque<T>,
    bytes: u64,
}

/// The items that a ring holds.
#[derive(Debug)]
pub(super) struct Items<T> {
    queue: VecDeque<T>,
    /// The position of the first item.
    pub(super) first: u64,
    /// The bytes of all items before the first.
    bytes_before: u64,
    /// The bytes of all items so far.
    bytes_so_far: u64,
    /// Places in a long queue, so that the size of a part of it need not be added up from the
    /// beginning: at least [`MARK_EVERY`] items apart, and at most a batch more.
    marks: VecDeque<Mark>,
}

/// A position, and the bytes of all items before it.
#[derive(Debug)]
struct Mark {
    position: u64,
    bytes_before: u64,
}

impl<T> TurnBatch<T> {
    pub(super) fn new() -> Self {
        Self { items: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an item of this size.
    #[inline]
    pub(super) fn push(&mut self, item: T, bytes: u64) {
        self.items.push_back(item);
        self.bytes += bytes;
    }

    /// Moves all items into `dropped`.
    pub(super) fn discard(&mut self, dropped: &mut Vec<T>) {
        self.bytes = 0;
        dropped.extend(self.items.drain(..));
    }
}

impl<T: QueueItem> Items<T> {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), first: 0, bytes_before: 0, bytes_so_far: 0, marks: VecDeque::new() }
    }

    /// The position after the last item.
    pub(super) fn end(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// The size of the part of the queue from position `next` on.
    pub(super) fn size_from(&self, next: u64) -> QueueSize {
        let next = next.max(self.first);
        QueueSize { items: self.end() - next, bytes: self.bytes_so_far - self.bytes_up_to(next) }
    }

    /// The bytes of all items before this position. Adds up the items from the beginning of the
    /// queue, or those up to the next mark, whichever is near.
    fn bytes_up_to(&self, position: u64) -> u64 {
        let index = (position - self.first) as usize;
        if (index as u64) < MARK_EVERY {
            return self.bytes_before + self.queue.range(..index).map(T::bytes).sum::<u64>();
        }
        let (end, before_end) = match self.marks.get(self.marks.partition_point(|mark| mark.position < position)) {
            Some(mark) => (mark.position, mark.bytes_before),
            None => (self.end(), self.bytes_so_far),
        };
        before_end - self.queue.range(index..(end - self.first) as usize).map(T::bytes).sum::<u64>()
    }

    /// The bytes of all items in the queue.
    fn bytes(&self) -> u64 {
        self.bytes_so_far - self.bytes_before
    }

    /// Appends a batch. Drops the oldest where there is no room for it.
    pub(super) fn extend(
        &mut self,
        batch: &mut TurnBatch<T>,
        dropped: &mut Vec<T>,
        limits: &QueueLimits,
        reserve: usize,
    ) {
        let bytes = std::mem::take(&mut batch.bytes);
        let fits = self.queue.len() + batch.items.len() <= limits.capacity && self.bytes() + bytes <= limits.bytes;
        if !fits {
            batch.items.drain(..).for_each(|item| self.push(item, dropped, limits, reserve));
            return;
        }
        self.mark();
        self.bytes_so_far += bytes;
        if self.queue.is_empty() && is_idle_size(&self.queue) && is_idle_size(&batch.items) {
            std::mem::swap(&mut self.queue, &mut batch.items);
        } else {
            self.queue.append(&mut batch.items);
        }
    }

    /// Appends one item. Drops the oldest until there is room for it.
    fn push(&mut self, item: T, dropped: &mut Vec<T>, limits: &QueueLimits, reserve: usize) {
        let (capacity, bytes) = (limits.capacity + reserve, item.bytes());
        // Items that use the reserve drop nothing until that is used up: so many items, or as many
        // bytes as the limit.
        let max_bytes = match (item.uses_reserve(), bytes) {
            (false, _) => limits.bytes,
            (true, 0) => u64::MAX,
            (true, _) => limits.bytes.saturating_mul(2),
        };
        // One item always fits.
        while !self.queue.is_empty() && (self.queue.len() >= capacity || self.bytes() >= max_bytes) {
            dropped.extend(self.pop_first());
        }
        self.mark();
        self.bytes_so_far += bytes;
        self.queue.push_back(item);
    }

    /// Marks the end of the queue, if the last mark is far from it.
    fn mark(&mut self) {
        let (last, end) = (self.marks.back().map_or(self.first, |mark| mark.position), self.end());
        if end - last >= MARK_EVERY {
            self.marks.push_back(Mark { position: end, bytes_before: self.bytes_so_far });
        }
    }

    #[inline]
    fn pop_first(&mut self) -> Option<T> {
        let item = self.queue.pop_front()?;
        self.first += 1;
        self.bytes_before += item.bytes();
        if self.marks.front().is_some_and(|mark| mark.position <= self.first) {
            self.marks.pop_front();
        }
        Some(item)
    }

    /// Moves the items before `lowest`, which no reader needs any more, out of the queue.
    pub(super) fn drain_to(&mut self, lowest: u64, taken: &mut VecDeque<T>) {
        // Nothing to move: other readers need all items, or there are none.
        if lowest == self.first {
            return;
        }
        if lowest == self.end() && taken.is_empty() && is_idle_size(&self.queue) {
            (self.first, self.bytes_before) = (lowest, self.bytes_so_far);
            self.marks.clear();
            std::mem::swap(&mut self.queue, taken);
            return;
        }
        self.bytes_before = self.bytes_up_to(lowest);
        taken.extend(self.queue.drain(..(lowest - self.first) as usize));
        self.first = lowest;
        let passed = self.marks.partition_point(|mark| mark.position <= lowest);
        self.marks.drain(..passed);
    }

    /// Clones the items from position `next` up to `end`.
    pub(super) fn clone_range(&self, next: u64, end: u64, taken: &mut VecDeque<T>) {
        let range = (next - self.first) as usize..(end - self.first) as usize;
        // An event is one counted reference, so a clone for each reader copies no text.
        // Not `extend`, which costs more for a single event, and that is the usual case.
        self.queue.range(range).for_each(|item| taken.push_back(item.clone()));
    }

    /// Gives back the memory that a burst needed, if the queue is empty.
    pub(super) fn trim(&mut self) {
        // A turn brings up to 64 items, and the next one would allocate that much again.
        if self.queue.is_empty() && !is_idle_size(&self.queue) {
            (self.queue, self.marks) = (VecDeque::new(), VecDeque::new());
        }
    }
}

/// Returns true if a queue has no more memory than an idle one may keep.
fn is_idle_size<T>(queue: &VecDeque<T>) -> bool {
    queue.capacity() <= MAX_IDLE_ITEMS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Overflow;

    /// An item that is as large as its number.
    #[derive(Debug, Clone)]
    struct TestItem(u64);

    impl QueueItem for TestItem {
        fn bytes(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn the_size_from_each_position_is_that_of_its_items() {
        let mut random = fastrand::Rng::with_seed(3);
        for (capacity, bytes) in [(1_000, u64::MAX), (1_000, 300), (70, u64::MAX)] {
            let limits = QueueLimits { bytes, ..QueueLimits::of(capacity, Overflow::DropOldest) };
            let (mut items, mut batch, mut dropped) = (Items::new(), TurnBatch::new(), Vec::new());
            for _turn in 0..200 {
                for _ in 0..random.usize(..100) {
                    let item = random.u64(..5);
                    batch.push(TestItem(item), item);
                }
                items.extend(&mut batch, &mut dropped, &limits, 0);
                let lowest = random.u64(items.first..=items.end());
                items.drain_to(lowest, &mut VecDeque::new());
                for next in lowest..=items.end() {
                    let part = items.queue.range((next - lowest) as usize..);
                    let size = QueueSize { items: part.len() as u64, bytes: part.map(TestItem::bytes).sum() };
                    assert_eq!(items.size_from(next), size, "from {next} of {lowest} to {}", items.end());
                }
                let max_marks = 1 + (items.end() - items.first) / MARK_EVERY;
                assert!(items.marks.len() as u64 <= max_marks, "{:?}", items.marks);
            }
        }
    }
}
