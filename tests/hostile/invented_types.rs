//! Event types that no filter matches allocate nothing, and long ones are not kept.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use sseclient::{Delivery, Filter, Subscription};

use crate::counting::{self, LIVE, PEAK};
use crate::support::{OPEN, RawServer, next_event, stream, until, within};

/// Enough events for buffers and queues to grow to their final size.
const WARM_UP: usize = 20_000;
const TYPES: usize = 1_000_000;

/// Allowance for chunks in flight, of up to 512 KiB each, and for queues that are fuller than before.
const SLACK: isize = 2 * 1024 * 1024;

async fn take(last: usize, subscription: &mut Subscription) {
    loop {
        match within(subscription.recv()).await.expect("the stream goes on") {
            Delivery::Event(event) if event.data() == last.to_string() => return,
            Delivery::Event(_) => {}
            Delivery::Gap(gap) => panic!("{gap}"),
        }
    }
}

#[test]
fn a_million_invented_event_types_cost_no_memory() {
    counting::alone_on_two_workers(async {
        let server = RawServer::start(|_, mut connection| async move {
            connection.send(OPEN).await;
            let mut text = String::new();
            for number in 1..=TYPES {
                // Some types are longer than any subscribed type.
                let padding = "x".repeat(if number % 1_000 == 0 { 5_000 } else { 0 });
                write!(text, "event: type.{number}{padding}\ndata: x\n\n").unwrap();
                if number % 100 == 0 {
                    write!(text, "event: known.{}\ndata: {number}\n\n", number % 10).unwrap();
                    write!(text, "event: end\ndata: {number}\n\n").unwrap();
                    connection.send(&text).await;
                    text.clear();
                }
            }
            connection.closed().await;
        })
        .await;
        let handle = stream(&server.url).build().unwrap();
        let known = (0..7).map(|number| handle.subscribe(format!("known.{number}")));
        let others = [Filter::prefix("known."), Filter::prefixes(["type.x", "type.y"]), Filter::matching(|_| false)];
        let mut subscriptions: Vec<Subscription> = known.chain(others.map(|filter| handle.subscribe(filter))).collect();
        let mut end = handle.subscribe("end");
        let readers: Vec<_> = subscriptions
            .drain(..)
            .map(|mut one| tokio::spawn(async move { while one.recv().await.is_some() {} }))
            .collect();
        handle.connect();
        take(WARM_UP, &mut end).await;
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        take(TYPES, &mut end).await;
        let (after, peak) = (LIVE.load(Relaxed) - before, PEAK.load(Relaxed) - before);
        println!("after {TYPES} types: {after} bytes more than after {WARM_UP}, {peak} at most");
        assert!(after < SLACK && peak < SLACK, "{after} bytes more, {peak} at most");
        until("the last turn is counted", || handle.stats().events as usize == TYPES + 2 * TYPES / 100).await;
        drop((handle, end));
        for reader in readers {
            reader.abort();
        }
    });
}

#[test]
fn long_types_of_events_that_are_retained_no_more_cost_no_memory() {
    const LONG: usize = 256 * 1024;
    counting::alone(async {
        let server = RawServer::start(|_, mut connection| async move {
            connection.send(OPEN).await;
            for number in 0..100 {
                connection.send(&format!("event: {number}{}\ndata: x\n\n", "x".repeat(LONG))).await;
            }
            connection.send("event: end\ndata: x\n\n").await;
            connection.closed().await;
        })
        .await;
        let handle = stream(&server.url).retain(Filter::all(), 2).build().unwrap();
        let mut end = handle.subscribe("end");
        let before = LIVE.load(Relaxed);
        handle.connect();
        next_event(&mut end).await;
        let kept = LIVE.load(Relaxed) - before;
        println!("{kept} bytes");
        // The retained events, and buffers. All types take five times as much.
        assert!(kept < 20 * LONG as isize, "{kept} bytes");
    });
}
