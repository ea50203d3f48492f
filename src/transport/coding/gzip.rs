//! gzip (RFC 1952).

use flate2::{Decompress, FlushDecompress, Status};

use super::{Codec, Step};

/// The largest window there is: 32 KiB.
const WINDOW_BITS: u8 = 15;

/// Any number of members, one after the other, are one body: some servers make one of each flush. What comes after one
/// and is none is an error, where others fall silent: a stream that nobody reads any more must not look alive.
pub(super) struct Gzip {
    member: Decompress,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self { member: Decompress::new_gzip(WINDOW_BITS) }
    }
}

impl Codec for Gzip {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let (read, written) = (self.member.total_in(), self.member.total_out());
        let status = self.member.decompress(input, output, FlushDecompress::None);
        let since = |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
        let (read, written) = (since(self.member.total_in(), read), since(self.member.total_out(), written));
        let ended = matches!(status, Ok(Status::StreamEnd));
        if ended {
            *self = Self::new();
        }
        Step { read, written, outcome: status.map(|_| ended).map_err(Into::into) }
    }
}
