//! [`Decoder`]: chunks in, frames out.

use bytes::{Bytes, BytesMut};
use simdutf8::basic::from_utf8;

use super::block::{Block, RETAINED};
use super::carried::Carried;
use super::dispatch;
use super::field::{self, Field};
use super::frame::{EventFrame, Frame};
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
    /// The last block that was read in one go.
    whole: WholeBlock,
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
    /// A block that is one line of data: its value.
    Data(Line),
    /// The block in `whole`.
    Whole,
    Block,
    Retry(u64),
    /// The text of a comment.
    Comment(Line),
    /// The text of a comment that a chunk's end had cut is in `partial`.
    CutComment,
}

/// How far the lines between two blocks have led.
enum Skimmed {
    Step(Step),
    /// The first line of a block that takes more than a look.
    Block(Line),
    /// No line ends in what is left of the chunk.
    End,
}

/// How far the lines of a block have led.
enum Read {
    Step(Step),
    /// The block is over, and there is nothing to lend.
    Over,
    /// No line ends in what is left of the chunk.
    End,
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
            whole: WholeBlock::default(),
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
    // The frames that most streams are made of are made here, inlined, so that they do not pass through memory.
    #[inline]
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        self.take_back();
        match self.advance()? {
            Step::Data(value) => Some(match from_utf8(&self.chunk[value.range()]) {
                Ok(data) => Frame::Event(EventFrame::of_data(data, &self.carried)),
                Err(_) => {
                    self.lent = true;
                    self.block.data_line(&self.chunk, value);
                    dispatch::block(&self.chunk, &mut self.block, &mut self.carried, &mut self.replaced)
                }
            }),
            Step::Comment(text) => Some(dispatch::comment(&self.chunk[text.range()], &mut self.replaced)),
            step => Some(self.lend(step)),
        }
    }

    #[inline(never)]
    fn lend(&mut self, step: Step) -> Frame<'_> {
        match step {
            Step::Whole => match from_utf8(&self.chunk[self.whole.around.range()]) {
                Ok(text) => dispatch::whole(text, &self.whole, &mut self.carried),
                Err(_) => {
                    self.lent = true;
                    self.block.set_lines(&self.chunk, &self.whole);
                    dispatch::block(&self.chunk, &mut self.block, &mut self.carried, &mut self.replaced)
                }
            },
            Step::Retry(milliseconds) => Frame::Retry(milliseconds),
            Step::CutComment => dispatch::comment(self.partial.text(), &mut self.replaced),
            Step::Comment(text) => dispatch::comment(&self.chunk[text.range()], &mut self.replaced),
            Step::Data(_) | Step::Block => {
                dispatch::block(&self.chunk, &mut self.block, &mut self.carried, &mut self.replaced)
            }
        }
    }

    /// Whether a block has begun and not come to its blank line.
    pub(crate) fn is_in_block(&self) -> bool {
        !self.partial.is_fresh() || self.block.has_data() || self.block.has_id()
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
        self.carried.retry = None;
        self.fresh = true;
        self.mark = Some(0);
        self.after_cr = false;
    }

    /// Ends what was lent: the next block begins.
    #[inline]
    fn take_back(&mut self) {
        if self.lent {
            self.lent = false;
            self.fresh = true;
            self.carried.retry = None;
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

    /// Reads up to the next thing to lend.
    #[inline]
    fn advance(&mut self) -> Option<Step> {
        loop {
            let mut line = None;
            if self.fresh && self.partial.is_fresh() {
                match self.skim() {
                    Skimmed::Step(step) => return Some(step),
                    Skimmed::Block(first) => line = Some(first),
                    Skimmed::End => break,
                }
            }
            match self.read_block(line) {
                Read::Step(step) => return Some(step),
                Read::Over => {}
                Read::End => break,
            }
        }
        self.leave_chunk();
        None
    }

    /// Reads what lies between two blocks, and blocks that are one line of data: most of most streams,
    /// and the state of a block in progress is not touched.
    #[inline]
    fn skim(&mut self) -> Skimmed {
        let (chunk, limit) = (&*self.chunk, self.block.limit());
        // A copy, which can live in registers.
        let mut lines = self.lines;
        let mut skimmed = Skimmed::End;
        while let Some(line) = lines.next(chunk) {
            if line.is_empty() {
                continue;
            }
            if chunk[line.start] != b':' {
                skimmed = match whole::read_data_only(&mut lines, line, chunk, limit) {
                    Some(value) => Skimmed::Step(Step::Data(value)),
                    None => Skimmed::Block(line),
                };
                break;
            }
            // A heartbeat that nobody asked for costs no more than finding its end.
            let text = Line { start: line.start + 1, end: line.end };
            if self.comments && text.len() <= limit {
                skimmed = Skimmed::Step(Step::Comment(text));
                break;
            }
        }
        self.lines = lines;
        skimmed
    }

    /// Reads a block from `line` on, if that was popped already.
    #[inline(never)]
    fn read_block(&mut self, mut line: Option<Line>) -> Read {
        if !self.partial.is_fresh() {
            if !self.lines.seek(&self.chunk) {
                return Read::End;
            }
            let rest = self.lines.next(&self.chunk);
            if let Some(step) = rest.and_then(|rest| self.finish_partial(rest)) {
                return Read::Step(step);
            }
        }
        loop {
            let Some(line) = line.take().or_else(|| self.lines.next(&self.chunk)) else { return Read::End };
            if let Some(step) = self.whole_line(line) {
                return Read::Step(step);
            }
            if self.fresh {
                return Read::Over;
            }
        }
    }

    fn whole_line(&mut self, line: Line) -> Option<Step> {
        if line.is_empty() {
            return self.blank_line();
        }
        if !self.fresh {
            return match self.block.data_lines(line, &mut self.lines, &self.chunk)? {
                line if line.is_empty() => self.blank_line(),
                line => self.field_line(line),
            };
        }
        match self.chunk[line.start] {
            b'd' | b'e' | b'i' => self.whole_block(line),
            _ => self.field_line(line),
        }
    }

    /// A block begins that may be of the ordinary kind.
    fn whole_block(&mut self, first: Line) -> Option<Step> {
        match whole::read(&mut self.lines, first, &self.chunk, self.block.limit()) {
            Outcome::Whole(block) => {
                self.whole = block;
                Some(Step::Whole)
            }
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
                return Some(Step::Comment(value));
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
            Finished::Comment => Some(Step::CutComment),
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
        // Between two blocks there is nothing to copy: the usual end of a chunk.
        if !self.fresh {
            self.block.leave_chunk(&self.chunk);
        }
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
