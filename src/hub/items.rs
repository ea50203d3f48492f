//! [`Items`] and [`TurnBatch`]: the items of a ring, and those of a turn, which enter it together.
//!
//! Both are queues of items and nothing else. So a batch becomes the queue of an empty ring by a
//! swap, and a sole reader that takes everything gets that queue by another: what is done for each
//! event is done when it enters the batch.

use std::collections::VecDeque;

use super::overflow::{QueueItem, QueueLimits, QueueSize};

/// The number of items for which an empty queue keeps memory: those of one turn.
const MAX_IDLE_ITEMS: usize = 64;

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
    /// The bytes of all items in the queue.
    bytes: u64,
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
        Self { queue: VecDeque::new(), first: 0, bytes: 0 }
    }

    /// The position after the last item.
    pub(super) fn end(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// The size of the part of the queue from position `next` on.
    pub(super) fn size_from(&self, next: u64) -> QueueSize {
        let index = next.saturating_sub(self.first) as usize;
        let items = (self.queue.len() - index) as u64;
        // Most often nothing is left out.
        let bytes = if index == 0 { self.bytes } else { self.queue.range(index..).map(T::bytes).sum() };
        QueueSize { items, bytes }
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
        let fits = self.queue.len() + batch.items.len() <= limits.capacity && self.bytes + bytes <= limits.bytes;
        if !fits {
            batch.items.drain(..).for_each(|item| self.push(item, dropped, limits, reserve));
            return;
        }
        self.bytes += bytes;
        if self.queue.is_empty() && is_idle_size(&self.queue) && is_idle_size(&batch.items) {
            std::mem::swap(&mut self.queue, &mut batch.items);
        } else {
            self.queue.append(&mut batch.items);
        }
    }

    /// Appends one item. Drops the oldest until there is room for it.
    fn push(&mut self, item: T, dropped: &mut Vec<T>, limits: &QueueLimits, reserve: usize) {
        let (capacity, bytes) = (limits.capacity + reserve, item.bytes());
        // Items that use the reserve push nothing out before that is used up: so many items, or as
        // many bytes again.
        let max_bytes = match (item.uses_reserve(), bytes) {
            (false, _) => limits.bytes,
            (true, 0) => u64::MAX,
            (true, _) => limits.bytes.saturating_mul(2),
        };
        // One item always fits.
        while !self.queue.is_empty() && (self.queue.len() >= capacity || self.bytes >= max_bytes) {
            dropped.extend(self.pop_first());
        }
        self.bytes += bytes;
        self.queue.push_back(item);
    }

    #[inline]
    fn pop_first(&mut self) -> Option<T> {
        let item = self.queue.pop_front()?;
        self.first += 1;
        self.bytes -= item.bytes();
        Some(item)
    }

    /// Moves the items before `lowest`, which no reader needs any more, out of the queue.
    pub(super) fn drain_to(&mut self, lowest: u64, taken: &mut VecDeque<T>) {
        if lowest == self.end() && taken.is_empty() && is_idle_size(&self.queue) {
            (self.first, self.bytes) = (lowest, 0);
            std::mem::swap(&mut self.queue, taken);
            return;
        }
        taken.reserve((lowest - self.first) as usize);
        while self.first < lowest {
            let Some(item) = self.pop_first() else { return };
            taken.push_back(item);
        }
    }

    /// Clones the items from position `next` up to `end`.
    pub(super) fn clone_range(&self, next: u64, end: u64, taken: &mut VecDeque<T>) {
        let range = (next - self.first) as usize..(end - self.first) as usize;
        // An event is one counted reference, so a clone for each reader copies no text.
        taken.extend(self.queue.range(range).cloned());
    }

    /// Gives back the memory that a burst needed, if the queue is empty.
    pub(super) fn trim(&mut self) {
        // A turn brings up to 64 items, and the next one would allocate that much again.
        if self.queue.is_empty() && !is_idle_size(&self.queue) {
            self.queue = VecDeque::new();
        }
    }
}

/// Returns true if a queue has no more memory than an idle one may keep.
fn is_idle_size<T>(queue: &VecDeque<T>) -> bool {
    queue.capacity() <= MAX_IDLE_ITEMS
}
