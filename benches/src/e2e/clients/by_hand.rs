//! `eventsource-client` in front of `tokio::sync::broadcast`: fan-out as written without a library
//! for it.
//!
//! The channel never waits: it overwrites events that are not read yet. So the sender checks, after
//! each half of the capacity, that the slowest receiver has no more than the other half to read. A
//! check costs a lock for each step of a binary search, which is too much for each event.

use std::sync::Arc;

use eventsource_client::{Client, ClientBuilder, Event, ReconnectOptions, SSE};
use futures_util::StreamExt;
use launchdarkly_sdk_transport::HyperTransport;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::task::yield_now;

use super::subscriber::{Subscriber, join};

const CAPACITY: usize = 256;
const HALF: usize = CAPACITY / 2;

/// How the sender waits for its receivers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Yields to all other tasks, then checks again.
    Yield,
    /// Sleeps until a receiver notifies that it has read another half.
    Notify,
}

/// Runs one task that reads the stream, and one per subscriber.
pub async fn fan_out<S: Subscriber>(url: &str, gate: Gate, subscribers: Vec<S>) -> Vec<S> {
    let (sender, first) = broadcast::channel(CAPACITY);
    let read_half = Arc::new(Notify::new());
    let told = (gate == Gate::Notify).then(|| Arc::clone(&read_half));
    let follow = |subscriber| tokio::spawn(follow(sender.subscribe(), told.clone(), subscriber));
    let tasks = subscribers.into_iter().map(follow).collect();
    drop(first);
    tokio::spawn(publish(url.to_owned(), sender, told.map(|_| read_half)));
    join(tasks).await
}

async fn publish(url: String, sender: Sender<Arc<Event>>, read_half: Option<Arc<Notify>>) {
    let transport = HyperTransport::builder().build_http().expect("a plain HTTP transport");
    let client = ClientBuilder::for_url(&url)
        .expect("the URL from e2e")
        .reconnect(ReconnectOptions::reconnect(false).build())
        .build_with_transport(transport);
    let mut stream = client.stream();
    let mut sent = 0;
    while let Some(Ok(item)) = stream.next().await {
        let SSE::Event(event) = item else { continue };
        // An error means that all receivers have seen enough and gone.
        if sender.send(Arc::new(event)).is_err() {
            break;
        }
        sent += 1;
        while sent % HALF == 0 && sender.len() > HALF {
            match &read_half {
                Some(read_half) => read_half.notified().await,
                None => yield_now().await,
            }
        }
    }
}

async fn follow<S: Subscriber>(mut events: Receiver<Arc<Event>>, told: Option<Arc<Notify>>, mut subscriber: S) -> S {
    let mut received = 0;
    loop {
        match events.recv().await {
            Ok(event) if subscriber.see(event.data.as_bytes()).is_break() => break,
            Ok(_) => {}
            Err(RecvError::Closed) => break,
            Err(RecvError::Lagged(missed)) => panic!("{missed} missed"),
        }
        received += 1;
        if received % HALF == 0
            && let Some(told) = &told
        {
            told.notify_one();
        }
    }
    subscriber
}
