//! Shared by the wire tests and the fuzz target: owned frames, one way to drive a decoder, and
//! texts for failures.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod reference;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sseclient::wire::{Decoder, Frame};

/// A frame that outlives the decoder's next step.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Owned {
    Event { event_type: String, data: String, id: Option<String>, last_event_id: String, retry: Option<Duration> },
    Comment(String),
    Retry(u64),
    Id(String),
    Oversized { event_type: Option<String>, id: Option<String>, size: u64 },
}

impl From<Frame<'_>> for Owned {
    /// Panics unless the event of a frame has the same fields as the frame.
    fn from(frame: Frame<'_>) -> Self {
        match frame {
            Frame::Event(frame) => {
                let event = frame.to_event();
                assert_eq!(event.event_type(), frame.event_type(), "to_event changed the type");
                assert_eq!(event.data(), frame.data(), "to_event changed the data");
                assert_eq!(event.id(), frame.id(), "to_event changed the ID");
                assert_eq!(event.last_event_id(), frame.last_event_id(), "to_event changed the last event ID");
                assert_eq!(event.retry(), frame.retry(), "to_event changed the retry");
                Self::Event {
                    event_type: frame.event_type().to_owned(),
                    data: frame.data().to_owned(),
                    id: frame.id().map(str::to_owned),
                    last_event_id: frame.last_event_id().to_owned(),
                    retry: frame.retry(),
                }
            }
            Frame::Comment(text) => Self::Comment(text.to_owned()),
            Frame::Retry(milliseconds) => Self::Retry(milliseconds),
            Frame::Id(id) => Self::Id(id.to_owned()),
            Frame::Oversized(frame) => Self::Oversized {
                event_type: frame.event_type().map(str::to_owned),
                id: frame.id().map(str::to_owned),
                size: frame.size(),
            },
            other => panic!("a frame that these tests do not know: {other:?}"),
        }
    }
}

/// Shows both ends and the length of a long text.
impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { event_type, data, id, last_event_id, retry } => {
                let id = id.as_deref().map(|id| shown(id.as_bytes()));
                write!(f, "Event {{ type {}", shown(event_type.as_bytes()))?;
                write!(f, ", data {}", shown(data.as_bytes()))?;
                write!(f, ", own id {}", id.as_deref().unwrap_or("none"))?;
                write!(f, ", last event ID {}", shown(last_event_id.as_bytes()))?;
                write!(f, ", retry {retry:?} }}")
            }
            Self::Comment(text) => write!(f, "Comment({})", shown(text.as_bytes())),
            Self::Retry(milliseconds) => write!(f, "Retry({milliseconds})"),
            Self::Id(id) => write!(f, "Id({})", shown(id.as_bytes())),
            Self::Oversized { event_type, id, size } => {
                let part = |part: &Option<String>| match part {
                    Some(text) => shown(text.as_bytes()),
                    None => "none".to_owned(),
                };
                write!(f, "Oversized {{ type {}, id {}, size {size} }}", part(event_type), part(id))
            }
        }
    }
}

/// The result of decoding a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) frames: Vec<Owned>,
    /// The number of frames after each chunk.
    pub(crate) after_chunk: Vec<usize>,
    /// The last event ID after the end of the stream.
    pub(crate) last_event_id: String,
}

impl Outcome {
    /// The number of events after each chunk.
    pub(crate) fn events_after_chunk(&self) -> Vec<usize> {
        let event = |frame: &&Owned| matches!(frame, Owned::Event { .. });
        self.after_chunk.iter().map(|&frames| self.frames[..frames].iter().filter(event).count()).collect()
    }

    pub(crate) fn without_comments(&self) -> Vec<Owned> {
        self.frames.iter().filter(|frame| !matches!(frame, Owned::Comment(_))).cloned().collect()
    }
}

/// Pushes the chunks, pulls all frames after each one, and ends the stream.
///
/// It alternates between the ways of pulling, which must make no difference.
pub(crate) fn run(mut decoder: Decoder, chunks: impl IntoIterator<Item = Bytes>) -> Outcome {
    let mut frames = Vec::new();
    let mut after_chunk = Vec::new();
    for (turn, chunk) in chunks.into_iter().enumerate() {
        let way = turn + chunk.len();
        decoder.push(chunk);
        pull(&mut decoder, way, &mut frames);
        after_chunk.push(frames.len());
    }
    decoder.finish();
    // Complete frames came at once and an incomplete one is dropped, so the end gives no frame.
    if let Some(frame) = decoder.next_frame() {
        panic!("a frame after the end of the stream: {:?}", Owned::from(frame));
    }
    Outcome { frames, after_chunk, last_event_id: decoder.current_last_event_id().to_owned() }
}

/// All available frames: one by one, together, or some of them one by one and then the others.
pub(crate) fn pull(decoder: &mut Decoder, way: usize, frames: &mut Vec<Owned>) {
    if way % 3 == 0 {
        frames.extend(decoder.next_frame().map(Owned::from));
        frames.extend(decoder.frames().next_frame().map(Owned::from));
    }
    if way % 3 == 1 {
        while let Some(frame) = decoder.next_frame() {
            frames.push(Owned::from(frame));
        }
    }
    let mut rest = decoder.frames();
    while let Some(frame) = rest.next_frame() {
        frames.push(Owned::from(frame));
    }
}

/// The whole input as one chunk.
pub(crate) fn whole(input: &Bytes) -> Vec<Bytes> {
    vec![input.clone()]
}

/// One chunk for every byte.
pub(crate) fn byte_by_byte(input: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    (0..input.len()).map(|at| input.slice(at..at + 1))
}

/// Two chunks.
pub(crate) fn cut_at(input: &Bytes, at: usize) -> [Bytes; 2] {
    [input.slice(..at), input.slice(at..)]
}

/// Chunks of these lengths, used cyclically. If all are zero there is one chunk.
pub(crate) fn cut_by(input: &Bytes, lengths: &[usize]) -> Vec<Bytes> {
    if lengths.iter().all(|&length| length == 0) {
        return whole(input);
    }
    let mut rest = input.clone();
    let mut chunks = Vec::new();
    for &length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        chunks.push(rest.split_to(length.min(rest.len())));
    }
    chunks
}

/// Bytes as a literal. Long ones are shown by both ends and the length.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const ENDS: usize = 48;
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("b\"{}\"", bytes.escape_ascii()),
    };
    if bytes.len() <= 3 * ENDS {
        return text(bytes);
    }
    let (head, tail) = (&bytes[..ENDS], &bytes[bytes.len() - ENDS..]);
    format!("{}…{} ({} bytes)", text(head), text(tail), bytes.len())
}

/// The first place where two lists differ, with both sides, or `None` if they are equal.
pub(crate) fn difference<T: PartialEq + fmt::Debug>(what: &str, expected: &[T], got: &[T]) -> Option<String> {
    let at = (0..expected.len().max(got.len())).find(|&at| expected.get(at) != got.get(at))?;
    let side = |list: &[T]| list.get(at).map_or_else(|| "nothing more".to_owned(), |item| format!("{item:?}"));
    Some(format!(
        "{what} #{at} (expected {} in all, got {}):\n    expected {}\n    got      {}",
        expected.len(),
        got.len(),
        side(expected),
        side(got),
    ))
}
