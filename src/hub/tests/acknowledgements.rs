//! Random programs that acknowledge, with subscriptions of all kinds side by side.
//!
//! The store never passes an event that is open, and goes as far as it can when none is.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{RetryTime, Span};

use super::*;

const TYPES: [&str; 5] = ["a", "b", "c", "d", "e"];
const PROGRAMS: u64 = 300;
const STEPS: usize = 300;

struct AckMember {
    subscribed: Subscribed,
    types: Filter,
    /// Its predicate rejects the multiples of this number...
    modulus: Option<u64>,
    /// ...and panics at this event and later ones.
    bad: Option<u64>,
    ended: bool,
    /// The newest event of each type that has not been taken, if the queue conflates.
    newest: Option<BTreeMap<&'static str, u64>>,
    /// The events that it gets and that are neither acknowledged nor replaced by newer ones.
    open: BTreeSet<u64>,
    taken: Vec<Event>,
}

impl AckMember {
    fn new(hub: &Hub, said: u64, random: &mut fastrand::Rng) -> Self {
        let types = if random.bool() { Filter::all() } else { Filter::from(TYPES[random.usize(0..TYPES.len())]) };
        let modulus = random.bool().then(|| random.u64(2..5));
        let bad = (modulus.is_some() && random.bool()).then(|| said + random.u64(1..200));
        let filter = match modulus {
            Some(modulus) => types.clone().and(move |event| {
                if bad.is_some_and(|bad| number(event) >= bad) {
                    // Unlike `panic!`, this does not print a message.
                    std::panic::resume_unwind(Box::new("a bug"));
                }
                number(event) % modulus > 0
            }),
            None => types.clone(),
        };
        let limits = match random.usize(0..8) {
            capacity @ 0..3 => QueueLimits::of([2, 4, 1000][capacity], Overflow::DropOldest),
            3 => QueueLimits { capacity: 1000, bytes: random.u64(1..60), overflow: Overflow::DropOldest },
            // By type, with a longer text.
            4 | 5 => QueueLimits::of(1000, Overflow::conflate_by(|event| format!("type {}", event.event_type()))),
            _ => QueueLimits::of(1000, Overflow::Conflate),
        };
        let subscribed = hub.subscribe(filter, &limits, true);
        let newest = limits.conflates().then(BTreeMap::new);
        Self { subscribed, types, modulus, bad, ended: false, newest, open: BTreeSet::new(), taken: Vec::new() }
    }

    fn published(&mut self, event_type: &'static str, event: &Event) {
        if self.ended || !self.types.matches(event_type) {
            return;
        }
        if self.bad.is_some_and(|bad| number(event) >= bad) {
            // It counts as taken.
            self.ended = true;
            self.open.insert(event.position());
            return;
        }
        if self.modulus.is_none_or(|modulus| number(event) % modulus > 0) {
            self.open.insert(event.position());
            let newest = self.newest.as_mut();
            let replaced = newest.and_then(|newest| newest.insert(event_type, event.position()));
            self.open.retain(|&open| Some(open) != replaced);
        }
    }

    fn take(&mut self) {
        if let Poll::Ready(Some(Delivery::Event(event))) = take(&mut self.subscribed) {
            self.newest.iter_mut().for_each(|newest| newest.retain(|_, position| *position != event.position()));
            self.taken.push(event);
        }
    }

    fn acknowledge(&mut self, random: &mut fastrand::Rng) {
        if !self.taken.is_empty() {
            let event = self.taken.swap_remove(random.usize(0..self.taken.len()));
            if self.subscribed.ack.as_ref().unwrap().acknowledge(&event) {
                self.open.remove(&event.position());
            }
        }
    }
}

fn number(event: &Event) -> u64 {
    event.data().parse().unwrap()
}

/// What a server has sent.
#[derive(Default)]
struct Said {
    events: u64,
    ids: u64,
    last_event_id: String,
    /// The position of the last event that set each ID.
    set_by: BTreeMap<String, u64>,
    /// The program has gone back. No event of a new response has the ID after which it began.
    is_new: bool,
}

impl Said {
    /// Returns the text of the next event and its ID, which may be the one before, or none.
    fn next(&mut self, random: &mut fastrand::Rng) -> (String, Option<Span>) {
        self.events += 1;
        let data = self.events.to_string();
        match random.u8(0..4) {
            0 => return (data, None),
            1 if !self.is_new => {}
            _ => {
                self.ids += 1;
                self.last_event_id = self.ids.to_string();
            }
        }
        self.is_new = false;
        let text = format!("{data} {}", self.last_event_id);
        let id = Span::new(data.len() + 1..text.len());
        (text, Some(id))
    }

    fn publish(&mut self, hub: &Hub, members: &mut [AckMember], random: &mut fastrand::Rng) {
        let event_type = TYPES[random.usize(0..TYPES.len())];
        let (text, id) = self.next(random);
        let text = format!("{text} {event_type}");
        let data = Span::new(0..self.events.to_string().len());
        let event_type_span = Span::new(text.len() - event_type.len()..text.len());
        let inherited = id.is_none().then(|| self.last_event_id.as_str().into());
        hub.publisher().event(event_type, |position| {
            let id_span = id.unwrap_or(Span::NONE);
            let event = Event::from_parts(&text, data, event_type_span, id_span, inherited, RetryTime::NONE, position);
            if id.is_some() {
                self.set_by.insert(self.last_event_id.clone(), position);
            }
            members.iter_mut().for_each(|member| member.published(event_type, &event));
            event
        });
    }
}

fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let hub = Hub::new(Arc::default());
    let mut said = Said { is_new: true, ..Said::default() };
    let mut members: Vec<AckMember> = Vec::new();
    // The events that members which are gone have left open.
    let mut left = BTreeSet::new();
    for _step in 0..STEPS {
        match random.u8(0..40) {
            0..=3 if members.len() < 6 => members.push(AckMember::new(&hub, said.events, &mut random)),
            4..=19 => {
                for _event in 0..random.usize(1..8) {
                    said.publish(&hub, &mut members, &mut random);
                    // Events enter a conflating queue only when the turn is over.
                    let taker = random.choice(&mut members).filter(|member| member.newest.is_none());
                    taker.into_iter().for_each(AckMember::take);
                }
                hub.wake();
            }
            20..=27 => random
                .choice(&mut members)
                .into_iter()
                .for_each(|member| (0..random.usize(1..6)).for_each(|_| member.take())),
            28..=37 => {
                let member = random.choice(&mut members);
                member
                    .into_iter()
                    .for_each(|member| (0..random.usize(1..4)).for_each(|_| member.acknowledge(&mut random)));
            }
            38 if !members.is_empty() => {
                let AckMember { subscribed, open, .. } = members.swap_remove(random.usize(0..members.len()));
                match random.bool() {
                    true => subscribed.ack.iter().for_each(AckHandle::retire),
                    false => left.extend(open),
                }
                drop(subscribed);
                hub.prune();
            }
            39 if random.bool() => {
                hub.restart(&said.last_event_id);
                said.is_new = true;
                left.clear();
                for member in &mut members {
                    member.open.clear();
                    member.newest.iter_mut().for_each(BTreeMap::clear);
                }
            }
            _ => {}
        }
        let open = members.iter().flat_map(|member| &member.open).chain(&left).min();
        if random.bool() || open.is_none() {
            let saved = hub.acknowledged_id(|| said.last_event_id.as_str().into());
            let up_to = saved.as_ref().and_then(|saved| said.set_by.get(&**saved)).copied();
            assert!(up_to < open.copied() || open.is_none(), "seed {seed}: {saved:?}, set by {up_to:?}, open {open:?}");
            if open.is_none() && !members.is_empty() {
                assert_eq!(saved.as_deref(), Some(&*said.last_event_id), "seed {seed}");
            }
        }
    }
}

#[test]
fn the_store_never_passes_an_event_that_is_open() {
    (0..PROGRAMS).for_each(run);
}
