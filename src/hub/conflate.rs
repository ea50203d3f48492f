//! [`Conflation`]: the queue of one subscription that wants only the newest event of each key.
//!
//! Such a queue has one reader, because which event is the newest differs by what a reader has
//! taken. Keys and predicates are user code, so events wait in a batch until the hub's lock is
//! released; then the [`ConflateBatch`] enters the queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::event::{Delivery, Event, Gap};

use super::ack::AckTracker;
use super::drain::DrainSignal;
use super::filter::Filter;
use super::gaps::GapQueue;
use super::overflow::{Overflow, QueueItem as _, QueueLimits};
use super::predicate::Evaluator;
use super::readers::Cursor;
use super::subscription_stats::SubscriptionStats;
use super::sync::{Wakers, lock};

/// The publisher's side of the queue. Under the hub's lock.
#[derive(Debug)]
pub(super) struct Conflation {
    filter: Filter,
    evaluator: Option<Evaluator>,
    queue: Arc<ConflateQueue>,
    /// Its number in the tracker, if it acknowledges.
    ack: Option<u64>,
    /// The events and gaps of this turn.
    batch: Vec<Delivery>,
    published: u64,
}

/// The items that enter a queue when no lock is held.
pub(super) struct ConflateBatch {
    queue: Arc<ConflateQueue>,
    evaluator: Option<Evaluator>,
    ack: Option<u64>,
    deliveries: Vec<Delivery>,
}

/// The positions of events that a queue does not hold, for the tracker.
#[derive(Debug, Default)]
struct NotKept {
    /// A newer event has replaced it, or a predicate has rejected it.
    unneeded: Vec<u64>,
    /// There was no room for it, or the subscription ended before it.
    lost: Vec<u64>,
}

impl Conflation {
    /// Makes a queue and its reader.
    pub(super) fn new(
        filter: Filter,
        evaluator: Option<Evaluator>,
        limits: &QueueLimits,
        name: Arc<str>,
        drain: &Arc<DrainSignal>,
        ack: Option<u64>,
    ) -> (Self, ConflateReader) {
        let (state, cursor) = (Mutex::default(), Arc::new(Cursor::at(0, name)));
        let queue = Arc::new(ConflateQueue { state, limits: limits.clone(), cursor });
        let reader = ConflateReader { queue: Arc::clone(&queue), drain: Arc::clone(drain) };
        (Self { filter, evaluator, queue, ack, batch: Vec::new(), published: 0 }, reader)
    }

    /// Returns true if its predicate has panicked: then nothing more comes.
    pub(super) fn has_failed(&self) -> bool {
        self.evaluator.as_ref().is_some_and(Evaluator::has_failed)
    }

    /// Returns true if events of this type go into the queue. After a failure none do.
    pub(super) fn matches(&self, event_type: &str) -> bool {
        self.filter.matches(event_type) && !self.has_failed()
    }

    /// Publishes an event whose type matches.
    pub(super) fn publish(&mut self, tracker: Option<&AckTracker>, event: Event) {
        if let (Some(tracker), Some(ack)) = (tracker, self.ack) {
            // Noted now, under the hub's lock: the tracker needs the order of publication, and the
            // batch enters the queue later.
            tracker.published(&[ack], &event);
        }
        self.published += 1;
        self.batch.push(Delivery::Event(event));
    }

    /// Publishes a gap, unless the subscription has ended.
    pub(super) fn publish_gap(&mut self, gap: Gap) {
        if !self.has_failed() {
            self.batch.push(Delivery::Gap(gap));
        }
    }

    /// Takes what has to enter the queue when no lock is held.
    pub(super) fn take_batch(&mut self) -> Option<ConflateBatch> {
        if self.batch.is_empty() {
            return None;
        }
        let (queue, deliveries) = (Arc::clone(&self.queue), std::mem::take(&mut self.batch));
        Some(ConflateBatch { queue, evaluator: self.evaluator.clone(), ack: self.ack, deliveries })
    }

    pub(super) fn cursor(&self) -> Arc<Cursor> {
        Arc::clone(&self.queue.cursor)
    }

    /// Returns true if its reader is there.
    pub(super) fn has_reader(&self) -> bool {
        !self.queue.cursor.is_gone()
    }

    /// Returns how many events its reader has yet to take.
    pub(super) fn lag(&self) -> u64 {
        self.published.saturating_sub(self.queue.cursor.position())
    }

    /// Returns true if its reader has taken everything that was published.
    pub(super) fn has_caught_up(&self) -> bool {
        let has_taken_all = self.queue.cursor.has_taken_all(self.published);
        has_taken_all && self.has_reader() && !self.has_failed() && self.queue.lock().gaps.first().is_none()
    }

    /// Returns what its reader has to take and has lost.
    pub(super) fn stats(&self, tracker: Option<&AckTracker>) -> SubscriptionStats {
        let state = self.queue.lock();
        let (queued, unknown) = (state.events.len() as u64, state.gaps.missed());
        drop(state);
        SubscriptionStats::new(&self.queue.cursor, queued, unknown, self.ack.zip(tracker))
    }

    /// Ends the queue after what was published. No lock may be held: keys are user code.
    pub(super) fn close(&mut self, tracker: Option<&AckTracker>, wakers: &mut Wakers) {
        if let Some(batch) = self.take_batch() {
            batch.enter(tracker, wakers);
        }
        self.queue.cursor.end_at(self.published, 0);
        self.queue.close(wakers);
    }
}

impl ConflateBatch {
    /// Evaluates the predicate and the keys, and enters what passes. Returns true if the predicate
    /// has panicked. No lock may be held.
    pub(super) fn enter(mut self, tracker: Option<&AckTracker>, wakers: &mut Wakers) -> bool {
        let mut not_kept = NotKept::default();
        self.evaluate(&mut not_kept);
        let has_panicked = !not_kept.lost.is_empty();
        let rejected = not_kept.unneeded.len() + not_kept.lost.len();
        // They were counted as published, and will not be taken.
        self.queue.cursor.skip(rejected as u64);
        self.queue.enter(self.deliveries, &mut not_kept, wakers);
        if let (Some(tracker), Some(ack)) = (tracker, self.ack) {
            tracker.removed(ack, &not_kept.unneeded, &not_kept.lost);
        }
        if has_panicked {
            // Only after what passed before the panic has entered.
            self.queue.close(wakers);
        }
        has_panicked
    }

    /// Keeps what passes the predicate. After a panic nothing does.
    fn evaluate(&mut self, not_kept: &mut NotKept) {
        let Some(evaluator) = &self.evaluator else { return };
        let mut deliveries = std::mem::take(&mut self.deliveries).into_iter();
        let reject = |event: &Event| not_kept.unneeded.push(event.position());
        let panicked_at = evaluator.evaluate(&mut deliveries, |delivery| self.deliveries.push(delivery), reject);
        if panicked_at.is_some() {
            let lost = panicked_at.into_iter().chain(deliveries.filter_map(Delivery::event));
            not_kept.lost.extend(lost.map(|event| event.position()));
        }
    }
}

/// The queue: filled by the connection task, emptied by one reader.
#[derive(Debug)]
struct ConflateQueue {
    state: Mutex<ConflateState>,
    limits: QueueLimits,
    cursor: Arc<Cursor>,
}

/// The state that the queue's lock protects. No user code runs under it.
#[derive(Debug, Default)]
struct ConflateState {
    /// Events by position. Positions only rise.
    events: BTreeMap<u64, KeyedEvent>,
    // The keys are shared with `events`, because their length is the caller's choice.
    places: HashMap<Arc<str>, u64>,
    /// Gaps in order. Each stands before the event at its position.
    gaps: GapQueue,
    next_place: u64,
    bytes: u64,
    closed: bool,
    waker: Option<Waker>,
}

/// An event, and the key under which a newer one replaces it.
#[derive(Debug)]
struct KeyedEvent {
    key: Arc<str>,
    event: Event,
}

impl ConflateQueue {
    /// Enters what has passed, and notes what leaves the queue for it.
    fn enter(&self, deliveries: Vec<Delivery>, not_kept: &mut NotKept, wakers: &mut Wakers) {
        let keyed: Vec<_> = deliveries.into_iter().map(|delivery| (self.key(&delivery), delivery)).collect();
        // A value decoded from an event is the user's and dropped with it, so not under the lock.
        let (mut replaced, mut lost) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        for (key, delivery) in keyed {
            match delivery {
                Delivery::Gap(gap) => state.enter_gap(gap),
                Delivery::Event(event) => {
                    replaced.extend(state.enter(key, event));
                    state.shorten(&self.limits, &mut lost);
                }
            }
        }
        wakers.extend(state.waker.take());
        drop(state);
        // Events that had no room count as skipped at once: they are not there to be taken any
        // more.
        self.cursor.skip((replaced.len() + lost.len()) as u64);
        not_kept.unneeded.extend(replaced.iter().map(Event::position));
        not_kept.lost.extend(lost.iter().map(Event::position));
    }

    fn close(&self, wakers: &mut Wakers) {
        let mut state = self.lock();
        state.closed = true;
        wakers.extend(state.waker.take());
    }

    /// Computes the key of an event. Calls user code, so no lock may be held.
    fn key(&self, delivery: &Delivery) -> Arc<str> {
        match (delivery, &self.limits.overflow) {
            (Delivery::Event(event), Overflow::ConflateBy(key)) => key.of_or_type(event),
            (Delivery::Event(event), _) => event.event_type().into(),
            (Delivery::Gap(_), _) => "".into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConflateState> {
        lock(&self.state)
    }
}

impl ConflateState {
    /// Enters an event, and returns the one that it replaces.
    fn enter(&mut self, key: Arc<str>, event: Event) -> Option<Event> {
        self.bytes += event.bytes();
        let place = self.places.get(&key).copied();
        let newest_gap = self.gaps.last().unwrap_or(0);
        let replaced = match place {
            // Where the older event was: a busy key neither waits forever nor keeps others waiting.
            Some(place) if place >= newest_gap => {
                let held = self.events.get_mut(&place)?;
                std::mem::replace(&mut held.event, event)
            }
            place => {
                // Never across a gap: an event that stands after it came after it.
                let replaced = place.and_then(|place| self.events.remove(&place));
                self.places.insert(Arc::clone(&key), self.next_place);
                self.events.insert(self.next_place, KeyedEvent { key, event });
                self.next_place += 1;
                replaced?.event
            }
        };
        self.bytes -= replaced.bytes();
        Some(replaced)
    }

    /// Drops the events that have waited longest until the rest fits.
    fn shorten(&mut self, limits: &QueueLimits, lost: &mut Vec<Event>) {
        // One event always fits, or a subscription with a small queue would never get a large
        // event.
        while self.events.len() > limits.capacity || (self.bytes > limits.bytes && self.events.len() > 1) {
            let Some((place, event)) = self.pop() else { return };
            lost.push(event);
            self.gaps.insert_lag(place);
        }
    }

    /// Appends a gap.
    fn enter_gap(&mut self, gap: Gap) {
        let Self { events, gaps, next_place, .. } = self;
        // Events that stood between any two gaps may have moved.
        gaps.push(*next_place, gap, u64::MAX, |older, newer| events.range(older..newer).next().is_none());
    }

    /// Removes the first event, and returns it with its position.
    fn pop(&mut self) -> Option<(u64, Event)> {
        let (place, KeyedEvent { key, event }) = self.events.pop_first()?;
        self.places.remove(&key);
        self.bytes -= event.bytes();
        Some((place, event))
    }

    /// Takes the gap before the first event.
    fn take_gap(&mut self) -> Option<Delivery> {
        let first = self.events.first_key_value().map_or(u64::MAX, |(&place, _)| place);
        self.gaps.take(first).map(Delivery::Gap)
    }

    /// Takes what comes first: a gap or an event, then the end.
    fn take(&mut self) -> Poll<Option<Delivery>> {
        match self.take_gap().or_else(|| self.pop().map(|(_, event)| Delivery::Event(event))) {
            None if !self.closed => Poll::Pending,
            next => Poll::Ready(next),
        }
    }
}

/// The one reader of the queue.
#[derive(Debug)]
pub(crate) struct ConflateReader {
    queue: Arc<ConflateQueue>,
    pub(super) drain: Arc<DrainSignal>,
}

impl ConflateReader {
    pub(super) fn cursor(&self) -> &Cursor {
        &self.queue.cursor
    }

    /// Returns how many events there are to take.
    pub(super) fn left(&self) -> u64 {
        self.queue.lock().events.len() as u64
    }

    /// See [`Reader::poll_take_with`](super::Reader::poll_take_with).
    pub(super) fn poll_take_with(
        &mut self,
        cx: &Context<'_>,
        mut take: impl FnMut(&mut Self) -> Poll<Option<Delivery>>,
    ) -> Poll<Option<Delivery>> {
        let taken = self.try_take_with(&mut take);
        if taken.is_ready() {
            return taken;
        }
        // Wakers are neither cloned nor dropped under the lock.
        let waker = cx.waker().clone();
        let replaced = self.queue.lock().waker.replace(waker);
        drop(replaced);
        // Something may have come before the waker was in place.
        self.try_take_with(take)
    }

    /// Takes what is there without waiting, with a `take` as above.
    pub(super) fn try_take_with(
        &mut self,
        take: impl FnOnce(&mut Self) -> Poll<Option<Delivery>>,
    ) -> Poll<Option<Delivery>> {
        let taken = take(self);
        self.drain.report(self.cursor(), || self.left());
        taken
    }

    /// Takes what is there. Calls no waker.
    pub(super) fn take(&self) -> Poll<Option<Delivery>> {
        if self.drain.is_cut_off() {
            // A drain has run out of time: no event, but a loss is still reported.
            return Poll::Ready(self.queue.lock().take_gap());
        }
        let taken = self.queue.lock().take();
        if let Poll::Ready(Some(Delivery::Event(_))) = taken {
            self.cursor().took();
        }
        taken
    }
}

impl Drop for ConflateReader {
    fn drop(&mut self) {
        self.cursor().end_at(self.cursor().position() + self.left(), 0);
        // In two steps: the lock is free again after the first, and dropping a waker is user code.
        let waker = self.queue.lock().waker.take();
        drop(waker);
        self.cursor().leave();
        self.drain.reader_done();
    }
}
