//! CPU by the size of events, each in an HTTP chunk of its own, as fast as the server can send.

use crate::args::Args;

use super::by_size::{BySize, per_event};
use super::processes::{Measurement, Server};
use super::{CAPACITY, HYPER_SAME_TASK, OURS, RUNTIMES, SAME_TASK_SSE_CORE};

const CONTENDERS: [&str; 3] = [HYPER_SAME_TASK, SAME_TASK_SSE_CORE, OURS];

const SIZES: [usize; 5] = [16, 256, 4 << 10, 64 << 10, 1 << 20];

/// Measures each wanted runtime, with the wanted capacity of our subscriber's queue.
pub fn run(args: &Args, server: &Server) {
    let options = [("capacity", args.get("capacity", CAPACITY))];
    for runtime in RUNTIMES.into_iter().filter(|runtime| args.wants("runtime", runtime)) {
        let measured = BySize::measure(args, &SIZES, &CONTENDERS, |size, contender| {
            let count = events(size);
            let url = server.url(&format!("/sized/{size}/{count}"));
            Measurement { mode: "blast", contender, url: &url, runtime, count, options: &options }.run()
        });
        let cost = |size, ran: &_| per_event(ran, events(size));
        measured.print(args, format!("Sizes: CPU us/event, {runtime}"), "bytes", cost);
        let by_byte = |size, ran: &_| 1e3 * cost(size, ran) / size as f64;
        measured.print(args, format!("Sizes: CPU ns/byte, {runtime}"), "bytes", by_byte);
    }
}

/// Returns how many events make 128 MiB, or half a million if those are less.
fn events(size: usize) -> usize {
    ((128 << 20) / size).min(500_000)
}
