//! The gaps of one channel: beside the ring, so that they take no room in it and cannot be overwritten.
//!
//! A gap stands before the item at position `at`. Gaps at one position merge by kind, and so do those
//! whose neighbours have left the ring; so there are at most two for each item in the ring.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Gap;

#[derive(Debug, Default)]
pub(super) struct GapLog {
    entries: VecDeque<Entry>,
    /// The serial number of the newest entry, to be seen without the lock.
    newest: Arc<AtomicU64>,
    oversized: Totals,
    /// How many reconnections without an ID there have been.
    losses: u64,
}

#[derive(Debug)]
struct Entry {
    serial: u64,
    at: u64,
    gap: Gap,
    /// All oversized events of the channel up to here: what merges differs by what a reader has seen.
    oversized: Totals,
    /// The same for reconnections without an ID: what merges with a later one is still a loss.
    losses: u64,
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
        self.losses += u64::from(matches!(gap, Gap::Reconnected { sent: None }));
        let serial = self.newest.load(Ordering::Relaxed) + 1;
        self.entries.push_back(Entry { serial, at, gap, oversized: self.oversized, losses: self.losses });
        self.merge(oldest);
        self.newest.store(serial, Ordering::Release);
    }

    /// Keeps, of neighbours of a kind, the newest: it speaks for the others. Each gap is looked at once
    /// when it comes, and once more when the items around it have left the ring.
    fn merge(&mut self, oldest: u64) {
        // Before the new one, at its position, there is at most one of each kind.
        if let Some(new) = self.entries.pop_back() {
            let neighbours = self.entries.iter().rev().take_while(|entry| entry.at == new.at).count();
            let first = self.entries.len() - neighbours;
            let same = (first..self.entries.len()).find(|&index| self.entries[index].gap.same_kind(&new.gap));
            if let Some(index) = same {
                self.entries.remove(index);
            }
            self.entries.push_back(new);
        }
        // In front, what lies outside the ring is all in one place: one of each kind is enough.
        while self.entries.len() > KINDS && self.entries.get(KINDS).is_some_and(|entry| entry.at <= oldest) {
            // Of three, two are of a kind; the older of them goes.
            let spare = (0..KINDS).find(|&index| has_newer(&self.entries, index));
            self.entries.remove(spare.unwrap_or(0));
        }
    }
}

/// Kinds of gap that are logged: reconnections and oversized events. (Lag is each reader's own.)
const KINDS: usize = 2;

/// Whether one of the entries right after `index`, outside the ring like it, is of the same kind.
fn has_newer(entries: &VecDeque<Entry>, index: usize) -> bool {
    entries.range(index + 1..=KINDS).any(|newer| newer.gap.same_kind(&entries[index].gap))
}

/// One subscriber's place in the log.
#[derive(Debug)]
pub(super) struct GapReader {
    log: Arc<Mutex<GapLog>>,
    newest: Arc<AtomicU64>,
    /// The serial number of the last gap that was taken.
    seen: u64,
    oversized: Totals,
    losses: u64,
    /// Received out of the log together with the items around them.
    held: VecDeque<(u64, Gap)>,
}

impl GapReader {
    pub(super) fn new(log: &Arc<Mutex<GapLog>>) -> Self {
        let locked = GapLog::lock(log);
        let newest = Arc::clone(&locked.newest);
        let (seen, oversized, losses) = (newest.load(Ordering::Relaxed), locked.oversized, locked.losses);
        Self { log: Arc::clone(log), newest, seen, oversized, losses, held: VecDeque::new() }
    }

    /// The next gap that stands before the item at `position`.
    #[inline]
    pub(super) fn next(&mut self, position: u64) -> Option<Gap> {
        let nothing = self.held.is_empty() && self.newest.load(Ordering::Acquire) == self.seen;
        if nothing { None } else { self.next_unseen(position) }
    }

    /// Takes the gaps between the items before `end`, which have left the ring, or may from now on: then the log
    /// merges what stood between them.
    pub(super) fn hold(&mut self, end: u64) {
        if self.newest.load(Ordering::Acquire) != self.seen {
            while let Some((at, gap)) = self.take_from_log(|at| at < end) {
                self.held.push_back((at, gap));
            }
        }
    }

    #[cold]
    fn next_unseen(&mut self, position: u64) -> Option<Gap> {
        match self.held.front() {
            Some(&(at, _)) if at <= position => self.held.pop_front().map(|(_, gap)| gap),
            Some(_) => None,
            None => self.take_from_log(|at| at <= position).map(|(_, gap)| gap),
        }
    }

    fn take_from_log(&mut self, is_wanted: impl Fn(u64) -> bool) -> Option<(u64, Gap)> {
        let log = GapLog::lock(&self.log);
        // Serial numbers and positions both rise.
        let unseen = log.entries.partition_point(|entry| entry.serial <= self.seen);
        let entry = log.entries.get(unseen).filter(|entry| is_wanted(entry.at))?;
        self.seen = entry.serial;
        let mut gap = entry.gap.clone();
        match &mut gap {
            Gap::Oversized { events, size, .. } => {
                *events = entry.oversized.events - self.oversized.events;
                *size = entry.oversized.size.saturating_sub(self.oversized.size);
                self.oversized = entry.oversized;
            }
            Gap::Reconnected { sent } => {
                if std::mem::replace(&mut self.losses, entry.losses) != entry.losses {
                    *sent = None;
                }
            }
            Gap::Lagged { .. } | Gap::NotRetained { .. } => {}
        }
        Some((entry.at, gap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oversized(size: u64) -> Gap {
        Gap::oversized(Some("big".into()), None, size)
    }

    fn log() -> Arc<Mutex<GapLog>> {
        Arc::default()
    }

    fn taken(reader: &mut GapReader, position: u64) -> Vec<Gap> {
        std::iter::from_fn(|| reader.next(position)).collect()
    }

    #[test]
    fn neighbours_of_a_kind_merge_and_a_reader_that_saw_some_gets_the_rest() {
        let log = log();
        let (mut early, mut late) = (GapReader::new(&log), GapReader::new(&log));
        GapLog::lock(&log).push(oversized(10), 5, 0);
        assert_eq!(taken(&mut early, 4), []);
        assert_eq!(taken(&mut early, 5), [oversized(10)]);
        GapLog::lock(&log).push(Gap::reconnected(Some("w".into())), 5, 0);
        GapLog::lock(&log).push(oversized(7), 5, 0);
        GapLog::lock(&log).push(Gap::reconnected(Some("x".into())), 5, 0);
        let reconnected = Gap::reconnected(Some("x".into()));
        assert_eq!(taken(&mut early, 5), [oversized(7), reconnected.clone()]);
        let both = Gap::Oversized { event_type: Some("big".into()), id: None, events: 2, size: 17 };
        assert_eq!(taken(&mut late, 5), [both, reconnected]);
    }

    /// Also when the one that lost has left the ring, or something else stands between.
    #[test]
    fn a_reconnection_without_an_id_is_never_hidden_by_a_later_one_and_told_once() {
        let resumed = || Gap::reconnected(Some("x".into()));
        for at in [5, 100] {
            let log = log();
            let (mut early, mut late) = (GapReader::new(&log), GapReader::new(&log));
            GapLog::lock(&log).push(Gap::reconnected(None), 5, 0);
            assert_eq!(taken(&mut early, 5), [Gap::reconnected(None)]);
            GapLog::lock(&log).push(oversized(7), 5, 0);
            GapLog::lock(&log).push(resumed(), at, at - 1);
            GapLog::lock(&log).push(oversized(7), at, at);
            assert_eq!(taken(&mut early, at).into_iter().filter(|gap| *gap == resumed()).count(), 1);
            let reconnected: Vec<_> =
                taken(&mut late, at).into_iter().filter(|gap| gap.same_kind(&resumed())).collect();
            assert_eq!(reconnected, [Gap::reconnected(None)]);
            GapLog::lock(&log).push(resumed(), at + 1, at);
            assert_eq!(taken(&mut late, at + 1), [resumed()]);
        }
    }

    #[test]
    fn the_log_is_bounded_by_the_ring_and_loses_no_count() {
        let log = log();
        let mut reader = GapReader::new(&log);
        for at in 0..10_000_u64 {
            GapLog::lock(&log).push(oversized(1), at, at.saturating_sub(8));
            GapLog::lock(&log).push(Gap::reconnected(None), at, at.saturating_sub(8));
            assert!(GapLog::lock(&log).entries.len() <= 2 * 9 + 2);
        }
        let mut events = 0;
        for gap in taken(&mut reader, 10_000) {
            if let Gap::Oversized { events: more, .. } = gap {
                events += more;
            }
        }
        assert_eq!(events, 10_000);
    }
}
