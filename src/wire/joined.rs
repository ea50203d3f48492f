//! [`Joined`]: a small block that the end of a chunk has cut, read as if it had come in one piece.
//!
//! What has come of it is kept, and the beginning of the next chunk is put after it; with packets, which are hardly
//! larger than that, this is all of the chunk. So blocks that two packets share are read like all others. Larger
//! ones, and those that more chunks share, go the long way, piece by piece.

use super::assembler::Assembler;

/// The most bytes of a block that are kept to be joined.
pub(super) const MAX_KEPT: usize = 4 * 1024;

/// How much of a chunk is put after what was kept: more than a packet has, so that reading goes on in one piece.
const HEAD: usize = 2 * 1024;

/// The bytes themselves stand beside it: they are lent while this changes.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// How many of the bytes are from the chunk before; 0 when there is nothing to be read here.
    kept: usize,
    /// Where the chunk goes on after those of its bytes that were joined.
    goes_on: usize,
    /// What is kept of the chunk being read.
    next: Vec<u8>,
}

impl Joined {
    /// What is joined is read now, and the chunk after it.
    #[inline]
    pub(super) fn is_read(&self) -> bool {
        self.kept > 0
    }

    /// Where the chunk goes on after that.
    pub(super) fn goes_on(&self) -> usize {
        self.goes_on
    }

    /// A block has begun, and waits for the next chunk.
    pub(super) fn is_in_block(&self) -> bool {
        self.next.first().is_some_and(|&byte| byte != b':')
    }

    /// Something waits for the next chunk.
    pub(super) fn has_kept(&self) -> bool {
        !self.next.is_empty()
    }

    /// Puts the beginning of `chunk`, which is not empty, after what was kept.
    pub(super) fn begin(&mut self, bytes: &mut Vec<u8>, chunk: &[u8]) {
        std::mem::swap(bytes, &mut self.next);
        self.next.clear();
        self.kept = bytes.len();
        self.goes_on = chunk.len().min(HEAD);
        // A CR LF is one line end, and is not to be cut.
        self.goes_on += usize::from(chunk[self.goes_on - 1] == b'\r' && chunk.get(self.goes_on) == Some(&b'\n'));
        bytes.extend_from_slice(&chunk[..self.goes_on]);
    }

    /// What was joined has been read.
    pub(super) fn skip(&mut self) {
        self.kept = 0;
    }

    /// No line ends in what is left of what is read, which is `bytes` or the chunk, from `position` on. Sees to what
    /// is unfinished there, and says where to go on in the chunk, if there is more of it to read.
    #[inline(never)]
    pub(super) fn end(
        &mut self,
        position: usize,
        bytes: &[u8],
        chunk: &[u8],
        assembler: &mut Assembler,
    ) -> Option<usize> {
        if !self.is_read() {
            self.keep_rest(position, chunk, assembler);
            return None;
        }
        let kept = std::mem::take(&mut self.kept);
        // A block that has come this far without an end is not small, or comes in small pieces.
        let begun_before = position < kept || !assembler.is_idle();
        let more = self.goes_on < chunk.len();
        match (begun_before, more) {
            (true, _) => assembler.take_in(&bytes[position..]),
            (false, true) => return Some(self.goes_on - (bytes.len() - position)),
            (false, false) => self.keep_rest(position, bytes, assembler),
        }
        more.then_some(self.goes_on)
    }

    /// Keeps what is unfinished, or has the reader take it in.
    #[inline]
    fn keep_rest(&mut self, position: usize, bytes: &[u8], assembler: &mut Assembler) {
        let rest = &bytes[position..];
        if rest.len() <= MAX_KEPT && assembler.is_idle() {
            self.next.extend_from_slice(rest);
        } else {
            // Lines that have ended have been taken in: see `whole`.
            assembler.feed(rest);
        }
    }

    /// As new.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}
