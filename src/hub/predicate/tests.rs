//! Tests of predicates: what passes, what panics, and what that holds up.

use super::*;
use crate::hub::tests::{publish, sixteen, take};
use crate::hub::{Hub, Subscribed};
use std::task::Poll;

fn taken(subscribed: &mut Subscribed) -> Option<Event> {
    match take(subscribed) {
        Poll::Ready(Some(Delivery::Event(event))) => Some(event),
        _ => None,
    }
}

#[test]
fn rejected_events_need_no_acknowledgement_and_a_panic_holds_the_store() {
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
    assert!(matches!(take(&mut subscribed), Poll::Ready(None)));
    assert_eq!(hub.acknowledged_id(|| "5".into()), None, "the store is held");
    assert!(hub.all_acknowledged(), "and no task waits for that to change");
    subscribed.ack.iter().for_each(crate::hub::AckHandle::retire);
    drop(subscribed);
    assert_eq!(hub.acknowledged_id(|| "5".into()).as_deref(), Some("5"));
}

/// The oldest event of the full queue is still there to be taken.
#[test]
fn a_predicate_panic_holds_the_store_also_when_the_queue_is_full() {
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
    assert!(matches!(take(&mut subscribed), Poll::Ready(None)));
    assert_eq!(hub.acknowledged_id(|| "bad".into()).as_deref(), Some(""), "up to the last before it");
}

#[test]
fn events_that_wait_for_a_predicate_at_the_close_are_delivered() {
    let hub = Hub::new(Arc::default());
    let mut subscribed = hub.subscribe(Filter::matching(|_| true), &sixteen(), false);
    hub.publisher().event("message", |_| Event::builder().build().unwrap());
    hub.close();
    assert!(taken(&mut subscribed).is_some());
    assert!(matches!(take(&mut subscribed), Poll::Ready(None)));
}

#[test]
fn a_thousand_channels_get_their_own_events_as_others_come_and_go() {
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
        // This is in the middle of a turn.
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

/// Returns the number of the subscription at `index`, after rounds that each removed the one at the
/// index of their own number.
fn removed_before(round: usize, index: usize) -> usize {
    let mut numbers: Vec<usize> = (0..1000).collect();
    for removed in 0..=round {
        numbers.remove(removed);
    }
    numbers[index]
}
