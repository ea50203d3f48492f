//! What a resume store is given when acknowledgements are odd, and what becomes of a stream whose store is.

mod support;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sseclient::{
    Client, Commit, Delivery, Event, Filter, Handle, ResumeStore, StreamBuilder, SubscribeOptions, Subscription,
};
use support::{OPEN, Server, until, within};

/// A store that keeps all that it was given, in order.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<String>>>);

impl Memory {
    fn holding(id: &str) -> Self {
        Self(Arc::new(Mutex::new(vec![id.to_owned()])))
    }

    fn saves(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn holds(&self, id: &str) {
        until(&format!("the store holds {id:?}"), || self.saves().last().is_some_and(|last| last == id)).await;
    }
}

impl ResumeStore for Memory {
    type Error = io::Error;

    async fn load(&self) -> io::Result<Option<String>> {
        Ok(self.saves().pop())
    }

    async fn save(&self, id: String) -> io::Result<()> {
        self.0.lock().unwrap().push(id);
        Ok(())
    }
}

/// A server that sends this to each connection, and stays.
async fn server(body: &str) -> Server {
    let body = body.to_owned();
    Server::start(move |_, mut connection| {
        let body = body.clone();
        async move {
            connection.send(&format!("{OPEN}{body}")).await;
            connection.closed().await;
        }
    })
    .await
}

fn stream(server: &Server) -> StreamBuilder {
    Client::new().stream(&server.url).reconnection_time(Duration::from_millis(1))
}

/// A stream that saves what is acknowledged, with a subscription that acknowledges.
fn acknowledging(server: &Server, store: &Memory) -> (Handle, Subscription) {
    let handle = stream(server).resume_store(store.clone(), Commit::Acknowledgement).build().unwrap();
    let events = handle.subscribe_with(Filter::all(), SubscribeOptions::default().acknowledging());
    handle.connect();
    (handle, events)
}

async fn take<const N: usize>(subscription: &mut Subscription) -> [Event; N] {
    let mut taken = Vec::new();
    while taken.len() < N {
        match within(subscription.recv()).await {
            Some(Delivery::Event(event)) => taken.push(event),
            other => panic!("{other:?}"),
        }
    }
    taken.try_into().unwrap()
}

#[tokio::test]
async fn an_event_of_another_stream_cannot_be_acknowledged() {
    let (one, two) = (server("id: a\ndata: x\n\n").await, server("id: b\ndata: x\n\n").await);
    let (store, others) = (Memory::default(), Memory::default());
    let (_handle, mut events) = acknowledging(&one, &store);
    let (_other, mut other_events) = acknowledging(&two, &others);
    let [event] = take(&mut events).await;
    let [other] = take(&mut other_events).await;
    assert!(!events.acknowledge(&other));
    assert!(!events.acknowledge(&Event::builder().id("c").build().unwrap()));
    assert!(events.acknowledge(&event));
    store.holds("a").await;
    assert_eq!(store.saves(), ["a"]);
    assert!(other_events.acknowledge(&other), "it is still to be acknowledged where it came from");
    others.holds("b").await;
}
