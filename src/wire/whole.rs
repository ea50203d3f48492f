//! Blocks that lie whole in one chunk, with at most one line each of data, type and ID: most of them.
//!
//! Read in one go, without touching the state of a block in progress. What turns out to be out of the
//! ordinary (more lines, another field, the end of the chunk, too many bytes) is read again the long way,
//! which gives the same result for ordinary blocks, too: that is tested.

use crate::event::Span;

use super::block::SMALL;
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
    Cut,
}

/// Reads a block whose `first` line, which is not empty, was popped from `lines` just now. `lines` are past
/// its blank line if it was whole; otherwise they have gone somewhere, and the block has to be read again.
#[inline]
pub(super) fn read(lines: &mut Lines, first: Line, chunk: &[u8], limit: usize) -> Outcome {
    let (mut data, mut event_type, mut id) = (None, None, None);
    let mut start = usize::MAX;
    let mut line = first;
    loop {
        let (field, name) = match &chunk[line.range()] {
            [b'd', b'a', b't', b'a', b':', ..] => (&mut data, 5),
            [b'e', b'v', b'e', b'n', b't', b':', ..] => (&mut event_type, 6),
            [b'i', b'd', b':', ..] => (&mut id, 3),
            _ => return Outcome::Other,
        };
        let value = value(chunk, line, name);
        if field.replace(value).is_some() {
            return Outcome::Other;
        }
        start = start.min(value.start);
        let end = line.end;
        match lines.next(chunk) {
            None => return Outcome::Cut,
            Some(blank) if blank.is_empty() => {
                let Some(data) = data else { return Outcome::Other };
                let block = WholeBlock { around: Line { start, end }, data, event_type, id };
                return if block.is_ordinary(chunk, limit) { Outcome::Whole(block) } else { Outcome::Other };
            }
            Some(next) => line = next,
        }
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

    /// Within the limit, by the simplest of counts, and with an ID that counts.
    #[inline]
    fn is_ordinary(&self, chunk: &[u8], limit: usize) -> bool {
        // What counts twice is for the long way to count.
        let small = |value: Option<Line>| value.is_none_or(|value| value.len() <= SMALL);
        let id_counts = self.id.is_none_or(|id| memchr::memchr(0, &chunk[id.range()]).is_none());
        self.around.len() <= limit && small(self.event_type) && small(self.id) && id_counts
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
