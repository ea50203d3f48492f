//! Measures the bridge beside the engine's own client, which publishes the same events in batches
//! of the same size: `throughput URL [ROUNDS [STREAMS]]`. The engine at the URL must run.
//!
//! Each round measures both, one after the other, so that both have the same machine. Then it
//! measures what an idle stream costs. The bridge is the program beside this one; its processor
//! time and memory are those in `/proc`.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::{self, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, context::ContextBuilder};
use bridge::entry::{DATA, ID, TYPE};
use bridge::jetstream::{stream_name, subject};
use bridge::redis_streams::stream_key;
use bridge::sources::BATCH;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// Events of one measurement, over all streams.
const EVENTS: u64 = 100_000;

/// The defaults. A number of streams divides the number of events.
const ROUNDS: usize = 5;
const STREAMS: u64 = 1000;
const EVENT_TYPE: &str = "price";

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = env::args().skip(1);
    let url = args.next().ok_or("usage: throughput URL [ROUNDS [STREAMS]]")?;
    let rounds = args.next().map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let many = args.next().map_or(Ok(STREAMS), |streams| streams.parse())?;
    let server = serve()?;
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

fn data(number: u64) -> String {
    format!("{{\"symbol\":\"SSE\",\"price\":{number:08},\"note\":\"{}\"}}", "x".repeat(64))
}

/// Serves on a thread of its own: `/100` has 100 events and then stays open.
fn serve() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (socket, _) = listener.accept().await?;
                // Ends with an error when the bridge goes.
                tokio::spawn(send_events(socket));
            }
            #[expect(unreachable_code, reason = "gives the block its type")]
            io::Result::Ok(())
        })
    });
    Ok(address)
}

async fn send_events(mut socket: TcpStream) -> io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(socket.read_u8().await?.into());
    }
    let count = head.split(['/', ' ']).find_map(|part| part.parse().ok()).unwrap_or(0);
    let line = |number| format!("event: {EVENT_TYPE}\nid: {number}\ndata: {}\n\n", data(number));
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await?;
    for first in (1..=count).step_by(BATCH) {
        let events: String = (first..=count.min(first + BATCH as u64 - 1)).map(line).collect();
        socket.write_all(events.as_bytes()).await?;
    }
    socket.read_u8().await.map(drop)
}

/// Starts the bridge over streams with this many events each.
fn start(url: &str, server: SocketAddr, group: &str, streams: u64, events: u64) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?.with_file_name("bridge"));
    command.args(["--to", url, "--group", group]);
    for stream in 0..streams {
        command.arg("--stream").arg(format!("s{stream}=http://{server}/{events}"));
    }
    command.stderr(Stdio::null()).kill_on_drop(true).spawn()
}

/// Returns the bridged events per second, and the processor time per event in microseconds.
async fn bridged(url: &str, server: SocketAddr, group: &str, streams: u64) -> Result<(f64, f64), Failure> {
    let mut bridge = start(url, server, group, streams, EVENTS / streams)?;
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
    let cost = processor_time(&bridge)?.as_secs_f64() * 1e6 / EVENTS as f64;
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

/// Publishes the events by the engine's client alone. Returns events per second.
async fn direct(url: &str, group: &str) -> Result<f64, Failure> {
    let batches = (1..=EVENTS).step_by(BATCH).map(|first| first..=EVENTS.min(first + BATCH as u64 - 1));
    let started;
    if url.starts_with("nats") {
        let client = async_nats::connect(url).await?;
        let context = ContextBuilder::new().max_ack_inflight(2 * BATCH).build(client);
        let (name, subjects) = (stream_name(group), vec![subject(group, "*")]);
        context.create_stream(jetstream::stream::Config { name, subjects, ..Default::default() }).await?;
        started = Instant::now();
        for batch in batches {
            let mut sent = Vec::with_capacity(BATCH);
            for number in batch {
                let mut headers = HeaderMap::new();
                headers.insert(TYPE.nats, EVENT_TYPE);
                headers.insert(ID.nats, number.to_string());
                let message = PublishMessage::build().payload(data(number).into()).headers(headers);
                let message = message.message_id(number.to_string());
                sent.push(context.send_publish(subject(group, "s0"), message).await?);
            }
            for acknowledgement in sent {
                acknowledgement.await?;
            }
        }
    } else {
        let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        connection.set_response_timeout(Duration::from_secs(5));
        let key = stream_key(group, "s0");
        started = Instant::now();
        for batch in batches {
            let mut pipeline = redis::pipe();
            // A transaction, as the bridge's script is one.
            pipeline.atomic();
            for number in batch {
                pipeline.cmd("XADD").arg(&key).arg("MAXLEN").arg("~").arg(1_000_000).arg("*");
                pipeline.arg(TYPE.redis).arg(EVENT_TYPE).arg(ID.redis).arg(number).arg(DATA).arg(data(number)).ignore();
            }
            let _: () = pipeline.query_async(&mut connection).await?;
        }
    }
    Ok(EVENTS as f64 / started.elapsed().as_secs_f64())
}

/// Returns the memory of a bridge in KiB, once it follows this many streams without events.
async fn idle(url: &str, server: SocketAddr, streams: u64) -> Result<f64, Failure> {
    let group = format!("measured-{}-idle-{streams}", process::id());
    let mut bridge = start(url, server, &group, streams, 0)?;
    let (mut memory, mut is_stable) = (0.0, false);
    while !is_stable {
        sleep(Duration::from_secs(2)).await;
        let before = std::mem::replace(&mut memory, resident_memory(&bridge)?);
        is_stable = memory == before;
    }
    let before = processor_time(&bridge)?;
    sleep(Duration::from_secs(10)).await;
    let used = (processor_time(&bridge)? - before).as_secs_f64() * 10.0;
    println!("{streams} idle streams: {memory:.0} KiB, {used:.1} % of a processor");
    bridge.kill().await?;
    Ok(memory)
}

fn processor_time(child: &Child) -> Result<Duration, Failure> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id().ok_or("the bridge has ended")?))?;
    // The name before these fields may have spaces. Then come user and system time (proc(5)).
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    let ticks: u32 = fields.filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

fn resident_memory(child: &Child) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id().ok_or("the bridge has ended")?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
