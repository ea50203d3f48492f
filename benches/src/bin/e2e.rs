//! End-to-end benchmarks over loopback: all clients in turn, in several rounds, against a bare
//! hyper drain.
//!
//! ```text
//! e2e [blast|fanout|latency|last|idle|sizes|types|capacity|streams|single]
//!     [--rounds 7] [--contender NAME]… [--runtime ct|mt]… [--corpus llm|ticks]…
//!     [--framing event|16k]… [--subscribers N]… [--capacity N]
//! ```
//!
//! Without a mode, it runs all of these.
//!
//! `e2e soak [--streams 10000] [--seconds 300]` measures only our client, once.

use sseclient_benches::args::Args;
use sseclient_benches::e2e::processes::Server;
use sseclient_benches::e2e::{blast, capacity, fanout, idle, last, latency, single, sizes, soak, streams, types};

fn main() {
    let args = Args::from_env();
    let server = Server::start();
    match args.mode() {
        Some("blast") => blast::run(&args, &server),
        Some("fanout") => fanout::run(&args, &server),
        Some("latency") => latency::run(&args, &server),
        Some("last") => last::run(&args, &server),
        Some("idle") => idle::run(&args, &server),
        Some("sizes") => sizes::run(&args, &server),
        Some("types") => types::run(&args, &server),
        Some("capacity") => capacity::run(&args, &server),
        Some("streams") => streams::run(&args),
        Some("single") => single::run(&args, &server),
        Some("soak") => soak::run(&args, &server),
        Some(other) => panic!("no such mode: {other}"),
        None => {
            blast::run(&args, &server);
            fanout::run(&args, &server);
            latency::run(&args, &server);
            last::run(&args, &server);
            idle::run(&args, &server);
            sizes::run(&args, &server);
            types::run(&args, &server);
            capacity::run(&args, &server);
            streams::run(&args);
            single::run(&args, &server);
        }
    }
}
