//! End to end over loopback: every client in turn, several rounds, against a bare hyper drain.
//!
//! `e2e [blast|latency|idle] [--rounds 7] [--contender NAME]… [--runtime ct|mt]… [--corpus llm|ticks]…
//! [--framing event|16k]…`; without a mode, all three.

use sseclient_benches::args::Args;
use sseclient_benches::e2e::body::{FRAMINGS, Framing, Unit};
use sseclient_benches::e2e::processes::{Ran, Server, run_client};
use sseclient_benches::e2e::{
    CONTENDERS, EVENTSOURCE_CLIENT, HYPER, OURS, REQWEST_EVENTSOURCE, RUNTIMES,
};
use sseclient_benches::report::{at_most, head, median, percentile, row};

/// CPU per event by that of the bare drain, on one thread and on two workers.
const BAR_CPU: [(&str, f64); 2] = [("ct", 1.0), ("mt", 1.1)];
/// CPU per event by that of clients that have no fan-out.
const BAR_PEERS: f64 = 1.0;
/// p50 and p99 by those of the bare drain.
const BAR_LATENCY: f64 = 1.3;
/// Resident memory of an idle connection.
const BAR_IDLE_KIB: f64 = 30.0;

/// How long a latency run is, and how much of its start is not looked at.
const LATENCY_EVENTS: usize = 1000;
const LATENCY_WARM_UP: usize = 200;

fn main() {
    let args = Args::from_env();
    let server = Server::start();
    let does = |mode| args.mode().is_none_or(|asked| asked == mode);
    if does("blast") {
        blast(&args, &server);
    }
    if does("latency") {
        latency(&args, &server);
    }
    if does("idle") {
        idle(&args, &server);
    }
}

/// Runs each client once per round, a different one first each time; the first round only warms up.
/// A row per client, a column per round.
fn interleave(rounds: usize, clients: &[&'static str], run: impl Fn(&str) -> Ran) -> Vec<Vec<Ran>> {
    let mut ran: Vec<Vec<Ran>> = clients.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for turn in 0..clients.len() {
            let at = (turn + round) % clients.len();
            let result = run(clients[at]);
            if round > 0 {
                ran[at].push(result);
            }
        }
    }
    ran
}

fn wanted(args: &Args, clients: &[&'static str]) -> Vec<&'static str> {
    clients
        .iter()
        .copied()
        .filter(|client| args.wants("contender", client))
        .collect()
}

fn blast(args: &Args, server: &Server) {
    for runtime in RUNTIMES
        .into_iter()
        .filter(|runtime| args.wants("runtime", runtime))
    {
        for corpus in ["llm", "ticks"]
            .into_iter()
            .filter(|corpus| args.wants("corpus", corpus))
        {
            for (name, framing) in FRAMINGS
                .into_iter()
                .filter(|(name, _)| args.wants("framing", name))
            {
                blast_one(args, server, runtime, corpus, (name, framing));
            }
        }
    }
}

fn blast_one(
    args: &Args,
    server: &Server,
    runtime: &str,
    corpus: &str,
    (name, framing): (&str, Framing),
) {
    let units = match (corpus, framing) {
        ("llm", Framing::Event) => 20,
        ("llm", Framing::Large) => 60,
        (_, Framing::Event) => 2,
        (_, Framing::Large) => 10,
    };
    let events = units * Unit::render(corpus, framing).events;
    let url = server.url(&format!("/blast/{corpus}/{name}/{units}"));
    let clients = wanted(args, &CONTENDERS);
    let rounds = args.get("rounds", 7);
    let ran = interleave(rounds, &clients, |client| {
        let count = events.to_string();
        run_client(&[
            "blast",
            "--contender",
            client,
            "--url",
            &url,
            "--runtime",
            runtime,
            "--events",
            &count,
        ])
    });
    check_bytes(&clients, &ran);

    println!(
        "\n### Blast: {corpus}, framing {name}, runtime {runtime}, {events} events, median of {rounds} rounds\n"
    );
    head([
        "CPU us/event",
        "k events/s",
        "CPU, x hyper-spawned (of each round)",
    ]);
    let cpu: Vec<Vec<f64>> = ran.iter().map(|ran| per_event(ran, events)).collect();
    for (client, (ran, cpu_of_client)) in clients.iter().zip(ran.iter().zip(&cpu)) {
        let rates: Vec<f64> = ran
            .iter()
            .map(|ran| events as f64 / ran.numbers[2] * 1e6)
            .collect();
        let by_hyper = paired(&clients, &cpu, client, HYPER).unwrap_or(f64::NAN);
        row(
            client,
            [
                format!("{:.3}", median(cpu_of_client)),
                format!("{:.0}", median(&rates)),
                format!("{by_hyper:.2}x"),
            ],
        );
    }
    let bar = BAR_CPU
        .iter()
        .find(|(of, _)| *of == runtime)
        .map_or(f64::NAN, |(_, bar)| *bar);
    let bars = [
        (HYPER, bar),
        (EVENTSOURCE_CLIENT, BAR_PEERS),
        (REQWEST_EVENTSOURCE, BAR_PEERS),
    ];
    let verdicts: Vec<String> = bars
        .into_iter()
        .filter_map(|(other, bar)| Some((other, bar, paired(&clients, &cpu, OURS, other)?)))
        .map(|(other, bar, ratio)| format!("{} by {other}", at_most(ratio, bar)))
        .collect();
    let barred = if framing == Framing::Event {
        ""
    } else {
        " (for information: the bars are for one chunk per event)"
    };
    println!("\nOurs, CPU per event{barred}: {}", verdicts.join(", "));
}

/// CPU microseconds per event, round by round.
fn per_event(ran: &[Ran], events: usize) -> Vec<f64> {
    ran.iter()
        .map(|ran| ran.cpu.as_secs_f64() * 1e6 / events as f64)
        .collect()
}

/// Median over the rounds of one client's value by another's in the same round.
fn paired(clients: &[&str], values: &[Vec<f64>], one: &str, other: &str) -> Option<f64> {
    let of = |name: &str| {
        clients
            .iter()
            .position(|client| *client == name)
            .map(|at| &values[at])
    };
    let ratios: Vec<f64> = of(one)?
        .iter()
        .zip(of(other)?)
        .map(|(one, other)| one / other)
        .collect();
    Some(median(&ratios))
}

/// All parsers must have handed out the same amount of data, not just as many events.
fn check_bytes(clients: &[&str], ran: &[Vec<Ran>]) {
    let parsers = clients
        .iter()
        .zip(ran)
        .filter(|(client, _)| !client.starts_with("hyper"));
    let bytes: Vec<f64> = parsers
        .flat_map(|(_, ran)| ran.iter().map(|ran| ran.numbers[1]))
        .collect();
    assert!(
        bytes.windows(2).all(|pair| pair[0] == pair[1]),
        "parsers disagree about the data: {bytes:?}"
    );
}

fn latency(args: &Args, server: &Server) {
    let url = server.url(&format!("/latency/{LATENCY_EVENTS}"));
    let clients = wanted(args, &CONTENDERS);
    let rounds = args.get("rounds", 7);
    for runtime in RUNTIMES
        .into_iter()
        .filter(|runtime| args.wants("runtime", runtime))
    {
        let ran = interleave(rounds, &clients, |client| {
            let count = LATENCY_EVENTS.to_string();
            run_client(&[
                "latency",
                "--contender",
                client,
                "--url",
                &url,
                "--runtime",
                runtime,
                "--events",
                &count,
            ])
        });
        let delays: Vec<Vec<f64>> = ran
            .iter()
            .map(|ran| {
                ran.iter()
                    .flat_map(|ran| &ran.numbers[LATENCY_WARM_UP..])
                    .map(|nanos| nanos / 1e3)
                    .collect()
            })
            .collect();

        println!(
            "\n### Latency, server's write to subscriber, one event per ms, runtime {runtime}, {rounds} rounds, us\n"
        );
        head(["p50", "p90", "p99", "p99.9", "p50 of each round"]);
        for ((client, delays), ran) in clients.iter().zip(&delays).zip(&ran) {
            let cells = [50.0, 90.0, 99.0, 99.9]
                .map(|percent| format!("{:.1}", percentile(delays, percent)));
            let rounds = ran
                .iter()
                .map(|ran| format!("{:.0}", median(&ran.numbers[LATENCY_WARM_UP..]) / 1e3));
            row(
                client,
                cells
                    .into_iter()
                    .chain([rounds.collect::<Vec<_>>().join(" ")]),
            );
        }
        let of = |name| {
            clients
                .iter()
                .position(|client| *client == name)
                .map(|at| &delays[at])
        };
        if let (Some(ours), Some(hyper)) = (of(OURS), of(HYPER)) {
            let [p50, p99] = [50.0, 99.0].map(|percent| {
                at_most(
                    percentile(ours, percent) / percentile(hyper, percent),
                    BAR_LATENCY,
                )
            });
            println!("\nOurs by {HYPER}: p50 {p50}, p99 {p99}");
        }
    }
}

fn idle(args: &Args, server: &Server) {
    let url = server.url("/idle");
    let clients = wanted(args, &[HYPER, OURS]);
    let ran = interleave(3, &clients, |client| {
        run_client(&[
            "idle",
            "--contender",
            client,
            "--url",
            &url,
            "--runtime",
            "mt",
            "--connections",
            "1000",
        ])
    });
    println!(
        "\n### Idle: 1,000 open connections, a reading task each, runtime mt, median of 3 rounds\n"
    );
    head(["KiB of resident memory per connection"]);
    for (client, ran) in clients.iter().zip(&ran) {
        let kib = median(
            &ran.iter()
                .map(|ran| ran.numbers[0] / 1024.0)
                .collect::<Vec<_>>(),
        );
        let verdict = match *client {
            OURS if kib <= BAR_IDLE_KIB => " ok".to_owned(),
            OURS => format!(" **MISSED** ({BAR_IDLE_KIB})"),
            _ => String::new(),
        };
        row(client, [format!("{kib:.1}{verdict}")]);
    }
}
