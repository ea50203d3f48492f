//! Programs that write in batches.

use std::time::Duration;

use sseclient::{Delivery, Filter, Subscription};

use crate::support::{OPEN, Server, client, until, within};

const LONG: Duration = Duration::from_secs(3600);

/// A stream of numbered events, which stays open until the test lets it go on.
async fn opened(events: usize) -> (Server, Subscription, tokio::sync::oneshot::Sender<()>) {
    let (go_on, goes_on) = tokio::sync::oneshot::channel::<()>();
    let goes_on = std::sync::Mutex::new(Some(goes_on));
    let server = Server::start(move |number, mut connection| {
        let goes_on = goes_on.lock().unwrap().take();
        async move {
            let events: String = (0..events).map(|number| format!("data: {number}\n\n")).collect();
            let answer = if number == 0 { format!("{OPEN}{events}") } else { "HTTP/1.1 204 No Content\r\n\r\n".into() };
            connection.send(&answer).await;
            if let Some(goes_on) = goes_on {
                let _ = goes_on.await;
            }
        }
    })
    .await;
    let stream = client().stream(&*server.url).reconnection_time(Duration::ZERO);
    let subscription = within(stream.open(Filter::all())).await.unwrap();
    until("all is queued", || subscription.queued() == events).await;
    (server, subscription, go_on)
}

fn data(batch: &mut Vec<Delivery>) -> Vec<String> {
    batch.drain(..).filter_map(Delivery::event).map(|event| event.data().to_owned()).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_batch_is_full_at_its_limit_or_when_the_time_to_linger_is_over() {
    let (_server, mut subscription, _stays) = opened(25).await;
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

#[tokio::test]
async fn the_end_of_the_stream_completes_a_batch() {
    let (_server, mut subscription, go_on) = opened(3).await;
    go_on.send(()).unwrap();
    let mut batch = Vec::new();
    assert_eq!(within(subscription.recv_batch(&mut batch, 10, LONG)).await, 3);
    assert_eq!(data(&mut batch), numbers(0..3));
    assert_eq!(within(subscription.recv_batch(&mut batch, 10, LONG)).await, 0);
}

#[tokio::test]
async fn a_batch_that_is_given_up_is_not_lost() {
    let (_server, mut subscription, go_on) = opened(5).await;
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
    go_on.send(()).unwrap();
    assert_eq!(within(subscription.recv_batch(&mut batch, 10, LONG)).await, 2);
    assert_eq!(data(&mut batch), numbers(1..5));
}

#[tokio::test]
async fn an_interval_shorter_than_the_time_to_linger_does_not_put_a_batch_off() {
    let (_server, mut subscription, _stays) = opened(5).await;
    // Nothing else comes over the socket. A machine that is busy may stop for longer than that.
    tokio::time::pause();
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
