//! [`BlockReader`]: from lines to frames, by one of two paths.
//!
//! A block that is there from its first line to its blank line takes the fast path, [`whole`],
//! which copies nothing. All others take the general path, the [`Assembler`], which takes over a
//! block that the chunk cuts.

use crate::event::Values;

use super::MAX_RETAINED;
use super::assembler::{Assembled, Assembler};
use super::dispatch::{self, FinishedBlock};
use super::frame::{EventFrame, Frame, Parts};
use super::last_event_id::LastEventIdBuffer;
use super::lines::{Line, Lines};
use super::whole::{self, Whole};

/// Both paths, and what outlives a block.
#[derive(Debug, Default)]
pub(super) struct BlockReader {
    pub(super) assembler: Assembler,
    pub(super) last_event_id: LastEventIdBuffer,
    /// What is lent with a block, unless it is data only.
    parts: Parts,
    /// Text that was not UTF-8, with replacement characters.
    replaced: String,
}

/// Something to lend, before its text is validated.
#[derive(Debug, Clone, Copy)]
pub(super) enum FoundFrame {
    /// What stands in one piece, and where.
    Whole(WholeFrame, Line),
    Assembled(Assembled),
}

/// Something to lend that stands in one piece.
#[derive(Debug, Clone, Copy)]
pub(super) enum WholeFrame {
    /// A block that is one line of data; its value.
    DataOnly,
    /// A block, from its first value to the last.
    Block,
    /// The text of a comment.
    Comment,
}

/// The outcome of reading without the assembler.
enum Skimmed {
    Found(FoundFrame),
    /// The block that begins here is for the assembler.
    Other(usize),
    /// The bytes end. An unfinished line begins at the cursor.
    End,
    /// The bytes end within a block whose values so far are in this range. An unfinished line
    /// begins at the cursor.
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
                        self.assembler.take_over(&bytes[around.range()], self.parts.values);
                        return None;
                    }
                }
            }
            // The block that was lent is not needed any more.
            self.parts.large = None;
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
                return match whole::read(lines, line, bytes, limit, &mut self.parts.values) {
                    Whole::DataOnly(data) => Skimmed::Found(FoundFrame::Whole(WholeFrame::DataOnly, data)),
                    Whole::Block(around) => Skimmed::Found(FoundFrame::Whole(WholeFrame::Block, around)),
                    Whole::Other => Skimmed::Other(line.start),
                    Whole::Cut(around) => Skimmed::Cut(around),
                };
            }
            // Most heartbeats end with a blank line: 10 % on the `heartbeats` corpus.
            lines.skip_blank(bytes);
            let text = Line { start: line.start + 1, end: line.end };
            if wants_comments && text.len() <= limit {
                return Skimmed::Found(FoundFrame::Whole(WholeFrame::Comment, text));
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
        let (whole, line) = match found {
            FoundFrame::Whole(whole, line) => (whole, line),
            FoundFrame::Assembled(assembled) => return self.lend_assembled(assembled),
        };
        let Some(text) = text(line) else { return self.lend_broken(whole, &bytes[line.range()]) };
        let last_event_id = &mut self.last_event_id;
        match whole {
            WholeFrame::DataOnly => Frame::Event(EventFrame { text, parts: None, last_event_id }),
            WholeFrame::Block => Frame::Event(dispatch::event(text, &self.parts, last_event_id)),
            WholeFrame::Comment => Frame::Comment(text),
        }
    }

    /// Lends what stands in one piece and is not UTF-8.
    #[inline(never)]
    fn lend_broken<'a>(&'a mut self, whole: WholeFrame, bytes: &'a [u8]) -> Frame<'a> {
        let values = match whole {
            WholeFrame::DataOnly => Values::data_only(bytes.len()),
            WholeFrame::Block => self.parts.values,
            WholeFrame::Comment => return dispatch::comment(bytes, &mut self.replaced),
        };
        let limit = self.assembler.limit;
        let block = FinishedBlock::whole(bytes, values);
        block.dispatch(limit, &mut self.parts, &mut self.last_event_id, &mut self.replaced)
    }

    /// Lends what the assembler has read.
    #[inline(never)]
    pub(super) fn lend_assembled(&mut self, assembled: Assembled) -> Frame<'_> {
        let limit = self.assembler.limit;
        let block = match assembled {
            Assembled::Retry(milliseconds) => return Frame::Retry(milliseconds),
            Assembled::Comment => return dispatch::comment(self.assembler.comment(), &mut self.replaced),
            Assembled::Block => self.assembler.block(),
        };
        block.dispatch(limit, &mut self.parts, &mut self.last_event_id, &mut self.replaced)
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

    /// Forgets a block that was lent.
    pub(super) fn release(&mut self) {
        self.parts.large = None;
        self.assembler.release();
    }

    /// Finishes the block that has begun, as if a blank line followed.
    pub(super) fn end(&mut self) -> Option<Assembled> {
        self.release();
        self.assembler.end()
    }
}
