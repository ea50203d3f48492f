//! One channel: a ring of items, a log of gaps beside it, and who is behind.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::delivery::Gap;
use crate::event::Event;

use super::gaps::{GapLog, GapReader};
use super::ledger::Ledger;
use super::reader::{Cursor, Reader};
use super::relief::Relief;
use super::ring::Ring;

/// How many items a reader takes out of the ring at once. They are in its hands then, and no longer overwritten;
/// what must be acknowledged is taken one by one.
const READ_AT_ONCE: usize = 64;

/// A channel for everything with the same key and capacity.
#[derive(Debug)]
pub(super) struct Channel<T, K> {
    key: K,
    capacity: usize,
    ring: Arc<Ring<T>>,
    /// Published, and not yet in the ring: a turn's items come together.
    batch: Vec<T>,
    /// What the ring had no room for, to be dropped when no lock is held.
    dropped: Vec<T>,
    gaps: Arc<Mutex<GapLog>>,
    /// Readers wait here, not on the ring, so that a whole turn's events wake them once.
    waker: Arc<Notify>,
    /// How many items were published since the channel was made.
    published: u64,
    /// There is something that readers have not been woken for.
    news: bool,
    readers: Vec<Seen>,
    /// Whether a reader has an account in the ledger.
    acknowledging: bool,
}

/// A reader, as the publisher sees it.
#[derive(Debug)]
struct Seen {
    cursor: Arc<Cursor>,
    /// Its number in the ledger.
    account: Option<u64>,
    /// It was given time to catch up and did not. Of no concern until it has.
    stuck: bool,
}

impl<T: Clone, K: PartialEq> Channel<T, K> {
    pub(super) fn find_or_add(channels: &mut Vec<Self>, key: K, capacity: usize) -> &mut Self {
        let found = channels.iter().position(|channel| channel.key == key && channel.capacity == capacity);
        let index = found.unwrap_or_else(|| {
            channels.push(Self {
                key,
                capacity,
                ring: Arc::new(Ring::new(capacity)),
                batch: Vec::new(),
                dropped: Vec::new(),
                gaps: Arc::default(),
                waker: Arc::default(),
                published: 0,
                news: false,
                readers: Vec::new(),
                acknowledging: false,
            });
            channels.len() - 1
        });
        &mut channels[index]
    }
}

impl<K> Channel<Event, K> {
    /// Publishes an event, and notes it for those who have to acknowledge it.
    #[inline]
    pub(super) fn publish_noted(&mut self, ledger: Option<&Ledger>, event: Event) {
        if self.acknowledging {
            self.note(ledger, &event);
        }
        self.publish(event);
        if self.acknowledging {
            // What the ledger knows of, is in the queue.
            self.flush();
        }
    }

    #[cold]
    fn note(&self, ledger: Option<&Ledger>, event: &Event) {
        if let Some(ledger) = ledger {
            ledger.published(self.readers.iter().filter_map(|reader| reader.account), event);
        }
    }
}

impl<T: Clone, K> Channel<T, K> {
    pub(super) fn key(&self) -> &K {
        &self.key
    }

    pub(super) fn key_mut(&mut self) -> &mut K {
        &mut self.key
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn reader(&mut self, relief: &Arc<Relief>, account: Option<u64>) -> Reader<T> {
        // Whoever comes now must not see what was published before.
        self.flush();
        let cursor = Arc::new(Cursor::at(self.published));
        // Most often it stays the only one.
        self.readers.reserve_exact(1);
        self.readers.push(Seen { cursor: Arc::clone(&cursor), account, stuck: false });
        self.acknowledging |= account.is_some();
        let batch = if account.is_some() { 1 } else { READ_AT_ONCE };
        let (ring, gaps) = (Arc::clone(&self.ring), GapReader::new(&self.gaps));
        Reader::new(ring, batch, gaps, cursor, Arc::clone(&self.waker), Arc::clone(relief), self.capacity)
    }

    #[inline]
    pub(super) fn publish(&mut self, item: T) {
        self.batch.push(item);
        self.published += 1;
        self.news = true;
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.ring.extend(&mut self.batch, &mut self.dropped);
        }
    }

    pub(super) fn publish_gap(&mut self, gap: Gap) {
        let oldest = self.published.saturating_sub((self.batch.len() + self.capacity) as u64);
        GapLog::lock(&self.gaps).push(gap, self.published, oldest);
        self.news = true;
    }

    pub(super) fn take_dropped(&mut self) -> Vec<T> {
        std::mem::take(&mut self.dropped)
    }

    /// The waker, if there is anything to wake readers for.
    pub(super) fn take_waker(&mut self) -> Option<Arc<Notify>> {
        self.flush();
        std::mem::take(&mut self.news).then(|| Arc::clone(&self.waker))
    }

    /// Whether a reader is more than half a queue behind and not known to be stuck.
    pub(super) fn is_crowded(&mut self) -> bool {
        let (published, half) = (self.published, self.capacity as u64 / 2);
        let mut crowded = false;
        for reader in &mut self.readers {
            let behind = reader.cursor.position() + half < published;
            reader.stuck &= behind;
            crowded |= behind && !reader.stuck;
        }
        crowded
    }

    /// How many items the slowest reader still has to take: a stuck one no more than the ring and its own
    /// buffer hold, since what was dropped is none of them.
    pub(super) fn lag(&self) -> u64 {
        let lag = |reader: &Seen| reader.cursor.lag(self.published, self.capacity as u64);
        self.readers.iter().map(lag).max().unwrap_or(0)
    }

    pub(super) fn give_up_on_stuck(&mut self) {
        let (published, half) = (self.published, self.capacity as u64 / 2);
        for reader in &mut self.readers {
            reader.stuck = reader.cursor.position() + half < published;
        }
    }

    /// The channels that have no readers any more.
    pub(super) fn take_unused(channels: &mut Vec<Self>) -> Vec<Self> {
        let mut unused = Vec::new();
        let mut index = 0;
        while index < channels.len() {
            if channels[index].is_used() {
                index += 1;
            } else {
                unused.push(channels.remove(index));
            }
        }
        unused
    }

    /// Forgets readers that have gone; whether any are left.
    fn is_used(&mut self) -> bool {
        self.readers.retain(|reader| !reader.cursor.is_gone());
        self.acknowledging = self.readers.iter().any(|reader| reader.account.is_some());
        !self.readers.is_empty()
    }

    /// How far each reader has come.
    pub(super) fn cursors(&self) -> impl Iterator<Item = Arc<Cursor>> {
        self.readers.iter().map(|reader| Arc::clone(&reader.cursor))
    }

    pub(super) fn close(mut self) {
        self.flush();
        self.readers.iter().for_each(|reader| reader.cursor.end_at(self.published));
        self.ring.close();
        self.waker.notify_waiters();
    }
}
