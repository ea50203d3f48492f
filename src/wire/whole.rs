//! Blocks that lie whole in one chunk, with at most one line each of data, type and ID: most of them.
//!
//! Read in one go, without touching the state of a block in progress. Whatever is out of the ordinary
//! (more lines, another field, an unfinished or an oversized block) is left to the long way, which
//! gives the same result for these, too: that is tested.

use super::block::SMALL;
use super::lines::{Line, Lines};

/// The values of a block, as places in the chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct WholeBlock {
    /// From the first value to the last.
    pub(super) around: Line,
    pub(super) data: Line,
    /// Empty for the default type.
    pub(super) event_type: Line,
    pub(super) id: Option<Line>,
}

const NOWHERE: Line = Line { start: 0, end: 0 };

/// Reads a block whose `first` line was popped from `lines` just now. `None`, with `lines` where they
/// were, if it is not of the ordinary kind or its values have more than `limit` bytes.
#[inline]
pub(super) fn read(lines: &mut Lines, first: Line, chunk: &[u8], limit: usize) -> Option<WholeBlock> {
    let mut cursor = *lines;
    let bytes = &chunk[first.range()];
    let block = match bytes.strip_prefix(b"data:") {
        Some(_) => {
            let data = value(chunk, first, 5);
            let next = cursor.next(chunk)?;
            if next.is_empty() {
                WholeBlock { around: data, data, event_type: NOWHERE, id: None }
            } else {
                let block = Partly { data: Some(data), ..Partly::default() };
                block.read(&mut cursor, next, chunk)?
            }
        }
        None => Partly::default().read(&mut cursor, first, chunk)?,
    };
    // What counts twice is for the long way to count.
    let small = block.event_type.len() <= SMALL && block.id.is_none_or(|id| id.len() <= SMALL);
    if block.around.len() > limit || !small {
        return None;
    }
    *lines = cursor;
    Some(block)
}

/// What has been read of a block.
#[derive(Default)]
struct Partly {
    data: Option<Line>,
    event_type: Option<Line>,
    id: Option<Line>,
}

impl Partly {
    /// Reads on from `line`, up to the blank one.
    fn read(mut self, lines: &mut Lines, mut line: Line, chunk: &[u8]) -> Option<WholeBlock> {
        while !line.is_empty() {
            let (place, name) = match &chunk[line.range()] {
                [b'd', b'a', b't', b'a', b':', ..] => (&mut self.data, 5),
                [b'e', b'v', b'e', b'n', b't', b':', ..] => (&mut self.event_type, 6),
                [b'i', b'd', b':', ..] => (&mut self.id, 3),
                _ => return None,
            };
            if place.is_some() {
                return None;
            }
            *place = Some(value(chunk, line, name));
            line = lines.next(chunk)?;
        }
        let Self { data: Some(data), event_type, id } = self else { return None };
        if id.is_some_and(|id| memchr::memchr(0, &chunk[id.range()]).is_some()) {
            return None;
        }
        let mut around = data;
        for value in [event_type, id].into_iter().flatten() {
            around = Line { start: around.start.min(value.start), end: around.end.max(value.end) };
        }
        Some(WholeBlock { around, data, event_type: event_type.unwrap_or(NOWHERE), id })
    }
}

/// What follows the colon of a line, without the one space that does not count.
#[inline]
fn value(chunk: &[u8], line: Line, name: usize) -> Line {
    let start = line.start + name;
    let space = start < line.end && chunk[start] == b' ';
    Line { start: start + usize::from(space), end: line.end }
}
