//! Resume stores under odd acknowledgements, and odd resume stores.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sseclient::testing::{Script, Server};
use sseclient::{Commit, Delivery, Drain, ErrorKind, Event, Filter, Gap, Handle, ResumeStore, Subscription};
use tokio::sync::Notify;

use super::memory::{Memory, acknowledging};
use crate::support::{always, headers, next_event, notified, resuming, staying, stream, within};

/// A stream that saves acknowledged IDs, and a subscription that acknowledges.
fn saving(server: &Server, store: &Memory) -> (Handle, Subscription) {
    let handle = stream(server.url()).resume_store(store.clone(), Commit::Acknowledgement).build().unwrap();
    let events = acknowledging(&handle, Filter::all());
    handle.connect();
    (handle, events)
}

async fn take<const N: usize>(subscription: &mut Subscription) -> [Event; N] {
    let mut taken = Vec::new();
    while taken.len() < N {
        taken.push(next_event(subscription).await);
    }
    taken.try_into().unwrap()
}

#[tokio::test]
async fn an_event_of_another_stream_cannot_be_acknowledged() {
    let (one, two) = (staying("id: a\ndata: x\n\n").await, staying("id: b\ndata: x\n\n").await);
    let (store, others) = (Memory::default(), Memory::default());
    let (_handle, mut events) = saving(&one, &store);
    let (_other, mut other_events) = saving(&two, &others);
    let [event] = take(&mut events).await;
    let [other] = take(&mut other_events).await;
    assert!(!events.acknowledge(&other));
    assert!(!events.acknowledge(&Event::builder().id("c").build().unwrap()));
    assert!(events.acknowledge(&event));
    store.holds("a").await;
    assert_eq!(store.saved(), ["a"]);
    assert!(other_events.acknowledge(&other), "it is still to be acknowledged where it came from");
    others.holds("b").await;
}

#[tokio::test]
async fn an_id_of_several_events_is_saved_when_all_of_them_are_acknowledged() {
    // The server repeats the ID, also after an event that sets none.
    let server = staying("id: 4\ndata: z\n\nid: 5\ndata: a\n\ndata: b\n\nid: 5\ndata: c\n\nid: 6\ndata: d\n\n").await;
    let store = Memory::default();
    let (_handle, mut events) = saving(&server, &store);
    let [z, a, b, c, d] = take(&mut events).await;
    for event in [&a, &z] {
        assert!(events.acknowledge(event));
    }
    store.holds("4").await;
    for event in [&c, &d, &b] {
        assert!(events.acknowledge(event));
    }
    store.holds("6").await;
    assert_eq!(store.saved(), ["4", "6"]);
}

#[tokio::test]
async fn an_id_that_later_events_only_inherit_is_saved_without_them() {
    let server = staying("id: 5\ndata: a\n\ndata: b\n\n").await;
    let store = Memory::default();
    let (_handle, mut events) = saving(&server, &store);
    let [a, _b] = take(&mut events).await;
    assert!(events.acknowledge(&a));
    store.holds("5").await;
}

#[tokio::test]
async fn a_stored_id_that_no_header_can_carry_costs_a_gap_and_is_not_sent() {
    let server = staying("data: x\n\n").await;
    for id in ["a\u{1}b".to_owned(), "x".repeat(8_001)] {
        let handle = stream(server.url()).resume_store(Memory::holding(&id), Commit::Delivery).build().unwrap();
        let mut events = handle.subscribe(Filter::all());
        handle.connect();
        assert_eq!(within(events.recv()).await, Some(Delivery::Gap(Gap::reconnected(None))));
        let [_first] = take(&mut events).await;
        assert_eq!(headers(&server, "last-event-id").last().unwrap(), &None);
    }
}

#[tokio::test]
async fn an_id_that_no_request_can_carry_is_not_given_to_the_store() {
    let next = Arc::new(Notify::new());
    let sends = Arc::clone(&next);
    let server = always(move || {
        let script = Script::open().bytes("id: 1\ndata: x\n\n").wait_for(notified(&sends));
        script.bytes(format!("id: {}\ndata: y\n\n", "x".repeat(8_001)))
    })
    .await;
    for commit in [Commit::Delivery, Commit::Acknowledgement] {
        let memory = Memory::default();
        let handle = stream(server.url()).resume_store(memory.clone(), commit).build().unwrap();
        let mut events = acknowledging(&handle, Filter::all());
        handle.connect();
        let [first] = take(&mut events).await;
        assert!(events.acknowledge(&first));
        memory.holds("1").await;
        next.notify_one();
        let [second] = take(&mut events).await;
        assert_eq!(second.id().map(str::len), Some(8_001));
        assert!(events.acknowledge(&second));
        // It saves what there is to save.
        within(handle.shutdown()).await;
        assert_eq!(memory.saved(), ["1"], "{commit:?}");
    }
}

/// A store whose first load and first save panic: `load` before it returns a future, `save` in its
/// future.
#[derive(Clone, Default)]
struct Panicking {
    loads: Arc<Mutex<u32>>,
    saves: Arc<Mutex<u32>>,
    memory: Memory,
}

/// Counts a call, and panics in the first one.
#[track_caller]
fn panic_once(calls: &Mutex<u32>) {
    let before = {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        *calls - 1
    };
    assert!(before > 0, "a bug in the store");
}

impl ResumeStore for Panicking {
    type Error = io::Error;

    fn load(&self) -> impl Future<Output = io::Result<Option<String>>> + Send {
        panic_once(&self.loads);
        self.memory.load()
    }

    async fn save(&self, id: String) -> io::Result<()> {
        tokio::task::yield_now().await;
        panic_once(&self.saves);
        self.memory.save(id).await
    }
}

#[tokio::test]
async fn a_store_that_panics_has_failed_and_does_not_stop_the_stream() {
    let server = staying("id: 5\ndata: a\n\n").await;
    let store = Panicking { memory: Memory::holding("4"), ..Panicking::default() };
    let handle = stream(server.url()).resume_store(store.clone(), Commit::Delivery).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    let [_first] = take(&mut events).await;
    assert_eq!(headers(&server, "last-event-id"), [Some("4".into())], "asked again");
    store.memory.holds("5").await;
    assert!(handle.state().is_open());
    assert_eq!(handle.stats().failures[&ErrorKind::Store], 1, "the save; a load that is asked again is none yet");
}

#[tokio::test]
async fn a_store_that_the_program_holds_as_well_is_loaded_from_and_saved_to() {
    let server = resuming(|after| format!("id: {}\ndata: x\n\n", after + 1)).await;
    let store = Arc::new(Memory::holding("6"));
    let handle = stream(server.url()).resume_store(Arc::clone(&store), Commit::Delivery).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    let [event] = take(&mut events).await;
    assert_eq!(event.id(), Some("7"));
    store.holds("7").await;
}

/// The order of the shutdowns does not matter.
#[tokio::test]
async fn the_earliest_deadline_of_several_shutdowns_wins() {
    let server = staying("id: 5\ndata: a\n\n").await;
    let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(24 * 3600));
    for has_begun in [false, true] {
        for hurry in [None, Some(Duration::ZERO)] {
            let (handle, mut events) = saving(&server, &Memory::default());
            let [_open] = take(&mut events).await;
            drop(handle.shutdown_with(Drain { deadline: hour }));
            if has_begun {
                within(handle.closed()).await;
            }
            let (shutdown, draining) = match hurry {
                None => (Some(handle.shutdown()), None),
                Some(deadline) => (None, Some(handle.shutdown_with(Drain { deadline }))),
            };
            drop(handle.shutdown_with(Drain { deadline: day }));
            // The event is never acknowledged. Without the earlier deadline the task would wait for
            // it.
            if let Some(shutdown) = shutdown {
                within(shutdown).await;
            }
            if let Some(draining) = draining {
                within(draining).await;
            }
        }
    }
}
