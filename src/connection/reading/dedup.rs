//! [`Dedup`]: which events have been delivered already, and are not delivered again.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

use crate::event::Gap;

use super::handover::{Admission, Handover, IdHash};

/// Outlives responses: what a new one repeats came with an old one.
#[derive(Debug, Default)]
pub(in crate::connection) struct Dedup {
    // Boxed: streams are many, and most of them need none of this.
    repeats: Option<Box<Repeats>>,
    /// What comes while a second response is on its way.
    handover: Option<Box<Handover>>,
    /// Where the open response goes on, as long as it repeats. Not the same: a third may be asked for meanwhile.
    joining: Option<Box<Handover>>,
    /// Found where an event was dropped as a repeat: goes before the next that is delivered.
    owed: Option<Box<Gap>>,
    /// The last event ID is not the newest delivered event's, or not that event's alone: a response that begins after
    /// it may repeat events. Holds for all responses that are asked to follow on.
    unnamed: bool,
}

impl Dedup {
    /// Drops events whose own ID is among the last `repeats` that were delivered.
    pub(in crate::connection) fn new(repeats: usize) -> Self {
        Self { repeats: (repeats > 0).then(|| Box::new(Repeats::new(repeats))), ..Self::default() }
    }

    /// A second response is asked to begin after `sent`, while the first is still read: from here on it is
    /// noted what comes. `elsewhere`: its IDs mean nothing to the second.
    pub(in crate::connection) fn open_seam(&mut self, sent: Option<String>, elsewhere: bool) {
        self.handover = Some(Box::new(Handover::new(sent, !self.unnamed, elsewhere)));
    }

    /// The second response takes over. The gap, if it is clear that it does not follow on.
    pub(in crate::connection) fn join_seam(&mut self) -> Option<Gap> {
        let mut handover = self.handover.take()?;
        // It is asked to follow on what was delivered, and is judged by that.
        self.owed = None;
        let gap = handover.join();
        self.joining = gap.is_none().then_some(handover);
        gap
    }

    /// Whether a second response is on its way.
    pub(in crate::connection) fn has_seam(&self) -> bool {
        self.handover.is_some()
    }

    /// There will be no second response. The open one may still repeat.
    pub(in crate::connection) fn drop_seam(&mut self) {
        self.handover = None;
    }

    /// The next response will be an ordinary one, which begins with a gap of its own.
    pub(in crate::connection) fn drop_seams(&mut self) {
        (self.handover, self.joining, self.owed, self.unnamed) = (None, None, None, false);
    }

    /// What was delivered so far is wanted again, or its IDs mean nothing any more.
    pub(in crate::connection) fn forget(&mut self) {
        self.owed = None;
        self.repeats.iter_mut().for_each(|repeats| repeats.clear());
    }

    /// Whether the last event ID is that of the newest event that was delivered, and of no other.
    pub(in crate::connection) fn set_named(&mut self, named: bool) {
        self.unnamed = !named;
    }

    /// Whether events have to be shown to [`pass`](Self::pass) at all: most streams ask for nothing.
    #[inline]
    pub(in crate::connection) fn is_open(&self) -> bool {
        self.repeats.is_none() && self.handover.is_none() && self.joining.is_none()
    }

    /// What becomes of the next event, which sets `id`.
    pub(in crate::connection) fn pass(&mut self, id: Option<&str>) -> Admission {
        // The empty ID is none: it says that there is none from here on.
        let id = id.filter(|id| !id.is_empty());
        let mut passage = Admission::Deliver;
        if let Some(joining) = &mut self.joining {
            passage = joining.pass(id);
            if joining.is_over() {
                self.joining = None;
            }
        }
        if let (Some(repeats), true) = (&mut self.repeats, passage != Admission::Drop) {
            let dropped = id.is_some_and(|id| !repeats.insert(id));
            passage = self.settle(passage, dropped);
        }
        if let (Some(handover), true) = (&mut self.handover, passage != Admission::Drop) {
            handover.note(id);
        }
        passage
    }

    /// Whether a block without data sets the last event ID, to `id`: not if that is one of before.
    pub(in crate::connection) fn pass_id(&mut self, id: &str) -> bool {
        let joins = self.joining.as_ref().is_some_and(|joining| joining.knows(id));
        if joins || self.repeats.as_ref().is_some_and(|repeats| repeats.knows(id)) {
            return false;
        }
        if let Some(handover) = &mut self.handover {
            handover.note_mark(id);
        }
        true
    }

    /// A gap that belongs before a repeat goes before the next event that is none.
    fn settle(&mut self, passage: Admission, dropped: bool) -> Admission {
        match (passage, dropped) {
            (Admission::DeliverAfter(gap), true) => {
                self.owed = Some(Box::new(gap));
                Admission::Drop
            }
            (_, true) => Admission::Drop,
            (Admission::Deliver, false) => {
                self.owed.take().map_or(Admission::Deliver, |gap| Admission::DeliverAfter(*gap))
            }
            (passage, false) => passage,
        }
    }
}

/// The IDs of the last events that were delivered.
#[derive(Debug)]
struct Repeats {
    most: usize,
    order: VecDeque<IdHash>,
    ids: HashSet<IdHash>,
}

impl Repeats {
    fn new(most: usize) -> Self {
        Self { most, order: VecDeque::new(), ids: HashSet::new() }
    }

    fn clear(&mut self) {
        self.order.clear();
        self.ids.clear();
    }

    fn knows(&self, id: &str) -> bool {
        self.ids.contains(&self.key(id))
    }

    /// False if it is among them already.
    fn insert(&mut self, id: &str) -> bool {
        let key = self.key(id);
        if !self.ids.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
        true
    }

    fn key(&self, id: &str) -> IdHash {
        self.ids.hasher().hash_one(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` is an event without an ID.
    fn pass(dedup: &mut Dedup, ids: &str) -> String {
        let passed = ids.split(' ').filter(|id| !id.is_empty()).map(|id| {
            let passage = dedup.pass((id != "-").then_some(id));
            match passage {
                Admission::Deliver => id.to_owned(),
                Admission::DeliverAfter(_) => format!("gap {id}"),
                Admission::Drop => String::new(),
            }
        });
        passed.filter(|id| !id.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_event_is_not_repeated_while_its_id_is_among_the_last() {
        let mut dedup = Dedup::new(3);
        assert_eq!(pass(&mut dedup, "1 2 3 1 3 - - 4 1 2"), "1 2 3 - - 4 1 2");
        assert!(Dedup::new(0).is_open());
    }

    #[test]
    fn a_response_goes_on_repeating_what_it_repeats_when_a_third_is_asked_for() {
        for refused in [false, true] {
            let mut dedup = Dedup::new(0);
            dedup.open_seam(Some("0".into()), false);
            assert_eq!(pass(&mut dedup, "1 2 3"), "1 2 3");
            assert_eq!(dedup.join_seam(), None);
            assert_eq!(pass(&mut dedup, "1"), "");
            dedup.open_seam(Some("3".into()), false);
            assert_eq!(pass(&mut dedup, "2"), "");
            if refused {
                dedup.drop_seam();
                assert_eq!(pass(&mut dedup, "3 4 5"), "4 5");
            } else {
                assert_eq!(pass(&mut dedup, "3 4"), "4");
                assert_eq!(dedup.join_seam(), None);
                assert_eq!(pass(&mut dedup, "4 5"), "5");
            }
            assert!(dedup.is_open());
        }
    }

    #[test]
    fn a_second_response_that_begins_somewhere_else_with_what_is_known_owes_the_gap_to_what_is_not() {
        let mut dedup = Dedup::new(8);
        assert_eq!(pass(&mut dedup, "1 2 3"), "1 2 3");
        dedup.open_seam(Some("3".into()), false);
        assert_eq!(pass(&mut dedup, "4"), "4");
        assert_eq!(dedup.join_seam(), None);
        assert_eq!(pass(&mut dedup, "2 9 10"), "gap 9 10");
    }

    #[test]
    fn a_third_response_that_goes_on_behind_what_the_second_has_turned_back_from_has_a_gap() {
        let mut dedup = Dedup::new(0);
        // The last event ID is that of an event that came twice.
        dedup.set_named(false);
        dedup.open_seam(Some("0".into()), false);
        assert_eq!(pass(&mut dedup, "1 2 3"), "1 2 3");
        assert_eq!(dedup.join_seam(), None);
        dedup.open_seam(Some("3".into()), false);
        assert_eq!(pass(&mut dedup, "0"), "gap 0");
        assert_eq!(dedup.join_seam(), None);
        assert_eq!(pass(&mut dedup, "4 5"), "gap 4 5");
    }

    #[test]
    fn without_an_id_to_begin_after_nothing_says_where_a_second_response_begins() {
        let mut dedup = Dedup::new(0);
        dedup.open_seam(None, false);
        assert_eq!(dedup.join_seam(), Some(Gap::Reconnected { sent: None }));
        assert!(dedup.is_open());
    }
}
