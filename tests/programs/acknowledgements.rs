//! Programs that acknowledge what they have processed.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sseclient::testing::Server;
use sseclient::{Commit, Delivery, Drain, Filter, Handle, Overflow, ResumeStore, SubscribeOptions};

use crate::support::{client, staying, until, within};

const EVENTS: usize = 1_000;

#[derive(Default)]
struct InMemory(Mutex<Option<String>>);

impl ResumeStore for InMemory {
    type Error = Infallible;

    async fn load(&self) -> Result<Option<String>, Infallible> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn save(&self, id: String) -> Result<(), Infallible> {
        *self.0.lock().unwrap() = Some(id);
        Ok(())
    }
}

async fn stream() -> (Server, Handle, Arc<InMemory>) {
    let server = staying((1..=EVENTS).map(|number| format!("id: {number}\ndata: x\n\n")).collect::<String>()).await;
    let store = Arc::<InMemory>::default();
    let stream = client().stream(server.url()).capacity(16);
    let handle = stream.resume_store(Arc::clone(&store), Commit::Acknowledgement).build().unwrap();
    (server, handle, store)
}

fn acknowledging() -> SubscribeOptions {
    SubscribeOptions::default().name("orders").acknowledging()
}

const DRAIN: Drain = Drain { deadline: Duration::from_secs(10) };

#[tokio::test]
async fn an_acknowledging_subscription_is_waited_for_and_its_store_goes_on() {
    let (_server, handle, store) = stream().await;
    let mut orders = handle.subscribe_with(Filter::all(), acknowledging());
    // It waits for the other one, which would make a subscription under `Wait` lose events.
    let mut healthy = handle.subscribe(Filter::all());
    handle.connect();
    within(healthy.recv()).await.unwrap();
    until("it is waited for", || handle.stats().stalled_for > Some(Duration::from_millis(1_100))).await;
    drop(healthy);
    for _ in 0..EVENTS {
        let Some(Delivery::Event(event)) = within(orders.recv()).await else { panic!("nothing is lost") };
        assert!(orders.acknowledge(&event));
    }
    until("the last is saved", || store.0.lock().unwrap().as_deref() == Some("1000")).await;
    let drained = within(handle.shutdown_with(DRAIN)).await;
    assert_eq!((drained.saved_id.as_deref(), drained.unacknowledged), (Some("1000"), 0));
}

#[tokio::test]
async fn a_frozen_store_shows_in_the_statistics_and_in_the_result_of_a_drain() {
    let (_server, handle, store) = stream().await;
    let lossy = acknowledging().overflow(Overflow::DropOldest);
    let mut orders = handle.subscribe_with(Filter::all(), lossy);
    handle.connect();
    until("all has come", || handle.stats().events == EVENTS as u64).await;
    assert!(matches!(within(orders.recv()).await, Some(Delivery::Gap(gap)) if gap.is_loss()));
    let first = within(orders.recv()).await.unwrap().event().unwrap();
    assert!(orders.acknowledge(&first));
    // 15 are queued, and those that were dropped count as one.
    assert_eq!((handle.stats().unacknowledged, handle.stats().saved_id), (16, None));
    assert_eq!(handle.subscriptions()[0].unacknowledged, 16);
    while let Ok(Delivery::Event(event)) = orders.try_recv() {
        assert!(orders.acknowledge(&event));
    }
    let drained = within(handle.shutdown_with(DRAIN)).await;
    assert_eq!((drained.saved_id, drained.unacknowledged, drained.dropped), (None, 1, 0));
    assert_eq!(store.0.lock().unwrap().as_deref(), None);
}

#[tokio::test]
async fn events_are_acknowledged_from_elsewhere_while_an_adapter_has_the_subscription() {
    let (_server, handle, store) = stream().await;
    let orders = handle.subscribe_with(Filter::all(), acknowledging());
    let acknowledger = orders.acknowledger();
    let mut events = orders.into_events();
    handle.connect();
    let mut taken = Vec::new();
    for _ in 0..10 {
        taken.push(within(events.recv()).await.unwrap());
    }
    // The subscription ends before the work does.
    drop(events);
    let worker = acknowledger.clone();
    let work = std::thread::spawn(move || taken.iter().filter(|event| worker.acknowledge(event)).count());
    assert_eq!(work.join().unwrap(), 10);
    until("the last one taken is saved", || store.0.lock().unwrap().as_deref() == Some("10")).await;
    // What was queued when the subscription was dropped can never be acknowledged.
    assert_eq!(handle.stats().unacknowledged, 1);
    let saved = handle.stats().saved_id;
    drop(acknowledger);
    assert_eq!((saved.as_deref(), handle.stats().unacknowledged), (Some("10"), 1));
}

#[tokio::test]
async fn an_acknowledger_of_a_subscription_that_does_not_acknowledge_does_nothing() {
    let (_server, handle, _store) = stream().await;
    let mut orders = handle.subscribe(Filter::all());
    handle.connect();
    let event = within(orders.recv()).await.unwrap().event().unwrap();
    assert!(!orders.acknowledger().acknowledge(&event) && !orders.acknowledge(&event));
}

#[tokio::test]
async fn an_acknowledger_keeps_no_task_alive() {
    let (_server, handle, store) = stream().await;
    let mut orders = handle.subscribe_with(Filter::all(), acknowledging());
    let acknowledger = orders.acknowledger();
    handle.connect();
    let event = within(orders.recv()).await.unwrap().event().unwrap();
    drop((orders, handle));
    until("the task has let go of the store", || Arc::strong_count(&store) == 1).await;
    // Nothing saves it any more: it comes again in the next run.
    acknowledger.acknowledge(&event);
    assert_eq!(store.0.lock().unwrap().as_deref(), None);
}

#[tokio::test]
async fn events_of_a_batch_that_was_given_up_freeze_the_store_with_their_subscription() {
    let (_server, handle, _store) = stream().await;
    let mut orders = handle.subscribe_with(Filter::all(), acknowledging());
    let acknowledger = orders.acknowledger();
    handle.connect();
    let mut batch = Vec::new();
    assert_eq!(within(orders.recv_batch(&mut batch, 1, Duration::ZERO)).await, 1);
    until("more is queued", || orders.queued() >= 8).await;
    let given_up = tokio::time::timeout(Duration::ZERO, orders.recv_batch(&mut batch, EVENTS, DRAIN.deadline));
    assert!(given_up.await.is_err());
    drop(orders);
    // The one in hand, and those that are gone with the subscription, which count as one.
    assert_eq!(handle.stats().unacknowledged, 2);
    assert!(acknowledger.acknowledge(&batch.pop().unwrap().event().unwrap()));
    let drained = within(handle.shutdown_with(DRAIN)).await;
    assert_eq!((drained.saved_id.as_deref(), drained.unacknowledged), (Some("1"), 1));
}
