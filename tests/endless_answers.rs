//! Servers that answer without end over HTTP/1.1, what it costs, counted by the allocator, and what is only long.

mod counting;
mod support;

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sseclient::{Error, ErrorKind, Filter};
use support::{OPEN, Server, follow, short, stream, within};
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

const MIB: usize = 1 << 20;

/// What is counted is the whole process's: one test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The error of an attempt that is answered with `start`, and then with `part` up to a GiB; what the server could send;
/// and how much memory it took.
async fn answered_without_end(start: &'static str, part: &str, patience: Duration) -> (Error, usize, isize) {
    let part: Arc<[u8]> = part.repeat(16 * 1024 / part.len()).into_bytes().into();
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let server = Server::hearing(move |_, mut connection| {
        let (part, counted) = (Arc::clone(&part), Arc::clone(&counted));
        async move {
            connection.send(start).await;
            while counted.load(Relaxed) < 1024 * MIB && connection.tcp.write_all(&part).await.is_ok() {
                counted.fetch_add(part.len(), Relaxed);
            }
        }
    })
    .await;
    let before = counting::LIVE.load(Relaxed);
    counting::PEAK.store(before, Relaxed);
    let error = within(stream(&server.url).response_timeout(patience).open(Filter::all())).await.unwrap_err();
    (error, written.load(Relaxed), counting::PEAK.load(Relaxed) - before)
}

#[tokio::test]
async fn a_head_without_end_is_a_transient_error_in_bounded_memory() {
    let _alone = ALONE.lock().await;
    let patience = Duration::from_secs(30);
    for (start, part) in [
        ("HTTP/1.1 200 OK\r\n", "x-header: a value like any other\r\n"),
        ("HTTP/1.1 200 OK\r\nx-header: ", "a"),
        ("HTTP/1.1 200 OK\r\n", "a"),
        ("HTTP/1.1 200 ", "a"),
        ("HTTP/1.1 103 Early Hints\r\n", "x-header: a value like any other\r\n"),
    ] {
        let (error, written, memory) = answered_without_end(start, part, patience).await;
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Protocol, false), "{start}{part}: {error}");
        assert!(error.source().is_some(), "{start}{part}");
        // What the sockets hold comes on top of what was read.
        assert!(written < 16 * MIB, "{start}{part}: {written} bytes were sent");
        assert!(memory < MIB as isize, "{start}{part}: {memory} bytes of memory");
    }
}

/// Each is read and forgotten, so there is only the time.
#[tokio::test]
async fn interim_responses_without_end_are_given_up_when_the_answer_is_late_in_bounded_memory() {
    let _alone = ALONE.lock().await;
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";
    let (error, _, memory) = answered_without_end("", hint, Duration::from_millis(200)).await;
    assert_eq!((error.kind(), error.is_final()), (ErrorKind::ResponseTimeout, false), "{error}");
    assert!(memory < MIB as isize, "{memory} bytes of memory");
}

#[tokio::test]
async fn a_thousand_interim_responses_come_before_a_stream_like_any_other() {
    let _alone = ALONE.lock().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".repeat(1000);
    let server = Server::answering(vec![format!("{hints}{OPEN}data: x\n\n")]).await;
    let (handle, mut subscription) = follow(stream(&server.url));
    assert_eq!(short(&mut subscription).await, "x");
    handle.shutdown().await;
}

#[tokio::test]
async fn a_million_chunks_of_one_byte_are_one_event_in_bounded_memory() {
    let _alone = ALONE.lock().await;
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks: Arc<str> = "1\r\na\r\n".repeat(1000).into();
    let server = Server::start(move |_, mut connection| {
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
    let before = counting::LIVE.load(Relaxed);
    counting::PEAK.store(before, Relaxed);
    let (handle, mut subscription) = follow(stream(&server.url));
    assert_eq!(short(&mut subscription).await.len(), 1_000_000);
    let memory = counting::PEAK.load(Relaxed) - before;
    // The event, where it was put together, and what it grew from.
    assert!(memory < 8 * MIB as isize, "{memory} bytes of memory");
    handle.shutdown().await;
}
