//! Many clients on one relay: nothing is lost for those that read, and what each client and each
//! event costs.
//!
//! By default 200 clients, for CI. `README.md` has the command and the figures of 1,000. Variables of
//! the environment set the numbers of `CLIENTS` and of `EVENTS`, how many come in a `BURST`, the time
//! between two bursts (`PAUSE_MS`), and what the relay does for slow clients (`OVERFLOW`).

mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sseclient::Event;
use sseclient::testing::{Script, Server};
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use support::{Relay, sends};

/// How long the whole run may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The data of an event.
const DATA: usize = 100;

#[tokio::test]
async fn no_client_that_reads_loses_an_event() {
    let (clients, events) = (setting("CLIENTS", 200), setting("EVENTS", 1000));
    let overflow = std::env::var("OVERFLOW").unwrap_or_else(|_| "drop-oldest".to_owned());
    let _ = rlimit::increase_nofile_limit(clients + 100);
    // The events begin when all clients are there: with the second connection of the relay, which
    // resumes after the event of the first.
    let upstream = Server::start([sends([0]), script(events)]).await;
    let relay = Relay::start(&[upstream.url(), "--retain", "1", "--overflow", &overflow]);
    let before = Usage::of(&relay);
    let received = Arc::new(AtomicU64::new(0));
    let mut all = JoinSet::new();
    for _ in 0..clients {
        all.spawn(read(relay.address().to_owned(), events, Arc::clone(&received)));
    }
    relay.wait_for("/metrics", &format!("sse_relay_clients {clients}\n")).await;
    let connected = Usage::of(&relay);

    let start = Instant::now();
    let reconnect = reqwest::Client::new().post(format!("{}/reconnect", relay.url)).header("x-relay", "reconnect");
    assert_eq!(reconnect.send().await.unwrap().status(), 202);
    let ids = timeout(LIMIT, all.join_all()).await;
    let ids = ids.unwrap_or_else(|_| panic!("only {} events came", received.load(Ordering::Relaxed)));
    let took = start.elapsed();
    let after = Usage::of(&relay);
    assert!(ids.iter().all(|last| *last == events));
    assert_eq!(received.load(Ordering::Relaxed), clients * events);
    let deliveries = (clients * events) as f64;
    println!("{clients} clients, {events} events each, in {:.1} s", took.as_secs_f64());
    println!("{:.0} deliveries/s", deliveries / took.as_secs_f64());
    println!("{:.1} µs of CPU per delivery", (after.cpu - connected.cpu).as_secs_f64() * 1e6 / deliveries);
    println!(
        "{} KiB alone; {:.1} KiB more per client that waits, {:.1} KiB at the end",
        before.resident,
        connected.growth(&before) / clients as f64,
        after.growth(&before) / clients as f64
    );
    upstream.finish().await;
}

/// Returns a number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Returns what the server sends: bursts, with pauses between them.
fn script(events: u64) -> Script {
    let (burst, pause) = (setting("BURST", 10), Duration::from_millis(setting("PAUSE_MS", 100)));
    (1..=events).fold(Script::open(), |script, id| {
        let script = script.event(Event::builder().id(id.to_string()).data("x".repeat(DATA)));
        if id % burst == 0 { script.stall(pause) } else { script }
    })
}

/// Reads all events as a client does that must not cost much itself, and returns the last ID.
/// Panics if one is missing.
async fn read(address: String, events: u64, received: Arc<AtomicU64>) -> u64 {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(b"GET /events HTTP/1.1\r\nhost: relay\r\n\r\n").await.unwrap();
    let (mut text, mut last) = (Vec::new(), 0);
    while last < events {
        assert_ne!(tcp.read_buf(&mut text).await.unwrap(), 0, "the relay has hung up after {last}");
        // An event may be cut by the end of what has come.
        while let Some(end) = text.windows(2).position(|end| end == b"\n\n") {
            let block = String::from_utf8(text.drain(..end + 2).collect()).unwrap();
            let id = block.lines().find_map(|line| line.strip_prefix("id: "));
            let Some(id) = id else {
                assert!(!block.contains("relay-gap"), "{block}");
                continue;
            };
            if id == "0" {
                continue;
            }
            assert_eq!(id.parse(), Ok(last + 1), "an event is missing");
            last += 1;
            received.fetch_add(1, Ordering::Relaxed);
        }
    }
    last
}

/// What a process has used.
struct Usage {
    cpu: Duration,
    /// KiB in memory.
    resident: u64,
}

impl Usage {
    #[cfg(target_os = "linux")]
    fn of(relay: &Relay) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", relay.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident = resident.trim().trim_end_matches(" kB").parse().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", relay.id())).unwrap();
        // The 14th and 15th field, in hundredths of a second; the name before may have spaces.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Self { cpu: Duration::from_millis(ticks * 10), resident }
    }

    #[cfg(not(target_os = "linux"))]
    fn of(_relay: &Relay) -> Self {
        Self { cpu: Duration::ZERO, resident: 0 }
    }

    fn growth(&self, before: &Self) -> f64 {
        self.resident.saturating_sub(before.resident) as f64
    }
}
