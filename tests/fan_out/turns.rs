//! How much the connection task does before other tasks of its thread run.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use sseclient::{Client, Delivery, Filter, Overflow, SubscribeOptions, Subscription};
use tokio::task::yield_now;

use crate::support::within;

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 64;

/// A subscription to a stream whose response is there at once: these chunks, and then one more
/// event. The main task reads it, which a runtime of one thread polls least.
fn follow(chunk: &[u8], overflow: Overflow) -> Subscription {
    let chunk = Bytes::copy_from_slice(chunk);
    let transport = move |_request: Request<Bytes>| {
        let chunks = std::iter::repeat_n(chunk.clone(), CHUNKS).chain([Bytes::from_static(b"data: last\n\n")]);
        let body = StreamBody::new(tokio_stream::iter(chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)))));
        let response = Response::builder().header("content-type", "text/event-stream").body(body);
        async { response }
    };
    let handle = Client::builder().transport(transport).build().stream("http://server.invalid/").build().unwrap();
    let events = handle.subscribe_with(Filter::all(), SubscribeOptions::default().overflow(overflow));
    handle.connect();
    events
}

#[tokio::test]
async fn large_events_are_taken_before_many_of_them_are_read() {
    // Each in a chunk of its own, and all in each chunk.
    for events_per_chunk in [1, CHUNKS] {
        let event = format!("data: {}\n\n", "x".repeat(CHUNK));
        let mut events = follow(event.repeat(events_per_chunk).as_bytes(), Overflow::default());
        let mut most = 0;
        for _event in 0..CHUNKS {
            within(events.recv()).await.unwrap();
            most = most.max(events.queued());
        }
        // Four events are 256 KiB, and one of them has been taken.
        assert!(most < 4, "{most} queued, {events_per_chunk} in a chunk");
    }
}

#[tokio::test]
async fn other_tasks_run_while_much_is_skipped() {
    let mut events = follow(": comment\n".repeat(CHUNK / 10).as_bytes(), Overflow::default());
    let others = async {
        for runs in 0.. {
            yield_now().await;
            if events.queued() > 0 {
                return runs;
            }
        }
        0
    };
    let runs = within(others).await;
    // 4 MiB are more than a dozen times 256 KiB. A chunk completes more than that.
    assert!(runs >= 8, "{runs} runs");
    within(events.recv()).await.unwrap();
}

#[tokio::test]
async fn a_main_task_that_keeps_reading_loses_nothing_under_drop_oldest() {
    let mut events = follow("data: 123\n\n".repeat(CHUNK / 11).as_bytes(), Overflow::DropOldest);
    for _event in 0..CHUNKS * (CHUNK / 11) {
        let delivery = within(events.recv()).await.unwrap();
        assert!(matches!(delivery, Delivery::Event(_)), "{delivery:?}");
    }
}
