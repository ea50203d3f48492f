//! [`Joined`]: a small block that the end of a chunk has cut, put together as if it had come in one piece.
//!
//! So a block of a few hundred bytes that two packets share is read like any other. Larger ones, and those
//! that more chunks share, go the long way, piece by piece.

use super::block_reader::{BlockReader, MOST_KEPT, Step};
use super::lines::{Line, Lines};
use super::whole::{Cut, WholeBlock};

/// The most that a block which is joined may have.
const MOST_JOINED: usize = 8 * 1024;

#[derive(Debug, Default)]
pub(super) struct Joined {
    bytes: Vec<u8>,
    /// How far they have been read.
    cut: Cut,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing is here, or it waits for the next chunk.
    #[default]
    Kept,
    /// A block of the ordinary kind, to be lent.
    Whole(WholeBlock),
    /// It has been lent.
    Lent,
    /// Something else, read so far.
    Other(Lines),
}

impl Joined {
    /// A block has begun, and waits for the next chunk or to be read.
    pub(super) fn is_in_block(&self) -> bool {
        self.bytes.first().is_some_and(|&byte| byte != b':')
    }

    /// There is something to be read now, before the chunk.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        !matches!(self.stage, Stage::Kept)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The end of a chunk: keeps what is unfinished from the line that `lines` have come to, or has `reader` take it
    /// in.
    pub(super) fn leave(&mut self, lines: &mut Lines, chunk: &[u8], reader: &mut BlockReader) {
        let rest = lines.position().min(chunk.len());
        *lines = Lines::from(chunk.len());
        if rest < chunk.len() && reader.is_idle() && chunk.len() - rest <= MOST_KEPT {
            let Cut { values, line } = reader.cut.take().unwrap_or_else(|| Cut { line: rest, ..Cut::default() });
            self.cut = Cut { values: values.moved(rest), line: line - rest };
            self.bytes.extend_from_slice(&chunk[rest..]);
        } else {
            reader.leave(rest, chunk);
        }
    }

    /// Takes the end of the block from the next chunk, which goes on at `start`; where to go on there then. `in_cr_lf`:
    /// an LF came before it that belongs to the CR which was kept last.
    pub(super) fn complete(&mut self, chunk: &[u8], start: usize, in_cr_lf: bool, limit: usize) -> usize {
        if self.bytes.is_empty() {
            return start;
        }
        self.stage = Stage::Other(Lines::from(0));
        if in_cr_lf {
            // Or the next LF would seem to be that of the CR.
            self.bytes.push(b'\n');
            self.cut.line += 1;
        }
        let mut taken = start;
        let mut lines = Lines::from(start);
        // The line that was cut may be long: its end is worth a call.
        if !lines.seek(chunk) {
            return taken;
        }
        while let Some(line) = lines.next(chunk) {
            let end = self.bytes.len() + line.end - taken;
            if end > MOST_JOINED {
                break;
            }
            self.bytes.extend_from_slice(&chunk[taken..lines.position()]);
            taken = lines.position();
            let line = Line { start: self.cut.line, end };
            if line.is_empty() {
                if let Some(block) = self.cut.values.whole(&self.bytes, limit) {
                    self.stage = Stage::Whole(block);
                }
                break;
            }
            if !self.cut.values.add(line, &self.bytes) {
                break;
            }
            self.cut.line = self.bytes.len();
        }
        taken
    }

    /// Reads on; at the end of what there is, the chunk's turn has come.
    pub(super) fn advance(&mut self, reader: &mut BlockReader) -> Option<Step> {
        match &mut self.stage {
            Stage::Kept => return None,
            Stage::Whole(block) => {
                let step = reader.take(*block);
                self.stage = Stage::Lent;
                return Some(step);
            }
            Stage::Lent => {}
            Stage::Other(lines) => {
                let step = advance_in_pieces(lines, &self.bytes, reader);
                if step.is_some() {
                    return step;
                }
            }
        }
        self.bytes.clear();
        self.stage = Stage::Kept;
        None
    }

    /// What has not been read.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.bytes);
        match std::mem::take(&mut self.stage) {
            Stage::Kept | Stage::Whole(_) => {}
            Stage::Lent => rest.clear(),
            Stage::Other(lines) => drop(rest.drain(..lines.position().min(rest.len()))),
        }
        rest
    }
}

#[inline(never)]
fn advance_in_pieces(lines: &mut Lines, bytes: &[u8], reader: &mut BlockReader) -> Option<Step> {
    // What is unfinished in here is finished by the chunk, not by the one after it.
    reader.keeps_small = false;
    let step = reader.advance(lines, bytes);
    reader.keeps_small = true;
    if step.is_none() {
        reader.leave(lines.position().min(bytes.len()), bytes);
    }
    step
}
