//! [`Frames`]: what was pushed, frame by frame, with all that is needed for it at hand.

use std::fmt;

use simdutf8::basic::from_utf8;

use super::block_reader::{BlockReader, Step};
use super::dispatch;
use super::frame::{EventFrame, Frame};
use super::joined::Joined;
use super::lines::{Line, Lines};

/// The frames of the chunks that a decoder has been pushed: see [`Decoder::frames`](super::Decoder::frames).
///
/// # Drop behavior
///
/// What has not been read stays in the decoder. One that is leaked instead leaves the decoder not knowing what was read:
/// what it gives then is of no use until it is [finished](super::Decoder::finish).
pub struct Frames<'a> {
    reader: &'a mut BlockReader,
    joined: &'a mut Joined,
    /// What is read now, and the chunk.
    bytes: &'a [u8],
    chunk: &'a [u8],
    text: Text<'a>,
    /// The decoder's, begun anew where they had come: here they live in registers, and to move the rest of them
    /// through memory takes longer than to search one window again.
    lines: Lines,
    home: &'a mut Lines,
}

impl<'a> Frames<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        chunk: &'a [u8],
        home: &'a mut Lines,
        joined: &'a mut Joined,
        reader: &'a mut BlockReader,
    ) -> Self {
        let bytes = if joined.is_read() { bytes } else { chunk };
        Self { reader, joined, bytes, chunk, text: Text::default(), lines: Lines::from(home.position()), home }
    }

    /// The next frame, or `None` when more bytes have to be pushed.
    // What most streams are made of is made here, inlined, so that it does not pass through memory.
    #[inline]
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        self.reader.take_back();
        let Some(step) = self.reader.advance(&mut self.lines, self.bytes) else {
            let position = self.lines.position();
            let (step, position) = go_on(position, self.bytes, self.chunk, self.joined, self.reader);
            (self.bytes, self.text, self.lines) = (self.chunk, Text::default(), Lines::from(position));
            return Some(self.reader.lend(step?, self.bytes));
        };
        match step {
            Step::Data(value) => {
                if let Some(data) = self.text.of(self.bytes, value) {
                    return Some(Frame::Event(EventFrame { text: data, values: None, carried: &self.reader.carried }));
                }
            }
            Step::Comment(text) => {
                if let Some(text) = self.text.of(self.bytes, text) {
                    return Some(Frame::Comment(text));
                }
            }
            Step::Whole => {
                if let Some(text) = self.text.of(self.bytes, self.reader.whole) {
                    return Some(dispatch::whole(text, &self.reader.values, &mut self.reader.carried));
                }
            }
            _ => {}
        }
        Some(self.reader.lend(step, self.bytes))
    }
}

/// At the end of what is read: the chunk may be next. The step there, and where it is read to.
// Of the frames themselves it sees nothing, or they would all have to be in memory.
#[inline(never)]
fn go_on(
    position: usize,
    bytes: &[u8],
    chunk: &[u8],
    joined: &mut Joined,
    reader: &mut BlockReader,
) -> (Option<Step>, usize) {
    let mut more = joined.end(position, bytes, chunk, reader);
    while let Some(position) = more {
        let mut lines = Lines::from(position);
        if let Some(step) = reader.advance(&mut lines, chunk) {
            return (Some(step), lines.position());
        }
        more = joined.end(lines.position(), chunk, chunk, reader);
    }
    (None, chunk.len())
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

/// A part of the chunk that is known to be UTF-8: to validate much at once is cheaper than each line alone.
#[derive(Default)]
struct Text<'a> {
    /// Where it begins.
    start: usize,
    text: &'a str,
    /// Up to here there is something that is not UTF-8.
    broken: usize,
}

/// How much is validated at once.
const MUCH: usize = 4 * 1024;

impl<'a> Text<'a> {
    /// The text of `line`, if it is UTF-8.
    #[inline]
    fn of(&mut self, chunk: &'a [u8], line: Line) -> Option<&'a str> {
        match line.start.checked_sub(self.start).and_then(|from| self.text.get(from..from + line.len())) {
            Some(text) => Some(text),
            None => self.validate(chunk, line),
        }
    }

    #[inline(never)]
    fn validate(&mut self, chunk: &'a [u8], line: Line) -> Option<&'a str> {
        if line.start >= self.broken {
            // Where no other such line has room there is nothing to be had.
            let rest = chunk.len() - line.end;
            let end = if rest < line.len() { line.end } else { line.end.max(chunk.len().min(line.start + MUCH)) };
            // A character that the end cuts is left for the next time.
            let cut = chunk[line.end..end].iter().rev().take(3).take_while(|&&byte| byte & 0xC0 == 0x80).count();
            let lead = end - cut > line.end && chunk[end - cut - 1] >= 0xC0;
            let end = end - if lead { cut + 1 } else { 0 };
            if let Ok(text) = from_utf8(&chunk[line.start..end]) {
                (self.start, self.text) = (line.start, text);
                return text.get(..line.len());
            }
            self.broken = end;
        }
        from_utf8(&chunk[line.range()]).ok()
    }
}
