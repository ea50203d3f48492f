//! HTTP/1.1 servers that answer without end, and long answers that are valid. The allocator counts
//! what they cost.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use sseclient::{Error, ErrorKind, Filter, testing};

use crate::counting;
use crate::flood::{Flood, Script};
use crate::support::{OPEN, RawServer, follow, serve, short, stream, within};

const MIB: usize = 1 << 20;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Runs an attempt that is answered with `start`, and then with `part` without end. Returns its
/// error, how many bytes the server sent, and how much memory the attempt took.
async fn answered_without_end(start: &str, part: &str, patience: Duration) -> (Error, usize, isize) {
    let server = Flood::start(Script::http(start, part)).await;
    let asking = stream(&format!("http://{}/stream", server.address)).response_timeout(patience).open(Filter::all());
    let (opened, memory) = counting::most(within(asking)).await;
    (opened.unwrap_err(), server.finish().await, memory)
}

#[test]
fn a_head_without_end_is_a_transient_error_in_bounded_memory() {
    counting::alone(async {
        let patience = Duration::from_secs(30);
        for (start, part) in [
            ("HTTP/1.1 200 OK\r\n", "x-header: a value like any other\r\n"),
            ("HTTP/1.1 200 OK\r\nx-header: ", "a"),
            ("HTTP/1.1 200 OK\r\n", "a"),
            ("HTTP/1.1 200 ", "a"),
            ("HTTP/1.1 103 Early Hints\r\n", "x-header: a value like any other\r\n"),
            ("", "\r\n"),
            ("HTTP/1.1 103 Early Hints\r\n\r\n", "\n"),
        ] {
            let (error, written, memory) = answered_without_end(start, part, patience).await;
            assert_eq!((error.kind(), error.is_final()), (ErrorKind::Protocol, false), "{start}{part}: {error}");
            assert!(error.source().is_some(), "{start}{part}");
            // This includes what the socket buffers hold.
            assert!(written < 16 * MIB, "{start}{part}: {written} bytes were sent");
            assert!(memory < MIB as isize, "{start}{part}: {memory} bytes of memory");
        }
    });
}

/// The client discards each interim response, so only the timeout ends the attempt.
#[test]
fn endless_interim_responses_run_into_the_timeout_in_bounded_memory() {
    counting::alone(async {
        let hint = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";
        let (error, _, memory) = answered_without_end("", hint, Duration::from_millis(200)).await;
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::ResponseTimeout, false), "{error}");
        assert!(memory < MIB as isize, "{memory} bytes of memory");
    });
}

/// The redirects lead in a circle, up to the limit.
#[test]
fn endless_bodies_of_redirects_and_refusals_are_read_only_at_the_start() {
    counting::alone(async {
        let chunked = "transfer-encoding: chunked\r\n\r\n";
        let long = "x".repeat(100 * 1024);
        for (head, part, kind, connections) in [
            ("302 Found\r\nlocation: /stream\r\n\r\n".to_owned(), "no end ", ErrorKind::TooManyRedirects, 21),
            (
                format!("307 Found\r\nlocation: /stream\r\n{chunked}"),
                "7\r\nno end \r\n",
                ErrorKind::TooManyRedirects,
                21,
            ),
            (format!("302 Found\r\nlocation: /stream?{long}\r\n\r\n"), "no end ", ErrorKind::Redirect, 1),
            (
                format!("302 Found\r\nlocation: /stream\r\nx: {long}\r\n\r\n"),
                "no end ",
                ErrorKind::TooManyRedirects,
                21,
            ),
            ("503 Later\r\n\r\n".to_owned(), "no end ", ErrorKind::Status, 1),
            (format!("404 Never\r\n{chunked}"), "7\r\nno end \r\n", ErrorKind::Status, 1),
            ("200 Fine\r\ncontent-type: text/html\r\n\r\n".to_owned(), "no end ", ErrorKind::ContentType, 1),
        ] {
            let (error, written, memory) =
                answered_without_end(&format!("HTTP/1.1 {head}"), part, Duration::from_secs(30)).await;
            let name = &head[..head.len().min(60)];
            assert_eq!(error.kind(), kind, "{name}: {error}");
            assert_eq!(error.body().unwrap(), &"no end ".repeat(8 * 1024)[..8 * 1024], "{name}");
            // This includes what the socket buffers of each connection hold.
            assert!(written < connections * 16 * MIB, "{name}: {written} bytes were sent");
            assert!(memory < MIB as isize, "{name}: {memory} bytes of memory");
        }
    });
}

#[test]
fn a_thousand_interim_responses_come_before_a_stream_like_any_other() {
    counting::alone(async {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".repeat(1000);
        let server = serve(testing::Script::raw().bytes(format!("{hints}{OPEN}data: x\n\n"))).await;
        let (handle, mut subscription) = follow(stream(server.url()));
        assert_eq!(short(&mut subscription).await, "x");
        handle.shutdown().await;
    });
}

#[test]
fn a_million_chunks_of_one_byte_are_one_event_in_bounded_memory() {
    counting::alone(async {
        let chunks: Arc<str> = "1\r\na\r\n".repeat(1000).into();
        let server = RawServer::start(move |_, mut connection| {
            let chunks = Arc::clone(&chunks);
            async move {
                connection.send(&format!("{CHUNKED}6\r\ndata: \r\n")).await;
                for _ in 0..1000 {
                    connection.send(&chunks).await;
                }
                connection.send("2\r\n\n\n\r\n").await;
                connection.closed().await;
            }
        })
        .await;
        let following = async {
            let (handle, mut subscription) = follow(stream(&server.url));
            assert_eq!(short(&mut subscription).await.len(), 1_000_000);
            handle
        };
        let (handle, memory) = counting::most(following).await;
        // Room for the event, and for the buffers in which it grew.
        assert!(memory < 8 * MIB as isize, "{memory} bytes of memory");
        handle.shutdown().await;
    });
}

/// hyper allows 16 KiB of extensions in a whole body. This crate allows 4 KiB in each chunk's line.
#[cfg(not(sseclient_plain_hyper))]
#[test]
fn a_server_with_an_extension_on_each_chunk_is_read_like_any_other() {
    counting::alone(async {
        let server = RawServer::start(|_, mut connection| async move {
            connection.send(CHUNKED).await;
            for id in 1..=5000 {
                let event = format!("id: {id}\ndata: {id}\n\n");
                connection.send(&format!("{:x};name=56789\r\n{event}\r\n", event.len())).await;
            }
            connection.closed().await;
        })
        .await;
        let (handle, mut subscription) = follow(stream(&server.url));
        for next in 1..=5000 {
            assert_eq!(short(&mut subscription).await, next.to_string());
        }
        assert!(handle.stats().failures.is_empty());
        handle.shutdown().await;
    });
}
