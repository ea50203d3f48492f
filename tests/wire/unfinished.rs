//! The block at the end of a stream that has no blank line: dropped, or dispatched if that is
//! wanted.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http_body_util::{Full, StreamBody};
use sseclient::wire::{Decoder, Frame};
use sseclient::{Delivery, EventStream};

use crate::runs::{Owned, cut_at, pull};

fn event(event_type: &str, data: &str, id: Option<&str>) -> String {
    format!("{event_type}: {data:?}, {id:?}")
}

/// All frames of the chunks, in short, and at the end those of an unfinished block.
fn frames(mut decoder: Decoder, chunks: impl IntoIterator<Item = Bytes>) -> Vec<String> {
    let mut frames = Vec::new();
    for (way, chunk) in chunks.into_iter().enumerate() {
        decoder.push(chunk);
        pull(&mut decoder, way, &mut frames);
    }
    frames.extend(decoder.finish().map(Owned::from));
    assert!(decoder.finish().is_none(), "never twice");
    assert!(decoder.next_frame().is_none(), "never twice");
    let short = |frame| match frame {
        Owned::Event { event_type, data, id, .. } => event(&event_type, &data, id.as_deref()),
        other => format!("{other:?}"),
    };
    frames.into_iter().map(short).collect()
}

#[test]
fn an_unfinished_block_is_dispatched_at_the_end_only_if_wanted() {
    let large = format!("data: {}", "x".repeat(10_000));
    for (input, unfinished) in [
        ("data: [DONE]", Some(event("message", "[DONE]", None))),
        ("data: [DONE]\n", Some(event("message", "[DONE]", None))),
        ("data: [DONE]\r", Some(event("message", "[DONE]", None))),
        ("data: [DONE]\r\n", Some(event("message", "[DONE]", None))),
        ("event: a\nid: 7\ndata: x\ndata: y", Some(event("a", "x\ny", Some("7")))),
        ("data: x\nevent: a", Some(event("a", "x", None))),
        ("data", Some(event("message", "", None))),
        ("data: x\nretry: 5", Some(event("message", "x", None))),
        ("data: x\n: a comment", Some(event("message", "x", None))),
        (&large, Some(event("message", &large[6..], None))),
        // No event, but what a block without data does.
        ("id: 7", Some("Id(\"7\")".to_owned())),
        ("retry: 5", Some("Retry(5)".to_owned())),
        // Nothing to dispatch.
        ("", None),
        ("\n", None),
        ("dat", None),
        ("event: a", None),
        (": a comment", None),
        ("retry: soon", None),
        ("\u{feff}", None),
    ] {
        for before in ["", "data: before\n\n", ": x\n"] {
            let all = Bytes::from(format!("{before}{input}"));
            let mut expected: Vec<String> =
                (before == "data: before\n\n").then(|| event("message", "before", None)).into_iter().collect();
            let dropped = expected.clone();
            // A byte order mark in the middle is text, and makes the field unknown.
            expected.extend(unfinished.clone());
            for at in (0..all.len()).filter(|at| all.len() < 100 || at % 1009 == 0) {
                let wanted = Decoder::new().dispatch_unfinished_at_end(true);
                assert_eq!(frames(wanted, cut_at(&all, at)), expected, "{before:?}, {input:.20?}, at {at}");
                assert_eq!(frames(Decoder::new(), cut_at(&all, at)), dropped, "{before:?}, {input:.20?}, at {at}");
            }
        }
    }
}

#[test]
fn a_finished_stream_leaves_nothing_for_the_next_one() {
    let mut decoder = Decoder::new().dispatch_unfinished_at_end(true);
    decoder.push("event: a\nid: 7\ndata: x".into());
    assert!(decoder.next_frame().is_none());
    assert!(matches!(decoder.finish(), Some(Frame::Event(event)) if event.event_type() == "a"));
    assert_eq!(decoder.current_last_event_id(), "7");
    // It begins with a byte that looks like a byte order mark.
    decoder.push(Bytes::from_static(b"\xef"));
    decoder.push(Bytes::from_static(b"\xa3\xbfdata: y\n\ndata: z\n\n"));
    let Some(Frame::Event(event)) = decoder.next_frame() else { panic!("an event") };
    assert_eq!((event.event_type(), event.data(), event.last_event_id()), ("message", "z", "7"));
    // Lent, and not unfinished.
    assert!(decoder.finish().is_none());
}

#[test]
fn an_unfinished_comment_is_dropped_in_any_case() {
    for (input, expected) in [(": a comment", vec![]), ("data: x\n: a comment", vec![event("message", "x", None)])] {
        let decoder = Decoder::new().comments(true).dispatch_unfinished_at_end(true);
        assert_eq!(frames(decoder, [input.into()]), expected, "{input}");
    }
}

#[test]
fn an_unfinished_block_over_the_size_limit_is_oversized() {
    let mut decoder = Decoder::new().dispatch_unfinished_at_end(true).max_event_size(10);
    decoder.push("id: 7\ndata: 0123456789".into());
    assert!(decoder.next_frame().is_none());
    assert!(matches!(decoder.finish(), Some(Frame::Oversized(event)) if event.id() == Some("7")));
}

#[tokio::test]
async fn an_event_stream_dispatches_at_a_regular_end_only() {
    const TEXT: &str = "data: a\n\ndata: [DONE]";
    let whole = || EventStream::new(Full::new(Bytes::from_static(TEXT.as_bytes())));
    assert_eq!(data(whole()).await, ["a"]);
    assert_eq!(data(whole().dispatch_unfinished_at_end(true)).await, ["a", "[DONE]"]);
    let chunks = [Ok(TEXT), Err(io::Error::other("cut"))].map(|chunk| chunk.map(|text| text.as_bytes()));
    let cut = EventStream::from_bytes_stream(tokio_stream::iter(chunks)).dispatch_unfinished_at_end(true);
    assert_eq!(data(cut).await, ["a", "the stream broke off"]);
    let frames = TEXT.split_inclusive('\n').map(|line| Ok::<_, Infallible>(http_body::Frame::data(line.as_bytes())));
    let lines = EventStream::new(StreamBody::new(tokio_stream::iter(frames)));
    assert_eq!(data(lines.dispatch_unfinished_at_end(true)).await, ["a", "[DONE]"]);
}

/// The data of all events, and the message of an error.
async fn data<B>(mut events: EventStream<B>) -> Vec<String>
where
    B: http_body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let mut all = Vec::new();
    while let Some(delivery) = events.recv().await {
        all.push(match delivery {
            Ok(Delivery::Event(event)) => event.data().to_owned(),
            Ok(Delivery::Gap(gap)) => gap.to_string(),
            Err(error) => error.to_string().split(" (").next().unwrap_or_default().to_owned(),
        });
    }
    assert!(events.recv().await.is_none(), "never twice");
    all
}
