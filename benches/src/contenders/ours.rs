//! Our decoder, up to owned events, as a subscriber gets them.

use std::hint::black_box;

use sseclient::wire::{Decoder, Frame};

use super::Input;

/// Runs the decoder with its defaults: comments are skipped.
pub fn events(input: Input) -> usize {
    drain(Decoder::new(), input)
}

/// Runs the decoder with comments wanted.
pub fn with_comments(input: Input) -> usize {
    drain(Decoder::new().comments(true), input)
}

fn drain(mut decoder: Decoder, input: Input) -> usize {
    let mut events = 0;
    for chunk in input.chunks {
        decoder.push(chunk);
        let mut frames = decoder.frames();
        while let Some(frame) = frames.next_frame() {
            match frame {
                Frame::Event(event) => {
                    drop(black_box(event.to_event()));
                    events += 1;
                }
                Frame::Comment(text) => {
                    black_box(text);
                }
                other => {
                    black_box(other);
                }
            }
        }
    }
    decoder.finish();
    events
}
