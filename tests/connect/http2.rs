//! HTTP/2: shared connections, and servers that misbehave.
#![cfg(feature = "http2")]

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
#[cfg(feature = "tls")]
use http::Version;
use http::{HeaderMap, Method, Request, Response};
use sseclient::{Client, Delivery, ErrorKind, Filter, Handle, ReconnectPolicy, State, StreamBuilder, Subscription};
use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(feature = "tls")]
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

#[cfg(feature = "tls")]
use crate::site;
use crate::support::{self, setback, within};

/// A server of HTTP/2 in clear that hands each request to a script.
struct Server {
    url: String,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    requests: Arc<Mutex<Vec<HeaderMap>>>,
    task: JoinHandle<()>,
}

/// A request as the server sees it.
struct Asked {
    request: Request<RecvStream>,
    response: SendResponse<Bytes>,
}

impl Asked {
    /// Answers with an open event stream.
    fn open(&mut self) -> SendStream<Bytes> {
        let response = Response::builder().header("content-type", "text/event-stream").body(()).unwrap();
        self.response.send_response(response, false).unwrap()
    }

    fn last_event_id(&self) -> u64 {
        let id = self.request.headers().get("last-event-id");
        id.and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok()).unwrap_or(0)
    }
}

impl Server {
    async fn start<F, Fut>(most_streams: u32, script: F) -> Self
    where
        F: Fn(Asked) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/stream", listener.local_addr().unwrap());
        let (connections, requests) = (Arc::<Mutex<Vec<AbortHandle>>>::default(), Arc::default());
        let (accepted, seen) = (Arc::clone(&connections), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let mut accepted = accepted.lock().unwrap();
                let serving = serve(tcp, most_streams, Arc::clone(&seen), script.clone());
                accepted.push(tokio::spawn(serving).abort_handle());
            }
        });
        Self { url, connections, requests, task }
    }

    fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<I, F, Fut>(io: I, most_streams: u32, seen: Arc<Mutex<Vec<HeaderMap>>>, script: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Asked) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut server = h2::server::Builder::new().max_concurrent_streams(most_streams).handshake(io).await.unwrap();
    while let Some(Ok((request, response))) = server.accept().await {
        seen.lock().unwrap().push(request.headers().clone());
        tokio::spawn(script(Asked { request, response }));
    }
}

fn client() -> Client {
    Client::builder().http2_prior_knowledge(true).build()
}

fn stream(client: &Client, url: &str) -> StreamBuilder {
    client.stream(url).reconnection_time(Duration::from_millis(10))
}

fn event(id: u64) -> Bytes {
    format!("id: {id}\ndata: {id}\n\n").into()
}

/// Sends data, even if the client grants only a small window.
async fn send(body: &mut SendStream<Bytes>, data: Bytes) -> bool {
    body.send_data(data, false).is_ok()
}

/// A server that sends the event after the last event ID and keeps the response open.
async fn one_at_a_time(most_streams: u32) -> Server {
    Server::start(most_streams, |mut asked| async move {
        let mut body = asked.open();
        send(&mut body, event(asked.last_event_id() + 1)).await;
        std::future::pending::<()>().await;
    })
    .await
}

/// The data of the next event; gaps are skipped.
async fn next_data(events: &mut Subscription) -> String {
    loop {
        match within(events.recv()).await.expect("an event") {
            Delivery::Event(event) => return event.data().to_owned(),
            Delivery::Gap(_) => {}
        }
    }
}

async fn open_streams(client: &Client, url: &str, count: usize) -> Vec<(Handle, Subscription)> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let handle = stream(client, url).build().unwrap();
        let events = handle.subscribe(Filter::all());
        handle.connect();
        streams.push((handle, events));
    }
    for (handle, events) in &mut streams {
        within(handle.opened()).await.unwrap();
        assert_eq!(next_data(events).await, "1");
    }
    streams
}

#[tokio::test]
async fn a_response_head_may_have_five_hundred_fields() {
    let server = Server::start(1, |mut asked| async move {
        let mut response = Response::builder().header("content-type", "text/event-stream");
        for number in 0..500 {
            response = response.header(format!("x-{number}"), "y");
        }
        let mut body = asked.response.send_response(response.body(()).unwrap(), false).unwrap();
        send(&mut body, event(1)).await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut subscription = within(stream(&client(), &server.url).open(Filter::all())).await.unwrap();
    assert_eq!(next_data(&mut subscription).await, "1");
}

#[tokio::test]
async fn streams_of_a_client_share_a_connection_up_to_the_servers_limit() {
    for (most_streams, streams, connections) in [(100, 20, 1), (2, 5, 3), (1, 3, 3)] {
        let server = one_at_a_time(most_streams).await;
        let client = client();
        let streams = open_streams(&client, &server.url, streams).await;
        assert_eq!(server.connections(), connections, "{most_streams} allowed, {} open", streams.len());
        // Two clients share no connection.
        let _other = open_streams(&self::client(), &server.url, 1).await;
        assert_eq!(server.connections(), connections + 1);
    }
}

/// A request whose header begins or ends with whitespace is malformed (RFC 9113, section 8.2.1),
/// and some servers refuse it every time.
#[tokio::test]
async fn an_id_is_sent_without_its_outer_whitespace_and_a_blank_one_is_not() {
    for (id, sent) in [("5 ", Some("5")), (" \t5 6\t", Some("5 6")), (" ", None)] {
        let server = Server::start(100, move |mut asked| async move {
            let mut body = asked.open();
            body.send_data(format!("id: {id}\ndata: x\n\n").into(), true).unwrap();
        })
        .await;
        let handle = stream(&client(), &server.url).bearer_auth("token \t").header("x-empty", " ").build().unwrap();
        let mut events = handle.subscribe(Filter::all());
        handle.connect();
        assert_eq!(next_data(&mut events).await, "x");
        assert_eq!(handle.last_event_id(), id);
        let gap = loop {
            if let Some(Delivery::Gap(gap)) = within(events.recv()).await {
                break gap;
            }
        };
        assert_eq!(gap.is_loss(), sent.is_none(), "{gap}");
        let requests = server.requests.lock().unwrap();
        assert_eq!(requests[1].get("last-event-id").map(|id| id.to_str().unwrap()), sent);
        assert_eq!(requests[1]["authorization"], "Bearer token");
        assert_eq!(requests[1]["x-empty"], "");
    }
}

/// Waiting again for the server's settings would exceed the connect timeout each time.
#[tokio::test]
async fn a_server_of_one_stream_at_a_time_is_reached_within_the_connect_timeout() {
    let server = one_at_a_time(1).await;
    let handle = stream(&client(), &server.url).connect_timeout(Duration::from_millis(900)).build().unwrap();
    handle.connect();
    within(handle.opened()).await.unwrap();
    assert_eq!(server.connections(), 1);
}

/// The server chooses the protocol (RFC 7301), among those that it knows.
#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_behind_tls_chooses_http_2_and_its_streams_share_a_connection() {
    let authority = site::Authority::new("h2");
    for (protocols, version, connections) in
        [(vec![&b"h2"[..], b"http/1.1"], Version::HTTP_2, 1), (vec![b"http/1.1"], Version::HTTP_11, 2)]
    {
        let mut config = site::config(&authority.vouch("localhost"), site::BOTH, None);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/stream", listener.local_addr().unwrap().port());
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut tls = acceptor.accept(tcp).await.unwrap();
                if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                    tokio::spawn(serve(tls, 100, Arc::default(), |mut asked| async move {
                        let mut body = asked.open();
                        send(&mut body, event(1)).await;
                        std::future::pending::<()>().await;
                    }));
                } else {
                    tokio::spawn(async move {
                        let mut head = [0; 4096];
                        let _ = tls.read(&mut head).await;
                        let _ = tls.write_all(format!("{}data: 1\n\n", support::OPEN).as_bytes()).await;
                        let _ = tls.read(&mut head).await;
                    });
                }
            }
        });
        let client = site::trusting(&authority.pem()).build();
        let streams = open_streams(&client, &url, 2).await;
        for (handle, _) in &streams {
            let State::Open { response, .. } = handle.state() else { panic!("{:?}", handle.state()) };
            assert_eq!(response.version(), version);
        }
        assert_eq!(accepted.load(Ordering::SeqCst), connections);
    }
}

/// The driver task ends with the connection.
#[tokio::test]
async fn a_freed_place_is_reused_and_the_last_stream_ends_the_connection() {
    let server = one_at_a_time(2).await;
    let client = client();
    let mut streams = open_streams(&client, &server.url, 2).await;
    let (handle, events) = streams.pop().unwrap();
    within(handle.shutdown()).await;
    drop(events);
    streams.extend(open_streams(&client, &server.url, 1).await);
    assert_eq!(server.connections(), 1);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let with_streams = tasks();
    for (handle, _events) in streams {
        within(handle.shutdown()).await;
    }
    // The tasks of two streams, of their connection, and of the server's side of it.
    while tasks() > with_streams - 4 {
        tokio::task::yield_now().await;
    }
    // The closed connection causes no gap.
    open_streams(&client, &server.url, 1).await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_stream_that_is_reset_or_ended_reopens_on_the_same_connection() {
    let requests = Arc::new(AtomicUsize::new(0));
    let server = Server::start(100, move |mut asked| {
        let number = requests.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut body = asked.open();
            // A reset may discard data that was sent before it.
            if number % 3 == 2 {
                return body.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            send(&mut body, event(asked.last_event_id() + 1)).await;
            match number % 3 {
                0 => drop(body.send_data(Bytes::new(), true)),
                _ => drop(body.send_trailers(HeaderMap::new())),
            }
        }
    })
    .await;
    let (client, mut seen) = (client(), Vec::new());
    let handle = stream(&client, &server.url).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    while seen.len() < 12 {
        seen.push(next_data(&mut events).await);
    }
    let expected: Vec<_> = (1..=12).map(|id: u64| id.to_string()).collect();
    assert_eq!(seen, expected, "each once, in order");
}

#[tokio::test]
async fn a_goaway_lets_open_streams_end_and_new_ones_go_elsewhere() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stream", listener.local_addr().unwrap());
    let (go_away, told) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.unwrap();
        tokio::spawn(say_goodbye(first, told));
        let (second, _) = listener.accept().await.unwrap();
        serve(second, 100, Arc::default(), |mut asked| async move {
            let mut body = asked.open();
            send(&mut body, event(asked.last_event_id() + 1)).await;
            std::future::pending::<()>().await;
        })
        .await;
    });
    let client = client();
    let mut streams = open_streams(&client, &url, 1).await;
    go_away.send(()).unwrap();
    assert_eq!(next_data(&mut streams[0].1).await, "2", "the open stream goes on");
    // A new stream does not wait for the old connection.
    open_streams(&client, &url, 1).await;
}

/// Serves one request, sends GOAWAY when told, and continues the open stream.
async fn say_goodbye(tcp: TcpStream, told: tokio::sync::oneshot::Receiver<()>) {
    let mut server = h2::server::handshake(tcp).await.unwrap();
    let (request, response) = server.accept().await.unwrap().unwrap();
    let mut asked = Asked { request, response };
    let mut body = asked.open();
    send(&mut body, event(1)).await;
    tokio::select! {
        _ = server.accept() => panic!("nothing else is asked"),
        _ = told => {}
    }
    server.graceful_shutdown();
    send(&mut body, event(2)).await;
    while let Some(Ok(_)) = server.accept().await {}
}

#[tokio::test]
async fn streams_of_a_dead_shared_connection_each_resume_after_their_own_id() {
    let server = one_at_a_time(100).await;
    let client = client();
    let mut streams = open_streams(&client, &server.url, 10).await;
    server.connections.lock().unwrap()[0].abort();
    for (_, events) in &mut streams {
        assert_eq!(next_data(events).await, "2");
    }
    assert_eq!(server.connections(), 2, "they share the next one, too");
}

/// A request to a chat server is sent once, even if the shared connection breaks.
#[tokio::test]
async fn a_post_is_not_sent_again_after_the_connection_breaks_but_a_get_is() {
    for (method, times) in [(Method::POST, 1), (Method::GET, 2)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let server = Server::start(100, move |mut one| {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            async move {
                if number > 0 {
                    return one.response.send_reset(h2::Reason::INTERNAL_ERROR);
                }
                let mut body = one.open();
                send(&mut body, event(1)).await;
                std::future::pending::<()>().await;
            }
        })
        .await;
        let client = client();
        let _open = open_streams(&client, &server.url, 1).await;
        let question = stream(&client, &server.url).method(method.clone()).reconnect_policy(ReconnectPolicy::never());
        let error = within(question.open(Filter::all())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert_eq!(asked.load(Ordering::SeqCst) - 1, times, "{method}");
    }
}

/// The first of them may have got events, if it was with the server for long.
#[tokio::test]
async fn a_request_that_is_sent_again_after_a_long_wait_costs_a_gap() {
    for (healthy_after, costs_gap) in [(Duration::ZERO, true), (Duration::from_secs(600), false)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let server = Server::start(100, move |mut one| {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            async move {
                if number == 1 {
                    return one.response.send_reset(h2::Reason::INTERNAL_ERROR);
                }
                let mut body = one.open();
                send(&mut body, event(1)).await;
                std::future::pending::<()>().await;
            }
        })
        .await;
        let client = client();
        let _open = open_streams(&client, &server.url, 1).await;
        let policy = ReconnectPolicy::daemon().healthy_after(healthy_after);
        let stream = client.stream(&server.url).reconnect_policy(policy);
        let mut events = within(stream.open(Filter::all())).await.unwrap();
        let first = within(events.recv()).await.unwrap();
        assert_eq!(matches!(first, Delivery::Gap(_)), costs_gap, "{first:?}");
        assert_eq!(server.requests.lock().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_dropped_subscription_cancels_its_request_and_others_continue() {
    let (cancelled, mut resets) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, told) = tokio::sync::watch::channel(());
    let server = Server::start(100, move |mut asked| {
        let (cancelled, mut told) = (cancelled.clone(), told.clone());
        async move {
            let mut body = asked.open();
            send(&mut body, event(1)).await;
            tokio::select! {
                reset = std::future::poll_fn(|cx| body.poll_reset(cx)) => cancelled.send(reset.unwrap()).unwrap(),
                _ = told.changed() => {
                    send(&mut body, event(2)).await;
                    std::future::pending::<()>().await;
                }
            }
        }
    })
    .await;
    let client = client();
    let mut streams = open_streams(&client, &server.url, 3).await;
    drop(streams.pop());
    assert_eq!(within(resets.recv()).await.unwrap(), h2::Reason::CANCEL);
    go_on.send(()).unwrap();
    for (_, events) in &mut streams {
        assert_eq!(next_data(events).await, "2");
    }
    assert_eq!(server.connections(), 1);
}

/// The server answers PING, so that it looks alive, and its open stream continues. A new request is
/// a typed error in bounded time.
#[tokio::test]
async fn a_connection_that_answers_no_more_requests_is_not_asked_for_ever() {
    let before = Arc::new(AtomicUsize::new(0));
    let server = Server::start(100, move |mut asked| {
        let number = before.fetch_add(1, Ordering::SeqCst);
        async move {
            // The server answers all requests but the second, on any connection.
            let _body = (number != 1).then(|| asked.open());
            std::future::pending::<()>().await;
        }
    })
    .await;
    let client = client();
    let first = stream(&client, &server.url).build().unwrap();
    first.connect();
    within(first.opened()).await.unwrap();
    let second = stream(&client, &server.url).response_timeout(Duration::from_millis(100)).build().unwrap();
    second.connect();
    within(second.opened()).await.unwrap();
    assert_eq!(server.connections(), 2);
    assert!(matches!(first.state(), State::Open { .. }), "{:?}", first.state());
}

/// Servers do this before they shut down, or when they have a limit that they do not announce.
#[tokio::test]
async fn a_connection_that_refuses_more_requests_is_not_asked_for_ever() {
    let before = Arc::new(AtomicUsize::new(0));
    let server = Server::start(100, move |mut asked| {
        let number = before.fetch_add(1, Ordering::SeqCst);
        async move {
            if number == 1 {
                return asked.response.send_reset(h2::Reason::REFUSED_STREAM);
            }
            let _body = asked.open();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let client = client();
    let first = stream(&client, &server.url).build().unwrap();
    first.connect();
    within(first.opened()).await.unwrap();
    let second = stream(&client, &server.url).build().unwrap();
    second.connect();
    within(second.opened()).await.unwrap();
    assert_eq!(server.connections(), 2);
    assert!(matches!(first.state(), State::Open { .. }), "{:?}", first.state());
}

#[tokio::test]
async fn a_server_that_speaks_http_1_fails_the_attempt() {
    let server = support::RawServer::start(|_, mut connection| async move {
        connection.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let handle = stream(&client(), &server.url).build().unwrap();
    let mut states = handle.state_changes();
    handle.connect();
    let cause = setback(&mut states).await;
    assert_eq!(cause.kind(), ErrorKind::Protocol, "{cause}");
}

#[tokio::test]
async fn forbidden_headers_are_left_out_and_the_host_becomes_the_authority() {
    let server = Server::start(100, |mut asked| async move {
        let authority = asked.request.uri().authority().unwrap().to_string();
        let mut body = asked.open();
        send(&mut body, format!("data: {authority}\n\n").into()).await;
        std::future::pending::<()>().await;
    })
    .await;
    let client = client();
    let headers = [("connection", "keep-alive"), ("host", "virtual.example:99"), ("x-own", "1")];
    let mut asked = stream(&client, &server.url);
    for (name, value) in headers {
        asked = asked.header(name, value);
    }
    let handle = asked.build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    assert_eq!(next_data(&mut events).await, "virtual.example:99");
    let requests = server.requests.lock().unwrap();
    assert!(!requests[0].contains_key("connection") && !requests[0].contains_key("host"));
    assert_eq!(requests[0]["x-own"], "1");
}
