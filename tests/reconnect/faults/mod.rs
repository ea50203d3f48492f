//! A server that numbers its events and fails in every way, by a seed, while subscribers check
//! every number.
//!
//! `nature` is what event N looks like, `fault` what goes wrong. `server`, `client` and
//! `delivery_record` are a run: they read only. `restless` is another kind of run, in which the
//! program asks for second responses, goes back, and acknowledges.

mod client;
mod delivery_record;
mod fault;
mod nature;
mod restless;
mod server;

use std::sync::Arc;
use std::time::Duration;

use delivery_record::DeliveryRecord;
use fastrand::Rng;
use fault::Fault;
use restless::{Habit, Sums};
use server::{Goal, Report, Server};
use sseclient::{CloseReason, ErrorKind, Filter, Handle, Subscription};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::within;

/// The types of the subscriber that wants only some.
const SOME: [&str; 2] = ["message", "update"];

/// The speed of a subscriber.
enum ReadingSpeed {
    /// Reads as fast as it can, and publishes its position.
    Prompt(watch::Sender<u64>),
    Steady,
    /// Yields after each event, and sometimes pauses until the prompt reader is far ahead.
    Slow {
        random: Rng,
        prompt: watch::Receiver<u64>,
        pause: u64,
        /// More events than a queue holds.
        far: u64,
    },
}

impl ReadingSpeed {
    fn slow(seed: u64, prompt: watch::Receiver<u64>) -> Self {
        Self::Slow { random: Rng::with_seed(seed), prompt, pause: 100, far: 4 * client::capacity(seed) as u64 }
    }

    async fn keep(&mut self, next: u64) {
        match self {
            Self::Prompt(progress) => drop(progress.send_replace(next)),
            Self::Steady => {}
            Self::Slow { random, prompt, pause, far } => {
                tokio::task::yield_now().await;
                if next >= *pause {
                    *pause = next + random.u64(200..1_000);
                    // An error means that the stream has ended, so there is nothing to wait for.
                    let _ = prompt.wait_for(|&ahead| ahead > next + *far).await;
                }
            }
        }
    }
}

/// Records a subscriber's deliveries until the stream ends.
async fn follow(mut subscription: Subscription, mut record: DeliveryRecord, mut speed: ReadingSpeed) -> DeliveryRecord {
    while let Some(delivery) = within(subscription.recv()).await {
        record.take(&delivery);
        speed.keep(record.next()).await;
    }
    record
}

/// Subscribes, reads for a while, leaves, and repeats. Returns how often.
async fn come_and_go(handle: Handle, seed: u64) -> u64 {
    let mut random = Rng::with_seed(seed);
    for visits in 0.. {
        let mut subscription = handle.subscribe(Filter::all());
        let mut record = DeliveryRecord::from_now(seed, &[]);
        for _ in 0..random.u8(1..) {
            let Some(delivery) = within(subscription.recv()).await else { return visits };
            record.take(&delivery);
        }
    }
    unreachable!("the stream ends")
}

/// One run. All assertions are in its tasks. A failure ends the run and names the seed.
async fn run(seed: u64, goal: Goal) -> Report {
    let tale = Arc::default();
    let server = Server::bind(seed, goal, &tale).await;
    let handle = client::stream(&server.url(), seed, &tale);
    let (progress, prompt) = watch::channel(0);
    let spawn = |filter: Filter, types, speed| {
        tokio::spawn(follow(handle.subscribe(filter), DeliveryRecord::from_the_start(seed, types), speed))
    };
    let all = spawn(Filter::all(), &[], ReadingSpeed::Prompt(progress));
    let some = spawn(SOME.into(), &SOME, ReadingSpeed::Steady);
    let slow = spawn(Filter::all(), &[], ReadingSpeed::slow(seed, prompt));
    let visitor = tokio::spawn(come_and_go(handle.clone(), seed));
    handle.connect();
    let done = tokio::try_join!(tokio::spawn(server.serve()), all, some, slow, visitor);
    let (mut report, mut all, mut some, mut slow, visits) = done.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    for record in [&mut all, &mut some, &mut slow] {
        record.finish(report.last);
    }
    check_stats(&handle, &report, &all, seed).await;
    report.count("lagged when prompt", all.sums.lagged + some.sums.lagged);
    report.count("lagged when slow", slow.sums.lagged);
    report.count("visits", visits);
    report
}

/// Checks that the client's own statistics agree.
async fn check_stats(handle: &Handle, report: &Report, all: &DeliveryRecord, seed: u64) {
    let reason = within(handle.closed()).await;
    assert!(matches!(reason, CloseReason::NoContent), "seed {seed}: {reason}");
    let stats = handle.stats();
    let (sums, context) = (all.sums, format!("seed {seed}: {stats:?}"));
    assert_eq!((stats.events, stats.oversized), (sums.delivered + sums.lagged, sums.oversized), "{context}");
    assert_eq!((stats.attempts, stats.repeats), (report.connections, 0), "{context}");
    // The first response has a gap if an attempt before it got no answer in time.
    let may_be_first = stats.failures.contains_key(&ErrorKind::ResponseTimeout);
    assert!(stats.gaps == stats.opens - 1 || may_be_first && stats.gaps == stats.opens, "{context}");
}

/// Checks that each fault and each consequence occurred.
fn check_coverage(report: &Report) {
    let faults = Fault::ALL.iter().map(|fault| format!("{fault:?}"));
    let others = ["TooLarge", "TypeTooLarge", "tiny retry", "huge retry", "lagged when slow"].map(str::to_owned);
    for what in faults.chain(others) {
        assert!(report.counts.get(&what).is_some_and(|&count| count > 0), "seed {}: {what}: {report:#?}", report.seed);
    }
}

fn seed() -> u64 {
    let seed = std::env::var("FAULT_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    // Printed first, so that it is known even if the run hangs.
    eprintln!("FAULT_SEED={seed}");
    seed
}

#[tokio::test]
async fn a_faulty_server_never_causes_an_unreported_loss_or_repeat() {
    for seed in 1..=5 {
        check_coverage(&run(seed, Goal::Number(350)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs for five minutes"]
async fn a_faulty_server_never_causes_an_unreported_loss_in_five_minutes() {
    let seed = seed();
    let report = run(seed, Goal::Time(Instant::now() + Duration::from_secs(300))).await;
    eprintln!("{report:#?}");
    check_coverage(&report);
}

/// A run with clients that change their requests all the time, one for each habit.
async fn run_restless(seed: u64, goal: Goal) -> [Sums; 3] {
    let run = |habit| restless::run(seed, goal, habit);
    tokio::join!(run(Habit::None), run(Habit::DropRepeats), run(Habit::GoBack)).into()
}

/// Checks that everything such a run is about occurred.
fn check_habits([none, drops, back]: [Sums; 3]) {
    let replaced = [none.replaced, drops.replaced, back.replaced];
    let others = [none.repeats, drops.repeats, none.went_back, back.went_back, back.saved];
    assert!(replaced.iter().chain(&others).all(|&times| times > 0), "{none:#?}, {drops:#?}, {back:#?}");
}

#[tokio::test]
async fn restless_clients_get_every_number_in_order_or_a_gap() {
    let mut sums = [Sums::default(); 3];
    for seed in 1..=5 {
        let more = run_restless(seed, Goal::Number(350)).await;
        sums.iter_mut().zip(more).for_each(|(sums, more)| *sums = *sums + more);
    }
    check_habits(sums);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs for five minutes"]
async fn restless_clients_get_every_number_in_order_for_five_minutes() {
    let seed = seed();
    let sums = run_restless(seed, Goal::Time(Instant::now() + Duration::from_secs(300))).await;
    eprintln!("{sums:#?}");
    check_habits(sums);
}
