//! Ten thousand reconnections leave no memory, descriptors or tasks behind.

#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sseclient::{Decision, Delivery, Filter, Gap, Handle, ReconnectPolicy, Subscription};
use tokio::sync::Notify;

use crate::counting::{self, LIVE};
use crate::support::transport::TestTransport;
use crate::support::{Connection, OPEN, RawServer, client, until, within};

/// Enough reconnections for buffers, queues and tables to grow to their final size.
const WARM_UP: usize = 500;
const RECONNECTIONS: usize = 10_000;

/// Allowance for memory that one side has allocated and the other has not freed yet.
const SLACK: isize = 4 * 1024;

/// The resources of the process.
#[derive(Debug, Clone, Copy)]
struct Possessions {
    descriptors: usize,
    tasks: usize,
    bytes: isize,
}

impl Possessions {
    fn count() -> Self {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        Self { descriptors, tasks, bytes: LIVE.load(Relaxed) }
    }
}

/// Sends one event. Then the response ends, breaks off within a chunk, or waits until the client
/// leaves.
async fn answer(number: usize, mut connection: Connection) {
    const BROKEN_OFF: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
                              ff\r\n";
    let (head, data) = [(OPEN, "stay"), (BROKEN_OFF, "stay"), (OPEN, "leave"), (OPEN, "leave")][number % 4];
    connection.send(&format!("{head}id: {number}\ndata: {data}\n\n")).await;
    if data == "leave" {
        connection.closed().await;
    }
}

/// A server like that, but for two responses, which pause after their event so that the test can
/// count.
async fn fickle_server(go_on: &Arc<Notify>) -> RawServer {
    let go_on = Arc::clone(go_on);
    RawServer::start_unrecorded(move |number, mut connection| {
        let go_on = Arc::clone(&go_on);
        async move {
            if number != WARM_UP && number != WARM_UP + RECONNECTIONS {
                return answer(number, connection).await;
            }
            connection.send(&format!("{OPEN}id: {number}\ndata: rest\n\n")).await;
            go_on.notified().await;
        }
    })
    .await
}

/// Takes events, and reconnects where they say so, until the server pauses. Returns the number of
/// events.
async fn rest(handle: &Handle, events: &mut Subscription) -> usize {
    let mut number = 0;
    loop {
        let delivery = within(events.recv()).await.unwrap();
        assert!(!matches!(delivery, Delivery::Gap(Gap::Lagged { .. } | Gap::Oversized { .. })), "{delivery:?}");
        let Some(event) = delivery.event() else { continue };
        number += 1;
        match event.data() {
            "rest" => return number,
            "leave" => handle.reconnect(),
            _ => {}
        }
    }
}

#[test]
fn ten_thousand_reconnections_leave_nothing_behind() {
    counting::alone(async {
        let go_on = Arc::new(Notify::new());
        let server = fickle_server(&go_on).await;
        let policy = ReconnectPolicy::daemon().decide_with(|_| Decision::RetryAfter(Duration::ZERO));
        let handle = client().stream(&*server.url).reconnect_policy(policy).build().unwrap();
        let mut events = handle.subscribe(Filter::all());
        handle.connect();
        rest(&handle, &mut events).await;
        // The server, the connection, and those of the response that pauses: the server's and the
        // transport's.
        let expected = 3 + TestTransport::current().tasks();
        until("the last response's task is gone", || Possessions::count().tasks == expected).await;
        let before = Possessions::count();
        go_on.notify_one();
        assert_eq!(rest(&handle, &mut events).await, RECONNECTIONS);
        until("the last response's task is gone", || Possessions::count().tasks == before.tasks).await;
        let after = Possessions::count();
        println!("after {WARM_UP}: {before:?}; after {RECONNECTIONS} more: {after:?}");
        assert_eq!(after.descriptors, before.descriptors);
        assert!((after.bytes - before.bytes).abs() <= SLACK, "{} bytes more", after.bytes - before.bytes);
        assert_eq!(handle.stats().opens as usize, WARM_UP + RECONNECTIONS + 1);
    });
}
