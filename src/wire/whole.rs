//! Blocks that lie whole in one chunk, with at most one line each of data, type and ID: most of them.
//!
//! Read in one go, without touching the state of a block in progress. What turns out to be out of the
//! ordinary (more lines, another field, the end of the chunk, too many bytes) is read again the long way,
//! which gives the same result for ordinary blocks, too: that is tested.

use crate::event::Span;

use super::buffer::SMALL;
use super::frame::Values;
use super::lines::{Line, Lines};

/// A block that was read to its blank line.
#[derive(Debug, Clone, Copy)]
pub(super) struct WholeBlock {
    /// Where it stands in the chunk, from the first value to the last.
    pub(super) around: Line,
    /// Where the values stand in there.
    pub(super) values: Values,
}

/// What became of a block.
pub(super) enum Outcome {
    Whole(WholeBlock),
    /// Not of the ordinary kind.
    Other,
    /// No other line ends in the chunk; so far it was ordinary.
    Cut,
}

/// The fields of a block so far, those that have not come as [`Span::NONE`].
// No options and no pairs: what is one word each stays in registers.
struct Fields {
    /// All lines.
    around: Line,
    /// Where the first value begins in there.
    lead: usize,
    data: Span,
    event_type: Span,
    id: Span,
}

/// Reads a block whose `first` line, which is not empty, was popped from `lines` just now. `lines` are past
/// its blank line if it was whole; otherwise they have gone somewhere, and the block has to be read again.
#[inline]
pub(super) fn read(lines: &mut Lines, first: Line, chunk: &[u8], limit: usize) -> Outcome {
    let mut fields = Fields { around: first, lead: 0, data: Span::NONE, event_type: Span::NONE, id: Span::NONE };
    let mut line = first;
    loop {
        if !fields.add(line, chunk) {
            return Outcome::Other;
        }
        match lines.next(chunk) {
            None => return Outcome::Cut,
            Some(blank) if blank.is_empty() => {
                return fields.whole(chunk, limit).map_or(Outcome::Other, Outcome::Whole);
            }
            Some(next) => line = next,
        }
    }
}

impl Fields {
    /// Takes a line that is not empty. False if it makes the block one of another kind.
    #[inline]
    fn add(&mut self, line: Line, chunk: &[u8]) -> bool {
        let is_first;
        match &chunk[line.range()] {
            [b'd', b'a', b't', b'a', b':', ..] => {
                is_first = self.data == Span::NONE;
                self.data = self.span(chunk, line, 5);
            }
            [b'e', b'v', b'e', b'n', b't', b':', ..] => {
                is_first = self.event_type == Span::NONE;
                self.event_type = self.span(chunk, line, 6);
            }
            [b'i', b'd', b':', ..] => {
                is_first = self.id == Span::NONE;
                self.id = self.span(chunk, line, 3);
            }
            _ => return false,
        }
        self.around.end = line.end;
        is_first
    }

    /// Where the value of a line stands, whose name and colon have that length.
    #[inline]
    fn span(&mut self, chunk: &[u8], line: Line, name: usize) -> Span {
        let value = value(chunk, line, name);
        if self.lead == 0 {
            self.lead = value.start - self.around.start;
        }
        Span::new(value.start - self.around.start..value.end - self.around.start)
    }

    /// The block, after its blank line, if it is within the limit, by the simplest of counts, and has an ID that
    /// counts.
    #[inline]
    fn whole(self, chunk: &[u8], limit: usize) -> Option<WholeBlock> {
        let Self { around, lead, data, event_type, id } = self;
        // What counts twice is for the long way to count.
        let small = |value: Span| value.some().is_none_or(|value| value.range().len() <= SMALL);
        let id_counts = || id.some().is_none_or(|id| memchr::memchr(0, &chunk[around.range()][id.range()]).is_none());
        let data = data.some()?;
        let ordinary = around.len() <= limit && small(event_type) && small(id) && id_counts();
        let nearer = |value: Span| value.some().map(|value| value.nearer(lead));
        ordinary.then_some(WholeBlock {
            around: Line { start: around.start + lead, end: around.end },
            values: Values {
                data: data.nearer(lead),
                event_type: nearer(event_type).unwrap_or_default(),
                id: nearer(id).unwrap_or(Span::NONE),
            },
        })
    }
}

/// The value of a block that is one line of data and nothing else: what most blocks are. `lines` are
/// past its blank line then, and untouched otherwise.
#[inline]
pub(super) fn read_data_only(lines: &mut Lines, first: Line, chunk: &[u8], limit: usize) -> Option<Line> {
    let ends = matches!(&chunk[lines.position()..], [b'\n', ..] | [b'\r', b'\n', ..]);
    if !ends || !chunk[first.range()].starts_with(b"data:") {
        return None;
    }
    let data = value(chunk, first, 5);
    if data.len() > limit {
        return None;
    }
    lines.next(chunk);
    Some(data)
}

/// What follows the colon of a line, without the one space that does not count.
#[inline]
fn value(chunk: &[u8], line: Line, name: usize) -> Line {
    let start = line.start + name;
    let space = start < line.end && chunk[start] == b' ';
    Line { start: start + usize::from(space), end: line.end }
}
