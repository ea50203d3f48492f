//! [`Decoder`]: chunks in, frames out.

use bytes::{Bytes, BytesMut};
use simdutf8::basic::from_utf8;

use super::block_reader::BlockReader;
use super::frame::Frame;
use super::frames::{self, Frames};
use super::joined::Joined;
use super::lines::{self, Lines};

/// The default of [`Decoder::max_event_size`]: 16 MiB.
pub const DEFAULT_MAX_EVENT_SIZE: usize = 16 * 1024 * 1024;

/// The most that the limit can be: invalid text can triple when it is replaced, and has to fit an
/// event all the same.
const MAX_LIMIT: usize = 1024 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A decoder of one event stream: [`push`](Self::push) chunks, pull frames until there are none.
///
/// # QueueLimits
///
/// A block whose fields, with the line being read, have more than
/// [`max_event_size`](Self::max_event_size) bytes is skipped in constant memory up to its blank
/// line and comes out as [`Frame::Oversized`]; its ID still counts. The decoder holds at most that
/// many bytes plus a constant (half as much again when a type, an ID or a comment is large as well,
/// since each buffer has room to grow), besides the chunk it is reading, the last event ID, and, for
/// text that is not UTF-8, its replacement. Cost is linear in the input, whatever the chunks.
///
/// # Where it departs from the standard
///
/// By the letter each stream starts with an empty ID buffer; this one can be seeded with the last
/// event ID of the stream before (as Blink does), since otherwise the first event without an ID
/// after a reconnection would wipe the resume point. A `retry` that overflows saturates. Nothing else.
///
/// # Examples
///
/// ```
/// use sseclient::wire::{Decoder, Frame};
///
/// let mut decoder = Decoder::new();
/// decoder.push("event: update\ndata: 1\n\nda".into());
/// let Some(Frame::Event(event)) = decoder.next_frame() else { panic!("an event") };
/// assert_eq!((event.event_type(), event.data()), ("update", "1"));
/// assert!(decoder.next_frame().is_none()); // the rest needs more bytes
/// ```
#[derive(Debug)]
pub struct Decoder {
    chunk: Bytes,
    /// Where two chunks meet that share a block: read before the rest of the chunk.
    bytes: Vec<u8>,
    joined: Joined,
    /// Of what is read, which is one of the two.
    lines: Lines,
    reader: BlockReader,
    /// How many bytes of a byte order mark have come; `None` once past the start.
    mark: Option<usize>,
    /// The chunk ends in CR: an LF at the start of the next belongs to it.
    after_cr: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder for a stream from its start.
    pub fn new() -> Self {
        Self {
            chunk: Bytes::new(),
            bytes: Vec::new(),
            joined: Joined::default(),
            lines: Lines::default(),
            reader: BlockReader::new(DEFAULT_MAX_EVENT_SIZE),
            mark: Some(0),
            after_cr: false,
        }
    }

    /// The most bytes that the fields of one block, with the line being read, may have; 16 MiB by
    /// default ([`DEFAULT_MAX_EVENT_SIZE`]), at most 1 GiB.
    #[must_use]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        self.reader.assembler.limit = bytes.min(MAX_LIMIT);
        self
    }

    /// The last event ID that the stream resumes from; events that set none inherit it.
    #[must_use]
    pub fn last_event_id(mut self, id: &str) -> Self {
        self.reader.last_event_id.commit(id);
        self
    }

    /// Whether to make frames of comments; by default they are skipped unread. A comment that does not
    /// fit under the limit, together with the block it stands in, is skipped in any case.
    #[must_use]
    pub fn comments(mut self, wanted: bool) -> Self {
        self.set_comments(wanted);
        self
    }

    /// As [`comments`](Self::comments), from the next line on.
    pub fn set_comments(&mut self, wanted: bool) {
        self.reader.assembler.wants_comments = wanted;
    }

    /// The last event ID: that of the last block that set one and came to its blank line.
    pub fn current_last_event_id(&self) -> &str {
        self.reader.last_event_id.as_str()
    }

    /// Takes the next bytes of the stream, cut anywhere.
    ///
    /// The chunk is let go when [`next_frame`](Self::next_frame) has returned `None`; what is
    /// unfinished has been copied by then. To push before that is possible, and copies what was left.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let (chunk, after_cr) = if self.is_unread() { self.with_rest(&chunk) } else { (chunk, self.after_cr) };
        let mut start = if self.mark.is_some() { self.skip_mark(&chunk) } else { 0 };
        if start < chunk.len() {
            self.after_cr = lines::ends_in_cr(&chunk);
        }
        self.chunk = chunk;
        if self.joined.has_kept() {
            self.joined.begin(&mut self.bytes, &self.chunk);
            self.lines = Lines::from(0);
        } else {
            // CR LF across chunks: the CR has ended the line already.
            start += usize::from(after_cr && self.chunk.get(start) == Some(&b'\n'));
            self.joined.skip();
            self.lines = Lines::from(start);
        }
    }

    /// The next frame, or `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        let bytes = if self.joined.is_read() { &self.bytes } else { &*self.chunk };
        let mut step = self.reader.advance(&mut self.lines, bytes);
        if step.is_none() {
            let position = self.lines.position();
            let (next, position) =
                frames::advance_in_chunk(position, bytes, &self.chunk, &mut self.joined, &mut self.reader);
            (step, self.lines) = (next, Lines::from(position));
        }
        let Some(step) = step else {
            self.let_go();
            return None;
        };
        let bytes = if self.joined.is_read() { &self.bytes } else { &*self.chunk };
        Some(self.reader.lend(step, bytes, |line| from_utf8(&bytes[line.range()]).ok()))
    }

    /// The frames of what has been pushed: those that [`next_frame`](Self::next_frame) gives, up to twice as fast
    /// when there are many.
    ///
    /// It looks ahead, up to 4 KiB each time it is made: make it once for what was pushed, not once for each frame.
    /// A chunk that has been read to its end is let go by the next [`push`](Self::push) or `next_frame`.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::wire::{Decoder, Frame};
    ///
    /// let mut decoder = Decoder::new();
    /// decoder.push("data: 1\n\ndata: 2\n\n".into());
    /// let mut frames = decoder.frames();
    /// let mut events = Vec::new();
    /// while let Some(frame) = frames.next_frame() {
    ///     if let Frame::Event(event) = frame {
    ///         events.push(event.to_event());
    ///     }
    /// }
    /// assert_eq!(events[1].data(), "2");
    /// ```
    pub fn frames(&mut self) -> Frames<'_> {
        Frames::new(&self.bytes, &self.chunk, &mut self.lines, &mut self.joined, &mut self.reader)
    }

    /// Lets go of a chunk that has been read to its end.
    pub(crate) fn let_go(&mut self) {
        if !self.is_unread() {
            self.joined.skip();
            self.chunk = Bytes::new();
            self.lines = Lines::default();
        }
    }

    /// Something has not been read of what was pushed.
    fn is_unread(&self) -> bool {
        let (bytes, more) = self.being_read();
        self.lines.position() < bytes.len() || !more.is_empty()
    }

    /// What is read now, and what of the chunk is read after it.
    fn being_read(&self) -> (&[u8], &[u8]) {
        if self.joined.is_read() { (&self.bytes, &self.chunk[self.joined.goes_on()..]) } else { (&self.chunk, &[]) }
    }

    /// Whether a block has begun and not come to its blank line. A comment is no part of one.
    pub(crate) fn is_in_block(&self) -> bool {
        self.joined.is_in_block() || self.reader.assembler.is_in_block()
    }

    /// The stream has ended: what is unfinished is dropped, as the standard asks. The decoder is as
    /// new then, but for its settings and the last event ID, and can decode the stream that resumes
    /// this one.
    pub fn finish(&mut self) {
        self.chunk = Bytes::new();
        self.bytes = Vec::new();
        self.joined.reset();
        self.lines = Lines::default();
        self.reader.assembler.reset();
        self.mark = Some(0);
        self.after_cr = false;
    }

    /// A chunk with what has not been read before it, and whether a CR came right before that.
    #[cold]
    fn with_rest(&self, chunk: &[u8]) -> (Bytes, bool) {
        let (bytes, more) = self.being_read();
        let mut joined = BytesMut::from(&bytes[self.lines.position()..]);
        joined.extend_from_slice(more);
        let after_cr = self.after_cr && joined.is_empty();
        joined.extend_from_slice(chunk);
        (joined.freeze(), after_cr)
    }

    /// One byte order mark at the very start of a stream is no part of it, however it is cut.
    fn skip_mark(&mut self, chunk: &[u8]) -> usize {
        let Some(seen) = self.mark else { return 0 };
        let expected = &BYTE_ORDER_MARK[seen..];
        let matching = expected.iter().zip(chunk).take_while(|(mark, byte)| mark == byte).count();
        if matching == expected.len() {
            self.mark = None;
            return matching;
        }
        if matching == chunk.len() {
            self.mark = Some(seen + matching);
            return matching;
        }
        // Not a mark after all: what looked like one is the beginning of the first line.
        self.mark = None;
        self.reader.assembler.feed(&BYTE_ORDER_MARK[..seen]);
        0
    }
}
