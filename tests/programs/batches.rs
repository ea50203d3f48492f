//! Programs that write in batches.

use std::time::Duration;

use sseclient::testing::{self, Publisher};
use sseclient::{Delivery, Event, Filter, Subscription};

use crate::support::within;

const LONG: Duration = Duration::from_secs(3600);

/// A subscription with numbered events in its queue, whose stream is open.
async fn opened(events: usize) -> (Publisher, Subscription) {
    let (publisher, handle) = testing::channel();
    let subscription = handle.subscribe(Filter::all());
    handle.connect();
    for number in 0..events {
        publisher.send(Event::builder().data(number.to_string())).await.unwrap();
    }
    (publisher, subscription)
}

fn data(batch: &mut Vec<Delivery>) -> Vec<String> {
    batch.drain(..).filter_map(Delivery::event).map(|event| event.data().to_owned()).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_at_its_limit_or_when_the_time_to_linger_is_over() {
    let (_publisher, mut subscription) = opened(25).await;
    let mut batch = Vec::new();
    for (limit, linger, expected) in [
        (10, LONG, 0..10),
        (1, LONG, 10..11),
        (10, Duration::ZERO, 11..21),
        (10, Duration::from_millis(5), 21..25),
        (0, LONG, 25..25),
    ] {
        let taken = within(subscription.recv_batch(&mut batch, limit, linger)).await;
        assert_eq!(taken, expected.len(), "{limit}, {linger:?}");
        assert_eq!(data(&mut batch), numbers(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_completes_a_batch() {
    let (publisher, mut subscription) = opened(3).await;
    publisher.close().await;
    let mut batch = Vec::new();
    assert_eq!(within(subscription.recv_batch(&mut batch, 10, LONG)).await, 3);
    assert_eq!(data(&mut batch), numbers(0..3));
    assert_eq!(within(subscription.recv_batch(&mut batch, 10, LONG)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_given_up_is_not_lost() {
    let (publisher, mut subscription) = opened(5).await;
    let mut batch = Vec::new();
    for _ in 0..3 {
        let tick = tokio::task::yield_now();
        tokio::select! {
            biased;
            _ = subscription.recv_batch(&mut batch, 10, LONG) => panic!("it is not complete"),
            () = tick => {}
        }
        assert_eq!((batch.len(), subscription.queued()), (0, 5));
    }
    assert_eq!(subscription.try_recv().unwrap().event().unwrap().data(), "0");
    assert_eq!(within(subscription.recv_many(&mut batch, 2)).await, 2);
    publisher.close().await;
    assert_eq!(within(subscription.recv_batch(&mut batch, 10, LONG)).await, 2);
    assert_eq!(data(&mut batch), numbers(1..5));
}

#[tokio::test(start_paused = true)]
async fn an_interval_shorter_than_the_time_to_linger_does_not_put_a_batch_off() {
    let (_publisher, mut subscription) = opened(5).await;
    let mut batch = Vec::new();
    let linger = Duration::from_millis(50);
    let mut given_up = 0;
    while batch.is_empty() {
        let tick = tokio::time::timeout(linger / 5, subscription.recv_batch(&mut batch, 10, linger)).await;
        given_up += u32::from(tick.is_err());
        assert!(given_up <= 10, "it is put off");
    }
    assert!(given_up > 0);
    assert_eq!(data(&mut batch), numbers(0..5));
}
