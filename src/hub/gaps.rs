//! [`GapQueue`]: the gaps in one reader's queue.
//!
//! Gaps are queued beside the items, so that they take no room among them and cannot be
//! overwritten. Gaps of a kind between the same two items merge, and there are two kinds besides
//! lag: so there are at most two for each item in the queue.

use std::collections::VecDeque;

use crate::event::Gap;

/// Gaps in order. Each stands before the item at its place.
#[derive(Debug, Default)]
pub(super) struct GapQueue(VecDeque<PlacedGap>);

/// A gap, and the position of the first item after it.
#[derive(Debug)]
struct PlacedGap {
    place: u64,
    gap: Gap,
}

impl GapQueue {
    /// Returns the place of the first gap.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.front().map(|first| first.place)
    }

    /// Returns the place of the last gap.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.back().map(|last| last.place)
    }

    /// Returns how many lost items the gaps stand for.
    pub(super) fn missed(&self) -> u64 {
        let missed = |placed: &PlacedGap| if let Gap::Lagged { missed } = placed.gap { missed } else { 0 };
        self.0.iter().map(missed).sum()
    }

    /// Takes the first gap if no item before `place` comes before it.
    pub(super) fn take(&mut self, place: u64) -> Option<Gap> {
        if self.first()? <= place { self.0.pop_front().map(|first| first.gap) } else { None }
    }

    /// Appends a gap, and merges gaps that have become neighbours: items before `gone_before` may
    /// have gone. `are_neighbours` says whether nothing stands between two places, of which the
    /// second is not before the first.
    pub(super) fn push(&mut self, place: u64, gap: Gap, gone_before: u64, are_neighbours: impl Fn(u64, u64) -> bool) {
        self.0.push_back(PlacedGap { place, gap });
        let mut index = 0;
        while index < self.0.len() {
            // Behind that only the new gap has new neighbours. A queue may hold thousands of gaps.
            if self.0[index].place > gone_before {
                index = index.max(self.0.partition_point(|older| older.place < place));
            }
            if self.merge_into_newer(index, &are_neighbours) {
                self.0.remove(index);
            } else {
                index += 1;
            }
        }
    }

    /// Merges a gap into the next newer one of its kind, if they are neighbours.
    fn merge_into_newer(&mut self, index: usize, are_neighbours: impl Fn(u64, u64) -> bool) -> bool {
        let PlacedGap { place, gap } = &self.0[index];
        let newer = self.0.iter().enumerate().skip(index + 1);
        let mut neighbours = newer.take_while(|(_, newer)| are_neighbours(*place, newer.place));
        let Some((newer, _)) = neighbours.find(|(_, newer)| newer.gap.is_same_kind(gap)) else { return false };
        let gap = gap.clone();
        self.0[newer].gap.merge(&gap)
    }

    /// Notes that the item at `place` was lost.
    pub(super) fn insert_lag(&mut self, place: u64) {
        let index = self.0.partition_point(|gap| gap.place <= place);
        // Not across another gap: an event lost after a reconnection was lost after it.
        let before = index.checked_sub(1).and_then(|before| self.0.get_mut(before));
        if !before.is_some_and(|before| before.gap.merge(&Gap::lagged(1))) {
            self.0.insert(index, PlacedGap { place, gap: Gap::lagged(1) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::Poll;

    use super::GapQueue;
    use crate::event::{Delivery, Gap};
    use crate::hub::tests::{publish, sixteen, take};
    use crate::hub::{Filter, Hub, Subscribed};

    fn oversized(size: u64) -> Gap {
        Gap::oversized(Some("big".into()), None, size)
    }

    fn resumed() -> Gap {
        Gap::reconnected(Some("x".into()))
    }

    fn taken(subscribed: &mut Subscribed) -> Vec<Gap> {
        let next = || match take(subscribed) {
            Poll::Ready(Some(Delivery::Gap(gap))) => Some(gap),
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }

    fn publish_gap(hub: &Hub, gap: &Gap) {
        hub.publisher().gap(None, gap);
        hub.wake();
    }

    fn hub_with_two() -> (Hub, Subscribed, Subscribed) {
        let hub = Hub::new(Default::default());
        let [early, late] = [(); 2].map(|()| hub.subscribe(Filter::all(), &sixteen(), false));
        (hub, early, late)
    }

    #[test]
    fn gaps_of_a_kind_merge_and_a_reader_that_saw_some_gets_the_rest() {
        let (hub, mut early, mut late) = hub_with_two();
        let gap = |gap: &Gap| publish_gap(&hub, gap);
        gap(&oversized(10));
        assert_eq!(taken(&mut early), [oversized(10)]);
        [Gap::reconnected(Some("w".into())), oversized(7), resumed()].iter().for_each(gap);
        assert_eq!(taken(&mut early), [oversized(7), resumed()]);
        let both = Gap::Oversized { event_type: Some("big".into()), id: None, events: 2, size: 17 };
        assert_eq!(taken(&mut late), [both, resumed()]);
    }

    #[test]
    fn a_gap_is_compared_with_few_of_those_before_it() {
        let (mut gaps, compared) = (GapQueue::default(), Cell::new(0));
        // Between each two of them stands an item.
        for place in 0..1_000 {
            gaps.push(place, oversized(1), 0, |older, newer| {
                compared.set(compared.get() + 1);
                older == newer
            });
        }
        assert!(compared.get() < 3 * 1_000, "{} times", compared.get());
    }

    #[test]
    fn a_gap_without_an_id_is_reported_once_and_never_hidden() {
        let (hub, mut early, mut late) = hub_with_two();
        let gap = |gap: &Gap| publish_gap(&hub, gap);
        gap(&Gap::reconnected(None));
        assert_eq!(taken(&mut early), [Gap::reconnected(None)]);
        [oversized(7), resumed()].iter().for_each(gap);
        assert_eq!(taken(&mut early), [oversized(7), resumed()]);
        assert_eq!(taken(&mut late), [oversized(7), Gap::reconnected(None)]);
        gap(&resumed());
        assert_eq!(taken(&mut late), [resumed()]);
    }

    #[test]
    fn a_full_queue_keeps_few_gaps_and_loses_no_count() {
        let (hub, mut reader, _other) = hub_with_two();
        for _ in 0..1000 {
            hub.publisher().gap(None, &oversized(1));
            hub.publisher().gap(None, &Gap::reconnected(None));
            publish(&hub, 1);
        }
        let (mut gaps, mut oversized_events, mut missed) = (0, 0, 0);
        while let Poll::Ready(Some(delivery)) = take(&mut reader) {
            gaps += usize::from(!delivery.is_event());
            match delivery {
                Delivery::Gap(Gap::Oversized { events, .. }) => oversized_events += events,
                Delivery::Gap(Gap::Lagged { missed: more }) => missed += more,
                _ => {}
            }
        }
        assert_eq!((oversized_events, missed), (1000, 984));
        assert!(gaps <= 2 * 18 + 1, "{gaps}");
    }
}
