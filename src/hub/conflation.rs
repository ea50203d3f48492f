//! [`Conflation`]: the publisher's side of a queue that keeps only the newest event of each key.

use std::sync::Arc;

use crate::delivery::Gap;
use crate::event::Event;
use crate::filter::Filter;

use super::cursor::Cursor;
use super::finish::Finish;
use super::latest::{Latest, LatestReader, Sent};
use super::ledger::Ledger;
use super::limits::Limits;
use super::wakers::Wakers;

/// A channel with one reader: what is newest differs by what a reader has taken.
#[derive(Debug)]
pub(super) struct Conflation {
    filter: Filter,
    queue: Arc<Latest>,
    cursor: Arc<Cursor>,
    /// Its number in the ledger.
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
}

impl Batch {
    pub(super) fn enter(self, ledger: Option<&Ledger>, wakers: &mut Wakers) {
        self.queue.enter(self.sent, ledger.zip(self.account), wakers);
    }
}

impl Conflation {
    pub(super) fn new(filter: Filter, limits: &Limits, account: Option<u64>) -> Self {
        let cursor = Arc::new(Cursor::at(0));
        let queue = Latest::new(limits.clone(), Arc::clone(&cursor));
        Self { filter, queue, cursor, account, batch: Vec::new(), published: 0 }
    }

    pub(super) fn reader(&self, finish: &Arc<Finish>) -> LatestReader {
        self.queue.reader(finish)
    }

    pub(super) fn matches(&self, event_type: &str) -> bool {
        self.filter.matches(event_type)
    }

    pub(super) fn publish_noted(&mut self, ledger: Option<&Ledger>, event: Event) {
        if let (Some(ledger), Some(account)) = (ledger, self.account) {
            ledger.published([account].into_iter(), &event);
        }
        self.published += 1;
        self.batch.push(Sent::Event(event));
    }

    pub(super) fn publish_gap(&mut self, gap: Gap) {
        self.batch.push(Sent::Gap(gap));
    }

    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        let (queue, account) = (Arc::clone(&self.queue), self.account);
        (!self.batch.is_empty()).then(|| Batch { queue, account, sent: std::mem::take(&mut self.batch) })
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

    pub(super) fn close(mut self, ledger: Option<&Ledger>, wakers: &mut Wakers) {
        if let Some(batch) = self.take_batch() {
            batch.enter(ledger, wakers);
        }
        self.cursor.end_at(self.published);
        self.queue.close(wakers);
    }
}
