//! The parsers to compare, each behind one function from chunks to a number of events.
//!
//! Every event is owned (it could be sent to another thread), kept from the optimiser, and dropped
//! as soon as it is counted. The chunks are slices of one buffer, cloned before the clock starts.

mod eventsource_client;
mod limits;
mod ours;
mod peers;

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::{Stream, stream};

/// The input that a contender consumes.
pub struct Input {
    /// The corpus in one piece, for the limits.
    pub whole: Bytes,
    pub chunks: Vec<Bytes>,
}

/// The role of a contender.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Ours,
    Peer,
    /// Not a parser, but a limit of the machine. Its count is not a number of events.
    Limit,
}

/// A parser, or a limit.
#[derive(Clone, Copy)]
pub struct Contender {
    pub name: &'static str,
    pub side: Side,
    pub run: fn(Input) -> usize,
}

/// The name of our decoder with its defaults.
pub const OURS: &str = "sseclient";
/// The name of our decoder with comments wanted.
pub const OURS_WITH_COMMENTS: &str = "sseclient, comments wanted";
/// The fastest other parser on heartbeats that reads comments.
pub const SSE_CORE: &str = "sse-core 0.2.3";
/// The fastest other parser on heartbeats.
pub const SSE_STREAM: &str = "sse-stream 0.3.0";

/// All contenders, in the order of the tables.
pub const ALL: &[Contender] = &[
    limit("limit: memchr(\\n) each", limits::memchr_lines),
    limit("limit: memchr2(\\n,\\r) each", limits::memchr2_lines),
    limit("limit: simdutf8", limits::utf8),
    limit("floor: lines + simdutf8 + 1 String", limits::floor_string),
    limit("floor: lines + simdutf8 + 1 Arc<str>", limits::floor_arc),
    peer("eventsource-stream 0.2.3", peers::eventsource_stream),
    peer("eventsource-client 0.18.0", eventsource_client::run),
    peer("sse-parse 0.1.0", peers::sse_parse),
    peer("sseer 0.3.1", peers::sseer),
    peer(SSE_STREAM, peers::sse_stream),
    peer(SSE_CORE, peers::sse_core),
    Contender { name: OURS_WITH_COMMENTS, side: Side::Ours, run: ours::with_comments },
    Contender { name: OURS, side: Side::Ours, run: ours::events },
];

const fn limit(name: &'static str, run: fn(Input) -> usize) -> Contender {
    Contender { name, side: Side::Limit, run }
}

const fn peer(name: &'static str, run: fn(Input) -> usize) -> Contender {
    Contender { name, side: Side::Peer, run }
}

/// Returns the chunks as the stream of bytes that most parsers take.
fn byte_stream(input: Input) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(input.chunks.into_iter().map(Ok))
}

/// Polls a stream to its end, without an executor, and counts the items that are events.
fn count<S: Stream>(stream: S, is_event: fn(&S::Item) -> bool) -> usize {
    let mut stream = pin!(stream);
    let mut context = Context::from_waker(Waker::noop());
    let mut events = 0;
    loop {
        match stream.as_mut().poll_next(&mut context) {
            Poll::Ready(Some(item)) => {
                events += usize::from(is_event(&item));
                drop(black_box(item));
            }
            Poll::Ready(None) => return events,
            Poll::Pending => unreachable!("everything is in memory"),
        }
    }
}
