//! Where the lines of a chunk end: CR, LF or CR LF (HTML standard, section 9.2.5).
//!
//! Events are mostly short lines, and calling a search function for each costs more than the line.
//! So line ends are found 64 bytes at a time, as a mask with a bit for each, and then popped; after a
//! whole window without one the rest of a long line is left to memchr.

use std::ops::Range;

use wide::u8x16;

/// A cursor over one chunk. Small, and handed on by value, so that it can live in registers.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lines {
    /// Where the next line begins.
    start: usize,
    window: Window,
}

/// What is known of 64 bytes.
#[derive(Debug, Default, Clone, Copy)]
struct Window {
    start: usize,
    /// A bit for each line end that has not been popped; of a CR LF, its LF.
    mask: u64,
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

/// So many bytes of a line without its end, and the rest is searched for in one call. More than a window: what a
/// call has found begins a window, and lines of about that length would otherwise each need a call.
const LONG: usize = 65;

impl Lines {
    /// A cursor that begins `start` bytes into a chunk.
    #[inline]
    pub(super) fn from(start: usize) -> Self {
        // The window before it, so that the search begins right there.
        Self { start, window: Window { start: start.wrapping_sub(WINDOW), mask: 0 } }
    }

    /// Where the next line begins: after the last one, what is left is unfinished.
    #[inline]
    pub(super) fn position(self) -> usize {
        self.start
    }

    /// How far the chunk has been searched.
    #[inline]
    fn searched(self, chunk: &[u8]) -> usize {
        self.window.start.wrapping_add(WINDOW).min(chunk.len())
    }

    /// The next line that ends in `chunk`. A CR at the chunk's end ends a line at once; the LF that
    /// may follow has to be swallowed by whoever begins the next chunk (see [`ends_in_cr`]).
    #[inline(always)]
    pub(super) fn next(&mut self, chunk: &[u8]) -> Option<Line> {
        if self.window.mask == 0 {
            let searched = self.searched(chunk);
            // Chunks are often as long as one event: no window is made of nothing.
            if searched >= chunk.len() {
                return None;
            }
            self.window = search(chunk, searched, self.start);
            if self.window.mask == 0 {
                return None;
            }
        }
        let terminator = self.window.start + self.window.mask.trailing_zeros() as usize;
        self.window.mask &= self.window.mask - 1;
        let start = self.start;
        self.start = terminator + 1;
        Some(Line { start, end: before_cr_lf(chunk, start, terminator) })
    }

    /// Passes over an empty line that comes next, if that is known without looking further.
    #[inline(always)]
    pub(super) fn pass_empty(&mut self) {
        let Window { mask, .. } = self.window;
        if mask != 0 && self.window.start + mask.trailing_zeros() as usize == self.start {
            self.window.mask = mask & (mask - 1);
            self.start += 1;
        }
    }
}

/// The next window with a line end in it, from `searched` on; if there is none in the chunk, the mask is empty. The
/// line being read began at `start`.
#[inline(never)]
fn search(chunk: &[u8], mut searched: usize, start: usize) -> Window {
    loop {
        if searched >= start + LONG {
            // A line that has come this far is likely to be long: its end is worth a call.
            match memchr::memchr2(b'\n', b'\r', &chunk[searched..]) {
                Some(at) => searched += at,
                None => return Lines::from(chunk.len()).window,
            }
        }
        let rest = &chunk[searched..];
        let found = match rest.first_chunk::<WINDOW>() {
            Some(window) => look_at(window, chunk, searched),
            None => {
                let mut last = [0; WINDOW];
                last[..rest.len()].copy_from_slice(rest);
                look_at(&last, chunk, searched)
            }
        };
        searched += WINDOW;
        if found.mask != 0 || searched >= chunk.len() {
            return found;
        }
    }
}

/// Looks at the window that begins at `at`.
#[inline]
fn look_at(window: &[u8; WINDOW], chunk: &[u8], at: usize) -> Window {
    let (line_feeds, carriage_returns) = line_ends(window);
    if carriage_returns == 0 {
        return Window { start: at, mask: line_feeds };
    }
    // Of a CR LF, the LF is the end.
    let lf_after = u64::from(chunk.get(at + WINDOW) == Some(&b'\n')) << (WINDOW - 1);
    Window { start: at, mask: line_feeds | carriage_returns & !((line_feeds >> 1) | lf_after) }
}

/// The end of a line whose terminator ends at `terminator` and may be a CR LF.
fn before_cr_lf(chunk: &[u8], start: usize, terminator: usize) -> usize {
    let cr_lf = terminator > start && chunk[terminator - 1] == b'\r';
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
    let any = carriage_returns[0] | carriage_returns[1] | carriage_returns[2] | carriage_returns[3];
    (bits(line_feeds), if any.move_mask() == 0 { 0 } else { bits(carriage_returns) })
}

/// A bit for each byte that is set.
#[inline]
fn bits(lanes: [u8x16; 4]) -> u64 {
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
