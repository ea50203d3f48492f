//! Blocks that lie whole in one chunk, with at most one line each of data, type and ID: most of them.
//!
//! Read in one go, without touching the state of a block in progress. What turns out to be out of the
//! ordinary (more lines, another field, the end of the chunk, too many bytes) is read again the long way,
//! which gives the same result for ordinary blocks, too: that is tested.

use crate::event::Span;

use super::buffer::SMALL;
use super::frame::Values;
use super::lines::{Line, Lines};

/// A block that was read to its blank line, as places in the chunk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WholeBlock {
    /// From the first value to the last.
    pub(super) around: Line,
    pub(super) data: Line,
    pub(super) event_type: Option<Line>,
    pub(super) id: Option<Line>,
}

/// What became of a block.
pub(super) enum Outcome {
    Whole(WholeBlock),
    /// Not of the ordinary kind.
    Other,
    /// No other line ends in the chunk; so far it was ordinary.
    Cut(Cut),
}

/// A block that is ordinary as far as it has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cut {
    pub(super) values: Fields,
    /// Where the line begins that has not come to its end.
    pub(super) line: usize,
}

/// The fields of a block so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields {
    data: Option<Line>,
    event_type: Option<Line>,
    id: Option<Line>,
    /// From the first value to the last.
    around: Option<Line>,
}

/// Reads a block whose `first` line, which is not empty, was popped from `lines` just now. `lines` are past
/// its blank line if it was whole; otherwise they have gone somewhere, and the block has to be read again.
#[inline]
pub(super) fn read(lines: &mut Lines, first: Line, chunk: &[u8], limit: usize) -> Outcome {
    let mut fields = Fields::default();
    let mut line = first;
    loop {
        if !fields.add(line, chunk) {
            return Outcome::Other;
        }
        match lines.next(chunk) {
            None => return Outcome::Cut(Cut { values: fields, line: lines.position() }),
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
    pub(super) fn add(&mut self, line: Line, chunk: &[u8]) -> bool {
        let (field, name) = match &chunk[line.range()] {
            [b'd', b'a', b't', b'a', b':', ..] => (&mut self.data, 5),
            [b'e', b'v', b'e', b'n', b't', b':', ..] => (&mut self.event_type, 6),
            [b'i', b'd', b':', ..] => (&mut self.id, 3),
            _ => return false,
        };
        let value = value(chunk, line, name);
        let start = self.around.map_or(value.start, |around| around.start);
        self.around = Some(Line { start, end: line.end });
        field.replace(value).is_none()
    }

    /// The block, after its blank line, if it is within the limit, by the simplest of counts, and has an ID that
    /// counts.
    #[inline]
    pub(super) fn whole(self, chunk: &[u8], limit: usize) -> Option<WholeBlock> {
        let Self { data: Some(data), event_type, id, around: Some(around) } = self else { return None };
        // What counts twice is for the long way to count.
        let small = |value: Option<Line>| value.is_none_or(|value| value.len() <= SMALL);
        let id_counts = id.is_none_or(|id| memchr::memchr(0, &chunk[id.range()]).is_none());
        let ordinary = around.len() <= limit && small(event_type) && small(id) && id_counts;
        ordinary.then_some(WholeBlock { around, data, event_type, id })
    }

    /// The same, `by` bytes nearer to the beginning.
    pub(super) fn moved(self, by: usize) -> Self {
        let moved = |line: Line| Line { start: line.start - by, end: line.end - by };
        let Self { data, event_type, id, around } = self;
        Self { data: data.map(moved), event_type: event_type.map(moved), id: id.map(moved), around: around.map(moved) }
    }
}

impl WholeBlock {
    /// Where the values stand in the text of `around`.
    #[inline]
    pub(super) fn values(&self) -> Values {
        let span = |line: Line| Span::new(line.start - self.around.start..line.end - self.around.start);
        Values {
            data: span(self.data),
            event_type: self.event_type.map(span).unwrap_or_default(),
            id: self.id.map_or(Span::NONE, span),
        }
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
