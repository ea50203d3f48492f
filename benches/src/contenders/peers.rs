//! Other crates with a public parser.

use std::hint::black_box;

use eventsource_stream::Eventsource;
use sse_core::{SseDecoder, SseEvent};
use sse_parse::SseParser;
use sse_stream::SseByteStream;

use super::{Input, byte_stream, count};

/// Push and pull. `Cow`, `String` and `Option<Arc<str>>` per event.
pub fn sse_core(input: Input) -> usize {
    let mut decoder = SseDecoder::new();
    let mut events = 0;
    for mut chunk in input.chunks {
        while let Some(item) = decoder.next(&mut chunk) {
            events += usize::from(matches!(item, Ok(SseEvent::Message(_))));
            drop(black_box(item));
        }
    }
    events
}

/// A stream of raw blocks, three `Option<String>` each. Blocks without data are not events.
pub fn sse_stream(input: Input) -> usize {
    count(SseByteStream::new(byte_stream(input)), |item| matches!(item, Ok(block) if block.data.is_some()))
}

/// A stream of views into the chunks.
pub fn sseer(input: Input) -> usize {
    count(sseer::EventStream::new(byte_stream(input)), Result::is_ok)
}

/// A stream. Three `String` per event.
pub fn eventsource_stream(input: Input) -> usize {
    count(byte_stream(input).eventsource(), Result::is_ok)
}

/// Push and pull. Three `String` per event.
pub fn sse_parse(input: Input) -> usize {
    let mut parser = SseParser::new();
    let mut events = 0;
    for chunk in input.chunks {
        parser.feed(&chunk);
        while let Some(event) = parser.next_event() {
            events += 1;
            drop(black_box(event));
        }
    }
    events
}
