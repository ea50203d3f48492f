//! [`Handover`] and [`Overlap`]: how a second response goes on from what the first delivered.
//!
//! While the second response is on its way, [`Handover`] records what the first delivers. When the
//! second takes over, [`Overlap`] drops its first events as long as it is certain that they are
//! repeats. Both responses carry the same stream in the same order, so an event is certainly a
//! repeat if
//!
//! - its own ID is the one that was sent (some servers begin with it), or came exactly once since
//!   the request, and the second response passes these IDs in the order in which the first did,
//!   none of them twice;
//! - it has no ID of its own, follows such an ID other than the newest, and the first response
//!   delivered at least as many events without an ID there.
//!
//! An ID that came more than once is treated as none. The first event that is not certainly a
//! repeat ends the overlap: it is delivered, and so is all that follows. If the event before it was
//! the newest with an ID, and nothing without an ID came after that, the second response follows
//! on. Otherwise a gap goes before it: the second response may have skipped events, or may repeat
//! some.

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

use crate::event::Gap;

/// A keyed hash of an event's ID, kept instead of the ID, whose length is the server's choice. The
/// key is random, so a server cannot construct two IDs that collide.
pub(in crate::connection) type IdHash = u64;

/// The most IDs that are recorded while a second response is on its way: one round trip's worth of
/// a busy stream.
const MAX_HANDOVER_IDS: usize = 4096;

/// The decision about one event.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::connection) enum Admission {
    Deliver,
    /// Deliver it after this gap: it does not follow on what was delivered last.
    DeliverAfter(Gap),
    Drop,
}

/// A record of what the first response delivers while the second is on its way.
#[derive(Debug)]
pub(in crate::connection) struct Handover {
    /// The last event ID that the second request carries.
    sent: Option<String>,
    /// The IDs of the first response mean nothing to the second.
    is_unrelated: bool,
    hasher: RandomState,
    /// The ID sent, then the IDs that came since, in order.
    delivered: VecDeque<DeliveredId>,
    /// IDs of blocks without data. Servers need not repeat these, so they are not among the others.
    id_blocks: HashSet<IdHash>,
}

/// The ID of an event, and the number of events without one that follow it.
#[derive(Debug)]
struct DeliveredId {
    /// `None` if it is not known which event has this ID.
    id: Option<IdHash>,
    without_id: u64,
}

impl Handover {
    /// `names_newest`: the ID sent is that of the newest delivered event, and of no other.
    pub(in crate::connection) fn new(sent: Option<String>, names_newest: bool, is_unrelated: bool) -> Self {
        let hasher = RandomState::new();
        let id = sent.as_ref().filter(|_| names_newest).map(|id| hasher.hash_one(&**id));
        // Unless the ID names the newest event, something may have come after it.
        let delivered = VecDeque::from([DeliveredId { id, without_id: u64::from(id.is_none()) }]);
        Self { sent, is_unrelated, hasher, delivered, id_blocks: HashSet::new() }
    }

    /// Records an event that the first response delivered.
    pub(in crate::connection) fn record(&mut self, id: Option<&str>) {
        match (id, self.delivered.back_mut()) {
            (None, Some(before)) => before.without_id += 1,
            (id, _) => {
                let id = id.map(|id| self.hasher.hash_one(id));
                self.delivered.push_back(DeliveredId { id, without_id: 0 });
            }
        }
        if self.delivered.len() > MAX_HANDOVER_IDS {
            // Without the oldest ID a repeat of it counts as new. That is a gap too many, and never
            // a loss that goes unreported.
            self.delivered.pop_front();
        }
    }

    /// Records the ID of a block without data. An ID over the limit is only not recognised.
    pub(in crate::connection) fn record_id_block(&mut self, id: &str) {
        if self.id_blocks.len() < MAX_HANDOVER_IDS {
            self.id_blocks.insert(self.hasher.hash_one(id));
        }
    }

    /// Begins to compare: the second response takes over.
    ///
    /// # Errors
    ///
    /// The gap before the second response if it cannot be compared with the first.
    pub(in crate::connection) fn take_over(self) -> Result<Overlap, Gap> {
        // With nothing to compare by, each event may be new or a repeat. Only a gap is honest then.
        let has_no_id = self.sent.is_none() && self.delivered.iter().all(|delivered| delivered.id.is_none());
        if self.is_unrelated || has_no_id {
            return Err(Gap::Reconnected { sent: self.sent });
        }
        Ok(Overlap::new(self))
    }
}

/// How far the second response has come through what the first delivered.
#[derive(Debug)]
pub(in crate::connection) struct Overlap {
    sent: Option<String>,
    hasher: RandomState,
    /// All IDs to which the first response came, or after which it began.
    known: HashSet<IdHash>,
    /// The IDs that came more than once.
    ambiguous: HashSet<IdHash>,
    /// The IDs that came exactly once, in order. The first entry may have no ID.
    delivered: Vec<DeliveredId>,
    /// The index of the last of them that was repeated.
    at: Option<usize>,
    /// How many events without an ID are still to be repeated after it.
    left: u64,
}

impl Overlap {
    fn new(handover: Handover) -> Self {
        let Handover { sent, hasher, delivered: recorded, id_blocks, .. } = handover;
        let mut known = HashSet::new();
        let ids = recorded.iter().filter_map(|delivered| delivered.id);
        let ambiguous: HashSet<IdHash> = ids.filter(|&id| !known.insert(id)).collect();
        known.extend(id_blocks);
        known.extend(sent.as_ref().map(|id| hasher.hash_one(&**id)));
        let mut delivered: Vec<DeliveredId> = Vec::new();
        for DeliveredId { id, without_id } in recorded {
            let id = id.filter(|id| !ambiguous.contains(id));
            match (id, delivered.last_mut()) {
                // An event whose ID is ambiguous counts as one more without an ID.
                (None, Some(before)) => before.without_id += 1 + without_id,
                (id, _) => delivered.push(DeliveredId { id, without_id }),
            }
        }
        Self { sent, hasher, known, ambiguous, delivered, at: None, left: 0 }
    }

    /// Returns true if the first response came to this ID, or began after it.
    pub(in crate::connection) fn knows(&self, id: &str) -> bool {
        self.known.contains(&self.hasher.hash_one(id))
    }

    /// Decides about an event of the second response. With the first one that is not dropped the
    /// overlap is over.
    pub(in crate::connection) fn admit(&mut self, id: Option<&str>) -> Admission {
        if self.is_repeat(id.map(|id| self.hasher.hash_one(id))) {
            Admission::Drop
        } else if self.is_complete() {
            Admission::Deliver
        } else {
            Admission::DeliverAfter(Gap::Reconnected { sent: self.sent.clone() })
        }
    }

    /// Returns true if it is certain that an event is a repeat, and moves on to its ID.
    fn is_repeat(&mut self, id: Option<IdHash>) -> bool {
        let Some(id) = id.filter(|id| !self.ambiguous.contains(id)) else {
            // Behind the newest ID the event may as well be new.
            let is_repeat = self.left > 0 && !self.is_at_newest();
            self.left -= u64::from(is_repeat);
            return is_repeat;
        };
        // Linear in all: a search that fails ends the overlap.
        let next = self.at.map_or(0, |at| at + 1);
        let found = self.delivered.iter().enumerate().skip(next).find(|(_, delivered)| delivered.id == Some(id));
        let Some((at, delivered)) = found else { return false };
        (self.at, self.left) = (Some(at), delivered.without_id);
        true
    }

    /// Returns true if the newest ID of the first response has been repeated.
    fn is_at_newest(&self) -> bool {
        // Unless it begins with the ID sent, a response begins right behind it.
        self.at.unwrap_or_default() + 1 == self.delivered.len()
    }

    /// Returns true if all that was delivered has been repeated, so that what comes next is
    /// certainly new.
    fn is_complete(&self) -> bool {
        self.is_at_newest() && self.delivered.last().is_some_and(|newest| newest.without_id == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is delivered of the second response. `-` is an event without an ID.
    fn join(sent: (&str, bool), first: &str, second: &str) -> String {
        let (id, names_newest) = sent;
        let mut handover = Handover::new((!id.is_empty()).then(|| id.into()), names_newest, false);
        for id in first.split_whitespace() {
            handover.record((id != "-").then_some(id));
        }
        let mut overlap = Some(handover.take_over().unwrap());
        let mut delivered = Vec::new();
        for id in second.split_whitespace() {
            let admission = overlap.as_mut().map(|overlap| overlap.admit((id != "-").then_some(id)));
            match admission {
                Some(Admission::Drop) => continue,
                Some(Admission::DeliverAfter(_)) => delivered.push(format!("gap {id}")),
                Some(Admission::Deliver) | None => delivered.push(id.to_owned()),
            }
            overlap = None;
        }
        delivered.join(" ")
    }

    #[track_caller]
    fn assert_joins(sent: (&str, bool), cases: &[(&str, &str, &str)]) {
        for (first, second, expected) in cases {
            assert_eq!(join(sent, first, second), *expected, "{first:?}, then {second:?}");
        }
    }

    #[test]
    fn a_second_response_goes_on_where_the_first_was_left() {
        assert_joins(
            ("0", true),
            &[
                // It begins after what was sent, and repeats what came meanwhile.
                ("1 2 3", "1 2 3 4 5", "4 5"),
                ("", "1 2", "1 2"),
                // It begins with what was sent.
                ("1 2 3", "0 1 2 3 4", "4"),
                ("", "0 1 2", "1 2"),
                // It began later than asked, but among what came.
                ("1 2 3", "3 4", "4"),
                ("1 2 3", "1 3 4", "4"),
            ],
        );
    }

    #[test]
    fn a_second_response_that_begins_elsewhere_has_a_gap() {
        assert_joins(
            ("0", true),
            &[
                ("1 2 3", "7 8", "gap 7 8"),
                ("1 2 3", "1 7", "gap 7"),
                ("1 2 3", "0 7", "gap 7"),
                // It turns back.
                ("1 2 3", "2 1 2 3 4", "gap 1 2 3 4"),
                ("1 2 3", "1 0 2", "gap 0 2"),
                ("1 2 3", "2 2 3 4", "gap 2 3 4"),
            ],
        );
    }

    #[test]
    fn all_that_follows_the_first_new_event_is_delivered() {
        assert_joins(("0", true), &[("1 2", "2 3 2", "3 2"), ("1 2", "2 2 2", "2 2"), ("", "0 0", "0")]);
    }

    #[test]
    fn an_event_without_an_id_is_a_repeat_only_between_known_ids() {
        assert_joins(
            ("0", true),
            &[
                ("1 - - 2", "1 - - 2 - 3", "- 3"),
                // Not all servers keep them.
                ("1 - - 2", "1 2 - 3", "- 3"),
                ("1 - 2", "1 - - 2 3", "gap - 2 3"),
                // Nothing says where these stand.
                ("- 1", "- 1 2", "gap - 1 2"),
                ("1 -", "1 - - 2", "gap - - 2"),
                ("1 -", "1 2", "gap 2"),
                ("- -", "- - - 1", "gap - - - 1"),
                ("", "- 1", "- 1"),
                ("- 1", "0 - 1 - 2", "- 2"),
            ],
        );
    }

    #[test]
    fn an_id_that_came_more_than_once_is_treated_as_none() {
        assert_joins(
            ("0", true),
            &[
                ("1 2 2 3", "1 2 2 3 4", "4"),
                ("1 2 1 3", "1 2 1 3 4", "gap 1 2 1 3 4"),
                ("1 2 2", "1 2 2 3", "gap 2 2 3"),
                ("1 1", "1 1 1", "gap 1 1 1"),
                ("0", "0 0", "gap 0 0"),
                ("0 0 1", "1 2", "2"),
            ],
        );
    }

    #[test]
    fn an_ambiguous_id_leads_to_a_gap() {
        assert_joins(
            ("0", false),
            &[("", "1", "gap 1"), ("", "- 1", "gap - 1"), ("", "0 1", "gap 0 1"), ("1", "1 2", "2")],
        );
    }

    #[test]
    fn without_an_id_sent_the_ids_that_came_since_are_compared() {
        assert_joins(
            ("", true),
            &[
                ("1 2 3", "1 2 3 4", "4"),
                ("1 2 3", "3 4", "4"),
                ("- 1 2", "- 1 2 3", "gap - 1 2 3"),
                ("1 2 -", "1 2 - 3", "gap - 3"),
                ("1 2 3", "4 5", "gap 4 5"),
                ("1 2 3", "- 4", "gap - 4"),
                ("1 2 3", "1 5", "gap 5"),
            ],
        );
        for (is_unrelated, first) in [(false, None), (false, Some("")), (true, Some("1"))] {
            let mut handover = Handover::new(None, true, is_unrelated);
            if let Some(id) = first {
                handover.record((!id.is_empty()).then_some(id));
            }
            assert!(handover.take_over().is_err(), "nothing can be found");
        }
    }

    #[test]
    fn recorded_ids_are_bounded_and_a_forgotten_one_makes_a_gap() {
        let mut handover = Handover::new(Some("0".into()), true, false);
        for number in 0..2 * MAX_HANDOVER_IDS {
            handover.record(Some(&number.to_string()));
        }
        assert_eq!(handover.delivered.len(), MAX_HANDOVER_IDS);
        let mut overlap = handover.take_over().unwrap();
        assert!(matches!(overlap.admit(Some("0")), Admission::DeliverAfter(_)));
    }
}
