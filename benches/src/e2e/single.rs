//! What one more of a thing costs our client: a subscription, a handover.

use crate::args::Args;
use crate::report::{head, row, significant};

use super::OURS;
use super::processes::{Measurement, Server};
use super::rounds::{self, Rounds};

const SUBSCRIPTIONS: usize = 10_000;
const HANDOVERS: usize = 1_000;

/// Measures on one thread.
pub fn run(args: &Args, server: &Server) {
    let url = server.url("/idle");
    let measure = |mode, count, types| {
        let options = [("types", types)];
        Rounds::run(args, &[OURS], |contender| {
            Measurement { mode, contender, url: &url, runtime: "ct", count, options: &options }.run()
        })
    };
    let print = |title: &str, rounds: &Rounds, at: usize, scale: f64| {
        row(title, [significant(rounds.values(|ran| ran.numbers[at] / scale).median(OURS))]);
    };
    let same = measure("subscriptions", SUBSCRIPTIONS, 1);
    let own = measure("subscriptions", SUBSCRIPTIONS, SUBSCRIPTIONS);
    let handovers = measure("handover", HANDOVERS, 0);
    println!("\n### One more of each, runtime ct, median of {} rounds\n", rounds::count(args));
    head(["cost"]);
    print("subscription with a filter that others have, bytes", &same, 0, 1.0);
    print("subscription with a filter of its own, bytes", &own, 0, 1.0);
    print("handover, CPU us", &handovers, 0, 1e3);
    print("handover, us until the server has accepted", &handovers, 1, 1e3);
}
