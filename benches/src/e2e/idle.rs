//! A thousand connections on which nothing happens: memory.

use crate::args::Args;
use crate::report::{head, row};

use super::processes::{Measurement, Server};
use super::rounds::Rounds;
use super::{HYPER, OURS};

const CONNECTIONS: usize = 1000;

/// KiB of resident memory per connection.
const BAR: f64 = 30.0;

/// By the drain's, over TLS.
const TLS_BAR: f64 = 1.5;

/// Ours, and the bare drain; on two workers.
pub fn run(args: &Args, server: &Server) {
    in_clear(args, &server.url("/idle"));
    over_tls(args, &server.tls_url("/idle"));
}

fn in_clear(args: &Args, url: &str) {
    let rounds = Rounds::run(args, &[HYPER, OURS], |contender| {
        Measurement { mode: "idle", contender, url, runtime: "mt", count: CONNECTIONS, options: &[] }.run()
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

fn over_tls(args: &Args, url: &str) {
    let rounds = Rounds::run(args, &[HYPER, OURS], |contender| {
        Measurement { mode: "idle", contender, url, runtime: "mt", count: CONNECTIONS, options: &[] }.run()
    });
    println!("\n### Idle over TLS: {CONNECTIONS} open connections, a reading task each, runtime mt\n");
    head(["KiB of resident memory per connection"]);
    let memory = rounds.values(|ran| ran.numbers[0] / 1024.0);
    for client in &rounds.clients {
        row(client, [format!("{:.1}", memory.median(client))]);
    }
    if let Some(ratio) = memory.ratio(OURS, HYPER) {
        let verdict = if ratio <= TLS_BAR { "ok".to_owned() } else { format!("**MISSED** ({TLS_BAR}x)") };
        println!("\nOurs by {HYPER}: {ratio:.2}x {verdict}");
    }
}
