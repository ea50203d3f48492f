//! [`Latest`]: the queue of one subscription that wants only the newest event of each key.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::panics::catch;
use crate::event::{Event, Gap};
use crate::hub::Overflow;

use super::ack::AckTracker;
use super::cursor::Cursor;
use super::finish::DrainSignal;
use super::limits::{QueueLimits, Weigh as _};
use super::predicate::Sent;
use super::reader::Received;
use super::wakers::Wakers;

/// Filled by the connection task, emptied by one reader.
#[derive(Debug)]
pub(super) struct Latest {
    queue: Mutex<Queue>,
    limits: QueueLimits,
    cursor: Arc<Cursor>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By place, which rises.
    entries: BTreeMap<u64, Entry>,
    places: HashMap<Arc<str>, u64>,
    /// Each stands before the entries from its place on.
    gaps: VecDeque<(u64, Gap)>,
    next: u64,
    bytes: u64,
    closed: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Entry {
    key: Arc<str>,
    event: Event,
}

/// What has left the queue without being taken, or never came into it, for the ack.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// By something newer, or by a predicate.
    pub(super) replaced: Vec<u64>,
    pub(super) lost: Vec<u64>,
}

impl Latest {
    pub(super) fn new(limits: QueueLimits, cursor: Arc<Cursor>) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), limits, cursor })
    }

    pub(super) fn reader(self: &Arc<Self>, finish: &Arc<DrainSignal>) -> LatestReader {
        LatestReader { queue: Arc::clone(self), finish: Arc::clone(finish) }
    }

    /// Takes in what was published, without any lock: keys are users' code. `removed`: what has not passed.
    /// `account`: where it has to be acknowledged.
    pub(super) fn enter(
        &self,
        batch: Vec<Sent>,
        mut removed: Removed,
        account: Option<(&AckTracker, u64)>,
        wakers: &mut Wakers,
    ) {
        let keyed: Vec<_> = batch.into_iter().map(|sent| (self.key(&sent), sent)).collect();
        let turned_down = removed.replaced.len() + removed.lost.len();
        // What was decoded from an event is a user's, and dropped with it: not under the lock.
        let (mut replaced, mut lost) = (Vec::new(), Vec::new());
        let mut queue = self.lock();
        for (key, sent) in keyed {
            match sent {
                Sent::Gap(gap) => queue.gap(gap),
                Sent::Event(event) => {
                    replaced.extend(queue.enter(key, event));
                    queue.shorten(&self.limits, &mut lost);
                }
            }
        }
        wakers.extend(queue.waker.take());
        drop(queue);
        // Also what had no room, of which its reader is yet to be told: it is not there to be taken any more.
        self.cursor.skipped((turned_down + replaced.len() + lost.len()) as u64);
        removed.replaced.extend(replaced.iter().map(Event::position));
        removed.lost.extend(lost.iter().map(Event::position));
        if let Some((ack, account)) = account {
            ack.removed(account, &removed.replaced, &removed.lost);
        }
    }

    pub(super) fn close(&self, wakers: &mut Wakers) {
        let mut queue = self.lock();
        queue.closed = true;
        wakers.extend(queue.waker.take());
    }

    fn key(&self, sent: &Sent) -> Arc<str> {
        match (sent, &self.limits.overflow) {
            // A key that panics concerns only its own subscription.
            (Sent::Event(event), Overflow::ConflateBy(key)) => {
                catch(|| key.of(event)).map_or_else(|_| event.event_type().into(), Arc::from)
            }
            (Sent::Event(event), _) => event.event_type().into(),
            (Sent::Gap(_), _) => "".into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here can leave it half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The event that this one replaces.
    fn enter(&mut self, key: Arc<str>, event: Event) -> Option<Event> {
        self.bytes += event.weight();
        let held = self.places.get(&key).copied();
        let newest_gap = self.gaps.back().map_or(0, |&(at, _)| at);
        let replaced = match held {
            // Where the older one was: a key that is busy neither waits for ever, nor keeps others waiting.
            Some(place) if place >= newest_gap => {
                let entry = self.entries.get_mut(&place)?;
                std::mem::replace(&mut entry.event, event)
            }
            held => {
                // Never across a gap: what stands after it came after it.
                let replaced = held.and_then(|place| self.entries.remove(&place));
                self.places.insert(Arc::clone(&key), self.next);
                self.entries.insert(self.next, Entry { key, event });
                self.next += 1;
                replaced?.event
            }
        };
        self.bytes -= replaced.weight();
        Some(replaced)
    }

    /// Drops what has waited longest until the rest fits.
    fn shorten(&mut self, limits: &QueueLimits, lost: &mut Vec<Event>) {
        while self.entries.len() > limits.capacity || (self.bytes > limits.bytes && self.entries.len() > 1) {
            let Some((place, entry)) = self.pop() else { return };
            lost.push(entry);
            self.lag(place);
        }
    }

    /// The first entry is gone: told where it was.
    fn lag(&mut self, place: u64) {
        let before = self.gaps.partition_point(|&(at, _)| at <= place);
        // Not across another gap: what was lost after a reconnection, was lost after it.
        match before.checked_sub(1).and_then(|last| self.gaps.get_mut(last)) {
            Some((_, Gap::Lagged { missed })) => *missed += 1,
            _ => self.gaps.insert(before, (place, Gap::lagged(1))),
        }
    }

    fn gap(&mut self, gap: Gap) {
        self.gaps.push_back((self.next, gap));
        // Entries that stood between gaps may have moved or gone: then those are neighbours now.
        let mut index = 0;
        while index < self.gaps.len() {
            let (at, gap) = &self.gaps[index];
            let same = |(_, other): &(u64, Gap)| other.same_kind(gap);
            let newer = self.gaps.range(index + 1..).position(same).map(|distance| index + 1 + distance);
            match newer.filter(|&newer| self.entries.range(at..&self.gaps[newer].0).next().is_none()) {
                None => index += 1,
                Some(newer) => {
                    if let Some((_, older)) = self.gaps.remove(index) {
                        self.gaps[newer - 1].1.absorb(&older);
                    }
                }
            }
        }
    }

    fn pop(&mut self) -> Option<(u64, Event)> {
        let (place, Entry { key, event }) = self.entries.pop_first()?;
        self.places.remove(&key);
        self.bytes -= event.weight();
        Some((place, event))
    }

    fn take(&mut self) -> Option<Received<Event>> {
        let first = self.entries.first_key_value().map(|(&place, _)| place);
        if self.gaps.front().is_some_and(|&(at, _)| first.is_none_or(|first| at <= first)) {
            return self.gaps.pop_front().map(|(_, gap)| match gap {
                Gap::Lagged { missed } => Received::Lagged(missed),
                gap => Received::Gap(gap),
            });
        }
        match self.pop() {
            Some((_, event)) => Some(Received::Item(event)),
            None if self.closed => Some(Received::Closed),
            None => None,
        }
    }
}

/// The one who takes.
#[derive(Debug)]
pub(crate) struct LatestReader {
    queue: Arc<Latest>,
    finish: Arc<DrainSignal>,
}

impl LatestReader {
    pub(crate) fn queued(&self) -> u64 {
        if self.finish.is_cut() { 0 } else { self.queue.lock().entries.len() as u64 }
    }

    /// As [`Cursor::keep`].
    pub(super) fn keep(&self, events: u64) {
        self.queue.cursor.keep(events);
    }

    /// As [`Cursor::took_beside`].
    pub(super) fn took_beside(&self) {
        self.queue.cursor.took_beside();
        self.relieve();
    }

    /// Nothing more is to be taken.
    pub(super) fn is_cut(&self) -> bool {
        self.finish.is_cut()
    }

    /// As [`Reader::poll_take_with`](super::Reader::poll_take_with).
    pub(crate) fn poll_take_with(
        &mut self,
        cx: &Context<'_>,
        mut take: impl FnMut(&mut Self) -> Option<Received<Event>>,
    ) -> Poll<Received<Event>> {
        loop {
            if let Some(taken) = self.try_take_with(&mut take) {
                return Poll::Ready(taken);
            }
            if self.sleep(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    pub(crate) fn try_take_with(
        &mut self,
        take: impl FnOnce(&mut Self) -> Option<Received<Event>>,
    ) -> Option<Received<Event>> {
        let taken = take(self);
        self.relieve();
        taken
    }

    /// Tells who waits for it, once this reader has taken everything.
    fn relieve(&self) {
        if self.finish.is_awaited() && self.queued() == 0 {
            self.finish.finished();
        }
    }

    /// What is there. Calls no waker.
    pub(crate) fn take(&self) -> Option<Received<Event>> {
        if self.finish.is_cut() {
            return Some(Received::Closed);
        }
        let taken = self.queue.lock().take()?;
        if matches!(taken, Received::Item(_)) {
            self.queue.cursor.took();
        }
        Some(taken)
    }

    /// False if something has come meanwhile.
    fn sleep(&self, waker: &Waker) -> bool {
        // Neither cloned nor dropped under the lock.
        let mut waker = Some(waker.clone());
        let mut queue = self.queue.lock();
        let is_empty = queue.entries.is_empty() && queue.gaps.is_empty() && !queue.closed;
        if is_empty {
            std::mem::swap(&mut queue.waker, &mut waker);
        }
        drop(queue);
        is_empty
    }
}

impl Drop for LatestReader {
    fn drop(&mut self) {
        let cursor = &self.queue.cursor;
        cursor.end_at(cursor.position() + self.queue.lock().entries.len() as u64);
        let waker = self.queue.lock().waker.take();
        drop(waker);
        cursor.went();
        self.finish.finished();
    }
}
