//! [`Assembler`]: the general path, which reads any block, cut anywhere.
//!
//! It takes whole lines and pieces of lines by the same code, and copies each value into a buffer
//! of its own, so that the chunk can go. The buffers together never exceed the limit. The work is
//! linear in the input, however small the chunks are.
//!
//! [`whole`](super::whole) reads most blocks faster. Both paths give the same frames; the property
//! tests in `tests/wire` compare them.

use crate::event::{RetryTime, Span, Values};

use super::MAX_RETAINED;
use super::data_buffer::{DataBuffer, append};
use super::dispatch::FinishedBlock;
use super::field::{self, Field, MAX_HEAD, RetryDigits};
use super::lines::Lines;

/// The length up to which a type or an ID counts once against the limit.
///
/// The bytes beyond it count twice, because [`Assembler::block`] copies the value behind the data.
/// So the limit bounds memory, and ordinary values still count as what they are.
pub(super) const MAX_COUNTED_ONCE: usize = 4 * 1024;

/// The block being put together, and the line being read.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The number of bytes that the values and the line being read may have together.
    pub(super) limit: usize,
    pub(super) wants_comments: bool,
    /// Blocks without data are lent, too, if they have a type or a reconnection time.
    pub(super) wants_empty_blocks: bool,
    phase: BlockPhase,
    stage: Stage,
    /// The head of the line until its field is known; then the value of a type, an ID or a comment.
    line: Vec<u8>,
    digits: RetryDigits,
    data: DataBuffer,
    /// The bytes of data that have come, kept or not, and one more for each line.
    data_size: u64,
    event_type: Vec<u8>,
    id: Vec<u8>,
    has_id: bool,
    retry: Option<u64>,
    /// The block is over the limit. Its data is dropped; a type and an ID that fit are still taken.
    is_oversized: bool,
    /// The type itself did not fit.
    is_type_cut: bool,
    /// The part of the limit that the type and the ID take.
    held_besides: usize,
}

/// Something that the assembler can lend.
#[derive(Debug, Clone, Copy)]
pub(super) enum Assembled {
    /// A block; see [`Assembler::block`].
    Block,
    Retry(u64),
    /// A comment; see [`Assembler::comment`].
    Comment,
}

/// How far the block has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BlockPhase {
    /// Nothing of a block has come.
    #[default]
    Idle,
    /// A block has begun.
    InBlock,
    /// The block has come to its blank line, and its frame is lent until the next call.
    Lent,
}

/// How far the line has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    LineStart,
    /// In the head, which is too short yet to tell the field.
    Head,
    /// In a value that is kept.
    Value(Field),
    /// In a value that is not kept.
    Skipped(Field),
}

impl Assembler {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Returns true if nothing of a block has been taken in, and none is lent.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.phase == BlockPhase::Idle
    }

    /// Returns true if a block has begun that would be lost if the stream ended here.
    pub(super) fn is_in_block(&self) -> bool {
        let in_field = match self.stage {
            Stage::LineStart => false,
            Stage::Head => self.line.first() != Some(&b':'),
            Stage::Value(field) | Stage::Skipped(field) => field != Field::Comment,
        };
        self.phase == BlockPhase::InBlock && (in_field || self.data_size > 0 || self.has_id)
    }

    fn is_in_line(&self) -> bool {
        self.stage != Stage::LineStart
    }

    /// Prepares for the next block. The buffers keep a modest capacity.
    pub(super) fn reset(&mut self) {
        self.phase = BlockPhase::Idle;
        self.stage = Stage::LineStart;
        self.data_size = 0;
        self.has_id = false;
        self.retry = None;
        self.is_oversized = false;
        self.is_type_cut = false;
        self.held_besides = 0;
        self.data.clear();
        for buffer in [&mut self.line, &mut self.event_type, &mut self.id] {
            buffer.clear();
            if buffer.capacity() > MAX_RETAINED {
                *buffer = Vec::new();
            }
        }
    }

    /// Reads lines from `position` on, up to something to lend, the end of the block, or the last
    /// line end in `bytes`. Returns the position that it reached.
    ///
    /// After the loan of a block it reads nothing and becomes idle.
    #[inline(never)]
    pub(super) fn read(&mut self, position: usize, bytes: &[u8]) -> (Option<Assembled>, usize) {
        if self.phase == BlockPhase::Lent {
            self.reset();
            return (None, position);
        }
        let mut lines = if self.is_in_line() { Lines::within_line(bytes, position) } else { Lines::from(position) };
        self.phase = BlockPhase::InBlock;
        while let Some(line) = lines.next(bytes) {
            if line.is_empty() && !self.is_in_line() {
                return (self.end_block(), lines.position());
            }
            if let Some(found) = self.line(&bytes[line.range()]) {
                return (Some(found), lines.position());
            }
        }
        (None, lines.position())
    }

    /// Takes over a block of which the fast path has read the first lines. Their values are in
    /// `bytes`; those that have not come are [`Span::NONE`].
    #[inline(never)]
    pub(super) fn take_over(&mut self, bytes: &[u8], values: Values) {
        self.phase = BlockPhase::InBlock;
        if let Some(event_type) = values.event_type.some() {
            self.event_type.extend_from_slice(&bytes[event_type.range()]);
        }
        if let Some(id) = values.id.some().map(|id| &bytes[id.range()]).filter(|id| !has_nul(id)) {
            self.id.extend_from_slice(id);
            self.has_id = true;
        }
        self.held_besides = counted(self.event_type.len()) + counted(self.id.len());
        if let Some(data) = values.data.some() {
            self.begin_data();
            self.extend_data(&bytes[data.range()]);
        }
    }

    /// Reads a line, or the rest of the line that was begun, without its terminator.
    #[inline]
    fn line(&mut self, line: &[u8]) -> Option<Assembled> {
        if self.is_in_line() {
            self.feed(line);
            if self.stage == Stage::Value(Field::Data) {
                self.stage = Stage::LineStart;
                return None;
            }
        } else {
            let (field, value) = field::split(line);
            let value = &line[value..];
            if field == Field::Data {
                // Past the stages: 20 % on the `multiline` corpus of the decoder bench.
                self.begin_data();
                self.extend_data(value);
                return None;
            }
            self.begin_value(field);
            self.value(value);
        }
        self.end_line()
    }

    /// Reads a piece of a line.
    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        if self.stage == Stage::Value(Field::Data) {
            return self.extend_data(piece);
        }
        if piece.is_empty() {
            return;
        }
        self.phase = BlockPhase::InBlock;
        if self.stage == Stage::LineStart {
            if piece.len() >= MAX_HEAD {
                let (field, value) = field::split(piece);
                self.begin_value(field);
                return self.value(&piece[value..]);
            }
            self.line.clear();
            self.stage = Stage::Head;
        }
        if self.stage == Stage::Head {
            let known = self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(MAX_HEAD - known)]);
            if !field::is_decided(&self.line) {
                return;
            }
            let (field, value) = field::split(&self.line);
            piece = &piece[value - known..];
            self.begin_value(field);
        }
        self.value(piece);
    }

    /// Begins the value of a field.
    fn begin_value(&mut self, field: Field) {
        self.line.clear();
        self.stage = match field {
            Field::Unknown => Stage::Skipped(field),
            Field::Comment if !self.wants_comments => Stage::Skipped(field),
            _ => Stage::Value(field),
        };
        match field {
            Field::Data => self.begin_data(),
            Field::Retry => self.digits = RetryDigits::default(),
            _ => {}
        }
    }

    /// Reads a piece of a value.
    fn value(&mut self, piece: &[u8]) {
        let Stage::Value(field) = self.stage else { return };
        let length = self.line.len() + piece.len();
        let fits = match field {
            Field::Data => return self.extend_data(piece),
            Field::Retry => return self.digits.feed(piece),
            Field::EventType | Field::Id => self.admit(counted(length)),
            Field::Comment | Field::Unknown => self.held() + length <= self.limit,
        };
        if fits {
            let room = self.limit - self.held();
            append(&mut self.line, piece, room);
        } else {
            self.line = Vec::new();
            self.stage = Stage::Skipped(field);
        }
    }

    /// Processes the field of the line that has ended (HTML, section 9.2.6, "process the field").
    fn end_line(&mut self) -> Option<Assembled> {
        if self.stage == Stage::Head {
            // The line was shorter than a head: the value is empty.
            self.begin_value(field::split(&self.line).0);
        }
        match std::mem::replace(&mut self.stage, Stage::LineStart) {
            Stage::Value(Field::EventType) => {
                exchange(&mut self.event_type, &mut self.line);
                self.is_type_cut = false;
            }
            Stage::Skipped(Field::EventType) => {
                self.event_type.clear();
                self.is_type_cut = true;
            }
            Stage::Value(Field::Id) if !has_nul(&self.line) => {
                exchange(&mut self.id, &mut self.line);
                self.has_id = true;
            }
            Stage::Value(Field::Retry) => {
                let milliseconds = self.digits.value()?;
                self.retry = Some(milliseconds);
                return Some(Assembled::Retry(milliseconds));
            }
            Stage::Value(Field::Comment) => return Some(Assembled::Comment),
            _ => {}
        }
        self.held_besides = counted(self.event_type.len()) + counted(self.id.len());
        None
    }

    /// Begins another line of data.
    #[inline]
    fn begin_data(&mut self) {
        self.data_size += 1;
        let is_first = self.data_size == 1;
        if !is_first && self.admit(1) && !self.is_oversized {
            self.data.push(b"\n", self.limit - self.held_besides);
        }
    }

    /// Reads a piece of a line of data.
    #[inline]
    fn extend_data(&mut self, piece: &[u8]) {
        self.data_size += piece.len() as u64;
        if self.admit(piece.len()) && !self.is_oversized {
            self.data.push(piece, self.limit - self.held_besides);
        }
    }

    /// Ends the block as if its last line and a blank line ended here. An unfinished comment is
    /// dropped.
    pub(super) fn end(&mut self) -> Option<Assembled> {
        let line = if self.is_in_line() { self.end_line() } else { None };
        // A block that is lent has its reconnection time with it.
        self.end_block().or_else(|| line.filter(|line| matches!(line, Assembled::Retry(_))))
    }

    /// Forgets a block that was lent.
    pub(super) fn release(&mut self) {
        if self.phase == BlockPhase::Lent {
            self.reset();
        }
    }

    /// Ends the block at its blank line. A block with neither data nor an ID has nothing to lend,
    /// unless blocks without data are wanted.
    fn end_block(&mut self) -> Option<Assembled> {
        let is_wanted = self.wants_empty_blocks && (self.retry.is_some() || !self.event_type.is_empty());
        if self.data_size > 0 || self.has_id || is_wanted {
            self.phase = BlockPhase::Lent;
            return Some(Assembled::Block);
        }
        self.reset();
        None
    }

    /// Returns the part of the limit that the values take.
    #[inline]
    fn held(&self) -> usize {
        self.data.len() + self.held_besides
    }

    /// Returns true if `more` bytes fit under the limit.
    ///
    /// If they do not, the block is oversized from now on and its data is dropped; the answer is
    /// then whether the bytes fit without the data.
    #[inline]
    fn admit(&mut self, more: usize) -> bool {
        self.held() + more <= self.limit || self.admit_oversized(more)
    }

    #[cold]
    fn admit_oversized(&mut self, more: usize) -> bool {
        self.is_oversized = true;
        self.data = DataBuffer::default();
        self.held() + more <= self.limit
    }

    /// Returns the text of the comment that was finished last.
    pub(super) fn comment(&self) -> &[u8] {
        &self.line
    }

    /// Returns the finished block, its values in one piece behind the data.
    pub(super) fn block(&mut self) -> FinishedBlock<'_> {
        let all = &mut self.data;
        let data = Span::new(0..all.len());
        let event_type = if self.event_type.is_empty() { Span::EMPTY } else { all.separate(&self.event_type) };
        let id = if self.has_id { all.separate(&self.id) } else { Span::NONE };
        FinishedBlock {
            large: all.take_large(),
            bytes: all.bytes(),
            values: Values { data, event_type, id, retry: RetryTime::new(self.retry) },
            has_data: self.data_size > 0,
            lends_empty: self.wants_empty_blocks,
            // The line end of the last line is no part of the data.
            data_size: self.data_size.saturating_sub(1),
            is_oversized: self.is_oversized,
            is_type_cut: self.is_type_cut,
        }
    }
}

/// Returns true for an ID that the standard ignores.
pub(super) fn has_nul(id: &[u8]) -> bool {
    memchr::memchr(0, id).is_some()
}

/// Returns how much a type or an ID of this length counts against the limit.
#[inline]
fn counted(length: usize) -> usize {
    length + length.saturating_sub(MAX_COUNTED_ONCE)
}

/// Moves a value into its buffer. Neither buffer keeps memory that does not count against the
/// limit.
fn exchange(buffer: &mut Vec<u8>, value: &mut Vec<u8>) {
    std::mem::swap(buffer, value);
    buffer.shrink_to(MAX_COUNTED_ONCE);
    value.clear();
    value.shrink_to(MAX_COUNTED_ONCE);
}
