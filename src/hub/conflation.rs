//! [`Conflation`]: the publisher's side of a queue that keeps only the newest event of each key.

use std::sync::Arc;

use crate::event::{Event, Gap};
use crate::hub::filter::Predicate;

use super::ack::AckTracker;
use super::cursor::Cursor;
use super::finish::DrainSignal;
use super::latest::{Latest, LatestReader, Removed};
use super::limits::QueueLimits;
use super::predicate::{ChannelKey, PredicateFailure, Sent, judge};
use super::wakers::Wakers;

/// A channel with one reader: what is newest differs by what a reader has taken.
#[derive(Debug)]
pub(super) struct Conflation {
    key: ChannelKey,
    queue: Arc<Latest>,
    cursor: Arc<Cursor>,
    /// Its number in the ack.
    account: Option<u64>,
    /// Published, and not yet in the queue: keys are users' code, which never runs under the hub's lock.
    batch: Vec<Sent>,
    published: u64,
}

/// What is to be entered when no lock is held.
pub(super) struct Batch {
    queue: Arc<Latest>,
    account: Option<u64>,
    sent: Vec<Sent>,
    /// What each event has to pass first.
    judge: Option<(Predicate, PredicateFailure)>,
}

impl Batch {
    /// True if a predicate has panicked: nothing more comes then.
    pub(super) fn enter(mut self, ack: Option<&AckTracker>, wakers: &mut Wakers) -> bool {
        let judged = self.judge();
        let panicked = !judged.lost.is_empty();
        self.queue.enter(self.sent, judged, ack.zip(self.account), wakers);
        if panicked {
            self.queue.close(wakers);
        }
        panicked
    }

    /// Leaves what passes, and says what does not: turned down, or not to come any more after a panic.
    fn judge(&mut self) -> Removed {
        let mut removed = Removed::default();
        let Some((predicate, failure)) = &self.judge else { return removed };
        self.sent.retain(|sent| {
            let Sent::Event(event) = sent else { return removed.lost.is_empty() };
            let passes = if removed.lost.is_empty() { judge(predicate, event, failure) } else { None };
            match passes {
                Some(false) => removed.replaced.push(event.position()),
                None => removed.lost.push(event.position()),
                Some(true) => {}
            }
            passes == Some(true)
        });
        removed
    }
}

impl Conflation {
    pub(super) fn new(key: ChannelKey, limits: &QueueLimits, account: Option<u64>) -> Self {
        let cursor = Arc::new(Cursor::at(0));
        let queue = Latest::new(limits.clone(), Arc::clone(&cursor));
        Self { key, queue, cursor, account, batch: Vec::new(), published: 0 }
    }

    pub(super) fn reader(&self, finish: &Arc<DrainSignal>) -> LatestReader {
        self.queue.reader(finish)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.key.has_failed()
    }

    pub(super) fn matches(&self, event_type: &str) -> bool {
        // Nothing more comes after a predicate has panicked.
        self.key.filter.matches(event_type) && !self.has_failed()
    }

    pub(super) fn publish_noted(&mut self, ack: Option<&AckTracker>, event: Event) {
        if let (Some(ack), Some(account)) = (ack, self.account) {
            ack.published([account].into_iter(), &event);
        }
        self.published += 1;
        self.batch.push(Sent::Event(event));
    }

    pub(super) fn publish_gap(&mut self, gap: Gap) {
        if !self.has_failed() {
            self.batch.push(Sent::Gap(gap));
        }
    }

    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        if self.batch.is_empty() {
            return None;
        }
        let (queue, sent) = (Arc::clone(&self.queue), std::mem::take(&mut self.batch));
        Some(Batch { queue, account: self.account, sent, judge: self.key.judge() })
    }

    pub(super) fn cursor(&self) -> Arc<Cursor> {
        Arc::clone(&self.cursor)
    }

    /// How many events its reader still has to take.
    pub(super) fn lag(&self) -> u64 {
        self.published - self.cursor.position().min(self.published)
    }

    /// Those whose reader is gone. To be dropped when no lock is held: keys are users'.
    pub(super) fn take_unused(conflations: &mut Vec<Self>) -> Vec<Self> {
        let (unused, used) = std::mem::take(conflations).into_iter().partition(|one| one.cursor.is_gone());
        *conflations = used;
        unused
    }

    pub(super) fn close(&mut self, ack: Option<&AckTracker>, wakers: &mut Wakers) {
        if let Some(batch) = self.take_batch() {
            batch.enter(ack, wakers);
        }
        self.cursor.end_at(self.published);
        self.queue.close(wakers);
    }
}
