//! Latency from the server's write to the subscriber, at one event per millisecond.

use crate::args::Args;
use crate::report::{at_most, head, percentile, row};

use super::processes::{Measurement, Server};
use super::rounds::{self, Rounds};
use super::{CONTENDERS, HYPER, OURS, RUNTIMES};

/// The bar for p50 and p99, in parts of the bare drain's.
const BAR: f64 = 1.3;

/// How many events a run has, and how many at its start are ignored.
const EVENTS: usize = 1000;
const WARM_UP: usize = 200;

/// Measures each wanted runtime, and prints the median over the rounds of each round's percentile.
///
/// One round on a busy machine would move a pooled p99, but not this.
pub fn run(args: &Args, server: &Server) {
    let url = server.url(&format!("/latency/{EVENTS}/1"));
    for runtime in RUNTIMES.into_iter().filter(|runtime| args.wants("runtime", runtime)) {
        let rounds = Rounds::run(args, &CONTENDERS, |contender| {
            Measurement { mode: "latency", contender, url: &url, runtime, count: EVENTS, options: &[] }.run()
        });
        let percentiles =
            [50.0, 90.0, 99.0].map(|percent| rounds.values(|ran| percentile(&ran.numbers[WARM_UP..], percent) / 1e3));
        let [p50, _, p99] = &percentiles;

        let count = rounds::count(args);
        println!("\n### Latency in us, runtime {runtime}, median of {count} rounds\n");
        head(["p50", "p90", "p99", "p99 of each round"]);
        for client in &rounds.clients {
            let medians = percentiles.iter().map(|values| format!("{:.1}", values.median(client)));
            let each = p99.of(client).unwrap_or_default().iter().map(|value| format!("{value:.0}"));
            row(client, medians.chain([each.collect::<Vec<_>>().join(" ")]));
        }
        if rounds.clients.contains(&OURS) && rounds.clients.contains(&HYPER) {
            let [p50, p99] = [p50, p99].map(|values| at_most(values.median(OURS) / values.median(HYPER), BAR));
            println!("\nOurs by {HYPER}: p50 {p50}, p99 {p99}");
        }
    }
}
