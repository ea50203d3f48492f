//! Each overflow policy with each way to read, for 1 to 1,000 subscribers on one filter: what each
//! saw is compared with what was published.

use tokio::time::{Duration, advance};

use super::*;

/// A multiple of `KEYS`.
const EVENTS: u64 = 512;
const CAPACITY: usize = 32;
const KEYS: u64 = 8;

/// How much time passes between two steps while the publisher waits.
const STEP: Duration = Duration::from_millis(50);

/// A subscriber's way of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Takes all that is there in each step.
    Fast,
    /// Takes one event in each step.
    Slow,
    /// Takes nothing until the publisher is done, or waits forever.
    Stuck,
    /// Like `Slow`, and is dropped when half has been published.
    Dropped,
}

/// A subscriber, and what it has seen so far.
struct Seen {
    subscribed: Subscribed,
    events: Vec<u64>,
    missed: u64,
    /// The number of the first event that it has neither seen nor missed.
    next: u64,
    conflates: bool,
    at_end: bool,
}

impl Seen {
    fn new(hub: &Hub, capacity: usize, overflow: &Overflow) -> Self {
        let limits = QueueLimits::of(capacity, overflow.clone());
        let subscribed = hub.subscribe(Filter::all(), &limits, false);
        let conflates = limits.conflates();
        Self { subscribed, events: Vec::new(), missed: 0, next: 0, conflates, at_end: false }
    }

    /// Takes one event or gap. False if there is none.
    fn take(&mut self) -> bool {
        match take(&mut self.subscribed) {
            Poll::Ready(Some(Delivery::Event(event))) => {
                let number = event.data().parse().unwrap();
                assert!(self.conflates || number == self.next, "{number}, not {}: the hole is in its place", self.next);
                self.events.push(number);
                self.next = number + 1;
                true
            }
            Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed }))) => {
                self.missed += missed;
                self.next += missed;
                true
            }
            Poll::Ready(None) => {
                self.at_end = true;
                false
            }
            Poll::Ready(Some(Delivery::Gap(gap))) => panic!("{gap}"),
            Poll::Pending => false,
        }
    }

    fn step(&mut self, manner: Manner) {
        match manner {
            Manner::Fast => while self.take() {},
            Manner::Slow | Manner::Dropped => drop(self.take()),
            Manner::Stuck => {}
        }
    }

    /// Checks that each event was seen or counted, in a queue that does not conflate.
    fn assert_counted(&self, what: &str) {
        assert!(self.at_end, "{what}: the end");
        assert_eq!(self.events.len() as u64 + self.missed, EVENTS, "{what}");
    }
}

/// Publishes as the connection task does.
struct TestPublisher<'a> {
    hub: &'a Hub,
    backpressure: Backpressure,
    published: u64,
}

impl TestPublisher<'_> {
    /// Publishes one turn. False if it has to wait.
    fn step(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        if self.backpressure.poll_ready(&mut context, self.hub).is_pending() {
            return false;
        }
        let mut publisher = self.hub.publisher();
        for _ in 0..64 {
            if !publisher.is_ready() || self.published == EVENTS {
                break;
            }
            let number = self.published;
            let event = Event::builder().data(number.to_string()).build().unwrap();
            publisher.event("message", |position| event.at(position));
            self.published += 1;
        }
        drop(publisher);
        self.hub.wake();
        true
    }
}

/// The result of one run.
struct Outcome {
    subjects: Vec<Seen>,
    /// A fast subscriber of each policy, on the same filter.
    witnesses: Vec<Seen>,
    /// How long the publisher waited, and how much it had published when it had waited for a
    /// minute.
    waited: Duration,
    at_a_minute: Option<u64>,
}

fn policies() -> [Overflow; 4] {
    let by_key = Overflow::conflate_by(|event| (event.data().parse::<u64>().unwrap() % KEYS).to_string());
    [Overflow::default(), Overflow::DropOldest, Overflow::Block, by_key]
}

async fn run(overflow: &Overflow, mut manner: Manner, subscribers: usize) -> Outcome {
    let hub = Hub::new(Arc::default());
    let mut subjects: Vec<_> = (0..subscribers).map(|_| Seen::new(&hub, CAPACITY, overflow)).collect();
    let mut witnesses: Vec<_> = policies().iter().map(|overflow| Seen::new(&hub, 256, overflow)).collect();
    let mut publisher = TestPublisher { hub: &hub, backpressure: Backpressure::default(), published: 0 };
    let (mut waited, mut at_a_minute) = (Duration::ZERO, None);
    while publisher.published < EVENTS {
        // A publisher that yields goes on in the next poll, without any time passing.
        if !publisher.step() && hub.wait.is_waiting() {
            advance(STEP).await;
            waited += STEP;
            assert!(waited < Duration::from_secs(600), "{overflow:?}, {manner:?}: it should have come to an end");
        }
        subjects.iter_mut().for_each(|subject| subject.step(manner));
        witnesses.iter_mut().for_each(|witness| witness.step(Manner::Fast));
        if manner == Manner::Dropped && publisher.published > EVENTS / 2 {
            subjects.clear();
            hub.prune();
        }
        if waited >= Duration::from_secs(60) && at_a_minute.is_none() {
            at_a_minute = Some(publisher.published);
            manner = Manner::Fast;
        }
    }
    hub.close();
    subjects.iter_mut().chain(&mut witnesses).for_each(|seen| while seen.take() {});
    Outcome { subjects, witnesses, waited, at_a_minute }
}

fn check(overflow: &Overflow, manner: Manner, outcome: &Outcome) {
    let what = format!("{overflow:?}, {manner:?}, {}", outcome.subjects.len());
    let newest: Vec<u64> = (EVENTS - CAPACITY as u64..EVENTS).collect();
    for subject in &outcome.subjects {
        match (overflow, manner) {
            (Overflow::ConflateBy(_), _) => check_conflated(subject, manner, &what),
            (Overflow::DropOldest, Manner::Slow) => {
                subject.assert_counted(&what);
                assert_eq!(subject.events.last(), Some(&(EVENTS - 1)), "{what}");
                assert!(subject.missed > 0, "{what}");
            }
            (Overflow::DropOldest | Overflow::Wait { .. }, Manner::Stuck) => {
                subject.assert_counted(&what);
                assert_eq!((&subject.events, subject.missed), (&newest, EVENTS - CAPACITY as u64), "{what}");
            }
            _ => {
                subject.assert_counted(&what);
                assert_eq!(subject.missed, 0, "{what}");
            }
        }
    }
    for witness in &outcome.witnesses {
        if !witness.conflates {
            witness.assert_counted(&what);
        }
        assert_eq!(witness.missed, 0, "{what}: a fast one beside them");
    }
    match (overflow, manner) {
        (Overflow::Wait { patience }, Manner::Stuck) => assert_eq!(outcome.waited, *patience, "{what}: once"),
        (Overflow::Block, Manner::Stuck) => assert_eq!(outcome.at_a_minute, Some(CAPACITY as u64), "{what}"),
        (Overflow::Wait { .. } | Overflow::Block, Manner::Slow | Manner::Dropped) => {
            assert!(outcome.waited > Duration::ZERO, "{what}");
        }
        _ => assert_eq!(outcome.waited, Duration::ZERO, "{what}: no reader is waited for"),
    }
}

fn check_conflated(seen: &Seen, manner: Manner, what: &str) {
    assert!(seen.at_end && seen.missed == 0, "{what}");
    let mut last = [None; KEYS as usize];
    for &number in &seen.events {
        let newest = last[(number % KEYS) as usize].replace(number);
        assert!(newest < Some(number), "{what}: {number} after {newest:?}");
    }
    assert!(last.iter().all(|last| last.is_some_and(|last| last >= EVENTS - KEYS)), "{what}: the newest of each key");
    if manner == Manner::Stuck {
        assert_eq!(seen.events, (EVENTS - KEYS..EVENTS).collect::<Vec<_>>(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_overflow_policy_keeps_its_promise_for_each_way_to_read() {
    for subscribers in [1, 10, 1_000] {
        for overflow in &policies() {
            for manner in [Manner::Fast, Manner::Slow, Manner::Stuck, Manner::Dropped] {
                check(overflow, manner, &run(overflow, manner, subscribers).await);
            }
        }
    }
}
