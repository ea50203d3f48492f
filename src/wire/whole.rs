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

/// The fields of a block so far; [`Span::NONE`] for those that have not come.
// One word each, no options: so they stay in registers.
struct Fields {
    /// All lines.
    around: Line,
    /// The offset of the first value in there.
    lead: usize,
    data: Span,
    event_type: Span,
    id: Span,
}

/// Reads a block whose `first` line, which is not empty, was popped from `lines` just now.
///
/// If the block is whole, `lines` are past its blank line and `values` are set; otherwise `lines` are somewhere within.
#[inline(always)]
pub(super) fn read(lines: &mut Lines, first: Line, bytes: &[u8], limit: usize, values: &mut Values) -> Whole {
    if let Some(data) = read_data_only(lines, first, bytes, limit) {
        return Whole::DataOnly(data);
    }
    let mut fields = Fields { around: first, lead: 0, data: Span::NONE, event_type: Span::NONE, id: Span::NONE };
    let mut line = first;
    loop {
        if !fields.add(line, bytes) {
            return Whole::Other;
        }
        match lines.next(bytes) {
            // What is too large to be joined is taken in line by line.
            None if bytes.len() - first.start > MAX_KEPT => return Whole::Other,
            None => return Whole::Cut,
            Some(blank) if blank.is_empty() => break,
            Some(next) => line = next,
        }
    }
    match fields.finish(bytes, limit, values) {
        Some(around) => Whole::Block(around),
        None => Whole::Other,
    }
}

/// Reads a block that is one line of data, and returns its value. Otherwise `lines` stay where they are.
#[inline(always)]
fn read_data_only(lines: &mut Lines, first: Line, bytes: &[u8], limit: usize) -> Option<Line> {
    if !matches!(&bytes[lines.position()..], [b'\n', ..] | [b'\r', b'\n', ..]) {
        return None;
    }
    let (Field::Data, value) = field::split(&bytes[first.range()]) else { return None };
    let data = Line { start: first.start + value, end: first.end };
    if data.len() > limit {
        return None;
    }
    lines.next(bytes);
    Some(data)
}

impl Fields {
    /// Takes a line that is not empty. Returns false if the block is of another kind because of it.
    #[inline(always)]
    fn add(&mut self, line: Line, bytes: &[u8]) -> bool {
        let (field, value) = field::split(&bytes[line.range()]);
        let start = line.start + value - self.around.start;
        let span = Span::new(start..line.end - self.around.start);
        if self.lead == 0 {
            self.lead = start;
        }
        let is_first;
        match field {
            Field::Data => {
                is_first = self.data == Span::NONE;
                self.data = span;
            }
            Field::EventType => {
                is_first = self.event_type == Span::NONE;
                self.event_type = span;
            }
            Field::Id => {
                is_first = self.id == Span::NONE;
                self.id = span;
            }
            _ => return false,
        }
        self.around.end = line.end;
        is_first
    }

    /// Sets the values of a block that has ended, and returns where they stand, from the first to the last. `None` if
    /// the block has no data, may be over the limit, or has an ID that does not count.
    #[inline(always)]
    fn finish(self, bytes: &[u8], limit: usize, values: &mut Values) -> Option<Line> {
        let Self { around, lead, data, event_type, id } = self;
        let is_small = |value: Span| value.some().is_none_or(|value| value.range().len() <= MAX_COUNTED_ONCE);
        let has_nul = |id: Span| memchr::memchr(0, &bytes[around.range()][id.range()]).is_some();
        let data = data.some()?;
        // All lines count here, with their names: what is near the limit is for the assembler to count.
        if around.len() > limit || !is_small(event_type) || !is_small(id) || id.some().is_some_and(has_nul) {
            return None;
        }
        let from_lead = |value: Span| value.some().map(|value| value.nearer(lead));
        *values = Values {
            data: data.nearer(lead),
            event_type: from_lead(event_type).unwrap_or(Span::EMPTY),
            id: from_lead(id).unwrap_or(Span::NONE),
            retry: RetryTime::NONE,
        };
        Some(Line { start: around.start + lead, end: around.end })
    }
}
