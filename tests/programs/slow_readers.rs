//! Programs that read slowly.

use std::time::Duration;

use sseclient::testing::Server;
use sseclient::{Delivery, Filter, Handle, Overflow, SubscribeOptions, Subscription};

use crate::support::{client, staying, until, within};

const EVENTS: u64 = 5_000;

/// A server that sends numbered events at once, and stays.
async fn tokens() -> Server {
    staying((0..EVENTS).map(|number| format!("data: {number}\n\n")).collect::<String>()).await
}

fn stream(server: &Server) -> Handle {
    client().stream(server.url()).capacity(16).build().unwrap()
}

/// Reads up to the last event. Returns how many events came, and how many were missed.
async fn read(mut subscription: Subscription) -> (u64, u64) {
    let (mut came, last) = (0, (EVENTS - 1).to_string());
    loop {
        match within(subscription.recv()).await.unwrap() {
            Delivery::Event(event) => {
                came += 1;
                if event.data() == last {
                    return (came, subscription.missed());
                }
            }
            Delivery::Gap(gap) => assert!(gap.is_loss(), "{gap}"),
        }
    }
}

async fn until_stalled_for(handle: &Handle, time: Duration) {
    let is_stalled = || handle.stats().stalled_for.is_some_and(|stalled| stalled > time);
    until("the stream waits for a full queue", is_stalled).await;
}

const PATIENCE: Duration = Duration::from_millis(20);

fn patient() -> SubscribeOptions {
    SubscribeOptions::default().overflow(Overflow::Wait { patience: PATIENCE })
}

#[tokio::test]
async fn a_lone_reader_that_pauses_beyond_its_patience_loses_nothing() {
    let server = tokens().await;
    let handle = stream(&server);
    let slow = handle.subscribe_with(Filter::all(), patient());
    handle.connect();
    until_stalled_for(&handle, 5 * PATIENCE).await;
    assert_eq!(read(slow).await, (EVENTS, 0));
    assert_eq!(handle.stats().stalled_for, None);
}

#[tokio::test]
async fn readers_that_are_all_behind_are_waited_for() {
    let server = tokens().await;
    let handle = stream(&server);
    let [one, other] = [(); 2].map(|()| handle.subscribe_with(Filter::all(), patient()));
    handle.connect();
    until_stalled_for(&handle, 5 * PATIENCE).await;
    assert_eq!(tokio::join!(read(one), read(other)), ((EVENTS, 0), (EVENTS, 0)));
}

#[tokio::test]
async fn a_reader_that_pauses_beside_one_that_waits_loses_its_oldest_events() {
    let server = tokens().await;
    let handle = stream(&server);
    let (paused, healthy) = (handle.subscribe_with(Filter::all(), patient()), handle.subscribe(Filter::all()));
    handle.connect();
    assert_eq!(read(healthy).await, (EVENTS, 0));
    assert_eq!(read(paused).await, (16, EVENTS - 16));
}

#[tokio::test]
async fn a_quiet_subscription_makes_patience_run_and_blocking_loses_nothing() {
    let server = tokens().await;
    let handle = stream(&server);
    let (paused, _quiet) = (handle.subscribe_with(Filter::all(), patient()), handle.subscribe("rare"));
    handle.connect();
    until("all has come", || handle.stats().events == EVENTS).await;
    assert_eq!(read(paused).await, (16, EVENTS - 16));

    let handle = stream(&server);
    let blocks = SubscribeOptions::default().overflow(Overflow::Block);
    let (paused, _quiet) = (handle.subscribe_with(Filter::all(), blocks), handle.subscribe("rare"));
    handle.connect();
    until_stalled_for(&handle, 5 * PATIENCE).await;
    assert_eq!(read(paused).await, (EVENTS, 0));
}

#[tokio::test]
async fn a_transcript_is_held_up_by_a_slow_reader_as_a_subscription_is() {
    let server = tokens().await;
    let handle = stream(&server);
    let (paused, mut transcript) = (handle.subscribe_with(Filter::all(), patient()), handle.transcript());
    handle.connect();
    let mut events = 0;
    while events < EVENTS {
        let item = within(transcript.recv()).await.unwrap();
        events += u64::from(matches!(item, sseclient::TranscriptItem::Event(_)));
    }
    assert_eq!(read(paused).await, (16, EVENTS - 16));
}

#[tokio::test]
async fn statistics_name_the_subscription_that_takes_nothing() {
    let server = tokens().await;
    let handle = stream(&server);
    let named = |name: &str| SubscribeOptions::default().name(name).overflow(Overflow::DropOldest);
    let mut healthy = handle.subscribe_with(Filter::all(), named("healthy"));
    let mut hangs = handle.subscribe_with(Filter::all(), named("hangs"));
    let stats = |name: &str| handle.subscriptions().into_iter().find(|stats| stats.name == name).unwrap();
    assert_eq!((stats("healthy").since_taken, stats("hangs").since_taken), (None, None));
    handle.connect();
    until("all has come", || handle.stats().events == EVENTS).await;
    assert!(matches!(within(healthy.recv()).await, Some(Delivery::Gap(_))));
    assert!(matches!(within(healthy.recv()).await, Some(Delivery::Event(_))));
    let (healthy, unread) = (stats("healthy"), stats("hangs"));
    assert_eq!((healthy.queued, healthy.missed, healthy.since_taken.is_some()), (15, EVENTS - 16, true));
    assert_eq!((unread.queued, unread.missed, unread.since_taken), (16, EVENTS - 16, None), "also before it knows");
    assert!(matches!(hangs.try_recv(), Ok(Delivery::Gap(_))));
    assert_eq!((stats("hangs").missed, hangs.missed()), (EVENTS - 16, EVENTS - 16), "counted once");
    drop(hangs);
    assert_eq!(handle.subscriptions().len(), 1);
}
