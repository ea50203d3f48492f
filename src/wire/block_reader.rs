//! [`BlockReader`]: from the lines of a chunk to what there is to lend.
//!
//! Most of what a stream says lies whole in a chunk, and leaves no trace here; a block that does not is
//! put together line by line, from as many chunks as it takes.

use simdutf8::basic::from_utf8;

use super::block::Block;
use super::buffer::RETAINED;
use super::carried::Carried;
use super::dispatch;
use super::field::{self, Field};
use super::frame::{EventFrame, Frame, Values};
use super::lines::{Line, Lines};
use super::partial::{Finished, Partial};
use super::whole::{self, Outcome};

#[derive(Debug)]
pub(super) struct BlockReader {
    partial: Partial,
    pub(super) block: Block,
    /// Where the last block stands that was read in one go.
    pub(super) whole: Line,
    /// Where the values stand of what is lent.
    pub(super) values: Values,
    /// Nothing of a block has been taken in, and none is lent: what is unfinished is all in the chunk.
    idle: bool,
    /// A frame of the block was lent: it is reset when the next is asked for.
    lent: bool,
    /// No line of the block has come.
    fresh: bool,
    pub(super) comments: bool,
    /// A block of the ordinary kind that the chunk's end cuts is left where it is, to be joined.
    leaves_cut: bool,
    /// One has been left.
    cut: bool,
    /// Something taken in may still stand in the chunk.
    in_chunk: bool,
    pub(super) carried: Carried,
    /// Text that was not UTF-8, replaced.
    replaced: String,
}

/// What to lend next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
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
    /// A block that begins here is to be read line by line.
    Other(usize),
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

impl BlockReader {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            partial: Partial::default(),
            block: Block::new(limit),
            whole: Line::default(),
            values: Values::default(),
            idle: true,
            lent: false,
            fresh: true,
            comments: false,
            leaves_cut: true,
            cut: false,
            in_chunk: false,
            carried: Carried::default(),
            replaced: String::new(),
        }
    }

    /// As new, but for settings and the last event ID.
    pub(super) fn reset(&mut self) {
        self.partial.reset();
        self.block.reset();
        self.lent = false;
        self.carried.retry = None;
        self.fresh = true;
        self.settle();
    }

    /// After whatever may have changed it.
    fn settle(&mut self) {
        self.idle = self.fresh && !self.lent && self.partial.is_fresh();
    }

    /// Nothing of a block has been taken in: what is unfinished is all in the chunk.
    pub(super) fn is_idle(&self) -> bool {
        self.idle
    }

    /// Something taken in may still stand in the chunk, which must not go then.
    pub(super) fn is_in_chunk(&self) -> bool {
        self.in_chunk && !self.idle
    }

    /// Whether a block has begun and not come to its blank line.
    pub(super) fn is_in_block(&self) -> bool {
        self.partial.is_field() || self.block.has_data() || self.block.has_id()
    }

    /// Ends what was lent: the next block begins.
    #[inline]
    pub(super) fn take_back(&mut self) {
        if !self.idle && self.lent {
            self.end_block();
        }
    }

    #[inline(never)]
    fn end_block(&mut self) {
        self.lent = false;
        self.fresh = true;
        self.carried.retry = None;
        self.block.reset();
        self.settle();
    }

    /// Reads up to the next thing to lend; `None` at the end of the chunk. `lines` are then where what is
    /// unfinished begins.
    #[inline(always)]
    pub(super) fn advance(&mut self, lines: &mut Lines, chunk: &[u8]) -> Option<Step> {
        loop {
            if self.idle {
                match self.skim(lines, chunk) {
                    Skimmed::Step(step) => return Some(step),
                    Skimmed::Other(start) => *lines = Lines::from(start),
                    Skimmed::End => return None,
                }
            }
            // Only the place is handed on, in a register: the rest of a cursor would go through memory, in halves.
            let (read, position) = self.read_block(lines.position(), chunk);
            *lines = Lines::from(position);
            match read {
                Read::Step(step) => return Some(step),
                Read::Over => {}
                Read::End => return None,
            }
        }
    }

    /// Reads what lies between two blocks, and blocks of the ordinary kind: most of most streams, and the state of a
    /// block in progress is not touched.
    #[inline(always)]
    fn skim(&mut self, lines: &mut Lines, chunk: &[u8]) -> Skimmed {
        let limit = self.block.limit();
        while let Some(line) = lines.next(chunk) {
            if line.is_empty() {
                continue;
            }
            if chunk[line.start] != b':' {
                return match whole::read_data_only(lines, line, chunk, limit) {
                    Some(value) => Skimmed::Step(Step::Data(value)),
                    None => self.read_whole(lines, line, chunk),
                };
            }
            // A heartbeat that nobody asked for costs no more than finding its end.
            let text = Line { start: line.start + 1, end: line.end };
            if self.comments && text.len() <= limit {
                // Most heartbeats have one after them.
                lines.pass_empty();
                return Skimmed::Step(Step::Comment(text));
            }
        }
        self.cut = false;
        Skimmed::End
    }

    /// Reads a block that may be of the ordinary kind, from its `first` line on.
    #[inline(always)]
    fn read_whole(&mut self, lines: &mut Lines, first: Line, chunk: &[u8]) -> Skimmed {
        match whole::read(lines, first, chunk, self.block.limit()) {
            Outcome::Whole(block) => {
                (self.whole, self.values) = (block.around, block.values);
                Skimmed::Step(Step::Whole)
            }
            Outcome::Cut if self.leaves_cut => {
                *lines = Lines::from(first.start);
                self.cut = true;
                Skimmed::End
            }
            Outcome::Cut | Outcome::Other => Skimmed::Other(first.start),
        }
    }

    /// Reads a block line by line, from `position` on, and says where it has come to.
    #[inline(never)]
    fn read_block(&mut self, position: usize, chunk: &[u8]) -> (Read, usize) {
        let mut lines = Lines::from(position);
        self.in_chunk = true;
        let read = self.read_lines(&mut lines, chunk);
        self.settle();
        (read, lines.position())
    }

    fn read_lines(&mut self, lines: &mut Lines, chunk: &[u8]) -> Read {
        if !self.partial.is_fresh() {
            if !lines.seek(chunk) {
                return Read::End;
            }
            let rest = lines.next(chunk);
            if let Some(step) = rest.and_then(|rest| self.finish_partial(rest, chunk)) {
                return Read::Step(step);
            }
        }
        while let Some(line) = lines.next(chunk) {
            if let Some(step) = self.line(line, lines, chunk) {
                return Read::Step(step);
            }
            if self.fresh {
                return Read::Over;
            }
        }
        Read::End
    }

    fn line(&mut self, line: Line, lines: &mut Lines, chunk: &[u8]) -> Option<Step> {
        let line = if self.fresh { line } else { self.block.data_lines(line, lines, chunk)? };
        if line.is_empty() { self.blank_line() } else { self.field_line(line, chunk) }
    }

    /// A line of a block that is read line by line.
    fn field_line(&mut self, line: Line, chunk: &[u8]) -> Option<Step> {
        let (field, offset) = field::split(&chunk[line.range()]);
        let value = Line { start: line.start + offset, end: line.end };
        match field {
            Field::Data => self.block.data_line(chunk, value),
            Field::EventType => self.block.event_type_line(value),
            Field::Id => self.block.id_line(chunk, value),
            Field::Retry => {
                let milliseconds = field::retry(&chunk[value.range()])?;
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
    fn finish_partial(&mut self, rest: Line, chunk: &[u8]) -> Option<Step> {
        self.fresh = false;
        self.partial.feed(&chunk[rest.range()], chunk, &mut self.block, self.comments);
        match self.partial.finish(chunk, &mut self.block, self.comments) {
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

    /// Lends what a step has found, whatever its text.
    #[inline(never)]
    pub(super) fn lend<'a>(&'a mut self, step: Step, chunk: &'a [u8]) -> Frame<'a> {
        match step {
            Step::Data(value) => match from_utf8(&chunk[value.range()]) {
                Ok(data) => Frame::Event(EventFrame { text: data, values: None, carried: &self.carried }),
                Err(_) => {
                    self.block.data_line(chunk, value);
                    self.lend_block(chunk)
                }
            },
            Step::Whole => match from_utf8(&chunk[self.whole.range()]) {
                Ok(text) => dispatch::whole(text, &self.values, &mut self.carried),
                Err(_) => {
                    self.block.set_values(chunk, self.whole, &self.values);
                    self.lend_block(chunk)
                }
            },
            Step::Retry(milliseconds) => Frame::Retry(milliseconds),
            Step::CutComment => dispatch::comment(self.partial.text(), &mut self.replaced),
            Step::Comment(text) => dispatch::comment(&chunk[text.range()], &mut self.replaced),
            Step::Block => self.lend_block(chunk),
        }
    }

    fn lend_block<'a>(&'a mut self, chunk: &'a [u8]) -> Frame<'a> {
        (self.lent, self.idle, self.in_chunk) = (true, false, true);
        dispatch::block(chunk, &mut self.block, &mut self.carried, &mut self.replaced, &mut self.values)
    }

    /// Nothing is lent now: what one large frame needed can be given back.
    pub(super) fn trim(&mut self) {
        self.partial.trim();
        if self.replaced.capacity() > RETAINED {
            self.replaced = String::new();
        }
    }

    /// Takes in what is unfinished of the chunk, from `position` on: a part of a block, with its lines.
    #[inline(never)]
    pub(super) fn take_in(&mut self, position: usize, chunk: &[u8]) {
        let mut lines = Lines::from(position);
        if self.idle && self.cut {
            self.leaves_cut = false;
            // What has been left is of the ordinary kind: there is nothing to lend before its end.
            let step = self.advance(&mut lines, chunk);
            debug_assert!(step.is_none());
            self.leaves_cut = true;
        }
        self.leave(lines.position().min(chunk.len()), chunk);
    }

    /// Takes in what is unfinished, from `rest` on, so that the chunk can go.
    pub(super) fn leave(&mut self, rest: usize, chunk: &[u8]) {
        if rest < chunk.len() {
            self.fresh = false;
            self.partial.feed(&chunk[rest..], chunk, &mut self.block, self.comments);
        }
        // Between two blocks there is nothing to copy: the usual end of a chunk.
        if !self.fresh {
            self.block.leave_chunk(chunk);
        }
        self.in_chunk = false;
        self.settle();
    }

    /// What looked like a byte order mark and was none is the beginning of the first line.
    pub(super) fn begin_with(&mut self, piece: &[u8]) {
        self.partial.feed(piece, &[], &mut self.block, self.comments);
        self.settle();
    }
}
