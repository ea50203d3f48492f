//! Blocks over the limit, and odd IDs. Neither is fatal, and the resume point stays right.

use bytes::Bytes;
use sseclient::wire::{DEFAULT_MAX_EVENT_SIZE, Decoder};

use crate::runs::{Owned, byte_by_byte, cut_at, cut_by, run, whole};

fn event(event_type: &str, data: &str, id: Option<&str>, last_event_id: &str) -> Owned {
    Owned::Event {
        event_type: event_type.to_owned(),
        data: data.to_owned(),
        id: id.map(str::to_owned),
        last_event_id: last_event_id.to_owned(),
        retry: None,
    }
}

fn oversized(event_type: Option<&str>, id: Option<&str>, size: u64) -> Owned {
    Owned::Oversized { event_type: event_type.map(str::to_owned), id: id.map(str::to_owned), size }
}

/// Asserts that the stream gives these frames and this last event ID: whole, byte by byte, and cut
/// in two at every position.
#[track_caller]
fn gives(limit: usize, input: &str, expected: &[Owned], last_event_id: &str) {
    let input = Bytes::copy_from_slice(input.as_bytes());
    let decoder = || Decoder::new().max_event_size(limit);
    let check = |how: String, chunks: &mut dyn Iterator<Item = Bytes>| {
        let outcome = run(decoder(), chunks);
        assert_eq!(outcome.frames, expected, "{how}");
        assert_eq!(outcome.last_event_id, last_event_id, "{how}");
    };
    check("in one piece".to_owned(), &mut whole(&input).into_iter());
    check("one byte at a time".to_owned(), &mut byte_by_byte(&input));
    for at in 0..input.len().min(300) {
        check(format!("cut at {at}"), &mut cut_at(&input, at).into_iter());
    }
}

#[test]
fn an_oversized_event_is_skipped_its_id_taken_and_the_next_one_delivered() {
    for (before, after) in [("id: 1\n", ""), ("", "id: 1\n")] {
        let input = format!("{before}data: 0123456789\n{after}\ndata: ok\n\n");
        gives(8, &input, &[oversized(Some("message"), Some("1"), 10), event("message", "ok", None, "1")], "1");
    }
}

#[test]
fn the_id_of_an_oversized_event_counts_from_its_blank_line_on() {
    gives(8, "id: 1\ndata: 0123456789\n", &[], "");
    gives(8, "id: 1\ndata: 0123456789\n\n", &[oversized(Some("message"), Some("1"), 10)], "1");
}

#[test]
fn an_oversized_event_without_an_id_leaves_the_last_one_alone() {
    gives(8, "id: 1\n\ndata: 0123456789\n\n", &[Owned::Id("1".to_owned()), oversized(Some("message"), None, 10)], "1");
}

#[test]
fn an_oversized_event_can_clear_the_last_event_id() {
    let expected = [event("message", "a", Some("1"), "1"), oversized(Some("message"), Some(""), 10)];
    gives(8, "id: 1\ndata: a\n\nid\ndata: 0123456789\n\n", &expected, "");
}

#[test]
fn the_type_of_an_oversized_event_is_known_wherever_it_stands() {
    for (before, after) in [("event: e\n", ""), ("", "event: e\n")] {
        let input = format!("{before}data: 0123456789\n{after}\n");
        gives(8, &input, &[oversized(Some("e"), None, 10)], "");
    }
}

#[test]
fn a_type_that_is_too_long_is_cut_and_does_not_leak_into_the_next_block() {
    let input = "event: 0123456789\nid: 1\ndata: a\n\ndata: b\n\n";
    gives(8, input, &[oversized(None, Some("1"), 1), event("message", "b", None, "1")], "1");
}

#[test]
fn data_at_the_limit_is_delivered_and_one_byte_more_is_not() {
    gives(8, "data: 01234567\n\n", &[event("message", "01234567", None, "")], "");
    gives(8, "data: 012345678\n\n", &[oversized(Some("message"), None, 9)], "");
    // The line feed between two lines is part of the data.
    gives(8, "data: 0123\ndata: 567\n\n", &[event("message", "0123\n567", None, "")], "");
    gives(8, "data: 0123\ndata: 5678\n\n", &[oversized(Some("message"), None, 9)], "");
}

/// Types and IDs are copied once more than data is, so their bytes over 4 KiB count twice.
#[test]
fn a_long_type_or_id_counts_twice_for_any_chunks() {
    for (limit, fits) in [(20_904, true), (20_903, false)] {
        for field in ["event", "id"] {
            let (long, data) = ("x".repeat(10_000), "y".repeat(5_000));
            let (event_type, id) = if field == "event" { (&*long, None) } else { ("message", Some(&*long)) };
            let last = id.unwrap_or_default();
            let expected =
                if fits { event(event_type, &data, id, last) } else { oversized(Some(event_type), id, 5_000) };
            gives(limit, &format!("{field}: {long}\ndata: {data}\n\n"), &[expected], last);
        }
    }
}

#[test]
fn many_short_lines_are_oversized_like_one_long_one() {
    let lines = "data: a\n".repeat(100);
    let input = format!("id: 1\n{lines}\ndata: ok\n\n");
    gives(64, &input, &[oversized(Some("message"), Some("1"), 199), event("message", "ok", None, "1")], "1");
}

#[test]
fn a_block_after_an_oversized_one_has_the_whole_limit_again() {
    let input = "data: 0123456789\n\ndata: 01234567\n\ndata: 0123456789\n\ndata: 01234567\n\n";
    let skipped = || oversized(Some("message"), None, 10);
    let kept = || event("message", "01234567", None, "");
    gives(8, input, &[skipped(), kept(), skipped(), kept()], "");
}

#[test]
fn unknown_fields_and_comments_do_not_use_up_the_limit() {
    let long = "x".repeat(100);
    let input = format!(":{long}\nunknown: {long}\n{long}\ndata: ok\n\n");
    gives(8, &input, &[event("message", "ok", None, "")], "");
}

#[test]
fn an_id_over_the_limit_does_not_end_the_stream() {
    let long = "1".repeat(100);
    let input = format!("id: 7\n\nid: {long}\ndata: a\n\ndata: b\n\n");
    // The decoder cannot keep this ID, so the resume point does not change.
    let expected = [Owned::Id("7".to_owned()), oversized(Some("message"), None, 1), event("message", "b", None, "7")];
    gives(8, &input, &expected, "7");
}

#[test]
fn an_oversized_block_at_the_end_of_the_stream_is_dropped_like_any_other() {
    gives(8, "data: a\n\nid: 1\ndata: 0123456789\n", &[event("message", "a", None, "")], "");
    gives(8, "data: a\n\nid: 1\ndata: 0123456789", &[event("message", "a", None, "")], "");
}

#[test]
fn a_retry_inside_an_oversized_block_counts_at_once() {
    gives(8, "data: 0123456789\nretry: 5\n\n", &[Owned::Retry(5), oversized(Some("message"), None, 10)], "");
}

#[test]
fn a_limit_of_nothing_lets_empty_events_by() {
    gives(
        0,
        "data\n\ndata: x\n\ndata\n\n",
        &[event("message", "", None, ""), oversized(Some("message"), None, 1), event("message", "", None, "")],
        "",
    );
}

#[test]
fn carriage_returns_end_an_oversized_block_too() {
    let expected = [oversized(Some("message"), Some("1"), 10), event("message", "ok", None, "1")];
    gives(8, "id: 1\rdata: 0123456789\r\rdata: ok\r\r", &expected, "1");
    gives(8, "id: 1\r\ndata: 0123456789\r\n\r\ndata: ok\r\n\r\n", &expected, "1");
}

#[test]
fn no_id_is_fatal() {
    let long = "i".repeat(300);
    let huge = "i".repeat(64 * 1024);
    let controls = "\u{1}\u{7f}\t\u{1b}[0m";
    for id in [controls, long.as_str(), "é€😀", "\u{feff}", " leading and trailing ", ":", huge.as_str(), "a,b;c=\"d\""]
    {
        // The first leading space belongs to the field, not to the ID.
        let input = format!("id: {id}\ndata: x\n\ndata: y\n\n");
        let expected = [event("message", "x", Some(id), id), event("message", "y", None, id)];
        let outcome = run(Decoder::new(), whole(&Bytes::from(input)));
        assert_eq!(outcome.frames, expected);
        assert_eq!(outcome.last_event_id, id);
        let resumed = run(Decoder::new().last_event_id(id), whole(&Bytes::from_static(b"data: z\n\n")));
        assert_eq!(resumed.frames, [event("message", "z", None, id)]);
    }
}

#[test]
fn only_an_id_with_nul_is_ignored() {
    let expected = [event("message", "x", None, "7"), event("message", "y", Some("8"), "8")];
    let input = Bytes::from_static(b"id: a\0b\ndata: x\n\nid: 8\nid: \0\ndata: y\n\n");
    for at in 0..input.len() {
        let outcome = run(Decoder::new().last_event_id("7"), cut_at(&input, at));
        assert_eq!(outcome.frames, expected, "cut at {at}");
    }
}

#[test]
fn an_event_of_the_default_limit_passes_and_a_larger_one_does_not() {
    for (over, passes) in [(0, true), (1, false)] {
        let size = DEFAULT_MAX_EVENT_SIZE + over;
        let input = Bytes::from(format!("data:{}\n\ndata: next\n\n", "x".repeat(size)));
        for chunks in [whole(&input), cut_by(&input, &[16 * 1024])] {
            let frames = run(Decoder::new(), chunks).frames;
            assert_eq!(matches!(frames[0], Owned::Event { .. }), passes, "{size} bytes: {:?}", frames[0]);
            assert_eq!(frames[1..], [event("message", "next", None, "")]);
        }
    }
}
