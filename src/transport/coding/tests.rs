//! What a decoder gives at once, and when it asks for more.

use std::io::Write;
use std::task::Waker;

use super::*;

/// An encoder's output: 10 MiB of nothing in particular, not yet ended.
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
fn a_piece_is_bounded_and_no_more_is_asked_for_before_all_of_it_is_decoded() {
    for (name, bomb) in bombs() {
        let mut decoding = Decoding::new(name).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut asked, mut pieces, mut total) = (0, 0, 0);
        let mut bomb = Some(Bytes::from(bomb));
        loop {
            let polled = decoding.poll_data(&mut cx, |_| {
                asked += 1;
                bomb.take().map_or(Poll::Pending, |bomb| Poll::Ready(Some(Ok(bomb))))
            });
            let Poll::Ready(piece) = polled else { break };
            let piece = piece.unwrap().unwrap();
            assert!(piece.len() <= PIECE, "{name}");
            pieces += 1;
            total += piece.len();
        }
        assert_eq!((asked, total), (2, 10 << 20), "{name}");
        assert!(pieces >= (10 << 20) / PIECE, "{name}: {pieces}");
    }
}
