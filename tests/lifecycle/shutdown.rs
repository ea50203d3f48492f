//! Graceful shutdown: draining queues until a deadline, and stopping together with something else.

use std::time::Duration;

use sseclient::testing::{self, Server};
use sseclient::{CloseReason, Delivery, Drain, Drained, Filter, Handle, Subscription};
use tokio::time::Instant;

use crate::support::{client, staying, until, within};

const EVENTS: u64 = 10;
const LONG: Duration = Duration::from_secs(15);

/// A stream whose subscriptions have ten events queued, and the server.
async fn queued<const N: usize>() -> (Server, Handle, [Subscription; N]) {
    let body: String = (1..=EVENTS).map(|id| format!("id: {id}\ndata: {id}\n\n")).collect();
    let server = staying(body).await;
    let handle = client().stream(server.url()).build().unwrap();
    let subscriptions = std::array::from_fn(|_| handle.subscribe(Filter::all()));
    handle.connect();
    until("everything is queued", || handle.last_event_id() == EVENTS.to_string()).await;
    (server, handle, subscriptions)
}

async fn take(subscription: &mut Subscription, events: u64) {
    for _ in 0..events {
        assert!(matches!(within(subscription.recv()).await, Some(Delivery::Event(_))));
    }
}

fn counts(drained: &Drained) -> (u64, u64) {
    (drained.delivered, drained.dropped)
}

#[tokio::test]
async fn subscribers_take_what_is_queued_and_the_drain_ends_with_the_last_of_it() {
    let (_server, handle, [mut one, mut two]) = queued().await;
    take(&mut one, 4).await;
    let draining = handle.shutdown_with(Drain { deadline: LONG });
    let consumers = async {
        take(&mut one, EVENTS - 4).await;
        assert!(within(one.recv()).await.is_none());
        take(&mut two, EVENTS).await;
        assert!(within(two.recv()).await.is_none());
    };
    let (drained, ()) = within(async { tokio::join!(draining, consumers) }).await;
    assert_eq!(counts(&drained), (EVENTS - 4 + EVENTS, 0));
    assert_eq!(drained.last_event_id, "10");
    assert!(matches!(drained.reason, CloseReason::Shutdown));
}

/// A subscriber that works on the last event for long has taken everything all the same.
#[tokio::test(start_paused = true)]
async fn a_drain_ends_when_the_last_event_is_taken_and_no_more_is_asked_for() {
    let (publisher, handle) = testing::channel();
    let mut subscription = handle.subscribe(Filter::all());
    handle.connect();
    for data in ["1", "2", "3"] {
        publisher.send(("message", data)).await.unwrap();
    }
    // The first take moves all of them out of the queue.
    take(&mut subscription, 1).await;
    let draining = tokio::spawn(handle.shutdown_with(Drain { deadline: LONG }));
    // The drain has looked at the subscription, and waits.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    take(&mut subscription, 2).await;
    let drained = draining.await.unwrap();
    assert_eq!((counts(&drained), begun.elapsed()), ((2, 0), Duration::ZERO));
}

#[tokio::test]
async fn at_the_deadline_the_rest_is_dropped_and_subscriptions_end() {
    let (_server, handle, [mut one]) = queued().await;
    take(&mut one, 3).await;
    let drained = within(handle.shutdown_with(Drain { deadline: Duration::ZERO })).await;
    assert_eq!(counts(&drained), (0, EVENTS - 3));
    assert!(within(one.recv()).await.is_none());
}

/// The stream's runtime does not run, so the deadline passes before the connection task does.
#[test]
fn a_drain_counts_the_rest_even_if_the_connection_task_is_late() {
    let runtime = || tokio::runtime::Builder::new_current_thread();
    let streams = runtime().enable_all().build().unwrap();
    let drains = runtime().enable_time().start_paused(true).build().unwrap();
    let (_server, handle, [mut one]) = streams.block_on(queued());
    streams.block_on(take(&mut one, 3));
    let mut draining = {
        let _clock = drains.enter();
        handle.shutdown_with(Drain { deadline: Duration::ZERO })
    };
    assert!(drains.block_on(async { tokio::time::timeout(LONG, &mut draining).await }).is_err());
    streams.block_on(within(handle.closed()));
    let ending = std::thread::spawn(move || streams.block_on(within(handle.shutdown())));
    assert_eq!(counts(&drains.block_on(draining)), (0, EVENTS - 3));
    assert!(drains.block_on(one.recv()).is_none());
    ending.join().unwrap();
}

#[tokio::test]
async fn a_dropped_subscription_delays_no_drain_and_its_rest_is_counted() {
    let (_server, handle, [one, mut two]) = queued().await;
    let draining = handle.shutdown_with(Drain { deadline: LONG });
    let consumers = async {
        drop(one);
        take(&mut two, EVENTS).await;
        assert!(within(two.recv()).await.is_none());
    };
    let (drained, ()) = within(async { tokio::join!(draining, consumers) }).await;
    assert_eq!(counts(&drained), (EVENTS, EVENTS));
}

#[tokio::test]
async fn a_drain_that_is_not_awaited_is_a_shutdown() {
    let (_server, handle, [mut one]) = queued().await;
    drop(handle.shutdown_with(Drain { deadline: Duration::ZERO }));
    within(handle.closed()).await;
    take(&mut one, EVENTS).await;
    assert!(within(one.recv()).await.is_none());
}

#[tokio::test]
async fn of_several_drains_that_are_awaited_the_earliest_deadline_ends_all() {
    let (_server, handle, [mut one]) = queued().await;
    take(&mut one, 3).await;
    let hour = Duration::from_secs(3600);
    let (patient, hurried) =
        (handle.shutdown_with(Drain { deadline: hour }), handle.shutdown_with(Drain { deadline: Duration::ZERO }));
    // The subscription is held but not polled, as if it were busy with an event.
    let (patient, hurried) = within(async { tokio::join!(patient, hurried) }).await;
    assert_eq!([counts(&patient), counts(&hurried)], [(0, EVENTS - 3); 2]);
    assert!(within(one.recv()).await.is_none());
}

#[tokio::test]
async fn a_shutdown_without_any_time_ends_a_drain_that_was_given_some() {
    let (_server, handle, [mut one]) = queued().await;
    take(&mut one, 3).await;
    let draining = handle.shutdown_with(Drain { deadline: Duration::from_secs(3600) });
    let (drained, _) = within(async { tokio::join!(draining, handle.shutdown()) }).await;
    assert_eq!(counts(&drained), (0, EVENTS - 3));
    assert!(within(one.recv()).await.is_none());
}

#[tokio::test]
async fn a_stream_that_never_connected_is_drained_at_once() {
    let handle = client().stream("http://127.0.0.1:9/").build().unwrap();
    let drained = within(handle.shutdown_with(Drain { deadline: LONG })).await;
    assert_eq!(counts(&drained), (0, 0));
}

#[tokio::test]
async fn a_stream_stops_when_the_future_of_stop_when_ends() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = staying("").await;
    let handle = client().stream(server.url()).stop_when(stopped).build().unwrap();
    handle.connect();
    within(handle.opened()).await.unwrap();
    stop.send(()).unwrap();
    assert!(matches!(within(handle.closed()).await, CloseReason::Shutdown));
}
