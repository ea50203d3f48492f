//! [`Handover`]: where a second response goes on from what the first delivered.
//!
//! What the second says first is dropped as long as it is certain that the first has said it. Both say the same
//! stream in the same order, so that is known of
//!
//! - an event whose own ID is the one sent (some servers begin with it), or came once since the request, as long as
//!   these come in the order in which they came: each is a place, and no place is passed twice;
//! - an event without an ID of its own behind such a place and before the newest one, as many as came there.
//!
//! An ID that came more than once is as good as none. With the first event that is not known all is over: it is
//! delivered, and whatever comes after it. It follows on if the place before it is the newest, and nothing without
//! a place came after that. If not, a gap goes before it: the second may begin somewhere else, or repeat.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;

use crate::event::Gap;

/// What is kept of an ID: how long it is, is the server's choice. Hashed with a random key, so that nobody
/// can choose two that are taken for one, and by chance that does not happen.
pub(in crate::connection) type IdHash = u64;

/// How many IDs are kept while a second response is being opened: one round trip's worth of a busy stream.
const SEAM_IDS: usize = 4096;

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::connection) enum Admission {
    Deliver,
    /// It does not follow on what was delivered last.
    DeliverAfter(Gap),
    Drop,
}

#[derive(Debug)]
pub(in crate::connection) struct Handover {
    sent: Option<String>,
    /// IDs of the first response mean nothing to the second.
    elsewhere: bool,
    keys: RandomState,
    /// The ID sent, and those that came since in the order in which they came.
    delivered: VecDeque<Landmark>,
    /// IDs of blocks without data. Servers need not repeat them, so they have no place among the others.
    marks: HashSet<IdHash>,
    joining: Option<Joining>,
}

#[derive(Debug)]
struct Landmark {
    /// None if it is not known which event it names.
    id: Option<IdHash>,
    /// How many events without a place of their own came after it.
    bare: u64,
}

/// How far the second response has come through what the first delivered.
#[derive(Debug)]
struct Joining {
    /// Where each ID stands, unless it came more than once.
    places: HashMap<IdHash, Option<usize>>,
    /// How many events without a place come after each.
    bare: Vec<u64>,
    /// The last place that was repeated.
    at: Option<usize>,
    /// Events without a place that are still to be repeated here.
    left: u64,
    over: bool,
}

impl Handover {
    /// `named`: whether the ID sent is that of the newest event that was delivered, and of no other.
    pub(in crate::connection) fn new(sent: Option<String>, named: bool, elsewhere: bool) -> Self {
        let keys = RandomState::new();
        let id = sent.as_ref().filter(|_| named).map(|id| keys.hash_one(&**id));
        // Unless it names the newest, something may have come after it.
        let delivered = VecDeque::from([Landmark { id, bare: u64::from(id.is_none()) }]);
        Self { sent, elsewhere, keys, delivered, marks: HashSet::new(), joining: None }
    }

    pub(in crate::connection) fn is_over(&self) -> bool {
        self.joining.as_ref().is_some_and(|joining| joining.over)
    }

    /// An event was delivered while the second response was on its way.
    pub(in crate::connection) fn note(&mut self, id: Option<&str>) {
        match (id, self.delivered.back_mut()) {
            (None, Some(place)) => place.bare += 1,
            (id, _) => self.delivered.push_back(Landmark { id: id.map(|id| self.keys.hash_one(id)), bare: 0 }),
        }
        if self.delivered.len() > SEAM_IDS {
            self.delivered.pop_front();
        }
    }

    /// One too many is only not recognised.
    pub(in crate::connection) fn note_mark(&mut self, id: &str) {
        if self.marks.len() < SEAM_IDS {
            self.marks.insert(self.keys.hash_one(id));
        }
    }

    /// The second response begins. The gap if it cannot be compared with the first.
    pub(in crate::connection) fn join(&mut self) -> Option<Gap> {
        let nothing_to_find = self.sent.is_none() && self.delivered.iter().all(|place| place.id.is_none());
        if self.elsewhere || nothing_to_find {
            return Some(self.gap());
        }
        self.joining = Some(Joining::new(&self.delivered));
        self.delivered = VecDeque::new();
        None
    }

    fn gap(&self) -> Gap {
        Gap::Reconnected { sent: self.sent.clone() }
    }

    /// Whether the first response came to this ID, or began with it.
    pub(in crate::connection) fn knows(&self, id: &str) -> bool {
        let key = self.keys.hash_one(id);
        let came = self.joining.as_ref().is_some_and(|joining| joining.places.contains_key(&key));
        came || self.marks.contains(&key) || self.sent.as_deref() == Some(id)
    }

    /// What becomes of an event of the second response.
    pub(in crate::connection) fn pass(&mut self, id: Option<&str>) -> Admission {
        let id = id.map(|id| self.keys.hash_one(id));
        let Some(joining) = &mut self.joining else { return Admission::Deliver };
        if joining.repeats(id) {
            return Admission::Drop;
        }
        joining.over = true;
        if joining.is_complete() { Admission::Deliver } else { Admission::DeliverAfter(self.gap()) }
    }
}

impl Joining {
    fn new(delivered: &VecDeque<Landmark>) -> Self {
        let mut places = HashMap::new();
        for id in delivered.iter().filter_map(|place| place.id) {
            match places.entry(id) {
                Entry::Vacant(entry) => drop(entry.insert(Some(0))),
                Entry::Occupied(mut entry) => drop(entry.insert(None)),
            }
        }
        let mut bare = Vec::new();
        for place in delivered {
            let own = place.id.and_then(|id| places.get_mut(&id)).and_then(Option::as_mut);
            match (own, bare.last_mut()) {
                (None, Some(before)) => *before += 1 + place.bare,
                (own, _) => {
                    own.into_iter().for_each(|at| *at = bare.len());
                    bare.push(place.bare);
                }
            }
        }
        Self { places, bare, at: None, left: 0, over: false }
    }

    /// Whether it is certain that an event repeats one that was delivered. Goes on to its place.
    fn repeats(&mut self, id: Option<IdHash>) -> bool {
        let place = id.and_then(|id| self.places.get(&id).copied());
        match place.unwrap_or_default() {
            // No place is before the first.
            Some(at) if Some(at) > self.at => {
                (self.at, self.left) = (Some(at), self.bare.get(at).copied().unwrap_or_default());
                true
            }
            // Behind the newest place it may as well be new.
            None if (id.is_none() || place.is_some()) && self.left > 0 && !self.is_at_newest() => {
                self.left -= 1;
                true
            }
            _ => false,
        }
    }

    fn is_at_newest(&self) -> bool {
        // A response begins right behind the ID sent, unless it says that itself.
        self.at.unwrap_or_default() + 1 == self.bare.len()
    }

    /// Whether everything that was delivered has been repeated, and it is certain that what comes next is new.
    fn is_complete(&self) -> bool {
        self.is_at_newest() && self.bare.last() == Some(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` is an event without an ID. What is delivered.
    fn join(sent: (&str, bool), first: &str, second: &str) -> String {
        let mut handover = Handover::new((!sent.0.is_empty()).then(|| sent.0.into()), sent.1, false);
        let ids = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        ids(first).iter().for_each(|id| handover.note((id != "-").then_some(id)));
        assert_eq!(handover.join(), None);
        let pass = |id: String| {
            let passage =
                if handover.is_over() { Admission::Deliver } else { handover.pass((id != "-").then_some(&id)) };
            match passage {
                Admission::Deliver => Some(id),
                Admission::DeliverAfter(_) => Some(format!("gap {id}")),
                Admission::Drop => None,
            }
        };
        ids(second).into_iter().filter_map(pass).collect::<Vec<_>>().join(" ")
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
    fn a_second_response_that_does_not_come_to_where_the_first_was_left_has_a_gap() {
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
    fn what_follows_the_first_event_that_is_not_known_is_delivered() {
        assert_joins(("0", true), &[("1 2", "2 3 2", "3 2"), ("1 2", "2 2 2", "2 2"), ("", "0 0", "0")]);
    }

    #[test]
    fn an_event_without_an_id_is_a_repeat_only_between_places() {
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
    fn an_id_that_came_more_than_once_is_as_good_as_none() {
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
    fn events_behind_the_id_sent_may_come_again_if_it_does_not_name_the_newest() {
        assert_joins(
            ("0", false),
            &[("", "1", "gap 1"), ("", "- 1", "gap - 1"), ("", "0 1", "gap 0 1"), ("1", "1 2", "2")],
        );
    }

    #[test]
    fn without_an_id_to_send_it_goes_on_among_the_ids_that_came_since_or_there_is_a_gap() {
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
        for (elsewhere, first) in [(false, None), (false, Some("")), (true, Some("1"))] {
            let mut handover = Handover::new(None, true, elsewhere);
            first.into_iter().for_each(|id| handover.note((!id.is_empty()).then_some(id)));
            assert!(handover.join().is_some(), "nothing can be found");
            assert_eq!(handover.pass(Some("1")), Admission::Deliver);
        }
    }

    #[test]
    fn the_ids_of_a_seam_are_bounded_and_what_was_forgotten_is_a_gap() {
        let mut handover = Handover::new(Some("0".into()), true, false);
        for number in 0..2 * SEAM_IDS {
            handover.note(Some(&number.to_string()));
        }
        assert_eq!(handover.delivered.len(), SEAM_IDS);
        assert_eq!(handover.join(), None);
        assert!(matches!(handover.pass(Some("0")), Admission::DeliverAfter(_)));
    }
}
