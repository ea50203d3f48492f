//! Buffers of the decoder: how they grow, what they keep, and what counts against the limit.

use crate::event::Span;

/// Buffers larger than this are given back after the event that needed them.
pub(super) const RETAINED: usize = 128 * 1024;

/// Types and IDs longer than this count twice: once where they are collected, and once where the
/// event is put together. So the limit is one on memory, and ordinary ones count as what they are.
pub(super) const SMALL: usize = 4 * 1024;

/// What a type or an ID of this length counts.
pub(super) fn weight(length: usize) -> usize {
    length + length.saturating_sub(SMALL)
}

/// Moves a value into its buffer. Neither keeps room that nobody counts.
pub(super) fn exchange(buffer: &mut Vec<u8>, value: &mut Vec<u8>) {
    std::mem::swap(buffer, value);
    buffer.shrink_to(SMALL);
    value.clear();
    value.shrink_to(SMALL);
}

/// Appends a value on a line of its own: a character that two values have cut in halves must not
/// come together.
pub(super) fn separate(text: &mut Vec<u8>, value: &[u8]) -> Span {
    text.reserve_exact(value.len() + 1);
    text.push(b'\n');
    let start = text.len();
    text.extend_from_slice(value);
    Span::new(start..text.len())
}

/// Appends, growing by doubling but never past `most`, which the caller has checked.
pub(super) fn append(buffer: &mut Vec<u8>, piece: &[u8], most: usize) {
    let needed = buffer.len() + piece.len();
    if needed > buffer.capacity() {
        let capacity = needed.max((buffer.capacity() * 2).min(most));
        buffer.reserve_exact(capacity - buffer.len());
    }
    buffer.extend_from_slice(piece);
}
