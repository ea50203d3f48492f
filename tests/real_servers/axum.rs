//! A pub/sub server in this process: axum's own event streams.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::Event;
use axum::routing::{get, post};
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The server, which ends when this is dropped.
pub(crate) struct Axum {
    pub(crate) address: SocketAddr,
    task: AbortHandle,
}

#[derive(Default)]
struct Log {
    /// Type and data of each event. The event at index n has the ID n + 1.
    events: Mutex<Vec<(String, String)>>,
    grown: Notify,
}

impl Axum {
    pub(crate) async fn start() -> Self {
        let router = Router::new().route("/publish", post(publish)).route("/subscribe", get(subscribe));
        let router = router.with_state(Arc::new(Log::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async { axum::serve(listener, router).await.expect("the server runs") });
        Self { address, task: task.abort_handle() }
    }
}

impl Drop for Axum {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn publish(State(log): State<Arc<Log>>, headers: HeaderMap, data: String) -> StatusCode {
    let event_type = headers["x-eventsource-event"].to_str().expect("ASCII").to_owned();
    log.events.lock().expect("no panic").push((event_type, data));
    log.grown.notify_waiters();
    StatusCode::ACCEPTED
}

async fn subscribe(
    State(log): State<Arc<Log>>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let next = headers.get("last-event-id").map_or(0, |id| id.to_str().expect("ASCII").parse().expect("a number"));
    Sse::new(futures_util::stream::unfold((log, next), |(log, index): (Arc<Log>, usize)| async move {
        loop {
            let waiting = Arc::clone(&log);
            let grown = waiting.grown.notified();
            let event = log.events.lock().expect("no panic").get(index).cloned();
            if let Some((event_type, data)) = event {
                let event = Event::default().event(event_type).data(data).id((index + 1).to_string());
                return Some((Ok(event), (log, index + 1)));
            }
            grown.await;
        }
    }))
}
