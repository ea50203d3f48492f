//! A stream that waits for a subscriber holds no more than the queue.

use std::sync::atomic::Ordering::Relaxed;

use sseclient::{Client, Delivery, Filter, Overflow, SubscribeOptions};

use crate::counting::{self, LIVE, PEAK};
use crate::support::{OPEN, RawServer, until, within};

/// About 100 MiB of events.
const EVENTS: usize = 100_000;
const CAPACITY: usize = 16;

/// One turn, hyper's read buffer, the server's batch, and half as much again.
const SLACK: isize = 2 * 1024 * 1024;

#[test]
fn memory_is_flat_while_a_queue_is_full_and_while_it_is_emptied_slowly() {
    counting::alone(async {
        let server = RawServer::start(move |_, mut connection| async move {
            connection.send(OPEN).await;
            let event = format!("data: {}\n\n", "x".repeat(1024));
            for _ in 0..EVENTS / 100 {
                connection.send(&event.repeat(100)).await;
            }
            connection.closed().await;
        })
        .await;
        let handle = Client::new().stream(&*server.url).build().unwrap();
        let options = SubscribeOptions::default().capacity(CAPACITY).overflow(Overflow::Block);
        let mut full = handle.subscribe_with(Filter::all(), options);
        handle.connect();
        until("the queue is full", || handle.stats().events == CAPACITY as u64).await;
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        for value in 0..10_000 {
            handle.set_header("x-value", value.to_string()).unwrap();
            drop(handle.subscribe("message"));
            assert!(handle.state().is_open());
            tokio::task::yield_now().await;
        }
        assert_eq!(handle.stats().events, CAPACITY as u64, "nothing is read meanwhile");
        let waited = PEAK.load(Relaxed) - before;
        for _ in 0..EVENTS {
            assert!(matches!(within(full.recv()).await, Some(Delivery::Event(_))));
        }
        let emptied = PEAK.load(Relaxed) - before;
        println!("at most {waited} bytes more while it waited, {emptied} in all");
        assert!(waited < SLACK && emptied < SLACK, "{waited}, {emptied}");
    });
}
