//! Blocks that lie whole in one chunk, with at most one line each of data, type and ID: most of them.
//!
//! Read in one go, without touching the state of a block in progress. What turns out to be out of the
//! ordinary (more lines, another field, the end of the chunk, too many bytes) goes the long way, which
//! gives the same result for ordinary blocks, too: that is tested.

use super::block::{Block, SMALL};
use super::field::Field;
use super::lines::{Line, Lines};

/// The values of a block, as places in the chunk, in wire order.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values {
    values: [Option<(Field, Line)>; 3],
    count: usize,
}

/// What became of a block.
pub(super) enum Outcome {
    /// Read to its blank line.
    Whole(WholeBlock),
    /// Read so far, and not of the ordinary kind. The line that was read last, if there was another.
    Unfinished(Values, Option<Line>),
}

/// A block that was read to its blank line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WholeBlock {
    /// From the first value to the last.
    pub(super) around: Line,
    pub(super) data: Line,
    pub(super) event_type: Option<Line>,
    pub(super) id: Option<Line>,
}

/// Reads a block whose `first` line, a field of one of the three, was popped from `lines` just now.
pub(super) fn read(lines: &mut Lines, first: Line, chunk: &[u8], limit: usize) -> Outcome {
    let mut values = Values::default();
    let mut line = Some(first);
    while let Some(popped) = line {
        if popped.is_empty() {
            return match values.whole(chunk, limit) {
                Some(block) => Outcome::Whole(block),
                None => Outcome::Unfinished(values, line),
            };
        }
        let (field, name) = match &chunk[popped.range()] {
            [b'd', b'a', b't', b'a', b':', ..] => (Field::Data, 5),
            [b'e', b'v', b'e', b'n', b't', b':', ..] => (Field::EventType, 6),
            [b'i', b'd', b':', ..] => (Field::Id, 3),
            _ => break,
        };
        if !values.add(field, value(chunk, popped, name)) {
            break;
        }
        line = lines.next(chunk);
    }
    Outcome::Unfinished(values, line)
}

impl Values {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// False, and nothing changed, if the field was there already.
    fn add(&mut self, field: Field, value: Line) -> bool {
        if self.get(field).is_some() {
            return false;
        }
        self.values[self.count] = Some((field, value));
        self.count += 1;
        true
    }

    fn get(&self, field: Field) -> Option<Line> {
        self.values.iter().flatten().find(|(seen, _)| *seen == field).map(|(_, value)| *value)
    }

    fn whole(&self, chunk: &[u8], limit: usize) -> Option<WholeBlock> {
        let (event_type, id) = (self.get(Field::EventType), self.get(Field::Id));
        let data = self.get(Field::Data)?;
        let first = self.values[0].map_or(data, |(_, value)| value);
        let last = self.values[self.count - 1].map_or(data, |(_, value)| value);
        let around = Line { start: first.start, end: last.end };
        // What counts twice is for the long way to count.
        let small = |value: Option<Line>| value.is_none_or(|value| value.len() <= SMALL);
        let ordinary = around.len() <= limit && small(event_type) && small(id);
        let id_counts = id.is_none_or(|id| memchr::memchr(0, &chunk[id.range()]).is_none());
        (ordinary && id_counts).then_some(WholeBlock { around, data, event_type, id })
    }

    /// Puts them into a block, as if their lines had come one by one.
    pub(super) fn put_into(&self, block: &mut Block, chunk: &[u8]) {
        for (field, value) in self.values.iter().flatten() {
            match field {
                Field::Data => block.data_line(chunk, *value),
                Field::EventType => block.event_type_line(*value),
                _ => block.id_line(chunk, *value),
            }
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
