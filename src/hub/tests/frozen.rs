//! What freezes a resume store is reported once, with the name of the subscription.

use super::*;

fn reader(hub: &Hub, filter: Filter, limits: &QueueLimits) -> Subscribed {
    hub.subscribe_with(filter, limits, Joining { name: "orders".into(), acknowledging: true, ..Joining::default() })
}

#[test]
fn an_event_that_can_never_be_acknowledged_is_reported_once() {
    type Freeze = fn(&Hub) -> Option<Subscribed>;
    let frozen: [(&str, Freeze); 5] = [
        ("its queue dropped an event", |hub| {
            let orders = reader(hub, Filter::all(), &sixteen());
            publish(hub, 17);
            Some(orders)
        }),
        ("its queue had no room for another key", |hub| {
            let by_number = Overflow::conflate_by(|event| event.position().to_string());
            let orders = reader(hub, Filter::all(), &QueueLimits::of(2, by_number));
            publish(hub, 3);
            Some(orders)
        }),
        ("its predicate panicked", |hub| {
            let filter = Filter::matching(|_| std::panic::resume_unwind(Box::new("a bug")));
            let orders = reader(hub, filter, &sixteen());
            publish(hub, 1);
            Some(orders)
        }),
        ("it was dropped with events in its queue", |hub| {
            let orders = reader(hub, Filter::all(), &sixteen());
            publish(hub, 2);
            drop(orders);
            None
        }),
        ("it was dropped with an event that it had taken", |hub| {
            let mut orders = reader(hub, Filter::all(), &sixteen());
            publish(hub, 1);
            assert!(take(&mut orders).is_ready());
            drop(orders);
            None
        }),
    ];
    for (why, freeze) in frozen {
        let hub = Hub::new(Arc::default());
        assert!(hub.take_frozen().is_empty());
        let _orders = freeze(&hub);
        assert!(hub.take_acknowledged(), "{why}: the task looks");
        assert_eq!(hub.take_frozen(), ["orders".into()], "{why}");
        assert!(hub.take_frozen().is_empty() && hub.unacknowledged() > 0, "{why}");
        // The program goes back for the event.
        hub.restart("0");
        assert_eq!((hub.take_frozen().len(), hub.unacknowledged()), (0, 0), "{why}");
    }
}

#[test]
fn subscriptions_that_are_gone_leave_few_names_behind() {
    let hub = Hub::new(Arc::default());
    for _ in 0..1_000 {
        let orders = reader(&hub, Filter::all(), &sixteen());
        publish(&hub, 1);
        drop(orders);
        hub.prune();
    }
    // No store waits for acknowledgements, so none of them was reported until now.
    let frozen = hub.take_frozen();
    assert!((1..=64).contains(&frozen.len()), "{} names", frozen.len());
}
