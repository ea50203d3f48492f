//! [`Joined`]: a small block that the end of a chunk has cut, put together as if it had come in one piece.
//!
//! So a block of a few hundred bytes that two packets share is read like any other. Larger ones, and those
//! that more chunks share, go the long way, piece by piece.

use super::block_reader::{BlockReader, Step};
use super::lines::Lines;

/// The most bytes of a block that are kept to be joined with what follows.
pub(super) const MOST_KEPT: usize = 4 * 1024;

/// The most that a block which is joined may have.
const MOST_JOINED: usize = 8 * 1024;

#[derive(Debug, Default)]
pub(super) struct Joined {
    bytes: Vec<u8>,
    lines: Lines,
    /// To be read now, before the chunk.
    ready: bool,
}

impl Joined {
    /// A block has begun, and waits for the next chunk or to be read.
    pub(super) fn is_begun(&self) -> bool {
        !self.bytes.is_empty()
    }

    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The end of a chunk: keeps what is unfinished from the line that `lines` have come to, or has `reader` take it in.
    pub(super) fn leave(&mut self, lines: &mut Lines, chunk: &[u8], reader: &mut BlockReader) {
        let rest = lines.position().min(chunk.len());
        *lines = Lines::from(chunk.len());
        if rest < chunk.len() && reader.is_between_blocks() && chunk.len() - rest <= MOST_KEPT {
            self.bytes.extend_from_slice(&chunk[rest..]);
        } else {
            reader.leave(rest, chunk);
        }
    }

    /// Takes the end of the block from the next chunk, which goes on at `start`; where to go on there then. `in_cr_lf`:
    /// an LF came before it that belongs to the CR which was kept last.
    pub(super) fn complete(&mut self, chunk: &[u8], start: usize, in_cr_lf: bool) -> usize {
        if self.bytes.is_empty() {
            return start;
        }
        self.ready = true;
        // Or the next LF would seem to be that of the CR.
        self.bytes.extend(in_cr_lf.then_some(b'\n'));
        self.lines = Lines::from(0);
        match end_of_block(&chunk[start..], matches!(self.bytes.last(), Some(b'\n' | b'\r'))) {
            Some(length) if self.bytes.len() + length <= MOST_JOINED => {
                self.bytes.extend_from_slice(&chunk[start..start + length]);
                start + length
            }
            // Not in sight: what was kept goes the long way.
            _ => start,
        }
    }

    /// Reads on; at the end of what there is, the chunk's turn has come.
    pub(super) fn advance(&mut self, reader: &mut BlockReader) -> Option<Step> {
        // What is unfinished in here is finished by the chunk, not by the one after it.
        reader.keeps_small = false;
        let step = reader.advance(&mut self.lines, &self.bytes);
        reader.keeps_small = true;
        if step.is_none() {
            reader.leave(self.lines.position().min(self.bytes.len()), &self.bytes);
            self.bytes.clear();
            self.ready = false;
        }
        step
    }

    /// What has not been read, if there is anything.
    pub(super) fn take_rest(&mut self) -> Option<Vec<u8>> {
        let position = if self.ready { self.lines.position() } else { 0 };
        let mut rest = std::mem::take(&mut self.bytes);
        self.ready = false;
        rest.drain(..position.min(rest.len()));
        (!rest.is_empty()).then_some(rest)
    }
}

/// How far the block reaches that goes on here, its blank line included. `at_line_start`: its last line has come to
/// its end.
fn end_of_block(piece: &[u8], at_line_start: bool) -> Option<usize> {
    let within = &piece[..piece.len().min(MOST_JOINED)];
    let mut lines = Lines::from(0);
    let mut first = !at_line_start;
    while let Some(line) = lines.next(within) {
        if line.is_empty() && !first {
            return Some(lines.position());
        }
        first = false;
    }
    None
}
