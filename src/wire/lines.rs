//! Where the lines of a chunk end: CR, LF or CR LF (HTML standard, section 9.2.5).
//!
//! Events are mostly short lines, and calling a search function for each costs more than the line.
//! So line ends are found 64 bytes at a time, as a mask with a bit for each, and then popped; after a
//! whole window without one the rest of a long line is left to memchr.

use std::ops::Range;

use wide::u8x16;

/// A cursor over one chunk.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lines {
    /// Where the next line begins.
    start: usize,
    /// Where the window behind `mask` begins.
    window: usize,
    /// A bit for each line end in the window that has not been popped; of a CR LF, its LF.
    mask: u64,
    /// The end of the window, and of what has been searched.
    searched: usize,
    /// There may be a CR LF in the window.
    carriage_returns: bool,
}

/// A line without its terminator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Line {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }

    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

const WINDOW: usize = 64;

/// So many bytes of a line without its end, and the rest is searched for in one call.
const LONG: usize = 48;

impl Lines {
    /// A cursor that begins `start` bytes into a chunk.
    pub(super) fn from(start: usize) -> Self {
        Self { start, window: start, searched: start, ..Self::default() }
    }

    /// For a line that has come far: looks for its end in one call, before any window is searched.
    /// False if it has none in `chunk`.
    pub(super) fn seek(&mut self, chunk: &[u8]) -> bool {
        let found = memchr::memchr2(b'\n', b'\r', &chunk[self.searched..]);
        self.searched = found.map_or(chunk.len(), |at| self.searched + at);
        found.is_some()
    }

    /// Where the next line begins: after the last one, what is left is unfinished.
    pub(super) fn position(&self) -> usize {
        self.start
    }

    /// The next line that ends in `chunk`. A CR at the chunk's end ends a line at once; the LF that
    /// may follow has to be swallowed by whoever begins the next chunk (see [`ends_in_cr`]).
    #[inline(always)]
    pub(super) fn next(&mut self, chunk: &[u8]) -> Option<Line> {
        if self.mask == 0 {
            // Chunks are often as long as one event: no window is made of nothing.
            if self.searched >= chunk.len() {
                return None;
            }
            *self = self.search(chunk);
            if self.mask == 0 {
                return None;
            }
        }
        let terminator = self.window + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        let start = self.start;
        self.start = terminator + 1;
        if self.carriage_returns {
            return Some(Line { start, end: before_cr_lf(chunk, start, terminator) });
        }
        Some(Line { start, end: terminator })
    }

    /// Goes on to the next window with a line end in it; if there is none in the chunk, `mask` stays empty.
    /// By value, so that the rest of a cursor can live in registers.
    #[inline(never)]
    fn search(mut self, chunk: &[u8]) -> Self {
        loop {
            if self.searched >= self.start + LONG && !self.seek(chunk) {
                // A line that has come this far is likely to be long: its end was worth a call.
                return self;
            }
            let rest = &chunk[self.searched..];
            let Some(window) = rest.first_chunk::<WINDOW>() else {
                let mut last = [0; WINDOW];
                last[..rest.len()].copy_from_slice(rest);
                self.look_at(&last, chunk);
                self.searched = chunk.len();
                return self;
            };
            self.look_at(window, chunk);
            if self.mask != 0 {
                return self;
            }
        }
    }

    /// Looks at the window that begins where the search has come to.
    #[inline]
    fn look_at(&mut self, window: &[u8; WINDOW], chunk: &[u8]) {
        let (line_feeds, carriage_returns) = line_ends(window);
        // The LF of a CR LF may stand right after the window of its CR.
        let after_cr = self.searched > self.start && chunk[self.searched - 1] == b'\r';
        self.window = self.searched;
        self.searched += WINDOW;
        self.mask = line_feeds;
        self.carriage_returns = carriage_returns != 0 || after_cr;
        if carriage_returns != 0 {
            // Of a CR LF, the LF is the end.
            let lf_after = u64::from(chunk.get(self.searched) == Some(&b'\n')) << (WINDOW - 1);
            self.mask |= carriage_returns & !((line_feeds >> 1) | lf_after);
        }
    }
}

/// The end of a line whose terminator ends at `terminator` and may be a CR LF.
fn before_cr_lf(chunk: &[u8], start: usize, terminator: usize) -> usize {
    let cr_lf = terminator > start && chunk[terminator] == b'\n' && chunk[terminator - 1] == b'\r';
    terminator - usize::from(cr_lf)
}

/// Whether a chunk that was read to its end left an LF to be swallowed at the start of the next.
pub(super) fn ends_in_cr(chunk: &[u8]) -> bool {
    chunk.last() == Some(&b'\r')
}

/// A bit for each LF, and one for each CR.
#[inline]
fn line_ends(window: &[u8; WINDOW]) -> (u64, u64) {
    let (mut line_feeds, mut carriage_returns) = ([u8x16::ZERO; 4], [u8x16::ZERO; 4]);
    for (index, lane) in window.chunks_exact(16).enumerate() {
        // chunks_exact(16) yields 16 bytes each; the fallback is never built.
        let lane = u8x16::new(lane.try_into().unwrap_or_default());
        line_feeds[index] = lane.cmp_eq(u8x16::splat(b'\n'));
        carriage_returns[index] = lane.cmp_eq(u8x16::splat(b'\r'));
    }
    (bits(line_feeds), bits(carriage_returns))
}

/// A bit for each byte that is set; most often there is none at all.
#[inline]
fn bits(lanes: [u8x16; 4]) -> u64 {
    if (lanes[0] | lanes[1] | lanes[2] | lanes[3]).move_mask() == 0 {
        return 0;
    }
    let bits = |index: usize| u64::from(lanes[index].move_mask() as u16) << (16 * index);
    bits(0) | bits(1) | bits(2) | bits(3)
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
