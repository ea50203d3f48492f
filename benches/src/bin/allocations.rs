//! How much each parser allocates per event. The bar for ours is one allocation. A large event that
//! comes in pieces takes over the buffer in which they were collected: it has three, and in packets
//! four reallocations of up to 8 KiB before the buffer is begun.
//!
//! `allocations [--mib 2] [--contender NAME]…`

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use sseclient_benches::args::Args;
use sseclient_benches::contenders::{self, Contender, Input, Side};
use sseclient_benches::corpora::{self, Corpus, chunks};
use sseclient_benches::report::{head, row};

/// The bar for ours: allocations per event.
const BAR: f64 = 1.0;
/// The bar for ours on `big`, with what remains of the first event's growth.
const BAR_BIG: f64 = 7.1;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static REALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts.
struct Counting;

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        REALLOCATIONS.fetch_add(1, Relaxed);
        BYTES.fetch_add(size.saturating_sub(layout.size()), Relaxed);
        // SAFETY: the caller upholds the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// The allocations of one run.
#[derive(Clone, Copy)]
struct Allocations {
    events: usize,
    calls: usize,
    reallocations: usize,
    bytes: usize,
}

fn main() {
    let args = Args::from_env();
    let size = args.get("mib", 2) << 20;
    let parsers: Vec<&Contender> = contenders::ALL
        .iter()
        .filter(|contender| contender.side != Side::Limit && args.wants("contender", contender.name))
        .collect();

    println!("malloc + realloc calls and bytes asked per event (on heartbeats: in all), once buffers have grown");
    let mut missed = Vec::new();
    for chunk in [1448, 16_384, 65_536] {
        println!("\n### Chunks of {chunk} bytes\n");
        head(corpora::ALL.iter().map(|corpus| corpus.name));
        for parser in &parsers {
            let columns = corpora::ALL.map(|corpus| steady(parser, &corpus.render(size), chunk));
            row(parser.name, columns.iter().map(cell));
            let bar = |corpus: &Corpus| if corpus.name == "big" { BAR_BIG } else { BAR };
            let over = corpora::ALL.iter().zip(columns).filter(|(corpus, counted)| per_event(counted) > bar(corpus));
            if parser.side == Side::Ours {
                missed.extend(over.map(|(corpus, _)| format!("{} in chunks of {chunk}", corpus.name)));
            }
        }
    }
    println!(
        "\nOurs above {BAR} per event ({BAR_BIG} on big): {}",
        if missed.is_empty() { "nowhere, ok".into() } else { missed.join(", ") }
    );
}

/// Counts a run over twice the corpus, less a run over the corpus, so that the growth of buffers
/// cancels out.
fn steady(parser: &Contender, input: &Bytes, chunk: usize) -> Allocations {
    let twice = Bytes::from([&input[..], &input[..]].concat());
    let (short, long) = (count(parser, input, chunk), count(parser, &twice, chunk));
    Allocations {
        events: long.events - short.events,
        calls: long.calls.saturating_sub(short.calls),
        reallocations: long.reallocations.saturating_sub(short.reallocations),
        bytes: long.bytes.saturating_sub(short.bytes),
    }
}

fn count(parser: &Contender, input: &Bytes, chunk: usize) -> Allocations {
    let given = Input { whole: input.clone(), chunks: chunks(input, chunk) };
    let before = [&CALLS, &REALLOCATIONS, &BYTES].map(|counter| counter.load(Relaxed));
    let events = (parser.run)(given);
    let after = [&CALLS, &REALLOCATIONS, &BYTES].map(|counter| counter.load(Relaxed));
    Allocations {
        events,
        calls: after[0] - before[0],
        reallocations: after[1] - before[1],
        bytes: after[2] - before[2],
    }
}

/// Formats with two decimals: one more growth of a buffer is not an allocation per event.
fn per_event(counted: &Allocations) -> f64 {
    let calls = (counted.calls + counted.reallocations) as f64;
    (100.0 * calls / counted.events.max(1) as f64).round() / 100.0
}

fn cell(counted: &Allocations) -> String {
    let events = counted.events.max(1) as f64;
    let [calls, reallocations, bytes] =
        [counted.calls, counted.reallocations, counted.bytes].map(|sum| sum as f64 / events);
    format!("{calls:.2}+{reallocations:.2}, {bytes:.0} B")
}
