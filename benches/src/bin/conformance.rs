//! What parsers make of the conformance vectors, each in its chunks and byte by byte.
//!
//! `conformance [--contender NAME]… [--list true]`. A table of what differs from the standard, by
//! rule; with `--list true` the names of those vectors as well.

#[path = "../../../tests/wire/vectors.rs"]
mod vectors;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use sse_core::{SseDecoder, SseEvent};
use sse_stream::SseByteStream;
use sseclient::wire::{Decoder, Frame};
use sseclient_benches::args::Args;
use sseclient_benches::report::{head, row};

use self::vectors::Event;

/// The events of a stream in these chunks.
type Read = fn(Vec<Bytes>) -> Vec<Event>;

const PARSERS: [(&str, Read); 4] = [
    ("eventsource-stream 0.2.3", eventsource_stream),
    ("sse-stream 0.3.0", sse_stream),
    ("sse-core 0.2.3", sse_core),
    ("sseclient", ours),
];

fn main() {
    let args = Args::from_env();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance");
    let vectors: Vec<_> =
        ["parser.jsonl", "parser_large.jsonl"].iter().flat_map(|file| vectors::load_path(&folder.join(file))).collect();
    // A parser that panics says so once, in the table.
    std::panic::set_hook(Box::new(|_| {}));
    head(["right", "of", "panics", "wrong, by rule"]);
    for (name, read) in PARSERS.into_iter().filter(|(name, _)| args.wants("contender", name)) {
        let (mut panics, mut wrong, mut names) = (0, BTreeMap::new(), Vec::new());
        for vector in &vectors {
            let bytes = vector.input();
            let single =
                if bytes.len() < 1 << 16 { bytes.chunks(1).map(Bytes::copy_from_slice).collect() } else { Vec::new() };
            let right = [vector.chunks.clone(), single].into_iter().filter(|chunks| !chunks.is_empty()).all(|chunks| {
                let events = catch_unwind(AssertUnwindSafe(|| read(chunks)));
                panics += usize::from(events.is_err());
                events.is_ok_and(|events| events == vector.events)
            });
            if !right {
                *wrong.entry(&vector.rule).or_insert(0) += 1;
                names.push(&*vector.name);
            }
        }
        let by_rule: Vec<String> = wrong.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        let right = vectors.len() - names.len();
        row(name, [right.to_string(), vectors.len().to_string(), panics.to_string(), by_rule.join(", ")]);
        if args.get("list", false) {
            println!("{}", names.join("\n"));
        }
    }
}

fn ours(chunks: Vec<Bytes>) -> Vec<Event> {
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(frame) = decoder.next_frame() {
            if let Frame::Event(event) = frame {
                events.push(event_of(event.event_type(), event.data(), event.last_event_id()));
            }
        }
    }
    events
}

fn sse_core(chunks: Vec<Bytes>) -> Vec<Event> {
    let (mut decoder, mut events) = (SseDecoder::new(), Vec::new());
    for mut chunk in chunks {
        while let Some(item) = decoder.next(&mut chunk) {
            if let Ok(SseEvent::Message(event)) = item {
                events.push(event_of(&event.event, &event.data, event.last_event_id.as_deref().unwrap_or_default()));
            }
        }
    }
    events
}

/// It yields raw blocks. So the last event ID is carried over here, as its users have to do.
fn sse_stream(chunks: Vec<Bytes>) -> Vec<Event> {
    let mut last_event_id = String::new();
    let mut events = Vec::new();
    for block in until_error(SseByteStream::new(byte_stream(chunks))) {
        last_event_id = block.id.unwrap_or(last_event_id);
        if let Some(data) = block.data {
            let event_type = block.event.filter(|event_type| !event_type.is_empty());
            events.push(event_of(event_type.as_deref().unwrap_or("message"), &data, &last_event_id));
        }
    }
    events
}

fn eventsource_stream(chunks: Vec<Bytes>) -> Vec<Event> {
    let events = until_error(byte_stream(chunks).eventsource());
    events.into_iter().map(|event| event_of(&event.event, &event.data, &event.id)).collect()
}

fn byte_stream(chunks: Vec<Bytes>) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
    stream::iter(chunks.into_iter().map(Ok))
}

/// The items up to the first error, where most users stop.
fn until_error<T, E>(stream: impl Stream<Item = Result<T, E>>) -> Vec<T> {
    let items =
        stream.take_while(|item| std::future::ready(item.is_ok())).filter_map(|item| std::future::ready(item.ok()));
    items.collect().now_or_never().expect("everything is in memory")
}

fn event_of(event_type: &str, data: &str, id: &str) -> Event {
    Event { event_type: event_type.to_owned(), data: data.to_owned(), id: id.to_owned() }
}
