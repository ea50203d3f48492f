//! [`Retention`]: the events that are kept for late subscribers, and their replay.

use std::collections::{HashMap, VecDeque};

use crate::event::{Delivery, Event, Gap};

use super::filter::Filter;
use super::latest::{Latest, MAX_RETAINED_BYTES, MAX_RETAINED_EVENTS, Unkeyed};
use super::overflow::ConflateKey;

/// The number of gaps that one rule keeps between two events. Beyond that, gaps of a kind merge
/// even if they are about different types, or another rule keeps events between them.
const MAX_GAPS: usize = 16;

/// The number of types for which a rule remembers its last dropped event one by one.
const MAX_TYPES: usize = 256;

/// The length of the longest of these types, in bytes: a server chooses them, and they are never
/// forgotten.
const MAX_TYPE_LEN: usize = 256;

/// A rule for what is kept.
#[derive(Debug, Clone)]
pub(crate) struct Retain {
    pub(crate) filter: Filter,
    pub(crate) keep: Keep,
}

/// The amount of matching events that a rule keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keep {
    /// This many of the newest events that match.
    Newest(usize),
    /// The newest event that matches, and everything after it.
    Since,
    /// The newest event that matches of each key.
    Latest(ConflateKey),
}

/// The retained events that a subscription gets first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Replay {
    #[default]
    None,
    All,
    /// Those after the event that set this ID.
    After(String),
}

/// The events and gaps that all rules keep. Under the hub's lock.
#[derive(Debug, Default)]
pub(super) struct Retention {
    rules: Vec<RetainedByRule>,
    /// Counts events and gaps as they come, so that what several rules keep is replayed once, in
    /// order.
    serial: u64,
    /// The serial number of the newest event that any rule keeps.
    newest_event: u64,
    /// Events that are not kept any more, to be dropped when no lock is held.
    dropped: Vec<Event>,
}

/// A retention rule, and the events that it keeps.
#[derive(Debug)]
struct RetainedByRule {
    rule: Retain,
    /// Without the events of `latest`.
    entries: VecDeque<RetainedEntry>,
    latest: Option<Latest>,
    events: usize,
    /// The bytes of `entries`.
    bytes: u64,
    /// The number of events since the snapshot, or keys, that were dropped for want of room, the
    /// oldest first.
    trimmed: u64,
    /// The serial number of the last of these.
    last_trimmed: u64,
    last_dropped: LastDropped,
}

/// The serial numbers of the last events that a rule for the newest ones has dropped.
#[derive(Debug, Default)]
struct LastDropped {
    by_type: HashMap<Box<str>, u64>,
    /// Of all types beyond the limits.
    others: u64,
}

/// An event or gap, and when it came.
#[derive(Debug, Clone)]
struct RetainedEntry {
    serial: u64,
    delivery: Delivery,
}

impl Retention {
    pub(super) fn new(rules: Vec<Retain>) -> Self {
        Self { rules: rules.into_iter().map(RetainedByRule::new).collect(), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns true if an event of this type is to be kept.
    pub(super) fn wants(&self, event_type: &str) -> bool {
        self.rules.iter().any(|rule| rule.wants(event_type))
    }

    /// Keeps an event by each rule that wants it.
    pub(super) fn event(&mut self, event: &Event) {
        self.serial += 1;
        self.newest_event = self.serial;
        for rule in self.rules.iter_mut().filter(|rule| rule.wants(event.event_type())) {
            rule.event(self.serial, event, &mut self.dropped);
        }
    }

    /// Keeps a gap by each rule that it concerns.
    pub(super) fn gap(&mut self, gap: &Gap) {
        self.serial += 1;
        for rule in &mut self.rules {
            rule.gap(self.serial, gap, self.newest_event);
        }
    }

    /// Returns the events whose keys are to be computed when no lock is held.
    pub(super) fn unkeyed(&self) -> Vec<Unkeyed> {
        let rules = self.rules.iter().enumerate();
        rules.flat_map(|(index, rule)| rule.latest.iter().flat_map(move |latest| latest.unkeyed(index))).collect()
    }

    /// Enters events by the keys that were computed.
    pub(super) fn enter(&mut self, unkeyed: &[Unkeyed]) {
        for event in unkeyed {
            self.rules[event.rule].enter(event, &mut self.dropped);
        }
    }

    /// Takes the events that no rule keeps any more.
    pub(super) fn take_dropped(&mut self) -> Option<Vec<Event>> {
        (!self.dropped.is_empty()).then(|| std::mem::take(&mut self.dropped))
    }

    /// Returns what a subscriber with this filter gets first. Its predicate is not evaluated.
    pub(super) fn replay(&self, filter: &Filter, replay: &Replay) -> VecDeque<Delivery> {
        let after = match replay {
            Replay::None => return VecDeque::new(),
            Replay::All => Some(0),
            Replay::After(id) => self.place_of(id),
        };
        let mut replayed = self.replay_after(filter, after.unwrap_or(0));
        let is_missing_some =
            matches!(replay, Replay::After(_)) && after.is_none_or(|after| self.has_hole(filter, after));
        if is_missing_some {
            // How many events came between that ID and the first one here is not known.
            replayed.push_front(Delivery::Gap(Gap::NotRetained { events: 0 }));
        }
        replayed
    }

    /// Returns the serial number of the newest event that set this ID, if it is retained.
    fn place_of(&self, id: &str) -> Option<u64> {
        let entries = self.rules.iter().flat_map(RetainedByRule::entries);
        entries.filter(|entry| entry.has_id(id)).map(|entry| entry.serial).max()
    }

    /// Returns true if an event for this filter came after a serial number, and one rule has
    /// dropped it, though another still has the event there.
    fn has_hole(&self, filter: &Filter, after: u64) -> bool {
        let keeps = |serial| self.rules.iter().any(|rule| rule.entries.iter().any(|entry| entry.serial == serial));
        self.rules.iter().any(|rule| rule.last_dropped.after(filter, after).any(|serial| !keeps(serial)))
    }

    /// Returns what was retained after a serial number.
    fn replay_after(&self, filter: &Filter, after: u64) -> VecDeque<Delivery> {
        let matching = self.rules.iter().flat_map(RetainedByRule::entries).filter(|entry| entry.matches(filter));
        let mut entries: Vec<_> = matching.chain(self.rules.iter().filter_map(RetainedByRule::hole)).collect();
        entries.retain(|entry| entry.serial > after);
        // A hole stands where the last of the missing events stood, which another rule may still
        // have.
        // So the serial number alone does not tell a repeat: hole and event are both replayed.
        entries.sort_by_key(|entry| entry.serial);
        entries.dedup_by(|later, entry| later.serial == entry.serial && entry.delivery == later.delivery);
        let mut replay = VecDeque::with_capacity(entries.len());
        // Where the gaps after the last event begin.
        let mut first_gap = 0;
        for RetainedEntry { serial, delivery } in entries {
            if let Delivery::Gap(gap) = delivery {
                // Only one subscriber gets this list, and all of it, so gaps about different types
                // may merge.
                push_gap(&mut replay, first_gap, serial, gap, |_, _| true);
            } else {
                replay.push_back(RetainedEntry { serial, delivery });
                first_gap = replay.len();
            }
        }
        replay.into_iter().map(|entry| entry.delivery).collect()
    }
}

impl RetainedByRule {
    fn new(rule: Retain) -> Self {
        let latest = if let Keep::Latest(key) = &rule.keep { Some(Latest::new(key.clone())) } else { None };
        Self {
            rule,
            entries: VecDeque::new(),
            latest,
            events: 0,
            bytes: 0,
            trimmed: 0,
            last_trimmed: 0,
            last_dropped: LastDropped::default(),
        }
    }

    /// Returns what it keeps, in no particular order.
    fn entries(&self) -> impl Iterator<Item = RetainedEntry> {
        let latest = self.latest.iter().flat_map(Latest::iter).map(|(serial, event)| {
            let delivery = Delivery::Event(event.clone());
            RetainedEntry { serial, delivery }
        });
        self.entries.iter().cloned().chain(latest)
    }

    /// Returns the gap that stands for events which there was no room for.
    fn hole(&self) -> Option<RetainedEntry> {
        let delivery = Delivery::Gap(Gap::NotRetained { events: self.trimmed });
        (self.trimmed > 0).then_some(RetainedEntry { serial: self.last_trimmed, delivery })
    }

    /// Returns true if this rule keeps an event of this type.
    fn wants(&self, event_type: &str) -> bool {
        // `Since` keeps everything after the first event that matches.
        let has_begun = !self.entries.is_empty() || self.trimmed > 0;
        (self.rule.keep == Keep::Since && has_begun) || self.rule.filter.matches(event_type)
    }

    /// Enters an event by its key, and drops the oldest for which there is no room.
    fn enter(&mut self, unkeyed: &Unkeyed, dropped: &mut Vec<Event>) {
        let Some(latest) = &mut self.latest else { return };
        latest.enter(unkeyed, dropped);
        while let Some((serial, event)) = latest.shorten() {
            dropped.push(event);
            self.trimmed += 1;
            self.last_trimmed = serial;
        }
        // Gaps are kept only behind an event.
        let first = latest.first().unwrap_or(0);
        while self.entries.front().is_some_and(|gap| gap.serial < first) {
            self.pop_first();
        }
    }

    /// Keeps an event, and drops the oldest for which there is no room.
    fn event(&mut self, serial: u64, event: &Event, dropped: &mut Vec<Event>) {
        if let Some(latest) = &mut self.latest {
            latest.push(serial, event);
            return;
        }
        if self.rule.keep == Keep::Since && self.rule.filter.matches(event.event_type()) {
            // Handed out and not dropped: the hub is locked, and an event may own values of the
            // caller's.
            dropped.extend(self.entries.drain(..).filter_map(|entry| entry.delivery.event()));
            // A new snapshot makes everything before it obsolete, also what was trimmed.
            (self.events, self.bytes, self.trimmed) = (0, 0, 0);
        }
        let entry = RetainedEntry { serial, delivery: Delivery::Event(event.clone()) };
        self.events += 1;
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        let max_events = if let Keep::Newest(count) = self.rule.keep { count } else { MAX_RETAINED_EVENTS };
        // One event always fits.
        while self.events > max_events || (self.bytes > MAX_RETAINED_BYTES && self.events > 1) {
            dropped.extend(self.drop_oldest());
        }
    }

    /// Removes the first event or gap.
    fn pop_first(&mut self) -> Option<RetainedEntry> {
        let first = self.entries.pop_front()?;
        self.bytes -= first.bytes();
        Some(first)
    }

    /// Removes the oldest event, and the gaps behind it, which now stand between no two events.
    fn drop_oldest(&mut self) -> Option<Event> {
        // An event: gaps are kept only behind one.
        let RetainedEntry { serial, delivery } = self.pop_first()?;
        let event = delivery.event()?;
        while self.entries.front().is_some_and(|entry| !entry.delivery.is_event()) {
            self.pop_first();
        }
        self.events -= 1;
        if self.rule.keep == Keep::Since {
            self.trimmed += 1;
            self.last_trimmed = serial;
        } else {
            // A rule for the newest events promises no more than their number, so nothing is
            // missing there, unless a replay begins before it.
            self.last_dropped.note(event.event_type(), serial);
        }
        Some(event)
    }

    /// Keeps a gap, if it comes after an event.
    ///
    /// Rules that keep the same gap must end up with equal ones, so that it is replayed once. So it
    /// does not merge with gaps from before `newest_event`, which another rule may keep, and
    /// which then stands between them; nor with gaps about another type, which another rule may
    /// not want.
    fn gap(&mut self, serial: u64, gap: &Gap, newest_event: u64) {
        let is_empty = self.entries.is_empty() && self.latest.as_ref().is_none_or(|latest| latest.first().is_none());
        if is_empty || !type_of(gap).is_none_or(|event_type| self.wants(event_type)) {
            return;
        }
        let behind = self.entries.iter().rposition(|entry| entry.delivery.is_event()).map_or(0, |event| event + 1);
        let mut first = behind;
        let is_full = self.entries.len() - first >= MAX_GAPS;
        if !is_full {
            first += self.entries.range(first..).take_while(|entry| entry.serial <= newest_event).count();
        }
        let may_merge = |newer: &Gap, older: &Gap| is_full || type_of(newer) == type_of(older);
        // Counted anew: gaps behind an event are few, and may merge. The next event drops the
        // oldest if there is no room.
        self.bytes -= bytes_from(&self.entries, behind);
        push_gap(&mut self.entries, first, serial, gap.clone(), may_merge);
        self.bytes += bytes_from(&self.entries, behind);
    }
}

impl LastDropped {
    fn note(&mut self, event_type: &str, serial: u64) {
        if let Some(last) = self.by_type.get_mut(event_type) {
            *last = serial;
        } else if self.by_type.len() < MAX_TYPES && event_type.len() <= MAX_TYPE_LEN {
            self.by_type.insert(event_type.into(), serial);
        } else {
            self.others = serial;
        }
    }

    /// Returns those after a serial number that may pass the filter.
    fn after(&self, filter: &Filter, after: u64) -> impl Iterator<Item = u64> {
        let matching = self.by_type.iter().filter(|(event_type, _)| filter.matches(event_type));
        matching.map(|(_, serial)| *serial).chain([self.others]).filter(move |serial| *serial > after)
    }
}

impl RetainedEntry {
    fn bytes(&self) -> u64 {
        match &self.delivery {
            Delivery::Event(event) => event.size() as u64,
            Delivery::Gap(gap) => gap.size() as u64,
        }
    }

    fn has_id(&self, id: &str) -> bool {
        matches!(&self.delivery, Delivery::Event(event) if event.id() == Some(id))
    }

    /// Returns true if a subscription with this filter gets it.
    fn matches(&self, filter: &Filter) -> bool {
        match &self.delivery {
            Delivery::Event(event) => filter.matches(event.event_type()),
            Delivery::Gap(gap) => type_of(gap).is_none_or(|event_type| filter.matches(event_type)),
        }
    }
}

/// Returns the bytes of the entries from `first` on.
fn bytes_from(entries: &VecDeque<RetainedEntry>, first: usize) -> u64 {
    entries.range(first..).map(RetainedEntry::bytes).sum()
}

/// Appends a gap. It merges with the first gap from `first` on that is of its kind and that it
/// `may_merge` with.
fn push_gap(
    entries: &mut VecDeque<RetainedEntry>,
    first: usize,
    serial: u64,
    mut gap: Gap,
    may_merge: impl Fn(&Gap, &Gap) -> bool,
) {
    let mut merges = |entry: &RetainedEntry| match &entry.delivery {
        Delivery::Gap(older) => may_merge(&gap, older) && merge(&mut gap, older),
        Delivery::Event(_) => false,
    };
    if let Some(index) = entries.range(first..).position(&mut merges) {
        entries.remove(first + index);
    }
    entries.push_back(RetainedEntry { serial, delivery: Delivery::Gap(gap) });
}

/// Merges two gaps. The type of a gap says which filters it concerns, so a gap that stands for
/// several types has none.
fn merge(newer: &mut Gap, older: &Gap) -> bool {
    let is_same_type = type_of(newer) == type_of(older);
    let has_merged = newer.merge(older);
    if let (true, false, Gap::Oversized { event_type, .. }) = (has_merged, is_same_type, newer) {
        *event_type = None;
    }
    has_merged
}

/// Returns the one type of event that a gap is about, if that is known.
fn type_of(gap: &Gap) -> Option<&str> {
    match gap {
        Gap::Oversized { event_type, .. } => event_type.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [&str; 3] = ["a", "b", "c"];

    fn some_filter(random: &mut fastrand::Rng) -> Filter {
        match random.usize(0..4) {
            3 => Filter::all(),
            number => TYPES[number].into(),
        }
    }

    /// An event or gap that has come, as a server would count it.
    struct Came {
        event_type: Option<&'static str>,
        is_event: bool,
    }

    impl Came {
        fn matches(&self, filter: &Filter) -> bool {
            self.event_type.is_none_or(|event_type| filter.matches(event_type))
        }
    }

    /// Returns true if a newer event has the type of this one, which is its key.
    fn is_replaced(at: usize, came: &[Came]) -> bool {
        came[at + 1..].iter().any(|later| later.is_event && later.event_type == came[at].event_type)
    }

    /// Returns the index at which what a rule keeps begins.
    fn begin(rule: &Retain, came: &[Came]) -> Option<usize> {
        let mut matching = (0..came.len()).rev().filter(|&at| came[at].is_event && came[at].matches(&rule.filter));
        match rule.keep {
            Keep::Since => matching.next(),
            Keep::Newest(most) => matching.take(most).last(),
            Keep::Latest(_) => matching.rfind(|&at| !is_replaced(at, came)),
        }
    }

    /// Returns events by their number, and how many oversized ones came after each.
    fn expected(rules: &[Retain], came: &[Came], filter: &Filter) -> Vec<(Option<usize>, u64)> {
        let mut expected = vec![(None, 0)];
        for (at, one) in came.iter().enumerate().filter(|(_, one)| one.matches(filter)) {
            let keeps = |rule: &Retain| {
                let wants = rule.keep == Keep::Since || one.matches(&rule.filter);
                let is_latest = matches!(rule.keep, Keep::Latest(_)) && one.is_event;
                wants && !(is_latest && is_replaced(at, came)) && begin(rule, came).is_some_and(|begin| begin <= at)
            };
            match (rules.iter().any(keeps), one.is_event) {
                (false, _) => {}
                (true, true) => expected.push((Some(at), 0)),
                (true, false) => expected.last_mut().into_iter().for_each(|(_, oversized)| *oversized += 1),
            }
        }
        expected
    }

    fn replayed(retention: &Retention, filter: &Filter) -> Vec<(Option<usize>, u64)> {
        let mut replayed = vec![(None, 0)];
        for delivery in retention.replay(filter, &Replay::All) {
            match (delivery, replayed.last_mut()) {
                (Delivery::Event(event), _) => replayed.push((event.data().parse().ok(), 0)),
                (Delivery::Gap(Gap::Oversized { events, .. }), Some((_, oversized @ 0))) => *oversized = events,
                (gap, last) => panic!("{gap:?} after {last:?}"),
            }
        }
        replayed
    }

    #[test]
    fn long_types_of_dropped_events_are_not_kept_and_their_hole_is_known() {
        let long = "x".repeat(1_000);
        let mut retention = Retention::new(vec![Retain { filter: Filter::all(), keep: Keep::Newest(1) }]);
        for number in 0..10 {
            let event = Event::builder().event_type(format!("{number}{long}")).id(number.to_string());
            retention.event(&event.build().unwrap());
        }
        let types = retention.rules[0].last_dropped.by_type.keys().map(|event_type| event_type.len());
        assert_eq!(types.sum::<usize>(), 0, "bytes of types");
        assert!(retention.has_hole(&Filter::all(), 8), "the ninth was dropped");
        assert!(!retention.has_hole(&Filter::all(), 9), "the tenth is there");
    }

    #[test]
    fn the_text_of_retained_gaps_counts_as_bytes() {
        let text = "x".repeat(8_000);
        for keep in [Keep::Since, Keep::Newest(MAX_RETAINED_EVENTS)] {
            let filter = if keep == Keep::Since { "first".into() } else { Filter::all() };
            let mut retention = Retention::new(vec![Retain { filter, keep }]);
            retention.event(&Event::builder().event_type("first").build().unwrap());
            for number in 0..3_000 {
                retention.event(&Event::builder().build().unwrap());
                retention.gap(&Gap::oversized(Some(format!("{number}{text}")), Some(text.clone()), 1));
            }
            let gaps = retention.replay(&Filter::all(), &Replay::All).into_iter();
            let gaps = gaps.filter(|delivery| matches!(delivery, Delivery::Gap(Gap::Oversized { .. }))).count();
            assert!((1_000..=1_049).contains(&gaps), "{gaps} gaps of 16,000 bytes");
        }
    }

    #[test]
    fn retained_events_are_replayed_once_with_oversized_ones_counted() {
        for seed in 0..3_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let rules: Vec<Retain> = (0..random.usize(1..4))
                .map(|_| {
                    let keep = match random.usize(0..3) {
                        0 => Keep::Since,
                        1 => Keep::Newest(random.usize(1..4)),
                        _ => Keep::Latest(ConflateKey::new(|event| event.event_type().to_owned())),
                    };
                    Retain { filter: some_filter(&mut random), keep }
                })
                .collect();
            let mut retention = Retention::new(rules.clone());
            let mut came = Vec::new();
            for number in 0..24 {
                let event_type = TYPES[random.usize(0..TYPES.len())];
                if random.usize(0..3) > 0 {
                    if retention.wants(event_type) {
                        let event = Event::builder().event_type(event_type).data(number.to_string());
                        retention.event(&event.build().unwrap());
                        let mut unkeyed = retention.unkeyed();
                        unkeyed.iter_mut().for_each(Unkeyed::compute);
                        retention.enter(&unkeyed);
                    }
                    came.push(Came { event_type: Some(event_type), is_event: true });
                } else {
                    let event_type = (random.usize(0..6) > 0).then_some(event_type);
                    retention.gap(&Gap::oversized(event_type.map(Into::into), None, 1));
                    came.push(Came { event_type, is_event: false });
                }
                let filter = some_filter(&mut random);
                let (replayed, expected) = (replayed(&retention, &filter), expected(&rules, &came, &filter));
                assert_eq!(replayed, expected, "seed {seed}: {rules:?}, replayed to {filter:?}");
            }
        }
    }
}
