//! Checks that the decoder gives the same frames for every way of cutting a stream, and that
//! without a limit they are the standard's.
//!
//! The first four bytes of an input choose settings, limit and chunks (see `Plan`). The rest is the
//! stream.

#![no_main]

#[path = "../../tests/wire/runs/mod.rs"]
mod wire;

use bytes::Bytes;
use libfuzzer_sys::{Corpus, fuzz_target};
use sseclient::wire::Decoder;
use wire::{Owned, byte_by_byte, cut_at, cut_by, reference, run, whole};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((plan, stream)) = Plan::read(input) else {
        return Corpus::Reject;
    };
    let stream = Bytes::copy_from_slice(stream);
    let expected = run(plan.decoder(), whole(&stream));

    let chunked = run(plan.decoder(), plan.chunks(&stream));
    assert_eq!(expected.frames, chunked.frames, "{plan:?}");
    assert_eq!(expected.last_event_id, chunked.last_event_id, "{plan:?}");

    if plan.limit.is_none() {
        let (mut frames, last_event_id) = reference::decode(&stream, plan.seed());
        if !plan.comments {
            frames.retain(|frame| !matches!(frame, Owned::Comment(_)));
        }
        assert_eq!(frames, expected.frames, "{plan:?}");
        assert_eq!(last_event_id, expected.last_event_id, "{plan:?}");
    }
    Corpus::Keep
});

#[derive(Debug)]
struct Plan {
    comments: bool,
    seeded: bool,
    limit: Option<usize>,
    chunks: [u8; 2],
}

impl Plan {
    /// Reads a plan from the first four bytes.
    ///
    /// Byte 0: bit 0 wants comments, bit 1 seeds an ID, bit 2 multiplies the limit by 128 (a type
    /// or an ID over 4 KiB counts twice). Byte 1: the limit, 0 for the default. Bytes 2 and 3: the
    /// chunks.
    fn read(input: &[u8]) -> Option<(Self, &[u8])> {
        let (&[settings, limit, first, second], stream) = input.split_first_chunk()?;
        let plan = Self {
            comments: settings & 1 != 0,
            seeded: settings & 2 != 0,
            limit: (limit != 0).then(|| (usize::from(limit) - 1) << if settings & 4 != 0 { 7 } else { 0 }),
            chunks: [first, second],
        };
        Some((plan, stream))
    }

    fn seed(&self) -> &'static str {
        if self.seeded { "seed é" } else { "" }
    }

    fn decoder(&self) -> Decoder {
        let decoder = Decoder::new().comments(self.comments).last_event_id(self.seed());
        match self.limit {
            Some(bytes) => decoder.max_event_size(bytes),
            None => decoder,
        }
    }

    /// Cuts the stream: byte by byte for two zeros, in two at the first number if the second is
    /// zero, or else in chunks of these two lengths in turn, with an empty chunk between them.
    fn chunks(&self, stream: &Bytes) -> Vec<Bytes> {
        match self.chunks.map(usize::from) {
            [0, 0] => byte_by_byte(stream).collect(),
            [at, 0] => cut_at(stream, at.min(stream.len())).into(),
            [one, other] => cut_by(stream, &[one, 0, other]),
        }
    }
}
