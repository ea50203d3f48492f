//! Dispatching (HTML standard, section 9.2.6): from a finished block to the frame that is lent.

use simdutf8::basic::from_utf8;

use crate::event::Span;

use super::block::{Block, Gathered};
use super::carried::Carried;
use super::frame::{EventFrame, Frame, OversizedFrame};
use super::lines::Line;
use super::whole::WholeBlock;

/// The parts of a decoder that a frame is made from, and lent from.
pub(super) struct Dispatch<'a> {
    pub(super) chunk: &'a [u8],
    pub(super) block: &'a mut Block,
    pub(super) carried: &'a mut Carried,
    /// For text that is not UTF-8.
    pub(super) replaced: &'a mut String,
}

impl<'a> Dispatch<'a> {
    /// One line of data, whole in the chunk.
    #[inline]
    pub(super) fn data(self, data: Line) -> Frame<'a> {
        let Ok(text) = from_utf8(&self.chunk[data.range()]) else {
            self.block.data_line(self.chunk, data);
            return self.block();
        };
        self.carried.retry = None;
        let (data, event_type) = (Span::new(0..text.len()), Span::default());
        Frame::Event(EventFrame { text, data, event_type, id: None, carried: self.carried })
    }

    /// A block that lies whole in the chunk.
    pub(super) fn whole(self, block: WholeBlock) -> Frame<'a> {
        let WholeBlock { around, data, event_type, id } = block;
        let Ok(text) = from_utf8(&self.chunk[around.range()]) else {
            // The long way, which replaces what is not text.
            self.block.set_lines(self.chunk, data, event_type, id);
            return self.block();
        };
        let span = |line: Line| Span::new(line.start - around.start..line.end - around.start);
        let (data, event_type, id) = (span(data), event_type.map(span).unwrap_or_default(), id.map(span));
        self.carried.retry = None;
        if let Some(id) = id {
            self.carried.commit(&text[id.range()]);
        }
        Frame::Event(EventFrame { text, data, event_type, id, carried: self.carried })
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
            self.carried.commit(&text[id.range()]);
        }
        self.carried.retry = retry;
        let event = EventFrame { text, data, event_type, id, carried: self.carried };
        if !has_data {
            Frame::Id(event.last_event_id())
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
