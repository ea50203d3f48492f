//! The gaps of one channel: beside the ring, so that they take no room in it and cannot be overwritten.
//!
//! A gap stands before the item at position `at`. Gaps at one position merge by kind, and so do those
//! whose neighbours have left the ring; so there are at most two for each item in the ring.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::delivery::Gap;

#[derive(Debug, Default)]
pub(super) struct GapLog {
    entries: VecDeque<Entry>,
    /// The serial number of the newest entry, to be seen without the lock.
    newest: Arc<AtomicU64>,
    oversized: Totals,
}

#[derive(Debug)]
struct Entry {
    serial: u64,
    at: u64,
    gap: Gap,
    /// All oversized events of the channel up to here: what merges differs by what a reader has seen.
    oversized: Totals,
}

#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    events: u64,
    size: u64,
}

impl GapLog {
    pub(super) fn lock(log: &Mutex<Self>) -> MutexGuard<'_, Self> {
        // Nothing in here can leave it half changed.
        log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a gap after `at` items, of which those before `oldest` have left the ring.
    pub(super) fn push(&mut self, gap: Gap, at: u64, oldest: u64) {
        if let Gap::Oversized { events, size, .. } = &gap {
            self.oversized.events = self.oversized.events.saturating_add(*events);
            self.oversized.size = self.oversized.size.saturating_add(*size);
        }
        let serial = self.newest.load(Ordering::Relaxed) + 1;
        self.entries.push_back(Entry { serial, at, gap, oversized: self.oversized });
        self.merge(oldest);
        self.newest.store(serial, Ordering::Release);
    }

    /// Keeps, of neighbours of a kind, the newest: it speaks for the others.
    fn merge(&mut self, oldest: u64) {
        let place = |entry: &Entry| entry.at.max(oldest);
        let mut merged: VecDeque<Entry> = VecDeque::with_capacity(self.entries.len());
        for entry in self.entries.drain(..) {
            merged.retain(|earlier| place(earlier) != place(&entry) || !earlier.gap.same_kind(&entry.gap));
            merged.push_back(entry);
        }
        self.entries = merged;
    }
}

/// One subscriber's place in the log.
#[derive(Debug)]
pub(crate) struct GapReader {
    log: Arc<Mutex<GapLog>>,
    newest: Arc<AtomicU64>,
    /// The serial number of the last gap that was taken.
    seen: u64,
    oversized: Totals,
}

impl GapReader {
    pub(super) fn new(log: &Arc<Mutex<GapLog>>) -> Self {
        let locked = GapLog::lock(log);
        let newest = Arc::clone(&locked.newest);
        let (seen, oversized) = (newest.load(Ordering::Relaxed), locked.oversized);
        Self { log: Arc::clone(log), newest, seen, oversized }
    }

    /// The next gap that stands before the item at `position`.
    #[inline]
    pub(crate) fn next(&mut self, position: u64) -> Option<Gap> {
        if self.newest.load(Ordering::Acquire) == self.seen { None } else { self.next_unseen(position) }
    }

    #[cold]
    fn next_unseen(&mut self, position: u64) -> Option<Gap> {
        let log = GapLog::lock(&self.log);
        let entry = log.entries.iter().find(|entry| entry.serial > self.seen && entry.at <= position)?;
        self.seen = entry.serial;
        let mut gap = entry.gap.clone();
        if let Gap::Oversized { events, size, .. } = &mut gap {
            *events = entry.oversized.events - self.oversized.events;
            *size = entry.oversized.size.saturating_sub(self.oversized.size);
            self.oversized = entry.oversized;
        }
        Some(gap)
    }
}
