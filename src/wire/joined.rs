//! [`Joined`]: a small block that two chunks share, read as if it had come in one piece.
//!
//! The unfinished block at the end of a chunk is kept. The beginning of the next chunk is copied
//! behind it, and the fast path reads both together. Chunks that are network packets are joined
//! whole. In packets of 1448 bytes this is worth 13 % on the `llm` corpus of the decoder bench and
//! 45 % on `wikimedia`.
//!
//! A block that is larger, or that more than two chunks share, goes to the [`Assembler`].

use super::assembler::Assembler;

/// The size of an unfinished block up to which it is kept.
pub(super) const MAX_KEPT: usize = 4 * 1024;

/// How much of a chunk is copied behind the kept block: more than a network packet holds.
const MAX_HEAD: usize = 2 * 1024;

/// What is being joined. The joined bytes themselves are beside it, in the decoder, because frames
/// borrow them while this changes.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// The number of joined bytes that are from the last chunk; 0 when no joined bytes are left.
    kept: usize,
    /// The number of joined bytes that are from this chunk.
    head: usize,
    /// The unfinished block that waits for the next chunk.
    next: Vec<u8>,
}

impl Joined {
    /// Returns true if the joined bytes are being read; the chunk is next.
    #[inline]
    pub(super) fn is_read(&self) -> bool {
        self.kept > 0
    }

    /// Returns the offset in the chunk at which reading goes on after the joined bytes.
    pub(super) fn head(&self) -> usize {
        self.head
    }

    /// Returns true if something waits for the next chunk.
    pub(super) fn has_kept(&self) -> bool {
        !self.next.is_empty()
    }

    /// Returns what waits for the next chunk: the beginning of a block.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.next
    }

    /// Returns true if a block waits for the next chunk. A comment is not part of a block.
    pub(super) fn is_in_block(&self) -> bool {
        self.next.first().is_some_and(|&byte| byte != b':')
    }

    /// Joins what was kept with the beginning of `chunk`, which is not empty.
    pub(super) fn begin(&mut self, bytes: &mut Vec<u8>, chunk: &[u8]) {
        std::mem::swap(bytes, &mut self.next);
        self.next.clear();
        self.kept = bytes.len();
        self.head = chunk.len().min(MAX_HEAD);
        // A CR LF is one line end, and must not be cut.
        self.head += usize::from(chunk[self.head - 1] == b'\r' && chunk.get(self.head) == Some(&b'\n'));
        bytes.extend_from_slice(&chunk[..self.head]);
    }

    /// Ends the reading of the joined bytes.
    pub(super) fn skip(&mut self) {
        self.kept = 0;
    }

    /// Keeps the unfinished rest of `bytes`, from `position` on, or gives it to the assembler.
    ///
    /// `bytes` are the joined bytes or the chunk. Returns the offset at which to go on in the
    /// chunk, if there is more of it to read.
    #[inline(never)]
    pub(super) fn end(
        &mut self,
        position: usize,
        bytes: &[u8],
        chunk: &[u8],
        assembler: &mut Assembler,
    ) -> Option<usize> {
        let kept = std::mem::take(&mut self.kept);
        let (is_joined, has_more) = (kept > 0, self.head < chunk.len());
        if is_joined && (position < kept || !assembler.is_idle()) {
            // The block began in the last chunk and has no end yet: it is large, or in small
            // pieces.
            assembler.take_in(&bytes[position..]);
        } else if is_joined && has_more {
            // The block began in this chunk, and can be read there.
            return Some(self.head - (bytes.len() - position));
        } else {
            self.keep(&bytes[position..], assembler);
        }
        (is_joined && has_more).then_some(self.head)
    }

    #[inline]
    fn keep(&mut self, rest: &[u8], assembler: &mut Assembler) {
        if rest.len() <= MAX_KEPT && assembler.is_idle() {
            self.next.extend_from_slice(rest);
        } else {
            // At most one line: the assembler has read those before it.
            assembler.feed(rest);
        }
    }
}
