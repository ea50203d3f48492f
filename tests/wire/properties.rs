//! Properties of the wire format for any bytes, any chunks and any limit. The seed is fixed, so
//! that a failure is reproducible. `fuzz/` searches further.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use sseclient::Event;
use sseclient::wire::{Decoder, Frame};

use crate::runs::{Outcome, Owned, byte_by_byte, cut_by, pull, reference, run, whole};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x5353_4521), failure_persistence: None, ..Default::default() }
}

/// Pieces of event streams, including those that break parsers.
const TOKENS: &[&[u8]] = &[
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\r",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\r",
    b":",
    b" ",
    b"\0",
    b"\t",
    b"data",
    b"data:",
    b"data: ",
    b"data: x\n",
    b"data: x\n\n",
    b"\ndata:  two\r\n",
    b"id",
    b"id:",
    b"id: ",
    b"id: 7\n",
    b"id\n\n",
    b"id: a\0b\n",
    b"event",
    b"event:",
    b"event: tick\n",
    b"event\n",
    b"retry",
    b"retry:",
    b"retry: ",
    b"retry: 5\n",
    b"retry: +5\n",
    b"retry: 18446744073709551614\n",
    b"retry: 18446744073709551616\r",
    b": comment\n",
    b"dat",
    b"datax: y\n",
    b"Data: y\n",
    b"retry2: 1\n",
    b" data: y\n",
    b"unknown: field\n",
    b"0",
    b"1",
    b"007",
    b"x",
    b"abc",
    // The byte order mark, whole and in pieces.
    b"\xef\xbb\xbf",
    b"\xef",
    b"\xbb",
    b"\xbf",
    "é".as_bytes(),
    "€".as_bytes(),
    "😀".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{fffd}".as_bytes(),
    "\u{85}".as_bytes(),
    // A cut character at the end of one value, and its rest at the start of the next.
    b"data: \xc3\n",
    b"data: \xa9\n",
    b"event: \xc3\n",
    b"event: \xa9\n",
    b"id: \xc3\n",
    b"id: \xa9\n",
    b": \xc3\n",
    b":\xa9\n",
    // Invalid: cut sequences, a stray continuation, a surrogate, an overlong form, never-valid
    // bytes.
    b"\xc3",
    b"\xa9",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\x80",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xff",
    b"\xfe",
];

fn token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        30 => select(TOKENS).prop_map(<[u8]>::to_vec),
        2 => vec(any::<u8>(), 1..6),
        // Lines as long as the windows of a vectorised search for line ends.
        2 => (1usize..200).prop_map(|length| vec![b'y'; length]),
        1 => (60usize..70).prop_map(|length| [b"data: ".as_slice(), &vec![b'z'; length], b"\n"].concat()),
    ]
}

fn input() -> impl Strategy<Value = Bytes> {
    vec(token(), 0..40).prop_map(|tokens| tokens.concat().into())
}

/// Lengths of chunks, used cyclically. Zero is an empty chunk.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(0usize..4, 1..8), vec(0usize..20, 1..8), vec(0usize..150, 1..6)]
}

fn seed() -> impl Strategy<Value = &'static str> {
    select(["", "", "41", "é\u{1}"].as_slice())
}

fn decoder(seed: &str, comments: bool) -> Decoder {
    let decoder = Decoder::new().comments(comments);
    if seed.is_empty() { decoder } else { decoder.last_event_id(seed) }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn any_bytes_in_any_chunks_decode_as_the_standard_says(input in input(), lengths in lengths(), seed in seed()) {
        let (expected, last_event_id) = reference::decode(&input, seed);
        for chunks in [whole(&input), cut_by(&input, &lengths), byte_by_byte(&input).collect()] {
            let outcome = run(decoder(seed, true), chunks);
            prop_assert_eq!(&outcome.frames, &expected);
            prop_assert_eq!(&outcome.last_event_id, &last_event_id);
        }
    }

    #[test]
    fn without_comments_all_other_frames_are_the_same(input in input(), lengths in lengths(), seed in seed()) {
        let with = run(decoder(seed, true), cut_by(&input, &lengths));
        let without = run(decoder(seed, false), cut_by(&input, &lengths));
        prop_assert_eq!(with.without_comments(), without.frames);
        prop_assert_eq!(with.last_event_id, without.last_event_id);
    }

    #[test]
    fn noise_is_decoded_like_anything_else(input in vec(any::<u8>(), 0..300), lengths in lengths()) {
        let input = Bytes::from(input);
        let (expected, _) = reference::decode(&input, "");
        prop_assert_eq!(&run(decoder("", true), whole(&input)).frames, &expected);
        prop_assert_eq!(&run(decoder("", true), cut_by(&input, &lengths)).frames, &expected);
    }

    /// After each chunk, every frame that its bytes complete is available.
    #[test]
    fn every_frame_is_there_as_soon_as_its_last_byte_is(input in input(), lengths in lengths()) {
        let chunks = cut_by(&input, &lengths);
        let ends = chunks.iter().scan(0, |end, chunk| {
            *end += chunk.len();
            Some(*end)
        });
        let due: Vec<usize> = ends.map(|end| reference::decode(&input[..end], "").0.len()).collect();
        prop_assert_eq!(run(decoder("", true), chunks).after_chunk, due);
    }

    /// The reader takes some frames, or none, before it pushes again.
    #[test]
    fn pushing_before_all_was_read_loses_nothing(
        input in input(), lengths in lengths(), takes in vec(0usize..4, 1..6), limit in select([8, 1000].as_slice()),
    ) {
        let decoder = || Decoder::new().comments(true).max_event_size(limit);
        let mut busy = decoder();
        let mut frames: Vec<Owned> = Vec::new();
        for (chunk, take) in cut_by(&input, &lengths).into_iter().zip(takes.iter().cycle()) {
            busy.push(chunk);
            for way in 0..*take {
                frames.extend(match way {
                    0 => busy.next_frame().map(Owned::from),
                    _ => busy.frames().next_frame().map(Owned::from),
                });
            }
        }
        while let Some(frame) = busy.next_frame() {
            frames.push(frame.into());
        }
        prop_assert_eq!(frames, run(decoder(), whole(&input)).frames);
    }

    #[test]
    fn a_decoder_that_was_finished_resumes_like_a_new_one(
        first in input(),
        second in input(),
        lengths in lengths(),
        dispatches in any::<bool>(),
    ) {
        let mut decoder = decoder("", true).dispatch_unfinished_at_end(dispatches);
        for chunk in cut_by(&first, &lengths) {
            decoder.push(chunk);
            while decoder.next_frame().is_some() {}
        }
        decoder.finish();
        let id = decoder.current_last_event_id().to_owned();
        let (expected, last_event_id) = reference::decode(&second, &id);
        let outcome = run(decoder.dispatch_unfinished_at_end(false), cut_by(&second, &lengths));
        prop_assert_eq!(outcome.frames, expected);
        prop_assert_eq!(outcome.last_event_id, last_event_id);
    }

    #[test]
    fn the_end_dispatches_what_a_blank_line_would(input in input(), lengths in lengths()) {
        let mut decoder = decoder("", false).dispatch_unfinished_at_end(true);
        let mut frames = Vec::new();
        for (way, chunk) in cut_by(&input, &lengths).into_iter().enumerate() {
            decoder.push(chunk);
            pull(&mut decoder, way, &mut frames);
        }
        frames.extend(decoder.finish().map(Owned::from));
        let (expected, last_event_id) = reference::decode(&[&input[..], b"\n\n"].concat(), "");
        // An event has the `retry` of its last line with it.
        let others = |frames: Vec<Owned>| -> Vec<Owned> {
            frames.into_iter().filter(|frame| !matches!(frame, Owned::Retry(_) | Owned::Comment(_))).collect()
        };
        prop_assert_eq!(others(frames), others(expected));
        prop_assert_eq!(decoder.current_last_event_id(), last_event_id);
    }

    #[test]
    fn comments_can_be_turned_on_and_off_between_chunks(input in input(), lengths in lengths()) {
        let mut decoder = decoder("", false);
        let mut frames = Vec::new();
        for (turn, chunk) in cut_by(&input, &lengths).into_iter().enumerate() {
            decoder.set_comments(turn % 2 == 0);
            decoder.push(chunk);
            while let Some(frame) = decoder.next_frame() {
                frames.push(Owned::from(frame));
            }
        }
        // The chunks decide which comments appear. They must not change any other frame.
        let outcome = Outcome { frames, after_chunk: Vec::new(), last_event_id: String::new() };
        let expected = run(Decoder::new(), whole(&input));
        prop_assert_eq!(outcome.without_comments(), expected.frames);
    }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn a_small_limit_gives_the_same_frames_in_any_chunks(
        input in input(), lengths in lengths(), limit in 0usize..=64, comments in any::<bool>(),
    ) {
        let decoder = || Decoder::new().max_event_size(limit).comments(comments);
        let expected = run(decoder(), whole(&input));
        for chunks in [cut_by(&input, &lengths), byte_by_byte(&input).collect()] {
            let outcome = run(decoder(), chunks);
            prop_assert_eq!(&outcome.frames, &expected.frames);
            prop_assert_eq!(&outcome.last_event_id, &expected.last_event_id);
        }
    }

    /// With a limit, each event of the standard appears, or an oversized frame in its place.
    #[test]
    fn a_limit_replaces_events_and_changes_none(input in input(), limit in 0usize..=64) {
        let limited = run(Decoder::new().max_event_size(limit), whole(&input)).frames;
        let event = |frame: &Owned| matches!(frame, Owned::Event { .. });
        let all: Vec<Owned> = reference::decode(&input, "").0.into_iter().filter(event).collect();
        let mut rest = all.iter();
        for frame in limited.iter().filter(|frame| event(frame)) {
            // An ID that was too long to keep is not inherited.
            let same = |other: &&Owned| without_inherited_id(other) == without_inherited_id(frame);
            prop_assert!(rest.any(|other| same(&other)), "the limit invented {frame:?}");
        }
        let replaced = limited.iter().filter(|frame| matches!(frame, Owned::Oversized { .. })).count();
        prop_assert!(limited.iter().filter(|frame| event(frame)).count() + replaced >= all.len());
    }

    #[test]
    fn oversized_blocks_are_reported_and_their_neighbours_unharmed(
        blocks in vec(block(), 1..8), limit in SMALLEST_LIMIT..=64, lengths in lengths(),
    ) {
        let input: Bytes = blocks.iter().flat_map(|block| block.bytes(limit)).collect::<Vec<u8>>().into();
        let mut last_event_id = String::new();
        let expected: Vec<Owned> = blocks.iter().map(|block| block.frame(limit, &mut last_event_id)).collect();
        for chunks in [whole(&input), cut_by(&input, &lengths)] {
            let outcome = run(Decoder::new().max_event_size(limit), chunks);
            prop_assert_eq!(&outcome.frames, &expected);
            prop_assert_eq!(&outcome.last_event_id, &last_event_id);
        }
    }
}

fn without_inherited_id(frame: &Owned) -> Owned {
    let mut frame = frame.clone();
    if let Owned::Event { id, last_event_id, .. } = &mut frame {
        *last_event_id = id.clone().unwrap_or_default();
    }
    frame
}

/// The limit of these tests. A small [`Block`] is always within it.
const SMALLEST_LIMIT: usize = 24;

/// A block whose data is either well within the limit or well over it. Its type and ID are within
/// it.
#[derive(Clone, Debug)]
struct Block {
    event_type: Option<String>,
    id: Option<String>,
    data: Data,
    /// The index of the data line before which each of type, ID and noise stands, or after the last
    /// line.
    places: [usize; 3],
    noise: Vec<u8>,
    line_end: &'static str,
}

#[derive(Clone, Debug)]
enum Data {
    Small(Vec<String>),
    /// One line, this many bytes over the limit.
    LongLine(usize),
    /// Lines of this length, until the limit is exceeded.
    ManyLines(usize),
}

fn block() -> impl Strategy<Value = Block> {
    let data = prop_oneof![
        2 => vec("[a-z]{0,3}", 1..4).prop_map(Data::Small),
        1 => (1usize..200).prop_map(Data::LongLine),
        1 => (0usize..6).prop_map(Data::ManyLines),
    ];
    // A comment or an unknown field of any length does not count.
    let noise = select(&["", ":", ": comment", "unknown", "unknown: field"][..]);
    (
        proptest::option::of("[a-z]{1,6}"),
        proptest::option::of("[0-9]{0,6}"),
        data,
        [0usize..5, 0usize..5, 0usize..5],
        (noise, 0usize..100).prop_map(|(head, length)| {
            if head.is_empty() { Vec::new() } else { format!("{head}{}", "n".repeat(length)).into_bytes() }
        }),
        select(["\n", "\r", "\r\n"].as_slice()),
    )
        .prop_map(|(event_type, id, data, places, noise, line_end)| Block {
            event_type,
            id,
            data,
            places,
            noise,
            line_end,
        })
}

impl Block {
    fn data_lines(&self, limit: usize) -> Vec<String> {
        match &self.data {
            Data::Small(lines) => lines.clone(),
            Data::LongLine(over) => vec!["d".repeat(limit + over)],
            Data::ManyLines(length) => vec!["m".repeat(*length); limit / (length + 1) + 3],
        }
    }

    fn bytes(&self, limit: usize) -> Vec<u8> {
        let others = [
            self.event_type.as_ref().map(|event_type| format!("event: {event_type}").into_bytes()),
            self.id.as_ref().map(|id| format!("id: {id}").into_bytes()),
            Some(self.noise.clone()).filter(|noise| !noise.is_empty()),
        ];
        let mut lines: Vec<Vec<u8>> =
            self.data_lines(limit).iter().map(|value| format!("data: {value}").into_bytes()).collect();
        for (line, place) in others.into_iter().zip(self.places) {
            let at = place.min(lines.len());
            lines.splice(at..at, line);
        }
        lines.push(Vec::new());
        lines.iter().flat_map(|line| [line.as_slice(), self.line_end.as_bytes()].concat()).collect()
    }

    fn frame(&self, limit: usize, last_event_id: &mut String) -> Owned {
        if let Some(id) = &self.id {
            last_event_id.clone_from(id);
        }
        let event_type = self.event_type.clone().unwrap_or_else(|| "message".to_owned());
        let data = self.data_lines(limit).join("\n");
        match self.data {
            Data::Small(_) => Owned::Event {
                event_type,
                data,
                id: self.id.clone(),
                last_event_id: last_event_id.clone(),
                retry: None,
            },
            Data::LongLine(_) | Data::ManyLines(_) => {
                Owned::Oversized { event_type: Some(event_type), id: self.id.clone(), size: data.len() as u64 }
            }
        }
    }
}

/// Text that tries to break out of its field.
fn text() -> impl Strategy<Value = String> {
    const TOKENS: &[&str] = &[
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        ":",
        " ",
        "\0",
        "\u{feff}",
        "data: x",
        "\ndata: x",
        "id: 1",
        "event: e",
        "a",
        "é",
        "😀",
        "\u{2028}",
        "\u{85}",
    ];
    let token = select(TOKENS);
    prop_oneof![3 => vec(token, 0..12).prop_map(|tokens| tokens.concat()), 1 => any::<String>()]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0u64..100_000).prop_map(Duration::from_millis),
        any::<(u64, u32)>().prop_map(|(seconds, nanos)| Duration::new(seconds, nanos % 1_000_000_000)),
        Just(Duration::MAX),
    ]
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn an_event_that_is_built_and_encoded_decodes_as_it_was(
        event_type in proptest::option::of(text()), data in proptest::option::of(text()),
        id in proptest::option::of(text()), retry in proptest::option::of(duration()), lengths in lengths(),
    ) {
        let mut builder = Event::builder();
        if let Some(event_type) = &event_type {
            builder = builder.event_type(event_type.clone());
        }
        if let Some(data) = &data {
            builder = builder.data(data.clone());
        }
        if let Some(id) = &id {
            builder = builder.id(id.clone());
        }
        if let Some(retry) = retry {
            builder = builder.retry(retry);
        }
        let injects = event_type.iter().any(|text| text.contains(['\r', '\n']))
            || id.iter().any(|text| text.contains(['\r', '\n', '\0']));
        let built = builder.build();
        prop_assert_eq!(built.is_err(), injects, "{:?} {:?}", event_type, id);
        let Ok(event) = built else { return Ok(()) };

        let wanted = data.unwrap_or_default().replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(event.data(), wanted);
        let event_type = event_type.filter(|event_type| !event_type.is_empty());
        prop_assert_eq!(event.event_type(), event_type.as_deref().unwrap_or("message"));
        prop_assert_eq!(event.id(), id.as_deref());

        let wire = Bytes::from(event.encode());
        for chunks in [whole(&wire), cut_by(&wire, &lengths)] {
            let events = events(chunks);
            prop_assert_eq!(events.len(), 1, "exactly one event comes back");
            prop_assert_eq!(&events[0], &event);
        }
    }

    #[test]
    fn encoded_events_stand_one_after_another(texts in vec((text(), text()), 0..6)) {
        let build = |(data, id): &(String, String)| Event::builder().data(data.clone()).id(id.clone()).build().ok();
        let built: Vec<Event> = texts.iter().filter_map(build).collect();
        let wire: String = built.iter().map(Event::encode).collect();
        prop_assert_eq!(events(whole(&wire.into())), built);
    }
}

/// The events of a stream. Asserts that it contains no other frames than encoded events do.
fn events(chunks: Vec<Bytes>) -> Vec<Event> {
    let mut decoder = Decoder::new().comments(true);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(frame) = decoder.next_frame() {
            match frame {
                Frame::Event(frame) => events.push(frame.to_event()),
                Frame::Retry(_) => {}
                other => panic!("no event writes {other:?}"),
            }
        }
    }
    events
}

#[test]
fn an_event_of_the_wire_keeps_what_it_inherited_and_does_not_write_it() {
    let mut decoder = Decoder::new().last_event_id("7");
    decoder.push(Bytes::from_static(b"data: x\n\n"));
    let Some(Frame::Event(frame)) = decoder.next_frame() else { panic!("no event") };
    let event = frame.to_event();
    assert_eq!((event.id(), event.last_event_id()), (None, "7"));
    assert_eq!(event.encode(), "data: x\n\n");
}

/// The second chunk comes before all frames of the first are read, so that the decoder must join
/// what the cut divided.
#[test]
fn a_block_that_two_chunks_have_cut_is_whole_when_the_next_comes_early() {
    for (first, pulled, early) in [
        ("data: abc\nid: 1\nretry: 5", "00\n", "\n"),
        ("id::b\nre", "try:6268\nfoo:kpzez", "\n\ndata: j\n\n"),
        ("data: a\rretry: 5", "\r", "\ndata: b\r\n\r\n"),
        ("retry: 5", "\r", "\ndata: b\r\n\r\n"),
    ] {
        let all = [first, pulled, early].concat();
        let expected = run(Decoder::new(), whole(&all.into())).frames;
        let mut decoder = Decoder::new();
        let mut frames = Vec::new();
        decoder.push(first.into());
        assert!(decoder.next_frame().is_none());
        decoder.push(pulled.into());
        frames.extend(decoder.next_frame().map(Owned::from));
        decoder.push(early.into());
        pull(&mut decoder, 1, &mut frames);
        assert_eq!(frames, expected, "{first:?} | {pulled:?} | {early:?}");
    }
}
