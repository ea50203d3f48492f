//! The block being read: what its lines have set, bounded.
//!
//! While a block lies whole in one chunk its values are only places in that chunk, and the event is
//! copied out once. What reaches past the chunk is kept in buffers of the block's own.

use crate::event::Span;

use super::buffer::{RETAINED, append, exchange, separate, weight};
use super::frame::Values;
use super::lines::{Line, Lines};

/// Lines up to this length are copied at this length.
const SHORT: usize = 64;

/// How much of the lines around its values an event may carry, so as to be copied in one piece.
const SLACK: usize = 64;

#[derive(Debug)]
pub(super) struct Block {
    /// The most bytes that the values and the line being read may have together.
    limit: usize,
    /// How many the values have now.
    held: usize,
    data: Value,
    event_type: Value,
    id: Value,
    pub(super) retry: Option<u64>,
    /// Bytes of data in all, also those that were not kept.
    pub(super) data_size: u64,
    /// Over the limit: the data is dropped, and what else fits is still taken.
    pub(super) oversized: bool,
    /// The type itself did not fit.
    pub(super) type_cut: bool,
    data_buffer: Vec<u8>,
    type_buffer: Vec<u8>,
    id_buffer: Vec<u8>,
}

/// Where the value of a field stands.
#[derive(Debug, Default, Clone, Copy)]
enum Value {
    #[default]
    Absent,
    InChunk(Line),
    InBuffer,
}

/// A block's values, in one piece of bytes.
pub(super) struct Gathered<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) data: Span,
    pub(super) event_type: Span,
    pub(super) id: Option<Span>,
}

impl Block {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: 0,
            data: Value::Absent,
            event_type: Value::Absent,
            id: Value::Absent,
            retry: None,
            data_size: 0,
            oversized: false,
            type_cut: false,
            data_buffer: Vec::new(),
            type_buffer: Vec::new(),
            id_buffer: Vec::new(),
        }
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// As new, for the next block. Buffers keep a modest capacity.
    #[inline]
    pub(super) fn reset(&mut self) {
        self.held = 0;
        self.data = Value::Absent;
        self.event_type = Value::Absent;
        self.id = Value::Absent;
        self.retry = None;
        self.data_size = 0;
        self.oversized = false;
        self.type_cut = false;
        for buffer in [&mut self.data_buffer, &mut self.type_buffer, &mut self.id_buffer] {
            if buffer.capacity() > RETAINED {
                *buffer = Vec::new();
            }
        }
    }

    pub(super) fn has_data(&self) -> bool {
        self.oversized && self.data_size > 0 || !matches!(self.data, Value::Absent)
    }

    pub(super) fn has_id(&self) -> bool {
        !matches!(self.id, Value::Absent)
    }

    /// Whether `more` bytes fit. If not, the block is oversized from now on, its data goes, and the
    /// answer is whether they fit then.
    #[inline]
    pub(super) fn admit(&mut self, more: usize) -> bool {
        self.held + more <= self.limit || self.admit_oversized(more)
    }

    /// Whether a line that is no part of the block, a comment, may be kept beside it.
    pub(super) fn has_room(&self, line: usize) -> bool {
        self.held + line <= self.limit
    }

    /// What a buffer for the line being read may grow to.
    pub(super) fn room(&self) -> usize {
        self.limit - self.held.min(self.limit)
    }

    #[cold]
    fn admit_oversized(&mut self, more: usize) -> bool {
        if !self.oversized {
            self.oversized = true;
            self.held -= self.data.len(&self.data_buffer);
            self.data = Value::Absent;
            self.data_buffer = Vec::new();
        }
        self.held + more <= self.limit
    }

    /// A whole `data` line.
    #[inline]
    pub(super) fn data_line(&mut self, chunk: &[u8], value: Line) {
        let length = value.len();
        match self.data {
            Value::Absent if self.data_size == 0 => {
                // One more than the length, so that an empty line counts as data, too.
                self.data_size = length as u64 + 1;
                if self.admit(length) && !self.oversized {
                    self.data = Value::InChunk(value);
                    self.held += length;
                }
            }
            Value::InBuffer if self.held + length < self.limit => {
                self.data_size += length as u64 + 1;
                self.append_data(b"\n");
                self.append_data(&chunk[value.range()]);
            }
            _ => {
                self.begin_data_line(chunk);
                self.extend_data(&chunk[value.range()]);
            }
        }
    }

    /// More `data` lines, after at least two: as many as come. The first line that is something else.
    #[inline]
    pub(super) fn data_lines(&mut self, line: Line, lines: &mut Lines, chunk: &[u8]) -> Option<Line> {
        if !matches!(self.data, Value::InBuffer) {
            return Some(line);
        }
        let (mut next, mut ahead) = (Some(line), *lines);
        let before = self.data_buffer.len();
        // What the buffer has to grow for, or cannot, is for the ordinary way.
        let room = (self.data_buffer.capacity() - before).min(self.limit.saturating_sub(self.held));
        while let Some(line) = next {
            let Some(value) = chunk[line.range()].strip_prefix(b"data:") else { break };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if self.data_buffer.len() - before + value.len() + SHORT >= room {
                break;
            }
            self.data_buffer.push(b'\n');
            // A short line is copied with what follows it, since that takes no call.
            match chunk[line.end - value.len()..].first_chunk::<SHORT>() {
                Some(more) if value.len() <= SHORT => {
                    let end = self.data_buffer.len() + value.len();
                    self.data_buffer.extend_from_slice(more);
                    self.data_buffer.truncate(end);
                }
                _ => self.data_buffer.extend_from_slice(value),
            }
            next = ahead.next(chunk);
        }
        let added = self.data_buffer.len() - before;
        self.data_size += added as u64;
        self.held += added;
        *lines = ahead;
        next
    }

    /// A `data` line begins whose value will come in pieces: see [`extend_data`](Self::extend_data).
    pub(super) fn begin_data_line(&mut self, chunk: &[u8]) {
        self.data_size += 1;
        let separator = usize::from(self.data_size > 1);
        if !self.admit(separator) || self.oversized {
            return;
        }
        match self.data {
            Value::Absent => self.data_buffer.clear(),
            Value::InChunk(line) => {
                self.data_buffer.clear();
                self.data_buffer.extend_from_slice(&chunk[line.range()]);
            }
            Value::InBuffer => {}
        }
        self.data = Value::InBuffer;
        if separator > 0 {
            self.append_data(b"\n");
        }
    }

    /// A piece of the value of the `data` line that was begun.
    pub(super) fn extend_data(&mut self, piece: &[u8]) {
        self.data_size += piece.len() as u64;
        if self.admit(piece.len()) && !self.oversized {
            self.append_data(piece);
        }
    }

    #[inline]
    fn append_data(&mut self, piece: &[u8]) {
        if piece.len() > self.data_buffer.capacity() - self.data_buffer.len() {
            let most = self.room() + self.data_buffer.len();
            append(&mut self.data_buffer, piece, most);
        } else {
            self.data_buffer.extend_from_slice(piece);
        }
        self.held += piece.len();
    }

    /// A whole `event` line; an empty value is the default type again.
    pub(super) fn event_type_line(&mut self, value: Line) {
        if self.admit(weight(value.len())) {
            self.set_event_type(value.len());
            self.event_type = Value::InChunk(value);
        } else {
            self.cut_event_type();
        }
    }

    /// An `event` line that was cut by a chunk's end, and admitted as it came. Leaves in `value`
    /// what may be overwritten.
    pub(super) fn event_type_bytes(&mut self, value: &mut Vec<u8>) {
        self.set_event_type(value.len());
        self.event_type = Value::InBuffer;
        exchange(&mut self.type_buffer, value);
    }

    /// An `event` line was too long to be kept.
    pub(super) fn cut_event_type(&mut self) {
        self.set_event_type(0);
        self.event_type = Value::Absent;
        self.type_cut = true;
    }

    fn set_event_type(&mut self, length: usize) {
        self.held = self.held - weight(self.event_type.len(&self.type_buffer)) + weight(length);
        self.type_cut = false;
    }

    /// A whole `id` line. One with a NUL is ignored, and so is one that does not fit.
    pub(super) fn id_line(&mut self, chunk: &[u8], value: Line) {
        let bytes = &chunk[value.range()];
        if self.admit(weight(bytes.len())) && memchr::memchr(0, bytes).is_none() {
            self.held = self.held - weight(self.id.len(&self.id_buffer)) + weight(bytes.len());
            self.id = Value::InChunk(value);
        }
    }

    /// An `id` line that was cut by a chunk's end, and admitted as it came. Leaves in `value` what
    /// may be overwritten.
    pub(super) fn id_bytes(&mut self, value: &mut Vec<u8>) {
        if memchr::memchr(0, value).is_none() {
            self.held = self.held - weight(self.id.len(&self.id_buffer)) + weight(value.len());
            self.id = Value::InBuffer;
            exchange(&mut self.id_buffer, value);
        }
    }

    /// The values of a block that was read in one go, stands `around` there, and is known to fit.
    pub(super) fn set_values(&mut self, chunk: &[u8], around: Line, values: &Values) {
        let line = |value: Span| {
            let range = value.range();
            Line { start: around.start + range.start, end: around.start + range.end }
        };
        self.data_line(chunk, line(values.data));
        if !values.event_type.is_empty() {
            self.event_type_line(line(values.event_type));
        }
        if let Some(id) = values.id.some() {
            self.id_line(chunk, line(id));
        }
    }

    /// Copies what stands in the chunk, which is about to go.
    pub(super) fn leave_chunk(&mut self, chunk: &[u8]) {
        for (value, buffer) in [
            (&mut self.data, &mut self.data_buffer),
            (&mut self.event_type, &mut self.type_buffer),
            (&mut self.id, &mut self.id_buffer),
        ] {
            if let Value::InChunk(line) = *value {
                *value = keep(buffer, &chunk[line.range()]);
            }
        }
    }

    /// The values in one piece: straight from the chunk if they stand close together there.
    pub(super) fn gather<'a>(&'a mut self, chunk: &'a [u8]) -> Gathered<'a> {
        match self.close_together() {
            Some(around) => {
                let span = |value| match value {
                    Value::InChunk(line) => Some(Span::new(line.start - around.start..line.end - around.start)),
                    Value::Absent | Value::InBuffer => None,
                };
                Gathered {
                    data: span(self.data).unwrap_or_default(),
                    event_type: span(self.event_type).unwrap_or_default(),
                    id: span(self.id),
                    bytes: &chunk[around.range()],
                }
            }
            None => self.gather_copy(chunk),
        }
    }

    fn gather_copy<'a>(&'a mut self, chunk: &'a [u8]) -> Gathered<'a> {
        self.leave_chunk(chunk);
        let text = &mut self.data_buffer;
        if !matches!(self.data, Value::InBuffer) {
            text.clear();
        }
        let data = 0..text.len();
        let event_type = matches!(self.event_type, Value::InBuffer).then(|| separate(text, &self.type_buffer));
        let id = matches!(self.id, Value::InBuffer).then(|| separate(text, &self.id_buffer));
        Gathered { bytes: text, data: Span::new(data), event_type: event_type.unwrap_or_default(), id }
    }

    /// The part of the chunk that holds all values and little else, if there is one.
    fn close_together(&self) -> Option<Line> {
        let mut around: Option<Line> = None;
        for value in [self.data, self.event_type, self.id] {
            match value {
                Value::InBuffer => return None,
                Value::Absent => {}
                Value::InChunk(line) => {
                    let so_far = around.unwrap_or(line);
                    around = Some(Line { start: so_far.start.min(line.start), end: so_far.end.max(line.end) });
                }
            }
        }
        around.filter(|around| around.len() <= self.held + SLACK)
    }
}

impl Value {
    /// Its length, given the buffer that it has when it is in one.
    fn len(self, buffer: &[u8]) -> usize {
        match self {
            Self::Absent => 0,
            Self::InChunk(line) => line.len(),
            Self::InBuffer => buffer.len(),
        }
    }
}

fn keep(buffer: &mut Vec<u8>, value: &[u8]) -> Value {
    buffer.clear();
    buffer.extend_from_slice(value);
    Value::InBuffer
}
