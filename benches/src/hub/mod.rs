//! One publisher, many subscribers, nothing lost: deliveries per second on two workers.

mod gated;
mod ours;

use std::time::{Duration, Instant};

use sseclient::Event;
use tokio::runtime::{Builder, Runtime};

use crate::args::Args;
use crate::report;

/// How many events a subscriber may be behind.
const CAPACITY: usize = 256;
const SUBSCRIBERS: [usize; 4] = [1, 10, 100, 1_000];
/// How many events are published together.
const BATCHES: [usize; 3] = [1, 16, 64];
const CONTENDERS: [&str; 3] = ["sseclient", "tokio, acknowledged", "tokio, by its length"];

/// Runs every contender in every cell in turn, and prints the table.
pub fn run(args: &Args) {
    let rounds: usize = args.get("rounds", 7);
    let deliveries: usize = args.get("deliveries", 2_000_000);
    report::head(["batch", CONTENDERS[0], CONTENDERS[1], CONTENDERS[2], "by the better"]);
    for subscribers in SUBSCRIBERS.into_iter().filter(|number| args.wants("subscribers", &number.to_string())) {
        for batch in BATCHES.into_iter().filter(|number| args.wants("batch", &number.to_string())) {
            cell(subscribers, batch, rounds, deliveries);
        }
    }
}

fn cell(subscribers: usize, batch: usize, rounds: usize, deliveries: usize) {
    let events = events((deliveries / subscribers).div_ceil(batch) * batch);
    let mut rates = [const { Vec::new() }; CONTENDERS.len()];
    let mut ratios = Vec::new();
    // The first round only warms up.
    for round in 0..=rounds {
        let mut round_rates = [0.0; CONTENDERS.len()];
        for turn in 0..CONTENDERS.len() {
            let contender = (round + turn) % CONTENDERS.len();
            let took = measure(contender, subscribers, batch, &events);
            round_rates[contender] = (events.len() * subscribers) as f64 / took.as_secs_f64() / 1e6;
        }
        if round > 0 {
            rates.iter_mut().zip(round_rates).for_each(|(rates, rate)| rates.push(rate));
            ratios.push(round_rates[0] / round_rates[1].max(round_rates[2]));
        }
    }
    let medians = rates.map(|rates| format!("{:.2} M/s", report::median(&rates)));
    let bar = if batch >= 16 { 1.5 } else { 1.0 };
    let verdict = report::at_least(report::median(&ratios), bar);
    report::row(&format!("{subscribers} subscribers"), [batch.to_string()].into_iter().chain(medians).chain([verdict]));
}

/// Returns distinct events, made before any clock runs.
fn events(number: usize) -> Vec<Event> {
    let event = |number: usize| Event::builder().data(number.to_string()).build().expect("a valid event");
    (0..number).map(event).collect()
}

fn measure(contender: usize, subscribers: usize, batch: usize, events: &[Event]) -> Duration {
    let runtime = runtime();
    let events: std::sync::Arc<[Event]> = events.into();
    let begun = Instant::now();
    let seen: usize = runtime.block_on(async {
        match contender {
            0 => ours::run(subscribers, batch, events.clone()).await,
            1 => gated::run::<gated::Acknowledged>(subscribers, batch, events.clone()).await,
            _ => gated::run::<gated::Length>(subscribers, batch, events.clone()).await,
        }
    });
    let took = begun.elapsed();
    assert_eq!(seen, events.len() * subscribers, "{}: nothing is lost", CONTENDERS[contender]);
    took
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("two threads")
}
