//! [`GapLog`]: the gaps of one channel.
//!
//! Gaps are logged beside the ring, so that they take no room in it and cannot be overwritten. A
//! gap stands before the item at position `at`. Gaps at one position merge by kind, and so do those
//! whose neighbours have left the ring, so there are at most two for each item in the ring.
//!
//! Readers see different parts of the log: one may have taken a gap before a newer one replaces it.
//! With [`Gap::merge`] the newer one would count again what that reader has already got. So the log
//! keeps the newest gap and running totals, and reports to each reader the difference to what it
//! has reported before.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::event::Gap;

use super::sync::lock;

/// The number of kinds of gap that are logged: reconnections and oversized events. Lag is each
/// reader's own.
const KINDS: usize = 2;

/// The gaps of one channel that a reader may still need.
#[derive(Debug, Default)]
pub(super) struct GapLog {
    gaps: VecDeque<LoggedGap>,
    /// The serial number of the newest gap, for readers to see without the lock.
    newest: Arc<AtomicU64>,
    totals: GapTotals,
}

/// One gap, and what had been logged up to it.
#[derive(Debug)]
struct LoggedGap {
    serial: u64,
    at: u64,
    gap: Gap,
    /// The totals up to and including this gap.
    totals: GapTotals,
}

/// The gaps logged, or reported to a reader, since the channel began.
#[derive(Debug, Default, Clone, Copy)]
struct GapTotals {
    oversized_events: u64,
    oversized_bytes: u64,
    /// Reconnections without an ID. One that merges with a later reconnection is still a loss.
    losses: u64,
}

impl GapTotals {
    /// Adds a gap to the totals.
    fn add(&mut self, gap: &Gap) {
        match gap {
            Gap::Oversized { events, size, .. } => {
                self.oversized_events = self.oversized_events.saturating_add(*events);
                self.oversized_bytes = self.oversized_bytes.saturating_add(*size);
            }
            Gap::Reconnected { sent } => self.losses += u64::from(sent.is_none()),
            Gap::Lagged { .. } | Gap::NotRetained { .. } => {}
        }
    }
}

impl GapLog {
    /// Logs a gap before position `at`. Items before `oldest` have left the ring.
    pub(super) fn push(log: &Mutex<Self>, gap: Gap, at: u64, oldest: u64) {
        let mut guard = lock(log);
        let Self { gaps, newest, totals } = &mut *guard;
        totals.add(&gap);
        // Relaxed: only this method writes it, and it holds the lock.
        let serial = newest.load(Ordering::Relaxed) + 1;
        // At its position there is at most one older gap of each kind. The new one replaces it.
        let first = gaps.len() - gaps.iter().rev().take_while(|logged| logged.at == at).count();
        if let Some(index) = gaps.range(first..).position(|older| older.gap.is_same_kind(&gap)) {
            gaps.remove(first + index);
        }
        gaps.push_back(LoggedGap { serial, at, gap, totals: *totals });
        // All gaps outside the ring are at one place, where one of each kind is enough. Of three,
        // two are of the same kind, and the older of them goes.
        while gaps.get(KINDS).is_some_and(|logged| logged.at <= oldest) {
            let is_first_repeated = gaps.range(1..=KINDS).any(|newer| newer.gap.is_same_kind(&gaps[0].gap));
            gaps.remove(usize::from(!is_first_repeated));
        }
        // Last: a reader that sees the new serial number finds the gap.
        newest.store(serial, Ordering::Release);
    }
}

/// One reader's position in the log.
#[derive(Debug)]
pub(super) struct GapReader {
    log: Arc<Mutex<GapLog>>,
    newest: Arc<AtomicU64>,
    /// The serial number of the last gap that was taken from the log.
    seen: u64,
    reported: GapTotals,
    /// Taken from the log together with the items around them.
    held: VecDeque<(u64, Gap)>,
}

impl GapReader {
    pub(super) fn new(log: &Arc<Mutex<GapLog>>) -> Self {
        let locked = lock(log);
        // A reader looks at this number for each item, and must not lock for that.
        let newest = Arc::clone(&locked.newest);
        // Read under the lock: no gap may fall between the number and the totals.
        let (seen, reported) = (newest.load(Ordering::Relaxed), locked.totals);
        Self { log: Arc::clone(log), newest, seen, reported, held: VecDeque::new() }
    }

    /// Returns true if there are no gaps, held or in the log.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && !self.has_unseen()
    }

    /// Returns true if there are gaps in the log that were not taken from it.
    #[inline]
    fn has_unseen(&self) -> bool {
        self.newest.load(Ordering::Acquire) != self.seen
    }

    /// Returns the next gap before the item at `position`.
    #[inline]
    pub(super) fn next(&mut self, position: u64) -> Option<Gap> {
        let gap = self.next_held(position);
        // A held gap is older than any in the log. If it stands further on, so do all of those.
        if gap.is_some() || !self.held.is_empty() || !self.has_unseen() {
            return gap;
        }
        self.take_from_log(|at| at <= position).map(|(_, gap)| gap)
    }

    /// Returns the next gap before the item at `position`, which is in the reader's buffer: gaps
    /// before such items have been taken from the log.
    #[inline]
    pub(super) fn next_held(&mut self, position: u64) -> Option<Gap> {
        let &(at, _) = self.held.front()?;
        if at <= position { self.held.pop_front().map(|(_, gap)| gap) } else { None }
    }

    /// Takes the gaps before `end` from the log: the items around them are about to leave the ring,
    /// and then the log merges the gaps between them. False if one of the gaps comes first,
    /// before the item at `position`.
    pub(super) fn hold(&mut self, position: u64, end: u64) -> bool {
        while self.has_unseen() {
            let Some(gap) = self.take_from_log(|at| at < end) else { break };
            self.held.push_back(gap);
        }
        self.held.front().is_none_or(|&(at, _)| at > position)
    }

    /// Takes the next unseen gap whose position is wanted, with the totals that are
    /// news to this reader.
    #[cold]
    fn take_from_log(&mut self, is_wanted: impl Fn(u64) -> bool) -> Option<(u64, Gap)> {
        let log = lock(&self.log);
        // Serial numbers and positions both rise.
        let unseen = log.gaps.partition_point(|logged| logged.serial <= self.seen);
        let logged = log.gaps.get(unseen).filter(|logged| is_wanted(logged.at))?;
        self.seen = logged.serial;
        let mut gap = logged.gap.clone();
        match &mut gap {
            Gap::Oversized { events, size, .. } => {
                *events = logged.totals.oversized_events - self.reported.oversized_events;
                *size = logged.totals.oversized_bytes.saturating_sub(self.reported.oversized_bytes);
                self.reported.oversized_events = logged.totals.oversized_events;
                self.reported.oversized_bytes = logged.totals.oversized_bytes;
            }
            Gap::Reconnected { sent } => {
                // A loss that has merged with this gap, and that was not reported to this reader.
                if std::mem::replace(&mut self.reported.losses, logged.totals.losses) != logged.totals.losses {
                    *sent = None;
                }
            }
            Gap::Lagged { .. } | Gap::NotRetained { .. } => {}
        }
        Some((logged.at, gap))
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
    fn gaps_of_a_kind_merge_and_a_reader_that_saw_some_gets_the_rest() {
        let log = log();
        let (mut early, mut late) = (GapReader::new(&log), GapReader::new(&log));
        GapLog::push(&log, oversized(10), 5, 0);
        assert_eq!(taken(&mut early, 4), []);
        assert_eq!(taken(&mut early, 5), [oversized(10)]);
        GapLog::push(&log, Gap::reconnected(Some("w".into())), 5, 0);
        GapLog::push(&log, oversized(7), 5, 0);
        GapLog::push(&log, Gap::reconnected(Some("x".into())), 5, 0);
        let reconnected = Gap::reconnected(Some("x".into()));
        assert_eq!(taken(&mut early, 5), [oversized(7), reconnected.clone()]);
        let both = Gap::Oversized { event_type: Some("big".into()), id: None, events: 2, size: 17 };
        assert_eq!(taken(&mut late, 5), [both, reconnected]);
    }

    /// It does so also when the older gap has left the ring, or another stands between.
    #[test]
    fn a_gap_without_an_id_is_reported_once_and_never_hidden() {
        let resumed = || Gap::reconnected(Some("x".into()));
        for at in [5, 100] {
            let log = log();
            let (mut early, mut late) = (GapReader::new(&log), GapReader::new(&log));
            GapLog::push(&log, Gap::reconnected(None), 5, 0);
            assert_eq!(taken(&mut early, 5), [Gap::reconnected(None)]);
            GapLog::push(&log, oversized(7), 5, 0);
            GapLog::push(&log, resumed(), at, at - 1);
            GapLog::push(&log, oversized(7), at, at);
            assert_eq!(taken(&mut early, at).into_iter().filter(|gap| *gap == resumed()).count(), 1);
            let reconnected: Vec<_> =
                taken(&mut late, at).into_iter().filter(|gap| gap.is_same_kind(&resumed())).collect();
            assert_eq!(reconnected, [Gap::reconnected(None)]);
            GapLog::push(&log, resumed(), at + 1, at);
            assert_eq!(taken(&mut late, at + 1), [resumed()]);
        }
    }

    #[test]
    fn the_log_is_bounded_by_the_ring_and_loses_no_count() {
        let log = log();
        let mut reader = GapReader::new(&log);
        for at in 0..10_000_u64 {
            GapLog::push(&log, oversized(1), at, at.saturating_sub(8));
            GapLog::push(&log, Gap::reconnected(None), at, at.saturating_sub(8));
            assert!(lock(&log).gaps.len() <= 2 * 9 + 2);
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
