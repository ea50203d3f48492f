//! CPU of an event by the number of subscriptions, each to an event type of its own.

use crate::args::Args;
use crate::report::at_most;

use super::by_size::{BySize, per_event};
use super::processes::{Measurement, Server};
use super::{OURS, RUNTIMES};

const SIZES: [usize; 4] = [1, 10, 100, 1_000];

const EVENTS: usize = 500_000;

/// Which types the events have: those of all subscriptions in turn, that of one, or that of none.
const SERIES: [&str; 3] = [IN_TURN, OF_ONE, OF_NONE];
const IN_TURN: &str = "each in turn";
const OF_ONE: &str = "all to one";
const OF_NONE: &str = "none wanted";

/// The bar for 1,000 subscriptions by one, for events that wake no other task each.
const BAR: f64 = 1.3;

/// Measures each wanted runtime.
pub fn run(args: &Args, server: &Server) {
    for runtime in RUNTIMES.into_iter().filter(|runtime| args.wants("runtime", runtime)) {
        let measured = BySize::measure(args, &SIZES, &SERIES, |subscribers, series| {
            let types = if series == IN_TURN { subscribers } else { 1 };
            let url = server.url(&format!("/typed/{types}/{EVENTS}"));
            let first_type = usize::from(series == OF_NONE);
            let options = [("subscribers", subscribers), ("first-type", first_type)];
            Measurement { mode: "types", contender: OURS, url: &url, runtime, count: EVENTS, options: &options }.run()
        });
        let cost = |ran: &_| per_event(ran, EVENTS);
        measured.print(args, format!("Types: CPU us/event, {runtime}"), "subscriptions", |_, ran| cost(ran));
        let of_one = |size| Some(measured.at(size, cost)?.median(OF_ONE));
        if let (Some(one), Some(thousand)) = (of_one(1), of_one(1_000)) {
            println!("\n1,000 subscriptions by one, {OF_ONE}: {}", at_most(thousand / one, BAR));
        }
    }
}
