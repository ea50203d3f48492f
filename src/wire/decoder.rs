//! [`Decoder`]: chunks of bytes in, frames out.

use bytes::Bytes;
use simdutf8::basic::from_utf8;

use crate::event::IntoLastEventId;

use super::block_reader::BlockReader;
use super::frame::Frame;
use super::frames::Frames;
use super::lines::Lines;

/// The default of [`Decoder::max_event_size`]: 16 MiB.
pub const DEFAULT_MAX_EVENT_SIZE: usize = 16 * 1024 * 1024;

/// The limit on [`Decoder::max_event_size`]. Text that is not UTF-8 can triple when it is replaced,
/// and must still fit into an event, which holds 4 GiB.
const MAX_LIMIT: usize = 1024 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A decoder of one event stream: [`push`](Self::push) a chunk, then pull frames until there are
/// none.
///
/// # Limits
///
/// An event that is larger than [`max_event_size`](Self::max_event_size) is skipped in constant
/// memory up to its blank line, and reported as [`Frame::Oversized`]. Its ID still counts, or the
/// same event would come back after every reconnection.
///
/// The decoder holds at most that many bytes plus a constant. It may hold half as much again if a
/// type, an ID or a comment is large as well, since each buffer has room to grow. For an event in
/// pieces after a large one it reserves as much in advance, up to an eighth of the limit. Not
/// counted are the chunk being read, the last event ID, and the replacement of text that is not
/// UTF-8. The work is linear in the input, however it is cut into chunks.
///
/// # Deviations from the standard
///
/// - In the standard each stream starts with an empty last event ID buffer. This decoder can start
///   with the [last event ID](Self::last_event_id) of the stream before, as Blink's does. Otherwise
///   the first event without an ID after a reconnection would clear the resume point.
/// - A `retry` that is too large for 64 bits becomes the largest number.
/// - An event over the size limit is not dispatched. The standard knows no limit.
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
#[doc(alias = "parser")]
#[derive(Debug)]
pub struct Decoder {
    chunk: Bytes,
    lines: Lines,
    reader: BlockReader,
    /// The bytes of a byte order mark that have come; `None` after the start of the stream.
    mark: Option<usize>,
    /// The last chunk that was released ended in CR, so an LF at the start of the next belongs to
    /// it.
    after_cr: bool,
    /// At the end of the stream an unfinished block counts as finished.
    dispatches_unfinished: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Creates a decoder for the start of a stream.
    pub fn new() -> Self {
        Self {
            chunk: Bytes::new(),
            lines: Lines::from(0),
            reader: BlockReader::new(DEFAULT_MAX_EVENT_SIZE),
            mark: Some(0),
            after_cr: false,
            dispatches_unfinished: false,
        }
    }

    /// Sets the size limit of an event, in bytes. Default: 16 MiB ([`DEFAULT_MAX_EVENT_SIZE`]); at
    /// most 1 GiB.
    ///
    /// The limit holds for data, type and ID together, with the line being read. The part of a type
    /// or an ID beyond 4 KiB counts twice, because it is copied once more.
    #[must_use]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        self.reader.assembler.limit = bytes.min(MAX_LIMIT);
        self
    }

    /// Sets the last event ID that the stream resumes from. Events that set no ID inherit it.
    ///
    /// Takes a `&str`, a `String`, or an `Option` of one.
    #[must_use]
    pub fn last_event_id(mut self, id: impl IntoLastEventId) -> Self {
        self.reader.last_event_id.commit(&id.into_last_event_id());
        self
    }

    /// Sets whether comments become frames. Default: false, they are skipped unread.
    ///
    /// A comment that does not fit under the size limit together with its block is always skipped.
    #[must_use]
    pub fn comments(mut self, wanted: bool) -> Self {
        self.set_comments(wanted);
        self
    }

    /// Changes [`comments`](Self::comments) from the next line on.
    pub fn set_comments(&mut self, wanted: bool) {
        self.reader.assembler.wants_comments = wanted;
    }

    /// Sets whether blocks without data become frames ([`Frame::EmptyBlock`]). Default: false: of
    /// such a block only its ID and its `retry` are frames, each by itself.
    ///
    /// A block that has neither an ID, nor a valid `retry`, nor a type is never a frame.
    #[must_use]
    pub fn empty_blocks(mut self, wanted: bool) -> Self {
        self.set_empty_blocks(wanted);
        self
    }

    /// Changes [`empty_blocks`](Self::empty_blocks) from the next blank line on.
    pub(crate) fn set_empty_blocks(&mut self, wanted: bool) {
        self.reader.assembler.wants_empty_blocks = wanted;
    }

    /// Sets whether [`finish`](Self::finish) returns the unfinished block at the end of the stream.
    /// Default: false, the block is dropped, as the standard asks.
    ///
    /// For servers that send no blank line after their last event, such as `data: [DONE]` of some
    /// LLM backends. **Delivers broken events** if a stream can be cut off: only the transport
    /// knows whether it was, so call `finish` only at a regular end.
    #[must_use]
    pub fn dispatch_unfinished_at_end(mut self, wanted: bool) -> Self {
        self.set_dispatch_unfinished(wanted);
        self
    }

    /// Changes [`dispatch_unfinished_at_end`](Self::dispatch_unfinished_at_end).
    pub(crate) fn set_dispatch_unfinished(&mut self, wanted: bool) {
        self.dispatches_unfinished = wanted;
    }

    /// Returns the last event ID: that of the last block that set one and came to its blank line.
    pub fn current_last_event_id(&self) -> &str {
        self.reader.last_event_id.as_str()
    }

    /// Takes the next bytes of the stream. They may be cut anywhere.
    ///
    /// The decoder releases the chunk when [`next_frame`](Self::next_frame) returns `None`, and has
    /// copied what is unfinished by then. Pushing before that is possible; then the decoder copies
    /// all that has not been read.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let after_cr = self.ends_in_cr() && !self.is_unread();
        let chunk = if self.is_unread() { self.with_rest(&chunk) } else { chunk };
        let mut start = if self.mark.is_some() { self.skip_mark(&chunk) } else { 0 };
        // A CR LF that two chunks share: the CR has ended the line already.
        start += usize::from(after_cr && chunk.get(start) == Some(&b'\n'));
        self.chunk = chunk;
        self.lines = Lines::from(start);
    }

    /// Returns the next frame, or `None` when the decoder needs more bytes.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        let Some(found) = self.reader.advance(&mut self.lines, &self.chunk) else {
            self.reader.keep(&self.chunk[self.lines.position()..]);
            self.lines = Lines::from(self.chunk.len());
            self.let_go();
            return None;
        };
        Some(self.reader.lend(found, &self.chunk, |line| from_utf8(&self.chunk[line.range()]).ok()))
    }

    /// Returns the frames of what was pushed, faster than [`next_frame`](Self::next_frame) does.
    ///
    /// They are the same frames. With many small events in a chunk this is up to 1.4 times as fast,
    /// since text is validated 4 KiB at once: call it once for each chunk, not for each frame. The
    /// decoder releases a chunk that was read to its end at the next call of [`push`](Self::push)
    /// or `next_frame`.
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
        Frames::new(&self.chunk, &mut self.lines, &mut self.reader)
    }

    /// Releases the chunk if it has been read to its end.
    pub(crate) fn let_go(&mut self) {
        if !self.is_unread() {
            self.after_cr = self.ends_in_cr();
            self.chunk = Bytes::new();
            self.lines = Lines::from(0);
        }
    }

    /// Returns true if the bytes that came so far end in CR.
    // Called only after the chunk has been read: looking at its last byte on arrival waited for
    // memory, a sixth of the time of a packet that was not in the cache.
    fn ends_in_cr(&self) -> bool {
        self.chunk.last().map_or(self.after_cr, |&last| last == b'\r')
    }

    /// Returns true if there are pushed bytes that have not been read.
    fn is_unread(&self) -> bool {
        self.lines.position() < self.chunk.len()
    }

    /// Returns true if a block has begun and not come to its blank line. A comment is not part of
    /// one.
    pub(crate) fn is_in_block(&self) -> bool {
        self.reader.assembler.is_in_block()
    }

    /// Ends the stream. An unfinished block is dropped, as the standard asks, and so is what was
    /// pushed and not yet read.
    ///
    /// With [`dispatch_unfinished_at_end`](Self::dispatch_unfinished_at_end) the unfinished block
    /// counts as finished, and its frame is returned: once, since a second call finds nothing. An
    /// unfinished comment is dropped in any case.
    ///
    /// The decoder keeps its settings and the last event ID, and can decode the stream that resumes
    /// this one.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::wire::{Decoder, Frame};
    ///
    /// let mut decoder = Decoder::new().dispatch_unfinished_at_end(true);
    /// decoder.push("data: [DONE]".into());
    /// assert!(decoder.next_frame().is_none());
    /// let Some(Frame::Event(event)) = decoder.finish() else { panic!("an event") };
    /// assert_eq!(event.data(), "[DONE]");
    /// assert!(decoder.finish().is_none());
    /// ```
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        let unfinished = if self.dispatches_unfinished { self.reader.end() } else { None };
        if unfinished.is_none() {
            self.reader.assembler.reset();
        }
        self.chunk = Bytes::new();
        self.lines = Lines::from(0);
        self.mark = Some(0);
        self.after_cr = false;
        unfinished.map(|assembled| self.reader.lend_assembled(assembled))
    }

    /// Returns a chunk that begins with the unread bytes.
    #[cold]
    fn with_rest(&self, chunk: &[u8]) -> Bytes {
        [&self.chunk[self.lines.position()..], chunk].concat().into()
    }

    /// Skips a byte order mark at the start of the stream, however it is cut. Returns its length in
    /// `chunk`.
    fn skip_mark(&mut self, chunk: &[u8]) -> usize {
        let Some(seen) = self.mark else { return 0 };
        // The last frame of the stream before.
        self.reader.release();
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
        // Not a mark after all, but the beginning of the first line.
        self.mark = None;
        self.reader.assembler.feed(&BYTE_ORDER_MARK[..seen]);
        0
    }
}
