//! CPU per event while the server sends as fast as it can.

use crate::args::Args;
use crate::report::{at_most, head, row};

use super::body::{FRAMINGS, Framing, Unit};
use super::processes::{Measurement, Server};
use super::rounds::{self, Rounds, Values};
use super::{
    CONTENDERS, DRAINS, EVENTSOURCE_CLIENT, EVENTSRC, HYPER, OURS, OURS_OVER_REQWEST, REQWEST_DRAINED,
    REQWEST_EVENTSOURCE, RUNTIMES, SAME_TASK_SSE_CORE,
};

/// The bars by the bare drain, on one thread and on two workers. They hold for one HTTP chunk per
/// event only, because with large chunks the drain does almost nothing.
const BAR: [(&str, f64); 2] = [("ct", 0.75), ("mt", 0.9)];
/// The bar by other clients, which have no fan-out.
const BAR_PEERS: f64 = 1.0;
/// The bar by a parser in hyper's task, for chunks of 16 KiB: the cost of the way to a subscriber.
const BAR_SAME_TASK: f64 = 1.4;
/// The bars with reqwest as the transport, for one HTTP chunk per event: by a client without
/// fan-out, and by draining the same chunks.
const BAR_OVER_REQWEST: [(&str, f64); 2] = [(REQWEST_EVENTSOURCE, 0.9), (REQWEST_DRAINED, 1.35)];

/// The corpus, framing and runtime of a table.
struct Case {
    runtime: &'static str,
    corpus: &'static str,
    framing: (&'static str, Framing),
}

/// Measures each wanted runtime, corpus and framing.
pub fn run(args: &Args, server: &Server) {
    for runtime in RUNTIMES {
        for corpus in ["llm", "ticks"] {
            for framing in FRAMINGS {
                let case = Case { runtime, corpus, framing };
                let wanted = [("runtime", runtime), ("corpus", corpus), ("framing", framing.0)];
                if wanted.into_iter().all(|(key, name)| args.wants(key, name)) {
                    case.run(args, server);
                }
            }
        }
    }
}

impl Case {
    fn run(&self, args: &Args, server: &Server) {
        let (runtime, corpus, (framing, how)) = (self.runtime, self.corpus, self.framing);
        let events = self.units() * Unit::render(corpus, how).events;
        let url = server.url(&format!("/blast/{corpus}/{framing}/{}", self.units()));
        let rounds = Rounds::run(args, &CONTENDERS, |contender| {
            Measurement { mode: "blast", contender, url: &url, runtime, count: events, options: &[] }.run()
        });
        check_bytes(&rounds);

        let cpu = rounds.values(|ran| ran.cpu.as_secs_f64() * 1e6 / events as f64);
        let rate = rounds.values(|ran| events as f64 / ran.numbers[2] * 1e6);
        let count = rounds::count(args);
        println!("\n### Blast: {corpus}, framing {framing}, {runtime}, {events} events, median of {count} rounds\n");
        head(["CPU us/event", "k events/s", "CPU, x hyper-spawned"]);
        for client in &rounds.clients {
            let by_hyper = cpu.ratio(client, HYPER).unwrap_or(f64::NAN);
            let (cpu, rate) = (cpu.median(client), rate.median(client));
            row(client, [format!("{cpu:.3}"), format!("{rate:.0}"), format!("{by_hyper:.2}x")]);
        }
        self.print_verdict(&cpu);
    }

    /// Returns how many units take about half a second.
    fn units(&self) -> usize {
        match (self.corpus, self.framing.1) {
            ("llm", Framing::Event) => 20,
            ("llm", Framing::Large) => 60,
            (_, Framing::Event) => 2,
            (_, Framing::Large) => 10,
        }
    }

    fn print_verdict(&self, cpu: &Values<'_>) {
        let by_drain = BAR.iter().filter(|(runtime, _)| *runtime == self.runtime && self.framing.1 == Framing::Event);
        let by_peers = [EVENTSOURCE_CLIENT, EVENTSRC, REQWEST_EVENTSOURCE].map(|peer| (peer, BAR_PEERS));
        let same_task = (self.framing.1 == Framing::Large).then_some((SAME_TASK_SSE_CORE, BAR_SAME_TASK));
        let bars = by_drain.map(|(_, bar)| (HYPER, *bar)).chain(by_peers).chain(same_task);
        let verdicts: Vec<String> = bars
            .filter_map(|(other, bar)| Some(format!("{} by {other}", at_most(cpu.ratio(OURS, other)?, bar))))
            .collect();
        println!("\nOurs, CPU per event: {}", verdicts.join(", "));
        let over_reqwest = BAR_OVER_REQWEST.iter().filter(|_| self.framing.1 == Framing::Event);
        let verdicts: Vec<String> = over_reqwest
            .filter_map(|(other, bar)| {
                Some(format!("{} by {other}", at_most(cpu.ratio(OURS_OVER_REQWEST, other)?, *bar)))
            })
            .collect();
        println!("Ours over reqwest: {}", verdicts.join(", "));
    }
}

/// Checks that all parsers yielded the same amount of data, not just as many events.
fn check_bytes(rounds: &Rounds) {
    let parsers = rounds.clients.iter().zip(&rounds.ran).filter(|(client, _)| !DRAINS.contains(client));
    let bytes: Vec<f64> = parsers.flat_map(|(_, ran)| ran.iter().map(|ran| ran.numbers[1])).collect();
    assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]), "parsers disagree about the data: {bytes:?}");
}
