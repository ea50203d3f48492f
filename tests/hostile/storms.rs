//! The load on a server of a thousand streams, and of streams that many tasks change at once.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sseclient::{Apply, Client, Decision, Handle, ReconnectPolicy, Resume, StreamBuilder};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use crate::counting;
use crate::support::{Connection, OPEN, RawServer, header, until, within};

const CROWD: usize = 1000;
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/// The crowd's reconnection time.
const BASE: Duration = Duration::from_millis(200);

/// Far longer than a client may take to close a connection, even on a busy machine.
const AT_LAST: Duration = Duration::from_secs(5);

/// Both ends of a thousand connections, and some more.
const DESCRIPTORS: u64 = 2 * CROWD as u64 + 200;

fn allow_descriptors() {
    let limit = rlimit::increase_nofile_limit(DESCRIPTORS).unwrap();
    assert!(limit >= DESCRIPTORS, "this test needs {DESCRIPTORS} descriptors, and the limit is {limit}");
}

/// Handles that send their numbers in a header, from 0.
fn crowd(size: usize, url: &str, policy: &ReconnectPolicy, more: fn(StreamBuilder) -> StreamBuilder) -> Vec<Handle> {
    let client = Client::new();
    let stream = |number| client.stream(url).header("x-handle", number).reconnect_policy(policy.clone());
    (0..size).map(|number| more(stream(number)).build().unwrap()).collect()
}

/// The number of the handle that sent the request.
fn sender(request: &str) -> usize {
    header(request, "x-handle").unwrap().parse().unwrap()
}

/// A server that dies, refuses every client twice, and then answers again.
#[derive(Default)]
struct Mortal {
    died: watch::Sender<Option<Instant>>,
    /// The times of each handle's attempts, since the server died.
    attempts: Mutex<HashMap<usize, Vec<Duration>>>,
    refused_twice: AtomicUsize,
    opened: watch::Sender<usize>,
}

impl Mortal {
    /// Records an attempt. Returns whether the server refuses it.
    fn refuses(&self, sender: usize) -> bool {
        let Some(died) = *self.died.borrow() else { return false };
        let mut attempts = self.attempts.lock().unwrap();
        let attempts = attempts.entry(sender).or_default();
        attempts.push(died.elapsed());
        let is_dead = self.refused_twice.load(SeqCst) < CROWD;
        self.refused_twice.fetch_add(usize::from(is_dead && attempts.len() == 2), SeqCst);
        is_dead
    }

    async fn serve(self: Arc<Self>, is_refused: bool, mut connection: Connection) {
        if is_refused {
            connection.send(UNAVAILABLE).await;
            return;
        }
        let mut died = self.died.subscribe();
        let is_back = died.borrow_and_update().is_some();
        connection.send(&format!("{OPEN}data: x\n\n")).await;
        self.opened.send_modify(|opened| *opened += 1);
        tokio::select! {
            () = connection.closed() => {}
            _ = died.changed(), if !is_back => {}
        }
    }

    async fn has_opened(&self, responses: usize) {
        within(self.opened.subscribe().wait_for(|opened| *opened == responses)).await.unwrap();
    }

    /// The times of the attempts in this round.
    fn arrivals(&self, round: usize) -> Vec<Duration> {
        self.attempts.lock().unwrap().values().filter_map(|attempts| attempts.get(round).copied()).collect()
    }
}

/// The decisions of the policies: the number of retries, and the wait.
type Decisions = Arc<Mutex<Vec<(u32, Duration)>>>;

/// The default policy with a short reconnection time. It records its decisions.
fn noting(decisions: &Decisions) -> ReconnectPolicy {
    let decisions = Arc::clone(decisions);
    ReconnectPolicy::daemon().reconnection_time(BASE).decide_with(move |failure| {
        let Decision::RetryAfter(delay) = failure.suggestion() else { return Decision::Stop };
        decisions.lock().unwrap().push((failure.retries(), delay));
        failure.suggestion()
    })
}

/// The number of times in each tenth of a window.
fn histogram(what: &str, times: &[Duration], start: Duration, length: Duration) -> [usize; 10] {
    let mut tenths = [0; 10];
    for time in times {
        let part = time.saturating_sub(start).as_secs_f64() / length.as_secs_f64();
        tenths[((part * 10.0) as usize).min(9)] += 1;
    }
    println!("{} {what}, in {} ms from {} ms on:", times.len(), length.as_millis(), start.as_millis());
    for (tenth, count) in tenths.iter().enumerate() {
        let from = start + length * tenth as u32 / 10;
        println!("{:>6} ms {count:>4} {}", from.as_millis(), "#".repeat(count / 4));
    }
    tenths
}

#[test]
fn a_thousand_streams_spread_their_attempts_after_their_server_dies() {
    counting::alone(async {
        allow_descriptors();
        let (mortal, decisions) = (Arc::<Mortal>::default(), Decisions::default());
        let shared = Arc::clone(&mortal);
        let server = RawServer::start_unrecorded(move |_, connection| {
            Arc::clone(&shared).serve(shared.refuses(sender(&connection.request)), connection)
        })
        .await;
        let handles = crowd(CROWD, &server.url, &noting(&decisions), |stream| stream);
        handles.iter().for_each(Handle::connect);
        mortal.has_opened(CROWD).await;
        // Failures while the crowd connected do not count.
        decisions.lock().unwrap().clear();
        mortal.died.send_replace(Some(Instant::now()));
        mortal.has_opened(2 * CROWD).await;
        let mut earliest = Duration::ZERO;
        for round in 0..2 {
            let base = BASE * 2_u32.pow(round);
            let decided = |(retries, delay): &(u32, Duration)| (*retries == round).then_some(*delay);
            let delays: Vec<_> = decisions.lock().unwrap().iter().filter_map(decided).collect();
            assert_eq!(delays.len(), CROWD, "each decides once a round");
            let tenths = histogram("decided to wait", &delays, base, base / 2);
            // Seven standard deviations below the expected number, and ten above.
            assert!(tenths.iter().all(|count| (CROWD * 3 / 100..=CROWD / 5).contains(count)), "{tenths:?}");
            // A slow machine may delay an attempt, but none may come early.
            let arrivals = mortal.arrivals(round as usize);
            let (start, latest) = (earliest + base, *arrivals.iter().max().unwrap());
            histogram("came after the end", &arrivals, start, latest.saturating_sub(start));
            assert!(arrivals.iter().all(|arrival| *arrival >= start), "no attempt comes early");
            earliest = start;
        }
    });
}

/// A server that answers a handle only after the client has closed its previous connection.
#[derive(Default)]
struct Turnstile {
    /// One receiver per handle, which resolves when its last connection is closed.
    last: Mutex<HashMap<usize, oneshot::Receiver<()>>>,
    requests: AtomicUsize,
    waiting: AtomicUsize,
    /// The requests that came while the previous connection was open.
    beside: AtomicUsize,
}

impl Turnstile {
    /// Called in the order of the connections.
    fn enter(&self, sender: usize) -> (oneshot::Sender<()>, Option<oneshot::Receiver<()>>) {
        let (leaving, left) = oneshot::channel();
        self.requests.fetch_add(1, SeqCst);
        self.waiting.fetch_add(1, SeqCst);
        (leaving, self.last.lock().unwrap().insert(sender, left))
    }

    /// The client closes the previous connection before it sends this request. A client that kept
    /// it open would wait for ever here, so after the first failure the others do not wait.
    async fn pass(&self, before: Option<oneshot::Receiver<()>>) {
        if let Some(before) = before.filter(|_| self.beside.load(SeqCst) == 0) {
            self.beside.fetch_add(usize::from(timeout(AT_LAST, before).await.is_err()), SeqCst);
        }
        self.waiting.fetch_sub(1, SeqCst);
    }
}

/// Answers in one of four ways, and then waits until the client closes.
async fn answer(number: usize, mut connection: Connection) {
    let event = format!("{OPEN}id: 1\ndata: x\n\n");
    connection.send([&event, UNAVAILABLE, OPEN, ""][number % 4]).await;
    if matches!(number % 4, 1 | 2) {
        // The server closes its end. The client must close its own.
        let _ = connection.io.shutdown().await;
    }
    connection.closed().await;
}

async fn turnstile() -> (RawServer, Arc<Turnstile>) {
    let turnstile = Arc::<Turnstile>::default();
    let shared = Arc::clone(&turnstile);
    let server = RawServer::start_unrecorded(move |number, connection| {
        let turnstile = Arc::clone(&shared);
        let (leaving, before) = turnstile.enter(sender(&connection.request));
        async move {
            turnstile.pass(before).await;
            answer(number, connection).await;
            drop(leaving);
        }
    })
    .await;
    (server, turnstile)
}

/// Changes the stream a hundred times, and sometimes waits until it is open first.
async fn pester(handle: Handle, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..100 {
        match random.u32(..5) {
            0 => handle.reconnect(),
            1 => handle.set_header("x-noise", number).unwrap(),
            2 => drop(handle.update(|request| request.header("x-noise", number), Apply::Reconnect)),
            3 => handle.reconnect_from(Resume::Id("1".into())).unwrap(),
            _ => handle.reconnect_from(Resume::Fresh).unwrap(),
        }
        if random.bool() {
            within(handle.opened()).await.unwrap();
        }
        yield_now().await;
    }
}

#[test]
fn a_handle_never_makes_two_attempts_at_once() {
    counting::alone_on_two_workers(async {
        let (server, turnstile) = turnstile().await;
        let policy = ReconnectPolicy::daemon().reconnection_time(Duration::ZERO);
        let handles = crowd(8, &server.url, &policy, |stream| stream.response_timeout(Duration::from_millis(100)));
        handles.iter().for_each(Handle::connect);
        let tasks = (0..32).map(|seed| tokio::spawn(pester(handles[seed % 8].clone(), seed as u64)));
        for task in tasks.collect::<Vec<_>>() {
            within(task).await.unwrap();
        }
        // A connection that is still open now will stay open.
        until("all connections have passed", || turnstile.waiting.load(SeqCst) == 0).await;
        let (requests, beside) = (turnstile.requests.load(SeqCst), turnstile.beside.load(SeqCst));
        println!("{requests} requests of 8 handles, {beside} beside the one before");
        assert_eq!(beside, 0);
        assert!(requests > 100, "{requests} requests are no storm");
    });
}

#[test]
fn a_thousand_silent_streams_with_idle_timeouts_cause_no_wakeups() {
    counting::alone(async {
        allow_descriptors();
        let server = RawServer::start_unrecorded(|_, mut connection| async move {
            connection.send(OPEN).await;
            connection.closed().await;
        })
        .await;
        let hour = |stream: StreamBuilder| stream.idle_timeout(Duration::from_secs(3600));
        let handles = crowd(CROWD, &server.url, &ReconnectPolicy::daemon(), hour);
        for handle in &handles {
            handle.connect();
            within(handle.opened()).await.unwrap();
        }
        let runtime = tokio::runtime::Handle::current().metrics();
        let before = runtime.worker_park_count(0);
        // The only deliberate wait: the test shows that nothing happens, and that takes time. The
        // runtime, with the server in it, parks after each wake-up.
        sleep(Duration::from_secs(2)).await;
        let woken = runtime.worker_park_count(0) - before;
        println!("{CROWD} open streams were woken {woken} times in 2 s");
        assert!(woken < 20, "{woken} times");
        assert!(handles.iter().all(|handle| handle.state().is_open()));
    });
}
