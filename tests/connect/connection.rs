//! One connection as a user sees it: events, reconnection, resumption, changes.

use std::time::Duration;

use bytes::Bytes;
use sseclient::testing::Script;
use sseclient::{Delivery, ErrorKind, Filter, Gap, Handle, State, Subscription};
use tokio::sync::oneshot;

use crate::support::transport::no_response;
use crate::support::{OPEN, RawServer, client, headers, serve, status, staying, until, within};

const SOON: Duration = Duration::from_millis(10);

fn stream(url: &str) -> Handle {
    client().stream(url).reconnection_time(SOON).build().unwrap()
}

/// A connected handle, and a subscription to all events that was made before it connected.
fn follow(url: &str) -> (Handle, Subscription) {
    let handle = stream(url);
    let subscription = handle.subscribe(Filter::all());
    handle.connect();
    (handle, subscription)
}

async fn next(subscription: &mut Subscription) -> Delivery {
    within(subscription.recv()).await.expect("the stream goes on")
}

/// The next delivery as text: `type=data#last event ID`, or the gap.
async fn short(subscription: &mut Subscription) -> String {
    match next(subscription).await {
        Delivery::Event(event) => format!("{}={}#{}", event.event_type(), event.data(), event.last_event_id()),
        Delivery::Gap(gap) => format!("{gap:?}"),
    }
}

/// An open stream with these events.
fn open(events: impl Into<Bytes>) -> Script {
    Script::open().bytes(events)
}

#[tokio::test]
async fn two_subscribers_of_one_connection_each_get_their_types_in_wire_order() {
    let body = "data: 1\n\nevent: a\ndata: 2\n\nevent: b\ndata: 3\n\nevent: a\ndata: 4\n\n";
    let server = serve(open(body)).await;
    let handle = stream(server.url());
    let mut a = handle.subscribe("a");
    let mut rest = handle.subscribe(["b", ""]);
    handle.connect();
    assert_eq!(short(&mut a).await, "a=2#");
    assert_eq!(short(&mut a).await, "a=4#");
    assert_eq!(short(&mut rest).await, "message=1#");
    assert_eq!(short(&mut rest).await, "b=3#");
    assert_eq!(server.requests().len(), 1);
    within(handle.shutdown()).await;
}

#[tokio::test]
async fn a_lost_connection_resumes_after_the_last_id_and_reports_a_gap() {
    let server = serve([
        open("id: 1\ndata: a\n\ndata: b\n\nid: 9\ndata: cut o").end(),
        open("data: c\n\n").end(),
        open("id\n\ndata: d\n\n").end(),
        open("data: e\n\n"),
    ])
    .await;
    let (_handle, mut events) = follow(server.url());
    for expected in [
        "message=a#1",
        "message=b#1",
        "Reconnected { sent: Some(\"1\") }",
        "message=c#1",
        "Reconnected { sent: Some(\"1\") }",
        "message=d#",
        "Reconnected { sent: None }",
        "message=e#",
    ] {
        assert_eq!(short(&mut events).await, expected);
    }
    assert_eq!(headers(&server, "last-event-id"), [None, Some("1".into()), Some("1".into()), None]);
}

#[tokio::test]
async fn a_block_without_data_moves_the_resume_point_and_a_half_one_does_not() {
    let server = serve([open("id: 5\n\nid: 6\n").end(), open("data: x\n\n")]).await;
    let (handle, mut events) = follow(server.url());
    assert_eq!(short(&mut events).await, "Reconnected { sent: Some(\"5\") }");
    assert_eq!(short(&mut events).await, "message=x#5");
    assert_eq!(handle.last_event_id(), "5");
}

#[tokio::test]
async fn any_id_is_carried_if_a_header_can_and_left_out_if_not() {
    let long = "i".repeat(300);
    let too_long = "i".repeat(9_000);
    for (id, sent) in
        [("grüße-€", true), (&*long, true), (&*too_long, false), ("a\u{1}b", false), ("a\tb", true), ("\u{7f}", false)]
    {
        let server = serve([open(format!("id: {id}\ndata: a\n\n")).end(), open("data: b\n\n")]).await;
        let (_handle, mut events) = follow(server.url());
        assert_eq!(short(&mut events).await, format!("message=a#{id}"));
        let expected = sent.then(|| id.to_owned());
        assert_eq!(next(&mut events).await, Delivery::Gap(Gap::reconnected(expected.clone())), "{id:?}");
        assert_eq!(short(&mut events).await, format!("message=b#{id}"));
        assert_eq!(headers(&server, "last-event-id")[1], expected, "{id:?}");
    }
}

#[tokio::test]
async fn the_request_is_what_the_standard_asks_for_and_what_the_caller_set() {
    let server = serve(open("")).await;
    let url = server.url().replace("http://", "http://alice:s%20t@").replace("/stream", "/a/b?x=1#fragment");
    let handle = client().stream(url).header("X-Key", "k").query("q", "a b").last_event_id("7").build().unwrap();
    handle.connect();
    within(handle.opened()).await.unwrap();
    let request = &server.requests()[0];
    assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("GET", "/a/b?x=1&q=a%20b"));
    for (name, value) in [
        ("accept", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("authorization", "Basic YWxpY2U6cyB0"),
        ("x-key", "k"),
        ("last-event-id", "7"),
        ("host", server.url().trim_start_matches("http://").trim_end_matches("/stream")),
    ] {
        assert_eq!(request.headers().get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
    }
}

#[tokio::test]
async fn every_http_framing_is_a_stream() {
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    for (name, answer) in [
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: a\n\n".to_owned()),
        (
            "length",
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\ndata: a\n\n".to_owned(),
        ),
        (
            "chunk extensions and trailers",
            format!("{chunked}4;x=y\r\ndata\r\n5\r\n: a\n\n\r\n0\r\nx-trailer: 1\r\n\r\n"),
        ),
        ("early hints", format!("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n{OPEN}data: a\n\n")),
        ("type with parameters", OPEN.replace("event-stream", "Event-Stream; charset=latin1") + "data: a\n\n"),
    ] {
        let server = serve(Script::raw().bytes(answer)).await;
        let (_handle, mut events) = follow(server.url());
        assert_eq!(short(&mut events).await, "message=a#", "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_response_is_retried() {
    let huge = format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "x".repeat(1_000_000));
    for (name, answer, kind) in [
        ("nothing", "", no_response()),
        ("half a head", "HTTP/1.1 200 OK\r\ncontent-ty", no_response()),
        ("garbage", "\u{1}\u{2}garbage\r\n\r\n", no_response()),
        ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n", no_response()),
        ("a huge head", &huge, no_response()),
    ] {
        let answer = answer.to_owned();
        // The client leaves within the huge one.
        let server = RawServer::start(move |number, mut connection| {
            let answer = if number == 0 { answer.clone() } else { format!("{OPEN}data: up\n\n") };
            async move {
                connection.send(&answer).await;
            }
        })
        .await;
        let handle = stream(&server.url);
        let mut events = handle.subscribe(Filter::all());
        let mut transcript = handle.transcript();
        handle.connect();
        let cause = loop {
            if let sseclient::TranscriptItem::State(State::Waiting { cause, .. }) =
                within(transcript.recv()).await.unwrap()
            {
                break cause;
            }
        };
        assert_eq!((cause.kind(), cause.is_final()), (kind, false), "{name}");
        assert!(std::error::Error::source(&cause).is_some(), "{name}");
        assert_eq!(short(&mut events).await, "message=up#", "{name}");
    }
}

#[tokio::test]
async fn the_end_of_a_body_is_told_from_its_breaking_off() {
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    for (rest, kind) in [("0\r\n\r\n", ErrorKind::EndOfStream), ("ff\r\ndata: cut", ErrorKind::Body)] {
        let answer = format!("{chunked}9\r\ndata: a\n\n\r\n{rest}");
        let server = serve(Script::raw().bytes(answer).hang_up()).await;
        let handle = client().stream(server.url()).build().unwrap();
        let mut transcript = handle.transcript();
        handle.connect();
        let mut seen = Vec::new();
        let cause = loop {
            match within(transcript.recv()).await.unwrap() {
                sseclient::TranscriptItem::State(State::Waiting { cause, .. }) => break cause,
                sseclient::TranscriptItem::Event(event) => seen.push(event.data().to_owned()),
                _ => {}
            }
        };
        assert_eq!(cause.kind(), kind);
        assert_eq!(seen, ["a"]);
    }
}

/// Only subscribers to its type get the gap.
#[tokio::test]
async fn an_oversized_event_is_skipped_but_its_id_counts() {
    let huge = format!("id: 2\nevent: big\ndata: {}\n\n", "x".repeat(5_000));
    let body = format!("id: 1\ndata: a\n\n{huge}event: small\ndata: b\n\n");
    let server = serve([open(body).end(), open("data: c\n\n")]).await;
    let handle = client().stream(server.url()).reconnection_time(SOON).max_event_size(1_000).build().unwrap();
    let (mut big, mut small) = (handle.subscribe("big"), handle.subscribe("small"));
    handle.connect();
    let oversized = Gap::oversized(Some("big".into()), Some("2".into()), 5_000);
    assert_eq!(next(&mut big).await, Delivery::Gap(oversized));
    assert_eq!(short(&mut small).await, "small=b#2");
    assert_eq!(short(&mut small).await, "Reconnected { sent: Some(\"2\") }");
}

#[tokio::test]
async fn an_oversized_event_of_unknown_type_is_a_gap_for_all_subscribers() {
    let body = format!("event: {}\ndata: x\n\nevent: small\ndata: b\n\n", "t".repeat(2_000));
    let server = serve(open(body)).await;
    let handle = client().stream(server.url()).max_event_size(1_000).build().unwrap();
    let (mut small, mut other) = (handle.subscribe("small"), handle.subscribe("other"));
    handle.connect();
    let unknown = Gap::oversized(None, None, 1);
    assert_eq!(next(&mut small).await, Delivery::Gap(unknown.clone()));
    assert_eq!(short(&mut small).await, "small=b#");
    assert_eq!(next(&mut other).await, Delivery::Gap(unknown));
}

/// Gaps do not count towards the capacity of a queue, so their texts must be bounded.
#[tokio::test]
async fn a_gap_can_hold_a_type_and_an_id_as_long_as_servers_accept() {
    for (length, told) in [(8_000, true), (8_001, false)] {
        let (event_type, id) = ("t".repeat(length), "7".repeat(length));
        let body = format!("event: {event_type}\nid: {id}\ndata: {}\n\n", "x".repeat(100_000));
        let server = serve([open(body).end(), open("data: c\n\n")]).await;
        let handle = client().stream(server.url()).reconnection_time(SOON).max_event_size(50_000).build().unwrap();
        let mut events = handle.subscribe(&*event_type);
        handle.connect();
        let text = |text: String| told.then_some(text);
        let expected = Gap::oversized(text(event_type), text(id.clone()), 100_000);
        assert_eq!(next(&mut events).await, Delivery::Gap(expected));
        assert_eq!(next(&mut events).await, Delivery::Gap(Gap::reconnected(text(id))));
    }
}

#[tokio::test]
async fn bare_events_hide_gaps_and_count_what_lagged() {
    let part = |data| open(data).end();
    let server = serve([part("data: a\n\n"), part("data: b\n\n"), part("data: b\n\n"), open("")]).await;
    let handle = stream(server.url());
    let mut events = handle.subscribe("message").into_events();
    handle.connect();
    for expected in ["a", "b", "b"] {
        assert_eq!(within(events.recv()).await.unwrap().data(), expected);
    }
    assert_eq!(events.missed(), 0);
    assert!(events.close_reason().is_none());
    let gap = within(events.into_inner().recv()).await;
    assert!(matches!(gap, Some(Delivery::Gap(Gap::Reconnected { .. }))), "they are there all the same: {gap:?}");
}

#[tokio::test]
async fn a_changed_header_is_in_the_next_attempt_and_reconnect_dials_at_once() {
    let server = staying("id: 1\ndata: hello\n\n").await;
    let handle = client().stream(server.url()).header("authorization", "old").header("x-other", "1").build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    assert_eq!(short(&mut events).await, "message=hello#1");
    handle.set_header("authorization", "new").unwrap();
    handle.remove_header("x-other").unwrap();
    for _ in 0..100 {
        handle.reconnect();
    }
    assert_eq!(short(&mut events).await, "Reconnected { sent: Some(\"1\") }");
    assert_eq!(short(&mut events).await, "message=hello#1");
    assert_eq!(headers(&server, "authorization"), [Some("old".into()), Some("new".into())]);
    assert_eq!(headers(&server, "x-other"), [Some("1".into()), None]);
}

#[tokio::test]
async fn a_header_set_before_connect_goes_with_the_first_attempt() {
    let server = serve(open("data: a\n\n")).await;
    let handle = stream(server.url());
    let mut events = handle.subscribe(Filter::all());
    handle.set_header("x-key", "1").unwrap();
    handle.connect();
    assert_eq!(short(&mut events).await, "message=a#");
    assert_eq!(headers(&server, "x-key")[0], Some("1".into()));
}

/// The stream sets `Last-Event-ID` itself.
#[tokio::test]
async fn headers_in_bulk_keep_their_values_but_not_the_last_event_id() {
    let server = serve([open("id: 2\ndata: a\n\n").end(), open("data: b\n\n")]).await;
    let mut bulk = http::HeaderMap::new();
    bulk.append("cookie", "a=1".parse().unwrap());
    bulk.append("cookie", "b=2".parse().unwrap());
    bulk.append("last-event-id", "1".parse().unwrap());
    let handle = client().stream(server.url()).headers(bulk).reconnection_time(SOON).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    assert_eq!(short(&mut events).await, "message=a#2");
    assert_eq!(handle.last_event_id(), "2");
    assert_eq!(short(&mut events).await, "Reconnected { sent: Some(\"2\") }");
    assert_eq!(short(&mut events).await, "message=b#2");
    assert_eq!(server.requests()[0].headers().get_all("cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(headers(&server, "last-event-id"), [Some("1".into()), Some("2".into())]);
}

#[tokio::test]
async fn reconnect_ends_a_wait() {
    let server = serve([open("data: a\n\n").end(), open("data: b\n\n")]).await;
    let handle = client().stream(server.url()).reconnection_time(Duration::from_secs(3600)).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    let mut states = handle.state_changes();
    handle.connect();
    assert_eq!(short(&mut events).await, "message=a#");
    while !matches!(within(states.recv()).await, Some(State::Waiting { .. })) {}
    handle.reconnect();
    assert_eq!(short(&mut events).await, "Reconnected { sent: None }");
    assert_eq!(short(&mut events).await, "message=b#");
}

#[tokio::test]
async fn open_returns_an_open_stream_or_the_first_failure() {
    let server = serve(open("data: a\n\n")).await;
    let mut events = within(client().stream(server.url()).open("message")).await.unwrap();
    assert!(events.handle().state().is_open() || events.close_reason().is_none());
    assert_eq!(short(&mut events).await, "message=a#");

    let refused = serve(status(503)).await;
    let error = within(sseclient::open(refused.url())).await.unwrap_err();
    assert_eq!(error.status().unwrap(), 503);
    let gone = serve(status(204)).await;
    assert_eq!(within(sseclient::open(gone.url())).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn the_transcript_has_everything_in_order() {
    use sseclient::TranscriptItem;
    let server = serve([open(": hi\nid: 1\ndata: a\n\n: there\n\n").end(), status(204)]).await;
    let handle = stream(server.url());
    let mut transcript = handle.transcript();
    handle.connect();
    let mut seen = Vec::new();
    while let Some(item) = within(transcript.recv()).await {
        seen.push(match item {
            TranscriptItem::Event(event) => event.data().to_owned(),
            TranscriptItem::Comment(comment) => format!(":{comment}"),
            TranscriptItem::Gap(gap) => format!("{gap:?}"),
            TranscriptItem::State(State::Waiting { cause, attempt, .. }) => {
                format!("waiting {attempt} {:?}", cause.kind())
            }
            TranscriptItem::State(State::Open { .. }) => "open".into(),
            TranscriptItem::State(state) => state.to_string(),
            _ => unreachable!("a new kind of item"),
        });
    }
    let closed = "closed: the server has no more content (204)";
    let expected = [
        "connecting, attempt 1",
        "open",
        ": hi",
        "a",
        ": there",
        "waiting 2 EndOfStream",
        "connecting, attempt 2",
        closed,
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_timeout_has_its_own_kind() {
    let silent = serve(Script::raw()).await;
    // A transport of the caller's own connects within the sum of both.
    let stream = client().stream(silent.url()).connect_timeout(SOON).response_timeout(SOON);
    let error = within(stream.open("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::ResponseTimeout, false));
}

#[tokio::test]
async fn an_open_state_shows_where_the_response_came_from_and_its_head() {
    let head = "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\nx-node: 7\r\n\r\n";
    let server = serve(Script::raw().bytes(head)).await;
    let url = format!("{}?a=b", server.url());
    let handle = client().stream(url.replace("http://", "http://user:secret@")).build().unwrap();
    handle.connect();
    within(handle.opened()).await.unwrap();
    let State::Open { response, attempt, .. } = handle.state() else { panic!("it is open") };
    assert_eq!((response.url().to_string(), attempt), (url, 1));
    assert_eq!((response.status(), response.version()), (http::StatusCode::OK, http::Version::HTTP_10));
    assert_eq!(response.headers()["x-node"], "7");
}

#[tokio::test]
async fn a_block_goes_on_in_the_next_packet_after_a_turn_that_ended_within_it() {
    // A turn ends after a fixed number of frames. Here the last one is a line inside a block, at
    // the end of a packet.
    for (capacity, before) in [(4, 0), (256, 63)] {
        for line in ["retry: 500", ": a comment"] {
            assert_goes_on(capacity, format!("{}data: x\n{line}\n", "data: before\n\n".repeat(before))).await;
        }
    }
}

async fn assert_goes_on(capacity: usize, packet: String) {
    let (go_on, told) = oneshot::channel();
    let server = serve(open(packet.clone()).wait_for(told).bytes("data: y\n\n")).await;
    let handle = client().stream(server.url()).capacity(capacity).build().unwrap();
    // With a transcript, comments are frames, too.
    let _transcript = handle.transcript();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    until("the packet is read", || handle.stats().bytes == packet.len() as u64).await;
    go_on.send(()).unwrap();
    loop {
        match next(&mut events).await {
            Delivery::Event(event) if event.data() == "before" => {}
            Delivery::Event(event) => return assert_eq!(event.data(), "x\ny", "{packet:?}"),
            Delivery::Gap(gap) => panic!("{gap}"),
        }
    }
}
