//! The cost of hostile and long streams, counted by the allocator: memory is bounded by the limit,
//! work is linear, and an event is one allocation.

// A global allocator cannot be written without unsafe code. This one only counts, and passes each
// call on.
#![allow(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use sseclient::wire::{Decoder, EventFrame, Frame};

/// Counts what the current thread allocates, so that parallel tests do not count each other.
struct Counting;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    live: isize,
    peak: isize,
    /// All bytes that were allocated. A reallocation counts with its whole new size.
    total: usize,
    calls: usize,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { live: 0, peak: 0, total: 0, calls: 0 }) };
}

fn count(allocated: usize, freed: usize) {
    // A thread that is ending counts nothing.
    let _ = COUNT.try_with(|cell| {
        let mut count = cell.get();
        count.live += allocated as isize - freed as isize;
        count.peak = count.peak.max(count.live);
        count.total += allocated;
        count.calls += usize::from(allocated > 0);
        cell.set(count);
    });
}

// SAFETY: each call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size, layout.size());
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns what `work` allocates. `peak` is relative to the start.
fn measure(work: impl FnOnce()) -> Count {
    let before = COUNT.get();
    COUNT.set(Count { peak: before.live, ..before });
    work();
    let after = COUNT.get();
    Count {
        live: after.live - before.live,
        peak: after.peak - before.live,
        total: after.total - before.total,
        calls: after.calls - before.calls,
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The bytes that a decoder may hold besides its limit.
const CONSTANT: usize = 16 * KIB;

/// The bytes of buffers that a decoder may keep after a large event.
const RETAINED: usize = 512 * KIB;

/// A chunk of repeated bytes, which is cheap to clone.
fn endless(pattern: &[u8], size: usize) -> Bytes {
    shared(pattern.repeat(size.div_ceil(pattern.len())).into())
}

/// Clones once, because the first clone of some `Bytes` allocates, and the decoder must not be
/// charged for it.
fn shared(bytes: Bytes) -> Bytes {
    drop(bytes.clone());
    bytes
}

/// Pushes `start`, then `size` bytes of `filler`, and drops every frame.
fn pour(mut decoder: Decoder, start: &'static [u8], filler: &Bytes, size: usize) {
    let fillers = std::iter::repeat_n(filler, size / filler.len());
    for chunk in std::iter::once(&Bytes::from_static(start)).chain(fillers) {
        decoder.push(chunk.clone());
        while decoder.next_frame().is_some() {}
    }
    decoder.finish();
}

/// Panics with all failures, not only the first.
#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Streams without a blank line: how they start, and the bytes that follow without end.
const ENDLESS: &[(&str, &[u8], &[u8])] = &[
    ("a data line", b"data: ", b"x"),
    ("a data line of broken text", b"data: ", b"\xff"),
    ("a data line of cut characters", b"data: ", b"\xe2\x82"),
    ("a data line of three-byte characters", b"data: ", "€".as_bytes()),
    ("data lines", b"", b"data: 0123456789\n"),
    ("empty data lines", b"", b"data\n"),
    ("data lines with CR LF", b"id: 7\r\n", b"data: 0123456789\r\n"),
    ("a comment", b":", b"x"),
    ("a comment of broken text", b":", b"\xff"),
    ("comments", b"", b": keep-alive\n"),
    ("an id", b"id: ", b"1"),
    ("ids", b"", b"id: 0123456789\n"),
    ("a type", b"event: ", b"t"),
    ("types", b"", b"event: update\n"),
    ("a reconnection time", b"retry: ", b"9"),
    ("an unknown field", b"unknown: ", b"x"),
    ("a name", b"", b"n"),
    ("data after a type", b"event: update\nid: 7\ndata: ", b"x"),
    ("a comment inside a block", b"event: update\ndata: x\n:", b"x"),
];

#[test]
fn an_endless_block_holds_no_more_than_the_limit() {
    let mut wrong = Vec::new();
    for &(what, start, pattern) in ENDLESS {
        let filler = endless(pattern, 16 * KIB);
        // One of the streams is long enough to show any leak. The others are short, since debug
        // builds are slow.
        let size = if start == b"data: " && pattern == b"x" { 64 * MIB } else { 2 * MIB };
        for limit in [0, 1000, 100 * KIB, MIB] {
            for comments in [true, false] {
                let held = measure(|| {
                    pour(Decoder::new().max_event_size(limit).comments(comments), start, &filler, size);
                });
                if held.peak as usize > limit + CONSTANT {
                    wrong.push(format!("{what} (comments: {comments}): {} bytes at a limit of {limit}", held.peak));
                }
                assert_eq!(held.live, 0, "{what}: a decoder that is gone holds nothing");
            }
        }
    }
    assert_none(&wrong);
}

/// Blocks that fill the limit and end with a blank line. Each part is a field and the share of the
/// limit that its value takes, in percent.
const FULL: &[&[(&str, usize)]] = &[
    &[("data", 99)],
    &[("event", 49), ("data", 49)],
    &[("data", 49), ("event", 49)],
    &[("data", 33), ("data", 33), ("data", 33)],
    &[("event", 80), ("data", 10)],
    &[("event", 99)],
    // The two are over the limit only together.
    &[("data", 90), ("event", 90)],
    &[("event", 90), ("data", 90)],
    // These do not count as part of the block, but they take memory.
    &[("data", 90), ("", 90)],
    &[("event", 45), ("data", 45), ("", 90)],
    &[("unknown", 300), ("data", 90)],
];

/// The chunks of the block, of `size` bytes each.
fn full_block(parts: &[(&str, usize)], limit: usize, size: usize) -> Vec<Bytes> {
    let line = |&(name, percent): &(&str, usize)| format!("{name}:{}\n", "v".repeat(limit * percent / 100));
    let block: String = parts.iter().map(line).chain(["\n".to_owned()]).collect();
    block.as_bytes().chunks(size).map(|chunk| shared(Bytes::copy_from_slice(chunk))).collect()
}

#[test]
fn full_blocks_hold_no_more_than_the_limit_either() {
    let limit = 300 * KIB;
    let mut wrong = Vec::new();
    for &parts in FULL {
        // In pieces, and as one chunk. One chunk belongs to the caller, so the decoder holds only
        // the constant.
        for size in [1000, 16 * KIB, 64 * MIB] {
            let chunks = full_block(parts, limit, size);
            let peak = peak_of_three(&chunks, limit);
            if peak > limit + limit / 2 + CONSTANT {
                wrong.push(format!(
                    "{parts:?} (in % of the limit) in chunks of {size}: {peak} bytes at a limit of {limit}"
                ));
            }
        }
    }
    assert_none(&wrong);
}

/// The peak memory of a decoder for three blocks of the same kind.
fn peak_of_three(block: &[Bytes], limit: usize) -> usize {
    let held = measure(|| {
        let mut decoder = Decoder::new().max_event_size(limit).comments(true);
        for chunk in block.iter().cycle().take(3 * block.len()) {
            decoder.push(chunk.clone());
            while decoder.next_frame().is_some() {}
        }
    });
    held.peak as usize
}

/// Several large buffers may each have spare room, of half the limit in all.
#[test]
fn a_last_event_id_is_held_besides_the_limit_and_once() {
    let limit = 300 * KIB;
    let parts: &[&[(&str, usize)]] = &[&[("id", 99)], &[("id", 49), ("data", 49)], &[("data", 49), ("id", 49)]];
    let mut wrong = Vec::new();
    for &parts in parts {
        let id: usize = parts.iter().filter(|(name, _)| *name == "id").map(|(_, percent)| limit * percent / 100).sum();
        let peak = peak_of_three(&full_block(parts, limit, 1000), limit);
        if peak > limit + limit / 2 + id + CONSTANT {
            wrong.push(format!("{parts:?} (in % of the limit): {peak} bytes at a limit of {limit} and an ID of {id}"));
        }
    }
    assert_none(&wrong);
}

/// The next large event is probably like the last, but it may also come to a stop.
#[test]
fn after_a_large_event_an_eighth_of_the_limit_is_reserved_at_most() {
    let limit = 8 * MIB;
    let mut decoder = Decoder::new().max_event_size(limit);
    let mut push = |chunk: &Bytes| {
        decoder.push(chunk.clone());
        while decoder.next_frame().is_some() {}
    };
    full_block(&[("data", 99)], limit, 16 * KIB).iter().for_each(&mut push);
    // More than a few KiB, which makes it a large one.
    let begun = full_block(&[("data", 1)], limit, 4 * KIB);
    let held = measure(|| begun[..begun.len() - 1].iter().for_each(&mut push));
    let expected = limit / 8 - CONSTANT..=limit / 8 + CONSTANT;
    assert!(expected.contains(&(held.live as usize)), "{} bytes", held.live);
}

/// A decoder becomes small again after a large event, since a program may have thousands of
/// decoders.
#[test]
fn a_large_event_leaves_no_large_buffers_behind() {
    let mut wrong = Vec::new();
    for name in ["data", "event", "id", "", "unknown", "retry"] {
        let block = full_block(&[(name, 50)], 8 * MIB, 16 * KIB);
        let mut kept = 0;
        let held = measure(|| {
            let mut decoder = Decoder::new().comments(true);
            // The last ID is short, so that nothing large needs to stay.
            let small = Bytes::from_static(b"id: 1\ndata: x\n\nid: 2\ndata: y\n\n");
            for chunk in block.iter().chain([&small]) {
                decoder.push(chunk.clone());
                while decoder.next_frame().is_some() {}
            }
            let with = COUNT.get().live;
            drop(decoder);
            kept = with - COUNT.get().live;
        });
        if kept as usize > RETAINED {
            wrong.push(format!("after a {name:?} line of 4 MiB the decoder keeps {kept} bytes"));
        }
        assert_eq!(held.live, 0, "after a large {name:?} line something leaked");
    }
    assert_none(&wrong);
}

/// The bytes that the decoder allocates in all for `input`, with one byte in each chunk.
fn byte_by_byte(start: &[u8], pattern: &[u8], size: usize) -> usize {
    let input = endless(pattern, size);
    let start = Bytes::copy_from_slice(start);
    let end = Bytes::from_static(b"\n\n");
    let work = measure(|| {
        let mut decoder = Decoder::new().comments(true);
        for part in [&start, &input, &end] {
            for at in 0..part.len() {
                decoder.push(part.slice(at..at + 1));
                while decoder.next_frame().is_some() {}
            }
        }
    });
    work.total
}

#[test]
fn a_line_of_megabytes_in_chunks_of_one_byte_is_linear_work() {
    let mut wrong = Vec::new();
    for &(what, start, pattern) in ENDLESS {
        let size = if start == b"data: " && pattern == b"x" { MIB / 2 } else { 32 * KIB };
        let one = byte_by_byte(start, pattern, size);
        let two = byte_by_byte(start, pattern, 2 * size);
        if two * 10 > one * 22 + 10 * CONSTANT {
            wrong.push(format!("{what}: {size} bytes allocate {one}, twice as many {two}"));
        }
        // A buffer that doubles allocates each byte about four times. Invalid text becomes three
        // times as long.
        if two > 14 * 2 * size + CONSTANT {
            wrong.push(format!("{what}: {} bytes allocate {two}", 2 * size));
        }
    }
    assert_none(&wrong);
}

#[test]
fn an_event_is_one_allocation_and_a_skipped_one_is_none() {
    const EVENTS: usize = 1000;
    /// The decoder's own buffers, once.
    const WARM_UP: usize = 16;
    let blocks = [
        "data: x\n\n",
        "event: update\nid: 7\ndata: {\"price\": 1}\n\n",
        "data: one\ndata: two\ndata: three\n\n",
        "event: update\r\nretry: 5\r\ndata: é\r\n\r\n",
        ": keep-alive\n\ndata: x\n\n",
    ];
    for block in blocks {
        for size in [7, 100, 16 * KIB] {
            let stream = endless(block.as_bytes(), block.len() * EVENTS);
            let chunks: Vec<Bytes> =
                (0..stream.len()).step_by(size).map(|at| stream.slice(at..stream.len().min(at + size))).collect();
            for keep in [true, false] {
                let mut kept = Vec::with_capacity(EVENTS);
                let work = measure(|| {
                    let mut decoder = Decoder::new().last_event_id("41");
                    for chunk in &chunks {
                        decoder.push(chunk.clone());
                        while let Some(frame) = decoder.next_frame() {
                            let Frame::Event(event) = frame else { continue };
                            if keep {
                                kept.push(event.to_event());
                            }
                        }
                    }
                });
                let allowed = WARM_UP + if keep { EVENTS } else { 0 };
                assert!(
                    work.calls <= allowed,
                    "{block:?} in chunks of {size}: {} allocations, {allowed} allowed",
                    work.calls
                );
                assert_eq!(kept.len(), if keep { EVENTS } else { 0 });
            }
        }
    }
}

/// Decodes blocks with this many KiB of data each, in characters of several bytes.
fn decode_large(lengths: [usize; 2], size: usize, mut each: impl FnMut(EventFrame<'_>)) {
    let mut decoder = Decoder::new();
    for length in lengths {
        let block = Bytes::from(format!("event: large\ndata: {}\n\n", "€".repeat(length * KIB / "€".len())));
        for at in (0..block.len()).step_by(size) {
            decoder.push(block.slice(at..block.len().min(at + size)));
            while let Some(frame) = decoder.next_frame() {
                let Frame::Event(event) = frame else { continue };
                each(event);
            }
        }
    }
}

/// The buffer had room to grow, and the event may be kept for long.
#[test]
fn a_large_event_holds_at_most_an_eighth_more_than_its_text() {
    let mut wrong = Vec::new();
    for lengths in [[9, 9], [33, 33], [300, 9], [9, 300], [1100, 100]] {
        for size in [1448, 16 * KIB] {
            let mut kept = Vec::with_capacity(2);
            let held = measure(|| decode_large(lengths, size, |event| kept.push(event.to_event())));
            let text = (lengths[0] + lengths[1]) * KIB;
            // Half a KiB for the small allocations.
            if held.live as usize > text + text / 8 + KIB / 2 {
                wrong.push(format!("{lengths:?} KiB in chunks of {size} hold {} bytes", held.live));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn a_large_event_in_pieces_takes_over_the_buffer_it_was_collected_in() {
    for size in [1448, 16 * KIB] {
        let mut events = Vec::with_capacity(4);
        decode_large([20, 64], size, |event| {
            let copied = measure(|| events.extend([event.to_event(), event.to_event()]));
            assert!(copied.total < KIB / 2, "in chunks of {size}: {} bytes", copied.total);
        });
        assert_eq!(events.len(), 4);
        assert!(events.iter().all(|event| event.event_type() == "large" && event.data().ends_with('€')));
    }
}
