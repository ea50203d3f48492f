//! Restless clients: they ask for second responses, go back, and acknowledge into a store. The
//! server fails in every way, and may repeat events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use fastrand::Rng;
use socket2::SockRef;
use sseclient::{
    Apply, CloseReason, Commit, Decision, Delivery, Event, Filter, Gap, Handle, ReconnectPolicy, Resume, ResumeStore,
    StreamBuilder, SubscribeOptions, Subscription,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::{SILENCE, SOON};
use super::fault::{Ending, Fault, Span};
use super::nature::Nature;
use super::server::{Goal, closed};
use crate::support::{client, header, within};

/// How many bytes the server writes at once: about one event, so that a response takes a while.
const PIECE: usize = 100;

/// How many deliveries a failure message shows.
const TOLD: usize = 60;

/// How often it yields between two writes.
const YIELDS: usize = 8;

/// What a client does besides asking for second responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Nothing else.
    None,
    /// Drops repeats.
    DropRepeats,
    /// Acknowledges into a store, and goes back to its last acknowledged event.
    GoBack,
}

impl Habit {
    /// How many numbers a server may repeat to this client. The client knows the one whose ID it
    /// sent without any memory.
    fn most_repeats(self) -> u64 {
        match self {
            Self::None | Self::GoBack => 1,
            Self::DropRepeats => 4,
        }
    }
}

/// How often each event of interest occurred.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) events: u64,
    pub(crate) replaced: u64,
    pub(crate) repeats: u64,
    pub(crate) went_back: u64,
    pub(crate) saved: u64,
}

impl Add for Sums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            replaced: self.replaced + other.replaced,
            repeats: self.repeats + other.repeats,
            went_back: self.went_back + other.went_back,
            saved: self.saved + other.saved,
        }
    }
}

/// A server for one client, which may have several connections at once.
struct Server {
    seed: u64,
    /// How many numbers it may repeat.
    most_repeats: u64,
    deal: Mutex<Deal>,
}

struct Deal {
    random: Rng,
    deck: Vec<Fault>,
    goal: Goal,
    /// The last number that was ever sent completely.
    complete: u64,
}

impl Server {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            tokio::spawn(Arc::clone(&self).answer(tcp));
        }
    }

    /// The client may close at any time.
    async fn answer(self: Arc<Self>, mut tcp: TcpStream) {
        let Ok(request) = read_head(&mut tcp).await else { return };
        let resumed = header(&request, "last-event-id").map_or(0, |id| id.parse().unwrap());
        let answer = {
            let mut deal = self.deal.lock().await;
            assert!(resumed <= deal.complete, "seed {}: {resumed} was never sent", self.seed);
            let last = deal.last();
            if resumed == last {
                let _ = tcp.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                return;
            }
            let earlier = deal.random.u64(..=self.most_repeats);
            let span = Span { seed: self.seed, resumed: resumed.saturating_sub(earlier), last };
            let fault = deal.fault();
            let answer = fault.answer(span, &mut deal.random);
            deal.complete = deal.complete.max(answer.complete);
            answer
        };
        if write(&mut tcp, &answer.bytes).await.is_err() || answer.ending == Ending::Reset {
            let _ = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
            return;
        }
        if answer.ending == Ending::Close {
            let _ = tcp.shutdown().await;
        }
        closed(&mut tcp).await;
    }
}

impl Deal {
    fn fault(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck = Fault::deck(&mut self.random);
        }
        self.deck.pop().unwrap()
    }

    /// The last number of the run.
    fn last(&mut self) -> u64 {
        match self.goal {
            Goal::Number(last) => last,
            Goal::Time(end) if Instant::now() < end => u64::MAX,
            Goal::Time(_) => {
                self.goal = Goal::Number(self.complete);
                self.complete
            }
        }
    }
}

/// Sends in pieces, with time between them for other responses to begin.
async fn write(tcp: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(PIECE) {
        tcp.write_all(piece).await?;
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

async fn read_head(tcp: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// A store that records whether it ever got the ID of an unacknowledged event.
#[derive(Debug, Clone, Default)]
struct Store(Arc<Saved>);

#[derive(Debug, Default)]
struct Saved {
    acknowledged: AtomicU64,
    saves: AtomicU64,
    too_far: AtomicU64,
}

impl ResumeStore for Store {
    type Error = Infallible;

    async fn load(&self) -> Result<Option<String>, Infallible> {
        Ok(None)
    }

    async fn save(&self, id: String) -> Result<(), Infallible> {
        let id = id.parse().unwrap_or(0);
        self.0.saves.fetch_add(1, SeqCst);
        if id > self.0.acknowledged.load(SeqCst) {
            self.0.too_far.store(id, SeqCst);
        }
        Ok(())
    }
}

/// A client and its deliveries: every number comes in order, and again only after a gap.
struct Follower {
    seed: u64,
    habit: Habit,
    handle: Handle,
    events: Subscription,
    store: Store,
    random: Rng,
    /// One more than the last number.
    next: u64,
    /// The highest number since the client went back, or the number that it went back to. A third
    /// response, requested before the second one repeated events, continues after the highest
    /// number, with a gap.
    highest: u64,
    /// Whether the stream has reconnected since then.
    reconnected: bool,
    unacknowledged: Vec<Event>,
    /// The number that the client has asked to go back to, until it arrives there. Earlier
    /// deliveries come from the queue, and going back from them would skip events.
    going_back: Option<u64>,
    /// The last deliveries: numbers, and gaps with the ID that was sent.
    recent: VecDeque<String>,
    sums: Sums,
}

impl Follower {
    fn new(url: &str, seed: u64, habit: Habit) -> Self {
        let store = Store::default();
        let stream = match habit {
            Habit::None => stream(url),
            Habit::DropRepeats => stream(url).drop_repeats(1_000),
            Habit::GoBack => stream(url).resume_store(store.clone(), Commit::Acknowledgement),
        };
        let handle = stream.build().unwrap();
        let options = SubscribeOptions::default();
        let options = if habit == Habit::GoBack { options.acknowledging() } else { options };
        let events = handle.subscribe_with(Filter::all(), options);
        let (random, unacknowledged) = (Rng::with_seed(seed), Vec::new());
        Self {
            seed,
            habit,
            handle,
            events,
            store,
            random,
            next: 1,
            highest: 0,
            reconnected: false,
            unacknowledged,
            going_back: None,
            recent: VecDeque::new(),
            sums: Sums::default(),
        }
    }

    async fn follow(mut self) -> (Sums, u64) {
        self.handle.connect();
        while let Some(delivery) = within(self.events.recv()).await {
            match delivery {
                Delivery::Event(event) => self.take(event),
                Delivery::Gap(Gap::Reconnected { sent, .. }) => self.reconnected(sent),
                Delivery::Gap(gap) => panic!("seed {}, {:?}: {gap}", self.seed, self.habit),
            }
        }
        let reason = within(self.handle.closed()).await;
        assert!(matches!(reason, CloseReason::NoContent), "seed {}, {:?}: {reason}", self.seed, self.habit);
        let stats = self.handle.stats();
        let too_far = self.store.0.too_far.load(SeqCst);
        assert_eq!(too_far, 0, "seed {}: saved, and not acknowledged", self.seed);
        self.sums.repeats += stats.repeats;
        self.sums.replaced = (stats.opens - 1).saturating_sub(stats.gaps);
        self.sums.saved = self.store.0.saves.load(SeqCst);
        (self.sums, self.next - 1)
    }

    fn tell(&mut self, what: String) {
        self.recent.push_back(what);
        if self.recent.len() > TOLD {
            self.recent.pop_front();
        }
    }

    fn reconnected(&mut self, sent: Option<String>) {
        self.tell(format!("gap after {sent:?}"));
        self.reconnected = true;
        if self.going_back.is_some() && sent.and_then(|id| id.parse().ok()) == self.going_back {
            // From here on every event comes again. This may be further on than the client's
            // position, because an earlier response may have repeated events.
            self.going_back.take().into_iter().for_each(|asked| self.highest = asked);
        }
    }

    fn context(&self, number: u64) -> String {
        format!("seed {}, {:?}: {number}, not {}: {:?}", self.seed, self.habit, self.next, self.recent)
    }

    fn take(&mut self, event: Event) {
        let number = number_of(&event);
        self.tell(number.to_string());
        assert_eq!(event.data(), Nature::of(self.seed, number).data(), "{}", self.context(number));
        if number != self.next {
            let is_allowed = self.reconnected && number <= self.highest + 1;
            assert!(is_allowed && self.habit != Habit::DropRepeats, "{}", self.context(number));
            self.sums.went_back += 1;
            // Events that come again need a new acknowledgement.
            self.unacknowledged.retain(|event| number_of(event) < number);
        }
        (self.next, self.highest, self.reconnected) = (number + 1, self.highest.max(number), false);
        self.sums.events += 1;
        if self.random.u8(..10) == 0 {
            drop(self.handle.update(|request| request.header("x-number", number), Apply::MakeBeforeBreak));
        }
        if self.habit == Habit::GoBack {
            self.unacknowledged.push(event);
            self.acknowledge_or_go_back();
        }
    }

    fn acknowledge_or_go_back(&mut self) {
        match self.random.u8(..50) {
            0..10 => {
                for event in self.unacknowledged.drain(..) {
                    self.store.0.acknowledged.fetch_max(number_of(&event), SeqCst);
                    self.events.acknowledge(&event);
                }
            }
            10 if self.going_back.is_none() => {
                let before = number_of(&self.unacknowledged[0]) - 1;
                // An error means that the stream has ended.
                let _ = self.handle.reconnect_from(Resume::Id(before.to_string()));
                self.going_back = Some(before);
            }
            _ => {}
        }
    }
}

fn number_of(event: &Event) -> u64 {
    event.id().unwrap().parse().unwrap()
}

fn stream(url: &str) -> StreamBuilder {
    let policy = ReconnectPolicy::daemon().reconnection_time(SOON);
    client()
        .stream(url)
        .reconnect_policy(policy.decide_with(|_| Decision::RetryAfter(SOON)))
        // Over a transport of the caller's own both limit an attempt together.
        .connect_timeout(SILENCE)
        .response_timeout(SILENCE)
        .idle_timeout(SILENCE)
        // No reader falls behind here.
        .capacity(64 * 1024)
}

/// One run of one client.
pub(crate) async fn run(seed: u64, goal: Goal, habit: Habit) -> Sums {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stream", listener.local_addr().unwrap());
    let deal = Deal { random: Rng::with_seed(seed), deck: Vec::new(), goal, complete: 0 };
    let server = Arc::new(Server { seed, most_repeats: habit.most_repeats(), deal: Mutex::new(deal) });
    let serving = tokio::spawn(Arc::clone(&server).serve(listener));
    let (sums, newest) = Follower::new(&url, seed, habit).follow().await;
    serving.abort();
    let last = server.deal.lock().await.last();
    assert_eq!(newest, last, "seed {seed}, {habit:?}: every number has come");
    sums
}
