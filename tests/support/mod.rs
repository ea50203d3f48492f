//! Servers that the transport of this process reaches, and helpers for following a stream.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod codings;
pub mod folder;
pub mod plain;
pub mod transport;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use sseclient::testing::{self, Plan, Script};
use sseclient::{
    ClientBuilder, Delivery, Error, Event, Filter, Gap, Handle, State, StateChanges, StreamBuilder, Subscription,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::transport::{Io, Listener};
pub use self::transport::{client, serve};

/// The head of an open event stream, delimited by the connection's end.
pub const OPEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// How long a condition may take to hold before a test fails rather than hang.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A server that passes each connection, with its number from 0, to a script.
///
/// For tests that write without end, relay, measure memory, or watch the client leave. To script
/// answers, use [`serve`].
pub struct RawServer {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl RawServer {
    /// Starts a server whose `script` gets each connection after the server has read its request.
    pub async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, Connection) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let mut server = Self::start_unrecorded(move |number, connection| {
            seen.lock().unwrap().push(connection.request.clone());
            script(number, connection)
        })
        .await;
        server.requests = requests;
        server
    }

    /// Like [`RawServer::start`], for crowds: the server does not keep the requests. It calls `script`
    /// in the order of the connections.
    pub async fn start_unrecorded<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, Connection) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (mut listener, authority) = Listener::bind();
        let url = format!("http://{authority}/stream");
        let task = tokio::spawn(async move {
            for number in 0.. {
                let Some(io) = listener.accept().await else { return };
                let mut connection = Connection { io, request: String::new() };
                let Some(request) = connection.read_head().await else { continue };
                connection.request = request;
                tokio::spawn(script(number, connection));
            }
        });
        Self { url, requests: Arc::default(), task }
    }

    /// The requests so far, with bodies of a known length.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The value of a header in each request.
    pub fn headers(&self, name: &str) -> Vec<Option<String>> {
        self.requests().iter().map(|request| header(request, name)).collect()
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn header(request: &str, name: &str) -> Option<String> {
    request.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// One connection, as the server sees it.
pub struct Connection {
    pub io: Box<dyn Io>,
    pub request: String,
}

impl Connection {
    /// Sends text. Returns false if the client has closed.
    pub async fn send(&mut self, text: &str) -> bool {
        self.io.write_all(text.as_bytes()).await.is_ok()
    }

    /// Waits until the client has closed its end.
    pub async fn closed(mut self) {
        let mut buffer = [0; 1024];
        while let Ok(1..) = self.io.read(&mut buffer).await {}
    }

    async fn read_head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.io.read_u8().await.ok()?);
        }
        let mut request = String::from_utf8(head).unwrap();
        let length = header(&request, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.io.read_exact(&mut body).await.ok()?;
        request.push_str(&String::from_utf8(body).unwrap());
        Some(request)
    }
}

/// A server that follows this script on each connection.
pub async fn always(script: impl Fn() -> Script + Send + Sync + 'static) -> testing::Server {
    serve(Plan::each(move |_, _| script())).await
}

/// A server that answers each connection with an open stream and `events`, and leaves it open.
pub async fn staying(events: impl Into<Bytes>) -> testing::Server {
    let events = events.into();
    always(move || Script::open().bytes(events.clone())).await
}

/// A server that answers each connection with the events after its last event ID, a number, and
/// leaves it open.
pub async fn resuming(events: impl Fn(u64) -> String + Send + Sync + 'static) -> testing::Server {
    serve(Plan::each(move |_, request| {
        let after = request.headers().get("last-event-id").map_or(0, |id| id.to_str().unwrap().parse().unwrap());
        Script::open().bytes(events(after))
    }))
    .await
}

/// An answer without a body.
pub fn status(status: u16) -> Script {
    Script::answer(StatusCode::from_u16(status).unwrap())
}

/// The value of a header in each request.
pub fn headers(server: &testing::Server, name: &str) -> Vec<Option<String>> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    server.requests().iter().map(|request| request.headers().get(name).map(text)).collect()
}

/// Awaits a future. A test that would hang fails instead.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("this should have come to an end")
}

/// A future that ends with the next notification, for `Script::wait_for`.
pub fn notified(told: &Arc<Notify>) -> impl Future<Output = ()> + Send + use<> {
    let told = Arc::clone(told);
    async move { told.notified().await }
}

/// Waits until `condition` holds, and yields to other tasks in between.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Runs one test of this binary, with its module, in a process of its own that has these variables.
/// Fails if the test does, or if there is no such test.
pub async fn in_own_process(test: &str, variables: &[(&str, &str)]) {
    let mut process = tokio::process::Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", test, "--nocapture"]).envs(variables.iter().copied()).kill_on_drop(true);
    let output = within(process.output()).await.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let has_run = output.status.success() && shown.contains("1 passed");
    assert!(has_run, "{shown}{}", String::from_utf8_lossy(&output.stderr));
}

/// A stream that reconnects at once.
pub fn stream(url: &str) -> StreamBuilder {
    client().stream(url).reconnection_time(Duration::from_millis(1))
}

/// A connected handle, and a subscription to all events that was made before it connected.
pub fn follow(stream: StreamBuilder) -> (Handle, Subscription) {
    let handle = stream.build().unwrap();
    let subscription = handle.subscribe(Filter::all());
    handle.connect();
    (handle, subscription)
}

/// Opens a stream with all defaults.
pub async fn open(client: ClientBuilder, url: &str) -> Result<Subscription, Error> {
    within(client.build().stream(url).open(Filter::all())).await
}

/// Events whose data is their ID.
pub fn numbered(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().map(|id| format!("id: {id}\ndata: {id}\n\n")).collect()
}

/// The next delivery, which must be an event.
pub async fn next_event(subscription: &mut Subscription) -> Event {
    match within(subscription.recv()).await {
        Some(Delivery::Event(event)) => event,
        other => panic!("{other:?}"),
    }
}

/// Waits until the stream is about to retry, and returns the cause.
pub async fn setback(states: &mut StateChanges) -> Error {
    loop {
        if let State::Waiting { cause, .. } = within(states.recv()).await.expect("the stream goes on") {
            return cause;
        }
    }
}

/// The next delivery as text: the data, or the gap.
pub async fn short(subscription: &mut Subscription) -> String {
    match within(subscription.recv()).await.expect("the stream goes on") {
        Delivery::Event(event) => event.data().to_owned(),
        Delivery::Gap(Gap::Reconnected { sent, .. }) => format!("reconnected after {sent:?}"),
        Delivery::Gap(Gap::Oversized { id, events, .. }) => format!("{events} oversized, {id:?}"),
        Delivery::Gap(gap) => panic!("{gap}"),
    }
}
