//! One channel: a ring of items, a log of gaps beside it, and who reads.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::event::{Event, Gap};

use super::ack::AckTracker;
use super::cursor::Cursor;
use super::finish::DrainSignal;
use super::gaps::{GapLog, GapReader};
use super::gate::Gate;
use super::limits::{Held, QueueLimits, Weigh};
use super::reader::{READ_AT_ONCE, Reader};
use super::readers::Verdict;
use super::ring::Ring;
use super::wakers::Wakers;

/// A channel for everything with the same key and limits.
#[derive(Debug)]
pub(super) struct Channel<T, K> {
    key: K,
    limits: QueueLimits,
    ring: Arc<Ring<T>>,
    /// Published, and not yet in the ring: a turn's items come together.
    batch: Vec<T>,
    /// What the ring had no room for, to be dropped when no lock is held.
    dropped: Vec<T>,
    /// What may be published before the ring has to be asked again. Readers only make more.
    room: Held,
    gaps: Arc<Mutex<GapLog>>,
    /// How many items were published since the channel was made.
    published: u64,
    /// There is something that readers have not been woken for.
    news: bool,
    readers: Vec<Seen>,
    /// Whether a reader has an account in the ack.
    acknowledging: bool,
}

/// A reader, as the hub sees it.
#[derive(Debug)]
struct Seen {
    cursor: Arc<Cursor>,
    /// Its number in the ack.
    account: Option<u64>,
}

impl<T: Clone + Weigh, K: PartialEq> Channel<T, K> {
    /// `reserve`: how many items more than its capacity the channel's queues hold before the oldest go.
    pub(super) fn find_or_add<'a>(
        channels: &'a mut Vec<Self>,
        key: K,
        limits: &QueueLimits,
        reserve: usize,
        gate: &Arc<Gate>,
    ) -> &'a mut Self {
        let found = channels.iter().position(|channel| channel.key == key && channel.limits == *limits);
        let index = found.unwrap_or_else(|| {
            channels.push(Self {
                key,
                limits: limits.clone(),
                ring: Arc::new(Ring::new(limits.clone(), reserve, Arc::clone(gate))),
                batch: Vec::new(),
                dropped: Vec::new(),
                room: Held::default(),
                gaps: Arc::default(),
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
    /// Publishes an event, and notes it for those who have to acknowledge it. Whether there is room for another.
    #[inline]
    pub(super) fn publish_noted(&mut self, ack: Option<&AckTracker>, event: Event) -> bool {
        let has_room = self.reserve(&event);
        self.enter_noted(ack, event);
        has_room
    }

    /// The same, of an event for which there is room.
    #[inline]
    pub(super) fn enter_noted(&mut self, ack: Option<&AckTracker>, event: Event) {
        if self.acknowledging {
            self.note(ack, &event);
        }
        self.enter(event);
        if self.acknowledging {
            // What the ack knows of, is in the queue.
            self.flush();
        }
    }

    #[cold]
    fn note(&self, ack: Option<&AckTracker>, event: &Event) {
        if let Some(ack) = ack {
            ack.published(self.readers.iter().filter_map(|reader| reader.account), event);
        }
    }
}

impl<T: Clone + Weigh, K> Channel<T, K> {
    pub(super) fn key(&self) -> &K {
        &self.key
    }

    pub(super) fn key_mut(&mut self) -> &mut K {
        &mut self.key
    }

    pub(super) fn reader(&mut self, gate: &Arc<Gate>, finish: &Arc<DrainSignal>, account: Option<u64>) -> Reader<T> {
        // Whoever comes now must not see what was published before.
        self.flush();
        let cursor = Arc::new(Cursor::at(self.published));
        // Most often it stays the only one.
        self.readers.reserve_exact(1);
        self.readers.push(Seen { cursor: Arc::clone(&cursor), account });
        self.acknowledging |= account.is_some();
        let batch = if account.is_some() { 1 } else { READ_AT_ONCE };
        let (ring, gaps) = (Arc::clone(&self.ring), GapReader::new(&self.gaps));
        Reader::new(ring, batch, gaps, cursor, Arc::clone(gate), Arc::clone(finish))
    }

    /// Whether there is room for another.
    #[inline]
    pub(super) fn publish(&mut self, item: T) -> bool {
        let has_room = self.reserve(&item);
        self.enter(item);
        has_room
    }

    /// Keeps room for an item. Whether there is room for another.
    #[inline]
    pub(super) fn reserve(&mut self, item: &T) -> bool {
        self.room.items = self.room.items.saturating_sub(1);
        self.room.bytes = self.room.bytes.saturating_sub(item.weight());
        self.room.items > 0 && self.room.bytes > 0
    }

    #[inline]
    fn enter(&mut self, item: T) {
        self.batch.push(item);
        self.published += 1;
        self.news = true;
    }

    /// How many items may be published; and whether somebody may be overrun who moves.
    pub(super) fn survey(&mut self) -> (u64, bool) {
        let mut crowded = false;
        if self.room.items == 0 || self.room.bytes == 0 {
            self.flush();
            let survey = self.ring.survey();
            (self.room, crowded) = (survey.room, survey.crowded);
        }
        (if self.room.bytes == 0 { 0 } else { self.room.items }, crowded)
    }

    /// What its readers lost comes again: the publisher asks before it goes on over one of them.
    pub(super) fn begin_anew(&mut self) {
        self.ring.forgive();
        self.room = Held::default();
    }

    /// From now on the publisher waits for readers that are full.
    pub(super) fn hold(&self, now: Instant) {
        if self.limits.waits() {
            self.ring.hold(now);
        }
    }

    /// Gives up on readers that had the time to move.
    pub(super) fn judge(&self, now: Instant) -> Verdict {
        self.ring.judge(now)
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.ring.extend(&mut self.batch, &mut self.dropped, None);
        }
    }

    pub(super) fn publish_gap(&mut self, gap: Gap) {
        let oldest = self.published.saturating_sub((self.batch.len() + self.limits.capacity) as u64);
        GapLog::lock(&self.gaps).push(gap, self.published, oldest);
        self.news = true;
    }

    /// Puts what was published into the ring. Hands out whom to wake for it, and what was dropped.
    pub(super) fn settle(&mut self, wakers: &mut Wakers) -> Option<Vec<T>> {
        if std::mem::take(&mut self.news) {
            self.ring.extend(&mut self.batch, &mut self.dropped, Some(wakers));
        }
        (!self.dropped.is_empty()).then(|| std::mem::take(&mut self.dropped))
    }

    /// How many items the slowest reader still has to take: a stuck one no more than the ring and its own
    /// buffer hold, since what was dropped is none of them.
    pub(super) fn lag(&self) -> u64 {
        let first = self.ring.first();
        let lag = |reader: &Seen| reader.cursor.lag(first, self.published, self.limits.capacity as u64);
        self.readers.iter().map(lag).max().unwrap_or(0)
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

    pub(super) fn close(&mut self, wakers: &mut Wakers) {
        self.flush();
        self.readers.iter().for_each(|reader| reader.cursor.end_at(self.published));
        self.ring.close(wakers);
    }
}
