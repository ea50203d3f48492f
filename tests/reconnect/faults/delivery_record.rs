//! The record of a subscriber: every number came once and in order, or a gap in its place says why
//! not.

use sseclient::{Delivery, Event, Gap};

use super::nature::{Nature, Size};

/// The deliveries of one subscriber.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) delivered: u64,
    pub(crate) lagged: u64,
    pub(crate) oversized: u64,
    /// Oversized events, by the bytes of their data.
    size: u64,
}

#[derive(Debug)]
pub(crate) struct DeliveryRecord {
    seed: u64,
    /// The subscribed types. None means all.
    types: &'static [&'static str],
    /// The next number that is due. A late subscriber has none before its first event.
    next: Option<u64>,
    /// Gaps since the last event.
    gaps: Sums,
    /// The number after which the last response began.
    resumed: u64,
    pub(crate) sums: Sums,
}

impl DeliveryRecord {
    pub(crate) fn from_the_start(seed: u64, types: &'static [&'static str]) -> Self {
        Self { next: Some(1), ..Self::from_now(seed, types) }
    }

    pub(crate) fn from_now(seed: u64, types: &'static [&'static str]) -> Self {
        Self { seed, types, next: None, gaps: Sums::default(), resumed: 0, sums: Sums::default() }
    }

    /// The next number that is due.
    pub(crate) fn next(&self) -> u64 {
        self.next.unwrap_or(0)
    }

    pub(crate) fn take(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Event(event) => self.event(event),
            Delivery::Gap(Gap::Lagged { missed, .. }) => self.gaps.lagged += missed,
            Delivery::Gap(Gap::Reconnected { sent, .. }) => self.reconnected(sent.as_deref()),
            Delivery::Gap(gap) => self.oversized(gap),
        }
    }

    /// Checks the record of a stream that ended with the number `last`.
    pub(crate) fn finish(&mut self, last: u64) {
        self.settle(last + 1);
        let Sums { delivered, lagged, oversized, .. } = self.sums;
        let concerned = (1..=last).filter(|&number| self.is_concerned_by(&Nature::of(self.seed, number))).count();
        assert_eq!(delivered + lagged + oversized, concerned as u64, "{self:?}");
    }

    fn event(&mut self, event: &Event) {
        let number = number(event.id());
        let nature = Nature::of(self.seed, number);
        assert_eq!(event.event_type(), nature.event_type, "{self:?}, then {number}");
        assert_eq!(event.data(), nature.data(), "{self:?}, then {number}");
        assert_eq!(event.last_event_id(), number.to_string());
        assert!(nature.size == Size::Fits && self.is_concerned_by(&nature), "{self:?}, then {number}");
        assert!(number > self.resumed, "{self:?}, then {number}: the response began after it");
        self.settle(number);
        self.sums.delivered += 1;
        self.next = Some(number + 1);
    }

    fn reconnected(&mut self, sent: Option<&str>) {
        let sent = sent.map_or(0, |id| number(Some(id)));
        assert!(sent >= self.resumed && sent + 1 >= self.next(), "{self:?}, then resumed after {sent}");
        self.resumed = sent;
    }

    fn oversized(&mut self, gap: &Gap) {
        let Gap::Oversized { event_type, id, events, size, .. } = gap else { panic!("{gap:?}") };
        let nature = Nature::of(self.seed, number(id.as_deref()));
        let expected = (nature.size == Size::TooLarge).then_some(nature.event_type);
        assert_eq!(event_type.as_deref(), expected, "{self:?}, then {gap:?}");
        assert!(nature.size != Size::Fits && nature.number >= self.next(), "{self:?}, then {gap:?}");
        self.gaps.oversized += events;
        self.gaps.size += size;
    }

    /// Asserts that gaps report exactly the numbers before `end` that did not come.
    fn settle(&mut self, end: u64) {
        let gaps = std::mem::take(&mut self.gaps);
        let Some(next) = self.next else { return };
        assert!(next <= end, "{self:?}, then {end}: again, or out of order");
        let mut due = Sums::default();
        for nature in (next..end).map(|number| Nature::of(self.seed, number)) {
            match nature.size {
                _ if !self.is_concerned_by(&nature) => {}
                Size::Fits => due.lagged += 1,
                Size::TooLarge | Size::TypeTooLarge => {
                    due.oversized += 1;
                    due.size += nature.data().len() as u64;
                }
            }
        }
        assert_eq!(gaps, due, "what gaps told of, and what is missing up to {end}: {self:?}");
        self.sums.lagged += gaps.lagged;
        self.sums.oversized += gaps.oversized;
    }

    fn is_concerned_by(&self, nature: &Nature) -> bool {
        nature.size == Size::TypeTooLarge || self.types.is_empty() || self.types.contains(&nature.event_type)
    }
}

fn number(id: Option<&str>) -> u64 {
    id.expect("every event has an ID").parse().expect("every ID is a number")
}
