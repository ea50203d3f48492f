//! Where the lines of a chunk end: CR, LF or CR LF (HTML standard, section 9.2.5).
//!
//! Events are mostly short lines, and calling a search function for each costs more than the line.
//! So line ends are found 64 bytes at a time, as a mask with a bit for each, and then popped; after a
//! whole window without one the rest of a long line is left to memchr.

use std::ops::Range;

use wide::u8x16;

/// A cursor over one chunk.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where the next line begins.
    start: usize,
    /// Where the window behind `mask` begins.
    window: usize,
    /// A bit for each line end in the window that has not been popped.
    mask: u64,
    /// The end of the window, and of what has been searched.
    searched: usize,
}

/// A line without its terminator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Line {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

const WINDOW: usize = 64;

impl Lines {
    /// A cursor that begins `start` bytes into a chunk.
    pub(super) fn from(start: usize) -> Self {
        Self { start, window: start, mask: 0, searched: start }
    }

    /// Where the next line begins: after the last one, what is left is unfinished.
    pub(super) fn position(&self) -> usize {
        self.start
    }

    /// The next line that ends in `chunk`. A CR ends a line at once; the LF that may follow is
    /// swallowed here, or by whoever begins the next chunk (see [`ends_in_cr`]).
    #[inline]
    pub(super) fn next(&mut self, chunk: &[u8]) -> Option<Line> {
        loop {
            while self.mask == 0 {
                if !self.search(chunk) {
                    return None;
                }
            }
            let end = self.window + self.mask.trailing_zeros() as usize;
            self.mask &= self.mask - 1;
            // The LF of a CR LF whose CR ended the line before.
            if end < self.start {
                continue;
            }
            let line = Line { start: self.start, end };
            self.start = end + 1;
            if chunk[end] == b'\r' && chunk.get(end + 1) == Some(&b'\n') {
                self.start = end + 2;
            }
            return Some(line);
        }
    }

    /// Looks at the next window. False at the end of the chunk.
    fn search(&mut self, chunk: &[u8]) -> bool {
        let rest = &chunk[self.searched.min(chunk.len())..];
        if rest.is_empty() {
            return false;
        }
        self.window = self.searched;
        match rest.first_chunk::<WINDOW>() {
            Some(window) => self.mask = line_ends(window),
            None => {
                let mut window = [0; WINDOW];
                window[..rest.len()].copy_from_slice(rest);
                self.mask = line_ends(&window);
            }
        }
        self.searched = chunk.len().min(self.window + WINDOW);
        if self.mask == 0 && rest.len() > WINDOW {
            let found = memchr::memchr2(b'\n', b'\r', &rest[WINDOW..]);
            // The next window begins at the line end that memchr found.
            self.searched = found.map_or(chunk.len(), |at| self.searched + at);
        }
        true
    }
}

/// Whether a chunk that was read to its end left an LF to be swallowed at the start of the next.
pub(super) fn ends_in_cr(chunk: &[u8]) -> bool {
    chunk.last() == Some(&b'\r')
}

/// A bit for each CR or LF.
#[inline]
fn line_ends(window: &[u8; WINDOW]) -> u64 {
    let mut mask = 0;
    for (index, lane) in window.chunks_exact(16).enumerate() {
        // chunks_exact(16) yields 16 bytes each; the fallback is never built.
        let lane = u8x16::new(lane.try_into().unwrap_or_default());
        let ends = lane.cmp_eq(u8x16::splat(b'\n')) | lane.cmp_eq(u8x16::splat(b'\r'));
        mask |= u64::from(ends.move_mask() as u16) << (16 * index);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunk: &[u8]) -> Vec<&[u8]> {
        let mut lines = Lines::from(0);
        std::iter::from_fn(|| lines.next(chunk)).map(|line| &chunk[line.start..line.end]).collect()
    }

    #[test]
    fn every_terminator_ends_a_line_and_the_unfinished_rest_is_left() {
        assert_eq!(lines(b"a\nb\rc\r\nd"), [b"a", b"b", b"c"]);
        assert_eq!(lines(b"\n\r\r\n\n"), [b"", b"", b"", b""]);
        assert_eq!(lines(b"rest"), [b""; 0]);
    }

    #[test]
    fn a_terminator_is_found_at_every_offset_of_long_and_short_lines() {
        for terminator in ["\n", "\r", "\r\n"] {
            for length in 0..300 {
                let text = format!("{}{terminator}b{terminator}c", "a".repeat(length));
                assert_eq!(lines(text.as_bytes()), [&*vec![b'a'; length], b"b"], "{length}");
            }
        }
    }
}
