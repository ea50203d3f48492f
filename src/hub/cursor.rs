//! [`Cursor`]: how far a reader has come, to be seen without a lock.

use super::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whoever looks is at most a moment behind.
#[derive(Debug)]
pub(super) struct Cursor {
    taken: AtomicU64,
    /// How many of the items up to here went by without being taken.
    skipped: AtomicU64,
    /// How many events there were to be taken first that are in no ring: what was retained.
    kept: AtomicU64,
    /// How many of them were taken.
    beside: AtomicU64,
    /// How far it has read the ring.
    fetched: AtomicU64,
    /// Where its channel ended, or what it could have taken when it was dropped; [`OPEN`] before.
    end: AtomicU64,
    /// How many of the items up to there had been dropped by then, of which it has not been told.
    lost: AtomicU64,
    gone: AtomicBool,
}

/// No channel gets that far.
const OPEN: u64 = u64::MAX;

impl Cursor {
    pub(super) fn at(position: u64) -> Self {
        let [taken, fetched] = [position, position].map(AtomicU64::new);
        let [skipped, kept, beside, lost] = [0, 0, 0, 0].map(AtomicU64::new);
        Self { taken, skipped, kept, beside, fetched, end: AtomicU64::new(OPEN), lost, gone: AtomicBool::new(false) }
    }

    pub(super) fn position(&self) -> u64 {
        self.taken() + self.skipped.load(Ordering::Acquire)
    }

    /// How many items it could take of a ring that holds so many at most, those from `first` on, up to `end`.
    pub(super) fn lag(&self, first: u64, end: u64, capacity: u64) -> u64 {
        // In this order: it may move meanwhile.
        let position = self.position();
        let fetched = self.fetched.load(Ordering::Acquire);
        fetched.saturating_sub(position) + end.saturating_sub(fetched.max(first)).min(capacity)
    }

    /// How many items it has taken of its ring, counted from where it began.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// The same, and what it has taken besides. Whatever is taken changes it: who takes is not stuck.
    pub(super) fn moves(&self) -> u64 {
        self.taken() + self.beside.load(Ordering::Acquire)
    }

    /// So many events come before what is in the ring.
    pub(super) fn keep(&self, events: u64) {
        self.kept.store(events, Ordering::Release);
    }

    pub(super) fn took_beside(&self) {
        self.beside.fetch_add(1, Ordering::AcqRel);
    }

    /// Nothing comes after `end`. The first to say so is right.
    pub(super) fn end_at(&self, end: u64) {
        let _ = self.end.compare_exchange(OPEN, end, Ordering::AcqRel, Ordering::Acquire);
    }

    /// At the end so many had been dropped, and it had not come to the hole yet.
    pub(super) fn ends_behind(&self, lost: u64) {
        self.lost.store(lost, Ordering::Release);
    }

    /// How many items there are still to take; `None` while more can come.
    pub(super) fn left(&self) -> Option<u64> {
        let end = self.end.load(Ordering::Acquire);
        // In this order, as in `lagged`: it may be told meanwhile, and must not seem to have taken everything.
        let position = self.position();
        let lost = self.lost.load(Ordering::Acquire);
        let beside = self.kept.load(Ordering::Acquire).saturating_sub(self.beside.load(Ordering::Acquire));
        (end != OPEN).then(|| end.saturating_sub(position + lost) + beside)
    }

    /// The reader was dropped.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn went(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// A load and a store: there is one writer.
    pub(super) fn took(&self) {
        self.taken.store(self.taken.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// By its reader, or by whoever drops or replaces what it has not taken.
    pub(super) fn skipped(&self, items: u64) {
        self.skipped.fetch_add(items, Ordering::AcqRel);
    }

    /// Its reader is told of what was dropped.
    pub(super) fn lagged(&self, missed: u64) {
        self.lost.store(0, Ordering::Release);
        self.skipped(missed);
    }

    pub(super) fn fetched(&self, next: u64) {
        self.fetched.store(next, Ordering::Release);
    }
}
