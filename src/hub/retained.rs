//! [`Retention`]: what is kept for subscribers who come late.

use std::collections::VecDeque;

use crate::event::{Delivery, Event, Gap};
use crate::hub::Filter;
use crate::hub::retain::{Keep, MOST_BYTES, MOST_EVENTS, Retain};

/// Everything that is kept. Entries are numbered as they come, so that what several rules keep is given once, in order.
#[derive(Debug, Default)]
pub(super) struct Retention {
    kept: Vec<Kept>,
    serial: u64,
    /// Of the newest event that any rule kept.
    newest: u64,
    /// What is kept no more, to be dropped when no lock is held.
    dropped: Vec<Event>,
}

/// What one rule keeps.
#[derive(Debug)]
struct Kept {
    rule: Retain,
    entries: VecDeque<Entry>,
    events: usize,
    bytes: u64,
    /// Events after the newest that matched which there was no room for.
    trimmed: u64,
    /// Of the last of these.
    last_trimmed: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    serial: u64,
    delivery: Delivery,
}

/// How many gaps may stand between two events of a rule; beyond that those of a kind merge, whatever they are about and
/// whatever other rules keep between them.
const MOST_GAPS: usize = 16;

impl Retention {
    pub(super) fn new(rules: Vec<Retain>) -> Self {
        Self { kept: rules.into_iter().map(Kept::new).collect(), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether an event of this type is to be kept.
    pub(super) fn wants(&self, event_type: &str) -> bool {
        self.kept.iter().any(|kept| kept.wants(event_type))
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.serial += 1;
        self.newest = self.serial;
        for kept in self.kept.iter_mut().filter(|kept| kept.wants(event.event_type())) {
            kept.event(self.serial, event, &mut self.dropped);
        }
    }

    pub(super) fn gap(&mut self, gap: &Gap) {
        self.serial += 1;
        self.kept.iter_mut().for_each(|kept| kept.gap(self.serial, gap, self.newest));
    }

    pub(super) fn take_dropped(&mut self) -> Option<Vec<Event>> {
        (!self.dropped.is_empty()).then(|| std::mem::take(&mut self.dropped))
    }

    /// What a subscriber with this filter gets first.
    pub(super) fn replay(&self, filter: &Filter) -> VecDeque<Delivery> {
        let matching = self.kept.iter().flat_map(|kept| &kept.entries).filter(|entry| entry.matches(filter));
        let mut entries: Vec<Entry> = matching.cloned().chain(self.kept.iter().filter_map(Kept::hole)).collect();
        // A hole stands where the last of the missing events stood, which another rule may still have.
        entries.sort_by_key(|entry| entry.serial);
        entries.dedup_by(|later, entry| later.serial == entry.serial && entry.delivery == later.delivery);
        joined(entries.into_iter().map(|entry| entry.delivery))
    }
}

/// With one gap of a kind between two events.
fn joined(deliveries: impl Iterator<Item = Delivery>) -> VecDeque<Delivery> {
    let mut joined: VecDeque<Delivery> = VecDeque::new();
    let mut gaps = 0;
    for delivery in deliveries {
        let Delivery::Gap(mut gap) = delivery else {
            gaps = 0;
            joined.push_back(delivery);
            continue;
        };
        let first = joined.len() - gaps;
        // What each rule has lost is said by itself.
        let merges =
            |older: &Delivery| matches!(older, Delivery::Gap(older) if older.same_kind(&gap) && !is_hole(&gap));
        if let Some(index) = joined.range(first..).position(merges) {
            if let Some(Delivery::Gap(older)) = joined.remove(first + index) {
                merge(&mut gap, &older);
                gaps -= 1;
            }
        }
        joined.push_back(Delivery::Gap(gap));
        gaps += 1;
    }
    joined
}

impl Kept {
    fn new(rule: Retain) -> Self {
        Self { rule, entries: VecDeque::new(), events: 0, bytes: 0, trimmed: 0, last_trimmed: 0 }
    }

    fn hole(&self) -> Option<Entry> {
        let delivery = Delivery::Gap(Gap::NotRetained { events: self.trimmed });
        (self.trimmed > 0).then_some(Entry { serial: self.last_trimmed, delivery })
    }

    fn wants(&self, event_type: &str) -> bool {
        // What comes after the first that matches is kept whatever it is.
        (self.rule.keep == Keep::Since && !self.is_vacant()) || self.rule.filter.matches(event_type)
    }

    /// Nothing that matches has come.
    fn is_vacant(&self) -> bool {
        self.entries.is_empty() && self.trimmed == 0
    }

    fn event(&mut self, serial: u64, event: &Event, dropped: &mut Vec<Event>) {
        if self.rule.keep == Keep::Since && self.rule.filter.matches(event.event_type()) {
            dropped.extend(self.entries.drain(..).filter_map(|entry| entry.delivery.event()));
            (self.events, self.bytes, self.trimmed) = (0, 0, 0);
        }
        self.entries.push_back(Entry { serial, delivery: Delivery::Event(event.clone()) });
        self.events += 1;
        self.bytes += event.size() as u64;
        // One event always fits.
        while self.events > self.rule.most_events() || (self.bytes > MOST_BYTES && self.events > 1) {
            dropped.extend(self.drop_oldest());
        }
    }

    /// The oldest event, and the gaps around it, which are between no two events now.
    fn drop_oldest(&mut self) -> Option<Event> {
        let mut oldest = None;
        while let Some(Entry { delivery, .. }) = self.entries.front() {
            if oldest.is_some() && matches!(delivery, Delivery::Event(_)) {
                break;
            }
            let front = self.entries.pop_front().and_then(|entry| Some((entry.serial, entry.delivery.event()?)));
            oldest = oldest.or(front);
        }
        let (serial, event) = oldest?;
        self.events -= 1;
        self.bytes -= event.size() as u64;
        if self.rule.keep == Keep::Since {
            (self.trimmed, self.last_trimmed) = (self.trimmed + 1, serial);
        }
        Some(event)
    }

    /// Takes a gap, if it is after an event. It does not merge with gaps from before `newest`: that is an event which
    /// another rule may have kept, and which stands between them then. Nor with one about another type, of which another
    /// rule may not want to know: what both have must be the same, to be given once.
    fn gap(&mut self, serial: u64, gap: &Gap, newest: u64) {
        let concerns = match gap {
            Gap::Oversized { event_type: Some(event_type), .. } => self.wants(event_type),
            _ => true,
        };
        if self.entries.is_empty() || !concerns {
            return;
        }
        let mut gap = gap.clone();
        let event = self.entries.iter().rposition(|entry| matches!(entry.delivery, Delivery::Event(_)));
        let mut first = event.map_or(0, |event| event + 1);
        let is_full = self.entries.len() - first >= MOST_GAPS;
        if !is_full {
            first += self.entries.range(first..).take_while(|entry| entry.serial <= newest).count();
        }
        let merges = |older: &Gap| older.same_kind(&gap) && (is_full || type_of(older) == type_of(&gap));
        let same = |entry: &Entry| matches!(&entry.delivery, Delivery::Gap(older) if merges(older));
        if let Some(index) = self.entries.range(first..).position(same) {
            if let Some(Entry { delivery: Delivery::Gap(older), .. }) = self.entries.remove(first + index) {
                merge(&mut gap, &older);
            }
        }
        self.entries.push_back(Entry { serial, delivery: Delivery::Gap(gap) });
    }
}

fn is_hole(gap: &Gap) -> bool {
    matches!(gap, Gap::NotRetained { .. })
}

/// The one type of event that it is about, if that is known.
fn type_of(gap: &Gap) -> Option<&str> {
    match gap {
        Gap::Oversized { event_type, .. } => event_type.as_deref(),
        _ => None,
    }
}

/// Whom a gap concerns is told by its type: that of one which speaks for several types is not known.
fn merge(newer: &mut Gap, older: &Gap) {
    if let (Gap::Oversized { event_type, .. }, Gap::Oversized { event_type: other, .. }) = (&mut *newer, older) {
        if event_type != other {
            *event_type = None;
        }
    }
    newer.absorb(older);
}

impl Retain {
    fn most_events(&self) -> usize {
        match self.keep {
            Keep::Newest(most) => most,
            Keep::Since => MOST_EVENTS,
        }
    }
}

impl Entry {
    fn matches(&self, filter: &Filter) -> bool {
        match &self.delivery {
            Delivery::Event(event) => filter.matches(event.event_type()),
            Delivery::Gap(Gap::Oversized { event_type: Some(event_type), .. }) => filter.matches(event_type),
            Delivery::Gap(_) => true,
        }
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

    /// What has come, as a server would count it.
    struct Came {
        event_type: Option<&'static str>,
        is_event: bool,
    }

    impl Came {
        fn matches(&self, filter: &Filter) -> bool {
            self.event_type.is_none_or(|event_type| filter.matches(event_type))
        }
    }

    /// Where what a rule keeps begins.
    fn begin(rule: &Retain, came: &[Came]) -> Option<usize> {
        let mut matching = (0..came.len()).rev().filter(|&at| came[at].is_event && came[at].matches(&rule.filter));
        match rule.keep {
            Keep::Since => matching.next(),
            Keep::Newest(most) => matching.take(most).last(),
        }
    }

    /// Events by their number, between them how many were too large.
    fn expected(rules: &[Retain], came: &[Came], filter: &Filter) -> Vec<(Option<usize>, u64)> {
        let mut expected = vec![(None, 0)];
        for (at, one) in came.iter().enumerate().filter(|(_, one)| one.matches(filter)) {
            let keeps = |rule: &Retain| {
                let wants = rule.keep == Keep::Since || one.matches(&rule.filter);
                wants && begin(rule, came).is_some_and(|begin| begin <= at)
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
        for delivery in retention.replay(filter) {
            match (delivery, replayed.last_mut()) {
                (Delivery::Event(event), _) => replayed.push((event.data().parse().ok(), 0)),
                (Delivery::Gap(Gap::Oversized { events, .. }), Some((_, oversized @ 0))) => *oversized = events,
                (gap, last) => panic!("{gap:?} after {last:?}"),
            }
        }
        replayed
    }

    #[test]
    fn whatever_rules_retain_it_is_replayed_once_and_what_was_too_large_between_is_counted_once() {
        for seed in 0..3_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let rules: Vec<Retain> = (0..random.usize(1..4))
                .map(|_| {
                    let keep = if random.bool() { Keep::Since } else { Keep::Newest(random.usize(1..4)) };
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
