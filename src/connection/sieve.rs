//! [`Sieve`]: which events have been delivered already, and are not delivered again.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;

use crate::delivery::Gap;

/// How many IDs are kept while a second response is being opened: one round trip's worth of a busy stream.
const SEAM_IDS: usize = 4096;

/// What is kept of an ID: how long it is, is the server's choice. Hashed with a random key, so that nobody
/// can choose two that are taken for one, and by chance that does not happen.
type Key = u64;

/// Outlives responses: what a new one repeats came with an old one.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    // Boxed: streams are many, and most of them need none of this.
    repeats: Option<Box<Repeats>>,
    /// What comes while a second response is on its way.
    seam: Option<Box<Seam>>,
    /// Where the open response goes on, as long as it repeats. Not the same: a third may be asked for meanwhile.
    joining: Option<Box<Seam>>,
    /// Found where an event was dropped as a repeat: goes before the next that is delivered.
    owed: Option<Box<Gap>>,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Deliver,
    /// It does not follow on what was delivered last.
    DeliverAfter(Gap),
    Drop,
}

impl Sieve {
    /// Drops events whose own ID is among the last `repeats` that were delivered.
    pub(super) fn new(repeats: usize) -> Self {
        Self { repeats: (repeats > 0).then(|| Box::new(Repeats::new(repeats))), ..Self::default() }
    }

    /// A second response is asked to begin after `sent`, while the first is still read: from here on it is
    /// noted what comes.
    pub(super) fn open_seam(&mut self, sent: Option<String>) {
        self.seam = Some(Box::new(Seam::new(sent)));
    }

    /// The second response takes over. The gap, if it is clear that it does not follow on.
    pub(super) fn join_seam(&mut self) -> Option<Gap> {
        let mut seam = self.seam.take()?;
        // It is asked to follow on what was delivered, and is judged by that.
        self.owed = None;
        let gap = seam.join();
        self.joining = gap.is_none().then_some(seam);
        gap
    }

    /// Whether a second response is on its way.
    pub(super) fn has_seam(&self) -> bool {
        self.seam.is_some()
    }

    /// There will be no second response. The open one may still repeat.
    pub(super) fn drop_seam(&mut self) {
        self.seam = None;
    }

    /// The next response will be an ordinary one, which begins with a gap of its own.
    pub(super) fn drop_seams(&mut self) {
        (self.seam, self.joining, self.owed) = (None, None, None);
    }

    /// What was delivered so far is wanted again, or its IDs mean nothing any more.
    pub(super) fn forget(&mut self) {
        self.owed = None;
        self.repeats.iter_mut().for_each(|repeats| repeats.clear());
    }

    /// Whether events have to be shown to [`pass`](Self::pass) at all: most streams ask for nothing.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.repeats.is_none() && self.seam.is_none() && self.joining.is_none()
    }

    /// What becomes of the next event, which sets `id`.
    pub(super) fn pass(&mut self, id: Option<&str>) -> Passage {
        // The empty ID is none: it says that there is none from here on.
        let id = id.filter(|id| !id.is_empty());
        let mut passage = Passage::Deliver;
        if let Some(joining) = &mut self.joining {
            passage = joining.pass(id);
            if joining.is_over() {
                self.joining = None;
            }
        }
        if let (Some(seam), false) = (&mut self.seam, passage == Passage::Drop) {
            seam.note(id);
        }
        match &mut self.repeats {
            Some(repeats) if passage != Passage::Drop => {
                let dropped = id.is_some_and(|id| !repeats.insert(id));
                self.settle(passage, dropped)
            }
            _ => passage,
        }
    }

    /// Whether a block without data sets the last event ID, to `id`: not if that is one of before.
    pub(super) fn pass_id(&mut self, id: &str) -> bool {
        let joins = self.joining.as_ref().is_some_and(|joining| joining.knows(id));
        if joins || self.repeats.as_ref().is_some_and(|repeats| repeats.knows(id)) {
            return false;
        }
        if let Some(seam) = &mut self.seam {
            seam.note_mark(id);
        }
        true
    }

    /// A gap that belongs before a repeat goes before the next event that is none.
    fn settle(&mut self, passage: Passage, dropped: bool) -> Passage {
        match (passage, dropped) {
            (Passage::DeliverAfter(gap), true) => {
                self.owed = Some(Box::new(gap));
                Passage::Drop
            }
            (_, true) => Passage::Drop,
            (Passage::Deliver, false) => self.owed.take().map_or(Passage::Deliver, |gap| Passage::DeliverAfter(*gap)),
            (passage, false) => passage,
        }
    }
}

/// The IDs of the last events that were delivered.
#[derive(Debug)]
struct Repeats {
    most: usize,
    order: VecDeque<Key>,
    ids: HashSet<Key>,
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

    fn key(&self, id: &str) -> Key {
        self.ids.hasher().hash_one(id)
    }
}

/// Where a second response has to go on: what the first delivered since the second was asked for.
///
/// Events without an ID are counted: so many follow each ID, and so many are repeated after it.
#[derive(Debug)]
struct Seam {
    sent: Option<String>,
    keys: RandomState,
    /// IDs in the order in which they came, each with the number of events without one after it. Those
    /// right after `sent` come first, without an ID.
    delivered: VecDeque<(Option<Key>, u64)>,
    /// How many IDs were forgotten, since there were too many.
    forgotten: u64,
    /// IDs of blocks without data. Servers need not repeat them, so they have no place among the others.
    marks: HashSet<Key>,
    joining: Option<Joining>,
}

/// How far the second response has come through what the first delivered.
#[derive(Debug)]
struct Joining {
    /// Where each ID stands.
    places: HashMap<Key, usize>,
    at: usize,
    /// Events without an ID that are still to be repeated here.
    bare: u64,
    over: bool,
}

impl Seam {
    fn new(sent: Option<String>) -> Self {
        let (delivered, marks) = (VecDeque::from([(None, 0)]), HashSet::new());
        Self { sent, keys: RandomState::new(), delivered, forgotten: 0, marks, joining: None }
    }

    fn is_over(&self) -> bool {
        self.joining.as_ref().is_some_and(|joining| joining.over)
    }

    /// The second response begins. The gap if no ID was sent for it to begin after.
    fn join(&mut self) -> Option<Gap> {
        if self.sent.is_none() {
            return Some(self.gap());
        }
        let place = |(at, (id, _)): (usize, &(Option<Key>, u64))| Some(((*id)?, at));
        let places = self.delivered.iter().enumerate().filter_map(place).collect();
        let bare = if self.forgotten == 0 { self.delivered.front().map_or(0, |(_, bare)| *bare) } else { 0 };
        self.joining = Some(Joining { places, at: 0, bare, over: false });
        None
    }

    fn gap(&self) -> Gap {
        Gap::Reconnected { sent: self.sent.clone() }
    }

    /// Whether the first response came to this ID, or began with it.
    fn knows(&self, id: &str) -> bool {
        let key = self.keys.hash_one(id);
        let is_placed = self.joining.as_ref().is_some_and(|joining| joining.places.contains_key(&key));
        is_placed || self.marks.contains(&key) || self.sent.as_deref() == Some(id)
    }

    fn pass(&mut self, id: Option<&str>) -> Passage {
        let Some(joining) = &mut self.joining else { return Passage::Deliver };
        match id {
            None if joining.bare > 0 => {
                joining.bare -= 1;
                return Passage::Drop;
            }
            // More without an ID than before: these are new.
            None => {}
            Some(id) => {
                if let Some(&place) = joining.places.get(&self.keys.hash_one(id)) {
                    joining.at = place;
                    joining.bare = self.delivered.get(place).map_or(0, |(_, bare)| *bare);
                    return Passage::Drop;
                }
            }
        }
        joining.over = true;
        // In order up to here, and all of it: the server went on exactly where it should.
        let complete = joining.at + 1 == self.delivered.len() && joining.bare == 0 && self.forgotten == 0;
        if complete || joining.at > 0 { Passage::Deliver } else { Passage::DeliverAfter(self.gap()) }
    }

    fn note(&mut self, id: Option<&str>) {
        match (id, self.delivered.back_mut()) {
            (None, Some((_, bare))) => *bare += 1,
            (Some(id), _) => self.delivered.push_back((Some(self.keys.hash_one(id)), 0)),
            (None, None) => {}
        }
        if self.delivered.len() > SEAM_IDS {
            self.delivered.pop_front();
            self.forgotten += 1;
        }
    }

    /// One too many is only not recognised.
    fn note_mark(&mut self, id: &str) {
        if self.marks.len() < SEAM_IDS {
            self.marks.insert(self.keys.hash_one(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` is an event without an ID.
    fn pass(sieve: &mut Sieve, ids: &str) -> String {
        let passed = ids.split(' ').filter(|id| !id.is_empty()).map(|id| {
            let passage = sieve.pass((id != "-").then_some(id));
            match passage {
                Passage::Deliver => id.to_owned(),
                Passage::DeliverAfter(_) => format!("gap {id}"),
                Passage::Drop => String::new(),
            }
        });
        passed.filter(|id| !id.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_event_is_not_repeated_while_its_id_is_among_the_last() {
        let mut sieve = Sieve::new(3);
        assert_eq!(pass(&mut sieve, "1 2 3 1 3 - - 4 1 2"), "1 2 3 - - 4 1 2");
        assert!(Sieve::new(0).is_open());
    }

    #[test]
    fn a_second_response_goes_on_where_the_first_was_left() {
        for (first, second, expected) in [
            // It begins after what was sent, and repeats what came meanwhile.
            ("1 2 3", "1 2 3 4 5", "4 5"),
            ("", "1 2", "1 2"),
            // It began later than asked, but among what came.
            ("1 2 3", "3 4", "4"),
            // Somewhere else.
            ("1 2 3", "7 8", "gap 7 8"),
            // Repeats stop at the first ID that is not known.
            ("1 2", "2 3 2", "3 2"),
            // Events without an ID are known by the one before.
            ("- 1 - 2 -", "- 1 - 2 - - 3", "- 3"),
            ("- -", "- - - 1", "- 1"),
        ] {
            let mut sieve = Sieve::new(0);
            sieve.open_seam(Some("0".into()));
            assert_eq!(pass(&mut sieve, first), first);
            assert_eq!(sieve.join_seam(), None);
            assert_eq!(pass(&mut sieve, second), expected, "{first:?}, then {second:?}");
        }
    }

    #[test]
    fn a_response_goes_on_repeating_what_it_repeats_when_a_third_is_asked_for() {
        for refused in [false, true] {
            let mut sieve = Sieve::new(0);
            sieve.open_seam(Some("0".into()));
            assert_eq!(pass(&mut sieve, "1 2 3"), "1 2 3");
            assert_eq!(sieve.join_seam(), None);
            assert_eq!(pass(&mut sieve, "1"), "");
            sieve.open_seam(Some("3".into()));
            assert_eq!(pass(&mut sieve, "2"), "");
            if refused {
                sieve.drop_seam();
                assert_eq!(pass(&mut sieve, "3 4 5"), "4 5");
            } else {
                assert_eq!(pass(&mut sieve, "3 4"), "4");
                assert_eq!(sieve.join_seam(), None);
                assert_eq!(pass(&mut sieve, "4 5"), "5");
            }
            assert!(sieve.is_open());
        }
    }

    #[test]
    fn a_second_response_that_begins_somewhere_else_with_what_is_known_owes_the_gap_to_what_is_not() {
        let mut sieve = Sieve::new(8);
        assert_eq!(pass(&mut sieve, "1 2 3"), "1 2 3");
        sieve.open_seam(Some("3".into()));
        assert_eq!(pass(&mut sieve, "4"), "4");
        assert_eq!(sieve.join_seam(), None);
        assert_eq!(pass(&mut sieve, "2 9 10"), "gap 9 10");
    }

    #[test]
    fn without_an_id_to_begin_after_nothing_says_where_a_second_response_begins() {
        let mut sieve = Sieve::new(0);
        sieve.open_seam(None);
        assert_eq!(sieve.join_seam(), Some(Gap::Reconnected { sent: None }));
        assert!(sieve.is_open());
    }

    #[test]
    fn the_ids_of_a_seam_are_bounded_and_what_was_forgotten_is_a_gap() {
        let mut sieve = Sieve::new(0);
        sieve.open_seam(Some("0".into()));
        for number in 0..2 * SEAM_IDS {
            assert_eq!(sieve.pass(Some(&number.to_string())), Passage::Deliver);
        }
        assert!(sieve.seam.as_ref().unwrap().delivered.len() <= SEAM_IDS);
        assert_eq!(sieve.join_seam(), None);
        assert!(matches!(sieve.pass(Some("0")), Passage::DeliverAfter(_)));
    }
}
