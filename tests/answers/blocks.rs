//! Blocks as the server sent them: with and without data, and comments between them.

use std::io;

use http_body::Body;
use sseclient::wire::{Decoder, Frame};
use sseclient::{Block, EventStream};

use crate::script::{bytewise, chunks, next};

/// A block in short: what it is, then type, ID and reconnection time.
fn in_short(block: Block) -> String {
    let short = |event_type: &str, id: Option<&str>, retry: Option<std::time::Duration>| {
        format!("{event_type} {id:?} {:?}", retry.map(|retry| retry.as_millis()))
    };
    match block {
        Block::Event(event) => {
            format!("{:?}: {}", event.data(), short(event.event_type(), event.id(), event.retry()))
        }
        Block::WithoutData { event_type, id, retry, .. } => {
            format!("no data: {}", short(&event_type, id.as_deref(), retry))
        }
        Block::Comment(text) => format!("comment {text:?}"),
        Block::Gap(gap) => gap.to_string(),
        other => format!("{other:?}"),
    }
}

async fn blocks<B: Body<Error = io::Error>>(mut events: EventStream<B>) -> Vec<String> {
    let mut blocks = Vec::new();
    while let Some(block) = events.recv_block().await {
        blocks.push(block.map_or_else(|error| error.kind().as_str().to_owned(), in_short));
    }
    assert!(events.recv_block().await.is_none());
    blocks
}

#[tokio::test]
async fn each_block_comes_as_the_server_sent_it() {
    for (input, expected) in [
        ("data: a\n\n", &["\"a\": message None None"][..]),
        ("id: 7\nevent: b\nretry: 5\ndata: a\ndata: b\n\n", &["\"a\\nb\": b Some(\"7\") Some(5)"]),
        // How a server of the Model Context Protocol begins: an ID, and no data or empty data.
        ("id: 7\ndata:\n\n", &["\"\": message Some(\"7\") None"]),
        ("id: 7\n\n", &["no data: message Some(\"7\") None"]),
        ("id\n\n", &["no data: message Some(\"\") None"]),
        ("retry: 500\n\n", &["no data: message None Some(500)"]),
        ("retry: 500\nid: 7\nevent: b\n\n", &["no data: b Some(\"7\") Some(500)"]),
        ("event: b\n\n", &["no data: b None None"]),
        // Twice, and the last one counts.
        ("retry: 1\nretry: 2\n\ndata: a\n\n", &["no data: message None Some(2)", "\"a\": message None None"]),
        // None of these says anything.
        ("\n\n\nretry: soon\n\nid: a\0b\n\nevent\n\nfoo: bar\n\n: a comment\n\n", &[]),
        // Unfinished blocks are dropped.
        ("retry: 5\n", &[]),
        ("data: a\n\nid: 7\nevent: b\n", &["\"a\": message None None"]),
        // Nothing of a block is in the next one.
        ("event: b\nretry: 5\n\ndata: a\n\n", &["no data: b None Some(5)", "\"a\": message None None"]),
    ] {
        for body in [chunks([input]), bytewise(input.as_bytes()), chunks(input.split_inclusive('\n'))] {
            assert_eq!(blocks(EventStream::new(body)).await, expected, "{input:?}");
        }
        // Events alone are the same in both ways to read.
        let mut events = EventStream::new(chunks([input]));
        for block in expected.iter().filter(|block| block.starts_with('"')) {
            assert_eq!(format!("{:?}", next(&mut events).await), block.split(": ").next().unwrap());
        }
        assert_eq!(next(&mut events).await, "end", "{input:?}");
    }
}

#[tokio::test]
async fn comments_come_in_their_place_if_they_are_wanted() {
    let input = ": one\ndata: a\n:two\n\n: three\n\n";
    let event = "\"a\": message None None";
    for body in [chunks([input]), bytewise(input.as_bytes())] {
        let expected = ["comment \" one\"", "comment \"two\"", event, "comment \" three\""];
        assert_eq!(blocks(EventStream::new(body).comments(true)).await, expected);
    }
    assert_eq!(blocks(EventStream::new(chunks([input]))).await, [event]);
    let mut events = EventStream::new(chunks([input])).comments(true);
    assert_eq!(crate::script::all(&mut events).await, ["a", "end"], "`recv` yields none");
}

#[tokio::test]
async fn an_oversized_block_and_the_end_mark_are_as_for_events() {
    let input = "id: 7\n\ndata: 0123456789\n\ndata: [DONE]\n\nid: 8\n\n";
    let stream = |input| EventStream::new(chunks([input])).max_event_size(8).end_mark("[DONE]");
    let expected = ["no data: message Some(\"7\") None", "1 event was skipped: over the size limit, 10 bytes"];
    assert_eq!(blocks(stream(input)).await, expected);
    assert_eq!(blocks(stream("id: 7\n\n")).await, ["no data: message Some(\"7\") None", "incomplete"]);
}

#[tokio::test]
async fn both_ways_to_read_alternate_and_lose_no_event() {
    let input = "id: 1\n\ndata: a\n\nretry: 5\n\ndata: b\n\nid: 2\n\nid: 3\n\ndata: c\n\n";
    for body in [chunks([input]), bytewise(input.as_bytes())] {
        let mut events = EventStream::new(body);
        let block = async |events: &mut EventStream<_>| in_short(events.recv_block().await.unwrap().unwrap());
        assert_eq!(block(&mut events).await, "no data: message Some(\"1\") None");
        assert_eq!((next(&mut events).await.as_str(), events.reconnection_time()), ("a", None));
        assert_eq!(next(&mut events).await, "b", "the lone retry is no event");
        assert_eq!(events.reconnection_time().unwrap().as_millis(), 5);
        assert_eq!(events.last_event_id(), "1");
        assert_eq!(block(&mut events).await, "no data: message Some(\"2\") None");
        assert_eq!(next(&mut events).await, "c");
        assert_eq!(events.last_event_id(), "3");
    }
}

#[tokio::test]
async fn events_without_an_id_inherit_the_one_that_the_response_resumes_from() {
    let mut events = EventStream::new(chunks(["data: a\n\nid: 8\ndata: b\n\n"])).resumed_from("7");
    assert_eq!(events.last_event_id(), "7");
    for expected in ["7", "8"] {
        let event = events.recv().await.unwrap().unwrap().event().unwrap();
        assert_eq!(event.last_event_id(), expected);
    }
}

#[tokio::test]
async fn the_reconnection_time_is_the_last_valid_one_and_not_clamped() {
    for (input, expected) in
        [("", None), ("retry: 1\n\n", Some(1)), ("retry: 7\nretry: x\n\nretry: 90000000\n", Some(90_000_000))]
    {
        let mut events = EventStream::new(chunks([input]));
        assert_eq!(next(&mut events).await, "end");
        assert_eq!(events.reconnection_time().map(|time| time.as_millis()), expected, "{input:?}");
    }
}

#[test]
fn a_decoder_makes_frames_of_empty_blocks_only_if_they_are_wanted() {
    for (wanted, expected) in [(true, vec!["retry", "empty"]), (false, vec!["retry", "id"])] {
        let mut decoder = Decoder::new().empty_blocks(wanted);
        decoder.push("retry: 5\nid: 7\nevent: b\n\n".into());
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame() {
            frames.push(match frame {
                Frame::Retry(5) => "retry",
                Frame::Id("7") => "id",
                Frame::EmptyBlock(block) => {
                    assert_eq!((block.event_type(), block.data(), block.id()), ("b", "", Some("7")));
                    assert_eq!(block.retry().unwrap().as_millis(), 5);
                    "empty"
                }
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(frames, expected);
        assert_eq!(decoder.current_last_event_id(), "7");
    }
}
