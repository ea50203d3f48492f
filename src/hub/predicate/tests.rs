//! Predicates before channels: what passes, what panics, who is told.

use super::*;
use crate::hub::tests::{publish, sixteen, take};
use crate::hub::{Hub, Received, Subscribed};
use std::task::Poll;

fn taken(subscribed: &mut Subscribed) -> Option<Event> {
    match take(subscribed) {
        Poll::Ready(Received::Item(event)) => Some(event),
        _ => None,
    }
}

#[test]
fn what_a_predicate_turns_down_need_not_be_acknowledged_and_that_over_which_it_panics_never_is() {
    let hub = Hub::new(Arc::default());
    let filter = Filter::matching(|event| {
        assert_ne!(event.data(), "bad");
        event.data() == "good"
    });
    let mut subscribed = hub.subscribe(filter, &sixteen(), true);
    let _healthy = hub.subscribe(Filter::from("other"), &sixteen(), true);
    let send = |data: &str| {
        hub.publisher().event("message", |position| Event::builder().data(data).build().unwrap().at(position));
        hub.wake();
    };
    ["no", "good", "no"].into_iter().for_each(send);
    let good = taken(&mut subscribed).unwrap();
    assert_eq!(hub.acknowledged_id(|| "3".into()), None);
    assert!(subscribed.ack.as_ref().unwrap().acknowledge(&good));
    assert_eq!(hub.acknowledged_id(|| "3".into()).as_deref(), Some("3"));
    ["bad", "good"].into_iter().for_each(send);
    assert_eq!(subscribed.failure.as_ref().unwrap().get().unwrap().kind(), ErrorKind::FilterPanicked);
    assert!(matches!(take(&mut subscribed), Poll::Ready(Received::Closed)));
    assert_eq!(hub.acknowledged_id(|| "5".into()), None, "the store is held");
    assert!(hub.all_acknowledged(), "and nobody waits for that to change");
    subscribed.ack.iter_mut().for_each(crate::hub::AckHandle::retire);
    drop(subscribed);
    assert_eq!(hub.acknowledged_id(|| "5".into()).as_deref(), Some("5"));
}

/// Of which the oldest is still there to be taken.
#[test]
fn an_event_over_which_a_predicate_panics_holds_the_store_also_when_it_finds_the_queue_full() {
    let hub = Hub::new(Arc::default());
    let filter = Filter::matching(|event| {
        assert_ne!(event.data(), "bad");
        true
    });
    let mut subscribed = hub.subscribe(filter, &sixteen(), true);
    publish(&hub, 16);
    hub.publisher().event("message", |position| Event::builder().data("bad").build().unwrap().at(position));
    hub.wake();
    for _ in 0..16 {
        let event = taken(&mut subscribed).unwrap();
        assert!(subscribed.ack.as_ref().unwrap().acknowledge(&event));
    }
    assert!(matches!(take(&mut subscribed), Poll::Ready(Received::Closed)));
    assert_eq!(hub.acknowledged_id(|| "bad".into()).as_deref(), Some(""), "up to the last before it");
}

#[test]
fn what_waits_for_predicates_when_the_hub_closes_is_still_delivered() {
    let hub = Hub::new(Arc::default());
    let mut subscribed = hub.subscribe(Filter::matching(|_| true), &sixteen(), false);
    hub.publisher().event("message", |_| Event::builder().build().unwrap());
    hub.close();
    assert!(taken(&mut subscribed).is_some());
    assert!(matches!(take(&mut subscribed), Poll::Ready(Received::Closed)));
}

#[test]
fn among_a_thousand_channels_each_gets_what_is_its_own_while_others_come_and_go() {
    let hub = Hub::new(Arc::default());
    let mut all: Vec<_> = (0..1000)
        .map(|number| {
            let named = Filter::from(format!("type.{number}"));
            hub.subscribe(if number % 3 == 0 { named.and(|_| true) } else { named }, &sixteen(), false)
        })
        .collect();
    let send = |number: usize| {
        hub.publisher().event(&format!("type.{number}"), |position| Event::builder().build().unwrap().at(position));
    };
    for round in 0..20 {
        (0..1000).step_by(7).for_each(send);
        // In the middle of a turn.
        drop(all.remove(round));
        hub.prune();
        let late = hub.subscribe(Filter::from("type.999").and(|_| true), &sixteen(), false);
        send(999);
        hub.wake();
        for (index, subscribed) in all.iter_mut().enumerate() {
            let number = removed_before(round, index);
            let expected = usize::from(number % 7 == 0) + usize::from(number == 999);
            let events = std::iter::from_fn(|| taken(subscribed)).count();
            assert_eq!(events, expected, "type.{number} in round {round}");
        }
        drop(late);
        hub.prune();
    }
    publish(&hub, 1);
    assert!(all.iter_mut().all(|subscribed| taken(subscribed).is_none()));
}

/// The number of what is at `index` after rounds that each removed the one at its own number.
fn removed_before(round: usize, index: usize) -> usize {
    let mut numbers: Vec<usize> = (0..1000).collect();
    for removed in 0..=round {
        numbers.remove(removed);
    }
    numbers[index]
}
