//! Ten thousand open streams in one process for some minutes, with a hundred events per second in
//! all.

use crate::args::Args;
use crate::report::{head, row};

use super::OURS;
use super::processes::{Measurement, Server};

const EVENTS_PER_SECOND: usize = 100;

/// Measures our client once, on two workers.
///
/// # Panics
///
/// Panics if an event is lost, repeated, or out of order.
pub fn run(args: &Args, server: &Server) {
    let (streams, seconds) = (args.get("streams", 10_000), args.get("seconds", 300));
    let options = [("events", seconds * EVENTS_PER_SECOND), ("every", 1_000_000 / EVENTS_PER_SECOND)];
    let url = server.url("/soak");
    let ran =
        Measurement { mode: "soak", contender: OURS, url: &url, runtime: "mt", count: streams, options: &options };
    let ran = ran.run();
    let [start, end, cpu, sent, received] = ran.numbers[..] else { panic!("the client prints {:?}", ran.numbers) };

    println!(
        "\n### Soak: {streams} open streams, {EVENTS_PER_SECOND} events/s over all of them, {seconds} s, runtime mt\n"
    );
    head(["in all"]);
    row("KiB of resident memory per stream, once open", [format!("{:.1}", start / 1024.0)]);
    row("the same at the end", [format!("{:.1}", end / 1024.0)]);
    row("CPU seconds per second", [format!("{:.4}", cpu / 1e6 / seconds as f64)]);
    row("events sent", [sent]);
    row("events received, in order, each once", [received]);
    assert!(sent == received, "{received} of {sent} arrived");
}
