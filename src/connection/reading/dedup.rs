//! [`Dedup`]: drops events that have been delivered before.
//!
//! There are two reasons to look: the caller has asked for it (`drop_repeats`: an event is a repeat
//! if its ID is among the last so many), or a second response has taken over from a first
//! ([`Handover`]). Most streams have neither, and then no event is looked at.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::event::Gap;

use super::handover::{Admission, Handover, IdHash, Overlap};

/// A memory of delivered events, as far as they may come again.
///
/// Outlives responses: a new one repeats what came with an old one.
#[derive(Debug, Default)]
pub(in crate::connection) struct Dedup {
    // Boxed: a process may have many streams, and most of them need none of this.
    /// For the caller's `drop_repeats`.
    repeats: Option<Box<RecentIds>>,
    /// Records what the open response delivers while a second one is on its way.
    handover: Option<Box<Handover>>,
    /// Compares the open response with the one before. A third response may be on its way at the
    /// same time.
    overlap: Option<Box<Overlap>>,
    /// The gap that goes before the next event that is not dropped.
    gap: Option<Box<Gap>>,
    /// The last event ID is not the newest delivered event's, or not that event's alone, so that a
    /// response which begins after it may repeat events.
    id_is_ambiguous: bool,
}

impl Dedup {
    /// Returns a memory of the last `repeats` IDs that were delivered.
    pub(in crate::connection) fn new(repeats: usize) -> Self {
        Self { repeats: (repeats > 0).then(|| Box::new(RecentIds::new(repeats))), ..Self::default() }
    }

    /// Begins to record what is delivered: the request for a second response carries `sent`.
    ///
    /// `is_unrelated`: the IDs of the open response mean nothing to the second.
    pub(in crate::connection) fn begin_handover(&mut self, sent: Option<String>, is_unrelated: bool) {
        self.handover = Some(Box::new(Handover::new(sent, !self.id_is_ambiguous, is_unrelated)));
    }

    /// Lets the second response take over. Returns the gap if it is clear that it does not follow
    /// on.
    pub(in crate::connection) fn take_over(&mut self) -> Option<Gap> {
        let handover = self.handover.take()?;
        // The second response has to follow what was delivered, not what was held back.
        (self.gap, self.overlap) = (None, None);
        match handover.take_over() {
            Ok(overlap) => self.overlap = Some(Box::new(overlap)),
            Err(gap) => return Some(gap),
        }
        None
    }

    /// Stops recording: there will be no second response. The open one may still repeat.
    pub(in crate::connection) fn cancel_handover(&mut self) {
        // An overlap stays: the response that goes on may itself be repeating what the one before
        // it delivered.
        self.handover = None;
    }

    /// Forgets all handovers: the next response is an ordinary one, which begins with a gap of its
    /// own.
    pub(in crate::connection) fn forget_handovers(&mut self) {
        (self.handover, self.overlap, self.gap) = (None, None, None);
        self.id_is_ambiguous = false;
    }

    /// Forgets what was delivered: it is wanted again, or its IDs mean nothing any more.
    pub(in crate::connection) fn forget_delivered(&mut self) {
        self.gap = None;
        if let Some(repeats) = &mut self.repeats {
            **repeats = RecentIds::new(repeats.max);
        }
    }

    /// Notes whether the last event ID is that of the newest delivered event, and of no other.
    pub(in crate::connection) fn set_id_names_newest(&mut self, names_newest: bool) {
        self.id_is_ambiguous = !names_newest;
    }

    /// Returns true if no event has to be shown to [`admit`](Self::admit).
    #[inline]
    pub(in crate::connection) fn admits_all(&self) -> bool {
        self.repeats.is_none() && self.handover.is_none() && self.overlap.is_none()
    }

    /// Decides about the next event, which sets `id`.
    pub(in crate::connection) fn admit(&mut self, id: Option<&str>) -> Admission {
        // By the standard an empty ID says that there is none from here on.
        let id = id.filter(|id| !id.is_empty());
        if let Some(overlap) = &mut self.overlap {
            match overlap.admit(id) {
                Admission::Drop => return Admission::Drop,
                Admission::Deliver => {}
                Admission::DeliverAfter(gap) => self.gap = Some(Box::new(gap)),
            }
            self.overlap = None;
        }
        // Asked second: the overlap also knows repeats without an ID, and each event that passes
        // has to count as recent.
        if let (Some(repeats), Some(id)) = (&mut self.repeats, id) {
            if !repeats.insert(id) {
                return Admission::Drop;
            }
        }
        if let Some(handover) = &mut self.handover {
            handover.record(id);
        }
        self.gap.take().map_or(Admission::Deliver, |gap| Admission::DeliverAfter(*gap))
    }

    /// Decides whether a block without data sets the last event ID to `id`. An ID of before does
    /// not.
    pub(in crate::connection) fn admits_id(&mut self, id: &str) -> bool {
        let overlaps = self.overlap.as_ref().is_some_and(|overlap| overlap.knows(id));
        if overlaps || self.repeats.as_ref().is_some_and(|repeats| repeats.contains(id)) {
            return false;
        }
        if let Some(handover) = &mut self.handover {
            handover.record_id_block(id);
        }
        true
    }
}

/// The IDs of the last events that were delivered, up to a number of them.
#[derive(Debug)]
struct RecentIds {
    max: usize,
    order: VecDeque<IdHash>,
    ids: HashSet<IdHash>,
    hasher: RandomState,
}

impl RecentIds {
    fn new(max: usize) -> Self {
        Self { max, order: VecDeque::new(), ids: HashSet::new(), hasher: RandomState::new() }
    }

    fn contains(&self, id: &str) -> bool {
        self.ids.contains(&self.hasher.hash_one(id))
    }

    /// Adds an ID, in place of the oldest if there are too many. Returns false if it is there
    /// already.
    fn insert(&mut self, id: &str) -> bool {
        let id = self.hasher.hash_one(id);
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` is an event without an ID.
    fn pass(dedup: &mut Dedup, ids: &str) -> String {
        let passed = ids.split(' ').filter(|id| !id.is_empty()).map(|id| {
            let admission = dedup.admit((id != "-").then_some(id));
            match admission {
                Admission::Deliver => id.to_owned(),
                Admission::DeliverAfter(_) => format!("gap {id}"),
                Admission::Drop => String::new(),
            }
        });
        passed.filter(|id| !id.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_event_is_dropped_while_its_id_is_recent() {
        let mut dedup = Dedup::new(3);
        assert_eq!(pass(&mut dedup, "1 2 3 1 3 - - 4 1 2"), "1 2 3 - - 4 1 2");
        assert!(Dedup::new(0).admits_all());
    }

    #[test]
    fn repeats_are_dropped_while_a_third_response_is_on_its_way() {
        for refused in [false, true] {
            let mut dedup = Dedup::new(0);
            dedup.begin_handover(Some("0".into()), false);
            assert_eq!(pass(&mut dedup, "1 2 3"), "1 2 3");
            assert_eq!(dedup.take_over(), None);
            assert_eq!(pass(&mut dedup, "1"), "");
            dedup.begin_handover(Some("3".into()), false);
            assert_eq!(pass(&mut dedup, "2"), "");
            if refused {
                dedup.cancel_handover();
                assert_eq!(pass(&mut dedup, "3 4 5"), "4 5");
            } else {
                assert_eq!(pass(&mut dedup, "3 4"), "4");
                assert_eq!(dedup.take_over(), None);
                assert_eq!(pass(&mut dedup, "4 5"), "5");
            }
            assert!(dedup.admits_all());
        }
    }

    #[test]
    fn a_gap_before_a_dropped_event_goes_before_the_next_delivered_one() {
        let mut dedup = Dedup::new(8);
        assert_eq!(pass(&mut dedup, "1 2 3"), "1 2 3");
        dedup.begin_handover(Some("3".into()), false);
        assert_eq!(pass(&mut dedup, "4"), "4");
        assert_eq!(dedup.take_over(), None);
        assert_eq!(pass(&mut dedup, "2 9 10"), "gap 9 10");
    }

    #[test]
    fn a_third_response_that_skips_what_the_second_repeated_has_a_gap() {
        let mut dedup = Dedup::new(0);
        // The last event ID is that of an event that came twice.
        dedup.set_id_names_newest(false);
        dedup.begin_handover(Some("0".into()), false);
        assert_eq!(pass(&mut dedup, "1 2 3"), "1 2 3");
        assert_eq!(dedup.take_over(), None);
        dedup.begin_handover(Some("3".into()), false);
        assert_eq!(pass(&mut dedup, "0"), "gap 0");
        assert_eq!(dedup.take_over(), None);
        assert_eq!(pass(&mut dedup, "4 5"), "gap 4 5");
    }

    #[test]
    fn without_an_id_a_second_response_begins_with_a_gap() {
        let mut dedup = Dedup::new(0);
        dedup.begin_handover(None, false);
        assert_eq!(dedup.take_over(), Some(Gap::Reconnected { sent: None }));
        assert!(dedup.admits_all());
    }
}
