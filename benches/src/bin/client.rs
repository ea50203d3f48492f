//! One measurement of one client, in a process of its own. `e2e` starts it and reads its output.
//!
//! - `client blast --count N [--capacity C]`: prints the items seen, their bytes, and the nanoseconds it took;
//! - `client latency --count N`: prints each event's nanoseconds from the server's write to here;
//! - `client fanout --count N --subscribers S`: prints the bytes that each subscriber has seen, and
//!   the nanoseconds it took;
//! - `client last --count N --subscribers S`: prints each event's nanoseconds from the server's
//!   write to the last subscriber;
//! - `client idle --count N --events E`: prints the bytes of resident memory per connection, once E
//!   events have come on each;
//! - `client soak --count N --events E --every MICROSECONDS`: prints the bytes of resident memory
//!   per stream, before and after that many events over all of them, the microseconds of CPU
//!   meanwhile, and the events sent and received.
//!
//! - `client types --count N --subscribers S --first-type T`: subscribes to S types from T on, and
//!   prints how many of N events their subscribers have seen: all or none;
//! - `client subscriptions --count N --types T`: prints the bytes of resident memory per
//!   subscription to one of T types;
//! - `client handover --count N`: prints the nanoseconds of CPU and of time that a handover takes.
//!
//! All take `--contender NAME --url URL --runtime ct|mt`.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sseclient::{Client, Subscription};
use sseclient_benches::args::Args;
use sseclient_benches::e2e::clients::fanout::fan_out;
use sseclient_benches::e2e::clients::soak::{Streams, drive};
use sseclient_benches::e2e::clients::subscriber::Subscriber;
use sseclient_benches::e2e::clients::types::count_events;
use sseclient_benches::e2e::clients::{consume, hand_over, open_idle};
use sseclient_benches::e2e::{CAPACITY, DRAINS, HYPER, OURS};
use sseclient_benches::measure::{monotonic, process_cpu, raise_open_files, resident};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

fn main() {
    let args = Args::from_env();
    let mut runtime = match args.get("runtime", String::from("ct")).as_str() {
        "ct" => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let contender = args.get("contender", HYPER.to_owned());
    let url = args.get("url", String::new());
    let option = |key: &str| args.get(key, 0);
    let count = option("count");
    match args.mode() {
        Some("blast") => blast(&runtime, contender, url, count, args.get("capacity", CAPACITY)),
        Some("latency") => latency(&runtime, contender, url, count),
        Some("fanout") => fanout(&runtime, contender, url, count, option("subscribers")),
        Some("last") => last(&runtime, contender, url, count, option("subscribers")),
        Some("idle") => idle(&runtime, &contender, &url, args.get("count", 0), option("events")),
        Some("types") => types(&runtime, url, count, option("subscribers"), option("first-type")),
        Some("subscriptions") => subscriptions(&url, count, option("types")),
        Some("handover") => handover(&runtime, url, count),
        Some("soak") => soaked(&runtime, &url, count, option("events"), option("every")),
        other => panic!("no such mode: {other:?}"),
    }
}

/// Measures a blast. A drain counts HTTP chunks to the end of the body; all other clients must see
/// `expected` events.
fn blast(runtime: &Runtime, contender: String, url: String, expected: usize, capacity: usize) {
    let start = Instant::now();
    let drains = DRAINS.contains(&&*contender);
    let (items, bytes) = run_as_task(runtime, async move {
        let (mut items, mut bytes) = (0, 0);
        let mut sink = |data: &[u8]| {
            items += 1;
            bytes += data.len();
            if items == expected && !drains { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        consume(&contender, &url, capacity, &mut sink).await;
        (items, bytes)
    });
    let took = start.elapsed();
    assert!(drains || items == expected, "{items} events of {expected}");
    println!("{items} {bytes} {}", took.as_nanos());
}

fn latency(runtime: &Runtime, contender: String, url: String, expected: usize) {
    let delays = run_as_task(runtime, async move {
        let mut delays = Vec::with_capacity(expected);
        let mut sink = |data: &[u8]| {
            let sent = Duration::from_nanos(digits(data));
            delays.push(monotonic().saturating_sub(sent));
            if delays.len() == expected { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        consume(&contender, &url, CAPACITY, &mut sink).await;
        delays
    });
    assert_eq!(delays.len(), expected);
    for delay in delays {
        println!("{}", delay.as_nanos());
    }
}

/// Returns the number in `data: 123` or in `123`.
fn digits(data: &[u8]) -> u64 {
    data.iter().filter(|byte| byte.is_ascii_digit()).fold(0, |sum, byte| 10 * sum + u64::from(byte - b'0'))
}

struct Counter {
    events: usize,
    bytes: usize,
    expected: usize,
}

impl Subscriber for Counter {
    fn see(&mut self, data: &[u8]) -> ControlFlow<()> {
        self.events += 1;
        self.bytes += data.len();
        if self.events == self.expected { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Measures a fan-out. Each subscriber must see `expected` events, and the same bytes.
fn fanout(runtime: &Runtime, contender: String, url: String, expected: usize, subscribers: usize) {
    let start = Instant::now();
    let counters = (0..subscribers).map(|_| Counter { events: 0, bytes: 0, expected }).collect();
    let counters = run_as_task(runtime, async move { fan_out(&contender, &url, counters).await });
    let took = start.elapsed();
    let bytes = counters[0].bytes;
    for counter in counters {
        assert_eq!((counter.events, counter.bytes), (expected, bytes), "events and bytes of one subscriber");
    }
    println!("{bytes} {}", took.as_nanos());
}

/// How many subscribers have not seen an event yet, and how long it took to the last of them.
struct Pending {
    subscribers: AtomicUsize,
    delay: OnceLock<Duration>,
}

struct Watcher {
    seen: usize,
    events: Arc<Vec<Pending>>,
}

impl Subscriber for Watcher {
    fn see(&mut self, data: &[u8]) -> ControlFlow<()> {
        let event = &self.events[self.seen];
        self.seen += 1;
        if event.subscribers.fetch_sub(1, Ordering::Relaxed) == 1 {
            let sent = Duration::from_nanos(digits(data));
            event.delay.set(monotonic().saturating_sub(sent)).expect("there is one last");
        }
        if self.seen == self.events.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn last(runtime: &Runtime, contender: String, url: String, expected: usize, subscribers: usize) {
    let pending = |_| Pending { subscribers: AtomicUsize::new(subscribers), delay: OnceLock::new() };
    let events: Arc<Vec<Pending>> = Arc::new((0..expected).map(pending).collect());
    let watchers = (0..subscribers).map(|_| Watcher { seen: 0, events: Arc::clone(&events) }).collect();
    run_as_task(runtime, async move { fan_out(&contender, &url, watchers).await });
    for event in events.iter() {
        println!("{}", event.delay.get().expect("no subscriber missed one").as_nanos());
    }
}

fn idle(runtime: &Runtime, contender: &str, url: &str, connections: u32, events: usize) {
    raise_open_files();
    runtime.block_on(async {
        // Loads the code and the tables that are made once before the measurement.
        open_idle(contender, url, 10, events).await;
        let before = resident();
        open_idle(contender, url, connections, events).await;
        // A reader of the last event may still hold it.
        sleep(Duration::from_millis(500)).await;
        println!("{}", resident().saturating_sub(before) / connections as usize);
    });
}

fn types(runtime: &Runtime, url: String, expected: usize, subscribers: usize, first: usize) {
    let seen = run_as_task(runtime, async move { count_events(&url, first, subscribers).await });
    assert!(seen == expected || seen == 0, "{seen} events of {expected}");
    println!("{seen}");
}

fn subscriptions(url: &str, count: usize, types: usize) {
    let handle = Client::new().stream(url).build().expect("the URL from e2e");
    let subscribe = |number: usize| handle.subscribe(format!("type.{}", number % types));
    let _first: Vec<Subscription> = (0..10).map(subscribe).collect();
    let mut all = Vec::with_capacity(count);
    let before = resident();
    all.extend((0..count).map(subscribe));
    println!("{}", resident().saturating_sub(before) / all.len());
}

fn handover(runtime: &Runtime, url: String, count: usize) {
    let (cpu, start) = (process_cpu(), Instant::now());
    run_as_task(runtime, async move { hand_over(&url, count).await });
    let each = |took: Duration| took.as_nanos() / count as u128;
    println!("{} {}", each(process_cpu() - cpu), each(start.elapsed()));
}

fn soaked(runtime: &Runtime, url: &str, streams: usize, events: usize, every: usize) {
    raise_open_files();
    runtime.block_on(async {
        // Loads the code and the tables that are made once before the measurement.
        open_idle(OURS, &url.replace("/soak", "/idle"), 10, 0).await;
        let before = resident();
        let opened = Streams::open(url, streams).await;
        let per_stream = || resident().saturating_sub(before) / streams;
        let (at_start, cpu) = (per_stream(), process_cpu());
        let sent = drive(url, events, every).await;
        // The last events may still be on their way.
        sleep(Duration::from_secs(1)).await;
        let cpu = (process_cpu() - cpu).as_micros();
        println!("{at_start} {} {cpu} {sent} {}", per_stream(), opened.received());
    });
}

/// Runs `work` as a task, not under `block_on`, because that is where the readers of an application
/// run.
fn run_as_task<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(runtime.spawn(work)).expect("no panic")
}
