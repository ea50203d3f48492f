//! Every interleaving of a publisher that fills small queues and readers that empty them, or leave.
//!
//! No task sleeps forever, and nothing is lost or taken twice. loom reports a task that sleeps
//! forever as a deadlock.
//!
//! ```text
//! RUSTC_WORKSPACE_WRAPPER=$PWD/.ci/with_hub_loom cargo test --lib loom_tests
//! ```

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use loom::future::block_on;
use loom::thread;
use tokio::time::{Duration, Instant};

use crate::event::{Delivery, Gap};

use super::backpressure::PublisherWait;
use super::channel::Channel;
use super::drain::DrainSignal;
use super::overflow::{Overflow, QueueItem, QueueLimits};
use super::reader::Reader;
use super::sync::Wakers;

impl QueueItem for u32 {
    fn bytes(&self) -> u64 {
        1
    }
}

struct LoomPublisher {
    channel: Channel<u32>,
    wait: Arc<PublisherWait>,
    now: Instant,
    patience: Option<Duration>,
}

fn publisher(capacity: usize, overflow: Overflow, readers: usize) -> (LoomPublisher, Vec<Reader<u32>>) {
    let (wait, drain) = (Arc::<PublisherWait>::default(), Arc::<DrainSignal>::default());
    let patience = QueueLimits::of(capacity, overflow.clone()).patience();
    let mut channel = Channel::new(&QueueLimits::of(capacity, overflow), 0, &wait);
    let readers = (0..readers).map(|_| channel.reader(Arc::default(), &drain, None)).collect();
    (LoomPublisher { channel, wait, now: Instant::now(), patience }, readers)
}

impl LoomPublisher {
    /// Publishes as [`Backpressure`](super::backpressure::Backpressure) does, without its clock:
    /// from one check to the next patience runs out.
    async fn publish(&mut self, item: u32) {
        let mut waiting = false;
        poll_fn(|cx| {
            loop {
                if !waiting {
                    if !self.channel.survey().credit.is_used_up() {
                        return Poll::Ready(());
                    }
                    self.channel.ring.begin_wait(self.now);
                }
                waiting = self.wait.poll(cx.waker()).is_pending();
                match self.patience {
                    _ if !waiting => {}
                    None => return Poll::Pending,
                    Some(patience) => {
                        self.channel.ring.check_patience(self.now, self.channel.has_caught_up_reader());
                        self.now += patience;
                        thread::yield_now();
                    }
                }
            }
        })
        .await;
        self.channel.publish(item);
        self.wake();
    }

    fn wake(&mut self) {
        let mut wakers = Wakers::default();
        drop(self.channel.settle(&mut wakers));
        wakers.wake();
    }

    fn close(mut self) {
        let mut wakers = Wakers::default();
        self.channel.close(&mut wakers);
        wakers.wake();
    }
}

/// Reads up to `most` items. A lag is 100 plus how many items were missed.
fn read(reader: &mut Reader<u32>, most: usize) -> Vec<u32> {
    let mut seen = Vec::new();
    while seen.len() < most {
        match block_on(poll_fn(|cx| reader.poll_take(cx))) {
            Some(Delivery::Event(item)) => seen.push(item),
            Some(Delivery::Gap(Gap::Lagged { missed })) => seen.push(100 + missed as u32),
            Some(Delivery::Gap(_)) | None => break,
        }
    }
    seen
}

/// Explores all interleavings with at most so many interruptions of a thread. More take hours.
fn explore(interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(interruptions));
    builder.check(model);
}

#[test]
fn a_reader_of_an_always_full_queue_gets_everything() {
    for capacity in [1, 2] {
        explore(3, move || {
            let (mut publisher, mut readers) = publisher(capacity, Overflow::Block, 1);
            let mut reader = readers.remove(0);
            let reading = thread::spawn(move || read(&mut reader, usize::MAX));
            for item in 0..3 {
                block_on(publisher.publish(item));
            }
            publisher.close();
            assert_eq!(reading.join().unwrap(), [0, 1, 2]);
        });
    }
}

#[test]
fn a_publisher_goes_on_when_one_reader_has_drained_and_one_is_gone() {
    explore(2, || {
        let (mut publisher, mut readers) = publisher(1, Overflow::Block, 2);
        let (mut one, mut other) = (readers.remove(0), readers.remove(0));
        let reading = thread::spawn(move || read(&mut one, usize::MAX));
        let leaving = thread::spawn(move || read(&mut other, 1));
        for item in 0..2 {
            block_on(publisher.publish(item));
        }
        publisher.close();
        assert_eq!(reading.join().unwrap(), [0, 1]);
        assert_eq!(leaving.join().unwrap(), [0]);
    });
}

#[test]
fn a_reader_given_up_while_it_drains_is_released_once() {
    explore(3, || {
        let (mut publisher, mut readers) = publisher(1, Overflow::Wait { patience: Duration::ZERO }, 1);
        let mut reader = readers.remove(0);
        let reading = thread::spawn(move || read(&mut reader, usize::MAX));
        for item in 0..3 {
            block_on(publisher.publish(item));
        }
        assert!(!publisher.wait.is_waiting());
        publisher.close();
        let seen = reading.join().unwrap();
        let counted: u32 = seen.iter().map(|&item| if item > 100 { item - 100 } else { 1 }).sum();
        assert_eq!(counted, 3, "{seen:?}");
        assert_eq!(seen.last(), Some(&2), "{seen:?}");
    });
}

#[test]
fn a_lone_reader_is_waited_for_beyond_its_patience() {
    explore(3, || {
        let (mut publisher, mut readers) = publisher(1, Overflow::Wait { patience: Duration::from_secs(1) }, 1);
        let mut reader = readers.remove(0);
        let reading = thread::spawn(move || read(&mut reader, usize::MAX));
        for item in 0..3 {
            block_on(publisher.publish(item));
        }
        publisher.close();
        assert_eq!(reading.join().unwrap(), [0, 1, 2]);
    });
}

#[test]
fn a_reader_that_holds_up_another_is_given_up_and_costs_it_nothing() {
    explore(2, || {
        let (mut publisher, mut readers) = publisher(1, Overflow::Wait { patience: Duration::from_secs(1) }, 2);
        let (mut one, unread) = (readers.remove(0), readers.remove(0));
        let reading = thread::spawn(move || read(&mut one, usize::MAX));
        for item in 0..3 {
            block_on(publisher.publish(item));
        }
        publisher.close();
        assert_eq!(reading.join().unwrap(), [0, 1, 2]);
        drop(unread);
    });
}
