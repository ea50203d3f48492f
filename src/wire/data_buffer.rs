//! [`DataBuffer`]: the data of a block that comes in pieces or in several lines.
//!
//! Small data is collected as bytes, and copied into its event. Large data is validated piece by
//! piece, while each is in the fastest cache, and its buffer becomes the text of the event.

use simdutf8::basic::from_utf8;
use triomphe::Arc;

use crate::event::Span;

/// Data of this size is large once it outgrows its buffer, which has at most twice this size.
// The two further allocations of a large event cost as much as to copy a few KiB.
const MIN_LARGE: usize = 8 * 1024;

/// How much of large data is validated at once, if it comes in smaller pieces.
const MIN_PIECE: usize = 1024;

/// The data of a block so far: bytes, or text and then bytes if it is large.
#[derive(Debug, Default)]
pub(super) struct DataBuffer {
    text: String,
    /// What has not been validated.
    bytes: Vec<u8>,
    /// The block is not UTF-8, so all of it is bytes.
    is_broken: bool,
    /// The size of the last large text, with some room. The next one probably has that size, so it
    /// needs one allocation, which reuses the memory of the last if its event is gone: events of 1
    /// MiB cost a third of the time.
    expected: usize,
}

impl DataBuffer {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.bytes.len()
    }

    /// Returns all that was collected, unless it was [large](Self::take_large).
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.text = String::new();
        self.is_broken = false;
        self.bytes.clear();
        if self.bytes.capacity() > 2 * MIN_LARGE {
            self.bytes = Vec::new();
        }
    }

    /// Appends a piece. All data fits under `limit`, which no buffer exceeds.
    #[inline]
    pub(super) fn push(&mut self, piece: &[u8], limit: usize) {
        if piece.len() > self.bytes.capacity() - self.bytes.len() {
            self.push_slowly(piece, limit);
        } else {
            self.bytes.extend_from_slice(piece);
        }
    }

    #[inline(never)]
    fn push_slowly(&mut self, piece: &[u8], limit: usize) {
        if self.is_broken || self.len() + piece.len() < MIN_LARGE {
            return append(&mut self.bytes, piece, limit);
        }
        if self.text.is_empty() {
            self.text.reserve_exact(self.expected.min(limit / 8).max(2 * MIN_LARGE).min(limit));
        }
        // A character that two pieces share is completed first.
        let continued = piece.iter().take(3).take_while(|&&byte| is_continuation(byte)).count();
        let (completion, rest) = piece.split_at(if self.bytes.is_empty() { 0 } else { continued });
        if !self.bytes.is_empty() && !self.validate(completion, rest.is_empty(), limit) {
            return self.give_up(rest, limit);
        }
        let whole = if rest.len() < MIN_PIECE { 0 } else { whole_characters(rest) };
        if !push_text(&mut self.text, &rest[..whole], limit) {
            return self.give_up(rest, limit);
        }
        self.bytes.extend_from_slice(&rest[whole..]);
    }

    /// Makes the bytes text, with `completion` behind them. Returns false if they are not UTF-8. A
    /// character at their end that may be cut stays in the bytes.
    fn validate(&mut self, completion: &[u8], may_be_cut: bool, limit: usize) -> bool {
        self.bytes.reserve_exact(completion.len());
        self.bytes.extend_from_slice(completion);
        let whole = if may_be_cut { whole_characters(&self.bytes) } else { self.bytes.len() };
        let is_text = push_text(&mut self.text, &self.bytes[..whole], limit);
        if is_text {
            self.bytes.drain(..whole);
            self.bytes.shrink_to(MIN_PIECE);
            self.bytes.reserve_exact(MIN_PIECE);
        }
        is_text
    }

    /// Makes all of it bytes, with `rest` behind them, because it is not UTF-8.
    #[cold]
    fn give_up(&mut self, rest: &[u8], limit: usize) {
        self.is_broken = true;
        let mut all = std::mem::take(&mut self.text).into_bytes();
        append(&mut all, &self.bytes, limit);
        append(&mut all, rest, limit);
        self.bytes = all;
    }

    /// Appends a value on a line of its own and returns where it stands.
    // The line end keeps two values that were cut within a character from forming one together.
    pub(super) fn separate(&mut self, value: &[u8]) -> Span {
        self.bytes.reserve_exact(value.len() + 1);
        self.bytes.push(b'\n');
        let start = self.len();
        self.bytes.extend_from_slice(value);
        Span::new(start..self.len())
    }

    /// Takes all of it as the text of an event, if the data is large and all is UTF-8.
    ///
    /// The event may be kept for long, so at most an eighth of its memory is unused.
    pub(super) fn take_large(&mut self) -> Option<Arc<String>> {
        if self.text.is_empty() {
            return None;
        }
        self.text.reserve_exact(self.bytes.len());
        if !push_text(&mut self.text, &self.bytes, usize::MAX) {
            self.give_up(&[], usize::MAX);
            return None;
        }
        let mut text = std::mem::take(&mut self.text);
        self.bytes.clear();
        self.expected = text.len() + text.len() / 16;
        if text.capacity() - text.len() > text.len() / 8 {
            text.shrink_to_fit();
        }
        Some(Arc::new(text))
    }
}

/// Appends `piece` if it is UTF-8, and returns whether it is.
#[inline]
fn push_text(text: &mut String, piece: &[u8], limit: usize) -> bool {
    let Ok(valid) = from_utf8(piece) else { return false };
    if piece.len() > text.capacity() - text.len() {
        text.reserve_exact(growth(text.capacity(), text.len() + piece.len(), limit) - text.len());
    }
    text.push_str(valid);
    true
}

/// Appends `piece` to `buffer`.
pub(super) fn append(buffer: &mut Vec<u8>, piece: &[u8], limit: usize) {
    if piece.len() > buffer.capacity() - buffer.len() {
        buffer.reserve_exact(growth(buffer.capacity(), buffer.len() + piece.len(), limit) - buffer.len());
    }
    buffer.extend_from_slice(piece);
}

/// Returns the capacity of a buffer that doubles when it grows, but never exceeds `limit`, in which
/// `needed` fits.
fn growth(capacity: usize, needed: usize, limit: usize) -> usize {
    needed.max((capacity * 2).min(limit))
}

/// Returns the length of `bytes` without a character at their end that may be cut.
pub(super) fn whole_characters(bytes: &[u8]) -> usize {
    let continuations = bytes.iter().rev().take(3).take_while(|&&byte| is_continuation(byte)).count();
    match bytes.len().checked_sub(continuations + 1) {
        Some(first) if bytes[first] >= 0xC0 => first,
        _ => bytes.len(),
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}
