//! [`Expected`]: what one subscription is promised, computed without a ring, entries or epochs.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use super::number;
use crate::error::panics::catch;
use crate::event::{Event, Gap};
use crate::hub::{Filter, Overflow, QueueLimits};

/// The gaps that are owed before one event.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Owed {
    pub(super) oversized: u64,
    pub(super) reconnected: u64,
    /// One of the reconnections was without an ID.
    pub(super) lost: bool,
    /// The ID of the last of them.
    pub(super) last: Option<Option<String>>,
}

impl Owed {
    pub(super) fn add(&mut self, gap: &Gap) {
        match gap {
            Gap::Oversized { events, .. } => self.oversized += events,
            Gap::Reconnected { sent } => {
                self.reconnected += 1;
                self.lost |= sent.is_none();
                self.last = Some(sent.clone());
            }
            gap => panic!("{gap}"),
        }
    }

    fn and(&mut self, later: Self) {
        self.oversized += later.oversized;
        self.reconnected += later.reconnected;
        self.lost |= later.lost;
        self.last = later.last.or_else(|| self.last.take());
    }

    /// Returns true if a subscriber that got these gaps got what was `owed`: neighbours may have
    /// merged.
    pub(super) fn pays(&self, owed: &Self) -> bool {
        let last_is_kept = self.last == owed.last || (self.last == Some(None) && owed.lost);
        self.oversized == owed.oversized
            && self.reconnected <= owed.reconnected
            && (self.reconnected > 0) == (owed.reconnected > 0)
            && self.lost == owed.lost
            && last_is_kept
    }
}

#[derive(Debug, Clone)]
pub(super) struct Queued {
    number: u64,
    weight: u64,
    key: String,
    before: Owed,
}

/// A subscription that the publisher waits for, and for how long it has not moved.
pub(super) struct Waited {
    pub(super) moves: u64,
    pub(super) idle: Duration,
    pub(super) checked: Instant,
}

/// The state of one subscription in the model.
pub(super) struct Expected {
    pub(super) types: Filter,
    pub(super) limits: QueueLimits,
    /// Its predicate rejects the multiples of this number...
    pub(super) modulus: Option<u64>,
    /// ...and panics at this one and later ones.
    pub(super) bad: Option<u64>,
    pub(super) batch: usize,
    pub(super) queue: VecDeque<Queued>,
    pub(super) buffered: VecDeque<Queued>,
    /// The number of dropped events that it has not seen reported.
    pub(super) dropped: u64,
    /// The gaps owed before the next event, and those given since the last one.
    pub(super) owed: Owed,
    pub(super) given: Owed,
    /// The gaps owed before the events that were dropped.
    pub(super) hole: Owed,
    pub(super) ended: bool,
    /// The number of events taken.
    pub(super) moves: u64,
    pub(super) waited: Option<Waited>,
    pub(super) stuck: bool,
}

impl Expected {
    pub(super) fn waits(&self) -> bool {
        self.limits.waits()
    }

    fn held(&self) -> (u64, u64) {
        (self.queue.len() as u64, self.queue.iter().map(|queued| queued.weight).sum())
    }

    pub(super) fn is_full(&self) -> bool {
        let (items, bytes) = self.held();
        items >= self.limits.capacity as u64 || bytes >= self.limits.bytes
    }

    /// Returns how many events there are to take.
    pub(super) fn left(&self) -> u64 {
        (self.buffered.len() + self.queue.len()) as u64
    }

    fn is_half_empty(&self) -> bool {
        let (items, bytes) = self.held();
        items <= self.limits.capacity as u64 / 2 && bytes <= self.limits.bytes / 2
    }

    pub(super) fn event(&mut self, event: &Event, case: &str) {
        let number = number(event);
        if self.ended || !self.types.matches(event.event_type()) {
            return;
        }
        if self.bad.is_some_and(|bad| number >= bad) {
            self.ended = true;
            return;
        }
        if self.modulus.is_some_and(|modulus| number % modulus == 0) {
            return;
        }
        let key = match &self.limits.overflow {
            Overflow::ConflateBy(key) => catch(|| key.of(event)).ok(),
            _ => None,
        };
        let key = key.unwrap_or_else(|| event.event_type().into());
        let queued = |before| Queued { number, weight: event.size() as u64, key, before };
        if self.limits.conflates() {
            let before = std::mem::take(&mut self.owed);
            self.conflate(queued(before));
            return;
        }
        if self.stuck && self.queue.is_empty() && self.buffered.is_empty() && self.dropped == 0 {
            self.stuck = false;
        }
        while self.is_full() {
            let is_allowed = !self.waits() || self.stuck;
            assert!(is_allowed, "{case}: {number} overruns {:?}, which is not stuck", self.limits);
            let Some(lost) = self.queue.pop_front() else { break };
            self.hole.and(lost.before);
            self.dropped += 1;
        }
        let before = std::mem::take(&mut self.owed);
        self.queue.push_back(queued(before));
    }

    /// Enters an event by its key. Gaps before an event that is replaced go to the one after it.
    fn conflate(&mut self, new: Queued) {
        let barrier = if new.before == Owed::default() {
            self.queue.iter().rposition(|queued| queued.before != Owed::default()).unwrap_or(0)
        } else {
            self.queue.len()
        };
        match self.queue.iter().position(|queued| queued.key == new.key) {
            Some(index) if index >= barrier => {
                let held = &mut self.queue[index];
                (held.number, held.weight) = (new.number, new.weight);
            }
            Some(index) => {
                let old = self.queue.remove(index).unwrap();
                let mut new = new;
                let heir = self.queue.get_mut(index).map_or(&mut new.before, |queued| &mut queued.before);
                let later = std::mem::replace(heir, old.before);
                heir.and(later);
                self.queue.push_back(new);
            }
            None => self.queue.push_back(new),
        }
        while self.queue.len() > self.limits.capacity || (self.held().1 > self.limits.bytes && self.queue.len() > 1) {
            let lost = self.queue.pop_front().unwrap();
            self.hole.and(lost.before);
            self.dropped += 1;
        }
    }

    pub(super) fn gap(&mut self, event_type: Option<&str>, gap: &Gap) {
        if !self.ended && event_type.is_none_or(|event_type| self.types.matches(event_type)) {
            self.owed.add(gap);
        }
    }

    /// Returns true if a poll would find something, now that the turn has ended.
    pub(super) fn has_something(&self) -> bool {
        !self.buffered.is_empty() || !self.queue.is_empty() || self.dropped > 0 || !self.given.pays(&self.owed)
    }

    pub(super) fn took_event(&mut self, event: &Event, case: &str) {
        if self.buffered.is_empty() {
            assert_eq!(self.dropped, 0, "{case}: {} before what was lost", number(event));
            if let Some(first) = self.queue.front_mut() {
                let later = std::mem::replace(&mut first.before, std::mem::take(&mut self.hole));
                first.before.and(later);
            }
            // A reader takes no items past a gap before it has given the gap.
            let gap = (1..self.queue.len()).find(|&index| self.queue[index].before != Owed::default());
            let count = self.batch.min(gap.unwrap_or(self.queue.len()));
            self.buffered.extend(self.queue.drain(..count));
            if self.is_half_empty() {
                self.waited = None;
            }
        }
        let expected = self.buffered.pop_front().unwrap_or_else(|| panic!("{case}: {} out of nowhere", number(event)));
        assert_eq!(number(event), expected.number, "{case}: in order, each once");
        let (owed, given) = (expected.before, std::mem::take(&mut self.given));
        assert!(given.pays(&owed), "{case}: before {} it got {given:?}, not {owed:?}", expected.number);
    }

    pub(super) fn took_lag(&mut self, missed: u64, case: &str) {
        assert!(self.buffered.is_empty(), "{case}: what was lost is told after what was not");
        if self.limits.conflates() {
            // Such a queue reports losses at each place where it lost something.
            self.dropped = self.dropped.checked_sub(missed).unwrap();
        } else {
            assert_eq!(std::mem::take(&mut self.dropped), missed, "{case}");
        }
    }

    pub(super) fn took_nothing(&mut self, case: &str) {
        assert!(self.buffered.is_empty() && self.queue.is_empty() && self.dropped == 0, "{case}: there is something");
        let mut owed = std::mem::take(&mut self.hole);
        owed.and(self.owed.clone());
        assert!(self.given.pays(&owed), "{case}: it got {:?}, not {owed:?}", self.given);
        (self.owed, self.given) = (Owed::default(), Owed::default());
    }
}
