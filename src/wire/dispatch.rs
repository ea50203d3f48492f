//! [`FinishedBlock`]: dispatch (HTML, section 9.2.6), from a finished block to its frame.
//!
//! Text that is not UTF-8 is replaced here, as the standard's decoder does it; it is never an
//! error.

use simdutf8::basic::from_utf8;
use triomphe::Arc;

use crate::event::{Span, Values};

use super::frame::{EventFrame, Frame, OversizedFrame, Parts};
use super::last_event_id::LastEventIdBuffer;

/// A block that came to its blank line.
pub(super) struct FinishedBlock<'a> {
    /// All values, in one piece, as memory that the event can share.
    pub(super) large: Option<Arc<String>>,
    /// All values, in one piece, if they are not large.
    pub(super) bytes: &'a [u8],
    pub(super) values: Values,
    pub(super) has_data: bool,
    /// Without data it is lent as a block, not as an ID alone.
    pub(super) lends_empty: bool,
    /// The length of the data, also if it was dropped.
    pub(super) data_size: u64,
    pub(super) is_oversized: bool,
    /// The type itself did not fit.
    pub(super) is_type_cut: bool,
}

/// Lends a block whose text is UTF-8, and commits its ID.
#[inline]
pub(super) fn event<'a>(text: &'a str, parts: &'a Parts, last_event_id: &'a mut LastEventIdBuffer) -> EventFrame<'a> {
    if let Some(id) = parts.values.id.some() {
        last_event_id.commit(&text[id.range()]);
    }
    EventFrame { text, parts: Some(parts), last_event_id }
}

impl<'a> FinishedBlock<'a> {
    /// Creates a block with data that fits under the limit.
    pub(super) fn whole(bytes: &'a [u8], values: Values) -> Self {
        let data_size = values.data.range().len() as u64;
        Self {
            large: None,
            bytes,
            values,
            has_data: true,
            lends_empty: false,
            data_size,
            is_oversized: false,
            is_type_cut: false,
        }
    }

    /// Lends the block, and commits its ID even if its data is dropped.
    ///
    /// The frame borrows `parts` and `replaced`.
    pub(super) fn dispatch(
        mut self,
        limit: usize,
        parts: &'a mut Parts,
        last_event_id: &'a mut LastEventIdBuffer,
        replaced: &'a mut String,
    ) -> Frame<'a> {
        parts.large = self.large.take();
        let text = match from_utf8(self.bytes) {
            Ok(text) => text,
            Err(_) => self.replace(limit, replaced),
        };
        parts.values = self.values;
        let parts: &'a Parts = parts;
        let text = parts.large.as_deref().map_or(text, String::as_str);
        let event = event(text, parts, last_event_id);
        if !self.has_data && self.lends_empty {
            Frame::EmptyBlock(event)
        } else if !self.has_data {
            Frame::Id(event.last_event_id())
        } else if self.is_oversized {
            Frame::Oversized(OversizedFrame { event, is_type_cut: self.is_type_cut, size: self.data_size })
        } else {
            Frame::Event(event)
        }
    }

    /// Puts the values into `replaced`, with replacement characters.
    ///
    /// They may be larger there. If they do not fit under the limit any more, the block is
    /// oversized.
    fn replace<'r>(&mut self, limit: usize, replaced: &'r mut String) -> &'r str {
        replaced.clear();
        let Values { data, event_type, id, .. } = &mut self.values;
        *event_type = append_replaced(&self.bytes[event_type.range()], replaced);
        if id.some().is_some() {
            *id = append_replaced(&self.bytes[id.range()], replaced);
        }
        let data_bytes = &self.bytes[data.range()];
        self.is_oversized |= replaced.len() + replaced_len(data_bytes) > limit;
        *data = if self.is_oversized { Span::EMPTY } else { append_replaced(data_bytes, replaced) };
        replaced
    }
}

/// Lends a comment, with replacement characters where it is not UTF-8.
pub(super) fn comment<'a>(comment: &'a [u8], replaced: &'a mut String) -> Frame<'a> {
    Frame::Comment(match from_utf8(comment) {
        Ok(text) => text,
        Err(_) => {
            replaced.clear();
            append_replaced(comment, replaced);
            replaced
        }
    })
}

/// Appends `bytes` to `text`, with U+FFFD for each maximal part that is not UTF-8, and returns
/// where they stand.
fn append_replaced(bytes: &[u8], text: &mut String) -> Span {
    let start = text.len();
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        if !part.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Span::new(start..text.len())
}

/// Returns how many bytes [`append_replaced`] would append.
fn replaced_len(bytes: &[u8]) -> usize {
    let replacements = bytes.utf8_chunks().filter(|part| !part.invalid().is_empty()).count();
    let valid: usize = bytes.utf8_chunks().map(|part| part.valid().len()).sum();
    valid + replacements * char::REPLACEMENT_CHARACTER.len_utf8()
}
