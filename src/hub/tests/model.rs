//! Random programs that run against the hub and, beside it, against a model.
//!
//! The model has no ring, no entries and no epochs: for each subscription it has a list of what is
//! queued, what is buffered, and what the subscriber has been told. There are dozens of channels of
//! all kinds. Subscriptions come, go and are pruned in the middle of a turn. Time passes only where
//! the program says so.

mod expected;
mod member;

use std::collections::{BTreeMap, VecDeque};

use tokio::time::advance;

use self::expected::{Expected, Owed, Waited};
use self::member::{Flag, Member, flag};
use super::*;
use crate::hub::reader::MAX_BUFFERED;

const TYPES: usize = 40;
const PATIENCE: Duration = Duration::from_millis(160);
/// How often within the patience the publisher checks its readers.
const LOOKS: u32 = 16;
/// How many events a rule keeps.
const KEPT: usize = 5;

fn type_name(number: usize) -> String {
    format!("{}.{number}", ["a", "b"][number % 2])
}

fn number(event: &Event) -> u64 {
    event.data().split(' ').next().unwrap().parse().unwrap()
}

/// A retention rule, and the events that it keeps.
struct Rule {
    filter: Filter,
    keep: Keep,
    kept: VecDeque<u64>,
}

struct Program {
    hub: Hub,
    backpressure: Backpressure,
    random: fastrand::Rng,
    members: Vec<Member>,
    rules: Vec<Rule>,
    published: Vec<Event>,
    /// The publisher waits, and left the waker of this flag.
    waiting: Option<Arc<Flag>>,
    case: String,
    filters: Vec<Filter>,
    limits: Vec<QueueLimits>,
    /// When it next checks its readers.
    look_at: Option<Instant>,
}

impl Program {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let random = &mut random;
        let filters = (0..random.usize(1..60)).map(|_| some_filter(random)).collect();
        let limits = (0..random.usize(1..4)).map(|_| some_limits(random)).collect();
        let keeps = [Keep::Newest(KEPT), Keep::Since, Keep::Latest(ConflateKey::new(some_key))];
        let rules: Vec<_> = (0..random.usize(0..4))
            .map(|index| Rule { filter: some_filter(random), keep: keeps[index].clone(), kept: VecDeque::new() })
            .collect();
        let hub = Hub::new(Arc::default());
        let retain = |rule: &Rule| Retain { filter: rule.filter.clone(), keep: rule.keep.clone() };
        hub.retain(rules.iter().map(retain).collect(), &[]);
        Self {
            hub,
            backpressure: Backpressure::default(),
            random: random.fork(),
            members: Vec::new(),
            rules,
            published: Vec::new(),
            waiting: None,
            case: format!("seed {seed}"),
            filters,
            limits,
            look_at: None,
        }
    }

    fn subscribe(&mut self) {
        let random = &mut self.random;
        let types = random.choice(&self.filters).unwrap().clone();
        let limits = random.choice(&self.limits).unwrap().clone();
        let next = self.published.len() as u64;
        let modulus = (random.usize(0..5) == 0).then(|| random.u64(2..5));
        let bad = (modulus.is_some() && random.usize(0..4) == 0).then(|| next + random.u64(0..200));
        let filter = match modulus {
            None => types.clone(),
            Some(modulus) => types.clone().and(move |event| {
                let number = number(event);
                if bad.is_some_and(|bad| number >= bad) {
                    // Unlike `panic!`, this does not print a message.
                    std::panic::resume_unwind(Box::new("a bug"));
                }
                number % modulus != 0
            }),
        };
        let acknowledging = random.usize(0..5) == 0;
        let late = random.bool();
        let replay = if late { Replay::All } else { Replay::None };
        let joining = Joining { acknowledging, replay, ..Joining::default() };
        let mut subscribed = self.hub.subscribe_with(filter.clone(), &limits, joining);
        if late {
            let replayed: Vec<u64> = std::mem::take(&mut subscribed.replay)
                .into_iter()
                .filter_map(|delivery| delivery.unwrap().event())
                .map(|event| number(&event))
                .collect();
            replayed.iter().for_each(|_| subscribed.reader.took_replayed());
            let mut kept: Vec<u64> = self.rules.iter().flat_map(|rule| rule.kept.iter().copied()).collect();
            kept.sort_unstable();
            kept.dedup();
            kept.retain(|&number| filter.passes(&self.published[number as usize]));
            assert_eq!(replayed, kept, "{}: replayed", self.case);
        }
        let expected = Expected {
            types,
            modulus,
            bad,
            batch: if acknowledging || limits.conflates() { 1 } else { MAX_BUFFERED },
            limits,
            queue: VecDeque::new(),
            buffered: VecDeque::new(),
            dropped: 0,
            owed: Owed::default(),
            given: Owed::default(),
            hole: Owed::default(),
            ended: false,
            moves: 0,
            waited: None,
            stuck: false,
        };
        let wakers = [flag(), flag()];
        self.members.push(Member { subscribed, expected, asleep: None, wakers, open: Vec::new() });
    }

    fn leave(&mut self) {
        if !self.members.is_empty() {
            let index = self.random.usize(..self.members.len());
            drop(self.members.swap_remove(index));
            // Most often at once, but another thread may publish in between.
            if self.random.usize(0..3) > 0 {
                self.hub.prune();
            }
        }
    }

    fn publish(&mut self) {
        let random = &mut self.random;
        // Often the same type again, so that one queue among many is full.
        let range = if random.bool() { 0..3 } else { 0..TYPES };
        let event_type = type_name(random.usize(range));
        if random.usize(0..12) == 0 {
            let gap = match random.usize(0..3) {
                0 => Gap::oversized(Some(event_type.clone()), None, random.u64(1..9)),
                1 => Gap::reconnected(None),
                _ => Gap::reconnected(Some(random.u8(..).to_string())),
            };
            let concerned = matches!(gap, Gap::Oversized { .. }).then_some(&*event_type);
            self.hub.publisher().gap(concerned, &gap);
            self.members.iter_mut().for_each(|member| member.expected.gap(concerned, &gap));
            return;
        }
        let number = self.published.len() as u64;
        let data = format!("{number} {}", "x".repeat(random.usize(0..40)));
        let event = || Event::builder().event_type(&*event_type).data(&*data).build().unwrap();
        let mut built = None;
        self.hub.publisher().event(&event_type, |position| {
            let event = event().at(position);
            built = Some(event.clone());
            event
        });
        for rule in &mut self.rules {
            let matches = rule.filter.matches(&event_type);
            match rule.keep {
                Keep::Newest(most) if matches => {
                    rule.kept.push_back(number);
                    while rule.kept.len() > most {
                        rule.kept.pop_front();
                    }
                }
                Keep::Since if matches => rule.kept = VecDeque::from([number]),
                Keep::Since if !rule.kept.is_empty() => rule.kept.push_back(number),
                // By its key only at the end of the turn.
                Keep::Latest(_) if matches => rule.kept.push_back(number),
                Keep::Newest(_) | Keep::Since | Keep::Latest(_) => {}
            }
        }
        let wanted = built.is_some();
        let event = built.unwrap_or_else(event);
        for member in &mut self.members {
            assert!(wanted || member.expected.ended || !member.expected.types.matches(&event_type), "{}", self.case);
            member.expected.event(&event, &self.case);
        }
        self.published.push(event);
    }

    async fn turn(&mut self) {
        if !self.is_ready().await {
            return;
        }
        for _ in 0..self.random.usize(1..=64) {
            if !self.hub.publisher().is_ready() {
                break;
            }
            self.publish();
            match self.random.usize(0..200) {
                0 => self.subscribe(),
                1 => self.leave(),
                2 => self.hub.prune(),
                _ => {}
            }
        }
        let publisher = self.hub.publisher();
        if self.random.bool() {
            publisher.wake();
        } else {
            drop(publisher);
            self.hub.wake();
        }
        self.keep_latest();
        self.check_sleepers();
        if self.random.usize(0..8) == 0 {
            self.check_lag();
        }
    }

    /// Forgets events that have been replaced by newer ones of their keys.
    fn keep_latest(&mut self) {
        for rule in &mut self.rules {
            if let Keep::Latest(key) = &rule.keep {
                let key = |number: u64| key.of_or_type(&self.published[number as usize]);
                let newest: BTreeMap<_, _> = rule.kept.iter().map(|&number| (key(number), number)).collect();
                rule.kept.retain(|&number| newest[&key(number)] == number);
            }
        }
    }

    /// The lag is what the slowest reader has yet to take. A conflating queue counts also when it
    /// has ended.
    fn check_lag(&self) {
        self.hub.prune();
        let expected = self.members.iter().map(|member| &member.expected);
        let looked_at = expected.filter(|expected| !expected.ended || expected.limits.conflates());
        assert_eq!(self.hub.lag(), looked_at.map(Expected::left).max().unwrap_or(0), "{}", self.case);
    }

    fn check_sleepers(&mut self) {
        for member in &mut self.members {
            let expected = &member.expected;
            if let Some(flag) = member.asleep.as_ref() {
                let is_due = expected.has_something() || expected.ended;
                assert!(flag.is_raised() || !is_due, "{}: a reader sleeps forever", self.case);
                if flag.is_raised() {
                    member.asleep = None;
                }
            }
        }
    }

    /// Polls as the task does, as often as the task is woken.
    async fn is_ready(&mut self) -> bool {
        if self.waiting.as_ref().is_some_and(|flag| !flag.is_raised()) && self.random.bool() {
            return false;
        }
        for _ in 0..4 {
            let is_waited_for = self.waiting.is_some() && self.check();
            let (waker, flag) = flag();
            let polled = self.backpressure.poll_ready(&mut Context::from_waker(&waker), &self.hub);
            let is_closed = self.hub.wait.is_waiting();
            if is_waited_for {
                assert!(polled.is_pending() && is_closed, "{}: a queue is full and not waited for", self.case);
            } else if is_closed {
                self.begin_wait();
            }
            self.waiting = is_closed.then_some(flag.clone());
            if polled.is_ready() {
                return true;
            }
            if is_closed {
                self.check_publisher();
                return false;
            }
            // A runtime of one thread defers the wake-up.
            tokio::task::yield_now().await;
            assert!(flag.is_raised(), "{}: it yielded and is not woken", self.case);
        }
        panic!("{}: it yields forever", self.case);
    }

    fn expected(&mut self) -> impl Iterator<Item = &mut Expected> {
        self.members.iter_mut().map(|member| &mut member.expected)
    }

    /// Begins to wait for the members whose queues are full.
    fn begin_wait(&mut self) {
        let now = Instant::now();
        for expected in self.expected().filter(|expected| expected.waits() && !expected.stuck && expected.is_full()) {
            expected.waited = Some(Waited { moves: expected.moves, idle: Duration::ZERO, checked: now });
        }
        self.look_at = Some(now);
        assert!(self.check(), "{}: the publisher waits for no reader", self.case);
    }

    /// Checks the members that are waited for, if it is time. Whether any still is.
    fn check(&mut self) -> bool {
        let now = Instant::now();
        if self.expected().any(|expected| expected.waited.is_some()) && self.look_at.is_some_and(|at| now >= at) {
            self.look_at = None;
            let is_held_up = self.expected().any(|expected| !expected.ended && !expected.has_something());
            for expected in self.members.iter_mut().map(|member| &mut member.expected) {
                let Some((waited, patience)) = expected.waited.as_mut().zip(expected.limits.patience()) else {
                    continue;
                };
                let pause = patience / LOOKS;
                waited.idle += (now - std::mem::replace(&mut waited.checked, now)).min(2 * pause);
                if std::mem::replace(&mut waited.moves, expected.moves) != expected.moves || !is_held_up {
                    waited.idle = Duration::ZERO;
                }
                let left = patience.saturating_sub(waited.idle);
                if left.is_zero() {
                    (expected.waited, expected.stuck) = (None, true);
                } else {
                    let at = now + if is_held_up { left.min(pause) } else { pause };
                    self.look_at = Some(self.look_at.map_or(at, |soonest| soonest.min(at)));
                }
            }
        }
        self.expected().any(|expected| expected.waited.is_some())
    }

    fn check_publisher(&self) {
        let Some(flag) = &self.waiting else { return };
        let waits = self.members.iter().any(|member| member.expected.waited.is_some());
        assert!(waits || flag.is_raised(), "{}: the publisher waits for no reader", self.case);
    }

    fn read(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let index = self.random.usize(..self.members.len());
        let most = if self.random.bool() { usize::MAX } else { self.random.usize(1..20) };
        let member = &mut self.members[index];
        let mut taken = 0;
        while taken < most && member.take(&mut self.random, &self.case) {
            taken += 1;
        }
        if let Some(ack) = &member.subscribed.ack {
            for event in member.open.drain(..) {
                assert!(ack.acknowledge(&event), "{}", self.case);
            }
        }
        member.open.clear();
        self.check_publisher();
    }

    async fn run(mut self, steps: usize) {
        for _ in 0..self.random.usize(0..120) {
            self.subscribe();
        }
        for _ in 0..steps {
            match self.random.usize(0..100) {
                0..=24 => self.turn().await,
                25..=84 => self.read(),
                85..=88 => self.subscribe(),
                89..=92 => self.leave(),
                93..=94 => self.hub.prune(),
                _ => advance(PATIENCE / LOOKS).await,
            }
        }
        self.finish().await;
    }

    /// Lets all members read: then none is waited for, and in the end each event was seen or
    /// counted.
    async fn finish(mut self) {
        let case = self.case.clone();
        for member in &mut self.members {
            while member.take(&mut self.random, &case) {}
        }
        self.check_publisher();
        assert!(self.is_ready().await || self.is_ready().await, "{case}: no queue is full");
        self.turn().await;
        let drain_tracker = self.hub.drain_tracker();
        self.hub.close();
        let dropped = self.expected().map(|expected| expected.left()).sum();
        assert_eq!(drain_tracker.counts(), DrainCounts { delivered: 0, dropped }, "{case}: left");
        for member in &mut self.members {
            assert!(member.asleep.take().is_none_or(|flag| flag.is_raised()), "{case}: it is woken for the end");
            member.expected.ended = true;
            while member.take(&mut self.random, &case) {}
        }
    }
}

fn some_filter(random: &mut fastrand::Rng) -> Filter {
    match random.usize(0..8) {
        0 => Filter::all(),
        1 => Filter::prefix(["a.", "b.1", "b.3"][random.usize(0..3)]),
        2 => Filter::from((0..5).map(|_| type_name(random.usize(0..TYPES))).collect::<Vec<_>>()),
        3 => Filter::from(type_name(random.usize(0..3))),
        _ => Filter::from(type_name(random.usize(0..TYPES))),
    }
}

/// Makes a key. Where it panics the type is the key.
fn some_key(event: &Event) -> String {
    match number(event) % 8 {
        0 => std::panic::resume_unwind(Box::new("a bug")),
        1 => event.event_type().to_owned(),
        _ => event.event_type().split('.').next_back().unwrap().to_owned(),
    }
}

fn some_limits(random: &mut fastrand::Rng) -> QueueLimits {
    let capacity = [1, 2, 3, 8, 17, 64, 100, 256][random.usize(0..8)];
    let bytes = [u64::MAX, u64::MAX, 1, 60, 500][random.usize(0..5)];
    let overflow = match random.usize(0..8) {
        0..2 => Overflow::Wait { patience: PATIENCE },
        2..4 => Overflow::Block,
        4..6 => Overflow::DropOldest,
        6 => Overflow::conflate_by(some_key),
        _ => Overflow::Conflate,
    };
    QueueLimits { capacity, bytes, overflow }
}

#[tokio::test(start_paused = true)]
async fn random_programs_get_what_is_promised_and_no_task_sleeps_forever() {
    for seed in 0..120 {
        Program::new(seed).run(500).await;
    }
}
