//! Latency from the server's write to the last of a thousand subscribers, at one event per ten
//! milliseconds.

use crate::args::Args;
use crate::report::{head, percentile, row};

use super::processes::{Measurement, Server};
use super::rounds::{self, Rounds};
use super::{BY_HAND_NOTIFY, OURS, RUNTIMES};

/// How many events a run has, and how many at its start are ignored.
const EVENTS: usize = 250;
const WARM_UP: usize = 50;

const EVERY_MILLISECONDS: usize = 10;

/// Measures each wanted runtime. There is one client by hand only, because an empty channel needs
/// no gate.
pub fn run(args: &Args, server: &Server) {
    let url = server.url(&format!("/latency/{EVENTS}/{EVERY_MILLISECONDS}"));
    let subscribers = args.get("subscribers", 1000);
    let options = [("subscribers", subscribers)];
    for runtime in RUNTIMES.into_iter().filter(|runtime| args.wants("runtime", runtime)) {
        let rounds = Rounds::run(args, &[BY_HAND_NOTIFY, OURS], |contender| {
            Measurement { mode: "last", contender, url: &url, runtime, count: EVENTS, options: &options }.run()
        });
        let percentiles =
            [50.0, 90.0, 99.0].map(|percent| rounds.values(|ran| percentile(&ran.numbers[WARM_UP..], percent) / 1e3));

        let count = rounds::count(args);
        println!(
            "\n### To the last of {subscribers} subscribers, in us, runtime {runtime}, median of {count} rounds\n"
        );
        head(["p50", "p90", "p99"]);
        for client in &rounds.clients {
            row(client, percentiles.iter().map(|values| format!("{:.0}", values.median(client))));
        }
        let ratios = percentiles.iter().filter_map(|values| values.ratio(OURS, BY_HAND_NOTIFY));
        let ratios: Vec<String> = ratios.map(|ratio| format!("{ratio:.2}x")).collect();
        if let [p50, _, p99] = &ratios[..] {
            println!("\nOurs by {BY_HAND_NOTIFY}, round by round: p50 {p50}, p99 {p99}");
        }
    }
}
