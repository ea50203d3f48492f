//! The fast path through the grammar: blocks that lie whole in one piece of bytes, with at most one line each of data,
//! type and ID.
//!
//! Most blocks of most streams are like that. Nothing is copied and no state is kept. A block of another kind (more
//! lines, another field, too many bytes, an ID with a NUL) is read again by the [`Assembler`](super::assembler).

use crate::event::{RetryTime, Span, Values};

use super::assembler::MAX_COUNTED_ONCE;
use super::field::{self, Field};
use super::joined::MAX_KEPT;
use super::lines::{Line, Lines};

/// The outcome of the fast path.
pub(super) enum Whole {
    /// A block that is one line of data; its value.
    DataOnly(Line),
    /// A block; the lines from its first value to the last.
    Block(Line),
    /// The block is of another kind.
    Other,
    /// The bytes end within the block.
    Cut,
}

/// Reads a block whose `first` line, which is not empty, was popped from `lines` just now.
///
/// If the block is whole, `lines` are past its blank line and `values` are set; otherwise `lines` are somewhere within.
#[inline(always)]
pub(super) fn read(lines: &mut Lines, first: Line, bytes: &[u8], limit: usize, values: &mut Values) -> Whole {
    let (mut field, mut value) = split(first, bytes);
    if field == Field::Data && is_blank(&bytes[lines.position()..]) && value.len() <= limit {
        lines.next(bytes);
        return Whole::DataOnly(value);
    }
    let mut fields = Fields { around: value, data: Span::NONE, event_type: Span::NONE, id: Span::NONE };
    loop {
        if !fields.add(field, value) {
            return Whole::Other;
        }
        match lines.next(bytes) {
            // What is too large to be joined is taken in line by line.
            None if bytes.len() - first.start > MAX_KEPT => return Whole::Other,
            None => return Whole::Cut,
            Some(blank) if blank.is_empty() => return fields.finish(bytes, limit, values),
            Some(line) => (field, value) = split(line, bytes),
        }
    }
}

/// Returns the field of a line and where its value stands.
#[inline(always)]
fn split(line: Line, bytes: &[u8]) -> (Field, Line) {
    let (field, value) = field::split(&bytes[line.range()]);
    (field, Line { start: line.start + value, end: line.end })
}

/// Returns whether `rest` begins with a blank line that ends in LF.
#[inline(always)]
fn is_blank(rest: &[u8]) -> bool {
    matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..])
}

/// The values of a block so far, relative to the first; [`Span::NONE`] for those that have not come.
// One word each, no options: so they stay in registers.
struct Fields {
    /// From the first value to the last.
    around: Line,
    data: Span,
    event_type: Span,
    id: Span,
}

impl Fields {
    /// Takes a value. Returns false if the block is of another kind because of it.
    #[inline(always)]
    fn add(&mut self, field: Field, value: Line) -> bool {
        let slot = match field {
            Field::Data => &mut self.data,
            Field::EventType => &mut self.event_type,
            Field::Id => &mut self.id,
            Field::Retry | Field::Comment | Field::Unknown => return false,
        };
        let is_first = *slot == Span::NONE;
        *slot = Span::new(value.start - self.around.start..value.end - self.around.start);
        self.around.end = value.end;
        is_first
    }

    /// Ends the block, and sets its values.
    #[inline(always)]
    fn finish(self, bytes: &[u8], limit: usize, values: &mut Values) -> Whole {
        let Self { around, data, event_type, id } = self;
        let is_small = |value: Span| value.some().is_none_or(|value| value.range().len() <= MAX_COUNTED_ONCE);
        let has_nul = |id: Span| memchr::memchr(0, &bytes[around.range()][id.range()]).is_some();
        // Field names and line ends between the values count here: what is near the limit is for the assembler to count.
        let is_near_limit = around.len() > limit || !is_small(event_type) || !is_small(id);
        if data == Span::NONE || is_near_limit || id.some().is_some_and(has_nul) {
            return Whole::Other;
        }
        *values = Values { data, event_type: event_type.some().unwrap_or(Span::EMPTY), id, retry: RetryTime::NONE };
        Whole::Block(around)
    }
}
