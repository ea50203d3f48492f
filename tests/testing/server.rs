//! The scripted server: each step, seen from a client, on loopback and in memory; and how it fails.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use sseclient::testing::{Log, Plan, Script, Server};
use sseclient::{
    Client, Connector as _, Delivery, Error, ErrorKind, Event, EventBuilder, Filter, Gap, Handle, State, StateChanges,
    Subscription, TranscriptItem,
};

/// How long a delivery may take before a test fails rather than hang: more than any script does.
const LIMIT: Duration = Duration::from_secs(100);

fn numbered(id: u64) -> EventBuilder {
    Event::builder().id(id.to_string()).data(id.to_string())
}

fn follow(server: &Server) -> (Handle, Subscription) {
    let stream = server.client().stream(server.url()).reconnection_time(Duration::from_millis(1));
    let handle = stream.build().unwrap();
    let events = handle.subscribe(Filter::all());
    handle.connect();
    (handle, events)
}

/// The next delivery: the data of an event, or a gap.
async fn next(events: &mut Subscription) -> String {
    let delivery = tokio::time::timeout(LIMIT, events.recv()).await.expect("a delivery in time");
    match delivery.expect("the stream goes on") {
        Delivery::Event(event) => event.data().to_owned(),
        Delivery::Gap(gap) => gap.to_string(),
    }
}

/// Waits until the stream is about to retry, or has closed, and returns the kind of the failure.
async fn setback(states: &mut StateChanges) -> ErrorKind {
    loop {
        match states.recv().await.expect("the stream goes on") {
            State::Waiting { cause, .. } => return cause.kind(),
            State::Closed(reason) => return reason.error().expect("a failure").kind(),
            _ => {}
        }
    }
}

/// The message of the panic that `future` ends with.
async fn complaint(future: impl Future<Output = ()> + Send + 'static) -> String {
    let panic = tokio::spawn(future).await.unwrap_err().into_panic();
    panic.downcast_ref::<String>().expect("a message").clone()
}

/// Two connections: the first breaks, the second resumes.
fn broken_and_resumed() -> [Script; 2] {
    [
        Script::open().event(numbered(7)).stall(Duration::from_millis(1)).reset(),
        Script::open().expect_resumed_from("7").event(numbered(8)),
    ]
}

/// Returns true if a socket was reset.
fn is_reset(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset) {
            return true;
        }
        cause = error.source();
    }
    false
}

async fn check_that_a_stream_resumes(server: Server) {
    let (handle, mut events) = follow(&server);
    let mut transcript = handle.transcript();
    assert_eq!(next(&mut events).await, "7");
    assert_eq!(next(&mut events).await, Gap::reconnected(Some("7".to_owned())).to_string());
    assert_eq!(next(&mut events).await, "8");
    server.assert_resumed_from("7");
    let cause = loop {
        if let Some(TranscriptItem::State(State::Waiting { cause, .. })) = transcript.recv().await {
            break cause;
        }
    };
    assert!(is_reset(&cause), "{cause:?}");
    let requests = server.requests();
    assert_eq!((requests.len(), requests[0].uri().path(), requests[0].method().as_str()), (2, "/stream", "GET"));
    assert_eq!(handle.stats().failures, [(ErrorKind::Body, 1)].into());
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_connection_is_resumed_in_memory() {
    check_that_a_stream_resumes(Server::in_memory(broken_and_resumed())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_connection_is_resumed_on_loopback() {
    check_that_a_stream_resumes(Server::start(broken_and_resumed()).await).await;
}

/// What a client reports of each way to go wrong.
fn faults() -> Vec<(Script, ErrorKind)> {
    vec![
        (Script::refuse(), ErrorKind::Connect),
        (Script::raw().hang_up(), ErrorKind::Protocol),
        (Script::raw().bytes("SSH-2.0-OpenSSH\r\n\r\n").hang_up(), ErrorKind::Protocol),
        (Script::answer(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "0"), ErrorKind::Status),
        (Script::open().event(numbered(1)).end(), ErrorKind::EndOfStream),
        (Script::open().event(numbered(2)).hang_up(), ErrorKind::Body),
        (Script::open().event(numbered(3)).stall(Duration::from_millis(1)).reset(), ErrorKind::Body),
        (Script::open().header("content-type", "text/plain").end(), ErrorKind::ContentType),
    ]
}

async fn check_kinds(server: Server, expected: Vec<ErrorKind>) {
    let stream = server.client().stream(server.url());
    let handle = stream.reconnection_time(Duration::from_millis(1)).build().unwrap();
    // A watch skips states, a transcript none.
    let mut transcript = handle.transcript();
    handle.connect();
    let mut kinds = Vec::new();
    while let Some(item) = transcript.recv().await {
        match item {
            TranscriptItem::State(State::Waiting { cause, .. }) => kinds.push(cause.kind()),
            TranscriptItem::State(State::Closed(reason)) => kinds.extend(reason.error().map(|e| e.kind())),
            _ => {}
        }
    }
    assert_eq!(kinds, expected);
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_what_it_is_in_memory() {
    let (scripts, kinds): (Vec<_>, Vec<_>) = faults().into_iter().unzip();
    check_kinds(Server::in_memory(scripts), kinds).await;
}

#[tokio::test]
async fn each_fault_is_what_it_is_on_loopback() {
    let (scripts, mut kinds): (Vec<_>, Vec<_>) = faults().into_iter().unzip();
    // The connection comes about before it is refused.
    kinds[0] = ErrorKind::Protocol;
    check_kinds(Server::start(scripts).await, kinds).await;
}

#[tokio::test(start_paused = true)]
async fn pieces_and_bytes_come_as_they_are_written() {
    let server = Server::in_memory([
        Script::open().pieces(["id: 7\ndata: cut in th", "e middle\n", "\n"]).end(),
        Script::raw().bytes("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: unframed\n\n"),
    ]);
    let (_handle, mut events) = follow(&server);
    assert_eq!(next(&mut events).await, "cut in the middle");
    assert_eq!(next(&mut events).await, Gap::reconnected(Some("7".to_owned())).to_string());
    assert_eq!(next(&mut events).await, "unframed");
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn pieces_are_read_apart() {
    let server = Server::in_memory(Script::open().pieces(["data: 1\n\n", "data: 2\n\n"]));
    let (handle, mut events) = follow(&server);
    next(&mut events).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(handle.stats().events, 1);
    next(&mut events).await;
    assert!(begun.elapsed() >= Duration::from_millis(1));
    server.finish().await;
}

#[cfg(feature = "gzip")]
#[tokio::test(start_paused = true)]
async fn compressed_bytes_need_a_header_and_are_decoded() {
    use std::io::Write as _;

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"data: packed\n\n").unwrap();
    let packed = encoder.finish().unwrap();
    let server = Server::in_memory(Script::open().header("content-encoding", "gzip").bytes(packed));
    let (_handle, mut events) = follow(&server);
    assert_eq!(next(&mut events).await, "packed");
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_stalled_server_runs_into_the_clients_idle_timeout() {
    let hour = Duration::from_secs(3600);
    let server = Server::in_memory(Script::open().event(numbered(1)).stall(hour));
    let stream = server.client().stream(server.url()).idle_timeout(Duration::from_secs(30));
    let handle = stream.build().unwrap();
    let mut states = handle.state_changes();
    handle.connect();
    assert_eq!(setback(&mut states).await, ErrorKind::IdleTimeout);
    handle.shutdown().await;
    // To leave during the last stall is no fault of the client.
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_of_ones_own_settings_reaches_the_server_with_its_body() {
    let server = Server::in_memory(Script::open().expect(|request| {
        assert_eq!((request.method().as_str(), &request.body()[..]), ("POST", &b"{}"[..]));
        assert_eq!(request.headers()["x-tenant"], "a");
    }));
    let headers =
        http::HeaderMap::from_iter([(http::HeaderName::from_static("x-tenant"), HeaderValue::from_static("a"))]);
    let client = server.client_builder().default_headers(headers).build();
    let _events = client.stream(server.url()).body("{}").open(Filter::all()).await.unwrap();
    server.finish().await;
}

fn talks_after_a_minute() -> Script {
    Script::open().event(numbered(1)).stall(Duration::from_secs(60)).event(numbered(2))
}

#[tokio::test(start_paused = true)]
async fn a_step_that_the_client_did_not_wait_for_fails_the_test() {
    check_that_leaving_fails(Server::in_memory(talks_after_a_minute())).await;
}

#[tokio::test]
async fn a_client_that_leaves_too_early_is_noticed_on_loopback() {
    check_that_leaving_fails(Server::start(talks_after_a_minute()).await).await;
}

async fn check_that_leaving_fails(server: Server) {
    let (handle, mut events) = follow(&server);
    next(&mut events).await;
    handle.shutdown().await;
    let complaint = complaint(server.finish()).await;
    assert!(complaint.contains("connection 1 had step 3 of 3, to send \"id: 2"), "{complaint}");
    assert!(complaint.contains("the client had left"), "{complaint}");
}

#[tokio::test]
async fn a_client_may_leave_before_the_response_ends() {
    for leave in [Script::end, Script::hang_up, Script::reset] {
        let script = || leave(Script::open().event(numbered(1)).stall(Duration::from_secs(60)));
        check_that_leaving_passes(Server::in_memory(script())).await;
        check_that_leaving_passes(Server::start(script()).await).await;
    }
}

async fn check_that_leaving_passes(server: Server) {
    let (handle, mut events) = follow(&server);
    next(&mut events).await;
    handle.shutdown().await;
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_script_without_a_connection_fails_the_test() {
    let server = Server::in_memory([Script::open(), Script::open()]);
    let _streams = follow(&server);
    let complaint = complaint(server.finish()).await;
    assert!(complaint.contains("1 scripts were not begun after 1 connections"), "{complaint}");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_no_client_has_read_to_its_end_fails_the_test() {
    let server = Server::in_memory(Log::new([numbered(7).build().unwrap()]));
    let (handle, mut events) = follow(&server);
    next(&mut events).await;
    handle.shutdown().await;
    let complaint = complaint(server.finish()).await;
    let expected = "none of 1 requests asked to resume after the last event of the log";
    assert!(complaint.ends_with(expected), "{complaint}");
}

#[test]
fn a_script_has_no_step_that_could_never_be_taken() {
    type Write = fn() -> Script;
    let mistakes: [(Write, &str); 6] = [
        (|| Script::open().end().event(numbered(7)), "a script that has to end the response has no later step to send"),
        (|| Script::open().hang_up().reset(), "a script that has to hang up has no later step to reset"),
        (|| Script::raw().reset().pieces(["a"]), "a script that has to reset the connection has no later step to send"),
        (|| Script::open().end().stall(Duration::from_secs(1)), "has no later step to stall for 1s"),
        (|| Script::refuse().hang_up(), "a connection that is refused has no step to hang up"),
        (|| Script::refuse().expect_resumed_from("7"), "a connection that is refused has no request to check"),
    ];
    for (write, expected) in mistakes {
        let panic = catch_unwind(|| drop(write())).unwrap_err();
        let message =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        assert!(message.unwrap().contains(expected), "{message:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_script_fails_the_test_and_says_what_it_asked() {
    let server = Server::in_memory(Script::open().event(numbered(7)).end());
    let (handle, mut events) = follow(&server);
    next(&mut events).await;
    let mut states = handle.state_changes();
    while setback(&mut states).await == ErrorKind::EndOfStream {}
    let complaint = complaint(server.finish()).await;
    assert!(complaint.contains("connection 2 had no script: it asked GET /stream after the ID \"7\""), "{complaint}");
}

#[tokio::test(start_paused = true)]
async fn an_expectation_that_is_not_met_fails_the_test() {
    let server = Server::in_memory(Script::open().expect(|_| {}).expect_resumed_from("7"));
    let (_handle, _events) = follow(&server);
    let complaint = complaint(server.finish()).await;
    assert!(
        complaint.contains("connection 1 had to meet expectation 2: it panicked: it resumed from \"\""),
        "{complaint}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_dropped_checks_its_scripts_too() {
    let dropped = |server: Server| catch_unwind(AssertUnwindSafe(|| drop(server)));
    assert!(dropped(Server::in_memory(Script::open())).is_err());
    let server = Server::in_memory(Script::open().event(numbered(7)));
    let (_handle, mut events) = follow(&server);
    next(&mut events).await;
    assert!(dropped(server).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_finished_closes_its_connections_and_takes_no_more() {
    let server = Server::in_memory(Script::open().event(numbered(7)));
    let (handle, mut events) = follow(&server);
    next(&mut events).await;
    let mut transcript = handle.transcript();
    server.finish().await;
    let mut kinds = Vec::new();
    while kinds.len() < 3 {
        if let Some(TranscriptItem::State(State::Waiting { cause, .. })) = transcript.recv().await {
            kinds.push(cause.kind());
        }
    }
    assert_eq!(kinds, [ErrorKind::Body, ErrorKind::Connect, ErrorKind::Connect]);
}

#[tokio::test]
async fn a_server_that_is_dropped_while_its_test_fails_does_not_panic_again() {
    let server = Server::in_memory(Script::open());
    let panic = catch_unwind(AssertUnwindSafe(move || {
        let _server = server;
        panic!("the test fails");
    }));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the test fails"));
}

#[tokio::test(start_paused = true)]
async fn each_connection_has_the_script_that_its_number_and_its_request_make() {
    let server = Server::in_memory(Plan::each(|number, request| match number {
        1 => Script::refuse(),
        2 => Script::answer(StatusCode::SERVICE_UNAVAILABLE),
        _ => {
            let id = request.headers().get("last-event-id").map_or(0, |id| id.to_str().unwrap().parse().unwrap());
            Script::open().event(numbered(id + 1)).end()
        }
    }));
    let (handle, mut events) = follow(&server);
    for id in 1..=5 {
        assert_eq!(next(&mut events).await, id.to_string());
        assert_eq!(next(&mut events).await, format!("reconnected, resuming after ID \"{id}\""));
    }
    assert_eq!(handle.stats().failures[&ErrorKind::Status], 1);
    assert!(server.requests().len() >= 7, "the ones that had no stream are requests, too");
    handle.shutdown().await;
    // A client that asks for nothing has no script.
    drop(server.connector().connect("http://server.invalid".parse().unwrap()).await.ok());
    tokio::task::yield_now().await;
    server.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_panics_fails_the_test() {
    let server = Server::in_memory(Plan::each(|_, request| panic!("what is {}?", request.uri())));
    let (handle, _events) = follow(&server);
    setback(&mut handle.state_changes()).await;
    let complaint = complaint(server.finish()).await;
    assert!(complaint.contains("connection 1 had to get its script: it panicked: what is /stream?"), "{complaint}");
}

#[tokio::test(start_paused = true)]
async fn a_server_waits_for_what_the_test_decides_or_for_the_client_to_leave() {
    let (go_on, goes_on) = tokio::sync::oneshot::channel::<()>();
    let script = Script::open().event(numbered(1)).wait_for(goes_on).event(numbered(2));
    let server = Server::in_memory([script.wait_for(std::future::pending::<()>())]);
    let (handle, mut events) = follow(&server);
    assert_eq!(next(&mut events).await, "1");
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(events.queued(), 0);
    go_on.send(()).unwrap();
    assert_eq!(next(&mut events).await, "2");
    handle.shutdown().await;
    server.finish().await;

    let server = Server::in_memory(Script::open().wait_for(std::future::pending::<()>()).event(numbered(1)));
    let (handle, _events) = follow(&server);
    handle.opened().await.unwrap();
    let complaint = complaint(server.finish()).await;
    assert!(complaint.contains("connection 1 has yet step 1 of 2, to wait for what the test decides"), "{complaint}");
}

/// On loopback, too.
#[tokio::test]
async fn a_transport_of_the_programs_own_reaches_the_server() {
    let script = || Script::open().event(numbered(1));
    for server in [Server::in_memory(script()), Server::start(script()).await] {
        let connector = server.connector();
        let transport = move |mut request: http::Request<Bytes>| {
            let connector = connector.clone();
            async move {
                let io = connector.connect("http://elsewhere.invalid".parse()?).await.map_err(Into::into)?;
                let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
                tokio::spawn(connection);
                request.headers_mut().insert("host", HeaderValue::from_static("elsewhere.invalid"));
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sender.send_request(request.map(Full::new)).await?)
            }
        };
        let client = Client::builder().transport(transport).build();
        let mut events = client.stream(server.url()).open(Filter::all()).await.unwrap();
        assert_eq!(next(&mut events).await, "1");
        assert_eq!(server.requests()[0].headers()["host"], "elsewhere.invalid");
        server.finish().await;
    }
}
