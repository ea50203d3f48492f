//! The cost of one stream and of one event, by the number of open streams. The events come one by
//! one, so each wakes a connection task and a subscriber.

use crate::args::Args;

use super::by_size::BySize;
use super::processes::{Measurement, Server};
use super::{OURS, RUNTIMES};

const SIZES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// One each hundred microseconds, to the next stream in turn.
const EVENTS: usize = 10_000;
const EVERY_MICROSECONDS: usize = 100;

/// Measures our client. Each run has a server of its own, which would otherwise write to streams
/// that have gone.
pub fn run(args: &Args) {
    let options = [("events", EVENTS), ("every", EVERY_MICROSECONDS)];
    let measured = BySize::measure(args, &SIZES, &RUNTIMES, |streams, runtime| {
        let server = Server::start();
        let url = server.url("/soak");
        Measurement { mode: "soak", contender: OURS, url: &url, runtime, count: streams, options: &options }.run()
    });
    measured.print(args, "Streams: KiB of resident memory per stream", "streams", |_, ran| ran.numbers[1] / 1024.0);
    measured.print(args, "Streams: CPU us/event, one by one", "streams", |_, ran| ran.numbers[2] / EVENTS as f64);
}
