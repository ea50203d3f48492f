//! How much a decoder returns at once, and when it polls its source for more.

use std::io::Write;
use std::task::Waker;

use super::*;

/// Returns the flushed, unfinished output of each encoder for 10 MiB of text.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let text = vec![b'x'; 10 << 20];
    let mut bombs = Vec::new();
    #[cfg(feature = "gzip")]
    {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&text).unwrap();
        encoder.flush().unwrap();
        bombs.push(("gzip", encoder.get_ref().clone()));
    }
    #[cfg(feature = "brotli")]
    {
        let mut encoder = ::brotli::CompressorWriter::new(Vec::new(), 4096, 1, 18);
        encoder.write_all(&text).unwrap();
        encoder.flush().unwrap();
        bombs.push(("br", encoder.get_ref().clone()));
    }
    #[cfg(feature = "zstd")]
    {
        let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(&text).unwrap();
        encoder.flush().unwrap();
        bombs.push(("zstd", encoder.get_ref().clone()));
    }
    bombs
}

#[test]
fn a_piece_is_bounded_and_input_is_decoded_before_more_is_read() {
    for (name, bomb) in bombs() {
        let mut decoding = Decoding::new(name).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut polls, mut pieces, mut total) = (0, 0, 0);
        let mut bomb = Some(Bytes::from(bomb));
        loop {
            let polled = decoding.poll_data(&mut cx, |_| {
                polls += 1;
                bomb.take().map_or(Poll::Pending, |bomb| Poll::Ready(Some(Ok(bomb))))
            });
            let Poll::Ready(piece) = polled else { break };
            let piece = piece.unwrap().unwrap();
            assert!(piece.len() <= MAX_PIECE, "{name}");
            pieces += 1;
            total += piece.len();
        }
        assert_eq!((polls, total), (2, 10 << 20), "{name}");
        assert!(pieces >= (10 << 20) / MAX_PIECE, "{name}: {pieces}");
    }
}
