//! [`BlockReader`]: from lines to frames, by one of two paths.
//!
//! A block that is there from its first line to its blank line takes the fast path, [`whole`],
//! which copies nothing. All others take the general path, the [`Assembler`]. Without the fast path
//! the decoder is slower by a half on the `ticks` corpus of its bench and by a third on `llm`.

use crate::event::Values;

use super::MAX_RETAINED;
use super::assembler::{Assembled, Assembler};
use super::dispatch::{self, FinishedBlock};
use super::frame::{EventFrame, Frame};
use super::last_event_id::LastEventIdBuffer;
use super::lines::{Line, Lines};
use super::whole::{self, Whole};

/// Both paths, and what outlives a block.
#[derive(Debug, Default)]
pub(super) struct BlockReader {
    pub(super) assembler: Assembler,
    pub(super) last_event_id: LastEventIdBuffer,
    /// The values of the block that is lent, unless it is data only.
    values: Values,
    /// Text that was not UTF-8, with replacement characters.
    replaced: String,
}

/// Something to lend, before its text is validated.
#[derive(Debug, Clone, Copy)]
pub(super) enum FoundFrame {
    /// A block that is one line of data; its value.
    DataOnly(Line),
    /// A whole block; the range from its first value to the last.
    Whole(Line),
    /// The text of a comment.
    Comment(Line),
    Assembled(Assembled),
}

/// The outcome of reading without the assembler.
enum Skimmed {
    Found(FoundFrame),
    /// The block that begins here is for the assembler.
    Other(usize),
    /// The bytes end, maybe within a line, which begins at the cursor then.
    End,
    /// So they do, and within a block whose values so far are in this range.
    Cut(Line),
}

impl BlockReader {
    pub(super) fn new(limit: usize) -> Self {
        Self { assembler: Assembler::new(limit), ..Self::default() }
    }

    /// Reads up to the next thing to lend. `None` at the end of the bytes; an unfinished line
    /// begins at the position of `lines` then, for [`keep`](Self::keep).
    #[inline(always)]
    pub(super) fn advance(&mut self, lines: &mut Lines, bytes: &[u8]) -> Option<FoundFrame> {
        loop {
            if self.assembler.is_idle() {
                match self.skim(lines, bytes) {
                    Skimmed::Found(found) => return Some(found),
                    Skimmed::Other(start) => *lines = Lines::from(start),
                    Skimmed::End => return None,
                    Skimmed::Cut(around) => {
                        self.assembler.take_over(&bytes[around.range()], self.values);
                        return None;
                    }
                }
            }
            // Passes only the position, in a register: the whole cursor would go through memory.
            let (found, position) = self.assembler.read(lines.position(), bytes);
            *lines = Lines::from(position);
            if found.is_some() || !self.assembler.is_idle() {
                return found.map(FoundFrame::Assembled);
            }
        }
    }

    /// Reads what stands between two blocks, and a whole block.
    #[inline(always)]
    fn skim(&mut self, lines: &mut Lines, bytes: &[u8]) -> Skimmed {
        let (limit, wants_comments) = (self.assembler.limit, self.assembler.wants_comments);
        while let Some(line) = lines.next(bytes) {
            if line.is_empty() {
                continue;
            }
            if bytes[line.start] != b':' {
                return match whole::read(lines, line, bytes, limit, &mut self.values) {
                    Whole::DataOnly(data) => Skimmed::Found(FoundFrame::DataOnly(data)),
                    Whole::Block(around) => Skimmed::Found(FoundFrame::Whole(around)),
                    Whole::Other => Skimmed::Other(line.start),
                    Whole::Cut(around) => Skimmed::Cut(around),
                };
            }
            // Most heartbeats end with a blank line: 10 % on the `heartbeats` corpus.
            lines.pass_empty();
            let text = Line { start: line.start + 1, end: line.end };
            if wants_comments && text.len() <= limit {
                return Skimmed::Found(FoundFrame::Comment(text));
            }
        }
        Skimmed::End
    }

    /// Lends what was found. `text` validates a range of the bytes.
    // Inlined for what most streams are made of, so that their frames do not pass through memory.
    #[inline(always)]
    pub(super) fn lend<'a>(
        &'a mut self,
        found: FoundFrame,
        bytes: &'a [u8],
        text: impl FnOnce(Line) -> Option<&'a str>,
    ) -> Frame<'a> {
        match found {
            FoundFrame::DataOnly(line) => {
                if let Some(text) = text(line) {
                    return Frame::Event(EventFrame { text, values: None, last_event_id: &self.last_event_id });
                }
            }
            FoundFrame::Whole(around) => {
                if let Some(text) = text(around) {
                    return Frame::Event(dispatch::event(text, &self.values, &mut self.last_event_id));
                }
            }
            FoundFrame::Comment(line) => {
                if let Some(text) = text(line) {
                    return Frame::Comment(text);
                }
            }
            FoundFrame::Assembled(_) => {}
        }
        self.lend_rest(found, bytes)
    }

    /// Lends what is not whole or not UTF-8.
    #[inline(never)]
    pub(super) fn lend_rest<'a>(&'a mut self, found: FoundFrame, bytes: &'a [u8]) -> Frame<'a> {
        let limit = self.assembler.limit;
        let block = match found {
            FoundFrame::Assembled(Assembled::Retry(milliseconds)) => return Frame::Retry(milliseconds),
            FoundFrame::Comment(line) => return dispatch::comment(&bytes[line.range()], &mut self.replaced),
            FoundFrame::Assembled(Assembled::Comment) => {
                return dispatch::comment(self.assembler.comment(), &mut self.replaced);
            }
            FoundFrame::DataOnly(line) => FinishedBlock::whole(&bytes[line.range()], Values::data_only(line.len())),
            FoundFrame::Whole(around) => FinishedBlock::whole(&bytes[around.range()], self.values),
            FoundFrame::Assembled(Assembled::Block) => self.assembler.block(),
        };
        block.dispatch(limit, &mut self.values, &mut self.last_event_id, &mut self.replaced)
    }

    /// Keeps the unfinished line at the end of a chunk, and gives back memory that one large frame
    /// needed.
    #[inline(never)]
    pub(super) fn keep(&mut self, rest: &[u8]) {
        if self.replaced.capacity() > MAX_RETAINED {
            self.replaced = String::new();
        }
        self.assembler.feed(rest);
    }

    /// Finishes the block that has begun, as if a blank line followed.
    pub(super) fn end(&mut self) -> Option<FoundFrame> {
        self.assembler.release();
        self.assembler.end().map(FoundFrame::Assembled)
    }
}
