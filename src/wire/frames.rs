//! [`Frames`]: the frames of what was pushed, with their text validated ahead.

use std::fmt;

use simdutf8::basic::from_utf8;

use super::block_reader::BlockReader;
use super::data_buffer::whole_characters;
use super::frame::Frame;
use super::lines::{Line, Lines};

/// The frames of what a decoder was pushed: see [`Decoder::frames`](super::Decoder::frames).
///
/// # Drop behavior
///
/// Dropping it tells the decoder how far it has read; the rest stays there. If it is leaked, the
/// decoder's next frames are of no use until the stream is [finished](super::Decoder::finish).
pub struct Frames<'a> {
    reader: &'a mut BlockReader,
    chunk: &'a [u8],
    text: ValidText<'a>,
    /// A cursor of its own, which lives in registers.
    // To move all of the decoder's cursor through memory takes longer than to search one window
    // again.
    lines: Lines,
    /// The decoder's cursor, which gets the position back on drop.
    home: &'a mut Lines,
}

impl<'a> Frames<'a> {
    pub(super) fn new(chunk: &'a [u8], home: &'a mut Lines, reader: &'a mut BlockReader) -> Self {
        Self { reader, chunk, text: ValidText::default(), lines: Lines::from(home.position()), home }
    }

    /// Returns the next frame, or `None` when the decoder needs more bytes.
    #[inline]
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        match self.reader.advance(&mut self.lines, self.chunk) {
            Some(found) => Some(self.reader.lend(found, self.chunk, |line| self.text.of(self.chunk, line))),
            None => {
                self.reader.keep(&self.chunk[self.lines.position()..]);
                self.lines = Lines::from(self.chunk.len());
                None
            }
        }
    }
}

impl Drop for Frames<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.home = Lines::from(self.lines.position());
    }
}

impl fmt::Debug for Frames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").finish_non_exhaustive()
    }
}

/// A part of the chunk that is known to be UTF-8.
// Validating much at once is cheaper than each line alone: 25 % on `ticks` and `anthropic`.
#[derive(Default)]
pub(super) struct ValidText<'a> {
    /// The offset at which `text` begins.
    start: usize,
    text: &'a str,
    /// Before this offset, validating ahead has failed.
    broken_until: usize,
}

/// The number of bytes to validate at once.
const MAX_AHEAD: usize = 4 * 1024;

impl<'a> ValidText<'a> {
    /// Returns the text of `line` if it is UTF-8.
    #[inline]
    pub(super) fn of(&mut self, bytes: &'a [u8], line: Line) -> Option<&'a str> {
        match line.start.checked_sub(self.start).and_then(|from| self.text.get(from..from + line.len())) {
            Some(text) => Some(text),
            None => self.validate(bytes, line),
        }
    }

    #[inline(never)]
    fn validate(&mut self, bytes: &'a [u8], line: Line) -> Option<&'a str> {
        let end = end_ahead(bytes, line);
        if line.start >= self.broken_until && end > line.end {
            if let Ok(text) = from_utf8(&bytes[line.start..end]) {
                (self.start, self.text) = (line.start, text);
                return text.get(..line.len());
            }
            self.broken_until = end;
        }
        from_utf8(&bytes[line.range()]).ok()
    }
}

/// Returns the offset up to which to validate from the start of `line` on: at least its end, and
/// not within a character.
fn end_ahead(bytes: &[u8], line: Line) -> usize {
    // Nothing is gained if no other line of this length follows.
    if bytes.len() - line.end < line.len() {
        return line.end;
    }
    let end = line.end.max(bytes.len().min(line.start + MAX_AHEAD));
    line.end + whole_characters(&bytes[line.end..end])
}
