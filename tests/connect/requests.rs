//! The parts of a request, which every attempt sends again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use sseclient::testing::{Plan, Script};
use sseclient::{Client, Delivery, ErrorKind, Filter, ReconnectPolicy, StreamBuilder};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpListener;

use crate::support::transport::client_builder;
use crate::support::{self, OPEN, RawServer, header, serve, stream, until, within};

/// The first two requests of a stream.
async fn two_requests(ask: impl FnOnce(StreamBuilder) -> StreamBuilder) -> Vec<Request<Bytes>> {
    let server = serve([Script::open().bytes("id: 7\ndata: x\n\n").end(), Script::open()]).await;
    let handle = ask(stream(server.url())).reconnect_policy(ReconnectPolicy::daemon()).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    while !matches!(within(events.recv()).await, Some(Delivery::Gap(_))) {}
    handle.shutdown().await;
    server.requests()
}

/// Method, path and query.
fn line(request: &Request<Bytes>) -> String {
    format!("{} {}", request.method(), request.uri())
}

/// The values of a header, joined.
fn values(request: &Request<Bytes>, name: &str) -> String {
    let values = request.headers().get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_method_and_a_body_are_sent_again_with_each_attempt() {
    let none: &[u8] = b"";
    for (method, sent, expected) in [
        (None, none, "GET"),
        (None, b"question", "POST"),
        (Some(Method::GET), b"question", "GET"),
        (Some(Method::PUT), b"question", "PUT"),
        (Some(Method::POST), none, "POST"),
        (Some(Method::from_bytes(b"REPORT").unwrap()), b"question", "REPORT"),
    ] {
        let requests = two_requests(|mut stream| {
            if !sent.is_empty() {
                stream = stream.body(sent);
            }
            if let Some(method) = method {
                stream = stream.method(method);
            }
            stream
        })
        .await;
        for (request, id) in requests.iter().zip([None, Some("7")]) {
            assert_eq!(line(request), format!("{expected} /stream"));
            assert_eq!(&request.body()[..], sent, "{expected}");
            assert_eq!(request.headers().get("last-event-id").map(|id| id.to_str().unwrap()), id, "{expected}");
        }
    }
}

#[tokio::test]
async fn a_method_without_a_response_body_is_an_error_at_build() {
    for method in [Method::HEAD, Method::CONNECT] {
        let error = stream("http://127.0.0.1/").method(method).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[tokio::test]
async fn a_form_and_a_query_are_encoded_and_headers_come_in_bulk() {
    let mut headers = HeaderMap::new();
    headers.append("x-many", "1".parse().unwrap());
    headers.append("x-many", "2".parse().unwrap());
    headers.append("x-one", "3".parse().unwrap());
    // Callers cannot choose how a body is delimited.
    headers.append("content-length", "1000".parse().unwrap());
    headers.append("transfer-encoding", "chunked".parse().unwrap());
    let requests =
        two_requests(|stream| stream.headers(headers).form([("a b", "1&2"), ("é", "")]).query("q", "x y")).await;
    for request in &requests {
        assert_eq!(
            (line(request).as_str(), &request.body()[..]),
            ("POST /stream?q=x%20y", &b"a%20b=1%262&%C3%A9="[..])
        );
        assert_eq!(values(request, "content-type"), "application/x-www-form-urlencoded");
        assert_eq!((values(request, "x-many"), values(request, "x-one")), ("1 2".into(), "3".into()));
        assert_eq!(values(request, "content-length"), "19");
        assert!(!request.headers().contains_key("transfer-encoding"));
    }
}

#[cfg(feature = "json")]
#[tokio::test]
async fn json_is_a_body_with_its_type_unless_another_was_set() {
    let question = std::collections::BTreeMap::from([("stream", true)]);
    let requests = two_requests(|stream| stream.json(&question)).await;
    assert!(requests.iter().all(|request| request.body() == r#"{"stream":true}"#));
    assert!(requests.iter().all(|request| values(request, "content-type") == "application/json"));
    let requests = two_requests(|stream| stream.header("content-type", "application/x-own").json(&question)).await;
    assert!(requests.iter().all(|request| values(request, "content-type") == "application/x-own"));
    // JSON cannot express a map whose keys are not strings.
    let error = stream("http://127.0.0.1/").json(&std::collections::BTreeMap::from([([1], 2)])).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn the_crate_names_itself_unless_the_caller_does() {
    let requests = two_requests(|stream| stream).await;
    let agent = values(&requests[0], "user-agent");
    assert!(agent.starts_with("sseclient/") && agent.len() > "sseclient/".len(), "{agent}");
    let requests = two_requests(|stream| stream.header("User-Agent", "relay/2")).await;
    assert_eq!(values(&requests[1], "user-agent"), "relay/2");
}

#[tokio::test]
async fn streams_start_with_the_clients_headers_and_may_change_them() {
    let headers = |pairs: &[(&'static str, &'static str)]| {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        pairs.fold(HeaderMap::new(), |mut headers, (name, value): (HeaderName, _)| {
            headers.append(name, value);
            headers
        })
    };
    // Each stream comes back once.
    let twice = |number, _: &_| if number % 2 == 1 { Script::open().end() } else { Script::open() };
    let server = serve(Plan::each(twice)).await;
    let defaults = headers(&[("x-a", "1"), ("x-a", "2"), ("user-agent", "relay/2"), ("authorization", "Basic x")]);
    let client = client_builder().default_headers(headers(&[("x-lost", "1")])).default_headers(defaults).build();
    let plain = server.url();
    let with_userinfo = plain.replace("http://", "http://user:secret@");
    for (url, own, removed, expected) in [
        (plain, &[][..], "", ["1 2", "relay/2", "Basic x", ""]),
        (plain, &[("x-a", "3"), ("x-a", "4"), ("x-own", "5")], "", ["3 4", "relay/2", "Basic x", "5"]),
        (plain, &[("authorization", "Bearer y")], "x-a", ["", "relay/2", "Bearer y", ""]),
        (&with_userinfo, &[], "user-agent", ["1 2", "sseclient", "Basic dXNlcjpzZWNyZXQ=", ""]),
    ] {
        let before = server.requests().len();
        let handle = client.stream(url).headers(headers(own)).reconnection_time(Duration::ZERO).build().unwrap();
        if !removed.is_empty() {
            handle.remove_header(removed).unwrap();
        }
        handle.connect();
        until("it comes back", || server.requests().len() > before + 1).await;
        handle.shutdown().await;
        for request in &server.requests()[before..] {
            for (name, expected) in ["x-a", "user-agent", "authorization", "x-own"].into_iter().zip(expected) {
                let sent = values(request, name);
                assert!(sent == expected || sent.starts_with("sseclient/") && expected == "sseclient", "{request:?}");
            }
            assert!(!request.headers().contains_key("x-lost"));
        }
    }
}

#[test]
fn default_headers_that_no_stream_can_have_are_an_error_at_build() {
    let mut many = HeaderMap::new();
    for _ in 0..1024 {
        many.append("x-many", "1".parse().unwrap());
    }
    let stream = |headers| Client::builder().default_headers(headers).build().stream("http://127.0.0.1/");
    assert!(stream(many.clone()).header("x-many", "2").build().is_ok());
    assert_eq!(stream(many.clone()).header("x-own", "2").build().unwrap_err().kind(), ErrorKind::InvalidHeader);
    many.append("x-many", "1".parse().unwrap());
    let id = HeaderMap::from_iter([(HeaderName::from_static("last-event-id"), "7".parse().unwrap())]);
    for headers in [many, id] {
        assert_eq!(stream(headers).build().unwrap_err().kind(), ErrorKind::InvalidHeader);
    }
}

/// A header that sets the last event ID is the same as `last_event_id`.
#[test]
fn a_last_event_id_that_is_a_header_is_one_id_that_can_be_sent() {
    let id = HeaderName::from_static("last-event-id");
    let mut two = HeaderMap::from_iter([(id.clone(), "1".parse().unwrap())]);
    two.append(&id, "2".parse().unwrap());
    let long = "x".repeat(8_001);
    let given = |value: &[u8]| HeaderMap::from_iter([(id.clone(), HeaderValue::from_bytes(value).unwrap())]);
    for headers in [two, given(long.as_bytes()), given(b"caf\xE9")] {
        let stream = Client::new().stream("http://127.0.0.1/").headers(headers);
        assert_eq!(stream.build().unwrap_err().kind(), ErrorKind::InvalidHeader);
    }
    let handle = Client::new().stream("http://127.0.0.1/").headers(given("café".as_bytes())).build().unwrap();
    assert_eq!(handle.last_event_id(), "café");
}

/// As with chat servers: one response, and dropping the subscription cancels the request.
#[tokio::test]
async fn a_subscription_to_one_response_cancels_the_request_when_it_is_dropped() {
    let (closed, mut hung_up) = tokio::sync::mpsc::channel(1);
    let server = RawServer::start(move |_, mut connection| {
        let closed = closed.clone();
        async move {
            connection.send(&format!("{OPEN}data: a token\n\n")).await;
            connection.closed().await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let asked = stream(&server.url).body("question").reconnect_policy(ReconnectPolicy::never());
    let mut answer = asked.open(Filter::all()).await.unwrap();
    let Some(Delivery::Event(token)) = within(answer.recv()).await else { panic!("a token") };
    assert_eq!(token.data(), "a token");
    drop(answer);
    within(hung_up.recv()).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

/// The body is larger than the socket buffers, so the response arrives while the client still
/// sends. The rest of the body follows.
#[tokio::test]
async fn events_arrive_before_the_whole_request_body_was_sent() {
    const QUESTION: usize = 32 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (go_on, told) = tokio::sync::oneshot::channel();
    let (tell, heard) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let mut tcp = listener.accept().await.unwrap().0;
        tcp.write_all(format!("{OPEN}data: early\n\n").as_bytes()).await.unwrap();
        told.await.unwrap();
        let mut request = vec![0; QUESTION];
        // These bytes begin with the request head.
        tcp.read_exact(&mut request).await.unwrap();
        tcp.write_all(b"data: late\n\n").await.unwrap();
        let mut rest = vec![0; 64 * 1024];
        let mut received = request.len();
        // The client must not half-close the connection: many servers take that for the end.
        while received < head_and_body(&request) {
            let more = tcp.read(&mut rest).await.unwrap();
            assert!(more > 0);
            received += more;
        }
        tcp.write_all(b"data: last\n\n").await.unwrap();
        heard.await.unwrap();
        assert_eq!(tcp.try_read(&mut rest).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
    let handle = stream(&url).body(vec![b'?'; QUESTION]).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    assert_eq!(support::short(&mut events).await, "early");
    go_on.send(()).unwrap();
    assert_eq!(support::short(&mut events).await, "late");
    assert_eq!(support::short(&mut events).await, "last");
    tell.send(()).unwrap();
    within(server).await.unwrap();
    handle.shutdown().await;
}

fn head_and_body(request: &[u8]) -> usize {
    let head = request.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let length = header(&String::from_utf8_lossy(&request[..head]), "content-length").unwrap();
    head + length.parse::<usize>().unwrap()
}

/// A connection that always has something to read once it has received something. It accepts 1,000
/// bytes, then makes the writer wait.
struct Talking {
    head: &'static [u8],
    sent: Arc<AtomicUsize>,
    pauses: bool,
}

impl AsyncRead for Talking {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.sent.load(Ordering::Relaxed) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let text = match std::mem::take(&mut self.head) {
            b"" => b"data: and so on\n\n",
            head => head,
        };
        buffer.put_slice(text);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pauses = !self.pauses;
        if self.pauses {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let taken = bytes.len().min(1_000);
        self.sent.fetch_add(taken, Ordering::Relaxed);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_body_is_sent_to_its_end_to_a_server_that_never_stops_talking() {
    const QUESTION: usize = 1_000_000;
    let sent = Arc::new(AtomicUsize::new(0));
    let connector = {
        let sent = Arc::clone(&sent);
        move |_| {
            let talking = Talking { head: OPEN.as_bytes(), sent: Arc::clone(&sent), pauses: false };
            std::future::ready(Ok::<_, io::Error>(talking))
        }
    };
    let stream = Client::builder().connector(connector).build().stream("http://talking.invalid/");
    let handle = stream.body(vec![b'?'; QUESTION]).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    let mut heard = 0;
    while sent.load(Ordering::Relaxed) < QUESTION {
        assert_eq!(support::short(&mut events).await, "and so on");
        heard += 1;
        assert!(heard < 100_000, "of {QUESTION} bytes {} were sent", sent.load(Ordering::Relaxed));
    }
    handle.shutdown().await;
}
