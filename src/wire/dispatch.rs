//! Dispatching (HTML standard, section 9.2.6): from a finished block to the frame that is lent.

use simdutf8::basic::from_utf8;

use crate::event::Span;

use super::block::{Block, Gathered};
use super::carried::Carried;
use super::frame::{EventFrame, Frame, OversizedFrame, Values};

/// A block that lies whole in the chunk, with its `text`.
#[inline]
pub(super) fn whole<'a>(text: &'a str, values: &'a Values, carried: &'a mut Carried) -> Frame<'a> {
    if let Some(id) = values.id.some() {
        carried.commit(&text[id.range()]);
    }
    Frame::Event(EventFrame { text, values: Some(values), carried })
}

/// A block that was read line by line. Its ID becomes the last event ID, whatever becomes of the rest.
///
/// `replaced` is for text that is not UTF-8, `values` for where its values stand.
pub(super) fn block<'a>(
    chunk: &'a [u8],
    block: &'a mut Block,
    carried: &'a mut Carried,
    replaced: &'a mut String,
    values: &'a mut Values,
) -> Frame<'a> {
    let has_data = block.has_data();
    let (oversized, type_cut) = (block.oversized, block.type_cut);
    let (size, retry, limit) = (block.data_size, block.retry, block.limit());
    let Gathered { bytes, mut data, mut event_type, mut id } = block.gather(chunk);
    let mut fits = !oversized;
    let text: &str = match from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => {
            replaced.clear();
            event_type = replace(&bytes[event_type.range()], replaced);
            id = id.map(|id| replace(&bytes[id.range()], replaced));
            let data_bytes = &bytes[data.range()];
            fits &= replaced.len() + replaced_len(data_bytes) <= limit;
            data = if fits { replace(data_bytes, replaced) } else { Span::default() };
            replaced
        }
    };
    if let Some(id) = id {
        carried.commit(&text[id.range()]);
    }
    carried.retry = retry;
    *values = Values { data, event_type, id: id.unwrap_or(Span::NONE) };
    let event = EventFrame { text, values: Some(values), carried };
    if !has_data {
        Frame::Id(event.last_event_id())
    } else if fits {
        Frame::Event(event)
    } else {
        let event_type = (!type_cut).then(|| event.event_type());
        // Each data line counts its line end, and the last is no part of the data.
        let (id, is_new_id) = (event.id(), event.sets_new_id());
        Frame::Oversized(OversizedFrame { event_type, id, is_new_id, size: size.saturating_sub(1) })
    }
}

/// A comment, with U+FFFD for what is not UTF-8.
#[inline]
pub(super) fn comment<'a>(comment: &'a [u8], replaced: &'a mut String) -> Frame<'a> {
    Frame::Comment(match from_utf8(comment) {
        Ok(text) => text,
        Err(_) => {
            replaced.clear();
            replace(comment, replaced);
            replaced
        }
    })
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
