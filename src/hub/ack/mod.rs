//! [`AckTracker`]: which events are unacknowledged, and up to which ID all are acknowledged.
//!
//! Events are told apart by their position in the stream, because IDs repeat and are inherited.
//! Each acknowledging subscription has an [`AckHandle`], and may share it as an [`Acknowledger`].
//! The stream is safe up to the newest acknowledged event before anything that any subscription has
//! *open*: in its queue, or taken and not acknowledged. Events in a row that set the same ID are
//! safe together or not at all: see [`IdRuns`].
//!
//! An event that can never be acknowledged (the queue dropped it, or its predicate panicked) holds
//! the stream where it is, until the program goes back (`Handle::reconnect_from`).

mod acknowledger;
mod id_runs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use tokio::sync::Notify;

use crate::event::{Delivery, Event};
use crate::resume::MAX_ID;

pub(crate) use self::acknowledger::AckHandle;
pub use self::acknowledger::Acknowledger;
use self::id_runs::IdRuns;
use super::sync::lock;

/// The number of events that a subscription may have taken and not acknowledged. More are not told
/// apart, and hold the stream where it is.
const MAX_UNACKNOWLEDGED: usize = 64 * 1024;

/// The number of names of subscriptions that are gone which are kept until they are reported.
/// Without a store that waits for acknowledgements they never are.
const MAX_FROZEN: usize = 64;

/// Up to this many acknowledged IDs none are pruned: that costs a look at each subscription.
const MIN_PRUNED: usize = 64;

/// All acknowledging subscriptions of one stream. Locked after the hub, never before it.
#[derive(Debug)]
pub(crate) struct AckTracker {
    state: Mutex<AckState>,
    /// An event has been acknowledged since the connection task last looked.
    has_news: AtomicBool,
    /// The task wants to be woken by each acknowledgement, not only by the first since it last
    /// looked.
    is_eager: AtomicBool,
    signal: Arc<Notify>,
}

/// The state that the tracker's lock protects.
#[derive(Debug, Default)]
struct AckState {
    /// Sorted by number.
    subscribers: Vec<AckSubscriber>,
    last_number: u64,
    runs: IdRuns,
    /// The IDs of acknowledged events that are not yet known to be safe, by position.
    acknowledged: BTreeMap<u64, Arc<str>>,
    /// At this many, IDs that make no difference are pruned.
    prune_at: usize,
    /// The first position that subscriptions which were dropped have left open.
    barrier: Option<u64>,
    /// The names of subscriptions that are gone and hold the stream where it is, until they are
    /// reported.
    frozen: Vec<Arc<str>>,
    /// The program has gone back: events up to this position do not count.
    restarted_at: u64,
    /// The program has asked to go back, and the task has not done so yet.
    is_restarting: bool,
    /// The ID that the program has gone back to, until the task has seen it.
    restarted_from: Option<Arc<str>>,
}

/// The open events of one subscription.
#[derive(Debug)]
struct AckSubscriber {
    number: u64,
    name: Arc<str>,
    /// The positions of the events in its queue.
    queued: VecDeque<u64>,
    /// The number of those that the queue holds.
    capacity: usize,
    /// The queue keeps only the newest event of each key, and says itself what it does not keep.
    conflates: bool,
    /// Taken and not acknowledged.
    taken: BTreeSet<u64>,
    /// The first position that can never be acknowledged.
    lost: Option<u64>,
    /// That position has been reported.
    is_reported: bool,
    /// The subscription was dropped: nothing enters its queue any more.
    has_left: bool,
}

impl AckSubscriber {
    /// Notes an event that enters the queue. A full queue drops its oldest for it.
    fn published(&mut self, position: u64) {
        if self.has_left {
            return;
        }
        if self.queued.len() == self.capacity {
            let dropped = self.queued.pop_front();
            // The first one stays. Positions rise in a queue, so a later one changes nothing.
            self.lost = self.lost.or(dropped);
        }
        self.queued.push_back(position);
    }

    /// Notes an event that the subscription has taken. Its queue may have dropped others before it.
    fn took(&mut self, position: u64, restarted_at: u64) {
        // A newer event was noted as pushing this one out, but it was taken before that one was
        // queued.
        self.lost = self.lost.filter(|&lost| lost != position);
        if self.conflates {
            self.remove(position);
        } else {
            self.dequeue(position);
        }
        if position <= restarted_at {
            return;
        }
        if self.taken.len() < MAX_UNACKNOWLEDGED {
            self.taken.insert(position);
        } else {
            // One that is not noted cannot be acknowledged. Without a limit a subscription that
            // never acknowledges would fill the memory.
            self.lost(position);
        }
    }

    /// Removes everything up to `position` from a queue that is taken in order.
    fn dequeue(&mut self, position: u64) {
        while let Some(&queued) = self.queued.front().filter(|&&queued| queued <= position) {
            self.queued.pop_front();
            // The queue has dropped it: it may be full of bytes before it is full of events.
            if queued < position {
                self.lost = self.lost.or(Some(queued));
            }
        }
    }

    /// Notes an event that can never be acknowledged. The first position counts, in whichever order
    /// they become known.
    fn lost(&mut self, position: u64) {
        self.lost = self.lost.into_iter().chain([position]).min();
    }

    /// Returns true if an event can never be acknowledged, and that has not been reported.
    fn is_unreported(&self) -> bool {
        self.lost.is_some() && !self.is_reported
    }

    /// Returns how many events are open. Those that can never be acknowledged count as one.
    fn unacknowledged(&self) -> u64 {
        (self.queued.len() + self.taken.len()) as u64 + u64::from(self.lost.is_some())
    }

    /// Removes an event from the queue. Returns true if it was there.
    fn remove(&mut self, position: u64) -> bool {
        let found = self.queued.binary_search(&position);
        found.is_ok_and(|index| self.queued.remove(index).is_some())
    }

    /// The first position that is open. In a queue that conflates it may be behind what was taken.
    fn first_open(&self) -> Option<u64> {
        self.taken.first().into_iter().chain(self.queued.front()).chain(&self.lost).min().copied()
    }

    /// Returns true if anything in this range is open.
    fn has_open(&self, range: &RangeInclusive<u64>) -> bool {
        let queued = self.queued.get(self.queued.partition_point(|queued| queued < range.start()));
        let mut others = queued.into_iter().chain(&self.lost);
        self.taken.range(range.clone()).next().is_some() || others.any(|open| range.contains(open))
    }
}

impl AckState {
    fn subscriber(&mut self, number: u64) -> Option<&mut AckSubscriber> {
        let index = self.index(number)?;
        self.subscribers.get_mut(index)
    }

    /// Called for each event and each of its readers, of which there may be thousands.
    fn index(&self, number: u64) -> Option<usize> {
        self.subscribers.binary_search_by_key(&number, |subscriber| subscriber.number).ok()
    }

    /// Keeps the ID of an event that was acknowledged. One that no request can carry is of no use:
    /// the ID before it stays the newest.
    fn acknowledged(&mut self, position: u64, event: &Event) {
        if event.last_event_id().len() > MAX_ID {
            return;
        }
        self.acknowledged.insert(position, event.shared_last_event_id());
        if self.acknowledged.len() >= self.prune_at {
            self.prune();
            // Doubled, so that pruning costs each acknowledgement a constant time on average.
            self.prune_at = MIN_PRUNED.max(2 * self.acknowledged.len());
        }
    }

    /// Forgets IDs that make no difference, so that there are not many more than there are open
    /// events.
    fn prune(&mut self) {
        // After an event that can never be acknowledged nothing is ever safe. One ID stays, for the
        // case that the event can be acknowledged after all.
        let lost = self.subscribers.iter().filter_map(|subscriber| subscriber.lost).chain(self.barrier).min();
        if let Some(lost) = lost {
            let newest = self.acknowledged.split_off(&lost).pop_last();
            self.acknowledged.extend(newest);
        }
        // Of a thousand subscriptions most have nothing open.
        let open: Vec<_> = self.subscribers.iter().filter(|subscriber| subscriber.first_open().is_some()).collect();
        let positions: Vec<u64> = self.acknowledged.keys().copied().collect();
        let pairs = positions.windows(2).filter(|pair| self.is_implied(&open, pair[0], pair[1]));
        let implied: Vec<u64> = pairs.map(|pair| pair[0]).collect();
        for position in implied {
            self.acknowledged.remove(&position);
        }
    }

    /// Returns true if the ID of `newer` is safe whenever that of `older` is: nothing is open in
    /// between, or at the newer event itself, which another subscription may have.
    fn is_implied(&self, open: &[&AckSubscriber], older: u64, newer: u64) -> bool {
        let Some(needed) = self.runs.needed(older + 1, newer) else { return false };
        let is_barred = self.barrier.is_some_and(|barrier| needed.contains(&barrier));
        !is_barred && !open.iter().any(|subscriber| subscriber.has_open(&needed))
    }
}

impl AckTracker {
    /// `signal` wakes the connection task.
    pub(super) fn new(signal: Arc<Notify>) -> Self {
        let [has_news, is_eager] = [false; 2].map(AtomicBool::new);
        Self { state: Mutex::default(), has_news, is_eager, signal }
    }

    /// Adds a subscription whose queue holds this many events, or only the newest of each key.
    pub(super) fn open(self: &Arc<Self>, capacity: usize, conflates: bool, name: &Arc<str>) -> AckHandle {
        let mut state = self.lock();
        state.last_number += 1;
        let number = state.last_number;
        // An event on its way into a queue that conflates has not replaced another one yet.
        let capacity = if conflates { usize::MAX } else { capacity };
        state.subscribers.push(AckSubscriber {
            number,
            name: Arc::clone(name),
            queued: VecDeque::new(),
            capacity,
            conflates,
            taken: BTreeSet::new(),
            lost: None,
            is_reported: false,
            has_left: false,
        });
        AckHandle::new(Arc::clone(self), number)
    }

    /// Notes an event that waits for a predicate. Other events are published before it may go into
    /// a queue, so its place among them has to be noted now.
    pub(super) fn announce(&self, event: &Event) {
        self.lock().runs.published(event);
    }

    /// Notes an event that goes into the queues of these subscriptions.
    pub(super) fn published(&self, subscribers: &[u64], event: &Event) {
        let mut state = self.lock();
        state.runs.published(event);
        for &number in subscribers {
            if let Some(subscriber) = state.subscriber(number) {
                subscriber.published(event.position());
                if subscriber.is_unreported() {
                    // The connection task itself publishes, so it need not be woken.
                    self.has_news.store(true, Ordering::Release);
                }
            }
        }
    }

    /// Notes what `take` takes for a subscription: see [`AckHandle::take`].
    fn take(&self, number: u64, take: impl FnOnce() -> Poll<Option<Delivery>>) -> Poll<Option<Delivery>> {
        let mut state = self.lock();
        let restarted_at = state.restarted_at;
        let taken = take();
        let mut is_unreported = false;
        if let (Poll::Ready(Some(Delivery::Event(event))), Some(subscriber)) = (&taken, state.subscriber(number)) {
            subscriber.took(event.position(), restarted_at);
            is_unreported = subscriber.is_unreported();
        }
        drop(state);
        if is_unreported {
            self.notify();
        }
        taken
    }

    /// Acknowledges an event: see [`AckHandle::acknowledge`].
    fn acknowledge(&self, number: u64, event: &Event) -> bool {
        let position = event.position();
        let mut state = self.lock();
        if state.is_restarting || !state.subscriber(number).is_some_and(|own| own.taken.remove(&position)) {
            return false;
        }
        state.acknowledged(position, event);
        drop(state);
        self.notify();
        true
    }

    /// Notes that an event which was taken can never be acknowledged: see [`AckHandle::give_up`].
    fn give_up(&self, number: u64, position: u64) {
        let mut state = self.lock();
        if let Some(subscriber) = state.subscriber(number).filter(|own| own.taken.contains(&position)) {
            subscriber.taken.remove(&position);
            subscriber.lost(position);
        }
        drop(state);
        self.notify();
    }

    /// Notes that a subscription was dropped. What it took may still be acknowledged.
    fn leave(&self, number: u64) {
        let mut state = self.lock();
        if let Some(subscriber) = state.subscriber(number) {
            subscriber.has_left = true;
            if let Some(first) = std::mem::take(&mut subscriber.queued).front() {
                subscriber.lost(*first);
            }
        }
        drop(state);
        self.notify();
    }

    /// Removes a subscription. What it has open stays open, unless that `is_given_up`.
    fn remove(&self, number: u64, is_given_up: bool) {
        let mut state = self.lock();
        if let Some(index) = state.index(number) {
            let subscriber = state.subscribers.remove(index);
            if let Some(first_open) = subscriber.first_open().filter(|_| !is_given_up) {
                state.barrier = state.barrier.into_iter().chain([first_open]).min();
                if !subscriber.is_reported && state.frozen.len() < MAX_FROZEN {
                    state.frozen.push(subscriber.name);
                }
            }
        }
        drop(state);
        self.notify();
    }

    /// Notes what a queue that conflates has not kept: replaced by a newer event, or lost for want
    /// of room.
    pub(super) fn removed(&self, subscriber: u64, replaced: &[u64], lost: &[u64]) {
        let mut state = self.lock();
        let Some(subscriber) = state.subscriber(subscriber) else { return };
        for &position in replaced {
            subscriber.remove(position);
        }
        for &position in lost {
            // A restart may have forgotten it meanwhile. Then it comes again, and is not lost.
            if subscriber.remove(position) {
                subscriber.lost(position);
            }
        }
        drop(state);
        self.notify();
    }

    /// Notes an event at which a predicate has panicked. It enters no queue, so it takes no room
    /// there and pushes nothing out, and it can never be acknowledged.
    pub(super) fn refused(&self, subscribers: &[u64], event: &Event) {
        let mut state = self.lock();
        state.runs.published(event);
        for &number in subscribers {
            if let Some(subscriber) = state.subscriber(number) {
                subscriber.lost(event.position());
            }
        }
        self.has_news.store(true, Ordering::Release);
    }

    /// Rejects acknowledgements until [`restart`](Self::restart): what is open comes again.
    pub(super) fn prepare_restart(&self) {
        self.lock().is_restarting = true;
    }

    /// Begins again after `id`. Events up to `position` do not count any more.
    pub(super) fn restart(&self, position: u64, id: &str) {
        let mut state = self.lock();
        state.restarted_at = position;
        state.is_restarting = false;
        state.barrier = None;
        // The server sends these IDs again, with other positions.
        state.runs = IdRuns::default();
        state.acknowledged.clear();
        for subscriber in &mut state.subscribers {
            subscriber.queued.clear();
            subscriber.taken.clear();
            (subscriber.lost, subscriber.is_reported) = (None, false);
        }
        state.frozen.clear();
        state.restarted_from = Some(id.into());
        // The connection task itself restarts, so it need not be woken.
        self.has_news.store(true, Ordering::Release);
    }

    /// Returns true if something has been acknowledged since the last call.
    pub(super) fn take_news(&self) -> bool {
        self.has_news.swap(false, Ordering::AcqRel)
    }

    /// Returns the ID up to which everything has been acknowledged, if it is a new one. `last` is
    /// the stream's last event ID, which is safe when nothing is open.
    pub(super) fn safe_id(&self, last: impl FnOnce() -> Arc<str>) -> Option<Arc<str>> {
        let mut state = self.lock();
        let restarted_from = state.restarted_from.take();
        let first_open = state.subscribers.iter().filter_map(AckSubscriber::first_open).chain(state.barrier).min();
        let safe_before = first_open.map(|open| state.runs.safe_before(open));
        state.runs.forget_before(first_open.unwrap_or(u64::MAX));
        let not_safe = safe_before.map(|before| state.acknowledged.split_off(&before)).unwrap_or_default();
        let safe = std::mem::replace(&mut state.acknowledged, not_safe).into_values().next_back();
        // This includes events that no subscription had to acknowledge, but only while there is a
        // subscription that would have had to.
        let all_are_safe = first_open.is_none() && state.subscribers.iter().any(|subscriber| !subscriber.has_left);
        all_are_safe.then(last).filter(|last| last.len() <= MAX_ID).or(safe).or(restarted_from)
    }

    /// Returns how many events all subscriptions have open.
    pub(super) fn unacknowledged(&self) -> u64 {
        let state = self.lock();
        let open = state.subscribers.iter().map(AckSubscriber::unacknowledged).sum::<u64>();
        open + u64::from(state.barrier.is_some())
    }

    /// Returns how many events a subscription has open.
    pub(super) fn unacknowledged_by(&self, number: u64) -> u64 {
        self.lock().subscriber(number).map_or(0, |subscriber| subscriber.unacknowledged())
    }

    /// Returns the names of the subscriptions that hold the stream where it is, each once.
    pub(super) fn take_frozen(&self) -> Vec<Arc<str>> {
        let mut state = self.lock();
        let mut frozen = std::mem::take(&mut state.frozen);
        for subscriber in state.subscribers.iter_mut().filter(|subscriber| subscriber.is_unreported()) {
            subscriber.is_reported = true;
            frozen.push(Arc::clone(&subscriber.name));
        }
        frozen
    }

    /// Returns true if nothing is open that could still be acknowledged. From the first call on
    /// each acknowledgement wakes the connection task.
    pub(super) fn all_acknowledged(&self) -> bool {
        // Before the look: an acknowledgement that the look misses then wakes the task.
        self.is_eager.store(true, Ordering::Release);
        let state = self.lock();
        let is_done = |subscriber: &AckSubscriber| subscriber.taken.is_empty() && subscriber.queued.is_empty();
        // What is open during a restart comes again, so an end does not wait for it.
        state.is_restarting || state.subscribers.iter().all(is_done)
    }

    fn lock(&self) -> MutexGuard<'_, AckState> {
        lock(&self.state)
    }

    /// Wakes the connection task, unless it has been woken and has not looked yet.
    fn notify(&self) {
        if !self.has_news.swap(true, Ordering::AcqRel) || self.is_eager.load(Ordering::Acquire) {
            self.signal.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
