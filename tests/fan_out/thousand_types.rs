//! The cost of an event by the number of subscribed types, from the socket to the subscriber.

#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;
use std::{fs, thread};

use sseclient::{Client, Delivery, ReconnectPolicy};

const EVENTS: usize = 1_000_000;
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// The CPU time of the calling thread.
fn on_core() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// A server on a thread of its own that sends `text` to one client.
fn serve(text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let _ = tcp.read(&mut [0; 4096]).unwrap();
        tcp.write_all(HEAD.as_bytes()).and_then(|()| tcp.write_all(text.as_bytes())).unwrap();
    });
    url
}

/// Nanoseconds of CPU for each event, with everything on one thread.
fn cost(subscriptions: usize, event_type: impl Fn(usize) -> usize) -> f64 {
    let data = "x".repeat(100);
    let event = |number: usize| format!("event: type.{}\nid: {number}\ndata: {data}\n\n", event_type(number));
    let url = serve((0..EVENTS).map(event).collect());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let handle = Client::new().stream(url).reconnect_policy(ReconnectPolicy::never()).build().unwrap();
        let readers: Vec<_> = (0..subscriptions)
            .map(|number| handle.subscribe(format!("type.{number}")))
            .map(|mut subscription| {
                tokio::spawn(async move {
                    let mut events = 0;
                    while let Some(delivery) = subscription.recv().await {
                        assert!(matches!(delivery, Delivery::Event(_)), "{delivery:?}");
                        events += 1;
                    }
                    events
                })
            })
            .collect();
        let begun = on_core();
        handle.connect();
        // The response and all subscriptions end after the last event, so the test need not poll.
        let mut events = 0;
        for reader in readers {
            events += reader.await.unwrap();
        }
        assert!(events == EVENTS || events == 0);
        (on_core() - begun).as_nanos() as f64 / EVENTS as f64
    })
}

/// `cargo test --release --test fan_out thousand_types -- --ignored --nocapture`
#[test]
#[ignore = "prints how long things take"]
fn cost_of_an_event_by_the_number_of_subscribed_types() {
    for round in 1..=3 {
        let one = cost(1, |_| 0);
        let same = cost(1000, |_| 500);
        let unknown = cost(1000, |_| 1000);
        let spread = cost(1000, |number| number % 1000);
        let spread_over_ten = cost(10, |number| number % 10);
        println!(
            "round {round}: one subscription {one:.0} ns; 1,000, all of one type {same:.0} ns ({:.2}), of none {unknown:.0} ns, \
             each in turn {spread:.0} ns ({:.2}); 10, each in turn {spread_over_ten:.0} ns",
            same / one,
            spread / one
        );
    }
}
