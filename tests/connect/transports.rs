//! A transport of the caller's own: what it is asked, and what follows when it misbehaves. All in
//! memory, most in paused time.

use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream as futures};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
#[cfg(feature = "tls")]
use sseclient::ClientBuilder;
use sseclient::{
    Client, CloseReason, Delivery, Error, ErrorKind, Filter, Resume, StreamBuilder, Subscription, Transport,
};
use tokio::time::Instant;

use crate::support::{follow, numbered, setback, short, until, within};

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
    Panics,
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
            End::Panics => panic!("out of order"),
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

/// Counts the requests that wait for an answer.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(waiting))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A transport that never answers.
fn hanging(waiting: &Arc<AtomicUsize>) -> impl Transport + use<> {
    let waiting = Arc::clone(waiting);
    move |_: Request<Bytes>| {
        let request = Waiting::new(&waiting);
        async move {
            let _request = request;
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_never_answers_has_both_timeouts_and_is_dropped() {
    let waiting = Arc::default();
    let stream = stream(hanging(&waiting)).connect_timeout(3 * SECOND).response_timeout(20 * SECOND);
    let begun = Instant::now();
    let error = stream.open(Filter::all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
    assert_eq!((begun.elapsed().as_secs(), waiting.load(Ordering::Relaxed)), (23, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_response_timeout_a_transport_may_take_any_time_to_connect() {
    let waiting = Arc::default();
    let stream = stream(hanging(&waiting)).connect_timeout(3 * SECOND).response_timeout(None);
    let opening = tokio::time::timeout(24 * 3600 * SECOND, stream.open(Filter::all()));
    assert!(opening.await.is_err(), "it is open, or has failed");
}

#[tokio::test]
async fn a_request_that_hangs_is_dropped_at_once_for_another_one_and_by_shutdown() {
    let waiting = Arc::default();
    let (handle, _events) = follow(stream(hanging(&waiting)));
    let counts = || (waiting.load(Ordering::Relaxed), handle.stats().attempts);
    until("the request is sent", || counts() == (1, 1)).await;
    // The attempt under way counts as the new response.
    handle.reconnect();
    for _turn in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(counts(), (1, 1));
    handle.reconnect_from(Resume::Id("7".to_owned())).unwrap();
    until("another request is sent, and the first one dropped", || counts() == (1, 2)).await;
    let begun = std::time::Instant::now();
    within(handle.shutdown()).await;
    assert_eq!(waiting.load(Ordering::Relaxed), 0);
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_transport_or_its_body_closes_the_stream_with_its_text() {
    type Answer = Result<Response<Full<Bytes>>, Infallible>;
    fn out_of_order() -> Answer {
        panic!("out of order")
    }
    let alive = Arc::default();
    let streams = [
        stream(|_: Request<Bytes>| std::future::ready(out_of_order())),
        stream(|_: Request<Bytes>| async { out_of_order() }),
        stream(answering(&numbered([1]), End::Panics, &alive)),
    ];
    for (place, stream) in ["the call", "the future", "the body"].into_iter().zip(streams) {
        let (handle, mut events) = follow(stream);
        let CloseReason::Failed(error) = handle.closed().await else { panic!("{place}: it failed") };
        let before = events.recv().await.and_then(Delivery::event);
        assert_eq!(before.is_some(), place == "the body", "{place}: what came before the panic is delivered");
        assert_eq!(error.kind(), ErrorKind::TaskFailed, "{place}");
        assert!(error.to_string().contains("out of order"), "{place}: {error}");
    }
    assert_eq!(alive.load(Ordering::Relaxed), 0);
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
async fn a_body_that_fails_with_an_error_of_this_crate_keeps_its_kind() {
    for (kind, is_final) in [(ErrorKind::IdleTimeout, false), (ErrorKind::Unsupported, true)] {
        let transport = move |_: Request<Bytes>| {
            let frames = [Ok(Frame::data(Bytes::from("data: one\n\n"))), Err(Error::new(kind, "as it came"))];
            let body = StreamBody::new(tokio_stream::iter(frames));
            std::future::ready(Response::builder().header("content-type", "text/event-stream").body(body))
        };
        let (handle, mut events) = follow(stream(transport));
        let mut states = handle.state_changes();
        assert_eq!(short(&mut events).await, "one");
        if is_final {
            let reason = within(handle.closed()).await;
            assert_eq!(
                reason.error().map(|error| (error.kind(), error.to_string())),
                Some((kind, "as it came".into()))
            );
        } else {
            assert_eq!(setback(&mut states).await.kind(), kind);
        }
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

#[tokio::test(start_paused = true)]
async fn a_body_is_dropped_when_the_stream_reconnects() {
    for end in [End::Stays, End::RepeatsEmptyFrames, End::RepeatsAnEvent] {
        let alive = Arc::default();
        let (handle, mut events) = follow(stream(answering(&numbered([1]), end, &alive)).capacity(16));
        assert_eq!(short(&mut events).await, "1");
        handle.reconnect();
        while short(&mut events).await != "reconnected after Some(\"1\")" {}
        assert_eq!((alive.load(Ordering::Relaxed), handle.stats().opens), (1, 2), "{end:?}");
        handle.shutdown().await;
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
async fn an_event_that_comes_as_the_silence_is_judged_is_delivered() {
    // Around the last look at the body: 10 s, and twice 20 ms.
    for delay in 10_030..10_045 {
        let transport = move |_: Request<Bytes>| {
            let event = async move {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                Ok::<_, Infallible>(Frame::data(Bytes::from(numbered([1]))))
            };
            let body = StreamBody::new(futures::once(Box::pin(event)).chain(futures::pending()));
            std::future::ready(Response::builder().header("content-type", "text/event-stream").body(body))
        };
        let (_handle, mut events) = follow(stream(transport).idle_timeout(10 * SECOND));
        let first = short(&mut events).await;
        assert_eq!(first == "1", delay <= 10_040, "{delay} ms: {first}");
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
        let body = StreamBody::new(tokio_stream::iter([Ok::<_, Infallible>(Frame::data(chain()))]));
        std::future::ready(Response::builder().header("content-type", "text/event-stream").body(body))
    };
    let mut events: Subscription = stream(transport).open(Filter::all()).await.unwrap();
    assert_eq!(short(&mut events).await, "one");
}

/// Not what HTTP allows, but what a body of the caller's own may do.
#[tokio::test(start_paused = true)]
async fn trailers_are_skipped_and_end_nothing() {
    let transport = |_: Request<Bytes>| {
        let data = |text: &'static str| Ok(Frame::data(Bytes::from(text)));
        let trailers = Ok(Frame::trailers(http::HeaderMap::new()));
        let frames = [data("data: on"), trailers, data("e\n\n"), Err(io::Error::other("the line is cut"))];
        let body = StreamBody::new(tokio_stream::iter(frames));
        std::future::ready(Response::builder().header("content-type", "text/event-stream").body(body))
    };
    let (handle, mut events) = follow(stream(transport));
    let mut states = handle.state_changes();
    assert_eq!(short(&mut events).await, "one");
    assert_eq!(setback(&mut states).await.kind(), ErrorKind::Body);
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

#[tokio::test(start_paused = true)]
async fn a_body_that_is_no_event_stream_brings_no_events() {
    let page = "<!doctype html>\n<title>data: x</title>\n\n<p>\n\n";
    let zipped = "\u{1f}\u{8b}\u{8}\0data: x\n\n\0";
    let coding = if cfg!(feature = "gzip") { ErrorKind::Body } else { ErrorKind::ContentEncoding };
    for (body, encoding, kind) in [
        (page, "identity", ErrorKind::EndOfStream),
        (zipped, "identity", ErrorKind::EndOfStream),
        (page, "gzip", coding),
    ] {
        let transport = move |_: Request<Bytes>| {
            let head = Response::builder().header("content-type", "text/event-stream");
            std::future::ready(head.header("content-encoding", encoding).body(Full::new(Bytes::from(body))))
        };
        let handle = stream(transport).build().unwrap();
        let mut states = handle.state_changes();
        handle.connect();
        let error = match kind {
            // Final: no later response will have another coding.
            ErrorKind::ContentEncoding => handle.closed().await.into_result().unwrap_err(),
            _ => setback(&mut states).await,
        };
        assert_eq!(error.kind(), kind, "{encoding} {body:?}");
        assert_eq!(handle.stats().events, 0, "{encoding} {body:?}");
    }
}

#[tokio::test]
async fn settings_of_the_built_in_transport_beside_another_are_a_mistake_that_names_both() {
    let alive = Arc::default();
    let builder = || Client::builder().transport(answering("", End::Stays, &alive));
    let clients = [
        (builder().no_proxy(), "no_proxy"),
        (builder().proxy("http://proxy.invalid").unwrap(), "proxy"),
        #[cfg(unix)]
        (builder().unix_socket("/invalid"), "unix_socket"),
        (builder().connector(|_| async { Err::<tokio::net::TcpStream, _>("unused") }), "connector"),
        (builder().resolver(|_| async { Ok::<_, Infallible>(Vec::new()) }), "resolver"),
        (builder().local_address([127, 0, 0, 1].into()), "local_address"),
        (builder().tcp_nodelay(false), "tcp_nodelay"),
        (builder().tcp_keepalive(None), "tcp_keepalive"),
        (builder().happy_eyeballs_timeout(None), "happy_eyeballs_timeout"),
        #[cfg(feature = "http2")]
        (builder().http2_prior_knowledge(true), "http2_prior_knowledge"),
    ];
    #[cfg(feature = "tls")]
    let clients = clients.into_iter().chain(tls_settings(builder));
    for (client, setting) in clients {
        let error = client.build().stream(URL).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        let message = error.to_string();
        assert!(message.starts_with(setting) && message.contains("transport has replaced"), "{message}");
    }
    assert!(builder().build().stream(URL).build().is_ok());
}

/// Returns a client for each setting of TLS, with the setting's name.
#[cfg(feature = "tls")]
fn tls_settings(builder: impl Fn() -> ClientBuilder) -> Vec<(ClientBuilder, &'static str)> {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([]).unwrap().self_signed(&key).unwrap().pem();
    let (certificate, key) = (certificate.as_bytes(), key.serialize_pem());
    vec![
        (builder().root_certificates_pem(certificate).unwrap(), "root_certificates_pem"),
        (builder().add_root_certificates_pem(certificate).unwrap(), "add_root_certificates_pem"),
        (builder().identity_pem(certificate, key.as_bytes()).unwrap(), "identity_pem"),
        (builder().minimum_tls_version(sseclient::TlsVersion::Tls13), "minimum_tls_version"),
        (builder().danger_accept_invalid_certificates(true), "danger_accept_invalid_certificates"),
        #[cfg(feature = "webpki-roots")]
        (builder().webpki_roots(), "webpki_roots"),
        #[cfg(feature = "rustls-0_23")]
        (builder().rustls_0_23_config(own_tls()), "rustls_0_23_config"),
    ]
}

#[cfg(feature = "rustls-0_23")]
fn own_tls() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}
