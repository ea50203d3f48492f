//! The statements of the guide about settings of reqwest, each as a test.

use std::error::Error as _;
use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sseclient::bytes::Bytes;
use sseclient::http::{self, HeaderMap, HeaderValue, Request, Response};
use sseclient::{
    Client, ClientBuilder, CloseReason, Delivery, Error, ErrorKind, Filter, Handle, Overflow, State, StreamBuilder,
    SubscribeOptions, Subscription,
};
use tokio::sync::mpsc;

use crate::reqwest::dns::{Addrs, Name, Resolve, Resolving};
use crate::reqwest::redirect::Policy;
use crate::server::{OPEN, Server};
use crate::{READ_TIMEOUT_RUNS_WITHOUT_READING, reqwest};

/// Long enough for any test, and short enough to notice that one hangs.
const LIMIT: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(100);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("this should have come to an end")
}

/// A reqwest client that uses no proxy of the machine.
fn reqwest_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy()
}

/// A client over reqwest.
fn over(http: reqwest::ClientBuilder) -> ClientBuilder {
    let http = http.build().unwrap();
    Client::builder().transport(move |request: Request<Bytes>| {
        let sending = reqwest::Request::try_from(request).map(|request| http.execute(request));
        async { sending?.await.map(Response::<reqwest::Body>::from) }
    })
}

fn stream(http: reqwest::ClientBuilder, url: &str) -> StreamBuilder {
    over(http).build().stream(url).reconnection_time(Duration::from_millis(1))
}

fn follow(stream: StreamBuilder) -> (Handle, Subscription) {
    let handle = stream.build().unwrap();
    let events = handle.subscribe(Filter::all());
    handle.connect();
    (handle, events)
}

/// The data of the next event.
async fn data(events: &mut Subscription) -> String {
    loop {
        if let Delivery::Event(event) = within(events.recv()).await.expect("the stream goes on") {
            return event.data().to_owned();
        }
    }
}

/// Why the stream retries next.
async fn setback(handle: &Handle) -> Error {
    let mut states = handle.state_changes();
    loop {
        if let State::Waiting { cause, .. } = within(states.recv()).await.expect("the stream goes on") {
            return cause;
        }
    }
}

/// The error of reqwest beneath an error of a stream.
fn reqwests(error: &Error) -> &reqwest::Error {
    error.source().and_then(|source| source.downcast_ref()).unwrap_or_else(|| panic!("{error:?}"))
}

#[tokio::test]
async fn a_timeout_ends_a_healthy_response() {
    let server = Server::staying(format!("{OPEN}data: x\n\n")).await;
    let (handle, mut events) = follow(stream(reqwest_client().timeout(3 * SOON), &server.url));
    assert_eq!(data(&mut events).await, "x");
    let error = setback(&handle).await;
    assert_eq!((error.kind(), reqwests(&error).is_timeout()), (ErrorKind::Body, true));
    assert_eq!(data(&mut events).await, "x", "it reconnects");
}

#[tokio::test]
async fn a_read_timeout_is_a_body_error_and_an_idle_timeout_says_what_it_is() {
    let server = Server::staying(format!("{OPEN}data: x\n\n")).await;
    let (handle, _events) = follow(stream(reqwest_client().read_timeout(SOON), &server.url));
    let error = setback(&handle).await;
    assert_eq!((error.kind(), reqwests(&error).is_timeout()), (ErrorKind::Body, true));
    let (handle, _events) = follow(stream(reqwest_client(), &server.url).idle_timeout(SOON));
    assert_eq!(setback(&handle).await.kind(), ErrorKind::IdleTimeout);
}

#[tokio::test]
async fn a_read_timeout_limits_the_wait_for_the_head() {
    let server = Server::staying("").await;
    let error = within(stream(reqwest_client().read_timeout(SOON), &server.url).open("x")).await.unwrap_err();
    assert_eq!((error.kind(), reqwests(&error).is_timeout()), (ErrorKind::Transport, true));
}

/// The subscriber takes longer for an event than the timeout. All events are there already.
#[tokio::test]
async fn a_read_timeout_may_run_while_a_subscriber_is_slow() {
    let events: String = (0..1000).map(|number| format!("data: {number} {}\n\n", "x".repeat(1000))).collect();
    let server = Server::staying(format!("{OPEN}{events}")).await;
    let handle = stream(reqwest_client().read_timeout(SOON), &server.url).build().unwrap();
    let options = SubscribeOptions::default().overflow(Overflow::Block).capacity(16);
    let mut events = handle.subscribe_with(Filter::all(), options);
    handle.connect();
    data(&mut events).await;
    // Time is what this is about.
    tokio::time::sleep(3 * SOON).await;
    let mut read = 1;
    while read < 1000 && !matches!(within(events.recv()).await, Some(Delivery::Gap(_))) {
        read += 1;
    }
    assert_eq!(read < 1000, READ_TIMEOUT_RUNS_WITHOUT_READING, "{read} events came in one response");
}

/// Names that are never resolved.
struct Never;

impl Resolve for Never {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(std::future::pending::<Result<Addrs, _>>())
    }
}

#[tokio::test]
async fn a_connect_timeout_is_reqwests_own_and_without_it_the_streams_apply() {
    let client = || reqwest_client().dns_resolver(Arc::new(Never));
    let ask = |http| stream(http, "http://server.invalid/").connect_timeout(SOON).response_timeout(SOON);
    let error = within(ask(client().connect_timeout(SOON / 2)).open("x")).await.unwrap_err();
    assert_eq!((error.kind(), reqwests(&error).is_connect()), (ErrorKind::Transport, true));
    let error = within(ask(client()).open("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
}

#[tokio::test]
async fn redirects_that_reqwest_follows_take_secrets_along() {
    for (policy, secret, has_referer, opened_at_the_end) in
        [(Policy::default(), Some("k"), true, false), (Policy::none(), None, false, true)]
    {
        let end = Server::staying(format!("{OPEN}data: x\n\n")).await;
        let start = Server::staying(format!("HTTP/1.1 307 Over\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", end.url));
        let asked = format!("{}?token=hunter2", start.await.url);
        let stream = stream(reqwest_client().redirect(policy), &asked).header("x-api-key", "k");
        let (handle, mut events) = follow(stream);
        assert_eq!(data(&mut events).await, "x");
        assert_eq!(end.headers("x-api-key")[0].as_deref(), secret);
        assert_eq!(end.headers("referer")[0].as_deref().is_some_and(|url| url.contains("hunter2")), has_referer);
        let State::Open { response, .. } = handle.state() else { panic!("{}", handle.state()) };
        assert_eq!(response.url() == &*end.url, opened_at_the_end);
    }
}

#[tokio::test]
async fn a_status_that_is_made_an_error_is_retried_for_ever() {
    let server = Server::staying("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n").await;
    let (handle, _events) = follow(stream(reqwest_client(), &server.url));
    let CloseReason::Failed(error) = within(handle.closed()).await else { panic!("it failed") };
    assert_eq!((error.status().unwrap().as_u16(), error.is_final()), (404, true));
    let http = reqwest_client().build().unwrap();
    let transport = move |request: Request<Bytes>| {
        let sending = reqwest::Request::try_from(request).map(|request| http.execute(request));
        async { sending?.await?.error_for_status().map(Response::<reqwest::Body>::from) }
    };
    let error = within(Client::builder().transport(transport).build().stream(&server.url).open("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.status(), error.is_final()), (ErrorKind::Transport, None, false));
}

/// Either side decodes, and each event is delivered before the next one is sent.
#[tokio::test]
async fn compressed_streams_are_decoded_by_reqwest_or_by_the_stream() {
    for (http, by_the_stream, expected) in [
        (reqwest_client(), false, Some("gzip")),
        (reqwest_client(), true, Some("gzip")),
        (reqwest_client().no_gzip(), true, Some("gzip")),
        (reqwest_client().no_gzip(), false, None),
    ] {
        let (sender, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let server = Server::start(move |mut connection| {
            let receiver = Arc::clone(&receiver);
            async move {
                connection.request().await;
                while let Some(bytes) = receiver.lock().await.recv().await {
                    connection.send(&bytes).await;
                }
            }
        })
        .await;
        let (handle, mut events) = follow(stream(http, &server.url).compression(by_the_stream));
        let coding = if expected.is_some() { "\r\ncontent-encoding: gzip\r\n\r\n" } else { "\r\n\r\n" };
        sender.send(OPEN.replace("\r\n\r\n", coding).into_bytes()).unwrap();
        within(handle.opened()).await.unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for number in 0..20 {
            let event = format!("data: {number}\n\n").into_bytes();
            sender
                .send(match expected {
                    None => event,
                    Some(_) => {
                        encoder.write_all(&event).unwrap();
                        encoder.flush().unwrap();
                        std::mem::take(encoder.get_mut())
                    }
                })
                .unwrap();
            assert_eq!(data(&mut events).await, number.to_string());
        }
        assert_eq!(server.headers("accept-encoding")[0].as_deref(), expected);
        let State::Open { response, .. } = handle.state() else { panic!("{}", handle.state()) };
        assert!(!response.headers().contains_key("content-encoding"));
        // Without gzip's trailer.
        drop(sender);
        let expected = if expected.is_some() { ErrorKind::Body } else { ErrorKind::EndOfStream };
        assert_eq!(setback(&handle).await.kind(), expected);
    }
}

#[tokio::test]
async fn reqwests_headers_are_added_and_replace_none() {
    let server = Server::staying(OPEN).await;
    let headers = [("x-own", "1"), ("accept", "*/*"), ("user-agent", "relay")].map(|(name, value)| {
        let name: http::HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_static(value))
    });
    let http = reqwest_client().default_headers(HeaderMap::from_iter(headers));
    let (handle, _events) = follow(stream(http, &server.url));
    within(handle.opened()).await.unwrap();
    assert_eq!(server.headers("x-own")[0].as_deref(), Some("1"));
    assert_eq!(server.headers("accept")[0].as_deref(), Some("text/event-stream"));
    assert!(server.headers("user-agent")[0].as_deref().unwrap().starts_with("sseclient/"));
}

#[tokio::test]
async fn a_cookie_of_reqwests_store_is_sent_and_one_of_the_stream_replaces_it() {
    let answer = OPEN.replace("\r\n\r\n", "\r\nset-cookie: route=a\r\n\r\n");
    for (own, expected) in [(None, Some("route=a")), (Some("own"), Some("own=1"))] {
        let server = Server::staying(&*answer).await;
        let mut stream = stream(reqwest_client().cookie_store(true), &server.url);
        if let Some(name) = own {
            stream = stream.cookie(name, "1");
        }
        let (handle, _events) = follow(stream);
        within(handle.opened()).await.unwrap();
        handle.reconnect();
        within(async {
            while server.requests().len() < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(server.headers("cookie")[1].as_deref(), expected);
    }
}

#[tokio::test]
async fn refusals_leave_their_connection_to_the_next_attempt_and_dropped_responses_close_it() {
    let (closed, mut closes) = mpsc::unbounded_channel();
    let server = Server::start(move |mut connection| {
        let closed = closed.clone();
        async move {
            connection.request().await;
            connection.send(b"HTTP/1.1 503 Later\r\ncontent-length: 5\r\n\r\nlater").await;
            connection.request().await;
            connection.send(format!("{OPEN}data: on the same connection\n\n").as_bytes()).await;
            closed.send(connection.request().await).unwrap();
        }
    })
    .await;
    let (handle, mut events) = follow(stream(reqwest_client(), &server.url));
    assert_eq!(data(&mut events).await, "on the same connection");
    handle.shutdown().await;
    assert_eq!(within(closes.recv()).await, Some(false), "the client has closed");
}

#[tokio::test]
async fn https_without_tls_is_an_error_of_each_attempt() {
    let error = within(stream(reqwest_client(), "https://127.0.0.1:9/").open("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::Transport, false));
}
