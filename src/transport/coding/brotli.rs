//! Brotli (RFC 7932).

use alloc_stdlib::StandardAlloc;
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::{Codec, Step};

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

pub(super) struct Brotli {
    state: Box<State>,
    ended: bool,
}

impl Brotli {
    pub(super) fn new() -> Self {
        let alloc = StandardAlloc::default;
        // Strict: windows of up to 16 MiB, which is all that the coding allows, and not of a gigabyte.
        Self { state: Box::new(State::new_strict(alloc(), alloc(), alloc())), ended: false }
    }
}

impl Codec for Brotli {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if self.ended {
            let outcome = if input.is_empty() { Ok(true) } else { Err("something comes after its end".into()) };
            return Step { read: 0, written: 0, outcome };
        }
        let (mut read, mut written) = (0, 0);
        let (mut to_read, mut to_write, mut total) = (input.len(), output.len(), 0);
        let result = BrotliDecompressStream(
            &mut to_read,
            &mut read,
            input,
            &mut to_write,
            &mut written,
            output,
            &mut total,
            &mut self.state,
        );
        self.ended = matches!(result, BrotliResult::ResultSuccess);
        let outcome = match result {
            BrotliResult::ResultFailure => Err(format!("{:?}", self.state.error_code).into()),
            _ => Ok(self.ended),
        };
        Step { read, written, outcome }
    }
}
