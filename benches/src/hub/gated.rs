//! tokio's broadcast channel behind a gate, so that it never overwrites an event that a receiver
//! has not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sseclient::Event;
use tokio::sync::Notify;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use super::CAPACITY;

const HALF: usize = CAPACITY / 2;

/// The way in which the publisher learns that the channel has room.
pub(super) trait RoomCheck: Send + Sync + 'static {
    fn new(subscribers: usize) -> Self;
    /// Returns how far the slowest receiver is behind.
    fn behind(&self, sender: &Sender<Event>, sent: u64) -> usize;
    /// Notes that a subscriber has taken its `taken`th event.
    fn took(&self, number: usize, taken: u64);
    /// Returns true if this subscriber is at most half a queue behind.
    fn is_drained(&self, receiver: &Receiver<Event>) -> bool {
        receiver.len() <= HALF
    }
}

/// A check of the positions that the subscribers report.
pub(super) struct Acknowledged {
    taken: Vec<AtomicU64>,
}

impl RoomCheck for Acknowledged {
    fn new(subscribers: usize) -> Self {
        Self { taken: (0..subscribers).map(|_| AtomicU64::new(0)).collect() }
    }

    fn behind(&self, _: &Sender<Event>, sent: u64) -> usize {
        let slowest = self.taken.iter().map(|taken| taken.load(Ordering::Acquire)).min();
        (sent - slowest.unwrap_or(sent)) as usize
    }

    fn took(&self, number: usize, taken: u64) {
        self.taken[number].store(taken, Ordering::Release);
    }
}

/// A check of how much the channel holds for the slowest receiver.
pub(super) struct Length;

impl RoomCheck for Length {
    fn new(_: usize) -> Self {
        Self
    }

    fn behind(&self, sender: &Sender<Event>, _: u64) -> usize {
        sender.len()
    }

    fn took(&self, _: usize, _: u64) {}
}

/// The check, and the place where the publisher waits for room.
struct Shared<G> {
    room_check: G,
    is_waiting: AtomicBool,
    drained: Notify,
}

/// Returns how many events all subscribers have seen together.
pub(super) async fn run<G: RoomCheck>(subscribers: usize, batch: usize, events: Arc<[Event]>) -> usize {
    let (sender, first) = channel(CAPACITY);
    let shared = Arc::new(Shared {
        room_check: G::new(subscribers),
        is_waiting: AtomicBool::new(false),
        drained: Notify::new(),
    });
    let readers: Vec<_> =
        (0..subscribers).map(|number| tokio::spawn(read(number, sender.subscribe(), Arc::clone(&shared)))).collect();
    drop(first);
    tokio::spawn(publish(sender, shared, batch, events)).await.expect("no panic");
    let mut seen = 0;
    for reader in readers {
        seen += reader.await.expect("no panic");
    }
    seen
}

async fn read<G: RoomCheck>(number: usize, mut receiver: Receiver<Event>, shared: Arc<Shared<G>>) -> usize {
    let mut seen = 0;
    while let Ok(event) = receiver.recv().await {
        seen += usize::from(!event.data().is_empty());
        shared.room_check.took(number, seen as u64);
        if shared.is_waiting.load(Ordering::SeqCst) && shared.room_check.is_drained(&receiver) {
            shared.drained.notify_one();
        }
    }
    seen
}

async fn publish<G: RoomCheck>(sender: Sender<Event>, shared: Arc<Shared<G>>, batch: usize, events: Arc<[Event]>) {
    let mut sent = 0;
    // The number of events that certainly fit, so that the check runs only when the queue may be
    // full.
    let mut room = CAPACITY;
    for batch in events.chunks(batch) {
        if room < batch.len() {
            room = CAPACITY - shared.room_check.behind(&sender, sent);
        }
        if room < batch.len() {
            shared.is_waiting.store(true, Ordering::SeqCst);
            while shared.room_check.behind(&sender, sent) > HALF {
                shared.drained.notified().await;
            }
            shared.is_waiting.store(false, Ordering::SeqCst);
            room = CAPACITY - shared.room_check.behind(&sender, sent);
        }
        room -= batch.len();
        sent += batch.len() as u64;
        for event in batch {
            // The receivers stay until the end.
            let _ = sender.send(event.clone());
        }
    }
}
