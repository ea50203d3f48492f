//! [`Routes`]: which channels an event goes to, by its type.
//!
//! An event is looked up by its type, so a thousand subscriptions to a thousand types cost it as
//! much as one does. The keys are types that the program has named, never types that a server
//! invents.

use std::collections::HashMap;

use super::filter::Filter;

/// The indexes of channels, as of the last [`refresh`](Self::refresh).
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// For each type that a filter names, the channels whose filters name it.
    named: HashMap<Box<str>, Vec<usize>>,
    /// The length of the longest of these. A longer type is none of them, and need not be hashed.
    max_len: usize,
    /// The channels of all types, and of prefixes, which have to be matched one by one. Without
    /// their predicates, which are user code and must be dropped with their channel only.
    matched: Vec<(usize, Filter)>,
    is_outdated: bool,
}

impl Routes {
    /// Notes that channels came or went. The routes are rebuilt when the next event comes: often
    /// more channels come or go before.
    pub(super) fn invalidate(&mut self) {
        self.is_outdated = true;
    }

    /// Rebuilds outdated routes from the filters of the channels, in their order. Call it before
    /// [`to`](Self::to).
    #[inline]
    pub(super) fn refresh<'a>(&mut self, filters: impl Iterator<Item = &'a Filter>) {
        if self.is_outdated {
            self.rebuild(filters);
        }
    }

    /// Builds the routes from scratch.
    #[cold]
    fn rebuild<'a>(&mut self, filters: impl Iterator<Item = &'a Filter>) {
        *self = Self::default();
        for (index, filter) in filters.enumerate() {
            match filter.names() {
                None => self.matched.push((index, filter.without_predicate())),
                Some(names) => names.iter().for_each(|name| self.add(name, index)),
            }
        }
    }

    fn add(&mut self, name: &str, index: usize) {
        self.max_len = self.max_len.max(name.len());
        // Not `entry`, which needs an owned key also for a name that is known.
        match self.named.get_mut(name) {
            Some(indexes) => indexes.push(index),
            None => drop(self.named.insert(name.into(), vec![index])),
        }
    }

    /// Returns the channels for events of this type, each once.
    #[inline]
    pub(super) fn to(&self, event_type: &str) -> impl Iterator<Item = usize> {
        let named = if event_type.len() <= self.max_len { self.named.get(event_type) } else { None };
        let matched =
            self.matched.iter().filter(move |(_, filter)| filter.matches(event_type)).map(|(index, _)| *index);
        named.into_iter().flatten().copied().chain(matched)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::event::Event;
    use crate::hub::tests::take;
    use crate::hub::{Hub, Overflow, QueueLimits};

    fn routed(filters: &[Filter]) -> Routes {
        let mut routes = Routes::default();
        routes.invalidate();
        routes.refresh(filters.iter());
        routes
    }

    #[test]
    fn an_event_goes_to_the_channels_whose_filters_match_its_type() {
        let types = ["", "a", "ab", "abc", "b", "ba", "message", "a.b", "much longer than any other"];
        let mut random = fastrand::Rng::with_seed(11);
        let mut some = |from: &[&str]| -> Vec<String> {
            let count = random.usize(0..4);
            (0..count).map(|_| from[random.usize(0..from.len())].to_owned()).collect()
        };
        for _case in 0..500 {
            let filters: Vec<Filter> = (0..20)
                .map(|index| match index % 5 {
                    0 => Filter::prefixes(some(&types[..6])),
                    1 if index == 1 => Filter::all(),
                    2 => Filter::from(some(&types)).and(|_| true),
                    _ => Filter::from(some(&types)),
                })
                .collect();
            let routes = routed(&filters);
            for event_type in types {
                let mut to: Vec<usize> = routes.to(event_type).collect();
                to.sort_unstable();
                let expected: Vec<usize> = (0..20).filter(|&index| filters[index].matches(event_type)).collect();
                assert_eq!(to, expected, "{event_type:?} of {filters:?}");
            }
        }
    }

    /// Returns how long it takes to publish an event, in nanoseconds. Its reader takes it at once,
    /// which does not count.
    fn cost(channels: usize, at_once: usize, event_type: impl Fn(usize) -> usize) -> f64 {
        const EVENTS: usize = 2_000_000;
        let many = QueueLimits::of(256, Overflow::DropOldest);
        let hub = Hub::new(Arc::default());
        let names: Vec<String> = (0..=channels).map(|number| format!("type.{number}")).collect();
        let mut all: Vec<_> =
            names[..channels].iter().map(|name| hub.subscribe(name.as_str().into(), &many, false)).collect();
        let event = Event::builder().data("x".repeat(100)).build().unwrap();
        let mut spent = Duration::ZERO;
        for turn in 0..EVENTS / at_once {
            let types = (turn * at_once..).take(at_once).map(&event_type);
            let begun = Instant::now();
            let mut publisher = hub.publisher();
            types.clone().for_each(|number| publisher.event(&names[number], |_| event.clone()));
            drop(publisher);
            hub.wake();
            spent += begun.elapsed();
            types.filter(|number| *number < channels).for_each(|number| drop(take(&mut all[number])));
        }
        spent.as_nanos() as f64 / EVENTS as f64
    }

    /// `cargo test --release --lib -- --ignored --nocapture routes`
    #[test]
    #[ignore = "prints times, and checks nothing"]
    #[expect(clippy::print_stdout, reason = "the purpose of this test")]
    fn cost_of_an_event_by_the_number_of_named_types() {
        for at_once in [64, 1] {
            for channels in [1, 10, 100, 1000] {
                let in_turn = cost(channels, at_once, |number| number % channels);
                let one = cost(channels, at_once, |_| channels / 2);
                let unknown = cost(channels, at_once, |_| channels);
                println!(
                    "{at_once} at once, {channels} types: {in_turn:.1} ns, each in turn; {one:.1} ns, all of one; \
                     {unknown:.1} ns, all of another"
                );
            }
        }
    }
}
