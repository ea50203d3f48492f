//! Memory of a thousand connections that are silent, or silent after a burst.

use crate::args::Args;
use crate::report::{at_most, head, row};

use super::processes::{Measurement, Server};
use super::rounds::{Rounds, Values};
use super::{HYPER, OURS};

const CONNECTIONS: usize = 1000;

/// How many events of which size each connection gets before it falls silent.
const BURST: (usize, usize) = (300, 200);

/// The bar for our client.
enum Bar {
    /// In KiB of resident memory per connection.
    Kib(f64),
    /// In parts of the drain's memory.
    ByDrain(f64),
}

/// One table.
struct Case {
    title: &'static str,
    url: String,
    /// How many events each connection's reader takes before the silence.
    events: usize,
    bar: Bar,
}

/// Measures our client and the bare drain, on two workers.
pub fn run(args: &Args, server: &Server) {
    let (events, bytes) = BURST;
    let after_burst = server.url(&format!("/idle/{events}/{bytes}"));
    let cases = [
        Case { title: "Idle", url: server.url("/idle"), events: 0, bar: Bar::Kib(24.0) },
        Case { title: "Idle after a burst", url: after_burst, events, bar: Bar::Kib(24.0) },
        Case { title: "Idle over TLS", url: server.tls_url("/idle"), events: 0, bar: Bar::ByDrain(1.5) },
    ];
    cases.iter().for_each(|case| case.run(args));
}

impl Case {
    fn run(&self, args: &Args) {
        let options = [("events", self.events)];
        let rounds = Rounds::run(args, &[HYPER, OURS], |contender| {
            Measurement {
                mode: "idle",
                contender,
                url: &self.url,
                runtime: "mt",
                count: CONNECTIONS,
                options: &options,
            }
            .run()
        });
        println!("\n### {}: {CONNECTIONS} open connections, a reading task each, runtime mt\n", self.title);
        head(["KiB of resident memory per connection"]);
        let memory = rounds.values(|ran| ran.numbers[0] / 1024.0);
        for client in &rounds.clients {
            row(client, [format!("{:.1}", memory.median(client))]);
        }
        if let Some(verdict) = self.verdict(&memory) {
            println!("\nOurs: {verdict}");
        }
    }

    fn verdict(&self, memory: &Values<'_>) -> Option<String> {
        Some(match self.bar {
            Bar::Kib(bar) => {
                format!("{} of {bar} KiB", at_most(memory.of(OURS).map(|_| memory.median(OURS))? / bar, 1.0))
            }
            Bar::ByDrain(bar) => format!("{} by {HYPER}", at_most(memory.ratio(OURS, HYPER)?, bar)),
        })
    }
}
