//! [`Lines`]: where the lines of a chunk end, with CR, LF or CR LF (HTML, section 9.2.5).
//!
//! Most events are short lines, and a call of a search function for each costs more than reading
//! the line. So the cursor looks at a window of 64 bytes at once, keeps a mask with a bit for each
//! line end, and takes line ends from the mask. A line that is longer than two windows is left to
//! memchr, and so is the rest of a line that an earlier chunk began.

use std::ops::Range;

use wide::u8x16;

/// A cursor over the lines of one chunk.
// Small and passed by value, so that it lives in registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    /// The start of the next line.
    start: usize,
    window: Window,
}

/// The line ends in 64 bytes.
// Two words, so that it is returned in registers: with a third, `anthropic` loses 20 %.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: usize,
    /// A bit for each line end that has not been taken; for a CR LF, the bit of the LF.
    mask: u64,
}

impl Window {
    /// Returns a window that ends with the line end at `at`, and has no other.
    fn of_one(chunk: &[u8], at: usize) -> Self {
        let is_cr_lf = chunk[at] == b'\r' && chunk.get(at + 1) == Some(&b'\n');
        let end = at + usize::from(is_cr_lf) + 1;
        Self { start: end.wrapping_sub(WINDOW), mask: 1 << (WINDOW - 1) }
    }
}

/// The range of a line without its terminator, or of a part of it.
#[derive(Debug, Clone, Copy)]
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

/// The length from which the end of a line is searched for by memchr.
// More than a window, so that lines of about that length do not each need a call.
const MIN_LONG_LINE: usize = 2 * WINDOW;

impl Lines {
    /// Creates a cursor that begins at the offset `start` of a chunk.
    #[inline]
    pub(super) fn from(start: usize) -> Self {
        // An empty window that ends there, so that the search begins there.
        Self { start, window: Window { start: start.wrapping_sub(WINDOW), mask: 0 } }
    }

    /// Creates a cursor within a line that began in an earlier chunk and goes on at `start`.
    pub(super) fn within_line(chunk: &[u8], start: usize) -> Self {
        let window = match memchr::memchr2(b'\n', b'\r', &chunk[start..]) {
            Some(at) => Window::of_one(chunk, start + at),
            None => Self::from(chunk.len()).window,
        };
        Self { start, window }
    }

    /// Returns the start of the next line. After the last line, the unfinished rest begins there.
    #[inline]
    pub(super) fn position(self) -> usize {
        self.start
    }

    /// Returns the offset up to which the chunk has been searched.
    #[inline]
    fn searched(self, chunk: &[u8]) -> usize {
        self.window.start.wrapping_add(WINDOW).min(chunk.len())
    }

    /// Returns the next line that ends in `chunk`.
    ///
    /// A CR at the end of the chunk ends a line at once. The decoder skips the LF that may follow
    /// in the next chunk.
    #[inline(always)]
    pub(super) fn next(&mut self, chunk: &[u8]) -> Option<Line> {
        if self.window.mask == 0 {
            let searched = self.searched(chunk);
            // Chunks often end with an event, so this comes before the call.
            if searched >= chunk.len() {
                return None;
            }
            self.window = search(chunk, searched, self.start);
            if self.window.mask == 0 {
                return None;
            }
        }
        // A window with one line end may begin before the chunk.
        let terminator = self.window.start.wrapping_add(self.window.mask.trailing_zeros() as usize);
        self.window.mask &= self.window.mask - 1;
        let start = self.start;
        self.start = terminator + 1;
        Some(Line { start, end: before_cr_lf(chunk, start, terminator) })
    }

    /// Skips a blank line that comes next, and returns whether there was one. One that ends in a
    /// CR alone is left to [`next`](Self::next).
    #[inline(always)]
    pub(super) fn skip_blank(&mut self, chunk: &[u8]) -> bool {
        self.start += match chunk[self.start..] {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return false,
        };
        match self.window.mask {
            0 => self.window = Self::from(self.start).window,
            mask => self.window.mask = mask & (mask - 1),
        }
        true
    }
}

/// Returns the next window with a line end in it, from `searched` on, for a line that began at
/// `start`. The mask is empty if the chunk has no more line ends.
#[inline(never)]
fn search(chunk: &[u8], mut searched: usize, start: usize) -> Window {
    // The blank line after a long line, whose window ends with it.
    if chunk[searched] == b'\n' {
        return Window::of_one(chunk, searched);
    }
    loop {
        if searched >= start + MIN_LONG_LINE {
            // A line that has come this far is probably long: its end is worth a call.
            match memchr::memchr2(b'\n', b'\r', &chunk[searched..]) {
                Some(at) => return Window::of_one(chunk, searched + at),
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

/// Returns the window that begins at `at`.
#[inline]
fn look_at(window: &[u8; WINDOW], chunk: &[u8], at: usize) -> Window {
    let (line_feeds, carriage_returns) = line_ends(window);
    if carriage_returns == 0 {
        return Window { start: at, mask: line_feeds };
    }
    // A CR before an LF is not a line end of its own.
    let lf_after = u64::from(chunk.get(at + WINDOW) == Some(&b'\n')) << (WINDOW - 1);
    Window { start: at, mask: line_feeds | carriage_returns & !((line_feeds >> 1) | lf_after) }
}

/// Returns the end of a line whose terminator ends at `terminator` and may be a CR LF.
fn before_cr_lf(chunk: &[u8], start: usize, terminator: usize) -> usize {
    let cr_lf = terminator > start && chunk[terminator - 1] == b'\r';
    terminator - usize::from(cr_lf)
}

/// Returns a mask of the LFs and a mask of the CRs.
#[inline]
fn line_ends(window: &[u8; WINDOW]) -> (u64, u64) {
    let (mut line_feeds, mut carriage_returns) = ([u8x16::ZERO; 4], [u8x16::ZERO; 4]);
    for (index, lane) in window.chunks_exact(16).enumerate() {
        // Each lane has 16 bytes; the default is never used.
        let lane = u8x16::new(lane.try_into().unwrap_or_default());
        line_feeds[index] = lane.cmp_eq(u8x16::splat(b'\n'));
        carriage_returns[index] = lane.cmp_eq(u8x16::splat(b'\r'));
    }
    let any = carriage_returns[0] | carriage_returns[1] | carriage_returns[2] | carriage_returns[3];
    (bits(line_feeds), if any.move_mask() == 0 { 0 } else { bits(carriage_returns) })
}

/// Returns a mask with a bit for each byte that is set.
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
