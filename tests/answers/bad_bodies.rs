//! Bodies that fail, end early or never end.

use sseclient::{ErrorKind, EventStream};

use crate::script::{Step, all, chunks, next, script, text};

#[tokio::test]
async fn a_body_that_fails_yields_what_came_before_and_then_one_error() {
    for (steps, items) in [
        (vec![Step::Fail], &["body", "end"][..]),
        (vec![text("data: a\n\n"), Step::Fail, text("data: b\n\n")], &["a", "body", "end"]),
        (vec![text("data: a\n\ndata: b"), Step::Fail], &["a", "body", "end"]),
        (vec![text("data: a\n\nda"), text("ta: b\n"), text("\n")], &["a", "b", "end"]),
        (vec![], &["end"]),
        (vec![text("data: a")], &["end"]),
    ] {
        let mut events = EventStream::new(script(steps));
        assert_eq!(all(&mut events).await, items);
    }
    let mut events = EventStream::new(script([Step::Fail]));
    let error = events.recv().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "cut");
}

/// The caller drops the future each time, as a `select!` loop does.
#[test]
fn nothing_is_lost_when_the_future_of_recv_is_dropped() {
    let (sender, body) = crate::script::live();
    let mut events = EventStream::new(body).end_mark("[DONE]");
    let mut taken = Vec::new();
    for byte in b"data: a\n\nid: 7\n\ndata: b\n\ndata: [DONE]\n\n" {
        sender.send(text(vec![*byte])).unwrap();
        let mut task = tokio_test::task::spawn(next(&mut events));
        if let std::task::Poll::Ready(item) = task.poll() {
            taken.push(item);
        }
    }
    assert_eq!(taken, ["a", "b", "end"]);
    assert_eq!(events.last_event_id(), "7");
}

#[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
#[tokio::test]
async fn a_compressed_body_that_is_cut_or_corrupt_is_an_error_even_with_a_mark() {
    for coding in crate::codings::CODINGS {
        let stream = |chunks: Vec<Vec<u8>>| {
            let body = script(chunks.into_iter().map(text));
            let response = http::Response::builder().header("content-type", "text/event-stream");
            let response = response.header("content-encoding", coding.name).body(body).unwrap();
            EventStream::try_from_response(response).unwrap().end_mark("[DONE]")
        };
        let mut encoder = (coding.encoder)();
        let begun = encoder.flush("data: a\n\n");
        assert_eq!(all(&mut stream(vec![begun.clone()])).await, ["a", "body", "end"], "{}", coding.name);
        // After the mark the rest of the coding matters no more.
        let marked = [begun, encoder.flush("data: [DONE]\n\n")].concat();
        assert_eq!(all(&mut stream(vec![marked.clone()])).await, ["a", "end"], "{}", coding.name);
        assert_eq!(all(&mut stream(vec![marked, vec![0xff; 100]])).await, ["a", "end"], "{}", coding.name);
        assert_eq!(all(&mut stream(vec![vec![0xff; 100]])).await, ["body", "end"], "{}", coding.name);
    }
}

#[tokio::test]
async fn a_mark_that_is_empty_or_long_is_a_mark_like_any_other() {
    let long = "x".repeat(100_000);
    for mark in ["", "a\nb", &long] {
        let event: String = mark.split('\n').map(|line| format!("data: {line}\n")).collect();
        let input = format!("data: before\n\n{event}\ndata: after\n\n");
        let mut events = EventStream::new(chunks([&*input])).end_mark(mark);
        assert_eq!(all(&mut events).await, ["before", "end"]);
    }
}

/// A body that is dropped closes its connection: this is how a caller cancels an answer.
#[test]
fn a_stream_that_is_dropped_drops_its_body_at_once() {
    for begun in [false, true] {
        let (sender, body) = crate::script::live();
        let mut events = EventStream::new(body).end_mark("[DONE]");
        if begun {
            sender.send(text("data: one\n\ndata: tw")).unwrap();
            assert!(tokio_test::task::spawn(events.recv()).poll().is_ready());
            assert!(tokio_test::task::spawn(events.recv()).poll().is_pending());
        }
        assert!(!sender.is_closed());
        drop(events);
        assert!(sender.is_closed(), "begun: {begun}");
    }
}
