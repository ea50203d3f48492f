//! CPU of an event by the capacity of the subscriber's queue, in HTTP chunks of 16 KiB.

use crate::args::Args;

use super::OURS;
use super::body::{Framing, Unit};
use super::by_size::{BySize, per_event};
use super::processes::{Measurement, Server};

const SIZES: [usize; 4] = [16, 64, 256, 1_024];

/// Corpora and runtimes, and how many units take about half a second.
const SERIES: [&str; 4] = ["llm, ct", "llm, mt", "ticks, ct", "ticks, mt"];
const UNITS: [(&str, usize); 2] = [("llm", 60), ("ticks", 10)];

/// Measures our client.
pub fn run(args: &Args, server: &Server) {
    let events = UNITS.map(|(corpus, units)| (corpus, units, units * Unit::render(corpus, Framing::Large).events));
    let case = |series: &str| {
        let case = events.iter().find(|(corpus, ..)| series.starts_with(corpus));
        *case.expect("a corpus of the table")
    };
    // The number of events is the first that the client prints.
    let measured = BySize::measure(args, &SIZES, &SERIES, |capacity, series| {
        let (corpus, units, count) = case(series);
        let url = server.url(&format!("/blast/{corpus}/16k/{units}"));
        let runtime = series.rsplit(' ').next().expect("the runtime comes last");
        let options = [("capacity", capacity)];
        Measurement { mode: "blast", contender: OURS, url: &url, runtime, count, options: &options }.run()
    });
    measured.print(args, "Capacity: CPU us/event", "events", |_, ran| per_event(ran, ran.numbers[0] as usize));
}
