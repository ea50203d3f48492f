//! Dispatching (HTML standard, section 9.2.6): from a finished block to the frame that is lent.

use std::sync::{Arc, OnceLock};

use simdutf8::basic::from_utf8;

use crate::event::Span;

use super::block::{Block, Gathered, RETAINED};
use super::frame::{EventFrame, Frame, OversizedFrame};
use super::lines::Line;
use super::whole::WholeBlock;

/// The parts of a decoder that a frame is made from, and lent from.
pub(super) struct Dispatch<'a> {
    pub(super) chunk: &'a [u8],
    pub(super) block: &'a mut Block,
    pub(super) last_event_id: &'a mut String,
    pub(super) inherited: &'a mut OnceLock<Arc<str>>,
    /// For text that is not UTF-8.
    pub(super) replaced: &'a mut String,
}

impl<'a> Dispatch<'a> {
    /// A block that lies whole in the chunk.
    #[inline]
    pub(super) fn whole(self, block: WholeBlock) -> Frame<'a> {
        let WholeBlock { around, data, event_type, id } = block;
        let Ok(text) = from_utf8(&self.chunk[around.range()]) else {
            // The long way, which replaces what is not text.
            self.block.set_lines(self.chunk, data, event_type, id);
            return self.block();
        };
        let span = |line: Line| Span::new(line.start - around.start..line.end - around.start);
        let id = id.map(span);
        if let Some(id) = id {
            commit(&text[id.range()], self.last_event_id, self.inherited);
        }
        Frame::Event(EventFrame {
            text,
            data: span(data),
            event_type: if event_type.is_empty() { Span::default() } else { span(event_type) },
            id,
            retry: None,
            last_event_id: self.last_event_id,
            inherited: self.inherited,
        })
    }

    /// Any other block. Its ID becomes the last event ID, whatever becomes of the rest.
    pub(super) fn block(self) -> Frame<'a> {
        let has_data = self.block.has_data();
        let (oversized, type_cut) = (self.block.oversized, self.block.type_cut);
        let (size, retry, limit) = (self.block.data_size, self.block.retry, self.block.limit());
        let Gathered { bytes, mut data, mut event_type, mut id } = self.block.gather(self.chunk);
        let mut fits = !oversized;
        let text: &str = match from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => {
                self.replaced.clear();
                event_type = replace(&bytes[event_type.range()], self.replaced);
                id = id.map(|id| replace(&bytes[id.range()], self.replaced));
                let data_bytes = &bytes[data.range()];
                fits &= self.replaced.len() + replaced_len(data_bytes) <= limit;
                data = if fits { replace(data_bytes, self.replaced) } else { Span::default() };
                self.replaced
            }
        };
        if let Some(id) = id {
            commit(&text[id.range()], self.last_event_id, self.inherited);
        }
        let (last_event_id, inherited) = (&*self.last_event_id, &*self.inherited);
        let event = EventFrame { text, data, event_type, id, retry, last_event_id, inherited };
        if !has_data {
            Frame::Id(last_event_id)
        } else if fits {
            Frame::Event(event)
        } else {
            let event_type = (!type_cut).then(|| event.event_type());
            // Each data line counts its line end, and the last is no part of the data.
            Frame::Oversized(OversizedFrame { event_type, id: event.id(), size: size.saturating_sub(1) })
        }
    }

    /// A comment, with U+FFFD for what is not UTF-8.
    pub(super) fn comment(self, comment: &'a [u8]) -> Frame<'a> {
        Frame::Comment(match from_utf8(comment) {
            Ok(text) => text,
            Err(_) => {
                self.replaced.clear();
                replace(comment, self.replaced);
                self.replaced
            }
        })
    }
}

/// A block with an ID came to its blank line.
fn commit(id: &str, last_event_id: &mut String, inherited: &mut OnceLock<Arc<str>>) {
    inherited.take();
    if last_event_id.capacity() > RETAINED {
        *last_event_id = String::new();
    }
    id.clone_into(last_event_id);
}

/// Appends `bytes` to `text`, with U+FFFD for each maximal part that is not UTF-8.
fn replace(bytes: &[u8], text: &mut String) -> Span {
    let start = text.len();
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        if !part.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Span::new(start..text.len())
}

fn replaced_len(bytes: &[u8]) -> usize {
    let invalid = |part: &[u8]| if part.is_empty() { 0 } else { char::REPLACEMENT_CHARACTER.len_utf8() };
    bytes.utf8_chunks().map(|part| part.valid().len() + invalid(part.invalid())).sum()
}
