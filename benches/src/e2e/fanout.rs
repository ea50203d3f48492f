//! As much as the server can send, to many subscribers, each of which receives everything:
//! deliveries per second.

use crate::args::Args;
use crate::report::{at_least, head, row};

use super::processes::{Measurement, Server};
use super::rounds::{self, Rounds, Values};
use super::{BY_HAND, BY_HAND_NOTIFY, BY_HAND_YIELD, OURS, RUNTIMES};

const CONTENDERS: [&str; 3] = [BY_HAND_YIELD, BY_HAND_NOTIFY, OURS];

/// The bar by the better client by hand, and the numbers of subscribers for which it holds.
const BAR: f64 = 1.5;
const BAR_UP_TO: usize = 10;

/// Numbers of subscribers, each with the number of events of `llm` and of `ticks` that take about
/// half a second.
const SIZES: [(usize, usize, usize); 4] =
    [(1, 1_000_000, 1_500_000), (10, 500_000, 500_000), (100, 100_000, 100_000), (1000, 10_000, 10_000)];

/// The runtime and corpus of two tables.
struct Case {
    runtime: &'static str,
    corpus: &'static str,
}

/// A row of both tables.
struct Measured {
    subscribers: usize,
    deliveries: f64,
    rounds: Rounds,
}

/// Measures each wanted runtime and corpus.
pub fn run(args: &Args, server: &Server) {
    for runtime in RUNTIMES.into_iter().filter(|name| args.wants("runtime", name)) {
        for corpus in ["llm", "ticks"].into_iter().filter(|name| args.wants("corpus", name)) {
            Case { runtime, corpus }.run(args, server);
        }
    }
}

impl Case {
    fn run(&self, args: &Args, server: &Server) {
        let sizes = SIZES.into_iter().filter(|(subscribers, ..)| args.wants("subscribers", &subscribers.to_string()));
        let measured: Vec<Measured> = sizes.map(|size| self.measure(args, server, size)).collect();
        let (corpus, runtime, count) = (self.corpus, self.runtime, rounds::count(args));
        for second in ["CPU", "wall"] {
            println!(
                "\n### Fan-out: million deliveries per {second} second, {corpus}, {runtime}, median of {count} rounds\n"
            );
            head(CONTENDERS.into_iter().chain(["ours by the better by hand"]));
            measured.iter().for_each(|line| line.print(second));
        }
    }

    fn measure(&self, args: &Args, server: &Server, (subscribers, llm, ticks): (usize, usize, usize)) -> Measured {
        let count = if self.corpus == "llm" { llm } else { ticks };
        let url = server.url(&format!("/events/{}/{count}", self.corpus));
        let options = [("subscribers", subscribers)];
        let rounds = Rounds::run(args, &CONTENDERS, |contender| {
            Measurement { mode: "fanout", contender, url: &url, runtime: self.runtime, count, options: &options }.run()
        });
        check_bytes(&rounds);
        Measured { subscribers, deliveries: (subscribers * count) as f64, rounds }
    }
}

impl Measured {
    fn print(&self, second: &str) {
        let rates = self.rounds.values(|ran| {
            let seconds = if second == "CPU" { ran.cpu.as_secs_f64() } else { ran.numbers[1] / 1e9 };
            self.deliveries / seconds / 1e6
        });
        let medians = CONTENDERS.map(|client| format!("{:.2}", rates.median(client)));
        row(&format!("{} subscribers", self.subscribers), medians.into_iter().chain([self.verdict(&rates)]));
    }

    fn verdict(&self, rates: &Values<'_>) -> String {
        match rates.ratio_to_most(OURS, &BY_HAND) {
            Some(ratio) if self.subscribers <= BAR_UP_TO => at_least(ratio, BAR),
            Some(ratio) => format!("{ratio:.2}x"),
            None => String::new(),
        }
    }
}

/// Checks that all subscribers of all contenders saw the same amount of data, not just as many
/// events.
fn check_bytes(rounds: &Rounds) {
    let bytes: Vec<f64> = rounds.ran.iter().flatten().map(|ran| ran.numbers[0]).collect();
    assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]), "contenders disagree about the data: {bytes:?}");
}
