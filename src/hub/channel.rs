//! [`Channel`]: a ring of items and gaps, as the publisher uses it.

use std::sync::Arc;

use crate::event::Gap;

use super::backpressure::PublisherWait;
use super::drain::DrainSignal;
use super::items::TurnBatch;
use super::overflow::{QueueItem, QueueLimits, QueueSize};
use super::reader::Reader;
use super::readers::Readers;
use super::ring::{Ring, Survey};
use super::sync::Wakers;

/// The publisher's side of one ring. Under the hub's lock.
#[derive(Debug)]
pub(super) struct Channel<T> {
    pub(super) ring: Arc<Ring<T>>,
    /// The items of this turn, which enter the ring together.
    batch: TurnBatch<T>,
    /// Items that the ring had no room for, to be dropped when no lock is held.
    dropped: Vec<T>,
    /// The amount that may be published before the ring is surveyed again. Readers only add to it.
    credit: QueueSize,
    /// Something was published that readers have not been woken for.
    has_news: bool,
}

impl<T: QueueItem> Channel<T> {
    /// `reserve`: how many items the queues hold beyond their capacity before the oldest are
    /// dropped.
    pub(super) fn new(limits: &QueueLimits, reserve: usize, wait: &Arc<PublisherWait>) -> Self {
        Self {
            ring: Arc::new(Ring::new(limits.clone(), reserve, Arc::clone(wait))),
            batch: TurnBatch::new(),
            dropped: Vec::new(),
            credit: QueueSize::default(),
            has_news: false,
        }
    }

    /// Adds a reader of the items that are published from now on.
    ///
    /// `ack`: its number in the tracker, if it acknowledges.
    pub(super) fn reader(&mut self, name: Arc<str>, drain: &Arc<DrainSignal>, ack: Option<u64>) -> Reader<T> {
        // The new reader must not see the items of this turn.
        self.flush();
        Reader::new(Arc::clone(&self.ring), name, Arc::clone(drain), ack)
    }

    /// Publishes an item. Returns true if there is credit for another.
    #[inline]
    pub(super) fn publish(&mut self, item: T) -> bool {
        let bytes = item.bytes();
        self.batch.push(item, bytes);
        self.has_news = true;
        self.charge(bytes)
    }

    /// Charges the credit for an item of this size. Returns true if there is some left.
    #[inline]
    pub(super) fn charge(&mut self, bytes: u64) -> bool {
        self.credit.items = self.credit.items.saturating_sub(1);
        self.credit.bytes = self.credit.bytes.saturating_sub(bytes);
        !self.credit.is_used_up()
    }

    /// Publishes an item for which the credit has been charged.
    pub(super) fn enter(&mut self, item: T) {
        let bytes = item.bytes();
        self.batch.push(item, bytes);
        self.has_news = true;
    }

    /// Publishes a gap after the items that have been published.
    pub(super) fn publish_gap(&mut self, gap: &Gap) {
        self.flush();
        self.ring.push_gap(gap);
        self.has_news = true;
    }

    /// Moves the items of this turn into the ring, without waking readers.
    pub(super) fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.ring.extend(&mut self.batch, &mut self.dropped, None);
        }
    }

    /// Moves the items of this turn into the ring. Returns what was dropped there, and adds the
    /// wakers of readers; both are for when no lock is held.
    pub(super) fn settle(&mut self, wakers: &mut Wakers) -> Option<Vec<T>> {
        if std::mem::take(&mut self.has_news) {
            self.ring.extend(&mut self.batch, &mut self.dropped, Some(wakers));
        }
        (!self.dropped.is_empty()).then(|| std::mem::take(&mut self.dropped))
    }

    /// Asks the ring for credit, if there is none left. The credit is zero if a queue is full.
    pub(super) fn survey(&mut self) -> Survey {
        let mut should_yield = false;
        // With credit left there is nothing to ask: readers only make more room.
        if self.credit.is_used_up() {
            // What is in the batch takes room as well.
            self.flush();
            Survey { credit: self.credit, should_yield } = self.ring.survey();
        }
        Survey { credit: self.credit, should_yield }
    }

    /// Prepares for a stream that begins again at events which readers may have lost: those that
    /// move are waited for again.
    pub(super) fn restart(&mut self) {
        self.ring.with_readers(Readers::forgive_moving);
        // No credit makes the next survey look at the ring: the queues of forgiven readers may be
        // full.
        self.credit = QueueSize::default();
    }

    /// Returns true if a reader has taken everything that was published.
    pub(super) fn has_caught_up_reader(&self) -> bool {
        self.batch.is_empty() && self.ring.has_caught_up_reader()
    }

    /// Returns how many items the slowest reader has yet to take. Items that a stuck reader has
    /// lost do not count.
    pub(super) fn lag(&self) -> u64 {
        self.ring.lag(self.batch.len())
    }

    /// Ends the channel: its readers get what was published, and then the end.
    pub(super) fn close(&mut self, wakers: &mut Wakers) {
        self.flush();
        self.ring.close(wakers);
    }
}
