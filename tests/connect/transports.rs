//! A transport of the caller's own: what it is asked, and what follows when it misbehaves. All in
//! memory, in paused time.

use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use sseclient::{Client, CloseReason, Error, ErrorKind, Filter, StreamBuilder, Subscription, Transport};
use tokio::time::Instant;

use crate::support::{follow, numbered, setback, short};

const URL: &str = "https://server.invalid/stream?q=1";
const SECOND: Duration = Duration::from_secs(1);

/// The frames of a body, and what follows them.
struct Frames<D = Bytes> {
    frames: Vec<D>,
    end: End,
    /// Counts the bodies that are not dropped yet.
    alive: Arc<AtomicUsize>,
}

/// What a body does after its frames.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Ends,
    Fails,
    Stays,
    RepeatsEmptyFrames,
    RepeatsAnEvent,
}

impl<D: Buf + Default + From<&'static str> + Unpin> Body for Frames<D> {
    type Data = D;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<D>, io::Error>>> {
        if !self.frames.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.frames.remove(0)))));
        }
        match self.end {
            End::Ends => Poll::Ready(None),
            End::Fails => Poll::Ready(Some(Err(io::Error::other("the line is cut")))),
            End::Stays => Poll::Pending,
            End::RepeatsEmptyFrames => Poll::Ready(Some(Ok(Frame::data(D::default())))),
            End::RepeatsAnEvent => Poll::Ready(Some(Ok(Frame::data("data: again\n\n".into())))),
        }
    }
}

impl<D> Drop for Frames<D> {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response with this body, which counts itself.
fn response(events: impl Into<String>, end: End, alive: &Arc<AtomicUsize>) -> Response<Frames> {
    alive.fetch_add(1, Ordering::Relaxed);
    let frames = Frames { frames: vec![Bytes::from(events.into())], end, alive: Arc::clone(alive) };
    Response::builder().header("content-type", "text/event-stream").body(frames).unwrap()
}

/// A transport whose responses each bring the events, and end in this way.
fn answering(events: &str, end: End, alive: &Arc<AtomicUsize>) -> impl Transport + use<> {
    let (events, alive) = (events.to_owned(), Arc::clone(alive));
    move |_: Request<Bytes>| std::future::ready(Ok::<_, Infallible>(response(&*events, end, &alive)))
}

fn stream(transport: impl Transport) -> StreamBuilder {
    Client::builder().transport(transport).build().stream(URL)
}

/// Opens a stream, which must fail.
async fn refused(transport: impl Transport) -> Error {
    stream(transport).open(Filter::all()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_transport_gets_the_whole_request_and_the_stream_resumes_through_it() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    let alive = Arc::default();
    let transport = move |request: Request<Bytes>| {
        requests.lock().unwrap().push(request);
        std::future::ready(Ok::<_, Infallible>(response(numbered([1, 2]), End::Ends, &alive)))
    };
    let url = URL.replace("https://", "https://user:secret@");
    let client = Client::builder().transport(transport).build();
    let (_handle, mut events) = follow(
        client.stream(url).header("x-key", "k").body("{}").reconnect_policy(sseclient::ReconnectPolicy::daemon()),
    );
    for expected in ["1", "2", "reconnected after Some(\"2\")"] {
        assert_eq!(short(&mut events).await, expected);
    }
    let seen = seen.lock().unwrap();
    let [first, second] = &seen[..] else { panic!("{} requests", seen.len()) };
    assert_eq!((first.method().as_str(), first.uri().to_string().as_str()), ("POST", URL));
    assert_eq!(first.body(), "{}");
    let header =
        |request: &Request<Bytes>, name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header(first, "authorization").as_deref(), Some("Basic dXNlcjpzZWNyZXQ="));
    assert_eq!(header(first, "accept").as_deref(), Some("text/event-stream"));
    assert_eq!(header(first, "x-key").as_deref(), Some("k"));
    assert_eq!((header(first, "host"), header(first, "last-event-id")), (None, None));
    assert_eq!(header(second, "last-event-id").as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn errors_of_a_transport_are_retried_and_keep_their_source_or_their_kind() {
    let error = refused(|_: Request<Bytes>| async { Err::<Response<Full<Bytes>>, _>("no route") }).await;
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::Transport, false));
    assert_eq!(error.source().unwrap().to_string(), "no route");
    assert!(error.to_string().contains("server.invalid") && !error.to_string().contains("q=1"), "{error}");
    let error = refused(|_: Request<Bytes>| async {
        Err::<Response<Full<Bytes>>, _>(Error::new(ErrorKind::Dns, "no such name"))
    })
    .await;
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Dns, "no such name"));
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_never_answers_has_both_timeouts_and_is_dropped() {
    struct Sending(Arc<AtomicUsize>);
    impl Drop for Sending {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dropped);
    let hanging = move |_: Request<Bytes>| {
        let sending = Sending(Arc::clone(&counted));
        async move {
            let _sending = sending;
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        }
    };
    let begun = Instant::now();
    let opening = stream(hanging).connect_timeout(3 * SECOND).response_timeout(20 * SECOND).open(Filter::all());
    assert_eq!(opening.await.unwrap_err().kind(), ErrorKind::ResponseTimeout);
    assert_eq!((begun.elapsed().as_secs(), dropped.load(Ordering::Relaxed)), (23, 1));
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_panics_closes_the_stream_with_the_text_of_the_panic() {
    let panicking = |_: Request<Bytes>| async {
        if true {
            panic!("out of order");
        }
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    };
    let (handle, _events) = follow(stream(panicking));
    let CloseReason::Failed(error) = handle.closed().await else { panic!("it failed") };
    assert_eq!(error.kind(), ErrorKind::TaskFailed);
    assert!(error.to_string().contains("out of order"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_or_ends_is_read_up_to_there_and_followed_by_another() {
    for (end, kind) in [(End::Fails, ErrorKind::Body), (End::Ends, ErrorKind::EndOfStream)] {
        let alive = Arc::default();
        let (handle, mut events) = follow(stream(answering(&numbered([1]), end, &alive)));
        let mut states = handle.state_changes();
        assert_eq!(short(&mut events).await, "1");
        assert_eq!(setback(&mut states).await.kind(), kind, "{end:?}");
        assert_eq!(short(&mut events).await, "reconnected after Some(\"1\")");
        handle.shutdown().await;
        assert_eq!(alive.load(Ordering::Relaxed), 0, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_dropped_at_once_when_the_stream_is_shut_down() {
    for end in [End::Stays, End::RepeatsEmptyFrames, End::RepeatsAnEvent] {
        let alive = Arc::default();
        let (handle, mut events) = follow(stream(answering(&numbered([1]), end, &alive)));
        assert_eq!(short(&mut events).await, "1");
        let begun = Instant::now();
        handle.shutdown().await;
        assert_eq!((begun.elapsed(), alive.load(Ordering::Relaxed)), (Duration::ZERO, 0), "{end:?}");
    }
}

#[tokio::test]
async fn frames_without_bytes_do_not_end_a_silence() {
    for end in [End::Stays, End::RepeatsEmptyFrames] {
        let alive = Arc::default();
        let stream = stream(answering(&numbered([1]), end, &alive)).idle_timeout(Duration::from_millis(50));
        let (handle, mut events) = follow(stream);
        let mut states = handle.state_changes();
        assert_eq!(short(&mut events).await, "1");
        assert_eq!(setback(&mut states).await.kind(), ErrorKind::IdleTimeout, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_faster_than_its_reader_waits_for_it() {
    let alive = Arc::default();
    let mut events = stream(answering("", End::RepeatsAnEvent, &alive)).capacity(16).open(Filter::all()).await.unwrap();
    let handle = events.handle();
    tokio::time::sleep(3600 * SECOND).await;
    let stats = handle.stats();
    assert!(stats.events <= 64 + 16, "{stats:?}");
    for _event in 0..1000 {
        assert_eq!(short(&mut events).await, "again");
    }
    assert_eq!(events.missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn buffers_of_any_kind_are_read() {
    let transport = |_: Request<Bytes>| {
        let chain = || Bytes::from("data: o").chain(Bytes::from("ne\n\n"));
        let body = http_body_util::StreamBody::new(tokio_stream::iter([Ok::<_, Infallible>(Frame::data(chain()))]));
        std::future::ready(Response::builder().header("content-type", "text/event-stream").body(body))
    };
    let mut events: Subscription = stream(transport).open(Filter::all()).await.unwrap();
    assert_eq!(short(&mut events).await, "one");
}

#[tokio::test(start_paused = true)]
async fn responses_are_judged_and_redirects_followed_as_without_a_transport() {
    let transport = |request: Request<Bytes>| {
        let builder = Response::builder();
        let response = match request.uri().path() {
            "/stream" => builder.status(307).header("location", "/html"),
            "/html" => builder.header("content-type", "text/html"),
            path => panic!("{path}"),
        };
        std::future::ready(response.body(Full::new(Bytes::from("<p>"))))
    };
    let error = refused(transport).await;
    assert_eq!((error.kind(), error.body().unwrap().as_ref()), (ErrorKind::ContentType, &b"<p>"[..]));
    assert_eq!(error.url().unwrap(), "https://server.invalid/html");
}

#[tokio::test]
async fn settings_of_the_built_in_transport_beside_another_are_a_mistake_that_names_both() {
    let alive = Arc::default();
    let builder = || Client::builder().transport(answering("", End::Stays, &alive));
    let clients = [
        (builder().no_proxy(), "no_proxy"),
        (builder().proxy("http://proxy.invalid").unwrap(), "proxy"),
        (builder().tcp_nodelay(false), "tcp_nodelay"),
        (builder().connector(|_| async { Err::<tokio::net::TcpStream, _>("unused") }), "connector"),
        (builder().resolver(|_| async { Ok::<_, Infallible>(Vec::new()) }), "resolver"),
        #[cfg(feature = "tls")]
        (builder().danger_accept_invalid_certificates(true), "danger_accept_invalid_certificates"),
    ];
    for (client, setting) in clients {
        let error = client.build().stream(URL).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        let message = error.to_string();
        assert!(message.starts_with(setting) && message.contains("transport has replaced"), "{message}");
    }
    assert!(builder().build().stream(URL).build().is_ok());
}
