//! Zstandard (RFC 8878).

use std::io;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use super::{Codec, Step};

/// As much as servers may ask of a client (RFC 9659, section 3): 8 MiB.
const WINDOW_LOG: u32 = 23;

/// Any number of frames, one after the other, are one body.
pub(super) struct Zstd {
    decoder: Decoder<'static>,
}

impl Zstd {
    /// Fails if there is no memory.
    pub(super) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self { decoder })
    }
}

impl Codec for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(output));
        let result = self.decoder.run(&mut input, &mut output);
        // Zero says that a frame has ended, and that all of it has been written.
        Step { read: input.pos(), written: output.pos(), outcome: result.map(|hint| hint == 0).map_err(Into::into) }
    }
}
