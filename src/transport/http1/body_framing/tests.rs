//! Each framing reads the same body however its bytes are cut.

use super::*;

/// Returns the body and how it ended; `None` if it is complete.
fn read<'a>(mut framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<io::ErrorKind>) {
    let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match framing.take(&mut buffer) {
                Ok(data) if !data.is_empty() => body.extend_from_slice(&data),
                Ok(_) if framing.is_complete() => return (body, None),
                Ok(_) => break,
                Err(error) => return (body, Some(error.kind())),
            }
        }
    }
    (body, framing.cut_off_error().map(|error| error.kind()))
}

const CHUNKED: Framing = Framing::Chunked(ChunkState::Size);
const CUT_OFF: Option<io::ErrorKind> = Some(io::ErrorKind::UnexpectedEof);
const INVALID: Option<io::ErrorKind> = Some(io::ErrorKind::InvalidData);

#[test]
fn a_body_is_the_same_however_it_is_cut() {
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(4_000));
    for (framing, wire, body, end) in [
        (CHUNKED, "0\r\n\r\n", "", None),
        (CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "hello", None),
        (
            CHUNKED,
            "5\r\nhello\r\n1 \r\n \r\nA;x=\"y\"\r\n0123456789\r\n000\r\nx: y\r\nz:\r\n\r\n5\r\n",
            "hello 0123456789",
            None,
        ),
        (CHUNKED, "0000000000000003\r\n\r\n1\r\n0\r\n\r\n", "\r\n1", None),
        (CHUNKED, &long, "x", None),
        (CHUNKED, "2\r\nab\r\n0\n\n", "ab", INVALID),
        (CHUNKED, "2\r\nab\r\n0\r\nno field\r\n\r\n", "ab", INVALID),
        (CHUNKED, "2\r\nab\r\n0\r\nx : y\r\n\r\n", "ab", INVALID),
        (CHUNKED, "2\r\nab\r\n0\r\nx: y\r\n folded\r\n\r\n", "ab", INVALID),
        (CHUNKED, "2\r\nab\r\n0\r\nx: \0\r\n\r\n", "ab", INVALID),
        (CHUNKED, "2\r\nab\r\n0\r\nx: y\rz", "ab", INVALID),
        (CHUNKED, "2\r\nab\r\n0\r\nx: y\nz", "ab", CUT_OFF),
        (CHUNKED, "2\r\nab\r\n2;x\n", "ab", INVALID),
        (CHUNKED, "2\r\nab\r\n2;x\ry", "ab", INVALID),
        (CHUNKED, "2\r\nab\r\n2 3", "ab", INVALID),
        (CHUNKED, "2\r\nab\r\n2\n", "ab", INVALID),
        (CHUNKED, "00000000000000002 ;x\r\nab\r\n0\r\n\r\n", "ab", None),
        (CHUNKED, "2\r\nab\r\n3\r\ncde\r\ndata", "abcde", INVALID),
        (CHUNKED, "", "", CUT_OFF),
        (CHUNKED, "5\r\nhel", "hel", CUT_OFF),
        (CHUNKED, "5\r\nhello", "hello", CUT_OFF),
        (CHUNKED, "5\r\nhello\r\n", "hello", CUT_OFF),
        (CHUNKED, "5\r\nhello\r\n0\r\n", "hello", CUT_OFF),
        (CHUNKED, "5\r\nhello\r\n0\r\nx: y\r\n", "hello", CUT_OFF),
        (CHUNKED, "5\r\nhellooo", "hello", INVALID),
        (CHUNKED, "5\r\nhello\n", "hello", INVALID),
        (CHUNKED, "\r\n", "", INVALID),
        (CHUNKED, "-1\r\nx", "", INVALID),
        (CHUNKED, "0x5\r\nhello\r\n", "", INVALID),
        (CHUNKED, ";x\r\n", "", INVALID),
        (CHUNKED, "data: x\n\n", "", INVALID),
        (CHUNKED, "11111111111111111\r\nx", "", INVALID),
        (CHUNKED, "ffffffffffffffff\r\nx", "x", CUT_OFF),
        (Framing::Length(0), "more", "", None),
        (Framing::Length(5), "hello and more", "hello", None),
        (Framing::Length(5), "hel", "hel", CUT_OFF),
        (Framing::Length(u64::MAX), "hel", "hel", CUT_OFF),
        (Framing::Close, "hello", "hello", None),
        (Framing::Close, "", "", None),
    ] {
        let bytes = wire.as_bytes();
        let expected = (body.as_bytes().to_vec(), end);
        for size in 1..=bytes.len().max(1) {
            let got = read(framing, bytes.chunks(size));
            assert_eq!(got, expected, "{wire:?} in pieces of {size}");
        }
        for split in 0..=bytes.len() {
            let (one, two) = bytes.split_at(split);
            let got = read(framing, [one, two]);
            assert_eq!(got, expected, "{wire:?} cut at {split}");
        }
    }
}

#[test]
fn chunk_lines_and_trailers_are_bounded() {
    let extension = format!("5;{}", "x".repeat(MAX_CHUNK_LINE));
    let trailer = format!("0\r\nx: {}", "y".repeat(MAX_TRAILERS));
    let trailers = format!("0\r\n{}", "x: y\r\n".repeat(MAX_TRAILERS / 6 + 1));
    for wire in [extension, trailer, trailers] {
        for size in [1, 7, wire.len()] {
            assert_eq!(read(CHUNKED, wire.as_bytes().chunks(size)).1, INVALID);
        }
    }
}

#[test]
fn many_small_chunks_become_one_piece_in_place() {
    let mut buffer = BytesMut::from("3\r\nabc\r\n".repeat(100).as_bytes());
    let place = buffer.as_ptr();
    let data = CHUNKED.clone().take(&mut buffer).unwrap();
    assert_eq!(data, "abc".repeat(100));
    // It follows the first size and its line end.
    assert_eq!(data.as_ptr(), place.wrapping_add(3));
    assert!(buffer.is_empty());
}
