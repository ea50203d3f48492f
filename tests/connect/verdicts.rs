//! Responses that are no event stream.

use std::time::Duration;

use sseclient::testing::Script;
use sseclient::{CloseReason, Delivery, ErrorKind, Filter, Handle, ReconnectPolicy, State, Subscription};

use crate::support::{RawServer, always, client, serve, setback, status, within};

/// A stream that is not connected yet, and a subscription to all its events.
fn stream(url: &str) -> (Handle, Subscription) {
    let handle = client().stream(url).reconnection_time(Duration::from_millis(10)).build().unwrap();
    let events = handle.subscribe(Filter::all());
    (handle, events)
}

#[tokio::test]
async fn a_verdict_is_final_or_tried_again_as_its_status_says() {
    for (head, kind, is_final) in [
        ("404 Not Found", ErrorKind::Status, true),
        ("401 Unauthorized", ErrorKind::Status, true),
        ("403 Forbidden", ErrorKind::Status, true),
        ("201 Created", ErrorKind::Status, true),
        ("302 Found", ErrorKind::Status, true),
        ("200 OK", ErrorKind::ContentType, true),
        ("408 Request Timeout", ErrorKind::Status, false),
        ("425 Too Early", ErrorKind::Status, false),
        ("429 Too Many Requests", ErrorKind::Status, false),
        ("500 Internal Server Error", ErrorKind::Status, false),
        ("502 Bad Gateway", ErrorKind::Status, false),
        ("503 Service Unavailable", ErrorKind::Status, false),
        ("504 Gateway Timeout", ErrorKind::Status, false),
        ("501 Not Implemented", ErrorKind::Status, true),
        ("505 HTTP Version Not Supported", ErrorKind::Status, true),
        // Not in the standard; those from 520 on are Cloudflare's.
        ("507 Insufficient Storage", ErrorKind::Status, false),
        ("509 Bandwidth Limit Exceeded", ErrorKind::Status, false),
        ("520 Web Server Returned an Unknown Error", ErrorKind::Status, false),
        ("521 Web Server Is Down", ErrorKind::Status, false),
        ("522 Connection Timed Out", ErrorKind::Status, false),
        ("523 Origin Is Unreachable", ErrorKind::Status, false),
        ("524 A Timeout Occurred", ErrorKind::Status, false),
        ("525 SSL Handshake Failed", ErrorKind::Status, false),
        ("526 Invalid SSL Certificate", ErrorKind::Status, false),
        ("527 Railgun Error", ErrorKind::Status, false),
        ("530 Origin DNS Error", ErrorKind::Status, false),
        ("561 Unauthorized", ErrorKind::Status, false),
        ("598 Network Read Timeout", ErrorKind::Status, false),
        ("999 Request Denied", ErrorKind::Status, false),
    ] {
        let page = status(head[..3].parse().unwrap()).header("content-type", "text/html").bytes("sorry");
        let mut answers = vec![page];
        if !is_final {
            answers.push(Script::open().bytes("data: up\n\n"));
        }
        let server = serve(answers).await;
        let (handle, mut events) = stream(server.url());
        let mut states = handle.state_changes();
        handle.connect();
        if is_final {
            let reason = within(handle.closed()).await;
            let error = reason.error().expect(head);
            assert_eq!((error.kind(), error.is_final()), (kind, true), "{head}");
            assert_eq!(error.status().unwrap().as_str(), &head[..3]);
            assert_eq!(&error.body().unwrap()[..], b"sorry", "{head}");
            assert_eq!(error.headers().unwrap()["content-length"], "5");
            assert!(events.recv().await.is_none(), "{head}");
            assert_eq!(server.requests().len(), 1, "{head}");
        } else {
            let cause = setback(&mut states).await;
            assert_eq!((cause.kind(), cause.is_final()), (kind, false), "{head}");
            let Some(Delivery::Event(event)) = within(events.recv()).await else { panic!("{head}: an event") };
            assert_eq!(event.data(), "up", "{head}");
        }
    }
}

/// Jitter, up to 5 ms, comes on top.
#[tokio::test]
async fn the_wait_after_a_refusal_is_as_long_as_the_server_asks() {
    let rows: [(&'static [_], _); 6] = [
        (&[("retry-after", "3")], 3_000),
        (&[("retry-after", "2.5")], 3_000),
        (&[("retry-after-ms", "2500")], 2_500),
        (&[("retry-after", "7"), ("retry-after-ms", "2500")], 2_500),
        (&[("retry-after", "1000000")], 3_600_000),
        (&[("retry-after", "-3")], 10),
    ];
    for (headers, wait) in rows {
        let busy = || headers.iter().fold(status(503), |busy, &(name, value)| busy.header(name, value));
        let server = always(busy).await;
        let (handle, _events) = stream(server.url());
        let mut states = handle.state_changes();
        handle.connect();
        let delay = loop {
            if let Some(State::Waiting { delay, .. }) = within(states.recv()).await {
                break delay;
            }
        };
        let wait = Duration::from_millis(wait);
        assert!((wait..=wait + Duration::from_millis(5)).contains(&delay), "{headers:?}: {delay:?}");
        within(handle.shutdown()).await;
    }
}

#[tokio::test]
async fn no_content_stops_for_good_and_is_no_error() {
    let server = serve(status(204)).await;
    let (handle, mut events) = stream(server.url());
    handle.connect();
    assert!(within(events.recv()).await.is_none());
    assert!(matches!(events.close_reason(), Some(CloseReason::NoContent)));
    assert!(handle.closed().await.into_result().is_ok());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_open_stream_needs_the_right_content_type() {
    for (headers, says) in [
        ("", "no content-type"),
        ("content-type: text/html\r\n", "\"text/html\""),
        ("content-type:\r\n", "\"\""),
        ("content-type: event-stream\r\n", "\"event-stream\""),
        ("content-type: text/event-streams\r\n", "\"text/event-streams\""),
        ("content-type: text/\u{fc}\r\n", "text/\u{fc}"),
        ("content-type: text/event-stream\r\ncontent-type: text/html\r\n", "\"text/html\""),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 9\r\n\r\ndata: x\n\n");
        let server = serve(Script::raw().bytes(answer)).await;
        let (handle, mut events) = stream(server.url());
        handle.connect();
        assert!(within(events.recv()).await.is_none(), "{headers:?}");
        let reason = within(handle.closed()).await;
        let error = reason.error().unwrap();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::ContentType, true), "{headers:?}");
        assert!(error.to_string().contains(says), "{headers:?}: {error}");
        assert_eq!(error.body().unwrap(), "data: x\n\n", "{headers:?}");
        assert_eq!(server.requests().len(), 1, "{headers:?}");
    }
}

#[tokio::test]
async fn of_the_body_of_a_refusal_eight_kibibytes_are_kept() {
    const KEPT: usize = 8 * 1024;
    for (length, kept) in [(0, 0), (1, 1), (KEPT - 1, KEPT - 1), (KEPT, KEPT), (KEPT + 1, KEPT), (1_000_000, KEPT)] {
        let text: String = ('a'..='z').cycle().take(length).collect();
        let whole = text.clone();
        let server = RawServer::start(move |_, mut connection| {
            let head = format!("HTTP/1.1 404 No\r\ncontent-length: {length}\r\n\r\n");
            let text = text.clone();
            async move {
                connection.send(&head).await;
                // Sent in pieces, so that no single read returns the whole body.
                for piece in text.as_bytes().chunks(3_000) {
                    connection.send(std::str::from_utf8(piece).unwrap()).await;
                }
                connection.closed().await;
            }
        })
        .await;
        let (handle, _events) = stream(&server.url);
        handle.connect();
        let reason = within(handle.closed()).await;
        let body = reason.error().unwrap().body().unwrap();
        assert!(body == &whole[..kept], "{} of {length} bytes", body.len());
    }
}

#[tokio::test]
async fn under_the_standard_a_later_verdict_is_final_as_well() {
    let server = serve([Script::open().bytes("data: a\n\n").end(), status(404).bytes("gone")]).await;
    let policy = ReconnectPolicy::standard();
    let stream = client().stream(server.url()).reconnect_policy(policy).reconnection_time(Duration::ZERO);
    let handle = stream.build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    let Some(Delivery::Event(event)) = within(events.recv()).await else { panic!("an event") };
    assert_eq!(event.data(), "a");
    assert!(within(events.recv()).await.is_none());
    let reason = within(handle.closed()).await;
    assert_eq!(reason.error().unwrap().status().unwrap(), 404);
    assert_eq!(reason.error().unwrap().body().unwrap(), "gone");
    assert_eq!(server.requests().len(), 2);
}
