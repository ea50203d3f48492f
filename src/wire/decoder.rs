//! [`Decoder`]: chunks in, frames out.

use bytes::{Bytes, BytesMut};

use super::block::{Block, RETAINED};
use super::carried::Carried;
use super::dispatch::Dispatch;
use super::field::{self, Field};
use super::frame::Frame;
use super::lines::{self, Line, Lines};
use super::partial::{Finished, Partial};
use super::whole::{self, Outcome, WholeBlock};

/// The default of [`Decoder::max_event_size`]: 16 MiB.
pub const DEFAULT_MAX_EVENT_SIZE: usize = crate::event::MAX_EVENT_SIZE;

/// The most that the limit can be: invalid text can triple when it is replaced, and has to fit an
/// event all the same.
const LARGEST_MAX_EVENT_SIZE: usize = 1024 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A decoder of one event stream: [`push`](Self::push) chunks, pull frames until there are none.
///
/// # Limits
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
    lines: Lines,
    partial: Partial,
    block: Block,
    /// A frame of the block was lent: it is reset when the next is asked for.
    lent: bool,
    /// No line of the block has come.
    fresh: bool,
    /// How many bytes of a byte order mark have come; `None` once past the start.
    mark: Option<usize>,
    /// The last chunk ended in CR: an LF at the start of the next belongs to it.
    after_cr: bool,
    comments: bool,
    carried: Carried,
    /// Text that was not UTF-8, replaced.
    replaced: String,
}

/// What to lend next.
enum Step {
    /// One line of data.
    Data(Line),
    Whole(WholeBlock),
    Block,
    Retry(u64),
    Comment(Comment),
}

enum Comment {
    InChunk(Line),
    InPartial,
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
            lines: Lines::default(),
            partial: Partial::default(),
            block: Block::new(DEFAULT_MAX_EVENT_SIZE),
            lent: false,
            fresh: true,
            mark: Some(0),
            after_cr: false,
            comments: false,
            carried: Carried::default(),
            replaced: String::new(),
        }
    }

    /// The most bytes that the fields of one block, with the line being read, may have; 16 MiB by
    /// default ([`DEFAULT_MAX_EVENT_SIZE`]), at most 1 GiB.
    #[must_use]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        self.block.set_limit(bytes.min(LARGEST_MAX_EVENT_SIZE));
        self
    }

    /// The last event ID that the stream resumes from; events that set none inherit it.
    #[must_use]
    pub fn last_event_id(mut self, id: &str) -> Self {
        self.carried.commit(id);
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
        self.comments = wanted;
    }

    /// The last event ID: that of the last block that set one and came to its blank line.
    pub fn current_last_event_id(&self) -> &str {
        self.carried.last_event_id()
    }

    /// Takes the next bytes of the stream, cut anywhere.
    ///
    /// The chunk is let go when [`next_frame`](Self::next_frame) has returned `None`; what is
    /// unfinished has been copied by then. To push before that is possible, and copies what was left.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let chunk = match self.take_rest() {
            None => chunk,
            Some(rest) => {
                let mut joined = BytesMut::with_capacity(rest.len() + chunk.len());
                joined.extend_from_slice(&rest);
                joined.extend_from_slice(&chunk);
                joined.freeze()
            }
        };
        let start = self.skip_mark(&chunk);
        // CR LF across chunks: the CR has ended the line already.
        let swallowed = self.after_cr && chunk.get(start) == Some(&b'\n');
        self.after_cr &= start == chunk.len();
        self.lines = Lines::from(start + usize::from(swallowed));
        self.chunk = chunk;
    }

    /// The next frame, or `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        let step = self.advance()?;
        let dispatch = Dispatch {
            chunk: &self.chunk,
            block: &mut self.block,
            carried: &mut self.carried,
            replaced: &mut self.replaced,
        };
        Some(match step {
            Step::Data(data) => dispatch.data(data),
            Step::Whole(whole) => dispatch.whole(whole),
            Step::Block => dispatch.block(),
            Step::Retry(milliseconds) => Frame::Retry(milliseconds),
            Step::Comment(Comment::InChunk(line)) => dispatch.comment(&self.chunk[line.range()]),
            Step::Comment(Comment::InPartial) => dispatch.comment(self.partial.text()),
        })
    }

    /// The stream has ended: what is unfinished is dropped, as the standard asks. The decoder is as
    /// new then, but for its settings and the last event ID, and can decode the stream that resumes
    /// this one.
    pub fn finish(&mut self) {
        self.chunk = Bytes::new();
        self.lines = Lines::default();
        self.partial.reset();
        self.block.reset();
        self.lent = false;
        self.fresh = true;
        self.mark = Some(0);
        self.after_cr = false;
    }

    /// Ends what was lent: the next block begins.
    #[inline]
    fn take_back(&mut self) {
        // A whole block is only put into `block` when its text had to be replaced.
        if self.lent || (self.fresh && self.block.has_data()) {
            self.lent = false;
            self.fresh = true;
            self.block.reset();
        }
    }

    /// What has not been read of the chunk at hand, if anything.
    fn take_rest(&mut self) -> Option<Bytes> {
        if self.chunk.is_empty() {
            return None;
        }
        self.take_back();
        let rest = self.chunk.slice(self.lines.position().min(self.chunk.len())..);
        self.block.leave_chunk(&self.chunk);
        self.after_cr = rest.is_empty() && lines::ends_in_cr(&self.chunk);
        self.chunk = Bytes::new();
        (!rest.is_empty()).then_some(rest)
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
        self.partial.feed(&BYTE_ORDER_MARK[..seen], &[], &mut self.block, self.comments);
        0
    }

    /// Reads lines up to the next thing to lend.
    fn advance(&mut self) -> Option<Step> {
        self.take_back();
        if !self.partial.is_fresh() {
            if !self.lines.seek(&self.chunk) {
                self.leave_chunk();
                return None;
            }
            let line = self.lines.next(&self.chunk);
            if let Some(step) = line.and_then(|line| self.finish_partial(line)) {
                return Some(step);
            }
        }
        while let Some(line) = self.lines.next(&self.chunk) {
            let step = if line.is_empty() {
                self.blank_line()
            } else if self.chunk[line.start] == b':' && !self.comments {
                // A heartbeat that nobody asked for costs no more than finding its end.
                None
            } else {
                self.whole_line(line)
            };
            if step.is_some() {
                return step;
            }
        }
        self.leave_chunk();
        None
    }

    #[inline]
    fn whole_line(&mut self, line: Line) -> Option<Step> {
        if !self.fresh {
            return self.field_line(line);
        }
        if let Some(data) = whole::read_data_only(&mut self.lines, line, &self.chunk, self.block.limit()) {
            return Some(Step::Data(data));
        }
        match self.chunk[line.start] {
            b'd' | b'e' | b'i' => self.whole_block(line),
            _ => self.field_line(line),
        }
    }

    /// A block begins that may be of the ordinary kind.
    fn whole_block(&mut self, first: Line) -> Option<Step> {
        match whole::read(&mut self.lines, first, &self.chunk, self.block.limit()) {
            Outcome::Whole(block) => Some(Step::Whole(block)),
            Outcome::Unfinished(values, line) => {
                values.put_into(&mut self.block, &self.chunk);
                self.fresh &= values.is_empty();
                match line? {
                    line if line.is_empty() => self.blank_line(),
                    line => self.field_line(line),
                }
            }
        }
    }

    /// A line of a block that is read line by line.
    fn field_line(&mut self, line: Line) -> Option<Step> {
        let (field, offset) = field::split(&self.chunk[line.range()]);
        let value = Line { start: line.start + offset, end: line.end };
        match field {
            Field::Data => self.block.data_line(&self.chunk, value),
            Field::EventType => self.block.event_type_line(value),
            Field::Id => self.block.id_line(&self.chunk, value),
            Field::Retry => {
                let milliseconds = field::retry(&self.chunk[value.range()])?;
                return self.retry(milliseconds);
            }
            Field::Comment if self.comments && self.block.has_room(value.len()) => {
                return Some(Step::Comment(Comment::InChunk(value)));
            }
            // No part of a block.
            Field::Comment | Field::Unknown => return None,
        }
        self.fresh = false;
        None
    }

    /// The line that earlier chunks began ends with `rest`.
    fn finish_partial(&mut self, rest: Line) -> Option<Step> {
        self.fresh = false;
        self.partial.feed(&self.chunk[rest.range()], &self.chunk, &mut self.block, self.comments);
        match self.partial.finish(&self.chunk, &mut self.block, self.comments) {
            Finished::Nothing => None,
            Finished::Retry(milliseconds) => self.retry(milliseconds),
            Finished::Comment => Some(Step::Comment(Comment::InPartial)),
        }
    }

    fn retry(&mut self, milliseconds: u64) -> Option<Step> {
        self.fresh = false;
        self.block.retry = Some(milliseconds);
        Some(Step::Retry(milliseconds))
    }

    #[inline]
    fn blank_line(&mut self) -> Option<Step> {
        if self.fresh {
            return None;
        }
        if self.block.has_data() || self.block.has_id() {
            self.lent = true;
            return Some(Step::Block);
        }
        self.fresh = true;
        self.block.reset();
        None
    }

    /// Copies what is unfinished, so that the chunk can go.
    fn leave_chunk(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let rest = self.lines.position().min(self.chunk.len());
        if rest < self.chunk.len() {
            self.fresh = false;
            self.partial.feed(&self.chunk[rest..], &self.chunk, &mut self.block, self.comments);
        }
        self.block.leave_chunk(&self.chunk);
        self.after_cr |= lines::ends_in_cr(&self.chunk);
        self.chunk = Bytes::new();
        self.lines = Lines::default();
        // Nothing is lent now: what one large frame needed can be given back.
        self.partial.trim();
        if self.replaced.capacity() > RETAINED {
            self.replaced = String::new();
        }
    }
}
