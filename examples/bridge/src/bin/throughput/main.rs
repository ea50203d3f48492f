//! Measures the bridge beside the engine's own client, which publishes the same events in batches
//! of the same size: `throughput URL [ROUNDS [STREAMS]]`. The engine at the URL must run.
//!
//! Each round measures both, one after the other, so that both have the same machine. Then it
//! measures what an idle stream costs. The bridge is the program beside this one; its processor
//! time and memory are those in `/proc`.

mod direct;
mod program;
mod server;

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::process;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use bridge::jetstream::stream_name;
use bridge::redis_streams::stream_key;
use tokio::time::sleep;

use crate::direct::direct;
use crate::program::Bridge;

/// Events of one measurement, over all streams.
const EVENTS: u64 = 100_000;

/// The defaults. A number of streams divides the number of events.
const ROUNDS: usize = 5;
const STREAMS: u64 = 1000;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = env::args().skip(1);
    let url = args.next().ok_or("usage: throughput URL [ROUNDS [STREAMS]]")?;
    let rounds = args.next().map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let many = args.next().map_or(Ok(STREAMS), |streams| streams.parse())?;
    let server = server::serve()?;
    for streams in [1, many] {
        let (mut ratios, mut rates, mut costs) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let group = format!("measured-{}-{streams}-{round}", process::id());
            let (bridged, cost) = bridged(&url, server, &group, streams).await?;
            let direct = direct(&url, &format!("{group}-direct")).await?;
            println!("{streams} streams, round {round}: {bridged:.0} events/s bridged, {direct:.0} published directly");
            ratios.push(bridged / direct);
            rates.push(bridged);
            costs.push(cost);
        }
        let (rate, ratio, cost) = (median(rates), median(ratios), median(costs));
        println!("{streams} streams, median: {rate:.0} events/s, {ratio:.2} of direct, {cost:.1} us of processor each");
    }
    let (one, all) = (idle(&url, server, 1).await?, idle(&url, server, many).await?);
    println!("an idle stream: {:.1} KiB", (all - one) / (many - 1) as f64);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the bridged events per second, and the processor time per event in microseconds.
async fn bridged(url: &str, server: SocketAddr, group: &str, streams: u64) -> Result<(f64, f64), Failure> {
    let bridge = Bridge::start(url, server, group, streams, EVENTS / streams)?;
    let mut started = Instant::now();
    loop {
        match appended(url, group).await {
            Ok(EVENTS..) => break,
            // What it takes to start does not count.
            Ok(0) | Err(_) => started = Instant::now(),
            Ok(_) => {}
        }
        sleep(Duration::from_millis(5)).await;
    }
    let rate = EVENTS as f64 / started.elapsed().as_secs_f64();
    let cost = bridge.processor_time()?.as_secs_f64() * 1e6 / EVENTS as f64;
    bridge.kill().await?;
    Ok((rate, cost))
}

/// Returns how many entries a group has.
async fn appended(url: &str, group: &str) -> Result<u64, Failure> {
    if url.starts_with("nats") {
        let context = jetstream::new(async_nats::connect(url).await?);
        let info = context.get_stream(stream_name(group)).await?.get_info().await?;
        // The first message begins the term.
        return Ok(info.state.last_sequence.saturating_sub(1));
    }
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut position = redis::cmd("HGET");
    position.arg(stream_key(group, "@state")).arg("position");
    Ok(position.query_async::<Option<u64>>(&mut connection).await?.unwrap_or(0))
}

/// Returns the memory of a bridge in KiB, once it follows this many streams without events.
async fn idle(url: &str, server: SocketAddr, streams: u64) -> Result<f64, Failure> {
    let group = format!("measured-{}-idle-{streams}", process::id());
    let bridge = Bridge::start(url, server, &group, streams, 0)?;
    let (mut memory, mut is_stable) = (0.0, false);
    while !is_stable {
        sleep(Duration::from_secs(2)).await;
        let before = std::mem::replace(&mut memory, bridge.resident_memory()?);
        is_stable = memory == before;
    }
    let before = bridge.processor_time()?;
    sleep(Duration::from_secs(10)).await;
    let used = (bridge.processor_time()? - before).as_secs_f64() * 10.0;
    println!("{streams} idle streams: {memory:.0} KiB, {used:.1} % of a processor");
    bridge.kill().await?;
    Ok(memory)
}
