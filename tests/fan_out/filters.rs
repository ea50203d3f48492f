//! Filters by set, prefix and predicate: which events pass, and what a predicate may do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use sseclient::testing::{Script, Server};
use sseclient::{
    CloseReason, Delivery, ErrorKind, Filter, Gap, Handle, Monitor, Overflow, SubscribeOptions, Subscription,
};
use tokio::sync::Notify;

use crate::support::{self, notified, serve, stream, until, within};

/// A server that sends one text for each notification.
async fn saying<const N: usize>(texts: [String; N]) -> (Server, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let script = texts.into_iter().fold(Script::open(), |script, text| script.wait_for(notified(&go_on)).bytes(text));
    (serve(script).await, go_on)
}

fn events(events: &[(&str, &str)]) -> String {
    events.iter().map(|(event_type, data)| format!("event: {event_type}\ndata: {data}\n\n")).collect()
}

/// The data of the next events, up to `last`.
async fn data_up_to(last: &str, subscription: &mut Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while all.last().is_none_or(|newest| newest != last) {
        match within(subscription.recv()).await.expect("the stream goes on") {
            Delivery::Event(event) => all.push(event.data().to_owned()),
            Delivery::Gap(gap) => all.push(gap.to_string()),
        }
    }
    all
}

#[tokio::test]
async fn sets_and_prefixes_get_the_matching_types_in_wire_order() {
    let text =
        [("order.new", "1"), ("order", "2"), ("", "3"), ("invoice.new", "4"), ("reorder.new", "5"), ("end", "end")];
    let (server, go_on) = saying([events(&text)]).await;
    let handle = stream(server.url()).build().unwrap();
    let mut subscriptions = [
        (Filter::all(), "1 2 3 4 5 end"),
        (Filter::from(["end", "order", ""]), "2 3 end"),
        (Filter::prefixes(["order.", "e"]), "1 end"),
        (Filter::prefixes(["inv", "mess", "end"]), "3 4 end"),
        (Filter::prefixes(["o", "e"]).and(|event| event.data() != "2"), "1 end"),
        (Filter::from(["end", "order"]).and(|event| event.event_type() == "end"), "end"),
        (Filter::matching(|event| event.data() > "3"), "4 5 end"),
    ]
    .map(|(filter, expected)| (handle.subscribe(filter), expected));
    handle.connect();
    go_on.notify_one();
    for (subscription, expected) in &mut subscriptions {
        assert_eq!(data_up_to("end", subscription).await.join(" "), *expected);
    }
}

#[tokio::test]
async fn events_that_a_predicate_rejects_take_no_room_and_are_not_missed() {
    let noise = events(&[("row", "noise")]).repeat(5_000);
    let (server, go_on) = saying([noise + &events(&[("row", "1"), ("row", "2"), ("end", "end")])]).await;
    let handle = stream(server.url()).build().unwrap();
    let options = SubscribeOptions::default().capacity(4);
    let mut few = handle.subscribe_with(Filter::matching(|event| event.data() != "noise"), options);
    let mut end = handle.subscribe("end");
    handle.connect();
    go_on.notify_one();
    data_up_to("end", &mut end).await;
    assert_eq!(handle.stats().events, 5_003);
    assert_eq!(handle.stats().lag, 3, "nothing else is queued");
    assert_eq!(data_up_to("end", &mut few).await, ["1", "2", "end"]);
    assert_eq!(few.missed(), 0);
}

#[tokio::test]
async fn a_predicate_is_not_asked_about_gaps_and_they_stand_where_they_were() {
    let big = format!("event: row\ndata: {}\n\n", "x".repeat(2_000));
    let first = events(&[("row", "1"), ("row", "no")]) + &big + &events(&[("row", "no"), ("row", "2")]);
    let server = serve([Script::open().bytes(first).end(), Script::open().bytes(events(&[("row", "3")]))]).await;
    let handle = stream(server.url()).max_event_size(1_000).build().unwrap();
    let mut rows = handle.subscribe(Filter::from("row").and(|event| event.data() != "no"));
    let mut others = handle.subscribe(Filter::from("other").and(|_| true));
    handle.connect();
    let seen = data_up_to("3", &mut rows).await;
    assert_eq!(seen[0], "1");
    assert!(seen[1].contains("over the size limit"), "{seen:?}");
    assert_eq!(seen[2], "2");
    assert!(seen[3].contains("reconnected"), "{seen:?}");
    let first = within(others.recv()).await;
    assert!(matches!(first, Some(Delivery::Gap(Gap::Reconnected { .. }))), "not the row that was too large: {first:?}");
}

/// Events that were already queued are still delivered.
#[tokio::test]
async fn a_panicking_predicate_ends_only_its_own_subscription() {
    let first = events(&[("row", "1"), ("row", "bad"), ("row", "2")]);
    let (server, go_on) = saying([first, events(&[("row", "end")])]).await;
    let handle = stream(server.url()).build().unwrap();
    let picky = Filter::matching(|event| match event.data() {
        "bad" => panic!("what is this"),
        _ => true,
    });
    let [mut one, mut two] = [(); 2].map(|()| handle.subscribe(picky.clone()));
    let mut bare = handle.subscribe(picky).into_events();
    let mut others = handle.subscribe(Filter::all());
    let mut healthy = handle.subscribe(Filter::matching(|_| true));
    handle.connect();
    go_on.notify_one();
    for ended in [&mut one, &mut two] {
        assert!(matches!(within(ended.recv()).await, Some(Delivery::Event(event)) if event.data() == "1"));
        assert!(within(ended.recv()).await.is_none());
        assert!(within(ended.recv()).await.is_none(), "for good");
        let Some(CloseReason::Failed(error)) = ended.close_reason() else { panic!("a failure") };
        assert_eq!(error.kind(), ErrorKind::FilterPanicked);
        assert!(error.to_string().contains("what is this"), "{error}");
    }
    assert_eq!(within(bare.recv()).await.unwrap().data(), "1");
    assert!(within(bare.recv()).await.is_none() && bare.close_reason().is_some());
    go_on.notify_one();
    assert_eq!(data_up_to("end", &mut others).await, ["1", "bad", "2", "end"]);
    assert_eq!(data_up_to("end", &mut healthy).await, ["1", "bad", "2", "end"]);
    assert!(handle.state().is_open() && others.close_reason().is_none());
    assert!(matches!(handle.shutdown().await, CloseReason::Shutdown));
    assert!(matches!(one.close_reason(), Some(CloseReason::Failed(_))), "its own reason stays");
}

/// A panic payload that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("again, when it is dropped");
    }
}

#[tokio::test]
async fn a_panic_whose_payload_panics_harms_no_other_subscriber() {
    let (server, go_on) = saying([events(&[("row", "1"), ("row", "2")]), events(&[("row", "end")])]).await;
    let handle = stream(server.url()).build().unwrap();
    let mut picky = handle.subscribe(Filter::matching(|_| std::panic::panic_any(Bomb)));
    let keyed = SubscribeOptions::default().overflow(Overflow::conflate_by(|_| std::panic::panic_any(Bomb)));
    let mut keyed = handle.subscribe_with(Filter::all(), keyed);
    let mut healthy = handle.subscribe(Filter::all());
    handle.connect();
    go_on.notify_one();
    assert!(within(picky.recv()).await.is_none());
    go_on.notify_one();
    assert_eq!(data_up_to("end", &mut healthy).await, ["1", "2", "end"]);
    // The key is the event type.
    assert_eq!(data_up_to("end", &mut keyed).await, ["end"]);
    assert!(matches!(handle.shutdown().await, CloseReason::Shutdown));
}

#[tokio::test]
async fn subscriptions_with_the_same_predicate_ask_it_each_for_itself() {
    let (server, go_on) = saying([events(&[("row", "1"), ("row", "end")])]).await;
    let handle = stream(server.url()).build().unwrap();
    let asked = AtomicUsize::new(0);
    let once = Filter::matching(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("the first time only"),
        _ => true,
    });
    let [mut one, mut two] = [(); 2].map(|()| handle.subscribe(once.clone()));
    handle.connect();
    go_on.notify_one();
    until("one has ended", || one.close_reason().is_some() || two.close_reason().is_some()).await;
    let other = if one.close_reason().is_some() { &mut two } else { &mut one };
    assert_eq!(data_up_to("end", other).await, ["1", "end"]);
    assert!(other.close_reason().is_none());
}

#[tokio::test]
async fn a_drain_waits_for_the_queue_of_a_subscription_whose_predicate_panicked() {
    let (server, go_on) = saying([events(&[("row", "1"), ("row", "2"), ("row", "bad")])]).await;
    let handle = stream(server.url()).build().unwrap();
    let mut rows = handle.subscribe(Filter::matching(|event| event.data().parse::<u32>().unwrap() > 0));
    handle.connect();
    go_on.notify_one();
    until("the predicate has panicked", || rows.close_reason().is_some()).await;
    let draining = handle.shutdown_with(sseclient::Drain { deadline: support::LIMIT });
    let draining = tokio::spawn(draining);
    assert!(within(rows.recv()).await.is_some());
    assert!(!draining.is_finished());
    assert!(within(rows.recv()).await.is_some());
    let drained = within(draining).await.unwrap();
    assert_eq!((drained.delivered, drained.dropped), (2, 0));
}

#[tokio::test]
async fn a_predicate_may_use_its_own_stream() {
    let (server, go_on) = saying([events(&[("row", "1"), ("row", "end")])]).await;
    let handle = stream(server.url()).build().unwrap();
    let (used, new) = (Arc::new(OnceLock::<Handle>::new()), Arc::new(Mutex::new(Vec::new())));
    let (its, kept) = (Arc::clone(&used), Arc::clone(&new));
    let mut rows = handle.subscribe(Filter::matching(move |_| {
        let handle = its.get().unwrap();
        handle.last_event_id();
        let mut kept = kept.lock().unwrap();
        // Drops the earlier predicate and makes a new one.
        kept.clear();
        kept.push(handle.subscribe(Filter::matching(|_| true)));
        handle.stats().lag < 100
    }));
    used.set(handle.clone()).unwrap();
    handle.connect();
    go_on.notify_one();
    assert_eq!(data_up_to("end", &mut rows).await, ["1", "end"]);
    within(handle.shutdown()).await;
    assert_eq!(new.lock().unwrap().len(), 1);
}

/// A captured value that uses the stream when it is dropped.
struct Asks(Monitor, Arc<Notify>);

impl Drop for Asks {
    fn drop(&mut self) {
        self.0.stats();
        self.1.notify_one();
    }
}

#[tokio::test]
async fn a_predicate_is_dropped_when_no_lock_is_held() {
    let (server, go_on) = saying([events(&[("row", "1")])]).await;
    let handle = stream(server.url()).build().unwrap();
    let dropped = Arc::new(Notify::new());
    let subscribe = |panics: bool| {
        let asks = Asks(handle.monitor(), Arc::clone(&dropped));
        handle.subscribe(Filter::matching(move |_| if panics { panic!("{:?}", asks.0) } else { true }))
    };
    let (unused, mut bad) = (subscribe(false), subscribe(true));
    drop(unused);
    within(dropped.notified()).await;
    handle.connect();
    go_on.notify_one();
    assert!(within(bad.recv()).await.is_none());
    within(dropped.notified()).await;
    let queued = subscribe(false);
    within(handle.shutdown()).await;
    within(dropped.notified()).await;
    drop(queued);
    assert!(within(subscribe(false).recv()).await.is_none(), "a closed stream");
    within(dropped.notified()).await;
}

#[tokio::test]
async fn a_predicate_goes_before_a_queue_that_conflates() {
    let (server, go_on) = saying([body(&["a1", "a2", "b1", "a3", "c1", "boom", "a4", "z"])]).await;
    go_on.notify_one();
    let handle = stream(server.url()).build().unwrap();
    let latest = || SubscribeOptions::default().overflow(Overflow::Conflate);
    let mut passing = handle.subscribe_with(Filter::from(["a", "b"]).and(|event| event.data() != "a3"), latest());
    let mut panicking = handle.subscribe_with(
        Filter::matching(|event| {
            assert_ne!(event.data(), "boom");
            true
        }),
        latest(),
    );
    let mut last = handle.subscribe("z");
    handle.connect();
    assert!(within(last.recv()).await.is_some());
    let data = |delivery: Option<Delivery>| delivery.and_then(Delivery::event).map(|event| event.data().to_owned());
    assert_eq!(data(within(passing.recv()).await).as_deref(), Some("a4"));
    assert_eq!(data(within(passing.recv()).await).as_deref(), Some("boom"));
    assert_eq!(passing.missed(), 0);
    for expected in ["a3", "b1", "c1"] {
        assert_eq!(data(within(panicking.recv()).await).as_deref(), Some(expected));
    }
    assert!(within(panicking.recv()).await.is_none());
    assert_eq!(panicking.close_reason().unwrap().into_result().unwrap_err().kind(), ErrorKind::FilterPanicked);
    handle.shutdown().await;
}

/// Events of the type that is the first letter, with these data.
fn body(data: &[&str]) -> String {
    data.iter().map(|data| format!("event: {}\ndata: {data}\n\n", &data[..1])).collect()
}
