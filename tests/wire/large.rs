//! Events of many KiB that come in pieces: their data is validated piece by piece, and its buffer
//! becomes the event.

use bytes::Bytes;
use sseclient::Event;
use sseclient::wire::{Decoder, Frame};

/// What the data lines are made of. Pieces cut characters, and some is not UTF-8.
const PATTERNS: &[&[u8]] = &[
    b"x",
    "é".as_bytes(),
    "a€".as_bytes(),
    "😀".as_bytes(),
    b"all is well \xff",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\x80\x80\x80",
];

/// The events of a stream in chunks of `size` bytes.
fn events(decoder: &mut Decoder, stream: &[u8], size: usize) -> Vec<Event> {
    let mut events = Vec::new();
    for chunk in stream.chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk));
        let mut frames = decoder.frames();
        while let Some(frame) = frames.next_frame() {
            match frame {
                Frame::Event(event) => events.push(event.to_event()),
                other => panic!("{other:?}"),
            }
        }
    }
    events
}

#[test]
fn large_data_is_decoded_as_the_standard_says_however_it_is_cut() {
    for pattern in PATTERNS {
        // Broken text only at the end, and from the start on.
        for (prefix, length) in [(0, 9_000), (20_000, 100), (20_000, 9_000)] {
            let data = ["y".repeat(prefix).as_bytes(), &pattern.repeat(length / pattern.len())].concat();
            let stream = [b"event: up\xffdate\nid: 7\ndata: ", &*data, b"\ndata: ", &data, b"\n\ndata: z\n\n"].concat();
            let text = String::from_utf8_lossy(&data);
            let expected = format!("{text}\n{text}");
            for size in [1, 2, 3, 700, 1448, 9_001, 16_384, usize::MAX] {
                let events = events(&mut Decoder::new(), &stream, size);
                let case = format!("{} from {prefix} on, in chunks of {size}", pattern.escape_ascii());
                assert_eq!(events.len(), 2, "{case}");
                assert!(events[0].data() == expected, "{case}");
                assert_eq!((events[0].event_type(), events[0].id()), ("up\u{fffd}date", Some("7")), "{case}");
                assert_eq!((events[1].data(), events[1].last_event_id()), ("z", "7"), "{case}");
            }
        }
    }
}

#[test]
fn values_around_large_data_may_come_in_any_order() {
    let data = "0123456789".repeat(2_000);
    for (stream, event_type, id) in [
        (format!("data: {data}\n\n"), "message", None),
        (format!("event: a\nid: 7\ndata: {data}\n\n"), "a", Some("7")),
        (format!("data: {data}\nid: 7\nevent: a\n\n"), "a", Some("7")),
        (format!("id: 6\nevent: b\ndata: {data}\nevent: a\nid: 7\n\n"), "a", Some("7")),
        (format!("id: 7\ndata: {data}\nid: \u{0}\n\n"), "message", Some("7")),
    ] {
        for size in [100, 1448, 16_384] {
            let events = events(&mut Decoder::new(), stream.as_bytes(), size);
            assert_eq!((events[0].event_type(), events[0].id()), (event_type, id), "{size}");
            assert!(events[0].data() == data, "{size}");
        }
    }
}

#[test]
fn a_large_event_at_the_end_of_a_stream_leaves_nothing_for_the_next() {
    let mut decoder = Decoder::new().dispatch_unfinished_at_end(true);
    let large = format!("event: large\ndata: {}", "x".repeat(20_000));
    assert_eq!(events(&mut decoder, large.as_bytes(), 1448), []);
    let Some(Frame::Event(event)) = decoder.finish() else { panic!("an event") };
    assert_eq!(event.to_event().data().len(), 20_000);
    let next = events(&mut decoder, b"event: small\ndata: y\n\n", 1448);
    assert_eq!((next[0].event_type(), next[0].data()), ("small", "y"));
}
