//! A thousand connections on which nothing happens: memory.

use crate::args::Args;
use crate::report::{head, row};

use super::processes::{Measurement, Server};
use super::rounds::Rounds;
use super::{HYPER, OURS};

const CONNECTIONS: usize = 1000;

/// KiB of resident memory per connection.
const BAR: f64 = 30.0;

/// Ours, and the bare drain; on two workers.
pub fn run(args: &Args, server: &Server) {
    let url = server.url("/idle");
    let rounds = Rounds::run(args, &[HYPER, OURS], |contender| {
        Measurement { mode: "idle", contender, url: &url, runtime: "mt", count: CONNECTIONS }.run()
    });
    println!("\n### Idle: {CONNECTIONS} open connections, a reading task each, runtime mt\n");
    head(["KiB of resident memory per connection"]);
    let memory = rounds.values(|ran| ran.numbers[0] / 1024.0);
    for client in &rounds.clients {
        let kib = memory.median(client);
        let verdict = match *client {
            OURS if kib <= BAR => " ok".to_owned(),
            OURS => format!(" **MISSED** ({BAR})"),
            _ => String::new(),
        };
        row(client, [format!("{kib:.1}{verdict}")]);
    }
}
