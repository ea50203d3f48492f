//! HTTP/2 servers that send without end or block the client. The allocator counts what that costs.
//! The tests write frames by hand, since no library would send these.

#![cfg(feature = "http2")]

use std::time::Duration;

use bytes::Bytes;
use sseclient::{Client, Error, ErrorKind, Filter, ReconnectPolicy, StreamBuilder};

use crate::counting;
use crate::flood::{Flood, Script};
use crate::support::{setback, within};

const MIB: usize = 1 << 20;

/// A connection with one stream may allocate its buffers and one response head.
const MOST_MEMORY: isize = 256 * 1024;

// RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// A frame of this type, with these flags, on this stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A header that is never indexed (RFC 7541, section 6.2.3); `:status: 200` is index 8.
fn literal(name: &str, value: &str) -> Vec<u8> {
    [&[0x10, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

/// The head of an open event stream on stream 1.
fn open() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &[&[0x88][..], &literal("content-type", "text/event-stream")].concat())
}

/// A server that greets with these settings, and answers the request on stream 1.
async fn flood(settings: &[u8], start: Vec<u8>, part: Vec<u8>) -> Flood {
    let greeting = [frame(SETTINGS, 0, 0, settings), frame(SETTINGS, ACK, 0, &[])].concat();
    // The request is complete after its head.
    let is_asked = |asked: &[u8]| asked.windows(6).any(|bytes| bytes[0] == HEADERS && bytes[2..] == [0, 0, 0, 1]);
    Flood::start(Script { greeting, is_asked, start, part }).await
}

/// Returns the error of a stream from this server. Asserts that it took little memory and read
/// little.
async fn given_up(name: &str, server: Flood, more: impl FnOnce(StreamBuilder) -> StreamBuilder) -> Error {
    let failing = async {
        let client = Client::builder().http2_prior_knowledge(true).no_proxy().build();
        let stream = client.stream(format!("http://{}/", server.address)).reconnection_time(Duration::from_secs(60));
        // A POST is repeated, too.
        let handle = more(stream).reconnect_policy(ReconnectPolicy::daemon()).build().unwrap();
        let mut states = handle.state_changes();
        handle.connect();
        let cause = setback(&mut states).await;
        within(handle.shutdown()).await;
        cause
    };
    let (error, memory) = counting::most(failing).await;
    assert!(memory < MOST_MEMORY, "{name}: {memory} bytes of memory");
    let written = server.finish().await;
    if matches!(error.kind(), ErrorKind::Body | ErrorKind::Protocol) {
        // This includes what the socket buffers hold.
        assert!(written < 16 * MIB, "{name}: {written} bytes were sent");
    }
    error
}

/// Endless parts of a head (CVE-2024-27316) of any size, and short references to long headers.
#[test]
fn a_head_that_never_ends_fails_the_attempt_in_bounded_memory() {
    counting::alone(async {
        let field = literal("a", "b");
        // The first header goes into the dynamic table. Each reference to it stands for 4 KiB.
        let long = "v".repeat(3900);
        let indexed = [&[0x40, 1, b'a', 0x7f, 0xbd, 0x1d], long.as_bytes()].concat();
        let head = |more: &[u8]| frame(HEADERS, 0, 1, &[&[0x88], more].concat());
        for (name, start, part) in [
            ("small parts", head(&[]), frame(CONTINUATION, 0, 1, &field)),
            ("large parts", head(&[]), frame(CONTINUATION, 0, 1, &field.repeat(16384 / field.len()))),
            ("empty parts", head(&[]), frame(CONTINUATION, 0, 1, &[])),
            ("pointers", head(&indexed), frame(CONTINUATION, 0, 1, &[0xbe; 1000])),
            (
                "a name without end",
                head(&[0x10, 0x7f, 0xff, 0xff, 0xff, 0x7f]),
                frame(CONTINUATION, 0, 1, &[b'a'; 1000]),
            ),
            (
                "parts of a trailer",
                [open(), frame(HEADERS, END_STREAM, 1, &field)].concat(),
                frame(CONTINUATION, 0, 1, &field),
            ),
        ] {
            let server = flood(&[], start, part).await;
            let error = given_up(name, server, |stream| stream).await;
            let kind = if name == "parts of a trailer" { ErrorKind::Body } else { ErrorKind::Protocol };
            assert_eq!((error.kind(), error.is_final()), (kind, false), "{name}: {error}");
        }
    });
}

#[test]
fn endless_empty_frames_are_an_error_in_bounded_memory() {
    counting::alone(async {
        let padded = |length: u8| [&[length][..], &vec![0; length.into()]].concat();
        for (name, part) in [
            ("empty frames", frame(DATA, 0, 1, &[])),
            ("padding", frame(DATA, PADDED, 1, &padded(255))),
            ("promises", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])),
            ("resets", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ] {
            let server = flood(&[], open(), part).await;
            let error = given_up(name, server, |stream| stream).await;
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::Body, false), "{name}: {error}");
        }
    });
}

/// The client must answer each PING and each SETTINGS, and the server does not read the answers.
#[test]
fn endless_pings_run_into_the_response_timeout_in_bounded_memory() {
    counting::alone(async {
        for (name, part) in [
            ("pings", frame(PING, 0, 0, &[7; 8])),
            ("settings", frame(SETTINGS, 0, 0, &[])),
            (
                "other settings",
                [frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]), frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0])].concat(),
            ),
            ("frames of no type", frame(0x77, 0, 1, &[7; 100])),
            ("nothing", Vec::new()),
        ] {
            let server = flood(&[], Vec::new(), part).await;
            let error = given_up(name, server, |stream| stream.response_timeout(Duration::from_millis(300))).await;
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::ResponseTimeout, false), "{name}: {error}");
        }
    });
}

/// The idle timeout counts data only.
#[test]
fn endless_frames_without_data_do_not_prevent_the_idle_timeout() {
    counting::alone(async {
        for (name, part) in [
            ("pings", frame(PING, 0, 0, &[7; 8])),
            ("windows", frame(WINDOW_UPDATE, 0, 1, &[0, 1, 0, 0])),
            ("frames of no type", frame(0x77, 0, 1, &[7; 100])),
        ] {
            let server = flood(&[], open(), part).await;
            let error = given_up(name, server, |stream| stream.idle_timeout(Duration::from_millis(300))).await;
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::IdleTimeout, false), "{name}: {error}");
        }
    });
}

/// The client copies no request body in the meantime.
#[test]
fn a_server_that_never_grants_a_window_runs_into_the_response_timeout() {
    counting::alone(async {
        let question = Bytes::from(vec![b'?'; 16 * MIB]);
        // SETTINGS_INITIAL_WINDOW_SIZE: zero, and the maximum, which the connection's own window
        // still limits.
        for (name, window) in [("none", [0, 4, 0, 0, 0, 0]), ("the connection's", [0, 4, 0x7f, 0xff, 0xff, 0xff])] {
            let server = flood(&window, Vec::new(), Vec::new()).await;
            let asking =
                |stream: StreamBuilder| stream.body(question.clone()).response_timeout(Duration::from_millis(300));
            let error = given_up(name, server, asking).await;
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::ResponseTimeout, false), "{error}");
        }
    });
}

/// The task waits for a subscriber that takes nothing, and grants no more data. This server ignores
/// the window.
#[test]
fn a_server_that_sends_more_than_it_may_is_cut_off_in_bounded_memory() {
    counting::alone(async {
        let event = format!("data: {}\n\n", "x".repeat(1000));
        let server = flood(&[], open(), frame(DATA, 0, 1, event.as_bytes())).await;
        let stuck = async {
            let client = Client::builder().http2_prior_knowledge(true).no_proxy().build();
            let handle = client.stream(format!("http://{}/", server.address)).capacity(4).build().unwrap();
            let _events = handle.subscribe(Filter::all());
            // The task waits for the other one for a second only, because it holds up this one.
            let _held_up = handle.subscribe("other");
            let mut states = handle.state_changes();
            handle.connect();
            let cause = setback(&mut states).await;
            within(handle.shutdown()).await;
            cause
        };
        let (error, memory) = counting::most(stuck).await;
        server.finish().await;
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Body, false), "{error}");
        // One more window of a stream.
        assert!(memory < 2 * MOST_MEMORY, "{memory} bytes of memory");
    });
}
