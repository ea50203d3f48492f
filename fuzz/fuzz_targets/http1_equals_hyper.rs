//! Checks that a response over HTTP/1.1 has the same head and the same body as hyper reads it, or is
//! refused by both, for any bytes and every way of cutting them.
//!
//! The first two bytes of an input are the lengths of the pieces, in turn; zero is the rest. What
//! follows is the response.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((lengths, response)) = input.split_first_chunk::<2>() else {
        return Corpus::Reject;
    };
    let lengths = lengths.map(|length| if length == 0 { usize::MAX } else { usize::from(length) });
    sseclient::compare(response, &lengths);
    Corpus::Keep
});
