//! Long IDs: the memory that deduplication and acknowledgements take, and what messages repeat.

use std::convert::Infallible;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use sseclient::testing::{Plan, Script};
use sseclient::{
    Client, Commit, Delivery, ErrorKind, Event, Filter, Overflow, ReconnectPolicy, ResumeStore, SubscribeOptions,
};

use tokio::sync::Notify;

use crate::counting::{self, LIVE};
use crate::support::{OPEN, RawServer, next_event, serve, status, stream, until, within};

const EVENTS: usize = 100;
const ID: usize = 256 * 1024;

/// Room for copies of the last ID and for the buffers of one event. All IDs would take six times as
/// much.
const BOUND: isize = 4 * 1024 * 1024;

#[test]
fn ids_are_known_again_without_being_kept() {
    counting::alone(async {
        let server = RawServer::start(|_, mut connection| async move {
            connection.send(OPEN).await;
            for number in 0..EVENTS {
                // The server sends each event twice.
                let event = format!("id: {number}{}\ndata: x\n\n", "x".repeat(ID));
                connection.send(&event).await;
                connection.send(&event).await;
            }
            connection.closed().await;
        })
        .await;
        let before = LIVE.load(Relaxed);
        let handle = Client::new().stream(&server.url).capacity(4).drop_repeats(EVENTS).build().unwrap();
        let mut events = handle.subscribe(Filter::all());
        handle.connect();
        for _event in 0..EVENTS {
            assert!(matches!(within(events.recv()).await, Some(Delivery::Event(_))));
        }
        until("the last is said twice", || handle.stats().repeats == EVENTS as u64).await;
        let kept = LIVE.load(Relaxed) - before;
        assert!(kept < BOUND, "{kept} bytes");
    });
}

/// What a queue, or a rule that retains events, may hold, and room for buffers. All inherited IDs
/// take twice as much.
const INHERITED_BOUND: isize = 24 * 1024 * 1024;

#[test]
fn inherited_ids_count_in_queues_and_in_what_is_retained() {
    counting::alone(async {
        let server = RawServer::start(|_, mut connection| async move {
            connection.send(OPEN).await;
            for number in 0..2 * EVENTS {
                // A block without data sets the ID. Then only the event after it keeps the ID.
                let id = "x".repeat(ID);
                connection.send(&format!("id: {number}{id}\n\nevent: {number}\ndata: x\n\n")).await;
            }
            connection.send("id\nevent: end\ndata: x\n\n").await;
            connection.closed().await;
        })
        .await;
        let by_type = |event: &Event| event.event_type().to_owned();
        let retaining = stream(&server.url).retain(Filter::all(), 2 * EVENTS).retain_since("0");
        let handle = retaining.retain_latest(Filter::all(), by_type).build().unwrap();
        // They share the events. So if one of them kept them all, all would stay in memory.
        let _slow = [Overflow::DropOldest, Overflow::Conflate]
            .map(|overflow| handle.subscribe_with(Filter::all(), SubscribeOptions::default().overflow(overflow)));
        let mut end = handle.subscribe("end");
        let before = LIVE.load(Relaxed);
        handle.connect();
        next_event(&mut end).await;
        let kept = LIVE.load(Relaxed) - before;
        println!("{kept} bytes");
        assert!(kept < INHERITED_BOUND, "{kept} bytes");
    });
}

/// No request can carry it.
const HUGE_ID: usize = 4 * 1024 * 1024;

/// A store that remembers all that was saved.
#[derive(Clone, Default)]
struct Remembering(Arc<Mutex<Vec<String>>>);

impl ResumeStore for Remembering {
    type Error = Infallible;

    async fn load(&self) -> Result<Option<String>, Infallible> {
        Ok(None)
    }

    async fn save(&self, id: String) -> Result<(), Infallible> {
        self.0.lock().unwrap().push(id);
        Ok(())
    }
}

#[test]
fn acknowledged_events_share_a_huge_id_and_no_store_gets_it() {
    const ACKNOWLEDGED: usize = 200;
    counting::alone(async {
        let is_saved = Arc::new(Notify::new());
        let go_on = Arc::clone(&is_saved);
        let server = RawServer::start(move |_, mut connection| {
            let go_on = Arc::clone(&go_on);
            async move {
                connection.send(&format!("{OPEN}id: 1\ndata: x\n\n")).await;
                go_on.notified().await;
                connection.send(&format!("id: {}\ndata: x\n\n", "x".repeat(HUGE_ID))).await;
                connection.send(&"data: x\n\n".repeat(2 * ACKNOWLEDGED)).await;
                connection.closed().await;
            }
        })
        .await;
        for commit in [Commit::Acknowledgement, Commit::Delivery] {
            let store = Remembering::default();
            let handle = Client::new().stream(&server.url).resume_store(store.clone(), commit).build().unwrap();
            let options = SubscribeOptions::default().acknowledging().overflow(Overflow::Block);
            let mut events = handle.subscribe_with(Filter::all(), options);
            let before = LIVE.load(Relaxed);
            handle.connect();
            let first = next_event(&mut events).await;
            events.acknowledge(&first);
            until("the first ID is saved", || !store.0.lock().unwrap().is_empty()).await;
            is_saved.notify_one();
            for number in 0..=2 * ACKNOWLEDGED {
                let event = next_event(&mut events).await;
                if number % 2 == 0 {
                    events.acknowledge(&event);
                }
            }
            let kept = LIVE.load(Relaxed) - before;
            // Copies of the last ID: those of the decoder, of the session, and of the subscription.
            assert!(kept < 12 * HUGE_ID as isize, "{kept} bytes");
            drop(events);
            within(handle.shutdown()).await;
            assert_eq!(*store.0.lock().unwrap(), ["1"]);
        }
    });
}

#[test]
fn messages_repeat_the_beginning_of_what_a_server_sends() {
    counting::alone(async {
        let server = RawServer::start(|number, mut connection| async move {
            let huge = "x".repeat(HUGE_ID);
            let begin = if number == 0 { format!("id: {huge}\ndata: x\n\n") } else { String::new() };
            connection.send(&format!("{OPEN}{begin}data: y")).await;
        })
        .await;
        let policy = ReconnectPolicy::daemon().stop_on_poison();
        let handle = stream(&server.url).reconnect_policy(policy).build().unwrap();
        handle.connect();
        let reason = within(handle.closed()).await;
        let error = reason.error().unwrap();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        for text in [error.to_string(), handle.state().to_string(), format!("{error:?}")] {
            assert!(text.len() < 1_000, "{} bytes", text.len());
            assert!(text.contains("xxx\\\"… (4194304 bytes)") || text.contains("xxx\"… (4194304 bytes)"), "{text}");
        }
    });
    counting::alone(async {
        let long = "x".repeat(7_000);
        let event = Script::open().bytes(format!("id: {long}\ndata: x\n\n")).end();
        let page = status(200).header("content-type", format!("text/{long}"));
        let server = serve([event, Script::open().end(), page]).await;
        let handle = stream(server.url()).build().unwrap();
        let mut events = handle.subscribe(Filter::all());
        handle.connect();
        next_event(&mut events).await;
        let Some(Delivery::Gap(gap)) = within(events.recv()).await else { panic!("a gap") };
        let reason = within(handle.closed()).await;
        for text in [gap.to_string(), reason.to_string()] {
            assert!(text.len() < 400 && text.contains("xxx\"… (7"), "{text}");
        }
    });
    counting::alone(async {
        let long = "x".repeat(7_000);
        // A host that does not resolve, and a page of the server's own.
        for location in [format!("http://{long}/"), format!("/{long}")] {
            let moved = move || status(302).header("location", &location);
            let server = serve(Plan::each(move |number, _| if number == 1 { moved() } else { status(404) })).await;
            let error = within(stream(server.url()).open(Filter::all())).await.unwrap_err();
            let text = error.to_string();
            assert!(text.len() < 300 && text.contains("xxx"), "{text}");
        }
    });
}
