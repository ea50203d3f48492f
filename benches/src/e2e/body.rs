//! The bodies that the server sends, rendered when it starts.

use std::io::Write;

use crate::corpora::Corpus;

/// The payload of one unit of a body, without the framing of HTTP chunks.
const UNIT: usize = 4 << 20;

/// How events are put into HTTP chunks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One chunk per event, as from a server that flushes each event.
    Event,
    /// Chunks of 16 KiB, as from a proxy that buffers, or a replay.
    Large,
}

/// Both framings, by the names that the command line takes.
pub const FRAMINGS: [(&str, Framing); 2] = [("event", Framing::Event), ("16k", Framing::Large)];

/// A piece of a body that the server repeats.
pub struct Unit {
    pub bytes: Vec<u8>,
    pub events: usize,
    /// Where each HTTP chunk ends. With [`Framing::Event`] that is the end of each event.
    ends: Vec<usize>,
}

impl Unit {
    pub fn render(corpus: &str, framing: Framing) -> Self {
        let blocks = Corpus::named(corpus).blocks(UNIT);
        let (mut bytes, mut ends) = (Vec::with_capacity(2 * UNIT), Vec::new());
        let mut push = |payload: &[u8]| {
            push_chunk(&mut bytes, payload);
            ends.push(bytes.len());
        };
        match framing {
            Framing::Event => blocks.iter().for_each(|block| push(block)),
            Framing::Large => blocks.concat().chunks(16 << 10).for_each(push),
        }
        Self { bytes, events: blocks.len(), ends }
    }

    /// Returns the first `chunks` HTTP chunks.
    pub fn start(&self, chunks: usize) -> &[u8] {
        let end = chunks.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.bytes[..end]
    }
}

/// Appends one HTTP chunk.
pub fn push_chunk(body: &mut Vec<u8>, payload: &[u8]) {
    write!(body, "{:x}\r\n", payload.len()).expect("a Vec takes everything");
    body.extend_from_slice(payload);
    body.extend_from_slice(b"\r\n");
}

/// The end of a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
